//! The proposals of one entry, and who waits for them.

use bytes::Bytes;
use cairn_core::LogIndex;
use cairn_machine::Outcome;
use cairn_machine::batch::PROPOSAL_OPERATIONS_MAX;
use tokio::sync::oneshot;

use super::encoded::{EncodedOperations, PROPOSAL_BYTES_MAX, batch_entry};
use super::{Answer, Asker, ProposalResult, Waiting, forward};
use crate::calendar::Times;
use crate::raft::WriteError;

/// Versions of the state machine's function.
#[derive(Debug, Clone, Copy)]
pub(super) struct Versions {
    /// What entries are of.
    pub(super) entries: u8,
    /// The latest that this node applies.
    pub(super) known: u8,
}

/// An entry that is being put together: at most as much as the largest proposal, in operations and in bytes.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    proposals: Vec<Waiting>,
    operations: usize,
    bytes: usize,
}

impl Gathering {
    pub(super) fn has_room_for(&self, waiting: &Waiting) -> bool {
        self.operations + waiting.operations.count() <= PROPOSAL_OPERATIONS_MAX
            && self.bytes + waiting.operations.bytes() <= PROPOSAL_BYTES_MAX
    }

    /// Takes one more; the first always fits.
    pub(super) fn add(&mut self, waiting: Waiting) {
        self.operations += waiting.operations.count();
        self.bytes += waiting.operations.bytes();
        self.proposals.push(waiting);
    }

    /// The entry, and who is to hear of it. None when nobody is left. Entries are of the version that the cluster was raised
    /// to, or of the one that this one raises it to; what needs more than that is turned away.
    pub(super) fn finish(mut self, versions: Versions, times: Times) -> Option<(Bytes, Replies)> {
        self.drop_gone();
        let allowed = |operations: &EncodedOperations| {
            operations.needs() <= versions.entries || operations.raises() && operations.needs() <= versions.known
        };
        let (allowed, beyond): (Vec<_>, Vec<_>) =
            self.proposals.drain(..).partition(|waiting| allowed(&waiting.operations));
        for waiting in beyond {
            drop(waiting.reply.send(Err(WriteError::NotYet(waiting.operations.needs()))));
        }
        self.proposals = allowed;
        let needs = self.proposals.iter().map(|waiting| waiting.operations.needs()).max()?;
        let proposals = self.proposals.iter().map(|waiting| (waiting.asker.request(), &*waiting.operations));
        let entry = batch_entry(needs.max(versions.entries), times, proposals, self.bytes);
        Some((entry, self.into_replies()))
    }

    /// The message to a leader elsewhere, and who is to hear of it. What came from another node is not sent on. None when
    /// nobody is left.
    pub(super) fn finish_for(mut self, leader: u64) -> Option<(Bytes, Replies)> {
        self.drop_gone();
        let (sent_on, own): (Vec<_>, Vec<_>) =
            self.proposals.drain(..).partition(|waiting| matches!(waiting.asker, Asker::Peer(_)));
        Replies(sent_on.into_iter().map(|waiting| waiting.reply).collect()).fail(&WriteError::NotLeader);
        self.proposals = own;
        if self.proposals.is_empty() {
            return None;
        }
        let proposals = self.proposals.iter().map(|waiting| (waiting.asker.request(), &*waiting.operations));
        let body = forward::body(leader, proposals);
        Some((body, self.into_replies()))
    }

    /// Tells everyone that nobody leads.
    pub(super) fn turn_away(self) {
        self.into_replies().fail(&WriteError::NotLeader);
    }

    /// Proposals whose callers have gone are left out: nothing has happened yet, and nobody would learn that it did.
    fn drop_gone(&mut self) {
        self.proposals.retain(|waiting| !waiting.reply.is_closed());
    }

    fn into_replies(self) -> Replies {
        Replies(self.proposals.into_iter().map(|waiting| waiting.reply).collect())
    }
}

/// Who waits for the proposals of an entry, in their order.
#[derive(Debug)]
pub(super) struct Replies(Vec<oneshot::Sender<ProposalResult>>);

impl Replies {
    /// Tells everyone. Who has gone meanwhile has been told that nothing is known.
    pub(super) fn send(self, result: Result<(LogIndex, Vec<Vec<Outcome>>), WriteError>) {
        match result {
            Ok((index, outcomes)) => {
                assert_eq!(outcomes.len(), self.0.len(), "each proposal has its outcomes");
                for (reply, outcomes) in self.0.into_iter().zip(outcomes) {
                    drop(reply.send(Ok(Answer { index, outcomes })));
                }
            }
            Err(error) => self.fail(&error),
        }
    }

    /// Tells everyone the same.
    pub(super) fn fail(self, error: &WriteError) {
        for reply in self.0 {
            drop(reply.send(Err(error.clone())));
        }
    }

    /// Tells each what came of its own.
    pub(super) fn send_each(self, results: Vec<ProposalResult>) {
        assert_eq!(results.len(), self.0.len(), "each proposal has its result");
        for (reply, result) in self.0.into_iter().zip(results) {
            drop(reply.send(result));
        }
    }

    /// How many wait.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }
}
