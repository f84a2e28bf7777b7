//! What a session still writes and reads, and what it may therefore publish. Pure.
//!
//! ```text
//! tickets  7   9 10     next 12   -> commits_from 7: chunks written under 3 are orphans for certain
//! views   @40 @52       rows @60  -> reads_from  40: garbage that came at 40 or before is in nobody's way
//! ```

use std::collections::{BTreeMap, BTreeSet};

use cairn_core::LogIndex;

/// What a session has said, or may say, in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Published {
    /// Below this counter it commits nothing more.
    pub(crate) commits_from: u64,
    /// Below this index it reads nothing more.
    pub(crate) reads_from: LogIndex,
}

/// The tickets and views that are out.
#[derive(Debug)]
pub(crate) struct Marks {
    next_counter: u64,
    tickets: BTreeSet<u64>,
    views: BTreeMap<LogIndex, u32>,
    /// No view is opened below this any more: what was published, or where the session began.
    floor: LogIndex,
}

impl Marks {
    pub(crate) fn new(registered: LogIndex) -> Self {
        Self { next_counter: 1, tickets: BTreeSet::new(), views: BTreeMap::new(), floor: registered }
    }

    /// A counter never given before. At a million a second they last for half a million years.
    pub(crate) fn next_counter(&mut self) -> u64 {
        let counter = self.next_counter;
        self.next_counter += 1;
        counter
    }

    pub(crate) fn begin_write(&mut self) -> u64 {
        let counter = self.next_counter();
        self.tickets.insert(counter);
        counter
    }

    pub(crate) fn end_write(&mut self, counter: u64) {
        assert!(self.tickets.remove(&counter), "a ticket ends once");
    }

    pub(crate) fn open_view(&mut self, index: LogIndex) {
        assert!(index >= self.floor, "a view at {index} below what was published, {}", self.floor);
        *self.views.entry(index).or_default() += 1;
    }

    pub(crate) fn close_view(&mut self, index: LogIndex) {
        let count = self.views.get_mut(&index).expect("a view closes once");
        *count -= 1;
        if *count == 0 {
            self.views.remove(&index);
        }
    }

    /// What holds now that rows are applied up to an index.
    pub(crate) fn publishable(&self, applied: LogIndex) -> Published {
        Published {
            commits_from: self.tickets.first().copied().unwrap_or(self.next_counter),
            reads_from: self.views.first_key_value().map_or(applied.max(self.floor), |(&oldest, _)| oldest),
        }
    }

    /// This much is about to be said: what was promised is held to from now on.
    pub(crate) fn promise(&mut self, published: Published) {
        assert!(self.tickets.first().is_none_or(|&oldest| oldest >= published.commits_from));
        assert!(self.views.first_key_value().is_none_or(|(&oldest, _)| oldest >= published.reads_from));
        self.floor = self.floor.max(published.reads_from);
    }

    /// How many tickets and views are out: for whoever closes a session.
    pub(crate) fn outstanding(&self) -> (usize, usize) {
        (self.tickets.len(), self.views.values().map(|&count| count as usize).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_holds_the_marks_back() {
        let mut marks = Marks::new(LogIndex(10));
        let at = |marks: &Marks| marks.publishable(LogIndex(60));
        assert_eq!(at(&marks), Published { commits_from: 1, reads_from: LogIndex(60) });
        let first = marks.begin_write();
        marks.next_counter();
        let second = marks.begin_write();
        marks.open_view(LogIndex(52));
        marks.open_view(LogIndex(40));
        marks.open_view(LogIndex(40));
        assert_eq!(at(&marks), Published { commits_from: first, reads_from: LogIndex(40) });
        marks.end_write(first);
        marks.close_view(LogIndex(40));
        assert_eq!(at(&marks), Published { commits_from: second, reads_from: LogIndex(40) });
        marks.close_view(LogIndex(40));
        marks.close_view(LogIndex(52));
        marks.end_write(second);
        assert_eq!(at(&marks), Published { commits_from: second + 1, reads_from: LogIndex(60) });
        assert_eq!(marks.outstanding(), (0, 0));
    }

    #[test]
    #[should_panic(expected = "below what was published")]
    fn a_view_below_a_promise_is_a_defect() {
        let mut marks = Marks::new(LogIndex(10));
        let published = marks.publishable(LogIndex(60));
        marks.promise(published);
        marks.open_view(LogIndex(59));
    }
}
