//! A call to another node, and what can come of it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cairn_core::NodeId;

use crate::greeting::Refusal;
use crate::message::Payload;
use crate::outbound::TooLong;
use crate::service::{Declined, Method, ServiceId};

/// Who is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// A node, at the address that was last set for it.
    Node(NodeId),
    /// Whoever of our cluster is at an address: for a node that joins, and for gossip.
    At(SocketAddr),
}

impl From<NodeId> for Target {
    fn from(node: NodeId) -> Self {
        Self::Node(node)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => write!(f, "node {node}"),
            Self::At(address) => write!(f, "the node at {address}"),
        }
    }
}

/// What is asked.
#[derive(Debug)]
pub struct Call {
    /// Whom.
    pub service: ServiceId,
    /// What.
    pub method: Method,
    /// The arguments.
    pub head: Bytes,
    /// What goes with them.
    pub body: Payload,
}

impl Call {
    /// A call whose arguments are all there is to it.
    pub fn new(service: ServiceId, method: Method, head: impl Into<Bytes>) -> Self {
        Self { service, method, head: head.into(), body: Payload::empty() }
    }

    /// The same call with bytes beside its arguments.
    #[must_use]
    pub fn with_body(mut self, body: Payload) -> Self {
        self.body = body;
        self
    }
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    /// By whom; proven.
    pub from: NodeId,
    /// The result.
    pub head: Bytes,
    /// What came with it.
    pub body: Payload,
}

/// Why there is no answer. [`Self::may_have_happened`] tells the two kinds apart that matter.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    /// No address is known for the node. Wait until it was heard of.
    #[error("no address is known for {0}")]
    Unknown(Target),
    /// It could not be reached. Nothing was done; ask another, or try again.
    #[error("{0} cannot be reached: {1}")]
    Unreachable(Target, Arc<str>),
    /// It could not be reached a moment ago and is not tried again before this has passed. Nothing was done.
    #[error("{0} could not be reached and is tried again in {1:?}")]
    Resting(Target, Duration),
    /// It will not talk to us. Nothing was done.
    #[error("{0} refuses: {1}")]
    Refused(Target, Refusal),
    /// It did not take the call on. Nothing was done.
    #[error("{0} declines: {1}")]
    Declined(Target, Declined),
    /// All connections of the class stayed taken until patience ended. Nothing was done.
    #[error("all connections to {0} are taken")]
    Crowded(Target),
    /// The call is too long. Nothing was done; a mistake of the caller.
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// The connection broke after the call was on its way. It may have happened.
    #[error("the connection to {0} broke: {1}")]
    Lost(Target, Arc<str>),
    /// No answer came in time. It may have happened.
    #[error("{0} did not answer within {1:?}")]
    Late(Target, Duration),
}

impl CallError {
    /// Whether the call may have taken effect although no answer came.
    pub const fn may_have_happened(&self) -> bool {
        matches!(self, Self::Lost(..) | Self::Late(..))
    }
}
