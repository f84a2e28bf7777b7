//! The end that asks: a drive of another node as a [`ChunkStore`].

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cairn_core::chunk_store::{ChunkStat, DriveHealth, RangeDigest};
use cairn_core::{ChunkError, ChunkHead, ChunkName, ChunkRecord, ChunkSlice, ChunkStore, DriveId, NodeId};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::watch;

use super::health::Known;
use super::wire::{self, Malformed};
use crate::call::{Call, CallError};
use crate::class::Class;
use crate::client::pool::Pool;
use crate::message::Payload;
use crate::service::{Declined, Method, ServiceId};

/// How long a drive may take for one answer. Longer than a disk that tries a bad sector again; whoever cannot wait drops
/// the call.
const PATIENCE: Duration = Duration::from_secs(30);

/// A drive across the network. Clones are not needed: it stands in [`cairn_core::Drives`] like any other.
#[derive(Debug)]
pub struct RemoteDrive {
    pool: Arc<Pool>,
    node: NodeId,
    drive: DriveId,
    known: Mutex<Known>,
    /// Why nobody waits for its node at the moment; none while the node is thought to be alive.
    distrusted: watch::Sender<Option<Arc<str>>>,
}

impl RemoteDrive {
    /// A drive of a node whose address the pool knows, or will know. Until [`Self::refresh`] or any other call has
    /// succeeded, its health says that nothing was heard of it.
    pub fn new(pool: Arc<Pool>, node: NodeId, drive: DriveId) -> Arc<Self> {
        Arc::new(Self { pool, node, drive, known: Mutex::default(), distrusted: watch::Sender::new(None) })
    }

    /// The node that has it.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Asks how the drive is. [`ChunkStore::health`] answers at once, with what was heard last.
    pub async fn refresh(&self) -> Result<DriveHealth, ChunkError> {
        self.ask(Class::Control, wire::HEALTH, &[], Payload::empty()).await?;
        Ok(self.health())
    }

    /// Its node is thought to be gone: calls under way are given up at once, whatever became of them, and others are
    /// refused, until [`Self::trust`]. A drive that is slow is another matter.
    pub fn distrust(&self, why: Arc<str>) {
        self.known().missed(why.clone());
        self.distrusted.send_replace(Some(why));
    }

