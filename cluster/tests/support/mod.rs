//! Nodes for tests: a pool, a listener, and a service that gives back what it is given.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use cairn_cluster::client::pool::Pool;
use cairn_cluster::greeting::ConnectionKey;
use cairn_cluster::message::{Payload, StreamFault};
use cairn_cluster::network::Network;
use cairn_cluster::network::simulated::SimulatedNetwork;
use cairn_cluster::network::tcp::TcpNetwork;
use cairn_cluster::server::{Listener, ListenerOptions};
use cairn_cluster::service::{Declined, Failure, Reply, Request, Service, ServiceId, Services};
use cairn_core::entropy::{SeededEntropy, SystemEntropy};
use cairn_core::{ClusterId, Entropy, NodeId};
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};

pub const PATIENCE: Duration = Duration::from_secs(20);
pub const SECRET: [u8; 32] = [7; 32];

pub fn key(secret: &[u8; 32]) -> ConnectionKey {
    ConnectionKey::derive(secret, ClusterId(5))
}

pub fn machine(number: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, number])
}

pub fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

#[derive(Debug, Default)]
pub struct Echo {
    callers: Mutex<Vec<NodeId>>,
    notes: Mutex<Vec<u8>>,
    sums: Mutex<Vec<Option<u64>>>,
}

impl Echo {
    /// Gives back head and body.
    pub const BACK: u8 = 1;
    /// Never answers.
    pub const HANG: u8 = 2;
    /// Remembers the first byte of the head.
    pub const NOTE: u8 = 3;
    /// Adds up a stream.
    pub const SUM: u8 = 4;
    /// Answers with a stream that breaks.
    pub const BREAK_OFF: u8 = 5;

    pub fn callers(&self) -> Vec<NodeId> {
        self.callers.lock().unwrap().clone()
    }

    pub fn notes(&self) -> Vec<u8> {
        self.notes.lock().unwrap().clone()
    }

    pub fn sums(&self) -> Vec<Option<u64>> {
        self.sums.lock().unwrap().clone()
    }
}

impl Service for Echo {
    fn answer(&self, request: Request) -> BoxFuture<'_, Result<Reply, Failure>> {
        async move {
            match request.method.0 {
                Self::BACK => {
                    self.callers.lock().unwrap().push(request.from);
                    Ok(Reply { head: request.head, body: request.body })
                }
                Self::HANG => std::future::pending().await,
                Self::NOTE => {
                    self.notes.lock().unwrap().push(request.head[0]);
                    Ok(Reply::head(&b""[..]))
                }
                Self::SUM => {
                    let Payload::Frames(mut frames) = request.body else {
                        return Err(Declined::NotUnderstood.into());
                    };
                    let mut sum = 0;
                    while let Some(frame) = frames.next().await {
                        let Ok(frame) = frame else {
                            self.sums.lock().unwrap().push(None);
                            return Err(Failure::Garbled("the stream broke"));
                        };
                        sum += frame.iter().map(|byte| u64::from(*byte)).sum::<u64>();
                    }
                    self.sums.lock().unwrap().push(Some(sum));
                    Ok(Reply::head(sum.to_be_bytes().to_vec()))
                }
                Self::BREAK_OFF => {
                    let parts = [Ok(Bytes::from_static(b"begun")), Err(StreamFault("broken".to_owned()))];
                    Ok(Reply { head: Bytes::new(), body: Payload::Frames(futures::stream::iter(parts).boxed()) })
                }
                _ => Err(Declined::NoMethod.into()),
            }
        }
        .boxed()
    }
}

pub struct Node {
    pub id: NodeId,
    pub pool: Arc<Pool>,
    pub listener: Listener,
    pub echo: Arc<Echo>,
}

impl Node {
    pub async fn start(
        id: NodeId,
        secret: &[u8; 32],
        address: SocketAddr,
        network: Arc<dyn Network>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        let echo = Arc::new(Echo::default());
        let services = Services::default().with(ServiceId::CONTROL, echo.clone());
        let options = ListenerOptions { node: id, key: key(secret), address, services };
        let listener = Listener::start(options, &*network, entropy.clone()).await.unwrap();
        Self { id, pool: Pool::new(id, key(secret), network, entropy), listener, echo }
    }

    pub async fn tcp_at(id: NodeId, address: SocketAddr, secret: &[u8; 32]) -> Self {
        Self::start(id, secret, address, TcpNetwork::shared(), SystemEntropy::shared()).await
    }

    /// Two nodes on loopback; the first knows the second.
    pub async fn tcp_pair() -> (Self, Self) {
        let a = Self::tcp_at(NodeId(0xA), loopback(), &SECRET).await;
        let b = Self::tcp_at(NodeId(0xB), loopback(), &SECRET).await;
        a.knows(&b);
        (a, b)
    }

    /// A node on a machine of a simulated network.
    pub async fn simulated(network: &SimulatedNetwork, number: u8) -> Self {
        let (id, entropy) = (NodeId(u64::from(number)), SeededEntropy::new(u64::from(number)));
        let address = SocketAddr::new(machine(number), 9);
        Self::start(id, &SECRET, address, network.endpoint(machine(number)), entropy).await
    }

    pub fn knows(&self, other: &Self) {
        self.pool.set_address(other.id, other.listener.address());
    }
}
