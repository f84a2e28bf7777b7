//! The times that a leader writes into the log. Pure: clock and stopwatch are handed in.
//!
//! ```text
//! the leader's clock ----> date: for people ------------------------------> Last-Modified, the log
//!        | and at most what was believed before + the stopwatch + a bound
//!        +---------------> sure time: never ahead of what a majority's clocks say --> the end of locks, of history
//! ```
//! What was believed is what stood in the log when this leader began, and from then on what a majority of the voters' clocks
//! agree on. So a clock that is set ahead is not taken over, and ends no lock: not even for a moment, because what a lock has let
//! go does not come back. Where several vote, the date is held back with it; a clock that is years ahead would else stand still
//! in the log for years, because neither time ever goes back.
//!
//! A voter that is alone has nobody to ask, and a machine that slept looks to it like a clock that was set. It dates by its
//! clock, because people look at that; but locks end later by as long as it was away, until an operator says that the clock is right.

use std::time::Duration;

use cairn_core::{Elapsed, WallTime};

/// How far a clock may run ahead of the stopwatch: clocks are corrected, and what a majority said is some moments old.
const SLACK: Duration = Duration::from_secs(5);

/// The times of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Times {
    /// For people.
    pub(crate) date: WallTime,
    /// What the time is at least. Never later than the date.
    pub(crate) sure: WallTime,
}

impl Times {
    fn or_later(self, other: Self) -> Self {
        let date = self.date.max(other.date);
        Self { date, sure: self.sure.max(other.sure).min(date) }
    }
}

/// What a leader believes about the time.
#[derive(Debug, Default)]
pub(crate) struct Calendar {
    /// What it wrote last.
    last: Times,
    /// What the time was at some moment of the stopwatch.
    believed: Option<(WallTime, Elapsed)>,
}

impl Calendar {
    /// The times of the next batch: `wall` as far as it is believed, and nothing that was written before is taken back, by
    /// this leader or in the applied log. The clock of who writes the very first batch is believed. `alone` says that no other
    /// voter has a clock that could be asked.
    pub(crate) fn assign(&mut self, (wall, elapsed): (WallTime, Elapsed), applied: Times, alone: bool) -> Times {
        if applied != Times::default() {
            // The slack stands in it already: with another one for each entry, time would run away.
            self.agree(earlier(applied.sure, SLACK), elapsed);
        }
        let believed = self.believed.get_or_insert((wall, elapsed));
        let sure = wall.min(later(later(believed.0, elapsed.since(believed.1)), SLACK));
        let date = if alone { wall } else { sure };
        self.last = self.last.or_later(applied).or_later(Times { date: date.max(sure), sure });
        self.last
    }

    /// Those whose word counts say that it is this time at least.
    pub(crate) fn agree(&mut self, time: WallTime, elapsed: Elapsed) {
        if self.now(elapsed).is_none_or(|now| now < time) {
            self.believed = Some((time, elapsed));
        }
    }

    /// What is believed of the time.
    fn now(&self, elapsed: Elapsed) -> Option<WallTime> {
        self.believed.map(|(time, at)| later(time, elapsed.since(at)))
    }
}

fn earlier(time: WallTime, by: Duration) -> WallTime {
    WallTime(time.0.saturating_sub(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
}

fn later(time: WallTime, by: Duration) -> WallTime {
    WallTime(time.0.saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
}

/// What a majority of so many voters' clocks say that the time is at least.
pub(crate) fn agreed(mut clocks: Vec<WallTime>, voters: usize) -> Option<WallTime> {
    clocks.sort_unstable();
    clocks.into_iter().rev().nth(voters / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEARS: u64 = 10 * 365 * 24 * 3600;

    fn wall(seconds: u64) -> WallTime {
        WallTime(1_700_000_000_000 + seconds * 1000)
    }

    fn at(seconds: u64) -> Elapsed {
        Elapsed(Duration::from_secs(seconds))
    }

    fn both(seconds: u64) -> Times {
        Times { date: wall(seconds), sure: wall(seconds) }
    }

    #[test]
    fn time_never_goes_back() {
        for alone in [false, true] {
            let mut calendar = Calendar::default();
            assert_eq!(calendar.assign((wall(50), at(0)), Times::default(), alone), both(50));
            assert_eq!(calendar.assign((wall(40), at(1)), both(50), alone), both(50));
            assert_eq!(calendar.assign((wall(55), at(2)), both(70), alone), both(70), "another leader was ahead");
            assert_eq!(calendar.assign((wall(72), at(4)), both(70), alone), both(72));
        }
    }

    #[test]
    fn a_clock_that_is_set_ahead_is_not_taken_over() {
        let mut calendar = Calendar::default();
        assert_eq!(calendar.assign((wall(0), at(100)), Times::default(), false), both(0));
        for second in 1..1000 {
            assert_eq!(
                calendar.assign((wall(second + YEARS), at(100 + second)), Times::default(), false),
                both(second + 5)
            );
        }
        assert_eq!(
            calendar.assign((wall(1001), at(1100)), Times::default(), false),
            both(1004),
            "it waits for the right time"
        );
        assert_eq!(calendar.assign((wall(1010), at(1110)), Times::default(), false), both(1010));
    }

    #[test]
    fn a_new_leader_goes_on_from_the_log_and_from_what_a_majority_says() {
        let mut calendar = Calendar::default();
        assert_eq!(calendar.assign((wall(YEARS), at(7)), both(0), false), both(0));
        calendar.agree(wall(3600), at(8));
        assert_eq!(calendar.assign((wall(YEARS), at(9)), both(0), false), both(3606), "everybody was off for an hour");
        calendar.agree(wall(10), at(9));
        assert_eq!(calendar.assign((wall(YEARS), at(10)), both(3606), false), both(3607), "and nobody takes it back");
    }

    #[test]
    fn who_is_alone_dates_by_its_clock_and_ends_no_lock_by_it() {
        let mut calendar = Calendar::default();
        let times = calendar.assign((wall(3600), at(0)), both(0), true);
        assert_eq!(times, Times { date: wall(3600), sure: wall(0) });
        let times = calendar.assign((wall(3700), at(100)), times, true);
        assert_eq!(times, Times { date: wall(3700), sure: wall(100) });
        // The operator says that it is right.
        calendar.agree(wall(3700), at(100));
        assert_eq!(calendar.assign((wall(3701), at(101)), times, true), both(3701));
    }

    #[test]
    fn a_majority_is_needed_and_the_earliest_of_it_counts() {
        let clocks = |seconds: &[u64]| seconds.iter().map(|&s| wall(s)).collect::<Vec<_>>();
        assert_eq!(agreed(clocks(&[YEARS, 10, 12]), 3), Some(wall(12)));
        assert_eq!(agreed(clocks(&[YEARS, 10]), 3), Some(wall(10)), "one has not answered");
        assert_eq!(agreed(clocks(&[YEARS]), 3), None);
        assert_eq!(agreed(clocks(&[YEARS, YEARS, 1, 2, 3]), 5), Some(wall(3)));
        assert_eq!(agreed(clocks(&[YEARS, 1]), 2), Some(wall(1)));
        assert_eq!(agreed(clocks(&[7]), 1), Some(wall(7)));
    }
}
