//! How long a drive takes, in a few hundred counters: enough to know when an answer is late and another drive should be
//! asked as well.
//!
//! ```text
//! microseconds  0 1 2 .. 7 | 8 .. 15 | 16 18 20 .. 30 | 32 36 .. 60 | ...      eight counters for each power of two
//! ```
//!
//! So a quantile is at most an eighth too large, and never too small. What counts is how the drive does now: after every
//! few thousand answers all counters are halved, so that an hour of the past weighs less than the last minute.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counters for each power of two.
const STEPS: u64 = 8;

/// Powers of two above the first eight microseconds: up to 2^29 us, some nine minutes. What takes longer counts as that.
const POWERS: usize = 27;

const COUNTERS: usize = STEPS as usize * (POWERS + 1);

/// After so many answers older ones count half.
const WINDOW: u64 = 4096;

/// What is known of one kind of operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quantiles {
    /// How many answers there were in all.
    pub count: u64,
    /// Half of the recent ones took no longer.
    pub p50: Duration,
    /// Nineteen of twenty.
    pub p95: Duration,
    /// Ninety-nine of a hundred.
    pub p99: Duration,
}

/// A drive's operations, as whoever asked it has seen them. Only what succeeded counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Latencies {
    /// Storing a chunk, the wait in the queue included.
    pub put: Quantiles,
    /// Reading blocks, from memory or from the device.
    pub get: Quantiles,
    /// Reading a head.
    pub head: Quantiles,
    /// Reading a whole chunk back from the device.
    pub read_back: Quantiles,
    /// Deleting a chunk.
    pub delete: Quantiles,
    /// A page of a listing.
    pub list: Quantiles,
}

/// Counts durations. Shared between threads without a lock; some two kilobytes.
pub struct Histogram {
    counters: [AtomicU64; COUNTERS],
    count: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counters: [const { AtomicU64::new(0) }; COUNTERS], count: AtomicU64::new(0) }
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.quantiles().fmt(f)
    }
}

impl Histogram {
    /// Counts one answer.
    pub fn record(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.counters[counter_of(micros)].fetch_add(1, Ordering::Relaxed);
        if (self.count.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(WINDOW) {
            self.halve();
        }
    }

    /// What is known now. Answers that arrive meanwhile may count or not.
    pub fn quantiles(&self) -> Quantiles {
        let counters: Vec<u64> = self.counters.iter().map(|counter| counter.load(Ordering::Relaxed)).collect();
        let total: u64 = counters.iter().sum();
        let quantile = |per_hundred: u64| {
            let wanted = (total * per_hundred).div_ceil(100).max(1);
            let mut seen = 0;
            let found = counters.iter().position(|count| {
                seen += count;
                seen >= wanted
            });
            found.map_or(Duration::ZERO, |counter| Duration::from_micros(upper_end(counter)))
        };
        let count = self.count.load(Ordering::Relaxed);
        Quantiles { count, p50: quantile(50), p95: quantile(95), p99: quantile(99) }
    }

    /// An answer that is counted while this runs may be lost, or count whole: nobody will notice.
    fn halve(&self) {
        for counter in &self.counters {
            let half = counter.load(Ordering::Relaxed) / 2;
            counter.store(half, Ordering::Relaxed);
        }
    }
}

fn counter_of(micros: u64) -> usize {
    if micros < STEPS {
        return micros as usize;
    }
    let power = micros.ilog2() - STEPS.ilog2();
    let step = (micros >> power) - STEPS;
    ((u64::from(power) + 1) * STEPS + step).min(COUNTERS as u64 - 1) as usize
}

/// The longest duration that a counter stands for, in microseconds.
fn upper_end(counter: usize) -> u64 {
    let counter = counter as u64;
    if counter < STEPS {
        return counter;
    }
    let (power, step) = (counter / STEPS - 1, counter % STEPS);
    ((STEPS + step + 1) << power) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_never_told_too_short_and_at_most_an_eighth_too_long() {
        let mut last = 0;
        for micros in (0..5000).chain((13..29).map(|power| (1u64 << power) + power)) {
            let told = upper_end(counter_of(micros));
            assert!(told >= micros && told <= micros + micros / 8, "{micros} us are told as {told}");
            if micros < 5000 {
                assert!(told >= last, "longer is never told as shorter");
                last = told;
            }
        }
        assert_eq!(counter_of(u64::MAX), COUNTERS - 1);
    }

    #[test]
    fn quantiles_are_those_of_what_was_counted() {
        let histogram = Histogram::default();
        assert_eq!(histogram.quantiles(), Quantiles::default());
        for micros in 1..=1000 {
            histogram.record(Duration::from_micros(micros));
        }
        let found = histogram.quantiles();
        assert_eq!(found.count, 1000);
        for (told, exact) in [(found.p50, 500), (found.p95, 950), (found.p99, 990)] {
            let told = told.as_micros() as u64;
            assert!(told >= exact && told <= exact + exact / 8, "{exact} is told as {told}");
        }
    }

    #[test]
    fn what_was_long_ago_weighs_little() {
        let histogram = Histogram::default();
        for _ in 0..10 * WINDOW {
            histogram.record(Duration::from_micros(100));
        }
        for _ in 0..3 * WINDOW {
            histogram.record(Duration::from_millis(10));
        }
        let found = histogram.quantiles();
        assert!(found.p50 >= Duration::from_millis(10), "the drive is slow now: {found:?}");
        assert_eq!(found.count, 13 * WINDOW);
    }
}
