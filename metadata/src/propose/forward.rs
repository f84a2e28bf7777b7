//! Proposals on their way to a leader elsewhere: what is sent, what comes back, and what the leader does about it.
//!
//! ```text
//! gathered here -> message -> the leader's own queue -> entry -> outcomes -> message -> who waits here
//! ```
//! The leader assigns the time and the place in the log, as for its own. Each proposal carries its session's number, so
//! one that was sent, lost and sent again has one effect.

use std::sync::Arc;

use bytes::Bytes;
use cairn_core::NodeId;
use cairn_machine::batch::PROPOSAL_OPERATIONS_MAX;
use cairn_machine::{Author, RequestId};
use minicbor::{Decode, Encode};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;

use super::encoded::EncodedOperations;
use super::gathering::Replies;
use super::{Answer, Asker, ProposalResult, Proposer, Waiting};
use crate::leader::{Lead, LeaderWay};
use crate::peers::{PeerCall, PeerError};
use crate::raft::WriteError;
use crate::wire::{Message, cut, length};

/// Proposals for the leader. The payload is their operations, each as it will stand in the entry.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
struct Bundle {
    /// The member that is meant.
    #[n(0)]
    to: u64,
    /// Each proposal.
    #[n(1)]
    proposals: Vec<Item>,
}

/// One proposal of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
struct Item {
    /// The session's request; none for what needs no session.
    #[n(0)]
    request: Option<RequestId>,
    /// How long its operations are.
    #[n(1)]
    bytes: u32,
    /// On whose behalf it comes.
    #[n(2)]
    authors: Option<Vec<Author>>,
}

impl Message for Bundle {
    const WHAT: &'static str = "bundle of proposals";
}

/// What came of a bundle, in its order.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
struct Results {
    #[n(0)]
    results: Vec<ItemResult>,
}

