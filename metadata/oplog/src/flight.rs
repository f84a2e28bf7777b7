//! Groups under way: which drives each goes to, and when it may be acknowledged. Pure; the shell around it moves bytes.
//!
//! ```text
//! launch(n) -> write to r drives      synced(drive, n) -> acknowledged up to ...
//!                                     failed(drive)    -> write n, n+1, .. to another, or stop
//!                                     late(n)          -> write n to others too, and choose the slow ones last
//!                                     ask_more(n)      -> write n to one more
//!                                     returned(drive)  -> choose it again, last
//! ```
//! A group is acknowledged when r drives have synced it and every group before it has been acknowledged. Which drives
//! those are is nobody's state: a start looks at all of them.

use std::collections::VecDeque;

use crate::drive_set::DriveSet;
use crate::group::GroupNumber;

/// Groups under way, over the drives of one roster.
#[derive(Debug, Clone)]
pub struct Flight {
    copies: usize,
    /// The drives in the order in which they are chosen: the same ones while they are healthy, since appending to few
    /// files costs less than to many. A late one goes to the end.
    healthy: Vec<usize>,
    under_way: VecDeque<Pending>,
    acknowledged: GroupNumber,
}

#[derive(Debug, Clone, Copy)]
struct Pending {
    number: GroupNumber,
    targets: DriveSet,
    synced: DriveSet,
}

/// A group that goes to one more drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Send {
    /// The group.
    pub number: GroupNumber,
    /// The drive.
    pub drive: usize,
}

/// Fewer healthy drives than a group needs copies: nothing more can be acknowledged under this epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{healthy} healthy drives are left in the roster, a group needs {copies}")]
pub struct TooFewDrives {
    /// How many copies a group needs.
    pub copies: usize,
    /// How many drives could take it.
    pub healthy: usize,
}

impl Flight {
    /// Nothing under way; everything up to a group has been acknowledged.
    pub fn new(copies: usize, healthy: Vec<usize>, acknowledged: GroupNumber) -> Self {
        assert!(copies > 0, "a group has a copy at least");
        Self { copies, healthy, under_way: VecDeque::new(), acknowledged }
    }

    /// The last group that may be told to be durable.
    pub const fn acknowledged(&self) -> GroupNumber {
        self.acknowledged
    }

    /// How many groups are under way.
    pub fn len(&self) -> usize {
        self.under_way.len()
    }

    /// Whether nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// The oldest group under way.
    pub fn oldest(&self) -> Option<GroupNumber> {
        self.under_way.front().map(|pending| pending.number)
    }

    /// The drives that groups may go to.
    pub fn healthy(&self) -> &[usize] {
        &self.healthy
    }

    /// Begins the next group and says where it goes. Numbers follow one another.
    pub fn launch(&mut self, number: GroupNumber) -> Result<DriveSet, TooFewDrives> {
        let before = self.under_way.back().map_or(self.acknowledged, |pending| pending.number);
        assert_eq!(number, before.next(), "groups follow one another");
        if self.healthy.len() < self.copies {
            return Err(self.too_few());
        }
        let targets: DriveSet = self.healthy.iter().copied().take(self.copies).collect();
        self.under_way.push_back(Pending { number, targets, synced: DriveSet::EMPTY });
        Ok(targets)
    }

    /// A drive has synced a group. Says up to where everything is acknowledged now.
    pub fn synced(&mut self, drive: usize, number: GroupNumber) -> GroupNumber {
        // A drive that was left while it was writing may still answer, and counts for nothing.
        let asked = |pending: &&mut Pending| pending.number == number && pending.targets.contains(drive);
        if let Some(pending) = self.under_way.iter_mut().find(asked) {
            pending.synced.insert(drive);
        }
        while let Some(oldest) = self.under_way.front().filter(|oldest| oldest.synced.len() >= self.copies) {
            assert_eq!(oldest.number, self.acknowledged.next(), "acknowledged in order");
            self.acknowledged = oldest.number;
            self.under_way.pop_front();
        }
        self.acknowledged
    }

    /// A drive takes nothing more. What it had synced still counts: it lies there. What it had not goes to others.
    pub fn failed(&mut self, drive: usize) -> Result<Vec<Send>, TooFewDrives> {
        self.healthy.retain(|&healthy| healthy != drive);
        let mut sends = Vec::new();
        for pending in &mut self.under_way {
            if pending.targets.contains(drive) && !pending.synced.contains(drive) {
                pending.targets.remove(drive);
                if pending.targets.len() >= self.copies {
                    continue;
                }
                let Some(&next) = self.healthy.iter().find(|&&next| !pending.targets.contains(next)) else {
                    return Err(self.too_few());
                };
                pending.targets.insert(next);
                sends.push(Send { number: pending.number, drive: next });
            }
        }
        Ok(sends)
    }

