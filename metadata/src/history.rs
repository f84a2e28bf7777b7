//! How much of the log is kept behind the newest run. Pure.
//!
//! Everything up to the newest run is in the runs; the log behind it is kept for people who want to know what happened.
//! It can be cut where a run was cut, so what is remembered is a list of checkpoints.
//!
//! ```text
//! purged | c0 ..entries.. | c1 ..entries.. | c2 = newest run | entries that a start applies
//!          ^ the log begins here
//! ```

use cairn_core::WallTime;

use crate::config::HistoryPolicy;
use crate::raft::{AppliedState, CHECKPOINTS_MAX, Checkpoint, Position};

/// What a new run makes of the checkpoints.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Where the log may still be cut, oldest first. The first is where it begins, the last is the new run's.
    pub(crate) checkpoints: Vec<Checkpoint>,
}

impl Plan {
    /// The last entry that nobody needs any more. A purge that was planned and lost in a crash is planned again with the
    /// next run, because this only says where the log is to begin.
    pub(crate) fn purge_up_to(&self) -> Option<Position> {
        self.checkpoints.first().map(|base| base.last).filter(|last| last.index > 0)
    }
}

/// Where every log begins: with the entry that names its first member.
const GENESIS: Checkpoint = Checkpoint { last: Position { term: 0, index: 0 }, time: WallTime(0), log_bytes: 0 };

/// The new run's checkpoint joins the others; what is too old, too large or too many goes.
pub(crate) fn plan(before: &[Checkpoint], applied: &AppliedState, policy: HistoryPolicy) -> Plan {
    let Some(last) = applied.last else { return Plan { checkpoints: before.to_vec() } };
    // What time would throw away goes by the time that is sure.
    let newest = Checkpoint { last, time: applied.sure_time(), log_bytes: applied.log_bytes };
    let age_ms = u64::try_from(policy.age.as_millis()).unwrap_or(u64::MAX);
    let oldest_time = WallTime(newest.time.0.saturating_sub(age_ms));
    let mut checkpoints = if before.is_empty() { vec![GENESIS] } else { before.to_vec() };
    checkpoints.retain(|checkpoint| checkpoint.last.index < last.index);
    checkpoints.push(newest);
    // The entries between a checkpoint and the next are as old as the next, and the log from a checkpoint on is as large
    // as what came since.
    let too_much =
        |pair: &[Checkpoint]| pair[1].time < oldest_time || newest.log_bytes - pair[0].log_bytes > policy.bytes;
    let beyond = checkpoints.windows(2).take_while(|pair| too_much(pair)).count();
    let crowded = checkpoints.len().saturating_sub(CHECKPOINTS_MAX);
    checkpoints.drain(..beyond.max(crowded));
    Plan { checkpoints }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn checkpoint(index: u64, seconds: u64, log_bytes: u64) -> Checkpoint {
        Checkpoint { last: Position { term: 1, index }, time: WallTime(seconds * 1000), log_bytes }
    }

    fn applied(index: u64, seconds: u64, log_bytes: u64) -> AppliedState {
        let Checkpoint { last, time, log_bytes } = checkpoint(index, seconds, log_bytes);
        AppliedState { last: Some(last), time, log_bytes, ..AppliedState::default() }
    }

    const POLICY: HistoryPolicy = HistoryPolicy { age: Duration::from_secs(100), bytes: 1000 };

    #[test]
    fn the_first_run_keeps_the_whole_log() {
        let planned = plan(&[], &applied(40, 1_000_000, 900), POLICY);
        assert_eq!(planned.checkpoints, [GENESIS, checkpoint(40, 1_000_000, 900)]);
        assert_eq!(planned.purge_up_to(), None);
    }

    #[test]
    fn what_is_too_old_or_too_large_goes() {
        let before = [checkpoint(10, 5, 100), checkpoint(20, 50, 200), checkpoint(30, 90, 900)];
        let kept = plan(&before, &applied(40, 100, 1000), POLICY);
        assert_eq!(kept.checkpoints.len(), 4);
        assert_eq!(kept.purge_up_to(), Some(before[0].last), "where it begins already");
        let old = plan(&before, &applied(40, 160, 1000), POLICY);
        assert_eq!(
            old.checkpoints,
            [before[1], before[2], checkpoint(40, 160, 1000)],
            "some behind 20 is young enough"
        );
        let large = plan(&before, &applied(40, 100, 1300), POLICY);
        assert_eq!(large.checkpoints, [before[2], checkpoint(40, 100, 1300)]);
        assert_eq!(large.purge_up_to(), Some(before[2].last));
    }

    #[test]
    fn without_history_everything_in_runs_goes() {
        let none = HistoryPolicy { age: Duration::ZERO, bytes: 0 };
        let planned = plan(&[checkpoint(10, 5, 100)], &applied(20, 6, 101), none);
        assert_eq!(planned.checkpoints, [checkpoint(20, 6, 101)]);
        assert_eq!(planned.purge_up_to(), Some(Position { term: 1, index: 20 }));
    }

    #[test]
    fn checkpoints_are_bounded() {
        let before: Vec<_> = (1..=CHECKPOINTS_MAX as u64).map(|n| checkpoint(n, 50, 50)).collect();
        let planned = plan(&before, &applied(1000, 50, 50), POLICY);
        assert_eq!(planned.checkpoints.len(), CHECKPOINTS_MAX);
        assert_eq!(planned.purge_up_to(), Some(before[1].last));
    }
}
