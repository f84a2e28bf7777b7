//! What is to be done, as data. A plan is made from one view of the rows, judged before it runs, and may run twice.

use std::collections::HashSet;
use std::time::Duration;

use cairn_core::stripe::LARGE_BLOCK_BYTES;
use cairn_core::units::{MIB, STRIPE_EXTENTS_MAX};
use cairn_core::{ChunkName, DriveId, Geometry, StripeId};
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

/// A stripe whose living extents are to be coded again in another geometry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reshape {
    /// Which stripe.
    pub stripe: StripeId,
    /// The stripe as the plan saw it.
    pub row: StripeRow,
    /// How many further losses it survives at the moment.
    pub margin: u8,
    /// Extents that live in it.
    pub extents: u32,
    /// Their bytes.
    pub bytes: u64,
    /// The geometry that they are to have.
    pub to: Geometry,
}

impl Reshape {
    /// Whether it survives fewer losses than its geometry promises.
    pub fn is_exposed(&self) -> bool {
        usize::from(self.margin) < self.row.shape.geometry.m()
    }

    /// What the new chunks take on the drives. The old ones are given back later, when nobody can read them any more.
    pub fn peak_bytes(&self) -> u64 {
        self.bytes.div_ceil(self.to.k() as u64) * self.to.positions() as u64
    }
}

/// What one pass wants done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Stripes to be rebuilt, the most exposed first.
    pub rebuilds: Vec<Rebuild>,
    /// Stripes to be re-encoded, the most exposed first.
    pub reshapes: Vec<Reshape>,
    /// How soon stripes that are to be re-encoded once the drives have stood for longer are due; none where there are none.
    pub reshape_due: Option<Duration>,
    /// Orphans to be condemned.
    pub orphans: Vec<Orphan>,
    /// More was found than fits; the next pass plans the rest.
    pub truncated: bool,
}

/// The most stripes in one plan: what is planned holds memory, and the rows move on meanwhile.
pub const PLAN_REBUILDS_MAX: usize = 16 * 1024;

/// The most re-encoded stripes in one plan.
pub const PLAN_RESHAPES_MAX: usize = 16 * 1024;

/// As many living bytes are coded together, unless one stripe alone has more.
const BATCH_BYTES_MAX: u64 = 8 * MIB;

/// As many bytes are read for it, what has died included: they are held in memory.
const BATCH_READ_BYTES_MAX: u64 = 16 * MIB;

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

    /// Adds a stripe that is to have another geometry.
    pub fn reshape(&mut self, reshape: Reshape) {
        if self.reshapes.len() == PLAN_RESHAPES_MAX {
            self.truncated = true;
            return;
        }
        self.reshapes.push(reshape);
    }

    /// Stripes will be due to be re-encoded.
    pub fn reshape_in(&mut self, after: Duration) {
        self.reshape_due = Some(self.reshape_due.map_or(after, |due| due.min(after)));
    }

    /// Leaves out what would take more than so many bytes, the least exposed first; which stripes that were.
    pub fn keep_within(&mut self, room: u64) -> Vec<Reshape> {
        let mut left = room;
        let fits = self.reshapes.iter().take_while(|reshape| {
            let rest = left.checked_sub(reshape.peak_bytes());
            left = rest.unwrap_or(left);
            rest.is_some()
        });
        let fitting = fits.count();
        self.reshapes.split_off(fitting)
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
        self.reshapes.sort_by_key(|reshape| (reshape.margin, reshape.stripe));
    }

    /// How many positions are to be rebuilt.
    pub fn positions(&self) -> u64 {
        self.rebuilds.iter().map(|rebuild| rebuild.missing.len() as u64).sum()
    }
}

