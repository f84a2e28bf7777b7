//! Which runs to merge next: a pure decision over a set of runs.
//!
//! Runs of a like size are merged once there are some of them, so that a row is written again a number of times that grows
//! with the logarithm of all rows. Only neighbours are merged, because a newer run's rows hide an older one's. What a row's
//! removal hides can be forgotten only where nothing older is left: in a merge that includes the oldest run.

use cairn_core::LogIndex;

use crate::run_set::{RunId, RunRef, RunSet};

/// When to merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MergePolicy {
    /// So many neighbours of a like size are merged. Fewer means fewer runs to ask and more bytes written.
    pub width_min: usize,
    /// Beyond so many runs, neighbours are merged whatever their sizes. A walk through rows asks each of them.
    pub runs_max: usize,
}

impl Default for MergePolicy {
    fn default() -> Self {
        Self { width_min: 4, runs_max: 12 }
    }
}

/// A merge that may be done: immutable data, which a checker can judge and which does no harm when it is done twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergePlan {
    /// Neighbours in the set, newest first.
    pub inputs: Vec<RunId>,
    /// The merged run holds what the log wrote behind this index...
    pub after: LogIndex,
    /// ...up to this one.
    pub index: LogIndex,
    /// Whether rows that say that a row was removed can be left out.
    pub drops_removals: bool,
    /// How many bytes will be read, and at most written, for each copy.
    pub input_bytes: u64,
    /// How many rows will be read, and at most written.
    pub input_entries: u64,
}

/// Why a plan does not fit a set of runs. Plan again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnfitPlan {
    /// It names a run that is not in the set, or runs that are no neighbours in that order.
    #[error("the plan's runs are not neighbours in the set")]
    NotNeighbours,
    /// It merges nothing.
    #[error("the plan has fewer than two runs")]
    TooFew,
    /// It would forget removals that still hide rows of an older run.
    #[error("the plan drops removals and leaves out the oldest run")]
    RemovalsNeeded,
    /// Its sums are not those of its runs.
    #[error("the plan does not describe its runs")]
    Misdescribed,
}

fn describe(runs: &[RunRef], start: usize, width: usize) -> MergePlan {
    let inputs = &runs[start..start + width];
    MergePlan {
        inputs: inputs.iter().map(|run| run.id).collect(),
        after: inputs[width - 1].after,
        index: inputs[0].index,
        drops_removals: start + width == runs.len(),
        input_bytes: inputs.iter().map(|run| run.file_bytes).sum(),
        input_entries: inputs.iter().map(|run| run.entries).sum(),
    }
}

/// The merge that is due, if one is.
pub fn plan(set: &RunSet, policy: &MergePolicy) -> Option<MergePlan> {
    assert!(policy.width_min >= 2, "a merge has at least two runs");
    assert!(policy.runs_max >= 1, "some runs remain");
    let runs = set.runs();
    let bytes = |run: &RunRef| run.file_bytes;
    // What is newer has grown as large as what is oldest: merge all, and so get rid of what was removed and replaced.
    let newer: u64 = runs.iter().rev().skip(1).map(bytes).sum();
    if runs.len() >= policy.width_min && runs.last().is_some_and(|oldest| newer >= oldest.file_bytes) {
        return Some(describe(runs, 0, runs.len()));
    }
    // Neighbours of which none is larger than all the newer ones in the group together.
    for start in 0..runs.len() {
        let mut sum = bytes(&runs[start]);
        let mut width = 1;
        while let Some(next) = runs.get(start + width).filter(|next| next.file_bytes <= sum) {
            sum += bytes(next);
            width += 1;
        }
        if width >= policy.width_min {
            return Some(describe(runs, start, width));
        }
    }
    // Too many all the same: the cheapest neighbours that bring the number down.
    let width = (runs.len() + 1).checked_sub(policy.runs_max).filter(|&width| width >= 2)?;
    let cheapest =
        (0..=runs.len() - width).min_by_key(|&start| runs[start..start + width].iter().map(bytes).sum::<u64>());
    cheapest.map(|start| describe(runs, start, width))
}

