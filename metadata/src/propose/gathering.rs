//! The proposals of one entry, and who waits for them.

use bytes::Bytes;
use cairn_core::{LogIndex, WallTime};
use cairn_machine::Outcome;
use cairn_machine::batch::PROPOSAL_OPERATIONS_MAX;
use tokio::sync::oneshot;

use super::encoded::{PROPOSAL_BYTES_MAX, batch_entry};
use super::{Answer, ProposalResult, Waiting, request_id};
use crate::raft::WriteError;

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

    /// The entry, and who is to hear of it. Proposals whose callers have gone are left out: nothing has happened yet,
    /// and nobody would learn that it did. None when that leaves nothing.
    pub(super) fn finish(mut self, time: WallTime) -> Option<(Bytes, Replies)> {
        self.proposals.retain(|waiting| !waiting.reply.is_closed());
        if self.proposals.is_empty() {
            return None;
        }
        let proposals = self.proposals.iter().map(|waiting| {
            let request = waiting.request.as_ref().map(|(session, number)| request_id(session, *number));
            (request, &*waiting.operations)
        });
        let entry = batch_entry(time, proposals, self.bytes);
        let replies = self.proposals.into_iter().map(|waiting| waiting.reply).collect();
        Some((entry, Replies(replies)))
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
            Err(error) => {
                for reply in self.0 {
                    drop(reply.send(Err(error.clone())));
                }
            }
        }
    }
}
