//! Rows at one index, for whoever reads. A view of a client holds its session's `reads_from` back: as long as it lives,
//! no chunk is deleted that it may still name (invariant 7).

use core::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use cairn_core::LogIndex;
use cairn_machine::{RowError, RowSource};

use crate::session::Session;

/// The rows at one index. Cloning it is cheap, and keeps the same index.
#[derive(Debug, Clone)]
pub struct View {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    rows: RowsAt,
    registration: Registration,
}

impl View {
    /// Opens a view at the applied index, and registers it with a session in the same moment: under the lock under which
    /// the session decides what to publish, so that nothing is published above a view that is about to be opened.
    pub(crate) fn open(rows: &cairn_rows::Rows, session: &Arc<Session>) -> Self {
        let mut marks = session.marks();
        let rows = RowsAt(rows.view());
        let index = rows.0.index();
        marks.open_view(index);
        drop(marks);
        let registration = Registration { session: session.clone(), index };
        Self { inner: Arc::new(Inner { rows, registration }) }
    }

    /// The last entry of the log that it contains.
    pub fn index(&self) -> LogIndex {
        self.inner.registration.index
    }
}

impl RowSource for View {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, RowError> {
        self.inner.rows.get(key)
    }

    fn scan(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &Bytes) -> ControlFlow<()>,
    ) -> Result<(), RowError> {
        self.inner.rows.scan(from, to, visit)
    }
}

/// That a session reads at an index.
#[derive(Debug)]
struct Registration {
    session: Arc<Session>,
    index: LogIndex,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.session.marks().close_view(self.index);
    }
}

/// The rows at one index, as the state machine reads them.
#[derive(Debug)]
pub(crate) struct RowsAt(pub(crate) cairn_rows::View);

impl RowSource for RowsAt {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, RowError> {
        self.0.get(key).map_err(|error| RowError::Storage(error.into()))
    }

    fn scan(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &Bytes) -> ControlFlow<()>,
    ) -> Result<(), RowError> {
        self.0.scan(from, to, visit).map_err(|error| RowError::Storage(error.into()))
    }
}
