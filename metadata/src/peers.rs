//! The way to other nodes, as this crate sees it: a call carries bytes there and brings bytes back. Who connects,
//! authenticates and frames is somebody else's affair, and so is the simulated network of the tests.
//!
//! ```text
//! openraft, proposals, reads -> Peers::call(node, PeerCall, body) ~~~> MetadataNode::answer(PeerCall, body) -> reply
//! ```
//! What the bodies say is described in `docs/formats/raft-wire.md`.

use std::fmt::Debug;
use std::time::Duration;

use bytes::Bytes;
use cairn_core::NodeId;
use futures::future::BoxFuture;

/// What one node asks of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerCall {
    /// The leader's entries: long at times, answered when they are durable, and to arrive in order.
    Append,
    /// That the leader is there. It must never wait behind entries: whoever does not hear it in time stands for election,
    /// and reads wait for its answers.
    Heartbeat,
    /// A candidate asks for a vote.
    Vote,
    /// Somebody asks whether it would be given one.
    PreVote,
    /// The leader gives its place to another voter.
    Transfer,
    /// The leader's newest mark, whose runs the asked node is to fetch.
    Install,
    /// Proposals, for the leader.
    Propose,
    /// A question to the leader for an index that holds everything acknowledged.
    ReadIndex,
    /// A change of members, for the leader.
    Members,
    /// A piece of a run.
    Run,
    /// What a member knows and what its clock says.
    About,
}

impl PeerCall {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Append,
        Self::Heartbeat,
        Self::Vote,
        Self::PreVote,
        Self::Transfer,
        Self::Install,
        Self::Propose,
        Self::ReadIndex,
        Self::Members,
        Self::Run,
        Self::About,
    ];

    /// Its name between nodes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Heartbeat => "heartbeat",
            Self::Vote => "vote",
            Self::PreVote => "pre-vote",
            Self::Transfer => "transfer",
            Self::Install => "install",
            Self::Propose => "propose",
            Self::ReadIndex => "read-index",
            Self::Members => "members",
            Self::Run => "run",
            Self::About => "about",
        }
    }

    /// The call of a name; none for a name that this release does not know.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|call| call.name() == name)
    }
}

/// Why a call brought no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// Nobody knows whether the call arrived, or it was not answered in time. It may still have an effect.
    #[error("no answer: {0}")]
    Unreachable(String),
    /// The node answered that it will not: it has another id, has stopped, or does not understand. Nothing happened.
    #[error("refused: {0}")]
    Refused(String),
}

/// The way to other nodes.
pub trait Peers: Debug + Send + Sync + 'static {
    /// Calls a node and waits for its reply, at most until the deadline. A body has at most
    /// [`BODY_BYTES_MAX`](crate::BODY_BYTES_MAX) bytes, and so has a reply. A call whose future is dropped may or may not
    /// arrive.
    fn call(
        &self,
        to: NodeId,
        call: PeerCall,
        body: Bytes,
        deadline: Duration,
    ) -> BoxFuture<'static, Result<Bytes, PeerError>>;
}

/// What a node has that is alone: nobody can be reached, and nobody is answered for.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoPeers;

impl Peers for NoPeers {
    fn call(&self, to: NodeId, _: PeerCall, _: Bytes, _: Duration) -> BoxFuture<'static, Result<Bytes, PeerError>> {
        Box::pin(std::future::ready(Err(PeerError::Unreachable(format!("there is no way to node {to}")))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_has_a_name_of_its_own() {
        for call in PeerCall::ALL {
            assert_eq!(PeerCall::from_name(call.name()), Some(call));
        }
        assert_eq!(PeerCall::from_name("steal"), None);
    }
}
