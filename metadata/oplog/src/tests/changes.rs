//! The roster changes while the log runs: drives join and leave, writes go on, and a start finds what that promised.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cairn_core::DriveId;
use cairn_journal::files::faulty::Operation;

use super::fleet::{Fleet, all, entries};
use crate::{ChangeError, OpLog, RosterChange};

fn change(fleet: &Fleet, leaving: &[u64]) -> RosterChange {
    let leaving = leaving.iter().map(|&id| DriveId(id)).collect();
    RosterChange { here: fleet.here(), leaving, copies_wanted: fleet.options.copies_wanted }
}

fn roster(log: &OpLog) -> Vec<u64> {
    log.stats().epoch.quorum.roster.iter().map(|drive| drive.0).collect()
}

async fn fill(log: &OpLog, numbers: std::ops::Range<u64>) {
    for number in numbers {
        log.append(vec![entries(number, &["entry"])]).unwrap().await.unwrap();
    }
}

/// Every pair of the first six is replaced while the log runs; then the four others may be two, and no start is needed between.
#[tokio::test]
async fn any_two_drives_are_replaced_without_a_start() {
    for first in 1..=6_u64 {
        for second in first + 1..=6 {
            let mut fleet = Fleet::new(first * 10 + second, 6);
            let (log, _) = fleet.open().await.unwrap();
            fill(&log, 0..30).await;
            // They fail, and are replaced; what they held is on others.
            fleet.disk(first).fail_next(Operation::Sync, "");
            fill(&log, 30..40).await;
            fleet.add();
            fleet.add();
            let epoch = log.change_roster(change(&fleet, &[first, second])).await.unwrap().expect("it changes");
            assert_eq!((epoch.quorum.roster.len(), epoch.quorum.copies), (6, 3));
            assert!(roster(&log).iter().all(|id| ![first, second].contains(id)) && roster(&log).ends_with(&[7, 8]));
            let stats = log.stats();
            assert!(stats.failed.is_empty() && stats.short == 0 && stats.healthy.len() == 6, "{stats:?}");
            fill(&log, 40..50).await;
            assert!(
                log.change_roster(change(&fleet, &[first, second])).await.unwrap().is_none(),
                "it is as it should be"
            );
            drop(log);
            tokio::task::yield_now().await;
            fleet.crash();
            // Neither they nor two others are needed; nobody has to say that they are lost.
            fleet.options.formed = true;
            let others: Vec<u64> = (1..=8).filter(|id| ![first, second].contains(id)).collect();
            let away = [first, second, others[(first as usize) % 6], others[(second as usize) % 6]];
            let (_, mut recovered) = fleet.open_with(|drive| !away.contains(&drive.0)).await.unwrap();
            assert_eq!(all(&mut recovered).await.len(), 50, "without {away:?}");
        }
    }
}