/// Whether a plan fits a set: checked again before it is carried out, because a plan is only data.
pub fn check(plan: &MergePlan, set: &RunSet) -> Result<(), UnfitPlan> {
    let runs = set.runs();
    let (Some(newest), width) = (plan.inputs.first(), plan.inputs.len()) else { return Err(UnfitPlan::TooFew) };
    if width < 2 {
        return Err(UnfitPlan::TooFew);
    }
    let start = runs.iter().position(|run| run.id == *newest).ok_or(UnfitPlan::NotNeighbours)?;
    let named = runs.get(start..start + width).ok_or(UnfitPlan::NotNeighbours)?;
    if named.iter().zip(&plan.inputs).any(|(run, id)| run.id != *id) {
        return Err(UnfitPlan::NotNeighbours);
    }
    if plan.drops_removals && start + width != runs.len() {
        return Err(UnfitPlan::RemovalsNeeded);
    }
    let expected = MergePlan { drops_removals: plan.drops_removals, ..describe(runs, start, width) };
    if *plan == expected { Ok(()) } else { Err(UnfitPlan::Misdescribed) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::run::format::RunHash;

    /// Runs of these sizes, newest first.
    fn set(sizes: &[u64]) -> RunSet {
        let count = sizes.len() as u64;
        let run = |(place, &file_bytes): (usize, &u64)| RunRef {
            id: RunId(100 + place as u64),
            after: LogIndex(count - place as u64 - 1),
            index: LogIndex(count - place as u64),
            file_bytes,
            entries: file_bytes,
            removals: 0,
            hash: RunHash([0; 32]),
        };
        RunSet::new(LogIndex(count), sizes.iter().enumerate().map(run).collect()).unwrap()
    }

    fn places(sizes: &[u64]) -> Option<(Vec<u64>, bool)> {
        let plan = plan(&set(sizes), &MergePolicy::default())?;
        Some((plan.inputs.iter().map(|id| id.0 - 100).collect(), plan.drops_removals))
    }

    #[test]
    fn like_sizes_are_merged_and_the_oldest_when_the_rest_outgrew_it() {
        assert_eq!(places(&[]), None);
        assert_eq!(places(&[64]), None);
        assert_eq!(places(&[64, 64, 64]), None);
        assert_eq!(places(&[64, 64, 64, 64]), Some((vec![0, 1, 2, 3], true)));
        assert_eq!(places(&[64, 64, 64, 900]), None);
        assert_eq!(places(&[64, 64, 64, 64, 900]), Some((vec![0, 1, 2, 3], false)));
        assert_eq!(places(&[64, 64, 256, 256, 256, 256, 4000]), Some((vec![2, 3, 4, 5], false)));
        assert_eq!(places(&[64, 64, 1000, 1000]), Some((vec![0, 1, 2, 3], true)));
    }

    #[test]
    fn too_many_runs_are_merged_where_it_is_cheapest() {
        let sizes: Vec<u64> = (0..14).map(|n| 3u64.pow(n)).collect();
        assert_eq!(places(&sizes), Some((vec![0, 1, 2], false)));
    }

    #[test]
    fn a_plan_is_checked_against_the_set() {
        let all = set(&[64, 64, 64, 64, 900]);
        let good = plan(&all, &MergePolicy::default()).unwrap();
        assert_eq!(check(&good, &all), Ok(()));
        let twisted = |twist: &dyn Fn(&mut MergePlan)| {
            let mut plan = good.clone();
            twist(&mut plan);
            check(&plan, &all)
        };
        assert_eq!(twisted(&|plan| plan.drops_removals = true), Err(UnfitPlan::RemovalsNeeded));
        assert_eq!(twisted(&|plan| plan.inputs.swap(1, 2)), Err(UnfitPlan::NotNeighbours));
        assert_eq!(twisted(&|plan| plan.inputs.truncate(1)), Err(UnfitPlan::TooFew));
        assert_eq!(twisted(&|plan| plan.inputs.clear()), Err(UnfitPlan::TooFew));
        assert_eq!(twisted(&|plan| plan.input_entries += 1), Err(UnfitPlan::Misdescribed));
        assert_eq!(check(&good, &set(&[64])), Err(UnfitPlan::NotNeighbours));
    }

    proptest! {
        #[test]
        fn plans_fit_and_merging_comes_to_rest(sizes in prop::collection::vec(1u64..5000, 0..40)) {
            let mut sizes = sizes;
            let policy = MergePolicy::default();
            while let Some(plan) = plan(&set(&sizes), &policy) {
                prop_assert_eq!(check(&plan, &set(&sizes)), Ok(()));
                let start = (plan.inputs[0].0 - 100) as usize;
                let width = plan.inputs.len();
                prop_assert_eq!(plan.drops_removals, start + width == sizes.len());
                sizes.splice(start..start + width, [plan.input_bytes]);
            }
            prop_assert!(sizes.len() <= policy.runs_max);
        }
    }
}
