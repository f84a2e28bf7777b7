//! What this process knows about one of its sessions: the numbers of its requests, and what it still writes and reads.

pub(crate) mod marks;
pub(crate) mod window;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cairn_core::{LogIndex, SessionId, WriteId};
use cairn_machine::rows::session::SessionKind;

use marks::{Marks, Published};
use window::Window;

/// One session, shared by everything that was begun under it.
#[derive(Debug)]
pub(crate) struct Session {
    id: SessionId,
    kind: SessionKind,
    window: Window,
    marks: Mutex<Marks>,
}

impl Session {
    /// A session that was registered at an index.
    pub(crate) fn new(id: SessionId, kind: SessionKind, registered: LogIndex) -> Arc<Self> {
        Arc::new(Self { id, kind, window: Window::default(), marks: Mutex::new(Marks::new(registered)) })
    }

    pub(crate) fn id(&self) -> SessionId {
        self.id
    }

    pub(crate) fn kind(&self) -> SessionKind {
        self.kind
    }

    /// The numbers of its requests.
    pub(crate) fn window(&self) -> &Window {
        &self.window
    }

    /// Its marks, locked. Held for moments only.
    pub(crate) fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it could publish at the moment. `applied` is asked for under the lock: a view that is opened later is
    /// opened at that index or a later one.
    pub(crate) fn publishable(&self, applied: impl FnOnce() -> LogIndex) -> Published {
        let marks = self.marks();
        marks.publishable(applied())
    }
}

/// Leave to write: a name for an attempt, held for as long as it may still be committed.
///
/// While it lives, the session publishes no `commits_from` above it, so chunks that carry its ids are not condemned. Drop
/// it once the outcome of its commit is known, or when the attempt is given up.
#[derive(Debug)]
pub struct WriteTicket {
    session: Arc<Session>,
    first: u64,
}

impl WriteTicket {
    pub(crate) fn begin(session: Arc<Session>) -> Self {
        let first = session.marks().begin_write();
        Self { session, first }
    }

    /// The name of the attempt.
    pub fn id(&self) -> WriteId {
        WriteId { session: self.session.id, counter: self.first }
    }

    /// A further name, never used before and covered by the same ticket: for a position that is placed anew, for the
    /// next of several extents, for a manifest.
    pub fn another(&self) -> WriteId {
        WriteId { session: self.session.id, counter: self.session.marks().next_counter() }
    }
}

impl Drop for WriteTicket {
    fn drop(&mut self) {
        self.session.marks().end_write(self.first);
    }
}
