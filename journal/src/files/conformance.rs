//! What every filesystem must do that stands behind the two traits, as long as nothing fails.

use std::io::ErrorKind;
use std::path::Path;

use bytes::Bytes;

use super::faulty::{FaultPlan, FaultyFiles};
use super::real::RealFiles;
use super::{File, Files};

#[test]
fn the_real_filesystem_conforms() {
    let dir = tempfile::tempdir().unwrap();
    conforms(&RealFiles, dir.path());
}

#[test]
fn the_faulty_filesystem_conforms() {
    conforms(&FaultyFiles::new(1, FaultPlan::default()), Path::new("/somewhere"));
}

fn conforms(files: &dyn Files, dir: &Path) {
    let dir = dir.join("a/b");
    assert_eq!(files.list(&dir).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(files.create(&dir.join("x")).unwrap_err().kind(), ErrorKind::NotFound);
    files.create_dir_all(&dir).unwrap();
    files.create_dir_all(&dir).unwrap();
    assert_eq!(files.list(&dir).unwrap(), vec![]);
    names(files, &dir);
    bytes(files, &dir);
    lengths(files, &dir);
    holes(files, &dir);
    locks(files, &dir);
    let space = files.space(&dir).unwrap();
    assert!(space.available_bytes > 0 && space.available_bytes <= space.total_bytes);
}

/// Long writes of whole blocks go past the page cache: what others write and read through it shows none of that.
#[test]
fn long_writes_and_short_ones_see_each_other() {
    const BLOCK: usize = 4096;
    const MIB: usize = 1024 * 1024;
    let dir = tempfile::tempdir().unwrap();
    let file = RealFiles.create(&dir.path().join("long")).unwrap();
    file.allocate(16 << 20).unwrap();
    let mut expected = vec![0; 6 * MIB];
    let mut write = |parts: &[Bytes], offset: usize| {
        file.write_all_vectored_at(parts, offset as u64).unwrap();
        let whole = parts.concat();
        expected[offset..offset + whole.len()].copy_from_slice(&whole);
        // Through the page cache, whatever was there before.
        let mut back = vec![0; expected.len()];
        file.read_exact_at(&mut back, 0).unwrap();
        assert!(back == expected, "{} bytes at {offset}", whole.len());
    };
    let bytes =
        |seed: u64, length: usize| -> Bytes { (0..length as u64).map(|at| (seed + at / 509 + at) as u8).collect() };
    // Odd parts that are whole blocks together, several steps long.
    write(&[bytes(1, 1), bytes(2, MIB - 1), bytes(3, 0), bytes(4, 2 * MIB + 7), bytes(5, BLOCK - 7)], BLOCK);
    // Short ones, not synced, beside and inside what a long one then writes.
    write(&[bytes(6, 100)], 10);
    write(&[bytes(7, 5000)], 2 * MIB);
    write(&[bytes(8, MIB)], 2 * MIB - BLOCK);
    write(&[bytes(9, 3)], 2 * MIB + 17);
    // Long, but no whole blocks.
    write(&[bytes(10, MIB), bytes(11, 5)], 4 * MIB);
    write(&[bytes(12, MIB)], 4 * MIB + 1);
    file.sync_data().unwrap();
    let mut device = vec![0; expected.len()];
    match file.read_exact_at_device(&mut device, 0) {
        Ok(()) => assert!(device == expected, "the device has what was synced"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported),
    }
}

fn names(files: &dyn Files, dir: &Path) {
    let (x, y) = (dir.join("x"), dir.join("y"));
    assert_eq!(files.open(&x).unwrap_err().kind(), ErrorKind::NotFound);
    files.create(&x).unwrap();
    assert_eq!(files.create(&x).unwrap_err().kind(), ErrorKind::AlreadyExists);
    let file = files.create(&y).unwrap();
    file.write_all_vectored_at(&[Bytes::from_static(b"why")], 0).unwrap();
    files.create_dir_all(&dir.join("sub")).unwrap();
    let listed = files.list(dir).unwrap();
    let listed: Vec<(&str, bool)> = listed.iter().map(|entry| (entry.name.as_str(), entry.is_dir)).collect();
    assert_eq!(listed, [("sub", true), ("x", false), ("y", false)]);
    files.rename(&y, &x).unwrap();
    files.sync_dir(dir).unwrap();
    assert_eq!(files.rename(&y, &x).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(contents(&*files.open(&x).unwrap()), b"why");
    files.remove(&x).unwrap();
    assert_eq!(files.remove(&x).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(files.sync_dir(&dir.join("nowhere")).unwrap_err().kind(), ErrorKind::NotFound);
    // A file outlives its name while it is open.
    assert_eq!(contents(&*file), b"why");
}

fn bytes(files: &dyn Files, dir: &Path) {
    let file = files.create(&dir.join("bytes")).unwrap();
    assert!(file.is_empty().unwrap());
    // More parts than one system call takes, empty ones among them.
    let parts: Vec<Bytes> = (0..3000u32).map(|n| Bytes::from(vec![n as u8; (n % 7) as usize])).collect();
    let whole: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
    file.write_all_vectored_at(&parts, 5000).unwrap();
    file.write_all_vectored_at(&[], 1 << 20).unwrap();
    assert_eq!(file.len().unwrap(), 5000 + whole.len() as u64);
    file.sync_data().unwrap();
    let shown = contents(&*file);
    assert!(shown[..5000].iter().all(|&byte| byte == 0));
    assert_eq!(shown[5000..], whole);
    for (offset, length) in [(0, 1), (4095, 2), (4096, 4096), (5003, 8191), (0, shown.len())] {
        let mut buffer = vec![1; length];
        match file.read_exact_at_device(&mut buffer, offset as u64) {
            Ok(()) => assert_eq!(buffer, shown[offset..offset + length]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported),
        }
        let mut buffer = vec![1; length];
        if file.read_exact_at_cached(&mut buffer, offset as u64).unwrap() {
            assert_eq!(buffer, shown[offset..offset + length]);
        }
    }
    let mut beyond = [0; 2];
    let last = shown.len() as u64 - 1;
    assert_eq!(file.read_exact_at(&mut beyond, last).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    match file.read_exact_at_device(&mut beyond, last).unwrap_err().kind() {
        ErrorKind::UnexpectedEof | ErrorKind::Unsupported => {}
        other => panic!("{other:?}"),
    }
}

/// Longer than what one direct read brings.
fn lengths(files: &dyn Files, dir: &Path) {
    let file = files.create(&dir.join("lengths")).unwrap();
    let long: Vec<u8> = (0..3_000_000u32).map(|n| (n / 251) as u8).collect();
    file.write_all_vectored_at(&[Bytes::from(long.clone())], 0).unwrap();
    file.sync_data().unwrap();
    let mut buffer = vec![0; long.len() - 77];
    match file.read_exact_at_device(&mut buffer, 77) {
        Ok(()) => assert_eq!(buffer, long[77..]),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported),
    }
    file.truncate(10).unwrap();
    assert_eq!(contents(&*file), long[..10]);
    file.truncate(20).unwrap();
    assert_eq!(contents(&*file)[10..], [0; 10], "what was cut off does not come back");
    file.allocate(1 << 20).unwrap();
    assert_eq!(file.len().unwrap(), 1 << 20);
    assert!(file.allocated_bytes().unwrap() >= 1 << 20);
    file.allocate(4096).unwrap();
    assert_eq!(file.len().unwrap(), 1 << 20, "allocating never shortens");
    assert_eq!(contents(&*file)[..10], long[..10]);
}

fn holes(files: &dyn Files, dir: &Path) {
    let file = files.create(&dir.join("holes")).unwrap();
    let block = 65536; // As large as any filesystem's.
    file.write_all_vectored_at(&[Bytes::from(vec![7; 4 * block])], 0).unwrap();
    file.allocate(8 * block as u64).unwrap();
    file.sync_data().unwrap();
    let before = file.allocated_bytes().unwrap();
    match file.punch(block as u64, 2 * block as u64) {
        Ok(()) => {}
        Err(error) => return assert_eq!(error.kind(), ErrorKind::Unsupported),
    }
    assert_eq!(file.len().unwrap(), 8 * block as u64, "a punched file is as long as before");
    assert!(file.allocated_bytes().unwrap() <= before - block as u64);
    let shown = contents(&*file);
    assert!(shown[..block].iter().chain(&shown[3 * block..4 * block]).all(|&byte| byte == 7));
    assert!(shown[block..3 * block].iter().chain(&shown[4 * block..]).all(|&byte| byte == 0));
    let next = |offset: usize| match file.next_data(offset as u64) {
        Ok(data) => data,
        Err(error) => panic!("a filesystem that punches can tell holes, too: {error}"),
    };
    assert_eq!(next(5), Some(5));
    assert_eq!(next(block), Some(3 * block as u64));
    // What is allocated and was never written may count as data once it was read.
    assert!(next(4 * block).is_none_or(|data| data >= 4 * block as u64));
    file.punch(block as u64 - 10, 20).unwrap();
    assert_eq!(contents(&*file)[block - 11..block + 1], [7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], "punches in bytes");
}

fn locks(files: &dyn Files, dir: &Path) {
    let path = dir.join("lock");
    let first = files.create(&path).unwrap();
    assert!(first.try_lock().unwrap());
    let second = files.open(&path).unwrap();
    assert!(!second.try_lock().unwrap());
    drop(first);
    assert!(second.try_lock().unwrap());
}

fn contents(file: &dyn File) -> Vec<u8> {
    let mut buffer = vec![1; file.len().unwrap() as usize];
    file.read_exact_at(&mut buffer, 0).unwrap();
    buffer
}
