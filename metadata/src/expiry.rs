//! When a session has been silent for too long. Pure: the stopwatch is handed in.
//!
//! A session ends only by an operation that names the renewal that its proposer saw last, so a renewal that arrives in
//! between saves it. The time is counted by the leader, from when it first saw that renewal: a new leader counts from
//! zero, and no time stamp in a row expires anything. So does one that has not looked for a while, because it was stopped
//! or its voters did not hear it: renewals could not reach it, and the silence was its own.

use std::collections::BTreeMap;
use std::time::Duration;

use cairn_core::{Elapsed, LogIndex, SessionId};

/// What a leader has seen of the sessions, and since when.
#[derive(Debug, Default)]
pub(crate) struct Expiry {
    seen: BTreeMap<SessionId, (LogIndex, Elapsed)>,
    /// When it looked last.
    looked: Option<Elapsed>,
}

impl Expiry {
    /// Looks at all sessions there are, each with its last renewal. Returns those that have been silent for the whole
    /// term, with the renewal that must still be their last. After half a term without a look it begins to count anew.
    pub(crate) fn observe(
        &mut self,
        now: Elapsed,
        term: Duration,
        sessions: &[(SessionId, LogIndex)],
    ) -> Vec<(SessionId, LogIndex)> {
        if self.looked.replace(now).is_some_and(|looked| now.since(looked) > term / 2) {
            self.seen.clear();
        }
        let mut seen = BTreeMap::new();
        let mut silent = Vec::new();
        for &(id, renewed) in sessions {
            let since = match self.seen.get(&id) {
                Some(&(before, since)) if before == renewed => since,
                _ => now,
            };
            if now.since(since) >= term {
                silent.push((id, renewed));
            }
            seen.insert(id, (renewed, since));
        }
        self.seen = seen;
        silent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERM: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> Elapsed {
        Elapsed(Duration::from_secs(seconds))
    }

    /// Looks every ten seconds until a session is silent, and says when that was.
    fn first_silent(expiry: &mut Expiry, from: u64, renewed: LogIndex) -> u64 {
        let mut now = from;
        while expiry.observe(at(now), TERM, &[(SessionId(1), renewed)]).is_empty() {
            now += 10;
        }
        now
    }

    #[test]
    fn the_whole_term_is_counted_since_the_last_renewal_was_seen() {
        let (a, b) = (SessionId(1), SessionId(2));
        let mut expiry = Expiry::default();
        for now in (1000..1060).step_by(10) {
            assert_eq!(expiry.observe(at(now), TERM, &[(a, LogIndex(5)), (b, LogIndex(6))]), []);
        }
        assert_eq!(expiry.observe(at(1059), TERM, &[(a, LogIndex(5)), (b, LogIndex(9))]), []);
        assert_eq!(expiry.observe(at(1060), TERM, &[(a, LogIndex(5)), (b, LogIndex(9))]), [(a, LogIndex(5))]);
        for now in (1069..1119).step_by(10) {
            assert_eq!(expiry.observe(at(now), TERM, &[(b, LogIndex(9))]), []);
        }
        assert_eq!(expiry.observe(at(1119), TERM, &[(b, LogIndex(9))]), [(b, LogIndex(9))]);
        let mut successor = Expiry::default();
        assert_eq!(successor.observe(at(1119), TERM, &[(b, LogIndex(9))]), [], "a new leader counts from zero");
    }

    #[test]
    fn what_nobody_looked_at_is_not_counted() {
        let mut expiry = Expiry::default();
        assert_eq!(first_silent(&mut expiry, 1000, LogIndex(5)), 1060);
        for now in [2000, 2010, 2020] {
            assert_eq!(expiry.observe(at(now), TERM, &[(SessionId(1), LogIndex(7))]), []);
        }
        assert_eq!(first_silent(&mut expiry, 2051, LogIndex(7)), 2111, "31 seconds without a look begin it anew");
        let mut expiry = Expiry::default();
        assert_eq!(expiry.observe(at(3000), TERM, &[(SessionId(1), LogIndex(7))]), []);
        assert_eq!(first_silent(&mut expiry, 3030, LogIndex(7)), 3060, "30 do not");
    }
}
