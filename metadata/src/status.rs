//! What an operator wants to know about a voter.

use std::collections::BTreeMap;
use std::time::Duration;

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
    /// How long ago each other member answered this one last; nothing where this one does not lead.
    pub heard: BTreeMap<u64, Duration>,
    /// How long ago the leader was heard of; none where this member leads, or has heard of none since it started.
    pub leader_heard: Option<Duration>,
    /// How the log is kept: its copies and its drives.
    pub log: cairn_oplog::Stats,
    /// The version of the state machine's function that entries are of.
    pub function: u8,
    /// How far the time that locks end by is behind the date.
    pub unsure: Duration,
    /// blake3 over all effects in order: voters at the same applied index have the same.
    pub effects_hash: [u8; 32],
    /// Why no run could be cut the last time, if it could not.
    pub run_error: Option<String>,
    /// Why it has stopped, if it has.
    pub failure: Option<NodeFailure>,
}

/// What a member is to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// It leads, as far as it knows.
    Leads,
    /// It votes.
    Votes,
    /// It is sent the log, and does not vote.
    Follows,
    /// Its id is not among the members that it knows: it was never sent any, or takes part no more.
    Outside,
}

impl MetadataStatus {
    /// What this member is to the others.
    pub fn part(&self) -> Part {
        match self.members.iter().find(|member| member.member == self.voter) {
            None => Part::Outside,
            Some(_) if self.leader == Some(self.voter) => Part::Leads,
            Some(own) if own.votes => Part::Votes,
            Some(_) => Part::Follows,
        }
    }

    /// How many entries of the log a member lacks, as far as the leader knows; none on any other, and where nothing is known.
    pub fn lag(&self, member: u64) -> Option<u64> {
        let status = self.members.iter().find(|status| status.member == member)?;
        Some(self.last_index.0.saturating_sub(status.matched?.0))
    }
}
