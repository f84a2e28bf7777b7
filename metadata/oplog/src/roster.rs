//! How many copies, and on which drives: the arithmetic behind "every acknowledged group is found, and no two halves can
//! both go on".

use std::collections::BTreeSet;

use cairn_core::{DriveId, EpochId};
use minicbor::{Decode, Encode};

use crate::epoch::ROSTER_MAX;

/// How many copies a group needs so that the metadata outlives as many drives as the data does: `floor(m / (f + 1)) + 1`.
///
/// `parity` is the largest m of any profile in use, `voters_may_fail` is how many voters may be lost with a majority left
/// (0 for one voter, 1 for three). Losing m drives can empty at most f + 1 voters' logs only if one of them loses more
/// than m / (f + 1) drives. At least 2 where the node has two drives, so that one bad block never stops a lone voter.
pub fn copies_wanted(parity: u8, voters_may_fail: u8, drives_of_node: usize) -> u8 {
    let formula = u16::from(parity) / (u16::from(voters_may_fail) + 1) + 1;
    let least = if drives_of_node >= 2 { 2 } else { 1 };
    u8::try_from(formula.max(least)).unwrap_or(u8::MAX)
}

/// Some drives, and how many of them must have synced a thing before it counts.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Quorum {
    /// The epoch whose roster it is.
    #[n(0)]
    pub epoch: EpochId,
    /// How many copies: at least 1, at most the length of the roster.
    #[n(1)]
    pub copies: u8,
    /// The drives, ascending, none twice.
    #[n(2)]
    pub roster: Vec<DriveId>,
}

impl Quorum {
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        if self.roster.len() > ROSTER_MAX {
            return Err("too long a roster");
        }
        if !self.roster.is_sorted_by(|a, b| a < b) {
            return Err("a roster out of order");
        }
        if self.copies == 0 || self.copies_len() > self.roster.len() {
            return Err("copies that its roster cannot hold");
        }
        Ok(())
    }

    /// The copies, as a length.
    pub fn copies_len(&self) -> usize {
        usize::from(self.copies)
    }

    /// Whether a drive takes part.
    pub fn contains(&self, drive: DriveId) -> bool {
        self.roster.binary_search(&drive).is_ok()
    }

    /// How many of its drives satisfy a condition.
    pub fn count(&self, satisfies: impl Fn(DriveId) -> bool) -> usize {
        self.roster.iter().filter(|&&drive| satisfies(drive)).count()
    }

    /// Whether as many of its drives as it asks for satisfy a condition.
    pub fn holds(&self, satisfies: impl Fn(DriveId) -> bool) -> bool {
        self.count(satisfies) >= self.copies_len()
    }

    /// Whether everything that lies on enough drives of an older roster lies on enough of this one: nobody left, and no more
    /// copies are asked for.
    pub fn inherits(&self, older: &Self) -> bool {
        self.copies <= older.copies && older.roster.iter().all(|&drive| self.contains(drive))
    }

    /// What is left to ask for when an operator has said that some of its drives never come back: the others, and no
    /// more of them than there are. `None` when none is left to ask.
    pub fn without(&self, given_up: &BTreeSet<DriveId>) -> Option<Self> {
        let roster: Vec<_> = self.roster.iter().copied().filter(|drive| !given_up.contains(drive)).collect();
        let copies = u8::try_from(roster.len()).unwrap_or(u8::MAX).min(self.copies);
        (copies > 0).then_some(Self { epoch: self.epoch, copies, roster })
    }
}

/// Who may be in the next roster.
#[derive(Debug, Clone, Copy)]
pub struct Choice<'a> {
    /// Drives that are here and well, in the order in which they are taken in.
    pub living: &'a [DriveId],
    /// Drives that are here and fail: they count among those that copies are reckoned by.
    pub failing: &'a BTreeSet<DriveId>,
    /// Drives that never come back, or must not.
    pub leaving: &'a BTreeSet<DriveId>,
    /// What [`copies_wanted`] says.
    pub copies_wanted: u8,
}

impl Choice<'_> {
    /// The quorum of an epoch behind another one. Who was in stays in, here or not, unless it leaves: a drive that merely is
    /// away comes back with groups that count. Others fill up to twice the copies, so that a failing drive has a successor.
    /// `None` where there is no drive at all.
    pub fn quorum(&self, base: Option<&Quorum>, epoch: EpochId) -> Option<Quorum> {
        let mut roster: BTreeSet<DriveId> = base.into_iter().flat_map(|base| base.roster.iter().copied()).collect();
        roster.retain(|drive| !self.leaving.contains(drive));
        let living = || self.living.iter().copied().filter(|drive| !self.leaving.contains(drive));
        let registered = roster.iter().copied().chain(living()).chain(self.failing.difference(self.leaving).copied());
        let registered = registered.collect::<BTreeSet<_>>().len();
        let copies = usize::from(self.copies_wanted.max(1)).min(registered);
        for drive in living() {
            if roster.len() >= 2 * copies {
                break;
            }
            roster.insert(drive);
        }
        let copies = u8::try_from(copies).expect("no more than wanted, which is a byte");
        (copies > 0).then(|| Quorum { epoch, copies, roster: roster.into_iter().collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_follow_parity_and_voters() {
        assert_eq!(copies_wanted(2, 0, 6), 3, "three of six drives on one machine");
        assert_eq!(copies_wanted(2, 1, 6), 2, "two each for three voters and m = 2");
        assert_eq!(copies_wanted(0, 0, 1), 1);
        assert_eq!(copies_wanted(0, 0, 2), 2, "a second drive is never left idle");
        assert_eq!(copies_wanted(1, 2, 5), 2);
        assert_eq!(copies_wanted(4, 0, 12), 5);
        assert_eq!(copies_wanted(255, 0, 12), 255);
    }

    /// Whatever the sizes: two disjoint sets of drives cannot both have enough for a start and for an epoch.
    #[test]
    fn no_two_halves_have_enough() {
        for drives in 1..=32_usize {
            for copies in 1..=drives {
                let needed = (drives - copies + 1).max(copies);
                assert!(2 * needed > drives, "{drives} drives, {copies} copies");
                assert!(copies + (drives - copies + 1) > drives, "an acknowledged group is found");
            }
        }
    }

    #[test]
    fn giving_drives_up_asks_for_the_others() {
        let drives = |ids: &[u64]| ids.iter().map(|&id| DriveId(id)).collect::<Vec<_>>();
        let quorum = Quorum { epoch: EpochId(1), copies: 2, roster: drives(&[1, 2, 3]) };
        quorum.check().unwrap();
        let rest = quorum.without(&[DriveId(1), DriveId(3)].into()).unwrap();
        assert_eq!((rest.copies, rest.roster), (1, drives(&[2])));
        assert_eq!(quorum.without(&drives(&[1, 2, 3]).into_iter().collect()), None);
        assert!(quorum.holds(|drive| drive.0 < 3));
        assert!(!quorum.holds(|drive| drive.0 == 3));
        assert!(Quorum { copies: 4, ..quorum.clone() }.check().is_err());
        assert!(Quorum { copies: 0, ..quorum.clone() }.check().is_err());
        assert!(Quorum { roster: drives(&[2, 1, 3]), ..quorum }.check().is_err());
    }
}