/// What came of one proposal.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
enum ItemResult {
    /// Its outcomes.
    #[n(0)]
    Answer(#[n(0)] Answer),
    /// The node does not lead, or no longer. It may still happen.
    #[n(1)]
    NotLeader,
    /// Too many wait there. It was not taken.
    #[n(2)]
    Busy,
    /// Some member does not know this version of the function yet. It was not taken.
    #[n(3)]
    NotYet(#[n(0)] u8),
}

impl Message for Results {
    const WHAT: &'static str = "results of proposals";
}

impl From<ProposalResult> for ItemResult {
    fn from(result: ProposalResult) -> Self {
        match result {
            Ok(answer) => Self::Answer(answer),
            Err(WriteError::NotLeader) => Self::NotLeader,
            Err(WriteError::Busy) => Self::Busy,
            Err(WriteError::NotYet(needs)) => Self::NotYet(needs),
        }
    }
}

impl From<ItemResult> for ProposalResult {
    fn from(result: ItemResult) -> Self {
        match result {
            ItemResult::Answer(answer) => Ok(answer),
            ItemResult::NotLeader => Err(WriteError::NotLeader),
            ItemResult::Busy => Err(WriteError::Busy),
            ItemResult::NotYet(needs) => Err(WriteError::NotYet(needs)),
        }
    }
}

/// The message for a leader.
pub(super) fn body<'a>(
    leader: u64,
    proposals: impl Iterator<Item = (Option<RequestId>, &'a EncodedOperations)>,
) -> Bytes {
    let mut payload = Vec::new();
    let items = proposals.map(|(request, operations)| {
        payload.push(operations.encoded().clone());
        Item { request, bytes: length(operations.encoded()), authors: operations.authors().cloned() }
    });
    let bundle = Bundle { to: leader, proposals: items.collect() };
    bundle.to_body_with(&payload)
}

/// Sends a bundle to the leader and tells those who wait. Without an answer nobody knows what came of it; who has a number
/// asks again under it.
pub(super) async fn send(way: &LeaderWay, member: u64, node: NodeId, body: Bytes, replies: Replies) {
    let read = |reply: Bytes| Results::from_body(&reply).map_err(|error| PeerError::Unreachable(error.to_string()));
    match way.call(member, node, PeerCall::Propose, body).await.and_then(read) {
        Ok(Results { results }) if results.len() == replies.count() => {
            replies.send_each(results.into_iter().map(ProposalResult::from).collect());
        }
        Ok(Results { results }) => {
            tracing::error!(%node, found = results.len(), wanted = replies.count(), "results that do not fit");
            replies.fail(&WriteError::NotLeader);
        }
        Err(error) => {
            tracing::debug!(%node, %error, "proposals are sent again");
            replies.fail(&WriteError::NotLeader);
        }
    }
}

/// Takes a bundle from another node, and answers when all of it is decided, or when that takes too long.
pub(super) async fn answer(proposer: &Proposer, body: &Bytes) -> Result<Bytes, PeerError> {
    let refused = |error: &dyn std::fmt::Display| PeerError::Refused(error.to_string());
    let (mut bundle, payload) = Bundle::from_body_with(body).map_err(|error| refused(&error))?;
    proposer.way.raft.check_meant(bundle.to)?;
    if bundle.proposals.len() > PROPOSAL_OPERATIONS_MAX {
        return Err(refused(&"more proposals than a bundle has"));
    }
    let lengths = bundle.proposals.iter().map(|item| item.bytes);
    let pieces = cut::<Bundle>(&payload, lengths).map_err(|error| refused(&error))?;
    let authors = bundle.proposals.iter_mut().map(|item| item.authors.take());
    let operations =
        pieces.into_iter().zip(authors).map(|(bytes, authors)| EncodedOperations::from_peer(bytes, authors));
    let operations: Result<Vec<_>, String> = operations.collect();
    let operations = operations.map_err(|error| refused(&error))?;
    if proposer.way.lead() != Lead::Here {
        return Ok(Results { results: vec![ItemResult::NotLeader; operations.len()] }.to_body());
    }
    let mut waiting = Vec::with_capacity(operations.len());
    for (item, operations) in bundle.proposals.into_iter().zip(operations) {
        let (reply, result) = oneshot::channel();
        let asker = Asker::Peer(item.request);
        let taken = proposer.queue.try_send(Waiting { asker, operations: Arc::new(operations), reply });
        waiting.push(match taken {
            Ok(()) => Ok(result),
            Err(TrySendError::Full(_)) => Err(ItemResult::Busy),
            Err(TrySendError::Closed(_)) => Err(ItemResult::NotLeader),
        });
    }
    let deadline = tokio::time::Instant::now() + proposer.way.deadline;
    let mut results = Vec::with_capacity(waiting.len());
    for one in waiting {
        results.push(match one {
            Err(result) => result,
            Ok(result) => match tokio::time::timeout_at(deadline, result).await {
                Ok(Ok(result)) => result.into(),
                // Nobody knows: it is asked for again, under its number.
                Ok(Err(_)) | Err(_) => ItemResult::NotLeader,
            },
        });
    }
    Ok(Results { results }.to_body())
}

#[cfg(test)]
mod tests {
    use cairn_core::{LogIndex, SessionId};
    use cairn_machine::{Operation, Outcome};

    use super::*;

    #[test]
    fn bundles_and_results_come_back() {
        let renewal = Operation::RenewSession { id: SessionId(7), commits_from: 1, reads_from: LogIndex(2) };
        let operations = EncodedOperations::encode(&[renewal]).unwrap();
        let request = RequestId { session: SessionId(7), number: 70_000, lowest_unanswered: 3 };
        let sent = body(5, [(None, &operations), (Some(request), &operations)].into_iter());
        let (bundle, payload) = Bundle::from_body_with(&sent).unwrap();
        assert_eq!(bundle.to, 5);
        assert_eq!(bundle.proposals.iter().map(|item| item.request).collect::<Vec<_>>(), [None, Some(request)]);
        let pieces = cut::<Bundle>(&payload, bundle.proposals.iter().map(|item| item.bytes)).unwrap();
        assert_eq!(pieces, [operations.encoded().clone(), operations.encoded().clone()]);
        let answer = Answer { index: LogIndex(9), outcomes: vec![Outcome::Done] };
        for result in [Ok(answer), Err(WriteError::NotLeader), Err(WriteError::Busy), Err(WriteError::NotYet(5))] {
            let results = Results { results: vec![result.clone().into()] };
            let read = Results::from_body(&results.to_body()).unwrap().results.remove(0);
            assert_eq!(ProposalResult::from(read), result);
        }
    }
}
