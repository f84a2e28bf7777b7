//! Applies committed entries to the rows, in order, one at a time: decode, judge, change, publish.
//!
//! ```text
//! entry -> Batch -> cairn_machine::apply over the rows at the index before -> effects -> rows -> index published
//! ```
//! An error leaves the rows where they were and stops the node. Applying the next entry without this one would give rows
//! that no other voter has.

use std::sync::Arc;

use cairn_core::LogIndex;
use cairn_machine::{ApplyError, Batch, Outcome, apply};

use crate::applied::{Applied, Step};
use crate::error::NodeFailure;
use crate::raft::{ENTRY_HEAD_BYTES, KeptMembership, Position};
use crate::view::RowsAt;

/// What an entry carries.
#[derive(Debug)]
pub(crate) enum Content<'a> {
    /// Nothing.
    Blank,
    /// An encoded batch.
    Batch(&'a [u8]),
    /// Who votes from here on.
    Membership(KeptMembership),
}

/// Applies entries.
#[derive(Debug)]
pub(crate) struct Applier {
    rows: cairn_rows::Rows,
    applied: Arc<Applied>,
}

impl Applier {
    /// Over rows that stand where `applied` says.
    pub(crate) fn new(rows: cairn_rows::Rows, applied: Arc<Applied>) -> Self {
        Self { rows, applied }
    }

    /// What is applied.
    pub(crate) fn applied(&self) -> &Applied {
        &self.applied
    }

    /// Applies the next entry. Its effects are visible, all of them, when this returns.
    pub(crate) fn apply(&mut self, position: Position, content: Content<'_>) -> Result<Vec<Vec<Outcome>>, NodeFailure> {
        let index = LogIndex(position.index);
        let mut entry_bytes = ENTRY_HEAD_BYTES;
        let (mut time, mut membership) = (None, None);
        let (mut effects, mut outcomes) = (Vec::new(), Vec::new());
        match content {
            Content::Blank => {}
            Content::Membership(members) => membership = Some(members),
            Content::Batch(bytes) => {
                entry_bytes += bytes.len();
                let batch = Batch::decode(bytes)
                    .map_err(|error| NodeFailure::Entry { index: index.0, reason: error.to_string() })?;
                time = Some(batch.time);
                let applied = apply(&RowsAt(self.rows.view()), index, &batch).map_err(|error| match error {
                    ApplyError::Rows { index, source } => rows_failed(index, &source),
                    error => NodeFailure::Entry { index: index.0, reason: error.to_string() },
                })?;
                assert_eq!(applied.outcomes.len(), batch.proposals.len(), "each proposal has its outcomes");
                effects = applied.effects;
                outcomes = applied.outcomes;
            }
        }
        self.applied.advance(|| {
            // The first entry of a log is its first membership, at index 0: that is where rows begin, without any.
            if index > LogIndex(0) {
                self.rows.apply(index, &effects).map_err(|error| rows_failed(index, &error))?;
            }
            Ok(Step { position, entry_bytes, effects: &effects, time, membership, outcomes: &outcomes })
        })?;
        Ok(outcomes)
    }
}

fn rows_failed(index: LogIndex, error: &dyn std::error::Error) -> NodeFailure {
    NodeFailure::Rows { index: index.0, reason: error.to_string() }
}
