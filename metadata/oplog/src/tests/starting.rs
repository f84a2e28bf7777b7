//! Starts: what is found again, what is refused, what is left alone.

use std::collections::BTreeSet;
use std::path::Path;

use cairn_core::DriveId;
use cairn_journal::files::Files;

use super::fleet::{Fleet, all, bytes_of, entries, vote};
use crate::{LogRecord, OpLogError, Orders, Refusal};

async fn filled(seed: u64) -> Fleet {
    let mut fleet = Fleet::new(seed, 6);
    let (log, _) = fleet.open().await.unwrap();
    for number in 0..40_u64 {
        log.append(vec![entries(number, &[&format!("entry {number}")])]).unwrap().await.unwrap();
    }
    log.append(vec![vote("newest")]).unwrap().await.unwrap();
    log.close().await.unwrap();
    fleet.options.formed = true;
    fleet
}

#[tokio::test]
async fn what_was_closed_is_found_again_in_order() {
    let fleet = filled(1).await;
    let (log, mut recovered) = fleet.open().await.unwrap();
    assert_eq!((recovered.first_index, recovered.last_index), (Some(0), Some(39)));
    assert_eq!(recovered.vote.as_deref(), Some(b"newest".as_slice()));
    assert_eq!(recovered.report.copied, 0);
    let records = all(&mut recovered).await;
    let expected: Vec<LogRecord> = (0..40_u64).map(|n| entries(n, &[&format!("entry {n}")])).collect();
    assert_eq!(records[..40], expected);
    assert_eq!(records[40..], [vote("newest")]);
    assert_eq!(log.read(38..40, usize::MAX).await.unwrap()[1].as_ref(), b"entry 39");
    log.append(vec![entries(40, &["more"])]).unwrap().await.unwrap();
    log.close().await.unwrap();
}

#[tokio::test]
async fn any_two_drives_of_six_may_go() {
    for first in 1..=6_u64 {
        for second in first + 1..=6 {
            let mut fleet = filled(first * 10 + second).await;
            fleet.disks.retain(|(id, _)| ![first, second].contains(&id.0));
            fleet.add();
            fleet.add();
            fleet.options.orders.replaced = [DriveId(first), DriveId(second)].into();
            let (log, mut recovered) = fleet.open().await.unwrap();
            assert_eq!(all(&mut recovered).await.len(), 41);
            assert_eq!(log.stats().epoch.quorum.roster.len(), 6);
            log.append(vec![entries(40, &["more"])]).unwrap().await.unwrap();
            log.close().await.unwrap();
            // Everything lies on three drives again: two others may go.
            fleet.disks.drain(..2);
            let (_, mut recovered) = fleet.open().await.unwrap();
            assert_eq!(all(&mut recovered).await.len(), 42, "without {first} and {second}, then two more");
        }
    }
}

