//! The one way to a drive's chunks, whether the drive is in this process or across a network.
//!
//! It lives here so that coding, gateway and repair need not know which.

use core::fmt::Debug;
use core::ops::Range;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use futures::future::BoxFuture;

use crate::chunk::{BadBlock, ChunkHead, ChunkName, ChunkRecord, ChunkSlice};
use crate::ids::DriveId;
use crate::latency::Latencies;

/// Why a drive did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ChunkError {
    /// There is no such chunk. Look its place up again; if it is still named there, it is lost: decode around, rebuild.
    #[error("{0} is not on drive {1}")]
    NotFound(ChunkName, DriveId),
    /// The chunk is there and wrong. Decode around it, rebuild it.
    #[error("{chunk} on drive {drive} is damaged: {what}")]
    Damaged {
        /// Which chunk.
        chunk: ChunkName,
        /// Where.
        drive: DriveId,
        /// What was found.
        what: String,
    },
    /// No room. Place the chunk elsewhere.
    #[error("drive {0} is full")]
    Full(DriveId),
    /// The drive takes no writes any more (it failed one, or an operator said so). Place the chunk elsewhere.
    #[error("drive {0} is read-only: {1}")]
    ReadOnly(DriveId, Arc<str>),
    /// The drive cannot be asked: gone, failed or across a broken network. Decode around it; the write may have
    /// happened.
    #[error("drive {0} is unavailable: {1}")]
    Unavailable(DriveId, Arc<str>),
    /// More is queued there than it takes. Wait, or place the chunk elsewhere.
    #[error("drive {0} is busy")]
    Busy(DriveId),
}

impl ChunkError {
    /// The error for bytes that failed their checksum.
    pub fn damaged(drive: DriveId, bad: BadBlock) -> Self {
        Self::Damaged { chunk: bad.chunk, drive, what: format!("block {}", bad.block) }
    }
}

/// One chunk in a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkStat {
    /// Its name.
    pub name: ChunkName,
    /// What it takes on the drive: head, bytes and alignment.
    pub stored_bytes: u64,
}

/// A part of a listing in a few bytes: two that hold the same chunks agree, so that a census need list only what differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RangeDigest {
    /// How many chunks there are.
    pub chunks: u64,
    /// Over their names, in order.
    pub hash: [u8; 16],
}

/// Makes a [`RangeDigest`], from a drive's listing or from what rows say should be on it.
#[derive(Debug)]
pub struct RangeDigester {
    chunks: u64,
    hasher: blake3::Hasher,
}

impl Default for RangeDigester {
    fn default() -> Self {
        Self { chunks: 0, hasher: blake3::Hasher::new_derive_key("cairn 2026 chunk inventory digest v1") }
    }
}

impl RangeDigester {
    /// The next chunk. They come in the order of their names.
    pub fn add(&mut self, name: &ChunkName) {
        self.chunks += 1;
        self.hasher.update(&name.to_bytes());
    }

    /// The digest of all that were added.
    pub fn finish(&self) -> RangeDigest {
        let mut hash = [0; 16];
        hash.copy_from_slice(&self.hasher.finalize().as_bytes()[..16]);
        RangeDigest { chunks: self.chunks, hash }
    }
}

/// How many names a digest looks at between two that it gives others a turn.
const DIGEST_PAGE: usize = 1024;

async fn digest_of_listing<S: ChunkStore + ?Sized>(
    store: &S,
    mut after: Option<ChunkName>,
    until: Option<ChunkName>,
) -> Result<RangeDigest, ChunkError> {
    let mut digester = RangeDigester::default();
    loop {
        let page = store.list(after, DIGEST_PAGE).await?;
        let inside = |stat: &&ChunkStat| until.is_none_or(|until| stat.name <= until);
        let wanted = page.iter().take_while(inside).inspect(|stat| digester.add(&stat.name)).count();
        if wanted < page.len() || page.len() < DIGEST_PAGE {
            return Ok(digester.finish());
        }
        after = page.last().map(|last| last.name);
    }
}

