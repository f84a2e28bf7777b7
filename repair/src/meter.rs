//! How safe the data is, and how that is known.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use cairn_core::{LogIndex, WallTime};
use serde::Serialize;

use crate::error::RepairError;
use crate::lease::Leadership;

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
    /// Stripes that cannot be read at the moment, because drives do not answer; they are not lost.
    pub stripes_unreachable: u64,
    /// Stripes of another geometry than the profile's that are as safe as it promises: re-encoded, or written, to what
    /// fitted the drives.
    pub stripes_reshaped: u64,
    /// Stripes that are to be re-encoded to what fits the drives, now or when these have stood for long enough.
    pub stripes_to_reshape: u64,
    /// Stripes that can neither be rebuilt nor re-encoded before a drive comes, or space.
    pub stripes_needing_a_drive: u64,
    /// Positions that are missing, damaged or on drives that the log calls lost.
    pub positions_missing: u64,
    /// Positions on drives that do not answer. They are at risk, so no margin counts them; they are not rebuilt before the
    /// log calls the drive lost.
    pub positions_unreachable: u64,
    /// Drives that should answer and could not be listed.
    pub drives_unlisted: u64,
    /// Chunks that no stripe named when the rows were read: orphans, or writes under way.
    pub orphans_suspected: u64,
    /// Ranges of names on a drive that were compared by their hash.
    pub ranges_compared: u64,
    /// Those of them that did not agree, so that the names themselves were read.
    pub ranges_listed: u64,
}

impl Redundancy {
    /// Counts one stripe of a geometry with `m` parity chunks, so many positions missing, and so many on drives that do
    /// not answer.
    pub fn count(&mut self, m: usize, missing: usize, unreachable: usize) {
        self.stripes += 1;
        self.positions_missing += missing as u64;
        self.positions_unreachable += unreachable as u64;
        match m.checked_sub(missing + unreachable) {
            Some(margin) => *self.stripes_by_margin.entry(margin as u8).or_default() += 1,
            None if missing > m => self.stripes_lost += 1,
            None => self.stripes_unreachable += 1,
        }
        if missing + unreachable > 0 {
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
    /// Stripes of the current plan that are still to be re-encoded.
    pub reshapes_planned: u64,
    /// Stripes re-encoded since the start.
    pub stripes_reshaped: u64,
    /// Extents that moved with them.
    pub extents_reshaped: u64,
    /// Their bytes.
    pub bytes_reshaped: u64,
    /// Why nothing is declared lost although nodes are dead; none where that is not so.
    pub held: Option<String>,
}

/// All of it, shared between the daemon and whoever asks.
#[derive(Debug, Clone, Default)]
pub struct Meter {
    inner: Arc<RwLock<State>>,
}

#[derive(Debug, Default)]
struct State {
    leadership: Leadership,
    redundancy: Redundancy,
    progress: Progress,
}

impl Meter {
    /// Whether this process's daemon is the one that counts and acts. Where it is not, [`Self::redundancy`] knows nothing,
    /// and the leader's node is to be asked.
    pub fn leadership(&self) -> Leadership {
        self.read().leadership
    }

    /// What the last finished pass found. Knows nothing where another daemon leads.
    pub fn redundancy(&self) -> Redundancy {
        self.read().redundancy.clone()
    }

    /// What was done since the start.
    pub fn progress(&self) -> Progress {
        self.read().progress.clone()
    }

    /// Whoever stops leading forgets what it counted: it grows old without anybody's noticing.
    pub(crate) fn lead(&self, leadership: Leadership) {
        let mut state = self.write();
        if leadership != Leadership::Leading {
            state.redundancy = Redundancy::default();
            state.progress.held = None;
            (state.progress.planned, state.progress.reshapes_planned) = (0, 0);
            state.progress.waiting_for_a_drive = 0;
        }
        state.leadership = leadership;
    }

    pub(crate) fn publish(&self, redundancy: Redundancy) {
        self.write().redundancy = redundancy;
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.write().progress);
    }

    /// A step failed, and will be planned again.
    pub(crate) fn failed(&self, error: &RepairError) {
        self.update(|progress| {
            progress.failures += 1;
            progress.last_failure = Some(error.to_string());
        });
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stripes_are_counted_by_what_they_still_survive() {
        let mut found = Redundancy::default();
        for missing in [0, 0, 1, 2, 3] {
            found.count(2, missing, 0);
        }
        assert_eq!(found.stripes, 5);
        assert_eq!(found.stripes_by_margin, BTreeMap::from([(2, 2), (1, 1), (0, 1)]));
        assert_eq!((found.stripes_exposed, found.stripes_lost, found.positions_missing), (3, 1, 6));
    }

    #[test]
    fn what_does_not_answer_is_at_risk_and_not_lost() {
        let mut found = Redundancy::default();
        for (missing, unreachable) in [(0, 1), (1, 1), (1, 2), (0, 6), (3, 1)] {
            found.count(2, missing, unreachable);
        }
        assert_eq!(found.stripes_by_margin, BTreeMap::from([(1, 1), (0, 1)]));
        assert_eq!((found.stripes_unreachable, found.stripes_lost, found.stripes_exposed), (2, 1, 5));
        assert_eq!((found.positions_missing, found.positions_unreachable), (5, 11));
    }

    #[test]
    fn a_meter_that_follows_knows_nothing_of_the_data() {
        let meter = Meter::default();
        meter.lead(Leadership::Leading);
        meter.publish(Redundancy { as_of_index: Some(LogIndex(9)), stripes: 3, ..Redundancy::default() });
        meter.update(|progress| progress.passes += 1);
        meter.lead(Leadership::Leading);
        assert_eq!(meter.redundancy().stripes, 3);
        meter.lead(Leadership::Unknown);
        assert_eq!(meter.redundancy(), Redundancy::default());
        assert_eq!(meter.progress().passes, 1, "what was done was done");
    }
}
