//! Disks that fail: full, failing to sync, failing to read, rotting.

use cairn_core::chunk::CHUNK_HEAD_VERSION;
use cairn_journal::files::faulty::Operation;
use cairn_journal::{Append, Journal};

use super::*;
use crate::conformance::{assert_holds, name, record};
use crate::verify::record_name;

#[test]
fn a_full_drive_says_so_and_takes_writes_again_once_there_is_room() {
    one_thread().block_on(async {
        let disk = Simulated::new(1, FaultPlan { capacity_bytes: 2 << 20, ..FaultPlan::default() });
        let drive = disk.open(1);
        let mut stored = 0;
        loop {
            match drive.put(record(name(stored, 0), 20_000)).await {
                Ok(()) => stored += 1,
                Err(ChunkError::Full(DRIVE)) => break,
                Err(other) => panic!("{other}"),
            }
        }
        assert!(stored > 50, "two megabytes hold more than {stored} chunks");
        assert_eq!(drive.health().writable, Ok(()), "full is no fault");
        assert_eq!(drive.health().errors, 0);
        assert!(matches!(drive.put(record(name(1000, 0), 20_000)).await, Err(ChunkError::Full(_))));
        assert_balanced(&drive).await;
        for counter in 0..stored / 2 {
            assert!(drive.delete(name(counter, 0)).await.unwrap());
        }
        for counter in 0..stored / 4 {
            drive.put(record(name(2000 + counter, 0), 20_000)).await.unwrap();
        }
        for counter in stored / 2..stored {
            assert_holds(&*drive, &record(name(counter, 0), 20_000)).await;
        }
        assert_balanced(&drive).await;
    });
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_and_a_start_keeps_what_the_device_has() {
    let arrived = (0..20).filter(|&seed| arrives_despite_a_failed_sync(seed)).count();
    assert!((1..20).contains(&arrived), "some devices had it, some had not: {arrived}");
}

/// Whether the device of this seed has the chunk whose sync failed; a start says so, whatever the kernel shows.
fn arrives_despite_a_failed_sync(seed: u64) -> bool {
    let disk = Simulated::new(seed, FaultPlan::default());
    one_thread().block_on(async {
        let drive = disk.open(1);
        drive.put(record(name(1, 0), 5000)).await.unwrap();
        disk.files.fail_next(Operation::Sync, ".segment");
        let failed = drive.put(record(name(2, 0), 5000)).await;
        assert!(matches!(failed, Err(ChunkError::Unavailable(..))), "maybe happened: {failed:?}");
        for _ in 0..2 {
            let refused = drive.put(record(name(3, 0), 5000)).await;
            assert!(matches!(refused, Err(ChunkError::ReadOnly(..))), "{refused:?}");
        }
        assert!(matches!(drive.delete(name(1, 0)).await, Err(ChunkError::ReadOnly(..))));
        let health = drive.health();
        assert!(health.writable.unwrap_err().contains("sync"));
        assert!(health.errors >= 1);
        assert_holds(&*drive, &record(name(1, 0), 5000)).await;
    });
    let held = |disk: &Simulated, opened: u64| {
        one_thread().block_on(async {
            let drive = disk.open(opened);
            assert_holds(&*drive, &record(name(1, 0), 5000)).await;
            match drive.get(name(2, 0), 0..1).await {
                Ok(_) => assert_holds(&*drive, &record(name(2, 0), 5000)).await,
                Err(error) => {
                    assert!(matches!(error, ChunkError::NotFound(..)), "{error:?}");
                    return false;
                }
            }
            true
        })
    };
    let arrived = held(&disk, 2);
    disk.files.crash();
    assert_eq!(held(&disk, 3), arrived, "what was served once is there, what was not is not, seed {seed}");
    one_thread().block_on(async {
        let drive = disk.open(4);
        drive.put(record(name(2, 0), 5000)).await.unwrap();
        assert_holds(&*drive, &record(name(2, 0), 5000)).await;
        assert_balanced(&drive).await;
    });
    arrived
}

#[test]
fn failed_reads_are_counted_and_too_many_make_the_drive_read_only() {
    one_thread().block_on(async {
        let disk = Simulated::new(3, FaultPlan { cache_miss: 1.0, ..FaultPlan::default() });
        let drive = disk.open(1);
        drive.put(record(name(1, 0), 5000)).await.unwrap();
        let faults_max = simulated().faults_max;
        for failed in 1..=faults_max {
            assert_eq!(drive.health().writable, Ok(()));
            disk.files.fail_next(Operation::Read, ".segment");
            let answer = drive.get(name(1, 0), 0..5000).await;
            assert!(matches!(answer, Err(ChunkError::Unavailable(..))), "{answer:?}");
            assert_eq!(drive.health().errors, failed);
        }
        assert!(drive.health().writable.is_err());
        assert!(matches!(drive.put(record(name(2, 0), 1)).await, Err(ChunkError::ReadOnly(..))));
        assert_holds(&*drive, &record(name(1, 0), 5000)).await;
    });
}

#[test]
fn rot_is_found_and_costs_no_neighbour() {
    let disk = Simulated::new(4, FaultPlan::default());
    let neighbours = [record(name(1, 0), 9000), record(name(3, 0), 9000)];
    let (body, head) = (record(name(2, 0), 9000), record(name(2, 1), 9000));
    one_thread().block_on(async {
        let drive = disk.open(1);
        for record in [&neighbours[0], &body, &head, &neighbours[1]] {
            drive.put(record.clone()).await.unwrap();
        }
        // In the second block of one chunk, and among the hashes of another.
        let (path, at) = disk.find(&body.body.concat()[4096..4200]);
        disk.files.flip_bit(&path, at + 10, 3).unwrap();
        let (path, at) = disk.find(head.head.hashes());
        disk.files.flip_bit(&path, at, 0).unwrap();

        let slice = drive.get(name(2, 0), 0..4096).await.unwrap();
        assert_eq!(slice.verified(&name(2, 0)).unwrap(), bytes_of(&name(2, 0), 4096), "other blocks are sound");
        let slice = drive.get(name(2, 0), 4096..4097).await.unwrap();
        assert_eq!(slice.verified(&name(2, 0)).unwrap_err().block, 1, "the reader finds it");
        for (rotten, what) in [(name(2, 0), "block 1"), (name(2, 1), "head")] {
            match drive.read_back(rotten).await {
                Err(ChunkError::Damaged { chunk, drive: DRIVE, what: found }) => {
                    assert_eq!(chunk, rotten);
                    assert!(found.contains(what), "{found}");
                }
                other => panic!("{other:?}"),
            }
        }
    });
    one_thread().block_on(async {
        let drive = disk.open(2);
        for record in &neighbours {
            assert_holds(&*drive, record).await;
        }
        assert!(matches!(drive.get(name(2, 1), 0..1).await, Err(ChunkError::NotFound(..))));
        assert_eq!(drive.report().damaged, [name(2, 1)], "its name is known though its head is not");
        // What is damaged can be deleted all the same, and so can what is not there.
        assert!(drive.delete(name(2, 0)).await.unwrap());
        assert!(!drive.delete(name(2, 1)).await.unwrap());
    });
}

#[test]
fn a_chunk_whose_head_rotted_under_a_running_drive_can_be_deleted() {
    one_thread().block_on(async {
        let disk = Simulated::new(5, FaultPlan::default());
        let drive = disk.open(1);
        let rotten = record(name(1, 0), 9000);
        drive.put(rotten.clone()).await.unwrap();
        let (path, at) = disk.find(rotten.head.hashes());
        disk.files.flip_bit(&path, at, 0).unwrap();
        assert!(drive.delete(name(1, 0)).await.unwrap());
        assert!(matches!(drive.get(name(1, 0), 0..1).await, Err(ChunkError::NotFound(..))));
        assert_eq!((drive.health().chunks, drive.health().live_bytes), (0, 0));
        assert_eq!(drive.health().writable, Ok(()));
    });
}

#[test]
fn a_punch_that_fails_leaves_the_chunk_where_it_was() {
    one_thread().block_on(async {
        let disk = Simulated::new(6, FaultPlan::default());
        let drive = disk.open(1);
        drive.put(record(name(1, 0), 9000)).await.unwrap();
        disk.files.fail_next(Operation::Read, ".segment");
        let answer = drive.delete(name(1, 0)).await;
        assert!(matches!(answer, Err(ChunkError::Unavailable(..))), "{answer:?}");
        assert_eq!(drive.health().writable, Ok(()), "one fault is no reason to refuse writes");
        assert_holds(&*drive, &record(name(1, 0), 9000)).await;
        assert!(drive.delete(name(1, 0)).await.unwrap());
        assert_balanced(&drive).await;
    });
}

fn append_by_hand(disk: &Simulated, name: &ChunkName, head: Bytes, body: Bytes) {
    struct Ignore;
    impl cairn_journal::Owner for Ignore {
        fn verify(&mut self, _: &cairn_journal::RecordHead, _: &cairn_journal::BodyReader<'_>) -> bool {
            true
        }
        fn found(&mut self, _: &cairn_journal::RecordInfo) {}
        fn damaged(&mut self, _: &cairn_journal::Damage) {}
    }
    let options = Options {
        segment_bytes: 128 * 1024,
        ..Options::new(CHUNK_JOURNAL_OWNER, ManualClock::at(WallTime(5)), SeededEntropy::new(99))
    };
    let chunks = disk.path.join("chunks");
    let (mut journal, _) = Journal::open(disk.files.shared(), &chunks, options, &mut Ignore).unwrap();
    journal.append_group(vec![Append::new(record_name(name), head, vec![body])]).unwrap();
}

#[test]
fn twins_are_made_one_at_a_start() {
    let disk = Simulated::new(7, FaultPlan::default());
    let chunk = record(name(1, 0), 9000);
    for _ in 0..3 {
        append_by_hand(&disk, &name(1, 0), chunk.head.encode(), Bytes::from(chunk.body.concat()));
    }
    one_thread().block_on(async {
        let drive = disk.open(1);
        assert_eq!(drive.report().twins, 2);
        assert_holds(&*drive, &chunk).await;
        assert_balanced(&drive).await;
        assert!(drive.delete(name(1, 0)).await.unwrap());
        drive.close().await.unwrap();
    });
    one_thread().block_on(async {
        let drive = disk.open(2);
        assert_eq!(drive.report().twins, 0);
        assert!(listed(&*drive).await.is_empty(), "no twin comes back");
    });
}

#[test]
fn another_chunk_under_a_name_that_is_taken_is_refused() {
    one_thread().block_on(async {
        let disk = Simulated::new(8, FaultPlan::default());
        let drive = disk.open(1);
        drive.put(record(name(1, 0), 9000)).await.unwrap();
        let other = drive.put(record(name(1, 0), 9001)).await;
        assert!(matches!(other, Err(ChunkError::Damaged { .. })), "{other:?}");
        assert_holds(&*drive, &record(name(1, 0), 9000)).await;
    });
}

#[test]
fn chunks_of_a_later_release_are_neither_served_nor_cut() {
    let disk = Simulated::new(9, FaultPlan::default());
    let chunk = record(name(1, 0), 9000);
    let mut head = chunk.head.encode().to_vec();
    head[0] = CHUNK_HEAD_VERSION + 1;
    append_by_hand(&disk, &name(1, 0), Bytes::from(head.clone()), Bytes::from(chunk.body.concat()));
    for seed in 0..2 {
        one_thread().block_on(async {
            match open(disk.dir(), &simulated(), seed) {
                Err(OpenError::Newer { drive: DRIVE, found }) => assert_eq!(found, CHUNK_HEAD_VERSION + 1),
                Ok(drive) => {
                    // Sealed meanwhile: known by its name, and refused by whoever reads it.
                    let answer = drive.get(name(1, 0), 0..1).await;
                    assert!(matches!(answer, Err(ChunkError::Unavailable(..))), "{answer:?}");
                }
                Err(other) => panic!("{other}"),
            }
        });
    }
    disk.find(&head);
}

#[test]
fn records_that_are_no_chunks_are_left_alone() {
    let disk = Simulated::new(10, FaultPlan::default());
    let chunk = record(name(1, 0), 9000);
    // A sound record whose head says another chunk's name than the journal does, and one whose block is wrong: what a
    // lost power leaves behind the durable end looks like this.
    append_by_hand(&disk, &name(2, 0), chunk.head.encode(), Bytes::from(chunk.body.concat()));
    one_thread().block_on(async {
        let drive = disk.open(1);
        let answer = drive.get(name(2, 0), 0..1).await;
        assert!(matches!(answer, Err(ChunkError::NotFound(..))), "{answer:?}");
    });
}
