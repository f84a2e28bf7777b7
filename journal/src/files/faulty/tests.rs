//! That the faulty filesystem fails as it says it does: a twin that never loses anything would prove nothing.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::*;

const DIR: &str = "/disk";

fn disk(seed: u64, plan: FaultPlan) -> FaultyFiles {
    let files = FaultyFiles::new(seed, plan);
    files.create_dir_all(Path::new(DIR)).unwrap();
    files
}

fn path(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

fn durable_file(files: &FaultyFiles, name: &str, length: u64) -> Arc<dyn File> {
    let file = files.create(&path(name)).unwrap();
    file.allocate(length).unwrap();
    file.sync_data().unwrap();
    files.sync_dir(Path::new(DIR)).unwrap();
    file
}

fn shown(file: &dyn File) -> Vec<u8> {
    let mut buffer = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut buffer, 0).unwrap();
    buffer
}

/// Two writes over one sync, then a crash, for many seeds.
fn after_crash(seed: u64) -> Vec<u8> {
    let files = disk(seed, FaultPlan::default());
    let file = durable_file(&files, "f", 8192);
    file.write_all_vectored_at(&[Bytes::from(vec![1; 4096])], 0).unwrap();
    file.sync_data().unwrap();
    file.write_all_vectored_at(&[Bytes::from(vec![2; 2048])], 0).unwrap();
    file.write_all_vectored_at(&[Bytes::from(vec![3; 4096])], 4096).unwrap();
    files.crash();
    assert!(file.len().is_err(), "a file that was open when the power went is dead");
    shown(&*files.open(&path("f")).unwrap())
}

#[test]
fn what_is_not_synced_may_be_lost_torn_or_reordered() {
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let bytes = after_crash(seed);
        assert!(bytes[2048..4096].iter().all(|&byte| byte == 1), "synced bytes stay, seed {seed}");
        assert!(bytes[..2048].iter().all(|&byte| byte == 1 || byte == 2), "seed {seed}");
        assert!(bytes[4096..].iter().all(|&byte| byte == 0 || byte == 3), "seed {seed}");
        let kind = |bytes: &[u8], new: u8| match bytes.iter().filter(|&&byte| byte == new).count() {
            0 => "lost",
            all if all == bytes.len() => "kept",
            _ => "torn",
        };
        seen.insert((kind(&bytes[..2048], 2), kind(&bytes[4096..], 3)));
        assert_eq!(bytes, after_crash(seed), "one seed, one outcome");
    }
    for first in ["lost", "kept", "torn"] {
        for second in ["lost", "kept", "torn"] {
            assert!(seen.contains(&(first, second)), "the first {first} and the second {second} never came");
        }
    }
}

#[test]
fn a_name_that_was_not_synced_may_be_lost() {
    let mut survived = BTreeSet::new();
    for seed in 0..50 {
        let files = disk(seed, FaultPlan::default());
        durable_file(&files, "old", 0);
        let new = files.create(&path("new")).unwrap();
        new.sync_data().unwrap();
        files.remove(&path("old")).unwrap();
        files.crash();
        survived.insert((files.open(&path("old")).is_ok(), files.open(&path("new")).is_ok()));
    }
    assert_eq!(survived.len(), 4, "every combination comes");
}

#[test]
fn a_failed_sync_leaves_bytes_that_only_the_kernel_has() {
    let mut arrived = 0;
    for seed in 0..20 {
        let files = disk(seed, FaultPlan::default());
        let file = durable_file(&files, "f", 4096);
        file.write_all_vectored_at(&[Bytes::from(vec![9; 4096])], 0).unwrap();
        files.fail_next(Operation::Sync, "f");
        assert!(file.sync_data().is_err());
        file.sync_data().unwrap();
        assert_eq!(shown(&*file), [9; 4096], "the kernel goes on showing it");
        let mut device = [0; 4096];
        file.read_exact_at_device(&mut device, 0).unwrap();
        let mut again = [0; 4096];
        file.read_exact_at_device(&mut again, 0).unwrap();
        assert_eq!(again, device, "the second sync brought nothing more");
        files.crash();
        assert_eq!(shown(&*files.open(&path("f")).unwrap()), device, "but what had arrived is durable");
        arrived += usize::from(device == [9; 4096]);
    }
    assert!(arrived < 20, "a failed sync loses something");
}

#[test]
fn a_lost_punch_brings_the_bytes_back() {
    let mut back = 0;
    for seed in 0..20 {
        let files = disk(seed, FaultPlan::default());
        let file = durable_file(&files, "f", 0);
        file.write_all_vectored_at(&[Bytes::from(vec![9; 4096])], 0).unwrap();
        file.sync_data().unwrap();
        file.punch(0, 4096).unwrap();
        files.crash();
        back += usize::from(shown(&*files.open(&path("f")).unwrap()) == [9; 4096]);
    }
    assert!(back > 0 && back < 20);
}

