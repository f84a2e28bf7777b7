//! Reading the log: what was asked for, by whom and when, as far back as the log is kept.
//!
//! Only what is applied is read: an entry that is not committed yet may still be replaced by another one.

use cairn_core::{LogIndex, NodeId};
use cairn_machine::Batch;
use cairn_oplog::OpLogError;

use crate::node::MetadataNode;
use crate::raft::{KeptEntry, Position, kept_entry};
use crate::refusals::Refused;

/// The most bytes of entries that are read at once. One entry is read whole, whatever it has.
const PAGE_BYTES_MAX: usize = 1 << 20;

/// Some consecutive entries.
#[derive(Debug)]
pub struct LogPage {
    /// The entries.
    pub entries: Vec<LogEntry>,
    /// Where the next page begins.
    pub next: LogIndex,
    /// The first entry that the log has. What was before is in the rows, and nobody knows any more how it came there.
    pub first: LogIndex,
    /// The last entry that is applied.
    pub applied: LogIndex,
}

/// One entry.
#[derive(Debug)]
pub struct LogEntry {
    /// Where it stands.
    pub index: LogIndex,
    /// The term of the leader that wrote it.
    pub term: u64,
    /// What it carries.
    pub content: LogContent,
    /// Which of its operations were refused; none where this node does not know any more: it remembers what it has applied
    /// behind the run that it started from.
    pub refused: Option<Refused>,
}

/// What an entry carries.
#[derive(Debug)]
pub enum LogContent {
    /// Nothing: a new leader's first.
    Blank,
    /// Proposals.
    Batch(Batch),
    /// Who takes part from here on: each member's id, its node, and whether it votes.
    Members(Vec<(u64, NodeId, bool)>),
}

/// Why the log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogReadError {
    /// The log does not go back so far. Read from `first` on, and say that what is older is gone.
    #[error("the log begins at index {first}: what is older is not kept")]
    Gone {
        /// The first entry that is there.
        first: LogIndex,
    },
    /// The operation log fails. Another node has the same entries.
    #[error("the operation log: {0}")]
    Log(#[source] OpLogError),
    /// An entry makes no sense to this release. Another release wrote it, or the log is damaged.
    #[error("entry {index}: {reason}")]
    Entry {
        /// Where it stands.
        index: LogIndex,
        /// What is wrong with it.
        reason: String,
    },
}

impl MetadataNode {
    /// Some of the entries from an index on: at least one where there is one, and a MiB at most where there are several.
    pub async fn read_log(&self, from: LogIndex) -> Result<LogPage, LogReadError> {
        let inner = &self.inner;
        let applied = self.readable(inner.applied.index());
        let mut page = LogPage { entries: Vec::new(), next: from, first: self.log_begins(), applied };
        if from < page.first {
            return Err(LogReadError::Gone { first: page.first });
        }
        if from > applied {
            return Ok(page);
        }
        let frames = match inner.log.read(from.0..applied.0 + 1, PAGE_BYTES_MAX).await {
            Ok(frames) => frames,
            // It was purged while it was looked for.
            Err(OpLogError::NotThere { .. }) if self.log_begins() > from => {
                return Err(LogReadError::Gone { first: self.log_begins() });
            }
            Err(error) => return Err(LogReadError::Log(error)),
        };
        for frame in frames {
            let index = page.next;
            let entry = |error: &dyn std::fmt::Display| LogReadError::Entry { index, reason: error.to_string() };
            let (Position { term, index: found }, kept) = kept_entry(&frame).map_err(|error| entry(&error))?;
            assert_eq!(found, index.0, "an entry stands where it was written");
            let content = match kept {
                KeptEntry::Blank => LogContent::Blank,
                KeptEntry::Batch(bytes) => LogContent::Batch(Batch::decode(bytes).map_err(|error| entry(&error))?),
                KeptEntry::Membership(members) => LogContent::Members(members.parts()),
            };
            page.entries.push(LogEntry { index, term, content, refused: inner.applied.refused(index) });
            page.next = LogIndex(index.0 + 1);
        }
        Ok(page)
    }

    /// The first entry that the log has.
    pub fn log_begins(&self) -> LogIndex {
        let behind = self.inner.applied.index().0 + 1;
        LogIndex(self.inner.log.stats().first_index.unwrap_or(behind))
    }

    /// The last entry that is applied and stands in the log. All that is applied does, but where the log can only be read: what a
    /// lone voter says to itself there is applied and never written.
    fn readable(&self, applied: LogIndex) -> LogIndex {
        self.inner.log.stats().next_index.map_or(applied, |next| applied.min(LogIndex(next.saturating_sub(1))))
    }

    /// Waits until an entry is applied here and can be read. Ends early, too, when the node fails: then nothing more will be.
    pub async fn until_applied(&self, index: LogIndex) {
        let mut applied = self.inner.applied.watch();
        tokio::select! {
            biased;
            // An error says that the node has ended.
            _ = applied.wait_for(|applied| self.readable(*applied) >= index) => {}
            _ = self.inner.failure.happened() => {}
        }
    }
}
