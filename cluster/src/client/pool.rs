//! The connections of one process to all others.
//!
//! Each peer has a bounded number of connections of each class, made when they are needed. A call takes one that is idle,
//! or makes one, or waits for one; its deadline covers all three.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cairn_core::{Entropy, NodeId};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::backoff::Backoff;
use super::connection::{Called, Connection, Identity};
use super::lane::Lane;
use crate::call::{Answer, Call, CallError, Target};
use crate::class::Class;
use crate::greeting::ConnectionKey;
use crate::message::Payload;
use crate::network::Network;
use crate::outbound::check_lengths;

/// Peers known by address alone. More than a cluster has nodes; one that is not in use makes room for the next.
const ADDRESSES_MAX: usize = 1024;

/// The pool.
#[derive(Debug)]
pub struct Pool {
    identity: Identity,
    peers: Mutex<BTreeMap<Target, Arc<Peer>>>,
}

/// What is known of one peer.
#[derive(Debug)]
struct Peer {
    address: SocketAddr,
    backoff: Mutex<Backoff>,
    classes: [Connections; 3],
}

/// A peer's connections of one class.
#[derive(Debug)]
struct Connections {
    free: Arc<Semaphore>,
    /// The one used last is taken first, so that those which are too many grow old and go.
    idle: Mutex<Vec<Connection>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Peer {
    fn new(address: SocketAddr) -> Arc<Self> {
        let classes = Class::ALL
            .map(|class| Connections { free: Arc::new(Semaphore::new(class.calls_max())), idle: Mutex::default() });
        Arc::new(Self { address, backoff: Mutex::default(), classes })
    }
}

impl Pool {
    /// A pool that knows nobody yet.
    pub fn new(node: NodeId, key: ConnectionKey, network: Arc<dyn Network>, entropy: Arc<dyn Entropy>) -> Arc<Self> {
        assert_ne!(node, NodeId(0), "0 is nobody's id");
        Arc::new(Self { identity: Identity { node, key, network, entropy }, peers: Mutex::default() })
    }

    /// Who calls.
    pub fn node(&self) -> NodeId {
        self.identity.node
    }

    /// Says where a node is. At a new address it begins anew; at the same one only a rest that is under way ends, because
    /// whoever says this has heard of the node.
    pub fn set_address(&self, node: NodeId, address: SocketAddr) {
        let mut peers = locked(&self.peers);
        match peers.get(&Target::Node(node)) {
            Some(peer) if peer.address == address => locked(&peer.backoff).reset(),
            _ => {
                peers.insert(Target::Node(node), Peer::new(address));
            }
        }
    }

    /// Where a node is said to be.
    pub fn address(&self, node: NodeId) -> Option<SocketAddr> {
        locked(&self.peers).get(&Target::Node(node)).map(|peer| peer.address)
    }

    /// Forgets a node that has left. Calls under way finish.
    pub fn forget(&self, node: NodeId) {
        locked(&self.peers).remove(&Target::Node(node));
    }

    /// A connection of one's own to a node, for calls that must arrive in order.
    pub fn lane(self: &Arc<Self>, target: impl Into<Target>, class: Class) -> Lane {
        Lane::new(self.clone(), target.into(), class)
    }

    /// Calls a node. The deadline covers everything: waiting for a connection, making one, the call, the answer.
    pub fn call(
        &self,
        target: impl Into<Target>,
        class: Class,
        call: Call,
        patience: Duration,
    ) -> BoxFuture<'_, Result<Answer, CallError>> {
        self.call_to(target.into(), class, call, patience)
    }

    fn call_to(
        &self,
        target: Target,
        class: Class,
        call: Call,
        patience: Duration,
    ) -> BoxFuture<'_, Result<Answer, CallError>> {
        Box::pin(self.call_once(target, class, call, patience))
    }

    async fn call_once(
        &self,
        target: Target,
        class: Class,
        call: Call,
        patience: Duration,
    ) -> Result<Answer, CallError> {
        check_lengths(&call.head, &call.body)?;
        let deadline = Instant::now() + patience;
        let peer = self.peer(target)?;
        let connections = &peer.classes[class.index()];
        let free = timeout_at(deadline, connections.free.clone().acquire_owned()).await;
        let free = free.map_err(|_| CallError::Crowded(target))?.expect("this semaphore is never closed");
        let mut call = call;
        loop {
            // A statement of its own, so that the lock is given back before anything is waited for.
            let idle = locked(&connections.idle).pop();
            let connection = match idle {
                Some(connection) if !connection.usable() => continue,
                Some(connection) => connection,
                None => self.open(&peer, target, class, deadline).await?,
            };
            let called = connection.call(call, deadline).await;
            if called.as_ref().is_err_and(CallError::may_have_happened) {
                // Those that idle may be as dead as this one, and would each cost a call its patience to find out.
                locked(&connections.idle).clear();
            }
            match called? {
                Called::Answered(answer, connection) => {
                    locked(&connections.idle).extend(connection);
                    return Ok(match answer.body {
                        // The place in the pool is taken until the stream ends.
                        Payload::Frames(frames) => {
                            let frames = frames.inspect(move |_| _ = &free).boxed();
                            Answer { body: Payload::Frames(frames), ..answer }
                        }
                        body => Answer { body, ..answer },
                    });
                }
                Called::Unsent(again) if Instant::now() < deadline => call = again,
                Called::Unsent(_) => {
                    return Err(CallError::Unreachable(target, Arc::from("no connection lasted")));
                }
            }
        }
    }

    /// A fresh connection, unless the peer is resting.
    pub(super) async fn connect(
        &self,
        target: Target,
        class: Class,
        deadline: Instant,
    ) -> Result<Connection, CallError> {
        let peer = self.peer(target)?;
        self.open(&peer, target, class, deadline).await
    }

    async fn open(
        &self,
        peer: &Peer,
        target: Target,
        class: Class,
        deadline: Instant,
    ) -> Result<Connection, CallError> {
        if let Some(rest) = locked(&peer.backoff).rest(Instant::now()) {
            return Err(CallError::Resting(target, rest));
        }
        let opened = Connection::open(&self.identity, target, peer.address, class, deadline).await;
        let mut backoff = locked(&peer.backoff);
        match &opened {
            Ok(_) => backoff.reset(),
            Err(_) => backoff.failed(Instant::now(), self.identity.entropy.next_u64()),
        }
        opened
    }

    fn peer(&self, target: Target) -> Result<Arc<Peer>, CallError> {
        let mut peers = locked(&self.peers);
        if let Some(peer) = peers.get(&target) {
            return Ok(peer.clone());
        }
        let Target::At(address) = target else { return Err(CallError::Unknown(target)) };
        let by_address = peers.keys().filter(|target| matches!(target, Target::At(_))).count();
        if by_address >= ADDRESSES_MAX {
            let unused =
                peers.iter().find(|(target, peer)| matches!(target, Target::At(_)) && Arc::strong_count(peer) == 1);
            let unused = unused.map(|(target, _)| *target);
            unused.map(|unused| peers.remove(&unused)).ok_or(CallError::Crowded(target))?;
        }
        let peer = Peer::new(address);
        peers.insert(target, peer.clone());
        Ok(peer)
    }
}
