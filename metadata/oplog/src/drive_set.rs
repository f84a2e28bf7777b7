//! A set of the drives at hand, one bit each: a start weighs millions of groups, and for each of them which drives hold
//! it.

use core::fmt;

/// The most drives that one voter's log is looked for on. A node may have more; the caller offers this many at most.
pub const DRIVES_MAX: usize = 128;

/// Some of the drives at hand, by their position in the list that was handed in.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct DriveSet(u128);

impl DriveSet {
    /// No drive.
    pub const EMPTY: Self = Self(0);

    /// Adds the drive at a position. Positions are below [`DRIVES_MAX`].
    pub fn insert(&mut self, position: usize) {
        assert!(position < DRIVES_MAX, "no more drives are handed in");
        self.0 |= 1 << position;
    }

    /// Takes the drive at a position out.
    pub fn remove(&mut self, position: usize) {
        assert!(position < DRIVES_MAX, "no more drives are handed in");
        self.0 &= !(1 << position);
    }

    /// Whether the drive at a position is in.
    pub fn contains(self, position: usize) -> bool {
        position < DRIVES_MAX && self.0 & (1 << position) != 0
    }

    /// How many there are.
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those in both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Their positions, ascending.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        let mut left = self.0;
        core::iter::from_fn(move || {
            let position = left.trailing_zeros() as usize;
            (left != 0).then(|| {
                left &= left - 1;
                position
            })
        })
    }
}

impl FromIterator<usize> for DriveSet {
    fn from_iter<I: IntoIterator<Item = usize>>(positions: I) -> Self {
        let mut set = Self::EMPTY;
        positions.into_iter().for_each(|position| set.insert(position));
        set
    }
}

impl fmt::Debug for DriveSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_was_put_in() {
        let mut set: DriveSet = [0, 5, DRIVES_MAX - 1].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 5, DRIVES_MAX - 1]);
        assert_eq!(set.len(), 3);
        set.remove(5);
        assert!(!set.contains(5));
        assert_eq!(set.and([0, 5].into_iter().collect()).iter().collect::<Vec<_>>(), [0]);
        assert!(DriveSet::EMPTY.is_empty());
        assert!(!set.contains(DRIVES_MAX));
    }
}
