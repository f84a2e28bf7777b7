//! The answering end: accepts connections, greets, and hands genuine requests to services.
//!
//! What is bounded: greetings under way, connections of each peer and class, memory of arriving messages, the time for
//! each of greeting, idling, reading a request, answering it, and writing the answer. Whoever exceeds one finds the
//! connection closed.

mod slots;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cairn_core::{Entropy, NodeId};
use futures::future::BoxFuture;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::class::Class;
use crate::greeting::{ConnectionKey, GreetError, Greeted, respond};
use crate::guarded_io::{GuardedIo, Speech};
use crate::inbound::{Inbound, InboundError, Memory};
use crate::message::{Malformed, Payload, Shape};
use crate::network::{Acceptor, BoxStream, Network};
use crate::outbound::{Address, Outbound, TooLong, check_lengths};
use crate::seal::Seal;
use crate::service::{Failure, Method, Reply, Request, ServiceId, Services};
use slots::Slots;

/// How long a greeting may take. It is two small messages.
pub const GREETING_PATIENCE: Duration = Duration::from_secs(5);

/// How long a connection may say nothing. Callers give theirs up after half of that, so that no request meets a
/// connection that is just being closed.
pub(crate) const IDLE_PATIENCE: Duration = Duration::from_secs(120);

/// How long a request may take to arrive, waiting for memory included.
const REQUEST_PATIENCE: Duration = Duration::from_secs(30);

/// The longest that an answer may take, whatever the caller says.
const ANSWER_PATIENCE: Duration = Duration::from_secs(600);

/// Greetings under way at a time: strangers can hold no more than so many sockets, for [`GREETING_PATIENCE`] each.
const GREETINGS_MAX: usize = 256;

/// Memory that arriving messages may take: ten of the longest, or hundreds of ordinary chunks.
const MEMORY_BYTES: usize = 256 << 20;

/// How long the loop rests after the system could not accept, as when it has no descriptors left.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// How long a stop waits for answers under way.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// What a listener is made of.
#[derive(Debug, Clone)]
pub struct ListenerOptions {
    /// Who we are.
    pub node: NodeId,
    /// What callers must have.
    pub key: ConnectionKey,
    /// Where to listen; port 0 takes any that is free.
    pub address: SocketAddr,
    /// What answers.
    pub services: Services,
}

/// What a listener has counted since its start: for status pages, and for tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ListenerCounts {
    /// Requests that proved genuine.
    pub requests: u64,
    /// Connections closed during the greeting, because whoever came has not the secret or took too long.
    pub strangers: u64,
    /// Connections closed because a message was not what it should be.
    pub broken: u64,
}

/// A running listener. Stops when it is dropped; [`Self::stop`] lets answers under way finish.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    shared: Arc<Shared>,
    tasks: TaskTracker,
}

#[derive(Debug)]
struct Shared {
    node: NodeId,
    key: ConnectionKey,
    services: Services,
    entropy: Arc<dyn Entropy>,
    slots: Slots,
    greetings: Arc<Semaphore>,
    memory: Memory,
    stopping: CancellationToken,
    closed: CancellationToken,
    requests: AtomicU64,
    strangers: AtomicU64,
    broken: AtomicU64,
}

impl Listener {
    /// Takes the address and begins to answer.
    pub fn start(
        options: ListenerOptions,
        network: &dyn Network,
        entropy: Arc<dyn Entropy>,
    ) -> BoxFuture<'_, io::Result<Self>> {
        Box::pin(async move {
            assert_ne!(options.node, NodeId(0), "0 is nobody's id");
            let acceptor = network.listen(options.address).await?;
            let address = acceptor.address();
            let shared = Arc::new(Shared {
                node: options.node,
                key: options.key,
                services: options.services,
                entropy,
                slots: Slots::default(),
                greetings: Arc::new(Semaphore::new(GREETINGS_MAX)),
                memory: Memory::new(MEMORY_BYTES),
                stopping: CancellationToken::new(),
                closed: CancellationToken::new(),
                requests: AtomicU64::new(0),
                strangers: AtomicU64::new(0),
                broken: AtomicU64::new(0),
            });
            let tasks = TaskTracker::new();
            tasks.spawn(accept(acceptor, shared.clone(), tasks.clone()));
            Ok(Self { address, shared, tasks })
        })
    }

    /// Where it listens, with its real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has counted.
    pub fn counts(&self) -> ListenerCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ListenerCounts {
            requests: read(&self.shared.requests),
            strangers: read(&self.shared.strangers),
            broken: read(&self.shared.broken),
        }
    }

    /// Accepts nothing more, lets answers under way finish for a few seconds, and closes every connection.
    pub fn stop(self) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            self.shared.stopping.cancel();
            self.tasks.close();
            if timeout(STOP_PATIENCE, self.tasks.wait()).await.is_err() {
                tracing::warn!(address = %self.address, "answers were still under way when the listener stopped");
            }
            self.shared.closed.cancel();
            self.tasks.wait().await;
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.shared.stopping.cancel();
        self.shared.closed.cancel();
    }
}

async fn accept(mut acceptor: Box<dyn Acceptor>, shared: Arc<Shared>, tasks: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = shared.stopping.cancelled() => return,
            accepted = acceptor.accept() => accepted,
        };
        match accepted {
            Ok((stream, from)) => {
                // Too many strangers at the door: the newest is turned away, and whoever belongs here tries again.
                let Ok(place) = shared.greetings.clone().try_acquire_owned() else {
                    shared.strangers.fetch_add(1, Ordering::Relaxed);
                    continue;
                };
                let shared = shared.clone();
                tasks.spawn(async move {
                    let closed = shared.closed.clone();
                    tokio::select! {
                        biased;
                        () = closed.cancelled() => {}
                        () = connection(stream, from, shared, place) => {}
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_REST).await;
            }
        }
    }
}