#[tokio::test]
async fn three_of_six_are_refused_by_name_and_nothing_changes() {
    let fleet = filled(3).await;
    let before: Vec<_> = fleet.disks.iter().map(|(_, disk)| bytes_of(disk)).collect();
    let error = fleet.open_with(|drive| drive.0 > 3).await.unwrap_err();
    let OpLogError::Refused { refusal: Refusal::TooManyMissing { missing, missing_max, .. }, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!((missing.as_slice(), *missing_max), ([DriveId(1), DriveId(2), DriveId(3)].as_slice(), 2));
    assert!(error.to_string().contains("0000000000000002"), "{error}");
    let after: Vec<_> = fleet.disks.iter().map(|(_, disk)| bytes_of(disk)).collect();
    assert!(before == after);
    let (_, mut recovered) = fleet.open().await.unwrap();
    assert_eq!(all(&mut recovered).await.len(), 41);
}

#[tokio::test]
async fn an_operator_may_accept_the_loss() {
    let mut fleet = filled(4).await;
    fleet.disks.drain(..3);
    fleet.options.orders =
        Orders { given_up: [DriveId(1), DriveId(2), DriveId(3)].into(), accept_loss: true, ..Orders::default() };
    let (log, _) = fleet.open().await.unwrap();
    assert!(log.stats().epoch.forced);
    let next = log.stats().next_index.unwrap_or(0);
    log.append(vec![entries(next, &["after the loss"])]).unwrap().await.unwrap();
}

#[tokio::test]
async fn a_lost_log_is_not_begun_again() {
    let mut fleet = Fleet::new(5, 6);
    fleet.options.formed = true;
    let error = fleet.open().await.unwrap_err();
    assert!(matches!(error, OpLogError::Refused { refusal: Refusal::LogLost { .. }, .. }), "{error}");
    for (_, disk) in &fleet.disks {
        assert!(disk.list(Path::new("/drive/log")).is_err(), "nothing was made");
    }
}

#[tokio::test]
async fn one_and_two_drives_hold_a_log() {
    for count in [1, 2] {
        let mut fleet = Fleet::new(6, count);
        fleet.options.copies_wanted = crate::copies_wanted(count as u8 - 1, 0, count as usize);
        let (log, _) = fleet.open().await.unwrap();
        assert_eq!(log.stats().epoch.quorum.copies_len(), count as usize);
        log.append(vec![entries(0, &["a", "b"])]).unwrap().await.unwrap();
        drop(log);
        tokio::task::yield_now().await;
        fleet.crash();
        fleet.options.formed = true;
        let (log, mut recovered) = fleet.open().await.unwrap();
        assert_eq!(all(&mut recovered).await, [entries(0, &["a", "b"])]);
        log.close().await.unwrap();
    }
}

#[tokio::test]
async fn with_too_few_drives_the_log_is_read_and_not_written() {
    let mut fleet = Fleet::new(7, 2);
    fleet.options.copies_wanted = 2;
    let (log, _) = fleet.open().await.unwrap();
    log.append(vec![entries(0, &["a"])]).unwrap().await.unwrap();
    log.close().await.unwrap();
    fleet.options.formed = true;
    let before = bytes_of(fleet.disk(1));
    let (log, mut recovered) = fleet.open_with(|drive| drive.0 == 1).await.unwrap();
    assert!(recovered.report.read_only);
    assert_eq!(all(&mut recovered).await, [entries(0, &["a"])]);
    assert_eq!(log.read(0..1, 10).await.unwrap(), ["a"]);
    assert!(matches!(log.append(vec![vote("no")]), Err(OpLogError::ReadOnly)));
    assert!(bytes_of(fleet.disk(1)) == before);
    // An operator's word lets the one go on; the other is stale from then on, and joins again.
    fleet.options.orders.given_up = [DriveId(2)].into();
    let (log, _) = fleet.open_with(|drive| drive.0 == 1).await.unwrap();
    log.append(vec![entries(1, &["b"])]).unwrap().await.unwrap();
    log.close().await.unwrap();
    fleet.options.orders.given_up.clear();
    let (log, mut recovered) = fleet.open().await.unwrap();
    assert_eq!(all(&mut recovered).await, [entries(0, &["a"]), entries(1, &["b"])]);
    assert_eq!(log.stats().epoch.quorum.copies, 2);
}

#[tokio::test]
async fn another_nodes_log_is_left_alone() {
    let fleet = filled(8).await;
    let mut other = Fleet::new(9, 6);
    other.disks.iter_mut().for_each(|(id, _)| id.0 += 100);
    other.disks.push(fleet.disks[0].clone());
    let before = bytes_of(&fleet.disks[0].1);
    // The same drive under another voter's eyes.
    let drives =
        other.disks.iter().map(|(id, disk)| crate::LogDrive { id: *id, dir: "/drive".into(), files: disk.shared() });
    let stranger = crate::LogIdentity { voter: crate::VoterId(77), ..super::fleet::identity() };
    let shell = cairn_journal::Shell::Task;
    let opened =
        crate::OpLog::open(drives.collect(), stranger, other.options.clone(), other.entropy.clone(), shell).await;
    let (log, recovered) = opened.unwrap();
    assert_eq!(recovered.report.foreign, [DriveId(1)]);
    let roster: BTreeSet<u64> = log.stats().epoch.quorum.roster.iter().map(|drive| drive.0).collect();
    assert_eq!(roster, (101..=106).collect());
    assert!(bytes_of(&fleet.disks[0].1) == before);
}

#[tokio::test]
async fn a_rotten_group_comes_from_another_drive() {
    let fleet = filled(10).await;
    // Rot wherever one drive holds entries.
    let path = Path::new("/drive/log");
    let disk = fleet.disk(1);
    for file in disk.list(path).unwrap() {
        for block in 1..24 {
            // Past the end of what was written nothing is there to rot.
            let _ = disk.flip_bit(&path.join(&file.name), block * 4096 + 130, 3);
        }
    }
    let (log, mut recovered) = fleet.open().await.unwrap();
    assert_eq!(all(&mut recovered).await.len(), 41);
    assert_eq!(log.read(0..40, usize::MAX).await.unwrap().len(), 40);
}
