//! What becomes of a running log when its drives fail, hang, fill up or vanish.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use cairn_core::DriveId;
use cairn_core::clock::SystemClock;
use cairn_journal::Shell;
use cairn_journal::files::faulty::{FaultPlan, FaultyFiles, Operation};
use cairn_journal::files::real::RealFiles;

use super::fleet::{Fleet, entries, identity, vote};
use crate::{LogDrive, OpLog, Options};

/// A disk whose syncs wait while it is shut.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn on(disk: &FaultyFiles) -> Self {
        let gate = Self::default();
        let mine = gate.clone();
        disk.before_each(move |operation, _| {
            if operation == Operation::Sync {
                let (shut, opened) = &*mine.0;
                let guard = shut.lock().unwrap();
                drop(opened.wait_while(guard, |shut| *shut).unwrap());
            }
        });
        gate
    }

    fn shut(&self, shut: bool) {
        *self.0.0.lock().unwrap() = shut;
        self.0.1.notify_all();
    }
}

/// Six drives with threads of their own, so that one may hang while others go on.
async fn threaded(seed: u64) -> (Fleet, OpLog, Vec<Gate>) {
    let mut fleet = Fleet::new(seed, 6);
    fleet.options.clock = SystemClock::start();
    fleet.options.late_after = Duration::from_millis(100);
    let gates = fleet.disks.iter().map(|(_, disk)| Gate::on(disk)).collect();
    let drives = fleet.disks.iter().map(|(id, disk)| LogDrive { id: *id, dir: "/drive".into(), files: disk.shared() });
    let (log, _) =
        OpLog::open(drives.collect(), identity(), fleet.options.clone(), fleet.entropy.clone(), Shell::Thread)
            .await
            .unwrap();
    (fleet, log, gates)
}