    /// A drive takes groups again.
    pub fn returned(&mut self, drive: usize) {
        assert!(!self.healthy.contains(&drive), "it had been left");
        self.healthy.push(drive);
    }

    /// A group has been under way for too long, and no drive has synced it: it goes to one more, if there is one. Nobody is
    /// slower than another so far, so the order stays.
    pub fn ask_more(&mut self, number: GroupNumber) -> Option<Send> {
        let pending = self.under_way.iter_mut().find(|pending| pending.number == number)?;
        let drive = self.healthy.iter().copied().find(|&other| !pending.targets.contains(other))?;
        pending.targets.insert(drive);
        Some(Send { number, drive })
    }

    /// A group has been under way for too long: it goes to one more drive for each that has not synced it, as far as
    /// there are others, and those that kept it waiting are chosen last from now on. The first r to sync it count.
    pub fn late(&mut self, number: GroupNumber) -> Vec<Send> {
        let Some(pending) = self.under_way.iter_mut().find(|pending| pending.number == number) else {
            return Vec::new();
        };
        let slow: Vec<usize> = pending.targets.iter().filter(|&drive| !pending.synced.contains(drive)).collect();
        let others = self.healthy.iter().copied().filter(|&other| !pending.targets.contains(other));
        let sends: Vec<Send> = others.take(slow.len()).map(|drive| Send { number, drive }).collect();
        for send in &sends {
            pending.targets.insert(send.drive);
        }
        if !sends.is_empty() {
            let (mut quick, slow): (Vec<usize>, Vec<usize>) =
                self.healthy.iter().copied().partition(|drive| !slow.contains(drive));
            quick.extend(slow);
            self.healthy = quick;
        }
        sends
    }

    fn too_few(&self) -> TooFewDrives {
        TooFewDrives { copies: self.copies, healthy: self.healthy.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(n: u64) -> GroupNumber {
        GroupNumber(n)
    }

    #[test]
    fn acknowledges_in_order_and_never_with_fewer_copies() {
        let mut flight = Flight::new(2, vec![0, 1, 2], number(7));
        assert_eq!(flight.launch(number(8)).unwrap().iter().collect::<Vec<_>>(), [0, 1]);
        flight.launch(number(9)).unwrap();
        assert_eq!(flight.synced(0, number(9)), number(7));
        assert_eq!(flight.synced(1, number(9)), number(7), "9 is on two drives, but 8 is not");
        assert_eq!(flight.synced(0, number(8)), number(7));
        assert_eq!(flight.synced(1, number(8)), number(9));
        assert!(flight.is_empty());
    }

    #[test]
    fn a_failing_drive_is_replaced_until_none_is_left() {
        let mut flight = Flight::new(2, vec![0, 1, 2], number(0));
        flight.launch(number(1)).unwrap();
        flight.launch(number(2)).unwrap();
        flight.synced(0, number(1));
        let sends = flight.failed(0).unwrap();
        assert_eq!(sends, [Send { number: number(2), drive: 2 }], "what 0 had synced counts");
        assert_eq!(flight.synced(1, number(1)), number(1));
        assert_eq!(flight.failed(1).unwrap_err(), TooFewDrives { copies: 2, healthy: 1 });
        assert_eq!(flight.synced(2, number(2)), number(1), "one copy is not two");
        assert!(flight.launch(number(3)).is_err());
    }

    #[test]
    fn a_late_drive_is_overtaken() {
        let mut flight = Flight::new(2, vec![0, 1, 2], number(0));
        flight.launch(number(1)).unwrap();
        flight.synced(1, number(1));
        assert_eq!(flight.late(number(1)), [Send { number: number(1), drive: 2 }]);
        assert_eq!(flight.late(number(1)), [], "there is no other");
        assert_eq!(flight.healthy(), [1, 2, 0]);
        assert_eq!(flight.synced(2, number(1)), number(1));
        assert_eq!(flight.synced(0, number(1)), number(1), "too late, and no harm");
        assert_eq!(flight.launch(number(2)).unwrap().iter().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(flight.failed(0).unwrap(), []);
    }

    #[test]
    fn one_more_is_asked_and_order_stays() {
        let mut flight = Flight::new(2, vec![0, 1, 2], number(0));
        flight.launch(number(1)).unwrap();
        assert_eq!(flight.ask_more(number(1)), Some(Send { number: number(1), drive: 2 }));
        assert_eq!(flight.ask_more(number(1)), None);
        assert_eq!(flight.healthy(), [0, 1, 2]);
        assert_eq!(flight.failed(1).unwrap(), [], "two others have it, or will");
        assert_eq!(flight.synced(1, number(1)), number(0), "whoever was left counts for nothing");
        flight.returned(1);
        assert_eq!(flight.healthy(), [0, 2, 1]);
    }
}
