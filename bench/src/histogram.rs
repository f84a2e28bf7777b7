//! Latencies, counted into buckets whose width grows with the value: any number of them in a few KiB, and every figure
//! within 1 % of the truth.
//!
//! ```text
//! microseconds   0 .. 127            128 .. 255        256 .. 511         512 .. 1023   ...
//! buckets        one for each value  one for each      one for each two   one for four  ...
//! ```

use std::time::Duration;

/// How many buckets each doubling has: a value is at most 1/128 of itself away from its bucket's edge.
const PER_DOUBLING: usize = 128;

/// How many doublings there are behind the first run: up to 2^40 us, some twelve days.
const DOUBLINGS: usize = 33;

/// Counted durations.
#[derive(Debug, Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    count: u64,
    sum_us: u64,
    max_us: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; PER_DOUBLING * (DOUBLINGS + 1)], count: 0, sum_us: 0, max_us: 0 }
    }
}

fn bucket_of(us: u64) -> usize {
    let us = us.min((1 << 40) - 1);
    if us < PER_DOUBLING as u64 {
        return us as usize;
    }
    let doubling = (us.ilog2() - PER_DOUBLING.ilog2()) as usize;
    PER_DOUBLING * (doubling + 1) + (us >> doubling) as usize - PER_DOUBLING
}

/// The largest value that a bucket holds.
fn upper_edge(bucket: usize) -> u64 {
    if bucket < PER_DOUBLING {
        return bucket as u64;
    }
    let (doubling, within) = (bucket / PER_DOUBLING - 1, bucket % PER_DOUBLING);
    (((PER_DOUBLING + within + 1) as u64) << doubling) - 1
}

impl Histogram {
    /// Counts one.
    pub fn record(&mut self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.counts[bucket_of(us)] += 1;
        self.count += 1;
        self.sum_us = self.sum_us.saturating_add(us);
        self.max_us = self.max_us.max(us);
    }

    /// Adds what another has counted.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.count += other.count;
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
        self.max_us = self.max_us.max(other.max_us);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// What this share of them did not exceed, in milliseconds; zero when nothing was counted. The share is in hundredths
    /// of a percent: 9,900 is the 99th hundredth.
    pub fn quantile_ms(&self, ten_thousandths: u64) -> f64 {
        assert!(ten_thousandths <= 10_000, "a share of the whole");
        let rank = (self.count * ten_thousandths).div_ceil(10_000).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return upper_edge(bucket).min(self.max_us) as f64 / 1000.0;
            }
        }
        0.0
    }

    /// The greatest, in milliseconds.
    pub fn max_ms(&self) -> f64 {
        self.max_us as f64 / 1000.0
    }

    /// The mean, in milliseconds; zero when nothing was counted.
    pub fn mean_ms(&self) -> f64 {
        self.sum_us as f64 / self.count.max(1) as f64 / 1000.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: impl IntoIterator<Item = u64>) -> Histogram {
        let mut histogram = Histogram::default();
        values.into_iter().for_each(|us| histogram.record(Duration::from_micros(us)));
        histogram
    }

    #[test]
    fn buckets_follow_one_another_without_a_gap() {
        let mut before = None;
        for bucket in 0..PER_DOUBLING * (DOUBLINGS + 1) {
            let edge = upper_edge(bucket);
            assert_eq!(bucket_of(edge), bucket);
            if let Some(before) = before {
                assert_eq!(bucket_of(before + 1), bucket);
            }
            before = Some(edge);
        }
        assert_eq!(before, Some((1 << 40) - 1));
        assert_eq!(bucket_of(u64::MAX), PER_DOUBLING * (DOUBLINGS + 1) - 1);
    }

    #[test]
    fn quantiles_are_of_what_was_counted() {
        let histogram = of(1..=1000);
        assert_eq!(histogram.count(), 1000);
        assert!((histogram.quantile_ms(5_000) - 0.5).abs() < 0.005);
        assert!((histogram.quantile_ms(9_900) - 0.99).abs() < 0.01);
        assert_eq!(histogram.quantile_ms(10_000), 1.0);
        assert_eq!(histogram.max_ms(), 1.0);
        assert_eq!(histogram.mean_ms(), 0.5005);
        assert_eq!(Histogram::default().quantile_ms(9_900), 0.0);
    }

    proptest! {
        #[test]
        fn every_quantile_is_within_a_hundredth(mut values in prop::collection::vec(0u64..1 << 40, 1..200), share in 1u64..=10_000) {
            let (left, right) = values.split_at(values.len() / 2);
            let mut histogram = of(left.iter().copied());
            histogram.merge(&of(right.iter().copied()));
            values.sort_unstable();
            let rank = (values.len() as u64 * share).div_ceil(10_000).max(1);
            let truth = values[rank as usize - 1] as f64 / 1000.0;
            let said = histogram.quantile_ms(share);
            prop_assert!(said >= truth && said <= truth * 1.01 + 0.001, "{said} for {truth}");
        }
    }
}
