//! The leader's newest mark on its way to a member that lacks log which is gone: the leader asks again and again until the
//! member has fetched the runs and taken them, so that no call is long and a lost one costs nothing.
//!
//! ```text
//! leader: here is my mark -> member: fetching ... -> leader: here is my mark -> member: installed
//! ```

use std::sync::Arc;

use bytes::Bytes;
use cairn_core::NodeId;
use cairn_rows::{Rows, RunSet};
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use tokio::sync::Mutex;

use super::Raft;
use super::format::{Kept, KeptVote, Mark, Position};
use super::membership::stored;
use super::snapshot::{NewestMark, RunSetSnapshot};
use super::type_config::{LogId, Snapshot, SnapshotMeta};
use crate::applied::Applied;
use crate::applier::entries_of;
use crate::config::NodeConfig;
use crate::error::NodeFailure;
use crate::peers::PeerError;
use crate::view::RowsAt;
use crate::wire::{Message, WireError};

/// A leader's mark.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Offer {
    /// The member that is meant.
    #[n(0)]
    pub(crate) to: u64,
    /// The leader's id.
    #[n(1)]
    pub(crate) from: u64,
    /// The node that it runs on, where the runs are.
    #[n(2)]
    pub(crate) node: NodeId,
    /// Its vote.
    #[n(3)]
    pub(super) vote: KeptVote,
    /// The mark, as it is kept.
    #[n(4)]
    mark: ByteVec,
}

impl Message for Offer {
    const WHAT: &'static str = "offer of runs";
}

impl Offer {
    pub(super) fn new(to: u64, (from, node): (u64, NodeId), vote: KeptVote, mark: &Bytes) -> Self {
        Self { to, from, node, vote, mark: mark.to_vec().into() }
    }

    /// What it offers, checked as a whole.
    pub(crate) fn read(&self) -> Result<(Mark, RunSet), WireError> {
        let mark = Mark::from_bytes(&self.mark).map_err(Self::malformed)?;
        let set = RunSet::decode(&mark.run_set).map_err(Self::malformed)?;
        if mark.applied.last.map(|last| last.index) != Some(set.index().0) {
            return Err(Self::malformed("a mark that does not name the rows at its index"));
        }
        Ok((mark, set))
    }
}

/// How far the member is.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) enum OfferReply {
    /// It fetches; so many bytes have come.
    #[n(0)]
    Fetching(#[n(0)] u64),
    /// Its rows are the mark's, or were newer; this is its vote.
    #[n(1)]
    Installed(#[n(0)] KeptVote),
    /// It could not fetch them. Offer the newest mark there is by then.
    #[n(2)]
    Failed(#[n(0)] String),
}

impl Message for OfferReply {
    const WHAT: &'static str = "reply to an offer of runs";
}

impl Raft {
    /// Takes an offer whose runs have all come.
    pub(crate) async fn install(&self, offer: &Offer, mark: &Mark) -> Result<OfferReply, PeerError> {
        let meta = SnapshotMeta {
            last_log_id: mark.applied.last.map(LogId::from),
            last_membership: stored(mark.applied.membership.as_ref()),
        };
        let snapshot = Snapshot { meta, snapshot: RunSetSnapshot(mark.to_bytes()) };
        let response = self.raft.install_full_snapshot(offer.vote.into(), snapshot).await;
        let response = response.map_err(|error| PeerError::Refused(error.to_string()))?;
        Ok(OfferReply::Installed(KeptVote::from(&response.vote)))
    }
}

/// Makes runs that have come the rows of this node.
#[derive(Debug, Clone)]
pub(crate) struct Installer {
    pub(crate) config: Arc<NodeConfig>,
    pub(crate) rows: Rows,
    pub(crate) applied: Arc<Applied>,
    pub(crate) log: cairn_oplog::OpLog,
    pub(crate) newest: NewestMark,
    /// Held while runs are cut, merged or installed, and until the log has acknowledged the mark.
    pub(crate) turn: Arc<Mutex<()>>,
}

impl Installer {
    /// The runs are open before the mark is in the log, and the mark is in the log before anything is read from them: a start
    /// finds either the old rows or the new ones, and the files of both are there, because what no mark names any more is
    /// removed later.
    pub(super) async fn install(&self, mark: Mark) -> Result<(), NodeFailure> {
        let _turn = self.turn.lock().await;
        let last = mark.applied.last.expect("an offer was checked to have an index");
        let failed =
            |reason: &dyn std::fmt::Display| NodeFailure::Rows { index: last.index, reason: reason.to_string() };
        let set = RunSet::decode(&mark.run_set).map_err(|error| failed(&error))?;
        let (rows, directories) = (self.rows.clone(), self.config.run_directories.clone());
        let open = self.config.work.run(move || rows.open_set(&set, &directories)).await;
        let open = open.map_err(|error| failed(&error))?;
        // The log in front of it is not here, so this is where it begins.
        let mark = mark.alone();
        let record = cairn_oplog::LogRecord::Mark { payload: mark.to_bytes() };
        let acknowledged = self.log.append(vec![record]).map_err(|error| NodeFailure::Log(error.to_string()))?;
        acknowledged.await.map_err(|error| NodeFailure::Log(error.to_string()))?;
        self.applied.replace(mark.applied.clone(), || self.rows.install(open)).map_err(|error| failed(&error))?;
        let entries = entries_of(&RowsAt(self.rows.view()), &self.config).map_err(|error| failed(&error))?;
        self.applied.raised(entries);
        self.newest.set(Arc::new(mark));
        tracing::info!(index = last.index, "the rows are the leader's runs now");
        Ok(())
    }
}

impl Mark {
    /// The same mark, in front of which there is no log.
    fn alone(mut self) -> Self {
        let own = |last: Position| move |checkpoint: &super::format::Checkpoint| checkpoint.last == last;
        if let Some(last) = self.applied.last {
            self.checkpoints.retain(own(last));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::{AppliedState, Checkpoint};

    fn mark(index: u64) -> Mark {
        let last = Position { term: 2, index };
        let checkpoint = |last| Checkpoint { last, time: cairn_core::WallTime(1), log_bytes: 9 };
        Mark {
            run_set: RunSet::empty().encode().into(),
            applied: AppliedState { last: Some(last), ..AppliedState::default() },
            checkpoints: vec![checkpoint(Position { term: 0, index: 0 }), checkpoint(last)],
        }
    }

    #[test]
    fn an_offer_comes_back_and_is_checked() {
        let vote = KeptVote { term: 2, voted_for: 1, committed: true };
        let offer = |mark: &Mark| Offer::new(9, (1, NodeId(4)), vote, &mark.to_bytes());
        let read = Offer::from_body(&offer(&mark(7)).to_body()).unwrap();
        assert_eq!(read, offer(&mark(7)));
        // The set is of index 0.
        assert!(read.read().is_err());
        for reply in [OfferReply::Fetching(7), OfferReply::Installed(vote), OfferReply::Failed("gone".into())] {
            assert_eq!(OfferReply::from_body(&reply.to_body()).unwrap(), reply);
        }
        assert_eq!(mark(7).alone().checkpoints.len(), 1);
    }
}
