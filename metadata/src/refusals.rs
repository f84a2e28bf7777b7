//! Which operations of the latest entries were refused. The log says what was asked for; what came of it is known where
//! it was applied, and remembered for as long as there is room.

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_core::LogIndex;
use cairn_machine::{Outcome, Refusal};

/// How many refusals are remembered: some MiB of them at most, and far more than an hour's worth of an ordinary day.
const REFUSALS_MAX: usize = 65_536;

/// The refused operations of one entry: its proposal, its place in that, and why.
pub type Refused = Arc<[(usize, usize, Refusal)]>;

/// What is remembered.
#[derive(Debug)]
pub(crate) struct Refusals {
    /// Of every entry from here on it is known.
    known_from: LogIndex,
    entries: BTreeMap<LogIndex, Refused>,
    count: usize,
    most: usize,
}

impl Refusals {
    /// Nothing is known of the entries up to an index, which stand in runs.
    pub(crate) fn behind(index: LogIndex) -> Self {
        Self { known_from: LogIndex(index.0 + 1), entries: BTreeMap::new(), count: 0, most: REFUSALS_MAX }
    }

    /// Takes over what came of an entry.
    pub(crate) fn take(&mut self, index: LogIndex, outcomes: &[Vec<Outcome>]) {
        let refused: Vec<_> = (outcomes.iter().enumerate())
            .flat_map(|(proposal, outcomes)| {
                (0..).zip(outcomes).map(move |(place, outcome)| (proposal, place, outcome))
            })
            .filter_map(|(proposal, place, outcome)| match outcome {
                Outcome::Refused(refusal) => Some((proposal, place, refusal.clone())),
                _ => None,
            })
            .collect();
        if refused.is_empty() {
            return;
        }
        self.count += refused.len();
        self.entries.insert(index, refused.into());
        while self.count > self.most && self.entries.len() > 1 {
            let (index, forgotten) = self.entries.pop_first().expect("there are several");
            self.count -= forgotten.len();
            self.known_from = LogIndex(index.0 + 1);
        }
    }

    /// What of an entry was refused; none where that is not known any more.
    pub(crate) fn of(&self, index: LogIndex) -> Option<Refused> {
        (index >= self.known_from).then(|| self.entries.get(&index).cloned().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(refused: usize) -> Vec<Vec<Outcome>> {
        let refusal = Outcome::Refused(Refusal::NotFormed);
        vec![vec![Outcome::Done], std::iter::once(Outcome::Done).chain(vec![refusal; refused]).collect()]
    }

    #[test]
    fn what_was_refused_is_remembered_for_as_long_as_there_is_room() {
        let mut refusals = Refusals { most: 5, ..Refusals::behind(LogIndex(10)) };
        assert_eq!(refusals.of(LogIndex(10)), None, "it stands in runs");
        refusals.take(LogIndex(11), &outcomes(2));
        refusals.take(LogIndex(12), &outcomes(0));
        refusals.take(LogIndex(13), &outcomes(3));
        let first: Vec<_> = refusals.of(LogIndex(11)).unwrap().iter().map(|(at, place, _)| (*at, *place)).collect();
        assert_eq!(first, [(1, 1), (1, 2)]);
        assert_eq!(refusals.of(LogIndex(12)).unwrap().len(), 0);
        refusals.take(LogIndex(14), &outcomes(1));
        assert_eq!(refusals.of(LogIndex(11)), None, "forgotten");
        assert_eq!(refusals.of(LogIndex(12)).unwrap().len(), 0);
        assert_eq!(refusals.of(LogIndex(13)).unwrap().len(), 3);
        refusals.take(LogIndex(15), &outcomes(9));
        assert_eq!(refusals.of(LogIndex(15)).unwrap().len(), 9, "the newest is kept, however much it is");
        assert_eq!(refusals.of(LogIndex(14)), None);
    }
}
