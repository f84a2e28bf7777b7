//! What clients saw of one key, and whether an order of all of it explains that: each operation takes effect at one moment
//! between its call and its answer, one without an answer at any moment after its call, or never.

use std::collections::HashSet;

use tokio::time::Instant;

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// The value.
    Read,
    /// This value from now on.
    Write(u64),
    /// This value, if the other one is there.
    Swap(Option<u64>, u64),
}

/// What was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is done.
    Done,
    /// The other value is not there.
    Differs,
    /// The value is this.
    Value(Option<u64>),
}

/// One operation of one client.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event {
    pub(super) ask: Ask,
    pub(super) called: Instant,
    /// None where nobody knows.
    pub(super) answered: Option<(Instant, Answer)>,
}

impl Event {
    /// What the value is after it; none where it cannot have been answered so.
    fn step(&self, value: Option<u64>) -> Option<Option<u64>> {
        let answer = self.answered.map(|(_, answer)| answer);
        match (self.ask, answer) {
            (Ask::Read, Some(Answer::Value(seen))) => (seen == value).then_some(value),
            (Ask::Write(new), Some(Answer::Done) | None) => Some(Some(new)),
            (Ask::Swap(old, new), Some(Answer::Done) | None) => (value == old).then_some(Some(new)),
            (Ask::Swap(old, _), Some(Answer::Differs)) => (value != old).then_some(value),
            // What was read and not answered explains nothing.
            (Ask::Read, None) => None,
            (ask, answer) => panic!("{ask:?} is never answered {answer:?}"),
        }
    }
}

/// Whether some order explains what was seen of a key that had no value at first.
pub(super) fn is_linearizable(events: &[Event]) -> bool {
    let mut events: Vec<_> = events.iter().filter(|event| event.ask != Ask::Read || event.answered.is_some()).collect();
    events.sort_by_key(|event| event.called);
    let wanted = events.iter().filter(|event| event.answered.is_some()).count();
    let words = events.len().div_ceil(64);
    let is_set = |done: &[u64], n: usize| done[n / 64] & (1 << (n % 64)) != 0;
    let mut seen = HashSet::new();
    let mut open = vec![(vec![0_u64; words], None::<u64>, 0_usize)];
    while let Some((done, value, explained)) = open.pop() {
        if explained == wanted {
            return true;
        }
        if !seen.insert((done.clone(), value)) {
            continue;
        }
        let left = || events.iter().enumerate().filter(|(n, _)| !is_set(&done, *n));
        // Whatever was called behind the first answer that is still to come cannot be before it.
        let first_answer = left().filter_map(|(_, event)| Some(event.answered?.0)).min().expect("some are left");
        let next = left().filter(|(_, event)| event.called <= first_answer);
        let mut steps: Vec<_> = next.filter_map(|(n, event)| Some((n, event, event.step(value)?))).collect();
        // The last one pushed is tried first: those that were answered, the earliest first.
        steps.sort_by_key(|(_, event, _)| {
            std::cmp::Reverse(event.answered.map_or((1, event.called), |(at, _)| (0, at)))
        });
        for (n, event, value) in steps {
            let mut done = done.clone();
            done[n / 64] |= 1 << (n % 64);
            open.push((done, value, explained + usize::from(event.answered.is_some())));
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// What was asked, at which millisecond, and when what was answered.
    type Line = (Ask, u64, Option<(u64, Answer)>);

    fn history(events: &[Line]) -> Vec<Event> {
        let zero = Instant::now();
        let at = |ms| zero + Duration::from_millis(ms);
        let event = |&(ask, called, answered): &Line| Event {
            ask,
            called: at(called),
            answered: answered.map(|(time, answer)| (at(time), answer)),
        };
        events.iter().map(event).collect()
    }

    #[test]
    fn what_an_order_explains_passes_and_nothing_else() {
        use Answer::{Differs, Done, Value};
        use Ask::{Read, Swap, Write};
        let good: &[&[_]] = &[
            &[(Write(1), 0, Some((5, Done))), (Read, 6, Some((7, Value(Some(1)))))],
            &[(Write(1), 0, Some((9, Done))), (Read, 2, Some((3, Value(None)))), (Read, 4, Some((5, Value(Some(1)))))],
            &[(Write(1), 0, None), (Read, 50, Some((51, Value(None)))), (Read, 60, Some((61, Value(Some(1)))))],
            &[(Swap(None, 1), 0, Some((9, Done))), (Swap(None, 2), 0, Some((9, Differs)))],
            &[(Write(1), 0, Some((1, Done))), (Swap(Some(1), 2), 2, None), (Swap(Some(1), 3), 5, Some((6, Differs)))],
        ];
        for events in good {
            assert!(is_linearizable(&history(events)), "{events:?}");
        }
        let bad: &[&[_]] = &[
            &[(Write(1), 0, Some((5, Done))), (Read, 6, Some((7, Value(None))))],
            &[(Write(1), 0, Some((9, Done))), (Read, 2, Some((3, Value(Some(1))))), (Read, 4, Some((5, Value(None))))],
            &[(Write(1), 5, None), (Read, 0, Some((4, Value(Some(1)))))],
            &[(Swap(None, 1), 0, Some((9, Done))), (Swap(None, 2), 0, Some((9, Done)))],
            &[(Write(1), 0, None), (Write(2), 1, Some((2, Done))), (Read, 3, Some((4, Value(Some(3)))))],
            // What came back twice had two effects.
            &[
                (Swap(None, 1), 0, None),
                (Read, 1, Some((2, Value(Some(1))))),
                (Write(2), 3, Some((4, Done))),
                (Read, 5, Some((6, Value(Some(1))))),
            ],
        ];
        for events in bad {
            assert!(!is_linearizable(&history(events)), "{events:?}");
        }
    }
}
