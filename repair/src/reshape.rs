//! Which stripes are to have another geometry: what fits the drives that there are, with the profile's m always.
//!
//! ```text
//! drives have been too few for a stripe that lost positions --for long enough--> narrower: what fits   (4+2 -> 2+2)
//! a narrow stripe, and drives enough for a wider one --------for as long-------> wider, up to the profile's
//! ```
//!
//! For how long is judged from the log's own record of when drives came and left, so that another daemon that takes over
//! begins from the same moment. Pure: drives and time in, a judgement for each stripe out. What is re-encoded, and whether
//! there is room for it, is the plan's matter.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cairn_core::{DriveId, Geometry, WallTime};
use cairn_machine::rows::stripe::StripeRow;
use cairn_machine::rows::topology::{DriveRow, DriveState};

use crate::config::RepairConfig;

/// What the drives allow, and since when.
#[derive(Debug, Clone)]
pub struct Fitting {
    /// What the profile asks for.
    standard: Geometry,
    /// Active drives that answer and take writes.
    usable: BTreeSet<DriveId>,
    /// When the active drives became so, the newest first.
    came: Vec<WallTime>,
    /// When the others ceased to be, the newest first.
    left: Vec<WallTime>,
    now: WallTime,
    exposed_after: Duration,
    rest_after: Duration,
}

/// What is to be done about a stripe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// Nothing: it is as it should be, or nothing can be done before a drive answers.
    Keep,
    /// Each missing position has a drive to go to.
    Rebuild,
    /// Its living extents go into stripes of this geometry.
    Reshape(Geometry),
    /// The same, once the drives have been as they are for this much longer.
    Later {
        /// How long.
        after: Duration,
        /// Whether some of the missing positions have a drive to go to until then.
        rebuild: bool,
    },
    /// It is less safe than promised, and only another drive helps.
    NeedsDrive {
        /// Whether some of the missing positions have a drive to go to.
        rebuild: bool,
    },
}

impl Fitting {
    /// `takes` says of an active drive whether it answers and takes writes.
    pub fn new(
        standard: Geometry,
        drives: &BTreeMap<DriveId, DriveRow>,
        takes: impl Fn(DriveId) -> bool,
        now: WallTime,
        config: &RepairConfig,
    ) -> Self {
        let changed = |active: bool| {
            let rows = drives.values().filter(|row| (row.state == DriveState::Active) == active);
            let mut changed: Vec<WallTime> = rows.map(|row| row.changed).collect();
            changed.sort_unstable_by(|a, b| b.cmp(a));
            changed
        };
        let active = drives.iter().filter(|(_, row)| row.state == DriveState::Active).map(|(&drive, _)| drive);
        Self {
            standard,
            usable: active.filter(|&drive| takes(drive)).collect(),
            came: changed(true),
            left: changed(false),
            now,
            exposed_after: config.reshape_exposed_after,
            rest_after: config.reshape_rest_after,
        }
    }

    /// Whether a sound stripe has another geometry than the profile's.
    pub fn is_reshaped(&self, geometry: Geometry) -> bool {
        geometry.k() != self.standard.k() && geometry.m() >= self.standard.m()
    }

    /// The drives that new chunks may go to.
    pub fn usable(&self) -> &BTreeSet<DriveId> {
        &self.usable
    }

    /// What is to be done about a stripe with these positions missing and so many on drives that do not answer.
    pub fn judge(&self, row: &StripeRow, missing: &[u8], unreachable: usize) -> Judgement {
        let geometry = row.shape.geometry;
        let away = missing.len() + unreachable;
        if away > geometry.m() {
            return Judgement::Keep;
        }
        // Never to a smaller m: somebody who shares the bytes may have been promised the greater one.
        let fits = self.standard.fit(self.usable.len()).filter(|to| to.m() >= geometry.m());
        if missing.is_empty() {
            return match fits {
                Some(to) if to.k() > geometry.k() && unreachable == 0 => {
                    self.once(self.stood_since(to.positions()), self.rest_after, to, false)
                }
                _ => Judgement::Keep,
            };
        }
        let holders: BTreeSet<DriveId> = (0u8..)
            .zip(&row.positions)
            .filter(|(position, _)| !missing.contains(position))
            .map(|(_, placed)| placed.drive)
            .collect();
        let free = self.usable.difference(&holders).count();
        if free >= missing.len() {
            return Judgement::Rebuild;
        }
        let delay = if away == geometry.m() { self.exposed_after } else { self.rest_after };
        match fits {
            Some(to) if to.k() < geometry.k() => self.once(self.short_since(geometry.positions()), delay, to, free > 0),
            _ => Judgement::NeedsDrive { rebuild: free > 0 },
        }
    }

    fn once(&self, since: Option<WallTime>, delay: Duration, to: Geometry, rebuild: bool) -> Judgement {
        let Some(since) = since else {
            // By the log there are drives enough, or too few; what is in the way is that some take no writes.
            return Judgement::NeedsDrive { rebuild };
        };
        let stood = Duration::from_millis(self.now.0.saturating_sub(since.0));
        match delay.checked_sub(stood) {
            None | Some(Duration::ZERO) => Judgement::Reshape(to),
            Some(after) => Judgement::Later { after, rebuild },
        }
    }

    /// Since when fewer than so many drives are active; none while as many are. The drives that left last are those that
    /// are missed: with one too few since the newest departure, with two since the one before it.
    fn short_since(&self, positions: usize) -> Option<WallTime> {
        let short = positions.checked_sub(self.came.len()).filter(|&short| short > 0)?;
        Some(self.left.get(short - 1).copied().unwrap_or_default())
    }

    /// Since when as many drives are active; none while fewer are. Drives beyond that number may come and go.
    fn stood_since(&self, positions: usize) -> Option<WallTime> {
        let spare = self.came.len().checked_sub(positions)?;
        Some(self.came.get(spare).copied().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests;
