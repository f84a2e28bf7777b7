//! What can go wrong, by what the caller does about it.

use cairn_core::{DriveId, SessionId};
use cairn_machine::Refusal;

use crate::raft::FormatError;

/// Why a proposal has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Nobody knows whether it happened, and it may still happen: look before proposing it again. S3: 503.
    #[error("it is not known whether the proposal happened: {0}")]
    Unavailable(String),
    /// Nothing happened: too many proposals are waiting. Come back later. S3: 503 SlowDown.
    #[error("too many proposals are waiting")]
    Overloaded,
    /// Nothing happened: it has more operations or bytes than one proposal may. Take smaller steps.
    #[error("the proposal is too large: {operations} operations, {bytes} bytes")]
    TooLarge {
        /// How many operations it has.
        operations: usize,
        /// How many bytes they take.
        bytes: usize,
    },
    /// Nothing happened: some member does not know this operation yet. It can be proposed once all members run a release that
    /// does; `cairn raft status` shows who does not. S3: 503.
    #[error("not all members know version {needs} of the state machine yet")]
    NotYet {
        /// The version that knows it.
        needs: u8,
    },
    /// Nothing happened: the session had ended. The client has another one by now; what was written under the old one
    /// cannot be committed any more. Begin the whole write again.
    #[error("session {0} had ended")]
    SessionEnded(SessionId),
    /// Nothing happened: the node is being closed.
    #[error("the metadata node is being closed")]
    Closed,
    /// Nothing happened, and nothing will before a start with more drives: the log can only be read. S3: 503.
    #[error("{0}")]
    ReadOnly(Covered),
    /// The state machine refused what the client does on its own account: forming, registering a session.
    #[error("refused: {0}")]
    Refused(#[source] Refusal),
}

/// A log that is whole, and lies on fewer of its drives than an acknowledgement needs: it is read and not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "nothing can be written: what is acknowledged lies on {copies} drives of the operation log, and too few of them are here; \
     missing are {}",
    list(missing)
)]
pub struct Covered {
    /// How many drives each part of it lies on.
    pub copies: usize,
    /// The drives that are not here.
    pub missing: Vec<DriveId>,
}

/// Why there is no view.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No leader can be asked at the moment. Come back later. S3: 503.
    #[error("metadata cannot be read: {0}")]
    Unavailable(String),
    /// The node is being closed.
    #[error("the metadata node is being closed")]
    Closed,
}

/// Why members are as they were, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// It cannot be done, or not now: another change is under way, the member is unknown, or has not caught up. Look at the
    /// members, and ask again once that has changed.
    #[error("members cannot be changed so: {0}")]
    Refused(String),
    /// Nobody knows whether it happened: ask again, which changes nothing more.
    #[error("it is not known whether members have changed: {0}")]
    Unavailable(String),
    /// The rows were not changed, or nobody knows.
    #[error(transparent)]
    Propose(#[from] ProposeError),
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The log holds bytes that this release cannot read.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The operation log cannot be read.
    #[error("the operation log: {0}")]
    Log(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The log was opened on too few of its drives: it can be read, and nothing can be acknowledged. Bring them back.
    #[error("the operation log can only be read: {} of its drives are missing: {}", missing.len(), list(missing))]
    ReadOnly {
        /// The drives that are not here.
        missing: Vec<DriveId>,
    },
    /// The runs that the newest mark names cannot be opened.
    #[error("the rows: {0}")]
    Rows(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Raft refuses what it found.
    #[error("raft: {0}")]
    Raft(String),
    /// The log is empty: nothing was ever formed here. Form it, or look for the drives that have it.
    #[error("the cluster is not formed")]
    NotFormed,
    /// The node has taken part under this id, and its log does not know it any more. What it had promised is lost, so it
    /// must never vote under that id again: have it admitted under a new one.
    #[error("the log of member {member} is lost: it must join again under another id")]
    Forgotten {
        /// The id.
        member: u64,
    },
    /// The node stopped on the way.
    #[error(transparent)]
    Stopped(#[from] NodeFailure),
}

fn list(drives: &[DriveId]) -> String {
    drives.iter().map(DriveId::to_string).collect::<Vec<_>>().join(", ")
}

/// Why a running node stopped. Nothing is acknowledged any more; restarting it is the way on, once the cause is gone.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NodeFailure {
    /// The log cannot be written or read.
    #[error("the operation log failed: {0}")]
    Log(String),
    /// Rows cannot be read or written. Going on would apply operations to rows that are not what the log says.
    #[error("the rows failed at index {index}: {reason}")]
    Rows {
        /// Where in the log.
        index: u64,
        /// What happened.
        reason: String,
    },
    /// The log has an entry that this release cannot apply. Start the release that wrote it, or a newer one.
    #[error("the entry at index {index} cannot be applied: {reason}")]
    Entry {
        /// Where in the log.
        index: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// Raft gave up.
    #[error("raft stopped: {0}")]
    Raft(String),
}
