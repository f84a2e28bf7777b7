//! What the sequence of records amounts to: which entries stand and in which group each lies, and the newest of each
//! control record. The same function follows the records while they are written and when they are found again.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::group::GroupNumber;
use crate::record::{LogRecord, RecordHead};

/// Entries that one append brought, as far as they stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The index of the first entry that the append brought.
    pub first_index: u64,
    /// How many of its entries stand, from the first on.
    pub count: u64,
    /// The group that the append lies in.
    pub group: GroupNumber,
    /// Which of the group's records it is.
    pub ordinal: usize,
}

/// What stands. Grows with the number of appends that stand, some 60 bytes for each: whoever keeps history purges it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contents {
    runs: BTreeMap<u64, Run>,
    next_index: Option<u64>,
    purged: Option<(u64, Bytes)>,
    vote: Option<Bytes>,
    committed: Option<Bytes>,
    mark: Option<Bytes>,
}

/// A record that cannot follow those before it. Nothing of it was taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("entry {found} cannot follow: {expected} is the next")]
pub struct NotConsecutive {
    /// The first index of the append.
    pub found: u64,
    /// The index that it should begin with.
    pub expected: u64,
}

impl Contents {
    /// Takes the next record over. `group` and `ordinal` say where it lies.
    pub fn apply(&mut self, record: &RecordHead, group: GroupNumber, ordinal: usize) -> Result<(), NotConsecutive> {
        match record {
            RecordHead::Append { first_index, lengths, .. } => {
                self.append(Run { first_index: *first_index, count: lengths.len() as u64, group, ordinal })?;
            }
            RecordHead::Truncate { from_index } => self.truncate(*from_index),
            RecordHead::Vote { payload } => self.vote = Some(payload.0.clone()),
            RecordHead::Committed { payload } => self.committed = Some(payload.0.clone()),
            RecordHead::Mark { payload } => self.mark = Some(payload.0.clone()),
            RecordHead::Purge { up_to_index, payload } => self.purge(*up_to_index, payload.0.clone()),
        }
        Ok(())
    }

    fn append(&mut self, run: Run) -> Result<(), NotConsecutive> {
        if let Some(expected) = self.next_index.filter(|&next| next != run.first_index) {
            return Err(NotConsecutive { found: run.first_index, expected });
        }
        let next = run.first_index.checked_add(run.count);
        let next = next.ok_or(NotConsecutive { found: run.first_index, expected: 0 })?;
        self.next_index = Some(next);
        if run.count > 0 {
            self.runs.insert(run.first_index, run);
        }
        // Entries that were purged before they were found again do not stand.
        self.drop_purged();
        Ok(())
    }

    fn truncate(&mut self, from_index: u64) {
        if self.next_index.is_none_or(|next| next <= from_index) {
            return;
        }
        self.next_index = Some(from_index);
        self.runs.split_off(&from_index);
        if let Some(mut last) = self.runs.last_entry() {
            let run = last.get_mut();
            run.count = run.count.min(from_index - run.first_index);
        }
        // What is left of the last append may all have been purged before.
        self.drop_purged();
    }

    fn purge(&mut self, up_to_index: u64, payload: Bytes) {
        if self.purged.as_ref().is_some_and(|(before, _)| *before > up_to_index) {
            return;
        }
        self.purged = Some((up_to_index, payload));
        self.drop_purged();
        if self.next_index.is_some_and(|next| next <= up_to_index) {
            self.next_index = Some(up_to_index + 1);
        }
    }

    fn drop_purged(&mut self) {
        let Some(&(up_to_index, _)) = self.purged.as_ref() else { return };
        while let Some(first) = self.runs.first_entry() {
            let run = first.get();
            if run.first_index + run.count > up_to_index + 1 {
                break;
            }
            first.remove();
        }
    }

    /// Ends the following of records that were found again: from here on the next append is known, also where all
    /// entries were purged.
    pub fn settle(&mut self) {
        if let (None, Some((up_to_index, _))) = (self.next_index, &self.purged) {
            self.next_index = Some(up_to_index + 1);
        }
    }

    /// The first entry that stands; none where there is none.
    pub fn first_index(&self) -> Option<u64> {
        let first = self.runs.first_key_value().map(|(&first, _)| first)?;
        Some(self.purged.as_ref().map_or(first, |(up_to, _)| first.max(up_to + 1)))
    }

    /// The index that the next append must begin with; `None` where any will do, because there never was one.
    pub fn next_index(&self) -> Option<u64> {
        self.next_index
    }

    /// The last entry that stands; none where there is none.
    pub fn last_index(&self) -> Option<u64> {
        self.runs.last_key_value().map(|(_, run)| run.first_index + run.count - 1)
    }

    /// Where an entry lies; `None` where it does not stand.
    pub fn find(&self, index: u64) -> Option<Run> {
        if self.purged.as_ref().is_some_and(|(up_to, _)| index <= *up_to) {
            return None;
        }
        let (_, run) = self.runs.range(..=index).next_back()?;
        (index - run.first_index < run.count).then_some(*run)
    }

    /// The first group that holds an entry that stands; `None` where no group does.
    pub fn first_group(&self) -> Option<GroupNumber> {
        self.runs.first_key_value().map(|(_, run)| run.group)
    }

    /// The newest vote.
    pub fn vote(&self) -> Option<&Bytes> {
        self.vote.as_ref()
    }

    /// What was last known to be committed.
    pub fn committed(&self) -> Option<&Bytes> {
        self.committed.as_ref()
    }

    /// The newest mark.
    pub fn mark(&self) -> Option<&Bytes> {
        self.mark.as_ref()
    }

    /// The last index that was purged, and what was said about it.
    pub fn purged(&self) -> Option<(u64, &Bytes)> {
        self.purged.as_ref().map(|(up_to, payload)| (*up_to, payload))
    }

    /// All control records again. A purge takes groups away that hold the newest vote, so it says everything once more
    /// in the group that allows it.
    pub fn restate(&self) -> Vec<LogRecord> {
        let vote = self.vote.clone().map(|payload| LogRecord::Vote { payload });
        let committed = self.committed.clone().map(|payload| LogRecord::Committed { payload });
        let mark = self.mark.clone().map(|payload| LogRecord::Mark { payload });
        let purged = self.purged.clone().map(|(up_to_index, payload)| LogRecord::Purge { up_to_index, payload });
        [vote, committed, mark, purged].into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests;
