//! How many drives hold each group, and which groups need one more. A drive that was left counts for nothing here, although
//! a start may still find what lies there.

use std::sync::Arc;

use cairn_core::{Elapsed, EpochId};
use cairn_journal::{JournalError, Place};

use super::{Effects, Pipeline, Stored};
use crate::drive_set::DriveSet;
use crate::group::{GroupName, GroupNumber};

/// A group that lies on fewer healthy drives than it should.
#[derive(Debug)]
pub(crate) struct Short {
    pub name: GroupName,
    /// Where it lies, the best place to read it first.
    pub places: Vec<(usize, Place)>,
    /// Where it should lie too.
    pub target: usize,
}

/// The drives that each group should lie on some of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Members {
    pub drives: DriveSet,
    pub copies: usize,
}

impl Members {
    /// How many of them hold a group.
    fn holders(self, stored: &Stored) -> usize {
        let holders: DriveSet = stored.places.iter().map(|(drive, _)| *drive).collect();
        holders.and(self.drives).len()
    }
}

impl Pipeline {
    /// The drives that are well, and what the epoch asks of them.
    pub fn members(&self) -> Members {
        Members { drives: self.flight.healthy().iter().copied().collect(), copies: self.copies }
    }

    /// Acknowledged groups behind a number that lie on too few drives that are well, see [`Self::lacking`].
    pub fn next_short(&self, behind: GroupNumber, most: usize, now: Elapsed) -> Vec<Short> {
        if self.short == 0 { Vec::new() } else { self.lacking(self.members(), behind, most, now) }
    }

    /// Acknowledged groups behind a number that lie on too few of some drives, in order, at most so many, each with a drive
    /// that can take it.
    pub fn lacking(&self, members: Members, behind: GroupNumber, most: usize, now: Elapsed) -> Vec<Short> {
        let last = self.flight.acknowledged();
        let first = behind.next().max(self.floor_acknowledged);
        if self.stopped.is_some() || first > last {
            return Vec::new();
        }
        let groups = self.stored.range(first..=last).filter(|(_, stored)| members.holders(stored) < members.copies);
        let short = groups.filter_map(|(&number, stored)| {
            let target = self.target_for(members, number, stored, now)?;
            let name = GroupName { epoch: stored.epoch, number };
            Some(Short { name, places: self.best_first(&stored.places), target })
        });
        short.take(most).collect()
    }

    /// Whether every acknowledged group lies on enough of some drives. Looks at all of them.
    pub fn lies_on(&self, members: Members) -> bool {
        let acknowledged = self.floor_acknowledged..=self.flight.acknowledged();
        let lacks = |stored: &Stored| members.holders(stored) < members.copies;
        acknowledged.is_empty() || !self.stored.range(acknowledged).any(|(_, stored)| lacks(stored))
    }

    /// What became of a copy.
    pub fn copied(
        &mut self,
        drive: usize,
        name: GroupName,
        result: Result<Place, Arc<JournalError>>,
        now: Elapsed,
        effects: &mut Effects,
    ) {
        self.pace.answered(drive, name.number, false, now);
        match result {
            Ok(place) => {
                self.segments[drive].note(place.segment, name.number);
                // A group that was purged meanwhile is nobody's any more.
                let members = self.members();
                if let Some(stored) = self.stored.get_mut(&name.number).filter(|stored| stored.epoch == name.epoch) {
                    let was_short = members.holders(stored) < members.copies;
                    stored.places.push((drive, place));
                    self.counters.copied += 1;
                    if was_short && members.holders(stored) == members.copies {
                        self.short = self.short.saturating_sub(1);
                    }
                }
            }
            Err(source) => self.leave(drive, source, now, effects),
        }
    }

    /// A copy is on its way to a drive.
    pub fn copying(&mut self, drive: usize, number: GroupNumber, now: Elapsed) {
        self.pace.sent(drive, number, now);
    }

    /// A drive that was full has room again, and holds the record of an epoch.
    pub fn has_room_again(&mut self, drive: usize, epoch: EpochId, place: Place, effects: &mut Effects) {
        // The epoch may have changed meanwhile; then it is asked again.
        if epoch == self.epoch.id && self.stopped.is_none() && self.full.remove(&drive) {
            self.segments[drive].took_epoch(place.segment);
            let name = self.drives[drive];
            tracing::info!(drive = %name, "the log uses a drive again that was full");
            self.failed.retain(|failure| failure.drive != name);
            self.flight.returned(drive);
            self.count_short();
            effects.short |= self.short > 0;
        }
    }

    /// Counts anew how many groups are short. Looks at all of them: only after a drive came or went.
    pub fn count_short(&mut self) {
        let acknowledged = self.floor_acknowledged..=self.flight.acknowledged();
        let members = self.members();
        let short = |stored: &&Stored| members.holders(stored) < members.copies;
        self.short = if acknowledged.is_empty() {
            0
        } else {
            self.stored.range(acknowledged).map(|(_, stored)| stored).filter(short).count()
        };
    }

    pub fn is_short(&self, number: GroupNumber) -> bool {
        let members = self.members();
        self.stored.get(&number).is_some_and(|stored| members.holders(stored) < members.copies)
    }

    /// Places in the order in which to read from them: drives that are well first, those that were left last.
    pub fn best_first(&self, places: &[(usize, Place)]) -> Vec<(usize, Place)> {
        let healthy = self.flight.healthy();
        let mut places = places.to_vec();
        places.sort_by_key(|(drive, _)| healthy.iter().position(|other| other == drive).unwrap_or(usize::MAX));
        places
    }

    /// One of some drives that owes no answer for long and does not hold the group; another one for each number, so that
    /// copies spread.
    fn target_for(&self, members: Members, number: GroupNumber, stored: &Stored, now: Elapsed) -> Option<usize> {
        let holds = |drive: usize| stored.places.iter().any(|(holder, _)| *holder == drive);
        let fits = |drive: &usize| !holds(*drive) && !self.pace.is_slow(*drive, self.patience, now);
        let targets: Vec<usize> = members.drives.iter().filter(fits).collect();
        let at = usize::try_from(number.0).unwrap_or(0).checked_rem(targets.len())?;
        Some(targets[at])
    }
}
