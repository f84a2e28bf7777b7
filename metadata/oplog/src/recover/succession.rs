//! The epoch that follows: its roster, the copies that must be made before it is written, and the quorums that must sync
//! it before anything is written under it.

use std::collections::{BTreeMap, BTreeSet};

use cairn_core::DriveId;

use super::{Covered, Decision, GroupCopy, Kept, Setting, StartPlan};
use crate::drive_set::DriveSet;
use crate::epoch::{EpochRecord, WITNESSES_MAX};
use crate::finding::DriveFinding;
use crate::group::GroupNumber;
use crate::lineage::Lineage;
use crate::refusal::Refusal;
use crate::roster::{Choice, Quorum};

pub(super) fn succeed(
    found: &[DriveFinding],
    usable: DriveSet,
    setting: &Setting,
    lineage: &Lineage,
    kept: Kept,
    durable: GroupNumber,
) -> Result<Decision, Refusal> {
    let orders = &setting.orders;
    let leaving: BTreeSet<DriveId> = orders.replaced.union(&orders.given_up).copied().collect();
    let living: DriveSet = usable.iter().filter(|&position| !leaving.contains(&found[position].drive)).collect();
    let position_of: BTreeMap<DriveId, usize> =
        usable.iter().map(|position| (found[position].drive, position)).collect();
    let lives = |drive: DriveId| position_of.get(&drive).is_some_and(|&position| living.contains(position));
    let base = lineage.base.as_ref();
    let here: Vec<DriveId> = living.iter().map(|position| found[position].drive).collect();
    let choice =
        Choice { living: &here, failing: &setting.failing, leaving: &leaving, copies_wanted: setting.copies_wanted };
    let quorum = choice.quorum(base.map(|base| &base.quorum), setting.new_epoch).ok_or(Refusal::NoDrives)?;

    // A drive that is named lost but is here may still be written to for the old quorum's sake.
    let present = |drive: DriveId| position_of.contains_key(&drive);
    let mut forced = orders.accept_loss;
    let mut witnesses = Vec::new();
    let older = base.map(|base| &base.quorum).into_iter();
    let attempts = lineage.dropped.iter().filter(|attempt| attempt.may_have_begun);
    for old in older.chain(attempts.map(|attempt| &attempt.record.quorum)) {
        let reduced = if old.holds(present) { Some(old.clone()) } else { old.without(&orders.given_up) };
        forced |= reduced.as_ref() != Some(old);
        let asked =
            |quorum: &Quorum| witnesses.iter().any(|w: &Quorum| w.copies == quorum.copies && w.roster == quorum.roster);
        if let Some(reduced) = reduced.filter(|reduced| !asked(reduced)) {
            witnesses.push(reduced);
        }
    }
    if witnesses.len() > WITNESSES_MAX {
        return Err(Refusal::TooManyAttempts { found: witnesses.len(), max: WITNESSES_MAX });
    }
    let short = witnesses.iter().find(|witness| !witness.holds(present));
    let short = short.or_else(|| (!quorum.holds(lives)).then_some(&quorum));
    if let (Some(short), Some(base)) = (short, base) {
        let missing = short.roster.iter().copied().filter(|&drive| !lives(drive)).collect();
        let covered = Covered { base: base.clone(), kept, short_of: short.clone(), missing };
        return Ok(Decision::CoveredReadOnly(Box::new(covered)));
    }
    if let Some(short) = short {
        let missing: Vec<_> = short.roster.iter().copied().filter(|&drive| !lives(drive)).collect();
        let missing = if missing.is_empty() { setting.failing.iter().copied().collect() } else { missing };
        return Err(Refusal::NotFormed { missing, missing_max: short.copies_len() - 1 });
    }
    if base.is_none() && setting.failing.len() >= quorum.copies_len() {
        let missing = setting.failing.iter().copied().collect();
        return Err(Refusal::NotFormed { missing, missing_max: quorum.copies_len() - 1 });
    }

    let everything = base.is_some_and(|base| must_copy_everything(found, base, &quorum, &position_of));
    let copies = plan_copies(found, &kept, durable, everything, &quorum, &position_of);
    let joins = |position: usize| quorum.contains(found[position].drive) && found[position].is_blank();
    let joining = living.iter().filter(|&position| joins(position)).collect();
    let epoch = EpochRecord {
        id: setting.new_epoch,
        identity: setting.identity,
        ancestors: lineage.ancestors(kept.last),
        kept: kept.last,
        floor: kept.floor,
        quorum,
        witnesses,
        forced,
    };
    Ok(Decision::Start(Box::new(StartPlan { base: base.map(|base| base.id), kept, copies, joining, epoch })))
}

/// Whether what the old roster's arithmetic promised for acknowledged groups does not carry over to the new one, so that
/// each of them must be seen on r drives of it: a drive leaves, one has forgotten, or there are to be more copies.
fn must_copy_everything(
    found: &[DriveFinding],
    base: &EpochRecord,
    quorum: &Quorum,
    position_of: &BTreeMap<DriveId, usize>,
) -> bool {
    let forgot = base
        .quorum
        .roster
        .iter()
        .filter_map(|drive| position_of.get(drive))
        .any(|&position| !found[position].testifies());
    forgot || !quorum.inherits(&base.quorum)
}

fn plan_copies(
    found: &[DriveFinding],
    kept: &Kept,
    durable: GroupNumber,
    everything: bool,
    quorum: &Quorum,
    position_of: &BTreeMap<DriveId, usize>,
) -> Vec<GroupCopy> {
    let members: Vec<usize> = quorum.roster.iter().filter_map(|drive| position_of.get(drive)).copied().collect();
    let member_set: DriveSet = members.iter().copied().collect();
    let damaged: BTreeSet<_> = found.iter().flat_map(|finding| finding.damaged.iter().copied()).collect();
    let mut copies = Vec::new();
    for group in &kept.groups {
        let wanting = everything || group.name.number > durable || damaged.contains(&group.name);
        if !wanting {
            continue;
        }
        let held = group.holders.and(member_set).len();
        let targets = members.iter().copied().filter(|&member| !group.holders.contains(member));
        let short = quorum.copies_len().saturating_sub(held);
        copies.extend(targets.take(short).map(|to| GroupCopy { name: group.name, from: group.holders, to }));
    }
    copies
}
