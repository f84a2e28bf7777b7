//! The engine over the faulty filesystem: what was acknowledged is there and equal, what is torn is never served.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use cairn_core::WallTime;
use cairn_core::clock::ManualClock;
use cairn_core::entropy::SeededEntropy;

use crate::files::faulty::{FaultPlan, FaultyFiles};
use crate::{
    Append, BodyReader, Damage, Journal, JournalError, Options, Owner, OwnerKind, Place, RecordHead, RecordInfo,
    RecordName, Recovery,
};

mod crash;
mod damage;
mod life;
mod versions;

pub(crate) const OWNER: OwnerKind = OwnerKind(*b"test\0\0\0\0");

pub(crate) fn dir() -> PathBuf {
    PathBuf::from("/drive/journal")
}

pub(crate) fn disk(seed: u64) -> FaultyFiles {
    FaultyFiles::new(seed, FaultPlan::default())
}

pub(crate) fn options(seed: u64, segment_bytes: u64) -> Options {
    let clock = ManualClock::at(WallTime(1_000));
    Options { segment_bytes, open_files_max: 3, ..Options::new(OWNER, clock, SeededEntropy::new(seed)) }
}

pub(crate) fn name(number: u64) -> RecordName {
    RecordName::new(&number.to_be_bytes())
}

/// The body that belongs to a number, in two parts.
pub(crate) fn body(number: u64, length: usize) -> Vec<u8> {
    (0..length as u64).map(|at| (number.wrapping_mul(31).wrapping_add(at * 7 + at / 251)) as u8).collect()
}

/// A record whose head says how its body is checked, as an owner's does.
pub(crate) fn append(number: u64, length: usize) -> Append {
    let body = Bytes::from(body(number, length));
    let head = Bytes::copy_from_slice(blake3::hash(&body).as_bytes());
    let middle = length / 2;
    Append::new(name(number), head, vec![body.slice(..middle), body.slice(middle..)])
}

/// Remembers everything that it is told.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    pub found: BTreeMap<RecordName, RecordInfo>,
    pub twice: Vec<RecordInfo>,
    pub damage: Vec<Damage>,
    pub verified: usize,
}

impl Owner for Witness {
    fn verify(&mut self, record: &RecordHead, body: &BodyReader<'_>) -> bool {
        self.verified += 1;
        let mut hasher = blake3::Hasher::new();
        let mut at = 0;
        while at < body.body_bytes() {
            let end = (at + 5000).min(body.body_bytes());
            let Ok(bytes) = body.read(at..end) else { return false };
            hasher.update(&bytes);
            at = end;
        }
        hasher.finalize().as_bytes()[..] == record.head[..]
    }

    fn found(&mut self, record: &RecordInfo) {
        if self.found.insert(record.name, *record).is_some() {
            self.twice.push(*record);
        }
    }

    fn damaged(&mut self, damage: &Damage) {
        self.damage.push(*damage);
    }
}

pub(crate) fn try_open(files: &FaultyFiles, options: Options) -> Result<(Journal, Recovery, Witness), JournalError> {
    let mut witness = Witness::default();
    let (journal, recovery) = Journal::open(files.shared(), &dir(), options, &mut witness)?;
    let usage = journal.usage();
    assert_eq!(witness.twice, []);
    assert_eq!(recovery.records, witness.found.len() as u64);
    assert_eq!(usage.live_records, recovery.records);
    let live: u64 = witness.found.values().map(|info| info.place.stored_bytes()).sum();
    assert_eq!(usage.live_bytes, live);
    check_usage(&journal, files);
    Ok((journal, recovery, witness))
}

pub(crate) fn open(files: &FaultyFiles) -> (Journal, Recovery, Witness) {
    try_open(files, options(1, 1 << 20)).unwrap()
}

/// The journal's figures add up, and are what the filesystem says.
pub(crate) fn check_usage(journal: &Journal, files: &FaultyFiles) {
    let usage = journal.usage();
    let parts = usage.live_bytes + usage.punched_bytes + usage.damaged_bytes + usage.overhead_bytes;
    assert_eq!(usage.length_bytes, parts + usage.unused_bytes);
    let length = |ordinal: &u32| segment_file(files, *ordinal).len().unwrap();
    assert_eq!(usage.length_bytes, journal.reader().segments().iter().map(length).sum::<u64>());
}

pub(crate) fn segment_path(ordinal: u32) -> PathBuf {
    dir().join(crate::format::segment_file_name(ordinal))
}

pub(crate) fn segment_file(files: &FaultyFiles, ordinal: u32) -> Arc<dyn crate::File> {
    crate::Files::open(files, &segment_path(ordinal)).unwrap()
}

/// Reads a record in every way there is, and compares.
pub(crate) fn check_record(journal: &Journal, place: Place, number: u64, length: usize) {
    let reader = journal.reader();
    let expected = body(number, length);
    let record = reader.read_record(place, &name(number)).unwrap();
    assert_eq!(record.body, expected, "record {number}");
    assert_eq!(record.head, reader.read_head(place, &name(number)).unwrap());
    assert_eq!(record.head.info.place, place);
    assert_eq!(reader.read_record_device(place, &name(number)).unwrap(), record);
    assert_eq!(reader.read_record_cached(place, &name(number)).unwrap().unwrap(), record);
    assert_eq!(reader.read_head_cached(place, &name(number)).unwrap().unwrap(), record.head);
    let start = record.head.info.body_start;
    let middle = start + length as u64 / 3;
    assert_eq!(reader.read(place, middle..place.length).unwrap(), expected[length / 3..]);
    assert_eq!(reader.read_cached(place, start..middle).unwrap(), expected[..length / 3]);
}

pub(crate) fn overwrite(files: &FaultyFiles, path: &Path, offset: u64, bytes: &[u8]) {
    let file = crate::Files::open(files, path).unwrap();
    file.write_all_vectored_at(&[Bytes::copy_from_slice(bytes)], offset).unwrap();
    file.sync_data().unwrap();
}