async fn until(what: &str, ready: impl Fn() -> bool) {
    let begun = Instant::now();
    while !ready() {
        assert!(begun.elapsed() < Duration::from_secs(20), "not within 20 s: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_append_waits_for_a_sync_that_hangs() {
    let (_fleet, log, gates) = threaded(1).await;
    for number in 0..20 {
        log.append(vec![entries(number, &["before"])]).unwrap().await.unwrap();
    }
    // Two of the three drives that groups go to.
    gates[0].shut(true);
    gates[1].shut(true);
    let begun = Instant::now();
    for number in 20..60 {
        log.append(vec![entries(number, &["during"])]).unwrap().await.unwrap();
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(1), "the longest pause is below a second: {took:?}");
    let stats = log.stats();
    assert_eq!(stats.healthy[4..], [DriveId(1), DriveId(2)], "they are chosen last from now on");
    assert!(stats.late > 0 && stats.failed.is_empty(), "late is not failed");
    gates.iter().for_each(|gate| gate.shut(false));
    log.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drive_that_never_answers_is_given_up_and_its_copies_are_made_anew() {
    let mut fleet = Fleet::new(2, 6);
    fleet.options.clock = SystemClock::start();
    fleet.options.late_after = Duration::from_millis(20);
    fleet.options.given_up_after = Duration::from_millis(200);
    let gates: Vec<Gate> = fleet.disks.iter().map(|(_, disk)| Gate::on(disk)).collect();
    let drives = fleet.disks.iter().map(|(id, disk)| LogDrive { id: *id, dir: "/drive".into(), files: disk.shared() });
    let (log, _) =
        OpLog::open(drives.collect(), identity(), fleet.options.clone(), fleet.entropy.clone(), Shell::Thread)
            .await
            .unwrap();
    for number in 0..50 {
        log.append(vec![entries(number, &["x"])]).unwrap().await.unwrap();
    }
    gates[0].shut(true);
    log.append(vec![entries(50, &["x"])]).unwrap().await.unwrap();
    until("it is given up", || log.stats().failed == [DriveId(1)]).await;
    until("all of it lies on three drives again", || log.stats().short == 0).await;
    assert!(log.stats().copied >= 50, "{:?}", log.stats());
    gates[0].shut(false);
    log.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_of_all_drives_moves_nothing() {
    let (_fleet, log, gates) = threaded(3).await;
    log.append(vec![entries(0, &["before"])]).unwrap().await.unwrap();
    gates.iter().for_each(|gate| gate.shut(true));
    let waiting = log.append(vec![entries(1, &["during"])]).unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    gates.iter().for_each(|gate| gate.shut(false));
    waiting.await.unwrap();
    let stats = log.stats();
    assert_eq!(stats.late, 0);
    assert_eq!(stats.healthy, (1..=6).map(DriveId).collect::<Vec<_>>());
    log.close().await.unwrap();
}

#[tokio::test]
async fn copies_of_a_lost_drive_are_made_anew_while_writes_go_on() {
    let mut fleet = Fleet::new(4, 6);
    let (log, _) = fleet.open().await.unwrap();
    for number in 0..100 {
        log.append(vec![entries(number, &[&"y".repeat(500)])]).unwrap().await.unwrap();
    }
    for failing in 1..=2_u64 {
        fleet.disk(failing).fail_next(Operation::Sync, "");
        for number in 0..50 {
            log.append(vec![entries(50 + 50 * failing + number, &["more"])]).unwrap().await.unwrap();
        }
    }
    until("all of it lies on three drives again", || log.stats().short == 0).await;
    assert_eq!(log.stats().failed.len(), 2);
    log.close().await.unwrap();
    // Nothing of the two is needed: a start without them, that takes two others in, finds nothing to copy.
    fleet.disks.drain(..2);
    fleet.add();
    fleet.add();
    fleet.options.formed = true;
    fleet.options.orders.replaced = [DriveId(1), DriveId(2)].into();
    let (log, recovered) = fleet.open().await.unwrap();
    assert_eq!((recovered.report.copied, recovered.last_index), (0, Some(199)));
    log.close().await.unwrap();
}

#[tokio::test]
async fn a_drive_that_was_full_is_used_again_when_it_has_room() {
    let mut fleet = Fleet::new(5, 3);
    fleet.options.segment_bytes = 64 << 10;
    fleet.options.copies_wanted = 2;
    let (log, _) = fleet.open().await.unwrap();
    fleet.disk(2).set_plan(FaultPlan { capacity_bytes: 1, ..FaultPlan::default() });
    for number in 0..60 {
        log.append(vec![entries(number, &[&"z".repeat(2000)])]).unwrap().await.unwrap();
    }
    assert_eq!(log.stats().failed, [DriveId(2)]);
    fleet.disk(2).set_plan(FaultPlan::default());
    until("it is used again", || log.stats().healthy.contains(&DriveId(2))).await;
    assert!(log.stats().failed.is_empty());
    until("every group has its copies", || log.stats().short == 0).await;
    // With one of the others gone, it is needed.
    fleet.disk(1).fail_next(Operation::Sync, "");
    log.append(vec![vote("on two and three")]).unwrap().await.unwrap();
    assert_eq!(log.stats().failed, [DriveId(1)]);
    log.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_vanishes_is_noticed_although_its_syncs_succeed() {
    let root = tempfile::tempdir().unwrap();
    let dir = |id: u64| root.path().join(format!("d{id}"));
    let drives =
        (1..=4).map(|id| LogDrive { id: DriveId(id), dir: dir(id), files: RealFiles::shared() }).collect::<Vec<_>>();
    let mut options = Options::new(SystemClock::start());
    options.copies_wanted = 2;
    options.segment_bytes = 1 << 20;
    let entropy = cairn_core::entropy::SystemEntropy::shared();
    let (log, _) = OpLog::open(drives, identity(), options, entropy, Shell::Thread).await.unwrap();
    for number in 0..20 {
        log.append(vec![entries(number, &["kept"])]).unwrap().await.unwrap();
    }
    std::fs::remove_dir_all(dir(1)).unwrap();
    log.append(vec![entries(20, &["synced to a file without a name"])]).unwrap().await.unwrap();
    until("it is left", || log.stats().failed == [DriveId(1)]).await;
    until("all of it lies on two drives again", || log.stats().short == 0).await;
    log.append(vec![entries(21, &["after"])]).unwrap().await.unwrap();
    log.close().await.unwrap();
    assert!(!Path::new(&dir(1)).exists(), "nothing is made where a drive was");
}
