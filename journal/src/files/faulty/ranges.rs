//! Sets of block numbers, kept as runs: a preallocated file has one, however long it is.

use std::collections::BTreeMap;
use std::ops::Range;

/// Disjoint, non-touching runs, by their start.
#[derive(Debug, Clone, Default)]
pub(super) struct Ranges {
    runs: BTreeMap<u64, u64>,
}

impl Ranges {
    pub fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let (mut start, mut end) = (range.start, range.end);
        let touching: Vec<u64> =
            self.runs.range(..=end).rev().take_while(|&(_, &e)| e >= start).map(|(&s, _)| s).collect();
        for key in touching {
            let old_end = self.runs.remove(&key).expect("the run was just seen");
            start = start.min(key);
            end = end.max(old_end);
        }
        self.runs.insert(start, end);
    }

    pub fn remove(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let overlapping: Vec<(u64, u64)> =
            self.runs.range(..range.end).rev().take_while(|&(_, &e)| e > range.start).map(|(&s, &e)| (s, e)).collect();
        for (start, end) in overlapping {
            self.runs.remove(&start);
            if start < range.start {
                self.runs.insert(start, range.start);
            }
            if end > range.end {
                self.runs.insert(range.end, end);
            }
        }
    }

    /// How many numbers are in the set.
    pub fn total(&self) -> u64 {
        self.runs.iter().map(|(start, end)| end - start).sum()
    }

    /// How many of a range are not in the set.
    pub fn missing(&self, range: Range<u64>) -> u64 {
        let mut copy = self.clone();
        let before = copy.total();
        copy.insert(range);
        copy.total() - before
    }

    pub fn overlaps(&self, range: Range<u64>) -> bool {
        self.runs.range(..range.end).next_back().is_some_and(|(_, &end)| end > range.start)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_like_a_set(steps in proptest::collection::vec((any::<bool>(), 0u64..40, 0u64..12), 0..40)) {
            let (mut ranges, mut set) = (Ranges::default(), BTreeSet::new());
            for (insert, start, length) in steps {
                let range = start..start + length;
                let missing = range.clone().filter(|number| !set.contains(number)).count() as u64;
                prop_assert_eq!(ranges.missing(range.clone()), missing);
                prop_assert_eq!(ranges.overlaps(range.clone()) && !range.is_empty(), missing < length);
                if insert {
                    ranges.insert(range.clone());
                    set.extend(range);
                } else {
                    ranges.remove(range.clone());
                    set.retain(|number| !range.contains(number));
                }
                prop_assert_eq!(ranges.total(), set.len() as u64);
            }
        }
    }
}
