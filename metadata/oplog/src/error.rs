//! Why the log did not do what was asked, and what the caller does then.

use std::fmt;
use std::sync::Arc;

use cairn_core::{DriveId, EpochId};
use cairn_journal::JournalError;

use crate::contents::NotConsecutive;
use crate::epoch::EpochDecodeError;
use crate::flight::TooFewDrives;
use crate::group::{GroupDecodeError, GroupName};
use crate::record::TooLarge;
use crate::refusal::Refusal;

/// A drive whose part of the log could not be opened or written, and why.
#[derive(Debug, Clone)]
pub struct DriveFailure {
    /// The drive.
    pub drive: DriveId,
    /// What its journal said.
    pub source: Arc<JournalError>,
}

impl fmt::Display for DriveFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "drive {}: {}", self.drive, self.source)
    }
}

pub(crate) struct Failures<'a>(pub &'a [DriveFailure]);

impl fmt::Display for Failures<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|failure| write!(f, "; {failure}"))
    }
}

/// Everything that can go wrong with the log. Cheap to clone: one failure answers many appends.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OpLogError {
    /// The log does not start, and nothing was changed. Do what the reason asks for.
    #[error("{refusal}{}", Failures(failed))]
    Refused {
        /// Why.
        refusal: Refusal,
        /// Drives that were handed in and could not be read: they count as missing.
        failed: Vec<DriveFailure>,
    },
    /// A drive's log is of a later release, or the directory is not a log's. Nothing was changed. Start that release, or
    /// move the directory away.
    #[error("the operation log on drive {drive}: {source}")]
    Unusable {
        /// The drive.
        drive: DriveId,
        /// What its journal said.
        source: Arc<JournalError>,
    },
    /// A later release wrote an epoch's record. Start that release.
    #[error("drive {drive}: {source}")]
    NewerEpoch {
        /// The drive.
        drive: DriveId,
        /// Both versions.
        source: EpochDecodeError,
    },
    /// A later release wrote a group. Start that release.
    #[error("drive {drive}: {source}")]
    NewerGroup {
        /// The drive.
        drive: DriveId,
        /// Both versions.
        source: GroupDecodeError,
    },
    /// While starting, so many drives failed that the new epoch could not be written. Report it; start again when the
    /// drives are well.
    #[error("epoch {epoch} of the operation log could not be written to enough drives{}", Failures(failed))]
    NotStarted {
        /// The epoch that was not begun.
        epoch: EpochId,
        /// What the drives said.
        failed: Vec<DriveFailure>,
    },
    /// So many drives failed that nothing more can be acknowledged. What was under way may have happened. Report it; open
    /// the log again when the drives are well.
    #[error("the operation log has stopped: {too_few}{}", Failures(failed))]
    Stopped {
        /// How many are left.
        too_few: TooFewDrives,
        /// What the drives said.
        failed: Vec<DriveFailure>,
    },
    /// The log was opened on fewer drives than an acknowledgement needs: it can be read.
    #[error("the operation log is read-only: too few of its drives are here")]
    ReadOnly,
    /// More is queued than the bound allows. Nothing was queued. Wait for [`crate::OpLog::room`].
    #[error("the operation log's queue is full")]
    Busy,
    /// The log was closed. What was under way has been written.
    #[error("the operation log is closed")]
    Closed,
    /// A record larger than the log takes. Nothing was queued.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// Entries that do not follow those that stand. Nothing was queued: an error of the caller's.
    #[error(transparent)]
    NotConsecutive(#[from] NotConsecutive),
    /// The entry does not stand: it was purged, truncated or never there.
    #[error("entry {index} of the operation log is not there")]
    NotThere {
        /// Which.
        index: u64,
    },
    /// A group could not be read from any of its drives. Get it from a peer, or stop.
    #[error("{name} could not be read from any drive: {detail}")]
    Unreadable {
        /// Which.
        name: GroupName,
        /// What each drive said.
        detail: String,
    },
    /// What lies on the drives is whole, but does not follow from one another. Stop and report: no crash does this.
    #[error("{name} does not follow what is before it: {source}")]
    Inconsistent {
        /// Which group.
        name: GroupName,
        /// How.
        source: NotConsecutive,
    },
}
