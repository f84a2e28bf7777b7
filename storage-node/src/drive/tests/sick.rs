//! A drive that hangs: it holds up whoever asked it, up to a bound, and nobody else.

use std::sync::Condvar;
use std::time::Duration;

use cairn_journal::files::faulty::Operation;
use futures::future::join_all;

use super::*;
use crate::conformance::{assert_holds, name, record};

/// A disk on which nothing goes on until it is let go.
#[derive(Debug, Default)]
struct Hold {
    held: Mutex<bool>,
    changed: Condvar,
}

impl Hold {
    fn set(&self, held: bool) {
        *self.held.lock().unwrap() = held;
        self.changed.notify_all();
    }

    fn pass(&self) {
        drop(self.changed.wait_while(self.held.lock().unwrap(), |held| *held).unwrap());
    }
}

/// A drive on a disk of its own that remembers nothing, and the hold on that disk.
fn drive_on_hold(options: &DriveOptions) -> (Arc<Drive>, Arc<Hold>) {
    let files = FaultyFiles::new(1, FaultPlan { cache_miss: 1.0, ..FaultPlan::default() });
    let drive = open(format(files.shared(), Path::new("/drive")), options, 1).unwrap();
    let hold = Arc::new(Hold::default());
    let holding = hold.clone();
    files.before_each(move |_: Operation, _: &Path| holding.pass());
    (drive, hold)
}

fn waiting(drive: &Drive) -> usize {
    let load = drive.stats().load;
    load.puts_waiting + load.reads_waiting
}

