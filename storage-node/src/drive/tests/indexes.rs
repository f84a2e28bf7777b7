//! Whatever became of the index, a start makes it agree with the journal.

use std::fs;

use cairn_journal::files::real::RealFiles;
use tempfile::TempDir;

use super::*;
use crate::conformance::{assert_holds, name, record};
use crate::index::SledIndex;

const SLED: IndexKind = IndexKind::Sled { cache_bytes: 1 << 20 };

/// Puts some chunks, deletes some, and closes; then something befalls the index; then the drive is opened again and all
/// is as it was.
fn survives(befalls: impl FnOnce(&Path)) -> OpenReport {
    let base = TempDir::new().unwrap();
    let path = base.path().join("drive");
    one_thread().block_on(async {
        let drive = open(format(RealFiles::shared(), &path), &options(Shell::Thread, SLED), 1).unwrap();
        for counter in 0..40 {
            drive.put(record(name(counter, 0), 5000)).await.unwrap();
        }
        for counter in 0..10 {
            assert!(drive.delete(name(counter, 0)).await.unwrap());
        }
        drive.close().await.unwrap();
    });
    befalls(&path.join("index"));
    let report = one_thread().block_on(async {
        let dir = Arc::new(DriveDir::open(RealFiles::shared(), &path).unwrap());
        let drive = open(dir, &options(Shell::Thread, SLED), 2).unwrap();
        for counter in 10..40 {
            assert_holds(&*drive, &record(name(counter, 0), 5000)).await;
        }
        assert_eq!(listed(&*drive).await.len(), 30);
        assert_balanced(&drive).await;
        drive.put(record(name(100, 0), 5000)).await.unwrap();
        drive.report().clone()
    });
    // And what was made is what the next start believes.
    one_thread().block_on(async {
        let dir = Arc::new(DriveDir::open(RealFiles::shared(), &path).unwrap());
        let drive = open(dir, &options(Shell::Thread, SLED), 3).unwrap();
        assert_eq!(drive.report().index_rebuilt, None);
        assert_eq!(listed(&*drive).await.len(), 31);
    });
    report
}

fn database(index: &Path) -> PathBuf {
    let current = fs::read_to_string(index.join("current")).unwrap();
    index.join(format!("gen-{}", current.trim_end()))
}

fn with_database(index: &Path, change: impl FnOnce(&SledIndex)) {
    // The drive's thread lets go of the database a moment after the drive is dropped.
    let began = std::time::Instant::now();
    let opened = loop {
        match SledIndex::open(&database(index), 1 << 20) {
            Err(error) if error.to_string().contains("lock") && began.elapsed().as_secs() < 20 => {
                std::thread::yield_now();
            }
            opened => break opened.unwrap(),
        }
    };
    change(&opened);
}

fn chunk_place() -> Place {
    Place { segment: 0, offset: 4096, length: 5000 }
}

#[test]
fn an_index_that_agrees_is_kept() {
    assert_eq!(survives(|_| {}).index_rebuilt, None);
}

#[test]
fn a_missing_index_is_built() {
    survives(|index| fs::remove_dir_all(index).unwrap());
}

#[test]
fn an_index_that_lost_entries_gets_them_back() {
    let report = survives(|index| {
        with_database(index, |index| {
            for counter in 15..25 {
                index.remove(&name(counter, 0)).unwrap().unwrap();
            }
        });
    });
    assert_eq!(report.index_rebuilt, None, "what is missing is entered");
}

#[test]
fn an_index_that_kept_too_much_is_thrown_away() {
    let report = survives(|index| {
        with_database(index, |index| assert_eq!(index.insert(&name(3, 0), chunk_place()).unwrap(), None));
    });
    assert!(report.index_rebuilt.unwrap().contains("31 chunks where the journal has 30"));
}

#[test]
fn an_index_that_names_other_places_is_thrown_away() {
    let report = survives(|index| {
        with_database(index, |index| assert!(index.insert(&name(20, 0), chunk_place()).unwrap().is_some()));
    });
    assert!(report.index_rebuilt.is_some());
}

#[test]
fn an_index_with_foreign_keys_is_thrown_away() {
    let report = survives(|index| {
        let db = sled::Config::new().path(database(index)).open().unwrap();
        db.insert(b"not a chunk", b"not a place").unwrap();
    });
    assert!(report.index_rebuilt.is_some());
}

/// sled refuses, panics or passes over what it cannot read; all three come to the same.
#[test]
fn a_damaged_database_is_put_away_or_filled() {
    survives(|index| fs::write(database(index).join("conf"), "rubbish").unwrap());
    survives(|index| fs::write(database(index).join("db"), vec![0xA5; 1 << 20]).unwrap());
    survives(|index| fs::write(database(index).join("db"), "").unwrap());
    survives(|index| {
        let db = database(index).join("db");
        let mut content = fs::read(&db).unwrap();
        (0..content.len()).step_by(97).for_each(|at| content[at] ^= 0x10);
        fs::write(db, content).unwrap();
    });
    survives(|index| {
        let database = database(index);
        fs::remove_dir_all(&database).unwrap();
        fs::write(&database, "a file").unwrap();
    });
}

/// Every byte of a small database in turn would take long; a spread of them does not.
#[test]
fn flipped_bits_in_the_database_cost_nothing() {
    for part in 0..12 {
        survives(|index| {
            let db = database(index).join("db");
            let mut content = fs::read(&db).unwrap();
            let used = content.iter().rposition(|&byte| byte != 0).unwrap_or(0);
            let at = used * part / 12;
            content[at] ^= 1 << (part % 8);
            fs::write(db, content).unwrap();
        });
    }
}

#[test]
fn an_index_whose_directory_is_unusable_is_kept_in_memory() {
    let base = TempDir::new().unwrap();
    let path = base.path().join("drive");
    one_thread().block_on(async {
        let dir = format(RealFiles::shared(), &path);
        fs::remove_dir_all(dir.index()).unwrap();
        fs::write(dir.index(), "a file").unwrap();
        let drive = open(dir, &options(Shell::Thread, SLED), 1).unwrap();
        assert!(drive.report().index_rebuilt.is_some());
        drive.put(record(name(1, 0), 5000)).await.unwrap();
        assert_holds(&*drive, &record(name(1, 0), 5000)).await;
    });
}
