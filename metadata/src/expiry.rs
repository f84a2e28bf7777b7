//! When a session has been silent for too long. Pure: the stopwatch is handed in.
//!
//! A session ends only by an operation that names the renewal that its proposer saw last, so a renewal that arrives in
//! between saves it. The time is counted by the leader, from when it first saw that renewal: a new leader counts from
//! zero, and no time stamp in a row expires anything.

use std::collections::BTreeMap;
use std::time::Duration;

use cairn_core::{Elapsed, LogIndex, SessionId};

/// What a leader has seen of the sessions, and since when.
#[derive(Debug, Default)]
pub(crate) struct Expiry {
    seen: BTreeMap<SessionId, (LogIndex, Elapsed)>,
}

impl Expiry {
    /// Looks at all sessions there are, each with its last renewal. Returns those that have been silent for the whole
    /// term, with the renewal that must still be their last.
    pub(crate) fn observe(
        &mut self,
        now: Elapsed,
        term: Duration,
        sessions: &[(SessionId, LogIndex)],
    ) -> Vec<(SessionId, LogIndex)> {
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

    #[test]
    fn the_whole_term_is_counted_since_the_last_renewal_was_seen() {
        let (a, b) = (SessionId(1), SessionId(2));
        let mut expiry = Expiry::default();
        assert_eq!(expiry.observe(at(1000), TERM, &[(a, LogIndex(5)), (b, LogIndex(6))]), []);
        assert_eq!(expiry.observe(at(1059), TERM, &[(a, LogIndex(5)), (b, LogIndex(9))]), []);
        assert_eq!(expiry.observe(at(1060), TERM, &[(a, LogIndex(5)), (b, LogIndex(9))]), [(a, LogIndex(5))]);
        assert_eq!(expiry.observe(at(1118), TERM, &[(b, LogIndex(9))]), []);
        assert_eq!(expiry.observe(at(1119), TERM, &[(b, LogIndex(9))]), [(b, LogIndex(9))]);
        let mut successor = Expiry::default();
        assert_eq!(successor.observe(at(1119), TERM, &[(b, LogIndex(9))]), [], "a new leader counts from zero");
    }
}
