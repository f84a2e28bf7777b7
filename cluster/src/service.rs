//! What answers calls: services by number, each with methods by number.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cairn_core::NodeId;
use futures::future::BoxFuture;

use crate::class::Class;
use crate::message::Payload;

/// The number of a service, the same in every release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId(pub u8);

impl ServiceId {
    /// Drives of a node: `chunks.rs`.
    pub const CHUNKS: Self = Self(1);
    /// Raft's messages.
    pub const RAFT: Self = Self(2);
    /// Who is alive: `membership.rs`.
    pub const MEMBERSHIP: Self = Self(3);
    /// What nodes ask of each other beside: joining, forwarded proposals, status.
    pub const CONTROL: Self = Self(4);
}

/// The number of a method within its service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Method(pub u8);

/// A call as its service sees it. Who asks was proven by the greeting.
#[derive(Debug)]
pub struct Request {
    /// The node that asks.
    pub from: NodeId,
    /// On which kind of connection.
    pub class: Class,
    /// What it asks.
    pub method: Method,
    /// How long it still waits. The answer is dropped after that, and so is the future that makes it.
    pub patience: Duration,
    /// The arguments, under the message's tag.
    pub head: Bytes,
    /// What came with them.
    pub body: Payload,
}

/// What a call is answered.
#[derive(Debug)]
pub struct Reply {
    /// The result, under the message's tag.
    pub head: Bytes,
    /// What goes with it.
    pub body: Payload,
}

impl Reply {
    /// A result without more.
    pub fn head(head: impl Into<Bytes>) -> Self {
        Self { head: head.into(), body: Payload::empty() }
    }
}

/// Why a call was not taken on. Nothing was done: it may be made again, elsewhere or later. What a service did and how it
/// failed is its own affair, inside its answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[repr(u8)]
pub enum Declined {
    /// No such service runs there. Ask a node with that role.
    #[error("no such service runs there")]
    NoService = 1,
    /// An older release that does not know the method. Do without it.
    #[error("it does not know this method")]
    NoMethod = 2,
    /// The arguments make no sense to it. A mistake of the caller, or of an older release.
    #[error("it does not understand the arguments")]
    NotUnderstood = 3,
    /// More is under way there than it takes. Wait, or ask another.
    #[error("it is busy")]
    Busy = 4,
    /// It is starting or stopping. Ask another.
    #[error("it is not ready")]
    NotReady = 5,
}

impl Declined {
    /// The inverse of `as u8`. A reason that only a later release knows counts as `NotReady`: nothing was done.
    pub(crate) const fn from_status(status: u8) -> Option<Self> {
        match status {
            0 => None,
            1 => Some(Self::NoService),
            2 => Some(Self::NoMethod),
            3 => Some(Self::NotUnderstood),
            4 => Some(Self::Busy),
            _ => Some(Self::NotReady),
        }
    }
}

/// Why a request got no answer of any kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The caller is told so, and knows that nothing was done.
    #[error(transparent)]
    Declined(#[from] Declined),
    /// What came cannot be what was sent: the connection is closed without a word, and the caller counts the call as lost.
    #[error("what came is not what was sent: {0}")]
    Garbled(&'static str),
}

/// Something that answers calls from other nodes.
///
/// The future is dropped when the caller has gone or has waited long enough: what must not stop halfway runs in a task of
/// its own.
pub trait Service: Send + Sync + fmt::Debug + 'static {
    /// Answers one call.
    fn answer(&self, request: Request) -> BoxFuture<'_, Result<Reply, Failure>>;
}

/// The services of one process. Made before the listener starts, and never changed: a service that is not ready says so
/// itself.
#[derive(Debug, Clone, Default)]
pub struct Services(BTreeMap<ServiceId, Arc<dyn Service>>);

impl Services {
    /// Adds one.
    #[must_use]
    pub fn with(mut self, id: ServiceId, service: Arc<dyn Service>) -> Self {
        let before = self.0.insert(id, service);
        assert!(before.is_none(), "two services with the number {}", id.0);
        self
    }

    pub(crate) fn get(&self, id: ServiceId) -> Result<&dyn Service, Declined> {
        self.0.get(&id).map(|service| &**service).ok_or(Declined::NoService)
    }
}
