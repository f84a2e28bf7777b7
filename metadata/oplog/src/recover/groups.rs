//! Which groups count: those of the newest epoch and its ancestors, as far as each of them counts, up to the first gap
//! behind the last durable end that any of them names.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use cairn_core::{DriveId, EpochId};

use super::{Kept, KeptGroup, Orders};
use crate::drive_set::DriveSet;
use crate::epoch::EpochRecord;
use crate::finding::DriveFinding;
use crate::group::{GroupDigest, GroupName, GroupNumber};
use crate::refusal::Refusal;

/// One number of the sequence, over all drives.
#[derive(Debug)]
struct Slot {
    epoch: EpochId,
    floor: GroupNumber,
    digest: Option<GroupDigest>,
    holders: DriveSet,
    damaged: DriveSet,
}

/// What is kept, and the durable end that was named: everything up to it had been acknowledged.
pub(super) fn keep(
    found: &[DriveFinding],
    base: &EpochRecord,
    orders: &Orders,
) -> Result<(Kept, GroupNumber), Refusal> {
    let (slots, named) = gather(found, base)?;
    let durable = named.max(base.kept);
    let is_here = |number: GroupNumber| slots.get(&number).is_some_and(|slot| !slot.holders.is_empty());
    let mut last = durable;
    while is_here(last.next()) {
        last = last.next();
    }
    // A floor that an unacknowledged group names never took effect; all those up to the last one kept may have.
    let floor = slots.range(..=last).map(|(_, slot)| slot.floor).fold(base.floor, GroupNumber::max);
    let mut hole = None;
    let mut number = floor;
    while number <= durable {
        if !is_here(number) {
            hole = Some(number);
            break;
        }
        number = number.next();
    }
    let judge = Judge { found, base, slots: &slots };
    if let Some(number) = hole {
        if !orders.accept_loss {
            return Err(judge.hole(number, durable));
        }
        last = number.previous();
    } else if !orders.accept_loss {
        judge.behind(last)?;
    }
    let groups = slots
        .range(floor..)
        .take_while(|(number, _)| **number <= last)
        .map(|(&number, slot)| KeptGroup { name: GroupName { epoch: slot.epoch, number }, holders: slot.holders })
        .collect::<Vec<_>>();
    assert_eq!(groups.len() as u64, (last.0 + 1).saturating_sub(floor.0), "what is kept has no gap");
    Ok((Kept { floor, last, groups }, durable.min(last)))
}

fn gather(found: &[DriveFinding], base: &EpochRecord) -> Result<(BTreeMap<GroupNumber, Slot>, GroupNumber), Refusal> {
    // A lookup, because a record may name many thousand ancestors and a drive hold millions of groups.
    let mut counts: HashMap<EpochId, (GroupNumber, GroupNumber)> =
        base.ancestors.iter().map(|ancestor| (ancestor.epoch, (ancestor.first, ancestor.last))).collect();
    counts.insert(base.id, (base.kept.next(), GroupNumber(u64::MAX)));
    let counts = |name: GroupName| {
        counts.get(&name.epoch).is_some_and(|&(first, last)| first <= name.number && name.number <= last)
    };
    let mut slots: BTreeMap<GroupNumber, Slot> = BTreeMap::new();
    let mut durable = GroupNumber::ZERO;
    for (position, finding) in found.iter().enumerate() {
        for group in finding.groups.iter().filter(|group| counts(group.name)) {
            let slot = slots.entry(group.name.number).or_insert_with(|| Slot::of(group.name.epoch));
            assert_eq!(slot.epoch, group.name.epoch, "each number counts in one epoch only");
            slot.holders.insert(position);
            slot.floor = group.floor;
            if slot.digest.replace(group.digest).is_some_and(|digest| digest != group.digest) {
                let drives = slot.holders.iter().map(|holder| found[holder].drive).collect();
                return Err(Refusal::Conflict { what: group.name.to_string(), drives });
            }
            durable = durable.max(group.acknowledged);
        }
        for &name in finding.damaged.iter().filter(|name| counts(**name)) {
            slots.entry(name.number).or_insert_with(|| Slot::of(name.epoch)).damaged.insert(position);
        }
    }
    Ok((slots, durable))
}

impl Slot {
    const fn of(epoch: EpochId) -> Self {
        Self { epoch, floor: GroupNumber::ZERO, digest: None, holders: DriveSet::EMPTY, damaged: DriveSet::EMPTY }
    }
}

struct Judge<'a> {
    found: &'a [DriveFinding],
    base: &'a EpochRecord,
    slots: &'a BTreeMap<GroupNumber, Slot>,
}

impl Judge<'_> {
    fn missing(&self) -> Vec<DriveId> {
        self.base.missing(|drive| self.found.iter().any(|finding| finding.drive == drive && finding.testifies()))
    }

    fn damaged(&self, number: GroupNumber) -> Vec<DriveId> {
        let damaged = self.slots.get(&number).map_or(DriveSet::EMPTY, |slot| slot.damaged);
        damaged.iter().map(|position| self.found[position].drive).collect()
    }

    fn hole(&self, number: GroupNumber, durable: GroupNumber) -> Refusal {
        Refusal::Hole { number, durable, missing: self.missing(), damaged: self.damaged(number) }
    }

    /// What was once synced behind what is kept, and reads back wrong wherever it is. Nobody may have been told that it is
    /// durable: on fewer than r drives it never was, and drives where it is damaged or that are not here may have held
    /// it. It may even lie behind a gap, where it allowed what was before it to be purged.
    fn behind(&self, last: GroupNumber) -> Result<(), Refusal> {
        let missing = self.missing();
        let unread = self.slots.range(last.next()..).filter(|(_, slot)| slot.holders.is_empty());
        for (&number, slot) in unread {
            let damaged = self.damaged(number);
            let may_hold: BTreeSet<DriveId> = damaged.iter().chain(&missing).copied().collect();
            if may_hold.len() >= self.base.quorum.copies_len() {
                return Err(Refusal::Damaged { name: GroupName { epoch: slot.epoch, number }, damaged, missing });
            }
        }
        Ok(())
    }
}