#[tokio::test]
async fn a_drive_more_makes_more_copies() {
    let mut fleet = Fleet::new(2, 1);
    fleet.options.copies_wanted = 1;
    let (log, _) = fleet.open().await.unwrap();
    fill(&log, 0..20).await;
    fleet.add();
    fleet.add();
    fleet.options.copies_wanted = 2;
    let epoch = log.change_roster(change(&fleet, &[])).await.unwrap().unwrap();
    assert_eq!((epoch.quorum.copies, epoch.quorum.roster.len()), (2, 3));
    fill(&log, 20..30).await;
    log.close().await.unwrap();
    fleet.options.formed = true;
    // Everything that was there before lies on two drives, so any may be away.
    for away in 1..=3 {
        let (log, mut recovered) = fleet.open_with(|drive| drive.0 != away).await.unwrap();
        assert_eq!(all(&mut recovered).await.len(), 30, "without {away}");
        log.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_drive_that_cannot_join_leaves_the_log_as_it_was() {
    let mut fleet = Fleet::new(3, 4);
    let (log, _) = fleet.open().await.unwrap();
    fill(&log, 0..10).await;
    let before = log.stats().epoch.id;
    fleet.add();
    fleet.disk(5).fail_next(Operation::Sync, ".segment");
    let error = log.change_roster(change(&fleet, &[])).await.unwrap_err();
    assert!(matches!(error, ChangeError::Drive(_)), "{error}");
    assert_eq!((log.stats().epoch.id, roster(&log)), (before, vec![1, 2, 3, 4]));
    fill(&log, 10..20).await;
    // Another one takes its place; the attempt that was given up is an ancestor of which nothing counts.
    fleet.add();
    fleet.add();
    log.change_roster(change(&fleet, &[])).await.unwrap().unwrap();
    assert_eq!(roster(&log), [1, 2, 3, 4, 6, 7], "one that failed here fails until the next start");
    fill(&log, 20..30).await;
    log.close().await.unwrap();
    fleet.options.formed = true;
    let (_, mut recovered) = fleet.open().await.unwrap();
    assert_eq!(all(&mut recovered).await.len(), 30);
}

#[tokio::test]
async fn too_few_drives_and_strangers_change_nothing() {
    let mut fleet = Fleet::new(4, 2);
    fleet.options.copies_wanted = 2;
    let (log, _) = fleet.open().await.unwrap();
    fill(&log, 0..10).await;
    let before = log.stats().epoch.id;
    let mut other = Fleet::new(5, 3);
    other.disks.iter_mut().for_each(|(id, _)| id.0 += 10);
    let stranger = crate::LogIdentity { voter: crate::VoterId(77), ..super::fleet::identity() };
    let opened =
        OpLog::open(other.here(), stranger, other.options.clone(), other.entropy.clone(), cairn_journal::Shell::Task);
    opened.await.unwrap().0.close().await.unwrap();
    let error = log.change_roster(RosterChange { here: other.here(), ..change(&fleet, &[]) }).await.unwrap_err();
    assert!(matches!(error, ChangeError::Foreign { drive: DriveId(11) }), "{error}");
    assert_eq!(log.stats().epoch.id, before);
    fleet.disk(2).fail_next(Operation::Sync, "");
    drop(log.append(vec![entries(10, &["never acknowledged"])]).unwrap().await.unwrap_err());
    let error = log.change_roster(change(&fleet, &[2])).await.unwrap_err();
    assert!(matches!(error, ChangeError::Log(_)), "two copies cannot be promised any more: {error}");
}

/// Those who write while the roster changes wait for it and are answered, in order, and find everything again.
#[tokio::test]
async fn writes_go_on_while_the_roster_changes() {
    let mut fleet = Fleet::new(6, 6);
    fleet.options.segment_bytes = 64 << 10;
    let (log, _) = fleet.open().await.unwrap();
    fill(&log, 0..200).await;
    let done = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (log, done) = (log.clone(), done.clone());
        async move {
            let mut number = 200;
            while !done.load(Ordering::Relaxed) {
                log.append(vec![entries(number, &["during"])]).unwrap().await.unwrap();
                number += 1;
                if number % 40 == 0 {
                    log.purge(number - 150, bytes::Bytes::from_static(b"purged")).await.unwrap();
                }
            }
            number
        }
    });
    let mut epochs = std::collections::BTreeSet::new();
    for round in 0..10_u64 {
        fleet.add();
        let leaving: Vec<u64> = (1..=round + 1).collect();
        let epoch = log.change_roster(change(&fleet, &leaving)).await.unwrap().unwrap();
        assert!(epochs.insert(epoch.id));
        assert_eq!(roster(&log), (round + 2..=round + 7).collect::<Vec<_>>());
    }
    done.store(true, Ordering::Relaxed);
    let next = writer.await.unwrap();
    drop(log);
    tokio::task::yield_now().await;
    fleet.crash();
    // None of the ten is needed, nor two of those that came.
    fleet.options.formed = true;
    let (log, recovered) = fleet.open_with(|drive| drive.0 > 12).await.unwrap();
    assert_eq!(recovered.next_index, Some(next));
    let first = recovered.first_index.unwrap();
    assert_eq!(log.read(first..next, usize::MAX).await.unwrap().len() as u64, next - first);
}
