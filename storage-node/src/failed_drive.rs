//! A drive that could not be opened: what stands in its place, so that everyone who asks learns why.
//!
//! One drive that cannot serve is what the parity is for; it must not keep the others from serving. Its chunks may be
//! whole, so the log still calls it active, readers decode around it and writers pass it over. `status` says what is
//! wrong. A later start may open it.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_core::chunk_store::{ChunkStat, DriveHealth};
use cairn_core::{ChunkError, ChunkHead, ChunkName, ChunkRecord, ChunkSlice, ChunkStore, DriveId};
use futures::future::BoxFuture;

use crate::reconcile::OpenError;

/// A drive that is there and cannot be served. Answers every question with the reason.
#[derive(Debug)]
pub struct FailedDrive {
    drive: DriveId,
    path: PathBuf,
    error: OpenError,
    why: Arc<str>,
}

impl FailedDrive {
    /// Stands in for the drive at a path that could not be opened for this reason.
    pub fn new(drive: DriveId, path: &Path, error: OpenError) -> Self {
        let mut why = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            why = format!("{why}: {cause}");
            source = cause.source();
        }
        tracing::error!(%drive, path = %path.display(), why, "a drive cannot be opened; the others serve without it");
        Self { drive, path: path.to_owned(), error, why: Arc::from(why) }
    }

    /// Where it lies: for messages to people.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Why it could not be opened.
    pub fn error(&self) -> &OpenError {
        &self.error
    }

    /// The same in words, with what caused it.
    pub fn why(&self) -> &Arc<str> {
        &self.why
    }

    fn answer<T: Send + 'static>(&self) -> BoxFuture<'_, Result<T, ChunkError>> {
        let error = ChunkError::Unavailable(self.drive, self.why.clone());
        Box::pin(std::future::ready(Err(error)))
    }
}

impl ChunkStore for FailedDrive {
    fn drive(&self) -> DriveId {
        self.drive
    }

    fn put(&self, _: ChunkRecord) -> BoxFuture<'_, Result<(), ChunkError>> {
        self.answer()
    }

    fn get(&self, _: ChunkName, _: Range<u32>) -> BoxFuture<'_, Result<ChunkSlice, ChunkError>> {
        self.answer()
    }

    fn head(&self, _: ChunkName) -> BoxFuture<'_, Result<Arc<ChunkHead>, ChunkError>> {
        self.answer()
    }

    fn read_back(&self, _: ChunkName) -> BoxFuture<'_, Result<Arc<ChunkHead>, ChunkError>> {
        self.answer()
    }

    fn delete(&self, _: ChunkName) -> BoxFuture<'_, Result<bool, ChunkError>> {
        self.answer()
    }

    fn list(&self, _: Option<ChunkName>, _: usize) -> BoxFuture<'_, Result<Vec<ChunkStat>, ChunkError>> {
        self.answer()
    }

    /// Nothing is known about what it holds, so the figures are zero; the reason says why.
    fn health(&self) -> DriveHealth {
        DriveHealth {
            writable: Err(self.why.clone()),
            chunks: 0,
            live_bytes: 0,
            allocated_bytes: 0,
            available_bytes: 0,
            total_bytes: 0,
            errors: 1,
        }
    }
}
