//! One greeted connection of the calling end. It carries one call at a time and is given up at the first doubt.

use std::sync::Arc;
use std::time::Duration;

use cairn_core::{Entropy, NodeId};
use futures::StreamExt as _;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout_at};

use crate::call::{Answer, Call, CallError, Target};
use crate::class::Class;
use crate::greeting::{ConnectionKey, GreetError, Greeted, greet};
use crate::guarded_io::GuardedIo;
use crate::inbound::Inbound;
use crate::message::Payload;
use crate::network::Network;
use crate::outbound::{Address, Outbound};
use crate::seal::Seal;
use crate::server::{GREETING_PATIENCE, IDLE_PATIENCE};
use crate::service::Declined;

/// How long a connection may take to come about, whatever the caller's patience: a machine that is off answers nothing.
const CONNECT_PATIENCE: Duration = Duration::from_secs(3);

/// What calls go out with.
#[derive(Debug)]
pub(super) struct Identity {
    pub node: NodeId,
    pub key: ConnectionKey,
    pub network: Arc<dyn Network>,
    pub entropy: Arc<dyn Entropy>,
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    target: Target,
    class: Class,
    peer: NodeId,
    sender: SendRequest<Outbound>,
    requests: Seal,
    answers: Seal,
    used: Instant,
}

/// What came of a call on a connection.
pub(super) enum Called {
    /// An answer, and the connection, unless its answer is a stream.
    Answered(Answer, Option<Connection>),
    /// The connection had died while nobody looked; nothing of the call was sent, and here it is again.
    Unsent(Call),
}

impl Connection {
    /// Connects and greets.
    pub(super) async fn open(
        identity: &Identity,
        target: Target,
        address: std::net::SocketAddr,
        class: Class,
        deadline: Instant,
    ) -> Result<Self, CallError> {
        let unreachable = |why: &dyn std::fmt::Display| CallError::Unreachable(target, Arc::from(why.to_string()));
        let soon = deadline.min(Instant::now() + CONNECT_PATIENCE);
        let mut stream = timeout_at(soon, identity.network.connect(address))
            .await
            .map_err(|_| unreachable(&"connecting took too long"))?
            .map_err(|error| unreachable(&error))?;
        let expected = match target {
            Target::Node(node) => Some(node),
            Target::At(_) => None,
        };
        let greeting = greet(&mut stream, &identity.key, identity.node, expected, class, &*identity.entropy);
        let soon = deadline.min(Instant::now() + GREETING_PATIENCE);
        let greeted = timeout_at(soon, greeting).await.unwrap_or(Err(GreetError::Late));
        let Greeted { peer, keys, .. } = greeted.map_err(|error| match error {
            GreetError::Refused { refusal, .. } => CallError::Refused(target, refusal),
            error => unreachable(&error),
        })?;
        let io = TokioIo::new(GuardedIo::new(stream, None));
        let (sender, connection) = http1::Builder::new()
            .max_headers(8)
            .handshake::<_, Outbound>(io)
            .await
            .map_err(|error| unreachable(&error))?;
        // Ends by itself: when the sender is dropped and nothing is under way, or when the stream ends.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%peer, %class, %error, "a connection ended");
            }
        });
        let (requests, answers) = (Seal::first(keys.caller), Seal::first(keys.answerer));
        Ok(Self { target, class, peer, sender, requests, answers, used: Instant::now() })
    }

    /// Whether it can carry another call, as far as can be known.
    pub(super) fn usable(&self) -> bool {
        !self.sender.is_closed() && self.used.elapsed() < IDLE_PATIENCE / 2
    }

    /// Makes a call and waits for its answer. Whoever drops this future drops the connection with it.
    pub(super) async fn call(mut self, call: Call, deadline: Instant) -> Result<Called, CallError> {
        let unproven = matches!(call.body, Payload::Unproven(_));
        assert!(!unproven || self.class == Class::Bulk, "chunks travel in their own class");
        let target = self.target;
        let begun = Instant::now();
        let patience = deadline.saturating_duration_since(begun);
        let late = || CallError::Late(target, patience);
        if timeout_at(deadline, self.sender.ready()).await.is_err() || self.sender.is_closed() {
            return Ok(Called::Unsent(call));
        }
        let address = Address {
            service: call.service.0,
            method: call.method.0,
            status: 0,
            patience_ms: u32::try_from(patience.as_millis()).unwrap_or(u32::MAX),
        };
        let streams = matches!(call.body, Payload::Frames(_));
        let body = Outbound::new(address, self.requests.take(), call.head, call.body, None);
        let mut request = hyper::Request::new(body);
        *request.method_mut() = hyper::Method::POST;
        let lost = |why: &dyn std::fmt::Display| CallError::Lost(target, Arc::from(why.to_string()));
        let answered = timeout_at(deadline, self.sender.send_request(request)).await.map_err(|_| late())?;
        let answered = answered.map_err(|error| lost(&Causes(&error)))?;
        if answered.status() != hyper::StatusCode::OK {
            return Err(lost(&"what answered speaks HTTP and not our protocol"));
        }
        let taking = Inbound::take(answered.into_body(), self.answers.take(), None, |_| Ok(()));
        let taken = timeout_at(deadline, taking).await.map_err(|_| late())?.map_err(|error| lost(&error))?;
        if let Some(declined) = Declined::from_status(taken.preamble.status) {
            return Err(CallError::Declined(target, declined));
        }
        self.used = Instant::now();
        let answer = Answer { from: self.peer, head: taken.head, body: taken.payload };
        Ok(match answer.body {
            // The connection lives as long as the stream.
            Payload::Frames(frames) => {
                let connection = self;
                let frames = frames.inspect(move |_| _ = &connection).boxed();
                Called::Answered(Answer { body: Payload::Frames(frames), ..answer }, None)
            }
            body => Called::Answered(Answer { body, ..answer }, (!streams).then_some(self)),
        })
    }
}

/// An error with what it came from: hyper's own words say too little.
struct Causes<'a>(&'a dyn std::error::Error);

impl std::fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
