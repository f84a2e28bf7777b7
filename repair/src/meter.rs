//! How safe the data is, and how that is known.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use cairn_core::{LogIndex, WallTime};
use serde::Serialize;

/// What the last finished pass found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Redundancy {
    /// The index at which the pass read the rows; none before the first one has finished.
    pub as_of_index: Option<LogIndex>,
    /// When it finished.
    pub as_of: Option<WallTime>,
    /// Stripes in all.
    pub stripes: u64,
    /// Stripes by how many further losses they survive.
    pub stripes_by_margin: BTreeMap<u8, u64>,
    /// Stripes that survive fewer losses than their geometry promises.
    pub stripes_exposed: u64,
    /// Stripes with fewer than k chunks left.
    pub stripes_lost: u64,
    /// Positions that are missing, damaged or on drives that the log calls lost.
    pub positions_missing: u64,
    /// Drives that should answer and could not be listed: what they hold was taken for there, unseen.
    pub drives_unlisted: u64,
    /// Chunks that no stripe named when the rows were read: orphans, or writes under way.
    pub orphans_suspected: u64,
}

impl Redundancy {
    /// Counts one stripe of a geometry with `m` parity chunks and so many positions missing.
    pub fn count(&mut self, m: usize, missing: usize) {
        self.stripes += 1;
        self.positions_missing += missing as u64;
        match m.checked_sub(missing) {
            None => self.stripes_lost += 1,
            Some(margin) => *self.stripes_by_margin.entry(margin as u8).or_default() += 1,
        }
        if missing > 0 {
            self.stripes_exposed += 1;
        }
    }
}

/// What the daemon has done and is doing, for whoever asks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Positions moved since the start.
    pub positions_moved: u64,
    /// Their bytes.
    pub bytes_moved: u64,
    /// Steps that failed since the start; each was planned again.
    pub failures: u64,
    /// What stopped the last failed step.
    pub last_failure: Option<String>,
    /// Chunks deleted since the start.
    pub chunks_collected: u64,
    /// Extents moved from the metadata into stripes since the start.
    pub extents_packed: u64,
    /// Orphans condemned since the start.
    pub orphans_condemned: u64,
    /// Passes finished since the start.
    pub passes: u64,
    /// Positions of the current plan that are still to be moved.
    pub planned: u64,
    /// Positions for which there is no drive at the moment.
    pub waiting_for_a_drive: u64,
}

/// Both, shared between the daemon and whoever asks.
#[derive(Debug, Clone, Default)]
pub struct Meter {
    inner: Arc<RwLock<(Redundancy, Progress)>>,
}

impl Meter {
    /// What the last finished pass found.
    pub fn redundancy(&self) -> Redundancy {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// What was done since the start.
    pub fn progress(&self) -> Progress {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    pub(crate) fn publish(&self, redundancy: Redundancy) {
        self.inner.write().unwrap_or_else(PoisonError::into_inner).0 = redundancy;
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.inner.write().unwrap_or_else(PoisonError::into_inner).1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stripes_are_counted_by_what_they_still_survive() {
        let mut found = Redundancy::default();
        for missing in [0, 0, 1, 2, 3] {
            found.count(2, missing);
        }
        assert_eq!(found.stripes, 5);
        assert_eq!(found.stripes_by_margin, BTreeMap::from([(2, 2), (1, 1), (0, 1)]));
        assert_eq!((found.stripes_exposed, found.stripes_lost, found.positions_missing), (3, 1, 6));
    }
}
