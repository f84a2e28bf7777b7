//! Snapshots, as Raft sees them: the newest set of runs. The runs' keeper cuts and marks them in its own time; Raft only
//! learns what is there, so that it knows how much of the log it may do without.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use openraft::RaftSnapshotBuilder;

use super::format::{Kept, Mark};
use super::membership::stored;
use super::type_config::{LogId, Snapshot, SnapshotMeta, TypeConfig};

/// What a snapshot hands over: an encoded mark. A member that lacks log which is gone fetches the runs that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunSetSnapshot(pub(crate) Bytes);

/// The newest mark that the log has acknowledged. Written by the keeper of the runs, read by Raft.
#[derive(Debug, Clone, Default)]
pub(crate) struct NewestMark(Arc<Mutex<Option<Arc<Mark>>>>);

impl NewestMark {
    /// The mark that was found at the start.
    pub(crate) fn new(mark: Option<Mark>) -> Self {
        Self(Arc::new(Mutex::new(mark.map(Arc::new))))
    }

    /// The mark, if there ever was one.
    pub(crate) fn get(&self) -> Option<Arc<Mark>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The log has acknowledged this one.
    pub(crate) fn set(&self, mark: Arc<Mark>) {
        let mut newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let follows = newest.as_ref().is_none_or(|old| old.applied.last <= mark.applied.last);
        assert!(follows, "marks follow one another");
        *newest = Some(mark);
    }

    pub(super) fn snapshot(&self) -> Option<Snapshot> {
        let mark = self.get()?;
        let meta = SnapshotMeta {
            last_log_id: mark.applied.last.map(LogId::from),
            last_membership: stored(mark.applied.membership.as_ref()),
        };
        Some(Snapshot { meta, snapshot: RunSetSnapshot(mark.to_bytes()) })
    }
}

impl RaftSnapshotBuilder<TypeConfig> for NewestMark {
    type SnapshotData = RunSetSnapshot;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        // Raft asks for a snapshot only where it has done without a part of the log, and it may do that only behind one.
        self.snapshot().ok_or_else(|| io::Error::other("no run was cut yet"))
    }
}
