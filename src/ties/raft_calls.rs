//! Raft's way to other nodes: the metadata's calls as calls between nodes. Entries have a lane of their own to each peer,
//! because they must arrive in order; heartbeats and votes have other connections of the same class, so that a long batch on its
//! way delays none.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use cairn_cluster::service::{Declined, Failure, Reply, Request};
use cairn_cluster::{Call, CallError, Class, Lane, Method, Payload, Pool, Service, ServiceId};
use cairn_core::NodeId;
use cairn_metadata::{MetadataNode, PeerCall, PeerError, Peers};
use futures::FutureExt as _;
use futures::future::BoxFuture;

/// The one method: the head of a question is the call's name.
const CALL: Method = Method(1);

/// An answer's head begins with one of these; behind a refusal stands the reason.
const DONE: u8 = 0;
const REFUSED: u8 = 1;

/// The longest reason that is told.
const REASON_BYTES_MAX: usize = 1024;

/// The calling end.
#[derive(Debug)]
pub struct RaftPeers {
    pool: Arc<Pool>,
    lanes: Mutex<BTreeMap<NodeId, Arc<Lane>>>,
}

impl RaftPeers {
    /// Peers behind a pool.
    pub fn new(pool: Arc<Pool>) -> Arc<Self> {
        Arc::new(Self { pool, lanes: Mutex::default() })
    }

    fn lane(&self, to: NodeId) -> Arc<Lane> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.entry(to).or_insert_with(|| Arc::new(self.pool.lane(to, Class::Raft))).clone()
    }
}

/// What is small and may come in any order travels beside the entries, and what is long beside everything else.
fn class(call: PeerCall) -> Class {
    match call {
        PeerCall::Append | PeerCall::Heartbeat | PeerCall::Vote | PeerCall::PreVote | PeerCall::Transfer => Class::Raft,
        PeerCall::Install | PeerCall::Run => Class::Bulk,
        _ => Class::Control,
    }
}

impl Peers for RaftPeers {
    fn call(
        &self,
        to: NodeId,
        call: PeerCall,
        body: Bytes,
        deadline: Duration,
    ) -> BoxFuture<'static, Result<Bytes, PeerError>> {
        let question = Call::new(ServiceId::RAFT, CALL, call.name()).with_body(Payload::Sealed(body));
        let pool = self.pool.clone();
        let lane = (call == PeerCall::Append).then(|| self.lane(to));
        async move {
            let answer = match lane {
                Some(lane) => lane.call(question, deadline).await,
                None => pool.call(to, class(call), question, deadline).await,
            };
            let answer = answer.map_err(|error| match error {
                CallError::Declined(..) | CallError::Refused(..) => PeerError::Refused(error.to_string()),
                _ => PeerError::Unreachable(error.to_string()),
            })?;
            let Payload::Sealed(body) = answer.body else {
                return Err(PeerError::Unreachable(format!("node {to} answered in another form")));
            };
            match answer.head.split_first() {
                Some((&DONE, [])) => Ok(body),
                Some((&REFUSED, reason)) => Err(PeerError::Refused(String::from_utf8_lossy(reason).into_owned())),
                _ => Err(PeerError::Unreachable(format!("node {to} answered something else"))),
            }
        }
        .boxed()
    }
}

/// The answering end. It is behind the listener before there is a node that could answer, and stays there when one is
/// replaced by another, under another id.
#[derive(Debug, Default)]
pub struct RaftCalls(RwLock<Option<MetadataNode>>);

impl RaftCalls {
    /// From now on this node answers.
    pub fn serve(&self, node: MetadataNode) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(node);
    }

    /// From now on nobody does.
    pub fn close(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn node(&self) -> Result<MetadataNode, Declined> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or(Declined::NotReady)
    }

    async fn answer(&self, request: Request) -> Result<Reply, Failure> {
        let node = self.node()?;
        if request.method != CALL {
            return Err(Declined::NoMethod.into());
        }
        let call = std::str::from_utf8(&request.head).ok().and_then(PeerCall::from_name).ok_or(Declined::NoMethod)?;
        let Payload::Sealed(body) = request.body else { return Err(Declined::NotUnderstood.into()) };
        match node.answer(call, body).await {
            Ok(body) => Ok(Reply { head: Bytes::from_static(&[DONE]), body: Payload::Sealed(body) }),
            Err(PeerError::Refused(reason)) => {
                let mut head = vec![REFUSED];
                head.extend(reason.bytes().take(REASON_BYTES_MAX));
                Ok(Reply::head(head))
            }
            Err(PeerError::Unreachable(_)) => Err(Declined::NotReady.into()),
        }
    }
}

impl Service for RaftCalls {
    fn answer(&self, request: Request) -> BoxFuture<'_, Result<Reply, Failure>> {
        self.answer(request).boxed()
    }
}
