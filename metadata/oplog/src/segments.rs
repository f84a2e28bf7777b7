//! Which segments of a drive's journal are still needed. Purging removes whole segments: those whose groups are all below
//! the floor.

use std::collections::BTreeMap;

use crate::group::GroupNumber;

/// What is known of a drive's segments: which may be removed.
#[derive(Debug, Clone, Default)]
pub(crate) struct SegmentUse {
    /// For each segment the highest of its groups that counts.
    pub highest: BTreeMap<u32, GroupNumber>,
    /// The last segment that something was reported from. Reports come in order, so everything in the segments before it
    /// is known.
    pub newest: u32,
    /// Where the epoch's record lies; none where the drive has not taken it.
    pub epoch: Option<u32>,
}

impl SegmentUse {
    pub fn note(&mut self, segment: u32, number: GroupNumber) {
        self.newest = self.newest.max(segment);
        let highest = self.highest.entry(segment).or_default();
        *highest = number.max(*highest);
    }

    /// The newest epoch's record lies in a segment from now on.
    pub fn took_epoch(&mut self, segment: u32) {
        self.newest = self.newest.max(segment);
        self.epoch = Some(segment);
    }

    /// What may go once everything below a floor is not needed; none on a drive that has not taken the epoch.
    pub fn reclaim(&self, drive: usize, floor: GroupNumber) -> Option<Reclaim> {
        let needed = self.highest.iter().filter(|(_, highest)| **highest >= floor).map(|(segment, _)| *segment);
        self.epoch.map(|epoch_segment| Reclaim { drive, below: self.newest, needed: needed.collect(), epoch_segment })
    }
}

/// A drive's segments that may go: those below a bound that are not needed.
#[derive(Debug)]
pub(crate) struct Reclaim {
    pub drive: usize,
    pub below: u32,
    pub needed: Vec<u32>,
    pub epoch_segment: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_that_is_not_reported_on_yet_is_never_removed() {
        let mut segments = SegmentUse { epoch: Some(1), ..SegmentUse::default() };
        segments.note(1, GroupNumber(4));
        segments.note(1, GroupNumber(3));
        segments.note(2, GroupNumber(9));
        let reclaim = segments.reclaim(0, GroupNumber(5)).unwrap();
        assert_eq!((reclaim.below, reclaim.needed), (2, vec![2]), "segment 3 may already be written to");
        assert_eq!(segments.reclaim(0, GroupNumber(4)).unwrap().needed, [1, 2]);
        assert!(SegmentUse::default().reclaim(0, GroupNumber(4)).is_none());
    }
}
