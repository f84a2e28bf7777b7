//! The rows as they were at one index, for as long as somebody holds on to that.

use core::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use cairn_core::LogIndex;

use crate::error::RowsError;
use crate::filter::KeyHash;
use crate::generation::Generation;
use crate::merged::{Merged, Source};
use crate::overlay::cursor::OverlayCursor;
use crate::run::cursor::{Reading, RunCursor};
use crate::run::reader::Run;

/// An overlay that takes no more rows, and the last index whose rows it took.
#[derive(Debug, Clone)]
pub(crate) struct Frozen {
    pub generation: Arc<Generation>,
    pub index: LogIndex,
}

/// Everything that rows are read from, newest first. Never changed, only replaced.
#[derive(Debug, Clone)]
pub(crate) struct Levels {
    pub active: Arc<Generation>,
    /// Until the run that is cut from it is there.
    pub frozen: Option<Frozen>,
    /// Newest first.
    pub runs: Vec<Arc<Run>>,
}

impl Levels {
    fn overlays(&self) -> impl Iterator<Item = &Arc<Generation>> {
        core::iter::once(&self.active).chain(self.frozen.iter().map(|frozen| &frozen.generation))
    }
}

/// The rows at one index. Cheap to make and to clone; exact for as long as it lives, whatever is applied, cut or merged
/// meanwhile. It keeps the overlay and the runs that it reads from going away, so nobody should hold one for hours.
#[derive(Debug, Clone)]
pub struct View {
    index: LogIndex,
    levels: Arc<Levels>,
}

impl View {
    pub(crate) fn new(index: LogIndex, levels: Arc<Levels>) -> Self {
        Self { index, levels }
    }

    /// The index.
    pub fn index(&self) -> LogIndex {
        self.index
    }

    /// The value of a row. It may share the memory of a block; whoever keeps it for long copies it.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, RowsError> {
        let hash = KeyHash::of(key);
        for overlay in self.levels.overlays() {
            if let Some(found) = overlay.get(key, hash, self.index)? {
                return Ok(found);
            }
        }
        for run in &self.levels.runs {
            if let Some(found) = run.get(key, hash)? {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// A cursor over the rows from `from` (included) to `to` (excluded; `None` is the end of all rows).
    pub fn cursor(&self, from: &[u8], to: Option<&[u8]>) -> Result<Cursor, RowsError> {
        let to = to.map(Bytes::copy_from_slice);
        let mut sources = Vec::with_capacity(2 + self.levels.runs.len());
        for overlay in self.levels.overlays() {
            let cursor = OverlayCursor::seek_in(overlay.clone(), self.index, from, to.clone())?;
            sources.push(Source::Overlay(cursor));
        }
        for run in &self.levels.runs {
            sources.push(Source::Run(RunCursor::seek_in(run.clone(), from, Reading::Cached)?));
        }
        Ok(Cursor { merged: Merged::new(sources), to })
    }

    /// Visits the rows of a range in the order of their keys until the visitor breaks.
    pub fn scan(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &Bytes) -> ControlFlow<()>,
    ) -> Result<(), RowsError> {
        let mut cursor = self.cursor(from, to)?;
        while let Some((key, value)) = cursor.next_row()? {
            if visit(&key, &value).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// A walk through the rows of a view, forward only. It holds what it reads from, so it outlives its view.
#[derive(Debug)]
pub struct Cursor {
    merged: Merged,
    to: Option<Bytes>,
}

impl Cursor {
    /// The next row; `None` at the end of the range.
    pub fn next_row(&mut self) -> Result<Option<(Bytes, Bytes)>, RowsError> {
        loop {
            let Some(key) = self.merged.key() else { return Ok(None) };
            if self.to.as_deref().is_some_and(|to| key >= to) {
                return Ok(None);
            }
            if let Some((key, Some(value))) = self.merged.next_row()? {
                return Ok(Some((key, value)));
            }
        }
    }

    /// Forward to the first row whose key is not less than `key`, so that a listing passes over everything below a
    /// delimiter for the price of a lookup. Never back: a key behind the cursor changes nothing.
    pub fn seek(&mut self, key: &[u8]) -> Result<(), RowsError> {
        self.merged.seek(key)
    }
}