/// One connection from its first byte to its last.
async fn connection(
    mut stream: BoxStream,
    from: SocketAddr,
    shared: Arc<Shared>,
    place: tokio::sync::OwnedSemaphorePermit,
) {
    let full = |peer, class| shared.slots.full(peer, class);
    let greeting = respond(&mut stream, &shared.key, shared.node, &*shared.entropy, full);
    let greeted = timeout(GREETING_PATIENCE, greeting).await.unwrap_or(Err(GreetError::Late));
    drop(place);
    let Greeted { peer, class, keys } = match greeted {
        Ok(greeted) => greeted,
        Err(error @ GreetError::Refused { .. }) => {
            tracing::warn!(%from, %error, "a node of this cluster was refused");
            return;
        }
        Err(error) => {
            shared.strangers.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%from, %error, "a connection came to nothing");
            return;
        }
    };
    let Some(_slot) = shared.slots.take(peer, class) else { return };
    let speech = Arc::new(Speech::default());
    let talk = Arc::new(Talk {
        peer,
        class,
        speech: speech.clone(),
        seals: std::sync::Mutex::new((Seal::first(keys.caller), Seal::first(keys.answerer))),
        shared: shared.clone(),
    });
    let answer = service_fn(move |request| talk.clone().answer(request));
    let mut http = http1::Builder::new();
    // hyper counts this from the end of the answer before, so it bounds idling as well as a head that trickles.
    http.timer(TokioTimer::new()).header_read_timeout(IDLE_PATIENCE).max_headers(8).auto_date_header(false);
    let serving = http.serve_connection(TokioIo::new(GuardedIo::new(stream, Some(speech))), answer);
    tokio::pin!(serving);
    let served = tokio::select! {
        biased;
        served = serving.as_mut() => served,
        () = shared.stopping.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%peer, %class, %error, "a connection ended");
    }
}

/// A greeted connection: who talks, and what has been counted.
struct Talk {
    peer: NodeId,
    class: Class,
    speech: Arc<Speech>,
    /// Of requests, of answers.
    seals: std::sync::Mutex<(Seal, Seal)>,
    shared: Arc<Shared>,
}

/// Why a connection is closed without an answer.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error("no request of ours")]
    Foreign,
    #[error(transparent)]
    Inbound(#[from] InboundError),
    #[error("a request did not arrive in time")]
    Slow,
    #[error("the answer took too long")]
    Late,
    #[error("garbled: {0}")]
    Garbled(&'static str),
    #[error("an answer was made that is too long to send: {0}")]
    Answer(#[from] TooLong),
}

impl Talk {
    async fn answer(self: Arc<Self>, request: hyper::Request<Incoming>) -> Result<hyper::Response<Outbound>, Unfit> {
        let answered = self.try_answer(request).await;
        if let Err(unfit) = &answered {
            self.shared.broken.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(peer = %self.peer, class = %self.class, %unfit, "a connection is closed");
        }
        answered
    }

    async fn try_answer(&self, request: hyper::Request<Incoming>) -> Result<hyper::Response<Outbound>, Unfit> {
        if request.method() != hyper::Method::POST || request.uri() != "/" {
            return Err(Unfit::Foreign);
        }
        let (seal, answer_seal) = {
            let mut seals = self.seals.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            (seals.0.take(), seals.1.take())
        };
        let class = self.class;
        let accept = |preamble: &crate::message::Preamble| match preamble.shape {
            Shape::Unproven if class != Class::Bulk => Err(Malformed("a chunk outside the class for chunks")),
            _ => Ok(()),
        };
        let taken = Inbound::take(request.into_body(), seal, Some(&self.shared.memory), accept);
        let message = timeout(REQUEST_PATIENCE, taken).await.map_err(|_| Unfit::Slow)??;
        self.shared.requests.fetch_add(1, Ordering::Relaxed);
        let patience = Duration::from_millis(u64::from(message.preamble.patience_ms)).min(ANSWER_PATIENCE);
        let asked = Request {
            from: self.peer,
            class,
            method: Method(message.preamble.method),
            patience,
            head: message.head,
            body: message.payload,
        };
        let streams = matches!(asked.body, Payload::Frames(_));
        let answering = async {
            let service = self.shared.services.get(ServiceId(message.preamble.service))?;
            service.answer(asked).await
        };
        let answered = timeout(patience, answering).await.map_err(|_| Unfit::Late)?;
        drop(message.memory);
        let (status, reply) = match answered {
            Ok(reply) => (0, reply),
            Err(Failure::Declined(declined)) => (declined as u8, Reply::head(&[][..])),
            Err(Failure::Garbled(what)) => return Err(Unfit::Garbled(what)),
        };
        check_lengths(&reply.head, &reply.body)?;
        self.speech.answer();
        // After a stream that its service did not read to the end, more of it may still come: it silences nobody, and
        // callers never use such a connection again.
        let speech = (!streams).then(|| self.speech.clone());
        let address = Address { status, ..Address::default() };
        Ok(hyper::Response::new(Outbound::new(address, answer_seal, reply.head, reply.body, speech)))
    }
}