#[test]
fn a_hanging_drive_holds_up_nobody_but_its_own_callers_and_only_so_many() {
    const WAITING_MAX: usize = 40;
    let options = DriveOptions {
        reads_max: 4,
        waiting_max: WAITING_MAX,
        queue_bytes: 64 * 1024,
        ..options(Shell::Thread, IndexKind::Memory)
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    runtime.block_on(async {
        let (sick, hold) = drive_on_hold(&options);
        let (well, _) = drive_on_hold(&options);
        for drive in [&sick, &well] {
            for counter in 0..20 {
                drive.put(record(name(counter, 0), 9000)).await.unwrap();
            }
        }
        hold.set(true);
        let asked: Vec<_> = (0..200u64)
            .map(|counter| {
                let sick = sick.clone();
                tokio::spawn(async move {
                    if counter % 2 == 0 {
                        sick.put(record(name(1000 + counter, 0), 9000)).await
                    } else {
                        sick.get(name(counter % 20, 0), 0..9000).await.map(drop)
                    }
                })
            })
            .collect();
        // The other drive does all its work while this one stands still.
        let work = async {
            for counter in 0..200 {
                well.put(record(name(1000 + counter, 0), 9000)).await.unwrap();
                assert_holds(&*well, &record(name(counter % 20, 0), 9000)).await;
            }
            join_all((0..20).map(|counter| well.delete(name(counter, 0)))).await
        };
        let deleted = tokio::time::timeout(Duration::from_secs(60), work).await.expect("nobody is held up");
        assert!(deleted.into_iter().all(|answer| answer.unwrap()));

        // A hundred asked for either, none was answered, and both lines are full: the rest were sent away.
        let full = async {
            while waiting(&sick) < 2 * WAITING_MAX {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), full).await.expect("everyone arrives");
        let load = sick.stats().load;
        assert!(load.puts_waiting <= WAITING_MAX && load.reads_waiting <= WAITING_MAX, "{load:?}");
        assert!(load.queued_bytes <= 64 * 1024 && load.reads_under_way <= 4, "{load:?}");
        assert!(matches!(sick.get(name(3, 0), 0..9000).await, Err(ChunkError::Busy(DRIVE))), "{load:?}");
        hold.set(false);
        let (mut served, mut busy) = (0, 0);
        for answer in asked {
            match answer.await.unwrap() {
                Ok(()) => served += 1,
                Err(ChunkError::Busy(DRIVE)) => busy += 1,
                Err(other) => panic!("{other}"),
            }
        }
        assert!(served >= WAITING_MAX && busy > 0, "{served} were served late, {busy} were sent away");
        let load = sick.stats().load;
        assert_eq!(load, crate::Load::default(), "nothing is left behind");
        assert_balanced(&sick).await;
        assert_eq!(sick.health().errors, 0, "slow is no fault");
    });
}

#[test]
fn how_slow_a_drive_is_shows_by_operation() {
    let clock = ManualClock::at(WallTime(5));
    let files = FaultyFiles::new(1, FaultPlan { cache_miss: 1.0, ..FaultPlan::default() });
    one_thread().block_on(async {
        let dir = format(files.shared(), Path::new("/drive"));
        let drive = Drive::open(dir, &simulated(), clock.clone(), SeededEntropy::new(1)).unwrap();
        files.before_each(move |operation, _| {
            clock.advance(match operation {
                Operation::Sync => Duration::from_millis(10),
                Operation::Read => Duration::from_millis(2),
                _ => Duration::ZERO,
            });
        });
        for counter in 0..50 {
            drive.put(record(name(counter, 0), 100)).await.unwrap();
            drop(drive.get(name(counter, 0), 0..100).await.unwrap());
        }
        assert!(drive.get(name(99, 0), 0..1).await.is_err());
        let found = drive.latencies();
        assert_eq!((found.put.count, found.get.count, found.delete.count), (50, 50, 0), "what failed does not count");
        assert!(found.put.p50 >= Duration::from_millis(10) && found.put.p50 < Duration::from_millis(12), "{found:?}");
        assert!(found.get.p99 >= Duration::from_millis(2) && found.get.p99 < Duration::from_millis(3), "{found:?}");
        assert_eq!(found, drive.stats().latencies);
    });
}

#[test]
fn every_byte_is_in_one_account() {
    one_thread().block_on(async {
        let disk = Simulated::new(1, FaultPlan::default());
        let drive = disk.open(1);
        let given = || -> u64 {
            let files = disk.segments().into_iter().map(|path| disk.files.open(&path).unwrap());
            files.map(|file| file.allocated_bytes().unwrap()).sum()
        };
        for counter in 0..60 {
            drive.put(record(name(counter, 0), 5000)).await.unwrap();
            assert_eq!(drive.stats().accounts.allocated_bytes(), given());
        }
        for counter in (0..60).step_by(2) {
            assert!(drive.delete(name(counter, 0)).await.unwrap());
            let stats = drive.stats();
            assert_eq!(stats.accounts.allocated_bytes(), given(), "after deleting {counter}");
            assert_eq!(stats.accounts.live_bytes, drive.health().live_bytes);
        }
        let stats = drive.stats();
        assert_eq!((stats.chunks, stats.accounts.live_bytes), (30, 30 * 8192));
        assert!(stats.accounts.punched_bytes > 0 && stats.accounts.free_bytes > 0);
    });
}

/// Full by somebody else's hand, through a restart, and then not any more.
#[test]
fn writes_come_back_to_a_full_drive_that_was_cleared() {
    let disk = Simulated::new(1, FaultPlan::default());
    let fill = |full: bool| {
        let capacity_bytes = if full { 0 } else { FaultPlan::default().capacity_bytes };
        disk.files.set_plan(FaultPlan { capacity_bytes, ..FaultPlan::default() });
    };
    for seed in 0..3 {
        one_thread().block_on(async {
            fill(false);
            let drive = disk.open(seed);
            drive.put(record(name(seed * 1000, 0), 5000)).await.unwrap();
            fill(true);
            let mut counter = seed * 1000 + 1;
            while drive.put(record(name(counter, 0), 5000)).await.is_ok() {
                counter += 1;
                assert!(counter < seed * 1000 + 100, "a segment is full some day");
            }
            assert!(matches!(drive.put(record(name(counter, 0), 5000)).await, Err(ChunkError::Full(DRIVE))));
        });
        one_thread().block_on(async {
            // A full drive starts, serves, and can be emptied.
            let drive = disk.open(seed + 10);
            assert_eq!(drive.report().fitness, None, "it cannot be tried now");
            assert_holds(&*drive, &record(name(seed * 1000, 0), 5000)).await;
            assert!(drive.delete(name(seed * 1000, 0)).await.unwrap());
            assert_eq!(drive.health().writable, Ok(()));
            fill(false);
            drive.put(record(name(seed * 1000, 0), 5000)).await.unwrap();
            assert_holds(&*drive, &record(name(seed * 1000, 0), 5000)).await;
            assert_balanced(&drive).await;
        });
    }
}