/// How a drive is doing, as it says itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriveHealth {
    /// Whether it takes writes, and if not, why.
    pub writable: Result<(), Arc<str>>,
    /// Chunks that are there.
    pub chunks: u64,
    /// What these chunks take.
    pub live_bytes: u64,
    /// What the drive has allocated for chunks, living or not.
    pub allocated_bytes: u64,
    /// What its filesystem still has.
    pub available_bytes: u64,
    /// What its filesystem has in all.
    pub total_bytes: u64,
    /// Reads and writes that failed since the start.
    pub errors: u64,
}

/// A drive's chunks.
///
/// Every implementation passes one conformance suite. All answers are bounded: a chunk is at most
/// [`CHUNK_BYTES_MAX`](crate::chunk::CHUNK_BYTES_MAX) long, a page of a listing at most the limit asked for.
pub trait ChunkStore: Send + Sync + Debug {
    /// Which drive.
    fn drive(&self) -> DriveId;

    /// Stores a chunk. `Ok` means durable (invariant 4). Storing the same chunk again is no error and changes nothing.
    fn put(&self, chunk: ChunkRecord) -> BoxFuture<'_, Result<(), ChunkError>>;

    /// Reads the blocks that hold a range. A range behind the chunk's end is `Damaged`: whoever asks knows the length.
    /// What the kernel remembers is answered without a thread hop.
    fn get(&self, name: ChunkName, range: Range<u32>) -> BoxFuture<'_, Result<ChunkSlice, ChunkError>>;

    /// Reads the head alone.
    fn head(&self, name: ChunkName) -> BoxFuture<'_, Result<Arc<ChunkHead>, ChunkError>>;

    /// Reads the whole chunk as the device has it and checks every block: what a repair believes.
    fn read_back(&self, name: ChunkName) -> BoxFuture<'_, Result<Arc<ChunkHead>, ChunkError>>;

    /// Deletes one chunk by its full name. `Ok(false)` when it was not there.
    fn delete(&self, name: ChunkName) -> BoxFuture<'_, Result<bool, ChunkError>>;

    /// Chunks in order of their names, behind `after`; fewer than `limit` means that was all.
    fn list(&self, after: Option<ChunkName>, limit: usize) -> BoxFuture<'_, Result<Vec<ChunkStat>, ChunkError>>;

    /// What a listing behind `after` up to and including `until` (to the end without it) amounts to. Chunks that come or
    /// go meanwhile may count or not.
    fn digest(
        &self,
        after: Option<ChunkName>,
        until: Option<ChunkName>,
    ) -> BoxFuture<'_, Result<RangeDigest, ChunkError>> {
        Box::pin(digest_of_listing(self, after, until))
    }

    /// How the drive is doing.
    fn health(&self) -> DriveHealth;

    /// How long it takes lately. Empty where nobody counts.
    fn latencies(&self) -> Latencies {
        Latencies::default()
    }
}

/// The drives that this process can reach, by id. Rooms hold the whole set, because placement changes under them.
#[derive(Debug, Default)]
pub struct Drives {
    stores: RwLock<BTreeMap<DriveId, Arc<dyn ChunkStore>>>,
}

impl Drives {
    /// A set of drives.
    pub fn new(stores: impl IntoIterator<Item = Arc<dyn ChunkStore>>) -> Arc<Self> {
        let stores = stores.into_iter().map(|store| (store.drive(), store)).collect();
        Arc::new(Self { stores: RwLock::new(stores) })
    }

    /// The store of a drive, or the error that says it cannot be reached from here.
    pub fn get(&self, drive: DriveId) -> Result<Arc<dyn ChunkStore>, ChunkError> {
        let stores = self.stores.read().unwrap_or_else(PoisonError::into_inner);
        stores.get(&drive).cloned().ok_or_else(|| ChunkError::Unavailable(drive, Arc::from("not connected")))
    }

    /// Adds or replaces a drive.
    pub fn insert(&self, store: Arc<dyn ChunkStore>) {
        self.stores.write().unwrap_or_else(PoisonError::into_inner).insert(store.drive(), store);
    }

    /// Takes a drive out, as when it vanishes.
    pub fn remove(&self, drive: DriveId) -> Option<Arc<dyn ChunkStore>> {
        self.stores.write().unwrap_or_else(PoisonError::into_inner).remove(&drive)
    }

    /// The ids, in order.
    pub fn ids(&self) -> Vec<DriveId> {
        self.stores.read().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }
}
