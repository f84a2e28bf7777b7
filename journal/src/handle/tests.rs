//! The shell, over both kinds of disk and in both modes.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::files::faulty::{FaultyFiles, Operation};
use crate::files::real::RealFiles;
use crate::tests::{Witness, append, body, disk, name, open, options};
use crate::{Files, Recovery};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

fn start(files: &FaultyFiles, shell: Shell) -> JournalHandle {
    JournalHandle::start(open(files).0, shell, "test-journal", JournalHandle::QUEUE_BYTES).unwrap()
}

async fn append_all(handle: &JournalHandle, numbers: std::ops::Range<u64>) -> Vec<Shared<Place>> {
    let tasks: Vec<_> = numbers
        .map(|number| {
            let handle = handle.clone();
            tokio::spawn(async move { handle.append(append(number, 3000)).await })
        })
        .collect();
    let mut places = Vec::new();
    for task in tasks {
        places.push(task.await.unwrap());
    }
    places
}

#[test]
fn appends_gather_into_groups_and_all_are_answered() {
    for shell in [Shell::Thread, Shell::Task] {
        runtime().block_on(async {
            let files = disk(1);
            let handle = start(&files, shell);
            let before = files.changes();
            let places = append_all(&handle, 0..100).await;
            let changes = files.changes() - before;
            for (number, place) in places.into_iter().enumerate() {
                let record = handle.reader().read_record(place.unwrap(), &name(number as u64)).unwrap();
                assert_eq!(record.body, body(number as u64, 3000));
            }
            if shell == Shell::Task {
                assert!(changes < 20, "{changes} changes: create, allocate, header, two syncs, then few groups");
            }
            handle.close().await.unwrap();
            assert!(matches!(*handle.append(append(7, 1)).await.unwrap_err(), JournalError::Closed));
            assert!(matches!(handle.submit(append(7, 1), |_| {}), Err(JournalError::Closed)));
            assert!(matches!(*handle.sync().await.unwrap_err(), JournalError::Closed));
            assert!(matches!(*handle.close().await.unwrap_err(), JournalError::Closed));
            let (_, recovery, witness) = open(&files);
            assert!(recovery.clean);
            assert_eq!(witness.found.len(), 100);
        });
    }
}

#[test]
fn one_seed_one_order() {
    let places = || {
        runtime().block_on(async {
            let handle = start(&disk(1), Shell::Task);
            append_all(&handle, 0..50).await.into_iter().map(|place| place.unwrap()).collect::<Vec<_>>()
        })
    };
    assert_eq!(places(), places());
}

#[test]
fn everybody_in_a_failed_group_is_told() {
    for shell in [Shell::Thread, Shell::Task] {
        runtime().block_on(async {
            let files = disk(1);
            let handle = start(&files, shell);
            handle.append(append(1000, 10)).await.unwrap();
            files.fail_next(Operation::Sync, ".segment");
            let answers = append_all(&handle, 0..20).await;
            for answer in answers {
                let error = answer.unwrap_err();
                assert!(matches!(*error, JournalError::Io { .. } | JournalError::Poisoned(_)), "{error}");
            }
            assert!(handle.poisoned().is_some());
            assert!(matches!(*handle.close().await.unwrap_err(), JournalError::Poisoned(_)));
        });
    }
}

#[test]
fn submitted_records_are_written_in_order_and_answered_once() {
    runtime().block_on(async {
        let handle = start(&disk(1), Shell::Task);
        let (answers, mut answered) = tokio::sync::mpsc::unbounded_channel();
        for number in 0..30 {
            let answers = answers.clone();
            handle.submit(append(number, 100), move |place| answers.send((number, place.unwrap())).unwrap()).unwrap();
        }
        drop(answers);
        let mut all = Vec::new();
        while let Some(answer) = answered.recv().await {
            all.push(answer);
        }
        assert!(all.iter().map(|(number, _)| *number).eq(0..30));
        assert!(all.iter().map(|(_, place)| *place).is_sorted());
    });
}

