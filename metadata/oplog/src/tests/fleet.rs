//! Drives, each with a filesystem of its own, and a log over some of them.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use cairn_core::clock::ManualClock;
use cairn_core::entropy::SeededEntropy;
use cairn_core::{ClusterId, DriveId, Entropy, NodeId, WallTime};
use cairn_journal::files::faulty::{FaultPlan, FaultyFiles};
use cairn_journal::{Files, Shell};

use crate::{LogDrive, LogIdentity, LogRecord, OpLog, OpLogError, Options, Recovered, VoterId};

pub(super) fn identity() -> LogIdentity {
    LogIdentity { cluster: ClusterId(1), node: NodeId(2), voter: VoterId(3) }
}

fn options(clock: Arc<ManualClock>) -> Options {
    let mut options = Options::new(clock);
    options.copies_wanted = 3;
    options.segment_bytes = 128 << 10;
    options
}

pub(super) struct Fleet {
    pub disks: Vec<(DriveId, FaultyFiles)>,
    pub entropy: Arc<SeededEntropy>,
    pub options: Options,
    pub clock: Arc<ManualClock>,
    seed: u64,
    drives_made: u64,
}

impl Fleet {
    pub fn new(seed: u64, count: u64) -> Self {
        let (clock, entropy) = (ManualClock::at(WallTime(1)), SeededEntropy::new(seed));
        let options = options(clock.clone());
        let mut fleet = Self { disks: Vec::new(), entropy, options, clock, seed, drives_made: 0 };
        (0..count).for_each(|_| fleet.add());
        fleet
    }

    pub fn add(&mut self) {
        self.drives_made += 1;
        let id = DriveId(self.drives_made);
        self.disks.push((id, FaultyFiles::new(self.seed ^ (id.0 << 32), FaultPlan::default())));
    }

    pub fn below(&self, bound: u64) -> u64 {
        self.entropy.next_u64() % bound
    }

    pub async fn open(&self) -> Result<(OpLog, Recovered), OpLogError> {
        self.open_with(|_| true).await
    }

    pub async fn open_with(&self, here: impl Fn(DriveId) -> bool) -> Result<(OpLog, Recovered), OpLogError> {
        let drives = self.here().into_iter().filter(|drive| here(drive.id)).collect();
        OpLog::open(drives, identity(), self.options.clone(), self.entropy.clone(), Shell::Task).await
    }

    /// All drives, as they are handed in.
    pub fn here(&self) -> Vec<LogDrive> {
        let drive =
            |(id, disk): &(DriveId, FaultyFiles)| LogDrive { id: *id, dir: "/drive".into(), files: disk.shared() };
        self.disks.iter().map(drive).collect()
    }

    pub fn disk(&self, id: u64) -> &FaultyFiles {
        &self.disks.iter().find(|(drive, _)| drive.0 == id).unwrap().1
    }

    pub fn crash(&self) {
        for (_, disk) in &self.disks {
            disk.crash();
            disk.stop_faults();
            disk.set_plan(FaultPlan::default());
        }
    }
}

/// Names and bytes of everything that a drive's log consists of.
pub(super) fn bytes_of(disk: &FaultyFiles) -> Vec<(String, Vec<u8>)> {
    let dir = Path::new("/drive/log");
    let names = disk.list(dir).unwrap();
    let read = names.into_iter().map(|entry| {
        let file = disk.open(&dir.join(&entry.name)).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        (entry.name, bytes)
    });
    read.collect()
}

pub(super) fn entries(first_index: u64, texts: &[&str]) -> LogRecord {
    let entries = texts.iter().map(|text| Bytes::copy_from_slice(text.as_bytes())).collect();
    LogRecord::Append { first_index, entries }
}

pub(super) fn vote(text: &str) -> LogRecord {
    LogRecord::Vote { payload: Bytes::copy_from_slice(text.as_bytes()) }
}

pub(super) async fn all(recovered: &mut Recovered) -> Vec<LogRecord> {
    let mut records = Vec::new();
    while let Some(record) = recovered.next().await.unwrap() {
        records.push(record);
    }
    records
}
