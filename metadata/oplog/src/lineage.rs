//! Which of the epochs found is the one to go on from.
//!
//! An epoch is **proven** when a group of it is found: groups are written only after the epoch's record was synced on all
//! its quorums, so it really began. An epoch without groups is an attempt that was cut short, or looks like one from
//! here. It is dropped, but only where that loses nothing:
//!
//! - all but (copies - 1) of its own roster's drives are here: had a group of it been acknowledged, one would be found; or
//! - its record cannot be on enough drives of one of its quorums: then no group of it was ever written; or
//! - another epoch, unrelated to it, is proven, and no operator forced either since they parted: both had to pass through
//!   the same older quorums, each start looks for the other's record there, so only one of them can have got so far.
//!
//! A first epoch without groups is dropped as well while the drives do not say that the log was formed.
//!
//! What is dropped goes into the next epoch's ancestors as void. And where it may have been synced on its quorums, the
//! next epoch is synced on r of its roster as well: else a later start that sees a late group of it, and so takes it for
//! proven, might not see what came after.

use std::collections::{BTreeMap, BTreeSet};

use cairn_core::{DriveId, EpochId};

use crate::drive_set::DriveSet;
use crate::epoch::{ANCESTORS_MAX, Ancestor, EpochRecord};
use crate::finding::DriveFinding;
use crate::group::GroupNumber;
use crate::recover::Orders;
use crate::refusal::Refusal;

/// The epoch to go on from, and those to go on without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lineage {
    /// The newest proven epoch; none where the log has not begun yet.
    pub base: Option<EpochRecord>,
    /// Attempts that are dropped.
    pub dropped: Vec<Dropped>,
}

/// An attempt that is dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dropped {
    /// Its record.
    pub record: EpochRecord,
    /// Whether all its quorums may have synced it.
    pub may_have_begun: bool,
}

impl Lineage {
    /// The ancestors of the epoch that follows: the base's and the base, cut to the last group that is kept; and all others
    /// that are known, as void.
    pub fn ancestors(&self, last: GroupNumber) -> Vec<Ancestor> {
        let mut known: BTreeSet<EpochId> = BTreeSet::new();
        let mut ancestors = Vec::new();
        if let Some(base) = &self.base {
            for ancestor in &base.ancestors {
                known.insert(ancestor.epoch);
                ancestors.push(cut(*ancestor, last));
            }
            known.insert(base.id);
        }
        for attempt in &self.dropped {
            for older in &attempt.record.ancestors {
                if known.insert(older.epoch) {
                    ancestors.push(Ancestor::void(older.epoch, older.forced));
                }
            }
            if known.insert(attempt.record.id) {
                ancestors.push(Ancestor::void(attempt.record.id, attempt.record.forced));
            }
        }
        if let Some(base) = &self.base {
            let own = Ancestor { epoch: base.id, first: base.kept.next(), last, forced: base.forced };
            ancestors.push(cut(own, last));
        }
        let surplus = ancestors.len().saturating_sub(ANCESTORS_MAX);
        ancestors.drain(..surplus);
        ancestors
    }
}

fn cut(ancestor: Ancestor, last: GroupNumber) -> Ancestor {
    let cut = Ancestor { last: ancestor.last.min(last), ..ancestor };
    if cut.first > cut.last { Ancestor::void(cut.epoch, cut.forced) } else { cut }
}

struct Candidate<'a> {
    record: &'a EpochRecord,
    holders: DriveSet,
    proven: bool,
}

/// Chooses among everything found. `found` holds this log's drives only.
pub(crate) fn choose(found: &[DriveFinding], formed: bool, orders: &Orders) -> Result<Lineage, Refusal> {
    let mut candidates = gather(found)?;
    let descends = descent(&candidates);
    prove(found, &mut candidates, &descends)?;
    let mut dropped = Vec::new();
    for abandoned in &orders.abandoned {
        if let Some(candidate) = candidates.remove(abandoned) {
            dropped.push(Dropped { record: candidate.record.clone(), may_have_begun: false });
        }
    }
    loop {
        let leaves: Vec<EpochId> = candidates
            .keys()
            .copied()
            .filter(|leaf| !candidates.keys().any(|other| descends.contains(&(*other, *leaf))))
            .collect();
        let Some(attempt) = leaves.iter().copied().find(|leaf| !candidates[leaf].proven) else {
            return settle(found, orders, &candidates, &leaves, dropped);
        };
        let rival = candidates.iter().any(|(&other, rival)| {
            rival.proven
                && other != attempt
                && !descends.contains(&(attempt, other))
                && unforced_since_parting(candidates[&attempt].record, rival.record)
        });
        let candidate = &candidates[&attempt];
        // Before the log was formed nobody was told anything, so a formation cut short leaves nothing behind.
        let formation = !formed && candidate.record.witnesses.is_empty() && candidate.record.kept.0 == 0;
        let may_have_begun = !formation && judge(found, candidate, rival, orders)?;
        dropped.push(Dropped { record: candidate.record.clone(), may_have_begun });
        candidates.remove(&attempt);
    }
}