#[test]
fn the_queue_is_bounded() {
    runtime().block_on(async {
        let journal = open(&disk(1)).0;
        let handle = JournalHandle::start(journal, Shell::Task, "small", 10 * BLOCK_BYTES).unwrap();
        let answered = Arc::new(AtomicUsize::new(0));
        let count = || {
            let answered = answered.clone();
            move |place: Shared<Place>| {
                place.unwrap();
                answered.fetch_add(1, Ordering::SeqCst);
            }
        };
        // The writer's task has not run yet: five records of two blocks fill the queue.
        let taken = (0..10).take_while(|&number| handle.submit(append(number, 5000), count()).is_ok()).count();
        assert_eq!(taken, 5);
        assert!(matches!(handle.submit(append(9, 5000), count()), Err(JournalError::Busy)));
        // An append waits for its turn, even one that is longer than the whole queue.
        handle.append(append(99, 100_000)).await.unwrap();
        assert_eq!(answered.load(Ordering::SeqCst), 5);
        let error = handle.append(append(99, 2_000_000)).await.unwrap_err();
        assert!(matches!(*error, JournalError::TooLarge { .. }));
    });
}

#[test]
fn punches_and_removals_go_through_the_writer() {
    runtime().block_on(async {
        let files = disk(1);
        let journal = crate::tests::try_open(&files, options(1, 64 * 1024)).unwrap().0;
        let handle = JournalHandle::start(journal, Shell::Thread, "t", JournalHandle::QUEUE_BYTES).unwrap();
        let mut places = Vec::new();
        for number in 0..20 {
            places.push(handle.append(append(number, 9000)).await.unwrap());
        }
        assert!(handle.punch(places[0], name(0)).await.unwrap());
        assert!(!handle.punch(places[0], name(0)).await.unwrap());
        handle.sync().await.unwrap();
        let last = places[19].segment;
        assert!(handle.remove_segment(places[0].segment).await.unwrap());
        assert!(handle.remove_segments_below(last).await.unwrap() > 1);
        assert_eq!(handle.reader().segments(), [last]);
        assert_eq!(handle.usage().segments, 1);
    });
}

#[test]
fn a_dropped_handle_writes_what_is_queued_and_no_clean_mark() {
    let files = disk(1);
    runtime().block_on(async {
        let handle = start(&files, Shell::Task);
        let (done, answer) = oneshot::channel();
        handle.submit(append(1, 10), move |place| drop(done.send(place))).unwrap();
        drop(handle);
        answer.await.unwrap().unwrap();
        tokio::task::yield_now().await;
    });
    let (_, recovery, witness): (_, Recovery, _) = open(&files);
    assert!(!recovery.clean);
    assert_eq!(witness.found.len(), 1);
}

#[test]
fn the_real_disk_keeps_what_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let files: Arc<dyn Files> = RealFiles::shared();
    let options = || options(1, 8 * 1024 * 1024);
    let mut all = Vec::new();
    for round in 0..3u64 {
        let mut witness = Witness::default();
        let (journal, recovery) = Journal::open(files.clone(), dir.path(), options(), &mut witness).unwrap();
        assert_eq!(recovery.clean, round != 1);
        assert_eq!(witness.found.len(), all.len());
        assert_eq!(witness.damage, []);
        let handle = JournalHandle::start(journal, Shell::Thread, "real", JournalHandle::QUEUE_BYTES).unwrap();
        for &(number, place) in &all {
            assert_eq!(handle.reader().read_record(place, &name(number)).unwrap().body, body(number, 300_000));
        }
        runtime().block_on(async {
            for number in round * 20..round * 20 + 20 {
                all.push((number, handle.append(append(number, 300_000)).await.unwrap()));
            }
            let (number, place) = all.remove(0);
            let before = handle.usage();
            assert!(handle.punch(place, name(number)).await.unwrap());
            assert_eq!(handle.usage().punched_bytes, before.punched_bytes + place.stored_bytes());
            if round > 0 {
                handle.close().await.unwrap();
            } else {
                // Ends as a kill would, but only once the writer has let go of the files.
                handle.sync().await.unwrap();
            }
        });
    }
}
