//! What other releases, other owners and other programs left in the directory.

use super::*;
use crate::format::{BLOCK_BYTES, Footer, Look, SegmentHeader, SegmentKey};
use crate::{Files as _, VERSION};

fn header() -> SegmentHeader {
    let key = SegmentKey { ordinal: 1, nonce: [7; 16] };
    SegmentHeader { key, owner: OWNER, segment_bytes: 1 << 20, created: WallTime(0) }
}

/// A later release's: another version, its checksum sound.
fn raise_version(bytes: &mut [u8], start: usize, context: &str, parts: impl Fn(&[u8]) -> Vec<u8>) {
    bytes[start + 8] = VERSION + 1;
    let mut hasher = blake3::Hasher::new_derive_key(context);
    hasher.update(&parts(bytes));
    let summed = if context.contains("segment") || context.contains("envelope") { 64 } else { 80 };
    bytes[start + summed..start + summed + 16].copy_from_slice(&hasher.finalize().as_bytes()[..16]);
}

fn directory(bytes: &[u8]) -> FaultyFiles {
    let files = disk(1);
    files.create_dir_all(&dir()).unwrap();
    files.create(&segment_path(1)).unwrap();
    overwrite(&files, &segment_path(1), 0, bytes);
    files
}

fn refused_as_newer(files: &FaultyFiles) {
    let before = files.changes();
    let error = try_open(files, options(1, 1 << 20)).unwrap_err();
    assert!(
        matches!(error, JournalError::Newer { found, known, .. } if found == VERSION + 1 && known == VERSION),
        "{error}"
    );
    assert!(error.to_string().contains('2') && error.to_string().contains('1'), "{error}");
    assert_eq!(files.changes(), before, "nothing was changed");
}

#[test]
fn a_later_releases_segment_is_refused_by_name() {
    let mut bytes = header().encode();
    raise_version(&mut bytes, 0, "cairn 2026 journal segment header v1", |bytes| bytes[..64].to_vec());
    assert_eq!(SegmentHeader::decode(&bytes, 1), Look::Newer(VERSION + 1));
    bytes.resize(1 << 20, 0);
    refused_as_newer(&directory(&bytes));
}

#[test]
fn a_later_releases_footer_is_refused_by_name() {
    let mut bytes = header().encode();
    let mut footer = Footer::encode(header().key, OWNER, BLOCK_BYTES, 0, &[]);
    let start = footer.len() - 96;
    raise_version(&mut footer, start, "cairn 2026 journal footer v1", |bytes| bytes[start..start + 80].to_vec());
    bytes.extend_from_slice(&footer);
    refused_as_newer(&directory(&bytes));
}

#[test]
fn a_later_releases_group_and_record_are_refused_by_name() {
    let files = disk(1);
    let (mut journal, ..) = open(&files);
    let place = journal.append_group(vec![append(1, 100)]).unwrap()[0];
    drop(journal);
    let snapshot = files.snapshot();
    let mut bytes = vec![0; place.end() as usize];
    segment_file(&files, 1).read_exact_at(&mut bytes, 0).unwrap();

    let (group, entries) = (4096, 22 + 8);
    let mut newer = bytes.clone();
    raise_version(&mut newer, group, "cairn 2026 journal group header v1", |bytes| {
        [&bytes[group..group + 80], &bytes[group + 96..group + 96 + entries]].concat()
    });
    let files = FaultyFiles::from_snapshot(1, FaultPlan::default(), snapshot.clone());
    overwrite(&files, &segment_path(1), 0, &newer);
    refused_as_newer(&files);

    let (record, bound) = (place.offset as usize, 8 + 32);
    let mut newer = bytes.clone();
    raise_version(&mut newer, record, "cairn 2026 journal record envelope v1", |bytes| {
        [&bytes[record..record + 64], &bytes[record + 80..record + 80 + bound]].concat()
    });
    let files = FaultyFiles::from_snapshot(1, FaultPlan::default(), snapshot);
    overwrite(&files, &segment_path(1), 0, &newer);
    refused_as_newer(&files);
}

#[test]
fn another_owners_journal_is_refused() {
    let files = disk(1);
    let (mut journal, ..) = open(&files);
    journal.append_group(vec![append(1, 100)]).unwrap();
    let sealed = disk(1);
    let (mut other, ..) = try_open(&sealed, options(1, 64 * 1024)).unwrap();
    other.append_group((0..5).map(|n| append(n, 15_000)).collect()).unwrap();
    for files in [files, sealed] {
        let before = files.changes();
        let options = Options { owner: OwnerKind(*b"other\0\0\0"), ..options(1, 1 << 20) };
        let error = try_open(&files, options).unwrap_err();
        assert!(matches!(error, JournalError::Foreign { .. }), "{error}");
        assert!(error.to_string().ends_with("a journal of test, not of other"), "{error}");
        assert_eq!(files.changes(), before);
    }
}

#[test]
fn foreign_files_are_reported_and_left_alone() {
    let files = disk(1);
    let (mut journal, ..) = open(&files);
    let place = journal.append_group(vec![append(1, 100)]).unwrap()[0];
    journal.close().unwrap();
    for (file, content) in [
        ("notes.txt", &b"mine"[..]),
        ("0000000009.segment", &[0x55; 10_000]),
        ("0000000010.segment", &[0x55; 100]),
        ("12.segment", b""),
    ] {
        files.create(&dir().join(file)).unwrap();
        overwrite(&files, &dir().join(file), 0, content);
    }
    files.create_dir_all(&dir().join("0000000011.segment")).unwrap();
    for _ in 0..2 {
        let (mut journal, recovery, witness) = open(&files);
        assert_eq!(recovery.foreign, ["0000000011.segment", "12.segment", "notes.txt"]);
        assert_eq!(recovery.segments_unknown, 2);
        assert!(witness.found.contains_key(&name(1)));
        assert_eq!(witness.damage, []);
        check_record(&journal, place, 1, 100);
        let other = journal.append_group(vec![append(2, 700_000)]).unwrap()[0];
        journal.punch(other, &name(2)).unwrap();
        journal.close().unwrap();
    }
    let file = files.open(&dir().join("0000000009.segment")).unwrap();
    assert_eq!(file.len().unwrap(), 10_000);
    assert!(files.open(&dir().join("notes.txt")).is_ok());
}

#[test]
fn a_segment_that_was_never_used_is_cleared_away() {
    let torn = |keep: usize| {
        let mut bytes = header().encode();
        bytes[keep..].fill(0);
        bytes.resize(1 << 20, 0);
        bytes
    };
    for bytes in [vec![], torn(0), torn(13), torn(40), torn(4096)] {
        let files = directory(&bytes);
        let (_, recovery, _) = open(&files);
        assert_eq!((recovery.segments_removed, recovery.segments_unknown), (1, 0), "{} bytes", bytes.len());
        files.crash();
        assert_eq!(files.list(&dir()).unwrap(), []);
    }
}