fn gather(found: &[DriveFinding]) -> Result<BTreeMap<EpochId, Candidate<'_>>, Refusal> {
    let mut candidates: BTreeMap<EpochId, Candidate<'_>> = BTreeMap::new();
    for (position, finding) in found.iter().enumerate() {
        for record in &finding.epochs {
            let candidate = candidates.entry(record.id).or_insert_with(|| Candidate {
                record,
                holders: DriveSet::EMPTY,
                proven: false,
            });
            candidate.holders.insert(position);
            if candidate.record != record {
                let drives = candidate.holders.iter().map(|holder| found[holder].drive).collect();
                return Err(Refusal::Conflict { what: format!("the record of {:?}", record.id), drives });
            }
        }
    }
    Ok(candidates)
}

/// All pairs (later, earlier) among the epochs whose records were found.
fn descent(candidates: &BTreeMap<EpochId, Candidate<'_>>) -> BTreeSet<(EpochId, EpochId)> {
    let mut pairs = BTreeSet::new();
    for (&later, candidate) in candidates {
        let earlier = candidate.record.ancestors.iter().map(|ancestor| ancestor.epoch);
        pairs.extend(earlier.filter(|earlier| candidates.contains_key(earlier)).map(|earlier| (later, earlier)));
    }
    pairs
}

/// Finds out which epochs have groups, and that each group's epoch is known.
fn prove(
    found: &[DriveFinding],
    candidates: &mut BTreeMap<EpochId, Candidate<'_>>,
    descends: &BTreeSet<(EpochId, EpochId)>,
) -> Result<(), Refusal> {
    let mut with_groups: BTreeMap<EpochId, DriveSet> = BTreeMap::new();
    for (position, finding) in found.iter().enumerate() {
        let names = finding.groups.iter().map(|group| group.name).chain(finding.damaged.iter().copied());
        for name in names {
            with_groups.entry(name.epoch).or_default().insert(position);
        }
    }
    // Only the newest records need asking: an ancestor's ancestors are among its descendant's.
    let newest: Vec<EpochId> =
        candidates.keys().copied().filter(|epoch| !descends.iter().any(|(_, earlier)| earlier == epoch)).collect();
    let known: BTreeSet<EpochId> = newest
        .iter()
        .flat_map(|epoch| candidates[epoch].record.ancestors.iter().map(|ancestor| ancestor.epoch))
        .collect();
    for (epoch, holders) in with_groups {
        if let Some(candidate) = candidates.get_mut(&epoch) {
            candidate.proven = true;
        } else if !known.contains(&epoch) {
            let drives = holders.iter().map(|holder| found[holder].drive).collect();
            return Err(Refusal::UnknownEpoch { epoch, drives });
        }
    }
    Ok(())
}

/// Whether an attempt may be dropped, and whether it may have begun.
fn judge(found: &[DriveFinding], candidate: &Candidate<'_>, rival: bool, orders: &Orders) -> Result<bool, Refusal> {
    let record = candidate.record;
    let may_hold = |drive: DriveId| {
        found
            .iter()
            .enumerate()
            .find(|(_, finding)| finding.drive == drive)
            .is_none_or(|(position, finding)| candidate.holders.contains(position) || !finding.testifies())
    };
    let may_have_begun = record.witnesses.iter().chain([&record.quorum]).all(|quorum| quorum.holds(may_hold));
    if !may_have_begun || rival {
        return Ok(false);
    }
    let missing = record.missing(|drive| {
        let testifies = found.iter().any(|finding| finding.drive == drive && finding.testifies());
        testifies || (orders.accept_loss && orders.given_up.contains(&drive))
    });
    if missing.len() > record.missing_max() {
        return Err(Refusal::TooManyMissing { epoch: record.id, missing, missing_max: record.missing_max() });
    }
    Ok(true)
}

/// Whether both went by the quorums alone from the point on where they parted.
fn unforced_since_parting(one: &EpochRecord, other: &EpochRecord) -> bool {
    let unforced = |a: &EpochRecord, b: &EpochRecord| {
        let shared: BTreeSet<EpochId> = b.ancestors.iter().map(|ancestor| ancestor.epoch).collect();
        !a.forced && !a.ancestors.iter().any(|ancestor| ancestor.forced && !shared.contains(&ancestor.epoch))
    };
    unforced(one, other) && unforced(other, one)
}

fn settle(
    found: &[DriveFinding],
    orders: &Orders,
    candidates: &BTreeMap<EpochId, Candidate<'_>>,
    leaves: &[EpochId],
    dropped: Vec<Dropped>,
) -> Result<Lineage, Refusal> {
    if let [_, _, ..] = leaves {
        let drives = |holders: DriveSet| holders.iter().map(|holder| found[holder].drive).collect();
        let epochs = leaves.iter().map(|leaf| (*leaf, drives(candidates[leaf].holders))).collect();
        return Err(Refusal::TwoHistories { epochs });
    }
    let base = leaves.first().map(|leaf| candidates[leaf].record.clone());
    // A group of the base's history may be of an epoch that only a dropped attempt knows: then the base is not the
    // newest that began, and its successor's record is gone from every drive here.
    let knows = |epoch: EpochId| {
        base.as_ref().is_some_and(|base| base.id == epoch || base.descends_from(epoch))
            || dropped.iter().any(|attempt| {
                attempt.record.id == epoch
                    || (orders.abandoned.contains(&attempt.record.id) && attempt.record.descends_from(epoch))
            })
    };
    for finding in found {
        for group in &finding.groups {
            if !knows(group.name.epoch) {
                return Err(Refusal::UnknownEpoch { epoch: group.name.epoch, drives: vec![finding.drive] });
            }
        }
    }
    Ok(Lineage { base, dropped })
}
