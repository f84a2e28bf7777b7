//! Applies committed entries to the rows, in order, one at a time: decode, judge, change, publish.
//!
//! ```text
//! entry -> Batch -> cairn_machine::apply over the rows at the index before -> effects -> rows -> index published
//! ```
//! An error leaves the rows where they were and stops the node. Applying the next entry without this one would give rows
//! that no other voter has.

use std::sync::Arc;

use cairn_core::LogIndex;
use cairn_machine::rows::cluster::ClusterRow;
use cairn_machine::{ApplyError, Batch, FUNCTION_NEVER_RAISED, Outcome, Row, RowError, RowSource, Table, apply};

use crate::applied::{Applied, Step};
use crate::calendar::Times;
use crate::config::NodeConfig;
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

/// The version of the state machine's function that entries are of, as the rows say; before the cluster is formed it is the
/// latest that this node knows.
pub(crate) fn entries_of(rows: &dyn RowSource, config: &NodeConfig) -> Result<u8, RowError> {
    let row = ClusterRow::get(rows, &())?;
    Ok(row.map_or(config.function, |row| row.function.max(FUNCTION_NEVER_RAISED)))
}

/// Applies entries.
#[derive(Debug)]
pub(crate) struct Applier {
    rows: cairn_rows::Rows,
    applied: Arc<Applied>,
    config: Arc<NodeConfig>,
}

impl Applier {
    /// Over rows that stand where `applied` says.
    pub(crate) fn new(rows: cairn_rows::Rows, applied: Arc<Applied>, config: Arc<NodeConfig>) -> Self {
        Self { rows, applied, config }
    }

    /// What is applied.
    pub(crate) fn applied(&self) -> &Applied {
        &self.applied
    }

    /// Applies the next entry. Its effects are visible, all of them, when this returns.
    pub(crate) fn apply(&mut self, position: Position, content: Content<'_>) -> Result<Vec<Vec<Outcome>>, NodeFailure> {
        let index = LogIndex(position.index);
        let mut entry_bytes = ENTRY_HEAD_BYTES;
        let (mut times, mut membership) = (None, None);
        let (mut effects, mut outcomes) = (Vec::new(), Vec::new());
        match content {
            Content::Blank => {}
            Content::Membership(members) => membership = Some(members),
            Content::Batch(bytes) => {
                entry_bytes += bytes.len();
                let batch = Batch::decode(bytes)
                    .map_err(|error| NodeFailure::Entry { index: index.0, reason: error.to_string() })?;
                if batch.function > self.config.function {
                    return Err(too_new(index, batch.function, self.config.function));
                }
                times = Some(Times { date: batch.time, sure: batch.sure_time() });
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
            Ok(Step { position, entry_bytes, effects: &effects, times, membership, outcomes: &outcomes })
        })?;
        if effects.iter().any(|(key, _)| key.first() == Some(&(Table::Cluster as u8))) {
            let entries = entries_of(&RowsAt(self.rows.view()), &self.config);
            self.applied.raised(entries.map_err(|error| rows_failed(index, &error))?);
        }
        Ok(outcomes)
    }
}

/// The node takes part in no entry of that version.
pub(crate) fn too_new(index: LogIndex, found: u8, known: u8) -> NodeFailure {
    let reason = format!("it is for version {found} of the state machine, this node takes part up to {known}");
    NodeFailure::Entry { index: index.0, reason }
}

fn rows_failed(index: LogIndex, error: &dyn std::error::Error) -> NodeFailure {
    NodeFailure::Rows { index: index.0, reason: error.to_string() }
}