    /// Its node is alive: it may be asked again. It takes writes once it has answered.
    pub fn trust(&self) {
        self.distrusted.send_if_modified(|why| why.take().is_some());
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unavailable(&self, why: impl Into<Arc<str>>) -> ChunkError {
        ChunkError::Unavailable(self.drive, why.into())
    }

    fn malformed(&self, malformed: Malformed) -> ChunkError {
        self.unavailable(format!("node {} answered with a {malformed}", self.node))
    }

    /// Calls the node, and remembers what it says about the drive's health.
    async fn ask(
        &self,
        class: Class,
        method: Method,
        arguments: &[&[u8]],
        body: Payload,
    ) -> Result<(Bytes, Payload), ChunkError> {
        let call = Call::new(ServiceId::CHUNKS, method, wire::about(self.drive, arguments)).with_body(body);
        let mut distrusted = self.distrusted.subscribe();
        let called = tokio::select! {
            biased;
            // The sender lives in this drive, so there is always something to wait for.
            why = distrusted.wait_for(Option::is_some) => {
                let why = why.ok().and_then(|why| why.clone());
                return Err(self.unavailable(why.unwrap_or_else(|| Arc::from("its node is gone"))));
            }
            called = self.pool.call(self.node, class, call, PATIENCE) => called,
        };
        let answer = match called {
            Ok(answer) => answer,
            Err(CallError::Declined(_, Declined::Busy) | CallError::Crowded(_)) => {
                return Err(ChunkError::Busy(self.drive));
            }
            Err(error) => {
                let why: Arc<str> = Arc::from(error.to_string());
                self.known().missed(why.clone());
                return Err(self.unavailable(why));
            }
        };
        let head = wire::decode_answer(self.drive, &answer.head).map_err(|malformed| self.malformed(malformed))?;
        match head.health {
            Some(report) => self.known().heard(report),
            None => self.known().answered(),
        }
        Ok((head.result?, answer.body))
    }

    async fn ask_for_head(&self, class: Class, method: Method, name: ChunkName) -> Result<Arc<ChunkHead>, ChunkError> {
        let (head, _) = self.ask(class, method, &[&name.to_bytes()], Payload::empty()).await?;
        self.chunk_head(&head)
    }

    fn chunk_head(&self, bytes: &Bytes) -> Result<Arc<ChunkHead>, ChunkError> {
        let head = ChunkHead::decode(bytes).map_err(|error| self.unavailable(error.to_string()))?;
        Ok(Arc::new(head))
    }

    async fn slice(&self, name: ChunkName, range: Range<u32>) -> Result<ChunkSlice, ChunkError> {
        let arguments = wire::encode_range(&name, &range);
        let (head, body) = self.ask(Class::Bulk, wire::GET, &[&arguments], Payload::empty()).await?;
        let head = self.chunk_head(&head)?;
        let Payload::Unproven(mut parts) = body else { return Err(self.malformed(Malformed("chunk"))) };
        let length: usize = parts.iter().map(Bytes::len).sum();
        // What a slice asserts, asked of an answer that another process made.
        if range.start > range.end || range.end > head.length() || head.aligned(range.clone()).len() != length {
            return Err(self.malformed(Malformed("chunk")));
        }
        let blocks = match parts.len() {
            0 => Bytes::new(),
            1 => parts.remove(0),
            _ => Bytes::from(parts.concat()),
        };
        Ok(ChunkSlice::new(head, range, blocks))
    }

    /// In pages that fit a message.
    async fn listing(&self, after: Option<ChunkName>, limit: usize) -> Result<Vec<ChunkStat>, ChunkError> {
        let (mut stats, mut after) = (Vec::new(), after);
        loop {
            let wanted = (limit - stats.len()).min(wire::PAGE_MAX);
            let arguments = wire::encode_page(after, wanted);
            let (_, body) = self.ask(Class::Control, wire::LIST, &[&arguments], Payload::empty()).await?;
            let Payload::Sealed(bytes) = body else { return Err(self.malformed(Malformed("listing"))) };
            let page = wire::decode_stats(&bytes).map_err(|malformed| self.malformed(malformed))?;
            if page.len() > wanted {
                return Err(self.malformed(Malformed("listing")));
            }
            let complete = page.len() < wanted;
            after = page.last().map(|last| last.name).or(after);
            stats.extend(page);
            if complete || stats.len() == limit {
                return Ok(stats);
            }
        }
    }
}

impl ChunkStore for RemoteDrive {
    fn drive(&self) -> DriveId {
        self.drive
    }

    fn put(&self, chunk: ChunkRecord) -> BoxFuture<'_, Result<(), ChunkError>> {
        async move {
            let head = chunk.head.encode();
            self.ask(Class::Bulk, wire::PUT, &[&head], Payload::Unproven(chunk.body)).await?;
            Ok(())
        }
        .boxed()
    }

    fn get(&self, name: ChunkName, range: Range<u32>) -> BoxFuture<'_, Result<ChunkSlice, ChunkError>> {
        self.slice(name, range).boxed()
    }

    fn head(&self, name: ChunkName) -> BoxFuture<'_, Result<Arc<ChunkHead>, ChunkError>> {
        self.ask_for_head(Class::Control, wire::HEAD, name).boxed()
    }

    fn read_back(&self, name: ChunkName) -> BoxFuture<'_, Result<Arc<ChunkHead>, ChunkError>> {
        // As slow as the device: it shall not stand in the way of small calls.
        self.ask_for_head(Class::Bulk, wire::READ_BACK, name).boxed()
    }

    fn delete(&self, name: ChunkName) -> BoxFuture<'_, Result<bool, ChunkError>> {
        async move {
            let (there, _) = self.ask(Class::Control, wire::DELETE, &[&name.to_bytes()], Payload::empty()).await?;
            match there[..] {
                [there @ 0..=1] => Ok(there == 1),
                _ => Err(self.malformed(Malformed("answer"))),
            }
        }
        .boxed()
    }

    fn list(&self, after: Option<ChunkName>, limit: usize) -> BoxFuture<'_, Result<Vec<ChunkStat>, ChunkError>> {
        self.listing(after, limit).boxed()
    }

    fn digest(
        &self,
        after: Option<ChunkName>,
        until: Option<ChunkName>,
    ) -> BoxFuture<'_, Result<RangeDigest, ChunkError>> {
        async move {
            let bounds = wire::encode_bounds(after, until);
            let (digest, _) = self.ask(Class::Control, wire::DIGEST, &[&bounds], Payload::empty()).await?;
            wire::decode_digest(&digest).map_err(|malformed| self.malformed(malformed))
        }
        .boxed()
    }

    fn health(&self) -> DriveHealth {
        self.known().health()
    }
}
