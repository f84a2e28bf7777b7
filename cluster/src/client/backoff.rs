//! When a peer that could not be reached is tried again. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// The first rest.
const REST_MIN: Duration = Duration::from_millis(50);

/// The longest: a peer that is back is noticed this soon, even if it does not call us.
const REST_MAX: Duration = Duration::from_secs(2);

/// How often an address failed in a row, and how long it is left alone.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    until: Option<Instant>,
}

impl Backoff {
    /// How long to rest still, if at all.
    pub(super) fn rest(&self, now: Instant) -> Option<Duration> {
        self.until.and_then(|until| until.checked_duration_since(now)).filter(|rest| !rest.is_zero())
    }

    /// An attempt failed. Attempts that were under way at the same time count once. Half of the rest is drawn, so that
    /// many who lost one peer do not come back at one moment.
    pub(super) fn failed(&mut self, now: Instant, random: u64) {
        if self.rest(now).is_some() {
            return;
        }
        let longest = REST_MIN.saturating_mul(1 << self.failures.min(10)).min(REST_MAX);
        let half = longest / 2;
        let drawn = Duration::from_nanos(random % (half.as_nanos() as u64 + 1));
        self.failures = self.failures.saturating_add(1);
        self.until = Some(now + half + drawn);
    }

    /// An attempt succeeded, or the peer was heard of.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn rests_grow_up_to_a_bound_and_end_with_a_success() {
        let mut now = Instant::now();
        let mut backoff = Backoff::default();
        assert_eq!(backoff.rest(now), None);
        let mut before = Duration::ZERO;
        for round in 0..20u64 {
            backoff.failed(now, round.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let rest = backoff.rest(now).unwrap();
            assert!(rest <= REST_MAX && rest >= REST_MIN / 2, "{rest:?}");
            assert!(rest >= before / 4, "it grows, but for what is drawn");
            backoff.failed(now, 0);
            assert_eq!(backoff.rest(now), Some(rest), "failures at one moment count once");
            before = rest;
            now += rest;
            assert_eq!(backoff.rest(now), None);
        }
        assert!(before >= REST_MAX / 2);
        backoff.failed(now, 0);
        backoff.reset();
        assert_eq!(backoff.rest(now), None);
    }
}
