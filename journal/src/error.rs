//! Why the journal did not do what was asked, and what the caller does then.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::name::RecordName;
use crate::options::OwnerKind;
use crate::place::Place;

/// Everything that can go wrong with a journal. Broken invariants are not in here: they are assertions.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk or the filesystem failed. Count and report it. Where it was met by a write or a sync nothing of that
    /// group is acknowledged ("maybe happened"), and the journal is [`JournalError::Poisoned`] from then on.
    #[error("{operation} {}: {source}", path.display())]
    Io {
        /// What was being done.
        operation: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A write or a sync failed earlier: this journal acknowledges nothing more until it is opened again. Reads go on.
    #[error("the journal takes nothing more since a failure: {0}")]
    Poisoned(Arc<str>),
    /// No segment may be allocated: less than the reserve would be left. Nothing was written. Place the record
    /// elsewhere; appends succeed again when there is room.
    #[error("{}: {available_bytes} bytes are available, {required_bytes} are required", path.display())]
    Full {
        /// The journal's directory.
        path: PathBuf,
        /// What the filesystem still has.
        available_bytes: u64,
        /// What a new segment and the reserve need.
        required_bytes: u64,
    },
    /// The record is longer than a segment of this journal can hold. Nothing was written. Cut it smaller, or open the
    /// journal with larger segments.
    #[error("a record of {length} bytes does not fit in a segment, {length_max} do")]
    TooLarge {
        /// How long it is.
        length: u64,
        /// How long it may be.
        length_max: u64,
    },
    /// More is queued than the bound allows. Nothing was written. Wait, or place the record elsewhere.
    #[error("the journal's queue is full")]
    Busy,
    /// The handle was closed, or its writer is gone. A command that was already queued may have happened.
    #[error("the journal is closed")]
    Closed,
    /// Nothing is there any more: the record was punched or its segment removed. Look its place up again.
    #[error("{0} is gone")]
    Gone(Place),
    /// The record's envelope or head is not what was written. Get the record from elsewhere, and report it.
    #[error("{place} is damaged: {what}")]
    Damaged {
        /// Which record.
        place: Place,
        /// What was found.
        what: &'static str,
    },
    /// A sound record, but another one: the place is out of date or was never this record's. Look it up again.
    #[error("{place} holds {found:?}, not {expected:?}")]
    WrongName {
        /// Where.
        place: Place,
        /// What the caller expected. (Boxed, as is the next: names are long, and results are moved often.)
        expected: Box<RecordName>,
        /// What is there.
        found: Box<RecordName>,
    },
    /// Written by a later release. Nothing is wrong and nothing was changed: start that release.
    #[error("{}: format version {found}, this release knows up to {known}", path.display())]
    Newer {
        /// Which file.
        path: PathBuf,
        /// The version that stands there.
        found: u8,
        /// The newest version that is known here.
        known: u8,
    },
    /// A segment of another kind of owner: the directory is not this journal's. Nothing was changed.
    #[error("{}: belongs to a journal of {found}, not of {expected}", path.display())]
    Foreign {
        /// Which file.
        path: PathBuf,
        /// Whose it is.
        found: OwnerKind,
        /// Whose it should be.
        expected: OwnerKind,
    },
}

impl JournalError {
    pub(crate) fn io(operation: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { operation, path: path.to_owned(), source }
    }
}
