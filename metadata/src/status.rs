//! What an operator wants to know about a voter.

use cairn_core::LogIndex;

use crate::error::NodeFailure;
use crate::raft::MemberStatus;

/// How a voter is doing at the moment.
#[derive(Debug, Clone)]
pub struct MetadataStatus {
    /// The id under which it takes part.
    pub voter: u64,
    /// Who leads, as far as it knows.
    pub leader: Option<u64>,
    /// In which term.
    pub term: u64,
    /// The last entry of its log.
    pub last_index: LogIndex,
    /// The last entry that is in its rows.
    pub applied_index: LogIndex,
    /// Everything up to here is in runs that the log has acknowledged.
    pub run_index: LogIndex,
    /// The log begins behind this entry.
    pub purged_index: LogIndex,
    /// How the rows are kept.
    pub rows: cairn_rows::RowsStats,
    /// Who takes part, as far as it knows.
    pub members: Vec<MemberStatus>,
    /// How the log is kept: its copies and its drives.
    pub log: cairn_oplog::Stats,
    /// blake3 over all effects in order: voters at the same applied index have the same.
    pub effects_hash: [u8; 32],
    /// Why no run could be cut the last time, if it could not.
    pub run_error: Option<String>,
    /// Why it has stopped, if it has.
    pub failure: Option<NodeFailure>,
}
