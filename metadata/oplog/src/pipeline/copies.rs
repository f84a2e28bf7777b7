//! How many drives hold each group, and which groups need one more. A drive that was left counts for nothing here, although
//! a start may still find what lies there.

use std::sync::Arc;

use cairn_core::Elapsed;
use cairn_journal::{JournalError, Place};

use super::{Effects, Pipeline, Stored};
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

impl Pipeline {
    /// Acknowledged groups behind a number that lie on too few drives, in order, at most so many, each with a drive that
    /// can take it.
    pub fn next_short(&self, behind: GroupNumber, most: usize, now: Elapsed) -> Vec<Short> {
        let last = self.flight.acknowledged();
        let first = behind.next().max(self.floor_acknowledged);
        if self.short == 0 || self.stopped.is_some() || first > last {
            return Vec::new();
        }
        let groups = self.stored.range(first..=last).filter(|(_, stored)| self.healthy_holders(stored) < self.copies);
        let short = groups.filter_map(|(&number, stored)| {
            let target = self.target_for(number, stored, now)?;
            let name = GroupName { epoch: stored.epoch, number };
            Some(Short { name, places: self.best_first(&stored.places), target })
        });
        short.take(most).collect()
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
                if let Some(stored) = self.stored.get_mut(&name.number).filter(|stored| stored.epoch == name.epoch) {
                    stored.places.push((drive, place));
                    let holders = self.healthy_holders(&self.stored[&name.number]);
                    if holders == self.copies {
                        self.short = self.short.saturating_sub(1);
                        self.counters.copied += 1;
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

    /// A drive that was full has room again.
    pub fn has_room_again(&mut self, drive: usize, effects: &mut Effects) {
        if self.full.remove(&drive) && self.stopped.is_none() {
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
        let short = |stored: &&Stored| self.healthy_holders(stored) < self.copies;
        self.short = if acknowledged.is_empty() {
            0
        } else {
            self.stored.range(acknowledged).map(|(_, stored)| stored).filter(short).count()
        };
    }

    pub fn is_short(&self, number: GroupNumber) -> bool {
        self.stored.get(&number).is_some_and(|stored| self.healthy_holders(stored) < self.copies)
    }

    /// Places in the order in which to read from them: drives that are well first, those that were left last.
    pub fn best_first(&self, places: &[(usize, Place)]) -> Vec<(usize, Place)> {
        let healthy = self.flight.healthy();
        let mut places = places.to_vec();
        places.sort_by_key(|(drive, _)| healthy.iter().position(|other| other == drive).unwrap_or(usize::MAX));
        places
    }

    fn healthy_holders(&self, stored: &Stored) -> usize {
        let holds = |drive: &&usize| stored.places.iter().any(|(holder, _)| holder == *drive);
        self.flight.healthy().iter().filter(holds).count()
    }

    /// A drive that is well, owes no answer for long, and does not hold the group; another one for each number, so that
    /// copies spread.
    fn target_for(&self, number: GroupNumber, stored: &Stored, now: Elapsed) -> Option<usize> {
        let holds = |drive: usize| stored.places.iter().any(|(holder, _)| *holder == drive);
        let fits = |drive: &usize| !holds(*drive) && !self.pace.is_slow(*drive, self.patience, now);
        let targets: Vec<usize> = self.flight.healthy().iter().copied().filter(fits).collect();
        let at = usize::try_from(number.0).unwrap_or(0).checked_rem(targets.len())?;
        Some(targets[at])
    }
}
