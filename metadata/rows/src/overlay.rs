//! What is newer than the newest run: every version of every row that the log wrote since, by (row key, index).
//!
//! An overlay is only ever added to. It is not cleaned version by version: when a run has taken over what it holds, the
//! whole overlay is dropped as soon as no view reads it any more. It is never a copy that matters: it is thrown away at
//! every start and filled again from the log.

pub mod cursor;
pub mod memory;
pub mod sled;

mod versioned_key;

use core::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;
use cairn_core::LogIndex;

/// A row as a source of rows has it: `None` says that the row was removed here, whatever older sources say.
pub type Row = (Bytes, Option<Bytes>);

/// One version of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The row's key.
    pub key: Bytes,
    /// The log index that wrote it.
    pub index: LogIndex,
    /// What it wrote; `None` removes the row.
    pub value: Option<Bytes>,
}

/// The overlay's store failed. Nothing is lost: discard the overlay, open the rows again and apply the log behind the
/// last run once more.
#[derive(Debug, thiserror::Error)]
pub enum OverlayError {
    /// The store reported an error.
    #[error("the overlay's store failed: {0}")]
    Store(#[source] ::sled::Error),
    /// The store panicked while it was opened.
    #[error("the overlay's store panicked while it was opened: {0}")]
    Panicked(String),
    /// A directory for it could not be made or emptied.
    #[error("the overlay's directory {path}: {source}")]
    Directory {
        /// Which directory.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The store returned something that was never put into it.
    #[error("the overlay returned an entry that nobody wrote: {0}")]
    Foreign(&'static str),
}

/// Versions of rows, ordered by key and then newest first. One writer, any number of readers.
///
/// A reader asks as of an index and never sees a later version, so a half-written log entry is invisible to it. Pages are
/// filled from a moving tree; that is exact all the same, because versions up to the index asked for no longer change.
pub trait Overlay: Send + Sync + Debug + 'static {
    /// Adds what one log index wrote. A (key, index) pair comes once; a second one is a broken invariant. Where it fails
    /// in the middle, some of the rows are there: the overlay is not to be used any more.
    fn write(&self, index: LogIndex, effects: &[Row]) -> Result<(), OverlayError>;

    /// The newest version of a row at an index: `None` where this overlay knows nothing of it, `Some(None)` where it was
    /// removed.
    fn get(&self, key: &[u8], at: LogIndex) -> Result<Option<Option<Bytes>>, OverlayError>;

    /// Appends the newest version at an index of up to `limit` rows from `from` (included) to `to` (excluded) in the
    /// order of their keys. Fewer than `limit` means that there are no more.
    fn page(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        at: LogIndex,
        limit: usize,
        out: &mut Vec<Row>,
    ) -> Result<(), OverlayError>;

    /// Appends up to `limit` versions behind a place, all of them, in order. Fewer than `limit` means that there are no
    /// more.
    fn versions(
        &self,
        after: Option<(&[u8], LogIndex)>,
        limit: usize,
        out: &mut Vec<Version>,
    ) -> Result<(), OverlayError>;
}

/// Where overlays come from: one after each cut.
pub trait Overlays: Send + Sync + Debug + 'static {
    /// An empty overlay.
    fn fresh(&self) -> Result<Arc<dyn Overlay>, OverlayError>;
}

#[cfg(test)]
mod tests;
