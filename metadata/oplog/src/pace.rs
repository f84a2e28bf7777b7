//! How quickly drives answer, each against the others. Pure: the shell says what time it is.
//!
//! A drive is late when another one has synced the same group and it has not for as long again. So a pause of all drives at
//! once, which often share a device, makes nobody late: nothing is moved for it. Where no drive has answered at all for a
//! long while, one more is asked; if that one answers, the others are late against it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use cairn_core::Elapsed;

use crate::group::GroupNumber;

/// After how many times the usual patience one more drive is asked, where none has answered.
const SILENCES: u32 = 4;

/// What was sent and what came back.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    groups: BTreeMap<GroupNumber, Times>,
    /// For each drive what it was sent and has not answered, oldest first: a journal answers in order.
    unanswered: Vec<VecDeque<(GroupNumber, Elapsed)>>,
}

/// A group under way.
#[derive(Debug, Clone, Copy)]
struct Times {
    since: Elapsed,
    first_synced: Option<Elapsed>,
    asked_more: u32,
}

/// How long is waited for whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// See [`crate::Options::late_after`].
    pub late: Duration,
    /// See [`crate::Options::given_up_after`].
    pub given_up: Duration,
}

/// What is due.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Due {
    /// Groups that some drive has synced and others have not for too long.
    pub late: Vec<GroupNumber>,
    /// Groups that no drive has synced for too long.
    pub silent: Vec<GroupNumber>,
    /// Drives that have not answered for so long that they are given up, though the group went on without them.
    pub given_up: Vec<usize>,
    /// After how long something else may be due; none while nothing is under way.
    pub wait: Option<Duration>,
}

impl Pace {
    pub fn formed(&mut self, number: GroupNumber, now: Elapsed) {
        self.groups.insert(number, Times { since: now, first_synced: None, asked_more: 0 });
    }

    pub fn sent(&mut self, drive: usize, number: GroupNumber, now: Elapsed) {
        if self.unanswered.len() <= drive {
            self.unanswered.resize_with(drive + 1, VecDeque::new);
        }
        self.unanswered[drive].push_back((number, now));
    }

    pub fn answered(&mut self, drive: usize, number: GroupNumber, synced: bool, now: Elapsed) {
        if let Some(unanswered) = self.unanswered.get_mut(drive)
            && let Some(at) = unanswered.iter().position(|(sent, _)| *sent == number)
        {
            unanswered.remove(at);
        }
        if let Some(times) = self.groups.get_mut(&number).filter(|_| synced) {
            times.first_synced.get_or_insert(now);
        }
    }

    /// Nothing more is expected of a drive.
    pub fn left(&mut self, drive: usize) {
        if let Some(unanswered) = self.unanswered.get_mut(drive) {
            unanswered.clear();
        }
    }

    /// Nobody waits any more for groups up to this one.
    pub fn acknowledged(&mut self, up_to: GroupNumber) {
        self.groups = self.groups.split_off(&up_to.next());
    }

    /// Whether a drive has owed an answer for so long that nothing more should be asked of it now.
    pub fn is_slow(&self, drive: usize, patience: Patience, now: Elapsed) -> bool {
        let oldest = self.unanswered.get(drive).and_then(VecDeque::front);
        oldest.is_some_and(|(_, since)| now.since(*since) >= patience.late)
    }

    /// What is due now. To be asked again after [`Due::wait`], and when a group was formed.
    pub fn due(&mut self, now: Elapsed, patience: Patience, acknowledged: GroupNumber) -> Due {
        let mut due = Due::default();
        let mut soonest = |wait: Duration| due.wait = Some(due.wait.map_or(wait, |least: Duration| least.min(wait)));
        for (&number, times) in &mut self.groups {
            let (from, allowed) = match times.first_synced {
                Some(first) => (first, patience.late.max(2 * first.since(times.since))),
                None => (times.since, patience.late * SILENCES * (times.asked_more + 1)),
            };
            let left = allowed.saturating_sub(now.since(from));
            if !left.is_zero() {
                soonest(left);
                continue;
            }
            if times.first_synced.is_some() {
                due.late.push(number);
            } else {
                times.asked_more += 1;
                due.silent.push(number);
            }
            // What is late is looked at again after the same time: another drive may have become free.
            soonest(patience.late);
        }
        for (drive, unanswered) in self.unanswered.iter().enumerate() {
            let Some((number, since)) = unanswered.front().filter(|(number, _)| *number <= acknowledged) else {
                continue;
            };
            let left = patience.given_up.saturating_sub(now.since(*since));
            if left.is_zero() {
                tracing::debug!(drive, %number, "a drive owes an answer for too long");
                due.given_up.push(drive);
            } else {
                soonest(left);
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience { late: Duration::from_millis(250), given_up: Duration::from_secs(30) };

    fn at(millis: u64) -> Elapsed {
        Elapsed(Duration::from_millis(millis))
    }

    fn sent_to_three() -> Pace {
        let mut pace = Pace::default();
        pace.formed(GroupNumber(1), at(0));
        (0..3).for_each(|drive| pace.sent(drive, GroupNumber(1), at(0)));
        pace
    }

    #[test]
    fn late_is_late_against_another() {
        let mut pace = sent_to_three();
        pace.answered(0, GroupNumber(1), true, at(2));
        let due = pace.due(at(3), PATIENCE, GroupNumber(0));
        assert_eq!((due.late, due.wait), (vec![], Some(Duration::from_millis(249))));
        assert_eq!(pace.due(at(252), PATIENCE, GroupNumber(0)).late, [GroupNumber(1)]);
    }

    #[test]
    fn a_pause_of_all_drives_makes_nobody_late() {
        let mut pace = sent_to_three();
        assert_eq!(pace.due(at(900), PATIENCE, GroupNumber(0)).late, []);
        pace.answered(0, GroupNumber(1), true, at(900));
        assert_eq!(pace.due(at(1300), PATIENCE, GroupNumber(0)).late, [], "as long again as the first one took");
        assert_eq!(pace.due(at(2700), PATIENCE, GroupNumber(0)).late, [GroupNumber(1)]);
    }

    #[test]
    fn where_nobody_answers_one_more_is_asked_now_and_then() {
        let mut pace = sent_to_three();
        assert_eq!(pace.due(at(1000), PATIENCE, GroupNumber(0)).silent, [GroupNumber(1)]);
        assert_eq!(pace.due(at(1100), PATIENCE, GroupNumber(0)).silent, []);
        assert_eq!(pace.due(at(2000), PATIENCE, GroupNumber(0)).silent, [GroupNumber(1)]);
    }

    #[test]
    fn only_who_was_gone_on_without_is_given_up() {
        let mut pace = sent_to_three();
        assert!(pace.due(at(60_000), PATIENCE, GroupNumber(0)).given_up.is_empty(), "all of them hang");
        pace.answered(0, GroupNumber(1), true, at(60_000));
        pace.answered(1, GroupNumber(1), true, at(60_000));
        pace.acknowledged(GroupNumber(1));
        assert!(pace.is_slow(2, PATIENCE, at(60_000)) && !pace.is_slow(1, PATIENCE, at(60_000)));
        assert_eq!(pace.due(at(60_000), PATIENCE, GroupNumber(1)).given_up, [2]);
        pace.left(2);
        assert_eq!(pace.due(at(60_000), PATIENCE, GroupNumber(1)), Due::default());
    }
}
