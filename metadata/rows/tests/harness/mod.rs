//! Rows over a simulated disk beside a plain map that says what they should be.

#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use cairn_core::LogIndex;
use cairn_core::entropy::SeededEntropy;
use cairn_journal::files::faulty::{FaultPlan, FaultyFiles};
use cairn_rows::{
    MemoryOverlays, Merge, MergePlan, MergeProgress, Overlays, Row, Rows, RowsError, RowsOptions, RunSet,
};
use cairn_rows::{RunRef, View};

pub type Map = BTreeMap<Bytes, Bytes>;

/// Three directories, as three drives would have them.
pub fn directories() -> Vec<PathBuf> {
    (0..3).map(|drive| PathBuf::from(format!("/drive{drive}/rows"))).collect()
}

/// A simulated machine: its disk, its log, and what the log amounts to.
pub struct Machine {
    pub files: FaultyFiles,
    pub overlays: Arc<dyn Overlays>,
    pub entropy: Arc<SeededEntropy>,
    /// What the log says, by index.
    pub log: Vec<Vec<Row>>,
}

impl Machine {
    pub fn new(seed: u64) -> Self {
        Self::with_overlays(seed, Arc::new(MemoryOverlays))
    }

    pub fn with_overlays(seed: u64, overlays: Arc<dyn Overlays>) -> Self {
        let files = FaultyFiles::new(seed, FaultPlan::default());
        for directory in directories() {
            files.shared().create_dir_all(&directory).unwrap();
        }
        Self { files, overlays, entropy: SeededEntropy::new(seed), log: Vec::new() }
    }

    pub fn options(&self) -> RowsOptions {
        RowsOptions {
            files: self.files.shared(),
            overlays: self.overlays.clone(),
            entropy: self.entropy.clone(),
            cache_bytes: 256 * 1024,
        }
    }

    /// Opens a set and applies the log behind it.
    pub fn open(&self, set: &RunSet) -> Result<Rows, RowsError> {
        let rows = Rows::open(self.options(), set, &directories())?;
        for (place, effects) in self.log.iter().enumerate().skip(set.index().0 as usize) {
            rows.apply(LogIndex(place as u64 + 1), effects)?;
        }
        Ok(rows)
    }

    pub fn apply(&mut self, rows: &Rows, effects: Vec<Row>) {
        self.log.push(effects);
        rows.apply(LogIndex(self.log.len() as u64), self.log.last().unwrap()).unwrap();
    }

    /// What the rows are at an index.
    pub fn map(&self, index: LogIndex) -> Map {
        let mut map = Map::new();
        for (key, value) in self.log[..index.0 as usize].iter().flatten() {
            match value {
                Some(value) => map.insert(key.clone(), value.clone()),
                None => map.remove(key),
            };
        }
        map
    }
}

/// Each key of the rows `from..to` as `key = value`, at every index one row.
pub fn put(key: &str, value: &str) -> Row {
    (Bytes::copy_from_slice(key.as_bytes()), Some(Bytes::copy_from_slice(value.as_bytes())))
}

pub fn removal(key: &str) -> Row {
    (Bytes::copy_from_slice(key.as_bytes()), None)
}

/// Rows that fill some blocks: `count` of them, written in entries of ten.
pub fn fill(machine: &mut Machine, rows: &Rows, prefix: &str, count: usize) {
    let numbers: Vec<usize> = (0..count).collect();
    for chunk in numbers.chunks(10) {
        let value = "v".repeat(100);
        let effects = chunk.iter().map(|n| put(&format!("{prefix}{n:06}"), &format!("{value}{n}"))).collect();
        machine.apply(rows, effects);
    }
}

pub fn read_all(view: &View) -> Result<Map, RowsError> {
    let mut cursor = view.cursor(&[], None)?;
    let mut found = Map::new();
    while let Some((key, value)) = cursor.next_row()? {
        assert!(found.last_key_value().is_none_or(|(last, _)| *last < key), "keys grow");
        found.insert(key, value);
    }
    Ok(found)
}

/// That a view is exactly the log at its index, by scan and by lookup.
pub fn assert_exact(machine: &Machine, view: &View) {
    let expected = machine.map(view.index());
    assert_eq!(read_all(view).unwrap(), expected, "rows at {}", view.index());
    for key in machine.log.iter().flatten().map(|(key, _)| key) {
        assert_eq!(view.get(key).unwrap().as_ref(), expected.get(key), "{key:?} at {}", view.index());
    }
}

pub fn merge_all(mut merge: Merge, step_bytes: u64) -> Result<RunRef, RowsError> {
    loop {
        if let MergeProgress::Done(run) = merge.step(step_bytes)? {
            return Ok(run);
        }
    }
}

/// A merge of these neighbours in the set, whatever a policy would say.
pub fn plan_of(set: &RunSet, start: usize, width: usize) -> MergePlan {
    let runs = &set.runs()[start..start + width];
    MergePlan {
        inputs: runs.iter().map(|run| run.id).collect(),
        after: runs[width - 1].after,
        index: runs[0].index,
        drops_removals: start + width == set.runs().len(),
        input_bytes: runs.iter().map(|run| run.file_bytes).sum(),
        input_entries: runs.iter().map(|run| run.entries).sum(),
    }
}

/// Every run's file that lies in a directory.
pub fn run_files(machine: &Machine, directory: &Path) -> Vec<String> {
    machine.files.shared().list(directory).unwrap().into_iter().map(|entry| entry.name).collect()
}
