//! What is to be done, as data. A plan is made from one view of the rows, judged before it runs, and may run twice.

use std::collections::HashSet;

use cairn_core::{ChunkName, DriveId, StripeId};
use cairn_machine::rows::stripe::StripeRow;

/// A stripe whose missing positions are to be rebuilt on other drives, one after the other: each choice of a drive must
/// see the one before it, or two positions would land on one drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuild {
    /// Which stripe.
    pub stripe: StripeId,
    /// The stripe as the plan saw it: what the compare-and-set compares with.
    pub row: StripeRow,
    /// Positions that cannot be read.
    pub missing: Vec<u8>,
}

impl Rebuild {
    /// How many further losses the stripe survives at the moment. The planner's first order.
    pub fn margin(&self) -> i32 {
        self.row.shape.geometry.m() as i32 - self.missing.len() as i32
    }
}

/// A chunk that no stripe names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Orphan {
    /// Which chunk.
    pub chunk: ChunkName,
    /// The drive that holds it.
    pub drive: DriveId,
}

/// What one pass wants done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Stripes to be rebuilt, the most exposed first.
    pub rebuilds: Vec<Rebuild>,
    /// Orphans to be condemned.
    pub orphans: Vec<Orphan>,
    /// More was found than fits; the next pass plans the rest.
    pub truncated: bool,
}

/// The most stripes in one plan: what is planned holds memory, and the rows move on meanwhile.
pub const PLAN_REBUILDS_MAX: usize = 16 * 1024;

/// The most orphans in one plan.
pub const PLAN_ORPHANS_MAX: usize = 16 * 1024;

impl Plan {
    /// Adds a stripe with missing positions.
    pub fn rebuild(&mut self, stripe: StripeId, row: &StripeRow, missing: &[u8]) {
        if missing.is_empty() {
            return;
        }
        if self.rebuilds.len() == PLAN_REBUILDS_MAX {
            self.truncated = true;
            return;
        }
        self.rebuilds.push(Rebuild { stripe, row: row.clone(), missing: missing.to_vec() });
    }

    /// Adds an orphan.
    pub fn condemn(&mut self, orphan: Orphan) {
        if self.orphans.len() == PLAN_ORPHANS_MAX {
            self.truncated = true;
            return;
        }
        self.orphans.push(orphan);
    }

    /// Puts the most exposed stripes first, then the oldest ones.
    pub fn order(&mut self) {
        self.rebuilds.sort_by_key(|rebuild| (rebuild.margin(), rebuild.stripe));
    }

    /// How many positions are to be rebuilt.
    pub fn positions(&self) -> u64 {
        self.rebuilds.iter().map(|rebuild| rebuild.missing.len() as u64).sum()
    }
}

/// Why a plan must not run: a planner's mistake, found before it costs anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnsoundPlan {
    /// A position that the stripe does not have, or one that is named twice.
    #[error("{0} has no such positions: {1:?}")]
    NoSuchPositions(StripeId, Vec<u8>),
    /// More positions are missing than the stripe survives: nothing can be rebuilt from what is left.
    #[error("{0} has lost more than it survives: {1:?}")]
    Lost(StripeId, Vec<u8>),
    /// The same stripe twice.
    #[error("{0} is planned twice")]
    Twice(StripeId),
    /// An orphan that a planned stripe names.
    #[error("{0} is condemned while its stripe names it")]
    CondemnsLiving(ChunkName),
}

/// Judges a plan by itself: whatever a planner believes, these hold.
pub fn check(plan: &Plan) -> Result<(), UnsoundPlan> {
    let mut seen = HashSet::new();
    let mut living = HashSet::new();
    for Rebuild { stripe, row, missing } in &plan.rebuilds {
        let distinct: HashSet<u8> = missing.iter().copied().collect();
        if distinct.len() != missing.len() || distinct.iter().any(|&at| usize::from(at) >= row.positions.len()) {
            return Err(UnsoundPlan::NoSuchPositions(*stripe, missing.clone()));
        }
        if missing.len() > row.shape.geometry.m() {
            return Err(UnsoundPlan::Lost(*stripe, missing.clone()));
        }
        if !seen.insert(*stripe) {
            return Err(UnsoundPlan::Twice(*stripe));
        }
        living.extend((0u8..).zip(&row.positions).filter_map(|(at, _)| row.chunk(*stripe, at)));
    }
    match plan.orphans.iter().find(|orphan| living.contains(&orphan.chunk)) {
        Some(orphan) => Err(UnsoundPlan::CondemnsLiving(orphan.chunk)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use cairn_core::{Geometry, SessionId, StripeShape, WriteId};
    use cairn_machine::rows::stripe::PlacedChunk;

    use super::*;

    fn stripe(counter: u64) -> (StripeId, StripeRow) {
        let write = WriteId { session: SessionId(1), counter };
        let shape = StripeShape { geometry: Geometry::new(2, 2).unwrap(), chunk_bytes: 64, block_bytes: 4096 };
        let positions = (0..4).map(|drive| PlacedChunk { drive: DriveId(drive), write }).collect();
        (StripeId(write), StripeRow { shape, positions })
    }

    #[test]
    fn the_most_exposed_stripe_comes_first() {
        let mut plan = Plan::default();
        let (whole, row) = stripe(1);
        plan.rebuild(whole, &row, &[3]);
        let (exposed, row) = stripe(2);
        plan.rebuild(exposed, &row, &[0, 1]);
        let (sound, row) = stripe(3);
        plan.rebuild(sound, &row, &[]);
        plan.order();
        assert_eq!(plan.rebuilds.iter().map(|rebuild| rebuild.stripe).collect::<Vec<_>>(), [exposed, whole]);
        assert_eq!(plan.positions(), 3);
        assert_eq!(check(&plan), Ok(()));
    }

    #[test]
    fn an_unsound_plan_is_found_before_it_runs() {
        let (id, row) = stripe(1);
        let mut plan = Plan::default();
        plan.rebuild(id, &row, &[1]);
        let mut twice = plan.clone();
        twice.rebuilds.push(plan.rebuilds[0].clone());
        assert_eq!(check(&twice), Err(UnsoundPlan::Twice(id)));
        for unsound in [vec![4], vec![1, 1]] {
            let mut outside = plan.clone();
            outside.rebuilds[0].missing.clone_from(&unsound);
            assert_eq!(check(&outside), Err(UnsoundPlan::NoSuchPositions(id, unsound)));
        }
        let mut lost = plan.clone();
        lost.rebuilds[0].missing = vec![0, 1, 2];
        assert_eq!(check(&lost), Err(UnsoundPlan::Lost(id, vec![0, 1, 2])));
        let living = row.chunk(id, 3).unwrap();
        plan.condemn(Orphan { chunk: living, drive: DriveId(3) });
        assert_eq!(check(&plan), Err(UnsoundPlan::CondemnsLiving(living)));
    }

    #[test]
    fn a_plan_is_bounded() {
        let mut plan = Plan::default();
        let (id, row) = stripe(1);
        for _ in 0..PLAN_REBUILDS_MAX + 1 {
            plan.rebuild(id, &row, &[0]);
        }
        assert_eq!(plan.rebuilds.len(), PLAN_REBUILDS_MAX);
        assert!(plan.truncated);
    }
}
