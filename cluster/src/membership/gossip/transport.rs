//! chitchat's messages as calls between nodes.
//!
//! chitchat would send datagrams, which carry no proof of who sent them. A call's connection does: fresh nonces of both
//! ends, both node ids and the cluster's secret are in its keys, so nothing can be forged, changed or played back, and a
//! message has no size at which it no longer fits. What datagrams do better, never to wait, is kept: a message that
//! cannot be sent at once is dropped.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use bytes::Bytes;
use chitchat::transport::{Socket, Transport};
use chitchat::{ChitchatMessage, Deserializable as _, Serializable as _};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::{Semaphore, mpsc};

use crate::call::{Call, Target};
use crate::class::Class;
use crate::client::pool::Pool;
use crate::message::Payload;
use crate::service::{Declined, Failure, Method, Reply, Request, Service, ServiceId};

/// A message of chitchat, with the address of its sender's listener as the head.
const GOSSIP: Method = Method(1);

/// Messages that arrived and were not looked at yet. More are dropped, as a socket does.
const WAITING_MAX: usize = 256;

/// Messages on their way at a time. Each waits for its answer, which is empty; those to nodes that are gone wait longest.
const SENDING_MAX: usize = 64;

/// The longest message. chitchat keeps below what fits a datagram.
const MESSAGE_BYTES_MAX: usize = 65_507;

type Arrived = (SocketAddr, ChitchatMessage);

/// Takes gossip from other nodes. Stands behind the listener under [`ServiceId::MEMBERSHIP`].
pub struct GossipService(mpsc::Sender<Arrived>);

impl fmt::Debug for GossipService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GossipService")
    }
}

/// Where a [`GossipService`] puts what it takes.
pub struct Inbox(mpsc::Receiver<Arrived>);

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inbox")
    }
}

impl GossipService {
    /// The service, which must exist before the listener does, and its inbox, which gossip takes when it starts.
    pub fn new() -> (Arc<Self>, Inbox) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        (Arc::new(Self(sender)), Inbox(receiver))
    }

    fn take(&self, request: Request) -> Result<Reply, Failure> {
        let Payload::Sealed(body) = request.body else { return Err(Declined::NotUnderstood.into()) };
        if request.method != GOSSIP {
            return Err(Declined::NoMethod.into());
        }
        if body.len() > MESSAGE_BYTES_MAX {
            return Err(Declined::NotUnderstood.into());
        }
        let from = std::str::from_utf8(&request.head).ok().and_then(|text| text.parse().ok());
        let from: SocketAddr = from.ok_or(Declined::NotUnderstood)?;
        let message = ChitchatMessage::deserialize(&mut &body[..]).map_err(|_| Declined::NotUnderstood)?;
        self.0.try_send((from, message)).map_err(|_| Declined::Busy)?;
        Ok(Reply::head(Bytes::new()))
    }
}

impl Service for GossipService {
    fn answer(&self, request: Request) -> BoxFuture<'_, Result<Reply, Failure>> {
        std::future::ready(self.take(request)).boxed()
    }
}

/// Opens once: there is one inbox.
pub(super) struct PoolTransport {
    pool: Arc<Pool>,
    address: SocketAddr,
    inbox: Mutex<Option<Inbox>>,
    patience: Duration,
}

impl PoolTransport {
    /// A message that is not taken within some rounds of gossip is told better by a later one.
    pub(super) fn new(pool: Arc<Pool>, address: SocketAddr, inbox: Inbox, interval: Duration) -> Self {
        Self { pool, address, inbox: Mutex::new(Some(inbox)), patience: interval * 4 }
    }
}

#[async_trait]
impl Transport for PoolTransport {
    async fn open(&self, _: SocketAddr) -> anyhow::Result<Box<dyn Socket>> {
        let inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(Box::new(PoolSocket {
            pool: self.pool.clone(),
            from: Bytes::from(self.address.to_string()),
            inbox: inbox.context("gossip runs already")?,
            sending: Arc::new(Semaphore::new(SENDING_MAX)),
            patience: self.patience,
        }))
    }
}

struct PoolSocket {
    pool: Arc<Pool>,
    from: Bytes,
    inbox: Inbox,
    sending: Arc<Semaphore>,
    patience: Duration,
}

#[async_trait]
impl Socket for PoolSocket {
    async fn send(&mut self, to: SocketAddr, message: ChitchatMessage) -> anyhow::Result<()> {
        let Ok(place) = self.sending.clone().try_acquire_owned() else {
            tracing::debug!(%to, "gossip is dropped: too much is on its way");
            return Ok(());
        };
        let body = Payload::Sealed(Bytes::from(message.serialize_to_vec()));
        let call = Call::new(ServiceId::MEMBERSHIP, GOSSIP, self.from.clone()).with_body(body);
        let (pool, patience) = (self.pool.clone(), self.patience);
        tokio::spawn(async move {
            if let Err(error) = pool.call(Target::At(to), Class::Control, call, patience).await {
                tracing::debug!(%to, %error, "gossip did not arrive");
            }
            drop(place);
        });
        Ok(())
    }

    async fn recv(&mut self) -> anyhow::Result<Arrived> {
        self.inbox.0.recv().await.context("the gossip service is gone")
    }
}