/// Stripes that are re-encoded together, in the order of the plan: small extents of several stripes share one, what was
/// coded for itself stays for itself.
pub fn batches(reshapes: Vec<Reshape>) -> Vec<Vec<Reshape>> {
    let mut batches: Vec<Vec<Reshape>> = Vec::new();
    let (mut extents, mut bytes, mut read) = (0, 0, 0);
    for reshape in reshapes {
        let own = (reshape.extents as usize, reshape.bytes, reshape.row.shape.data_bytes());
        let shares = |other: &Reshape| {
            let alone = |reshape: &Reshape| reshape.row.shape.block_bytes == LARGE_BLOCK_BYTES;
            !alone(other) && !alone(&reshape) && other.to == reshape.to
        };
        let fits = extents + own.0 <= STRIPE_EXTENTS_MAX
            && bytes + own.1 <= BATCH_BYTES_MAX
            && read + own.2 <= BATCH_READ_BYTES_MAX;
        match batches.last_mut() {
            Some(batch) if fits && batch.last().is_some_and(shares) => {
                (extents, bytes, read) = (extents + own.0, bytes + own.1, read + own.2);
                batch.push(reshape);
            }
            _ => {
                (extents, bytes, read) = own;
                batches.push(vec![reshape]);
            }
        }
    }
    batches
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
    /// A stripe that would be as it is already, or survive fewer losses than it does.
    #[error("{0} would become {1}, which is nothing better")]
    NoBetter(StripeId, Geometry),
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
    for Reshape { stripe, row, to, .. } in &plan.reshapes {
        if to.m() < row.shape.geometry.m() || *to == row.shape.geometry {
            return Err(UnsoundPlan::NoBetter(*stripe, *to));
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

    fn reshape(counter: u64, margin: u8, extents: u32, bytes: u64) -> Reshape {
        let (stripe, row) = stripe(counter);
        Reshape { stripe, row, margin, extents, bytes, to: Geometry::new(4, 2).unwrap() }
    }

    #[test]
    fn a_plan_that_makes_nothing_better_is_unsound() {
        let mut plan = Plan::default();
        plan.reshape(reshape(1, 0, 1, 10));
        assert_eq!(check(&plan), Ok(()));
        for to in ["2+2", "4+1"] {
            let to: Geometry = to.parse().unwrap();
            plan.reshapes[0].to = to;
            assert_eq!(check(&plan), Err(UnsoundPlan::NoBetter(plan.reshapes[0].stripe, to)));
        }
        plan.reshapes[0].to = Geometry::new(1, 2).unwrap();
        let (id, row) = stripe(1);
        plan.rebuild(id, &row, &[0]);
        assert_eq!(check(&plan), Err(UnsoundPlan::Twice(id)), "rebuilt and re-encoded at once");
    }

    #[test]
    fn the_most_exposed_are_re_encoded_as_far_as_there_is_room() {
        let mut plan = Plan::default();
        for (counter, margin) in [(1, 2), (2, 0), (3, 1), (4, 0)] {
            plan.reshape(reshape(counter, margin, 1, 400));
        }
        plan.order();
        let order = |plan: &Plan| plan.reshapes.iter().map(|reshape| reshape.stripe.0.counter).collect::<Vec<_>>();
        assert_eq!(order(&plan), [2, 4, 3, 1]);
        assert_eq!(plan.reshapes[0].peak_bytes(), 600);
        assert_eq!(plan.clone().keep_within(2400), []);
        let left = plan.keep_within(1799);
        assert_eq!(left.iter().map(Reshape::is_exposed).collect::<Vec<_>>(), [true, false]);
        assert_eq!(order(&plan), [2, 4]);
        assert_eq!(plan.keep_within(0).len(), 2);
    }

    #[test]
    fn small_stripes_are_joined_within_bounds_and_large_ones_are_not() {
        let shape = |found: Vec<Vec<Reshape>>| found.iter().map(Vec::len).collect::<Vec<_>>();
        let small = |counter| reshape(counter, 0, 100, MIB);
        assert_eq!(shape(batches((0..20).map(small).collect())), [8, 8, 4], "eight MiB");
        let tiny = |counter| reshape(counter, 0, 400, 4096);
        assert_eq!(shape(batches((0..5).map(tiny).collect())), [2, 2, 1], "a thousand extents");
        let mut hollow: Vec<Reshape> = (0..5).map(|counter| reshape(counter, 0, 1, 10)).collect();
        hollow.iter_mut().for_each(|reshape| reshape.row.shape.chunk_bytes = 3 << 20);
        assert_eq!(shape(batches(hollow)), [2, 2, 1], "what has died is read as well");
        let mut mixed: Vec<Reshape> = (0..4).map(small).collect();
        mixed[1].row.shape.block_bytes = LARGE_BLOCK_BYTES;
        assert_eq!(shape(batches(mixed)), [1, 1, 2]);
        assert_eq!(shape(batches(vec![reshape(1, 0, 1024, 9 * MIB)])), [1], "one is always taken");
        assert!(batches(Vec::new()).is_empty());
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