#[test]
fn a_full_disk_says_so_and_takes_what_fits() {
    let files = disk(1, FaultPlan { capacity_bytes: 4 * 4096, ..FaultPlan::default() });
    let file = files.create(&path("f")).unwrap();
    file.allocate(3 * 4096).unwrap();
    assert_eq!(files.space(Path::new(DIR)).unwrap().available_bytes, 4096);
    assert_eq!(file.allocate(5 * 4096).unwrap_err().kind(), io::ErrorKind::StorageFull);
    file.write_all_vectored_at(&[Bytes::from(vec![1; 3 * 4096])], 0).unwrap();
    file.punch(0, 2 * 4096).unwrap();
    assert_eq!(files.space(Path::new(DIR)).unwrap().available_bytes, 3 * 4096);
}

#[test]
fn the_power_goes_in_the_midst_of_any_operation() {
    let run = |after: Option<u64>| {
        let files = disk(3, FaultPlan::default());
        if let Some(after) = after {
            files.power_off_after(after);
        }
        let all = || -> io::Result<()> {
            let file = files.create(&path("f"))?;
            file.write_all_vectored_at(&[Bytes::from_static(b"hello")], 0)?;
            file.sync_data()?;
            files.sync_dir(Path::new(DIR))
        };
        (all().is_ok(), files)
    };
    let (done, files) = run(None);
    assert!(done);
    let changes = files.changes();
    assert_eq!(changes, 4);
    for after in 0..changes {
        let (done, files) = run(Some(after));
        assert!(!done, "nothing goes on without power");
        assert!(files.list(Path::new(DIR)).is_err());
        files.crash();
        files.list(Path::new(DIR)).unwrap();
    }
}

#[test]
fn snapshots_are_filesystems_of_their_own() {
    let files = disk(1, FaultPlan::default());
    let file = durable_file(&files, "f", 0);
    file.write_all_vectored_at(&[Bytes::from_static(b"one")], 0).unwrap();
    file.sync_data().unwrap();
    let snapshot = files.snapshot();
    file.write_all_vectored_at(&[Bytes::from_static(b"two")], 0).unwrap();
    let other = FaultyFiles::from_snapshot(2, FaultPlan::default(), snapshot);
    assert_eq!(shown(&*other.open(&path("f")).unwrap()), b"one");
    other.remove(&path("f")).unwrap();
    assert_eq!(shown(&*file), b"two");
}

#[test]
fn rot_and_bad_blocks_are_where_they_were_put() {
    let files = disk(1, FaultPlan::default());
    let file = durable_file(&files, "f", 8192);
    files.flip_bit(&path("f"), 5000, 3).unwrap();
    assert_eq!(shown(&*file)[5000], 8);
    files.set_unreadable(&path("f"), 4096..8192).unwrap();
    let mut buffer = [0; 4096];
    file.read_exact_at(&mut buffer, 0).unwrap();
    assert!(file.read_exact_at(&mut buffer, 1).is_err());
    assert!(file.read_exact_at_device(&mut buffer, 4096).is_err());
    file.write_all_vectored_at(&[Bytes::from(vec![0; 4096])], 4096).unwrap();
    file.read_exact_at(&mut buffer, 4096).unwrap();
}

#[test]
fn a_lost_write_leaves_what_was_there_and_a_misdirected_one_is_elsewhere() {
    for lie in [Lie::Lost, Lie::Misdirected] {
        let files = disk(1, FaultPlan::default());
        let file = durable_file(&files, "f", 0);
        let other = durable_file(&files, "other", 0);
        for file in [&file, &other] {
            file.write_all_vectored_at(&[Bytes::from(vec![1; 64 * 4096])], 0).unwrap();
            file.sync_data().unwrap();
        }
        files.lie_next(lie, "f");
        file.write_all_vectored_at(&[Bytes::from(vec![2; 4096])], 0).unwrap();
        file.sync_data().unwrap();
        other.sync_data().unwrap();
        assert_eq!(shown(&*file)[..4096], [2; 4096], "the kernel shows it where it belongs");
        let mut device = [0; 4096];
        file.read_exact_at_device(&mut device, 0).unwrap();
        assert_eq!(device, [1; 4096], "the device has what was there before");
        files.crash();
        let both = [shown(&*files.open(&path("f")).unwrap()), shown(&*files.open(&path("other")).unwrap())].concat();
        let strays = both.iter().filter(|&&byte| byte == 2).count();
        assert_eq!(strays, if lie == Lie::Lost { 0 } else { 4096 }, "{lie:?}");
    }
}

#[test]
fn a_slow_disk_is_slow_before_each_operation() {
    let files = disk(1, FaultPlan::default());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (noted, other) = (seen.clone(), files.clone());
    files.before_each(move |operation, path| {
        assert!(other.list(Path::new(DIR)).is_ok(), "nothing is locked meanwhile");
        noted.lock().unwrap().push((operation, path.to_owned()));
    });
    let file = durable_file(&files, "f", 4096);
    file.write_all_vectored_at(&[Bytes::from_static(b"x")], 0).unwrap();
    file.read_exact_at(&mut [0], 0).unwrap();
    assert!(file.read_exact_at_cached(&mut [0], 0).unwrap());
    let operations: Vec<Operation> = seen.lock().unwrap().iter().map(|(operation, _)| *operation).collect();
    assert_eq!(operations, [Operation::Write, Operation::Sync, Operation::Write, Operation::Read]);
}
