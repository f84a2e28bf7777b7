//! The state machine, as Raft sees it. What it does stands in the applier and in the machine's own crate.

use std::io;

use futures::{Stream, TryStreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend};

use super::format::{ENTRY_HEAD_BYTES, Kept, Mark, Position};
use super::install::Installer;
use super::membership::{stored, to_kept};
use super::snapshot::{NewestMark, RunSetSnapshot};
use super::type_config::{Answer, LogId, Snapshot, SnapshotMeta, StoredMembership, TypeConfig};
use crate::applier::{Applier, Content};
use crate::failure::Failure;

/// Applies what is committed. A failure stops the node: an entry is never passed over.
#[derive(Debug)]
pub(crate) struct StateMachine {
    applier: Applier,
    newest: NewestMark,
    installer: Installer,
    failure: Failure,
}

impl StateMachine {
    pub(super) fn new(applier: Applier, newest: NewestMark, installer: Installer, failure: Failure) -> Self {
        Self { applier, newest, installer, failure }
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = RunSetSnapshot;
    type SnapshotBuilder = NewestMark;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let state = self.applier.applied().state();
        Ok((state.last.map(LogId::from), stored(state.membership.as_ref())))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            let position = Position::from(entry.log_id);
            let content = match &entry.payload {
                EntryPayload::Blank => Content::Blank,
                EntryPayload::Normal(batch) => Content::Batch(&batch.0[ENTRY_HEAD_BYTES..]),
                EntryPayload::Membership(membership) => Content::Membership(to_kept(membership)),
            };
            let outcomes = self.applier.apply(position, content).map_err(|failure| {
                self.failure.fail(failure.clone());
                io::Error::other(failure)
            })?;
            if let Some(responder) = responder {
                responder.send(Answer(outcomes));
            }
        }
        Ok(())
    }

    async fn try_create_snapshot_builder(&mut self, force: bool) -> Option<NewestMark> {
        (force || self.newest.get().is_some()).then(|| self.newest.clone())
    }

    async fn get_snapshot_builder(&mut self) -> NewestMark {
        self.newest.clone()
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: RunSetSnapshot) -> Result<(), io::Error> {
        // At a start the rows stand where the newest mark says, so this is a leader's, whose runs have come.
        let mark = Mark::from_bytes(&snapshot.0).map_err(io::Error::other)?;
        assert_eq!(
            mark.applied.last.map(LogId::from),
            meta.last_log_id,
            "a mark is of the index that it was offered for"
        );
        self.installer.install(mark).await.map_err(|failure| {
            self.failure.fail(failure.clone());
            io::Error::other(failure)
        })
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        Ok(self.newest.snapshot())
    }
}
