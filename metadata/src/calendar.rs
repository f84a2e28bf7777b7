//! The time that a leader writes into the log. Pure.
//!
//! It is the wall clock's, except that it never goes back: not when the clock is set back, not when another leader with
//! another clock takes over. It dates things for people; it expires nothing.

use cairn_core::WallTime;

/// The last time that was written.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Calendar {
    last: WallTime,
}

impl Calendar {
    /// The time of the next batch: `now`, or the last one written, by this leader or in the applied log.
    pub(crate) fn assign(&mut self, now: WallTime, applied: WallTime) -> WallTime {
        self.last = self.last.max(applied).max(now);
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_never_goes_back() {
        let mut calendar = Calendar::default();
        assert_eq!(calendar.assign(WallTime(50), WallTime(0)), WallTime(50));
        assert_eq!(calendar.assign(WallTime(40), WallTime(0)), WallTime(50));
        assert_eq!(calendar.assign(WallTime(55), WallTime(70)), WallTime(70));
    }
}
