//! One drive: chunks in a journal, found by an index, their heads remembered.
//!
//! ```text
//! put     name locked -> room in the queue -> journal (written, synced) -> index -> heads -> acknowledged
//! get     heads or index -> page cache, inline; or a reading thread -> blocks, unverified: the reader verifies
//! delete  name locked -> out of index -> out of heads -> punched out of the journal
//! ```
//!
//! What was begun is finished: from the queue on, a put or a delete belongs to a task of its own, so that a caller that
//! goes away leaves no durable record that the index does not know.

mod read;
mod write;

use std::fmt;
use std::ops::Range;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use cairn_core::chunk_store::{ChunkStat, DriveHealth};
use cairn_core::latency::{Histogram, Latencies};
use cairn_core::{ChunkError, ChunkHead, ChunkName, ChunkRecord, ChunkSlice, ChunkStore, Clock, DriveId, Entropy};
use cairn_journal::{JournalError, JournalHandle, Options, OwnerKind, Place, Reader, Shell};
use futures::future::BoxFuture;
use tokio::task::JoinError;

use crate::condition::Condition;
use crate::drive_dir::DriveDir;
use crate::head_cache::HeadCache;
use crate::index::{ChunkIndex, IndexError};
use crate::line::Line;
use crate::name_locks::NameLocks;
use crate::options::DriveOptions;
use crate::reconcile::{self, Agreed, OpenError, OpenReport};
use crate::scrub::ScrubProgress;
use crate::stats::{DriveStats, Load, Tempo};

/// Who writes the journal below `chunks/`.
pub const CHUNK_JOURNAL_OWNER: OwnerKind = OwnerKind(*b"chunks\0\0");

/// Segments that one drive keeps open for reading: several drives, their logs and a thousand clients share a process,
/// and many systems give it 1,024 descriptors.
const OPEN_SEGMENTS_MAX: usize = 64;

/// An open drive. It serves until it is dropped or closed; its directory stays locked as long.
pub struct Drive {
    core: Arc<Core>,
    report: OpenReport,
}

/// What a drive's tasks and reading threads share.
struct Core {
    id: DriveId,
    dir: Arc<DriveDir>,
    journal: JournalHandle,
    index: Box<dyn ChunkIndex>,
    heads: HeadCache,
    names: NameLocks,
    condition: Condition,
    ledger: Mutex<Ledger>,
    /// Grows with each delete, after the index entry is gone and before anything else is. A reader that sees it grow
    /// asks the index again, and so neither takes a punched record for damage nor remembers the head of a deleted chunk.
    deletes: AtomicU64,
    shell: Shell,
    reads: Line,
    reads_max: usize,
    /// In blocks of records that are queued or being written.
    room: Line,
    room_blocks: u32,
    clock: Arc<dyn Clock>,
    tempo: Tempo,
    scrub: Arc<Mutex<ScrubProgress>>,
}

/// What the index holds, kept in step with it.
#[derive(Debug, Clone, Copy)]
struct Ledger {
    chunks: u64,
    live_bytes: u64,
}

impl Drive {
    /// Opens a drive whose directory was locked and found to be ours. Blocks: reads the journal's footers, scans what
    /// was not sealed, and brings the index into agreement. Call it inside a tokio runtime.
    pub fn open(
        dir: Arc<DriveDir>,
        options: &DriveOptions,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Arc<Self>, OpenError> {
        let id = dir.identity().drive;
        let failed = |source| OpenError::Journal { drive: id, source: Box::new(source) };
        let space = dir.files().space(dir.path()).map_err(|source| OpenError::Space { drive: id, source })?;
        let timer = clock.clone();
        let journal_options = Options {
            segment_bytes: options.segment_bytes(space.total_bytes),
            segment_bytes_first: options.segment_bytes_first(),
            reserve_bytes: options.reserve_bytes(space.total_bytes),
            open_files_max: OPEN_SEGMENTS_MAX,
            ..Options::new(CHUNK_JOURNAL_OWNER, clock, entropy)
        };
        let Agreed { journal, index, chunks, live_bytes, report } =
            reconcile::open(&dir, options.index, &journal_options)?;
        let journal = JournalHandle::start(journal, options.shell, &format!("drive-{id}"), options.queue_bytes)
            .map_err(failed)?;
        let room_blocks = blocks(options.queue_bytes).max(1);
        let core = Core {
            id,
            dir,
            journal,
            index,
            heads: HeadCache::new(options.head_cache_bytes),
            names: NameLocks::default(),
            condition: Condition::new(id, options.faults_max),
            ledger: Mutex::new(Ledger { chunks, live_bytes }),
            deletes: AtomicU64::new(0),
            shell: options.shell,
            reads: Line::new(options.reads_max.max(1), options.waiting_max),
            reads_max: options.reads_max.max(1),
            room: Line::new(room_blocks as usize, options.waiting_max),
            room_blocks,
            clock: timer,
            tempo: Tempo::default(),
            scrub: Arc::default(),
        };
        Ok(Arc::new(Self { core: Arc::new(core), report }))
    }

    /// What was found when it was opened.
    pub fn report(&self) -> &OpenReport {
        &self.report
    }

    /// Its directory, which stays locked as long as this drive lives.
    pub fn dir(&self) -> &Arc<DriveDir> {
        &self.core.dir
    }

    /// What it can say about itself, in figures.
    pub fn stats(&self) -> DriveStats {
        let core = &*self.core;
        let scrub = *core.scrub.lock().unwrap_or_else(PoisonError::into_inner);
        let queued_blocks = (core.room_blocks as usize).saturating_sub(core.room.free());
        DriveStats {
            chunks: core.ledger().chunks,
            accounts: core.journal.usage().into(),
            errors: core.condition.errors(),
            load: Load {
                queued_bytes: queued_blocks as u64 * cairn_journal::BLOCK_BYTES,
                puts_waiting: core.room.waiting(),
                reads_under_way: core.reads_max.saturating_sub(core.reads.free()),
                reads_waiting: core.reads.waiting(),
            },
            latencies: core.tempo.latencies(),
            scrub: (scrub.pass > 0).then_some(scrub),
        }
    }

    /// Where a scrub of this drive says how far it is.
    pub(crate) fn scrub_progress(&self) -> Arc<Mutex<ScrubProgress>> {
        self.core.scrub.clone()
    }

    pub(crate) async fn load_scrub_position(&self) -> Result<ScrubProgress, ChunkError> {
        let loaded = self.core.on_a_reading_thread(|core| Ok(ScrubProgress::load(&core.dir))).await?;
        loaded.map_err(|error| self.core.unavailable(error.to_string()))
    }

    pub(crate) async fn store_scrub_position(&self, position: ScrubProgress) -> Result<(), ChunkError> {
        let stored = self.core.on_a_reading_thread(move |core| Ok(position.store(&core.dir))).await?;
        stored.map_err(|error| self.core.unavailable(error.to_string()))
    }

    /// Makes deletes durable that were not yet, so that a crash does not bring back what they named. Puts are durable
    /// from the moment they were acknowledged.
    pub async fn sync(&self) -> Result<(), ChunkError> {
        self.core.journal.sync().await.map_err(|error| self.core.write_error(&error))
    }

    /// Whether its files are still where they were put: a directory that vanished is synced without an error, and read from
    /// files that have no name any more. Takes nothing more where they are not. Says whether it is worth looking again.
    pub async fn look_after(&self) -> bool {
        let Err(error) = self.core.journal.check().await else { return true };
        match &*error {
            JournalError::Closed => false,
            JournalError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                self.core.condition.write_failed(&*error);
                false
            }
            // Whatever else is wrong is met by those who write and read.
            _ => true,
        }
    }

    /// Finishes what is queued and marks the journal as closed, so that the next start has nothing to scan. Reads go
    /// on; every write from here on is `Unavailable`.
    pub async fn close(&self) -> Result<(), ChunkError> {
        self.core.journal.close().await.map_err(|error| self.core.write_error(&error))
    }
}

impl Core {
    fn reader(&self) -> &Reader {
        self.journal.reader()
    }

    fn lookup(&self, name: &ChunkName) -> Result<Option<Place>, ChunkError> {
        self.index.get(name).map_err(|error| self.index_error(&error))
    }

    /// An index that failed is not asked to hold anything more; the next start builds another.
    fn index_error(&self, error: &IndexError) -> ChunkError {
        self.condition.write_failed(error);
        self.unavailable(error.to_string())
    }

    fn unavailable(&self, why: String) -> ChunkError {
        ChunkError::Unavailable(self.id, Arc::from(why))
    }

    fn damaged(&self, chunk: ChunkName, what: String) -> ChunkError {
        ChunkError::Damaged { chunk, drive: self.id, what }
    }

    /// The answer of a task that nobody cancels. A failed assertion in it goes on in whoever asked.
    fn finished<T>(&self, joined: Result<T, JoinError>) -> Result<T, ChunkError> {
        joined.map_err(|error| match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => self.unavailable("the process is stopping".to_owned()),
        })
    }

    /// Counts how long something took, where it came to an answer.
    async fn timed<T>(
        &self,
        histogram: &Histogram,
        call: impl Future<Output = Result<T, ChunkError>>,
    ) -> Result<T, ChunkError> {
        let began = self.clock.elapsed();
        let answer = call.await;
        if answer.is_ok() {
            histogram.record(self.clock.elapsed().since(began));
        }
        answer
    }

    fn ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many blocks of the journal so many bytes are, at least one.
fn blocks(bytes: u64) -> u32 {
    (bytes / cairn_journal::BLOCK_BYTES).clamp(1, u64::from(u32::MAX >> 4)) as u32
}

impl ChunkStore for Drive {
    fn drive(&self) -> DriveId {
        self.core.id
    }

    fn put(&self, chunk: ChunkRecord) -> BoxFuture<'_, Result<(), ChunkError>> {
        Box::pin(self.core.timed(&self.core.tempo.put, self.core.put(chunk)))
    }

    fn get(&self, name: ChunkName, range: Range<u32>) -> BoxFuture<'_, Result<ChunkSlice, ChunkError>> {
        Box::pin(self.core.timed(&self.core.tempo.get, self.core.get(name, range)))
    }

    fn head(&self, name: ChunkName) -> BoxFuture<'_, Result<Arc<ChunkHead>, ChunkError>> {
        Box::pin(self.core.timed(&self.core.tempo.head, self.core.head(name)))
    }

    fn read_back(&self, name: ChunkName) -> BoxFuture<'_, Result<Arc<ChunkHead>, ChunkError>> {
        Box::pin(self.core.timed(&self.core.tempo.read_back, self.core.read_back(name)))
    }

    fn delete(&self, name: ChunkName) -> BoxFuture<'_, Result<bool, ChunkError>> {
        Box::pin(self.core.timed(&self.core.tempo.delete, self.core.delete(name)))
    }

    fn list(&self, after: Option<ChunkName>, limit: usize) -> BoxFuture<'_, Result<Vec<ChunkStat>, ChunkError>> {
        Box::pin(self.core.timed(&self.core.tempo.list, self.core.list(after, limit)))
    }

    fn latencies(&self) -> Latencies {
        self.core.tempo.latencies()
    }

    fn health(&self) -> DriveHealth {
        let core = &*self.core;
        let space = core.dir.files().space(core.dir.path()).unwrap_or_else(|error| {
            core.condition.fault(&error);
            cairn_journal::files::Space { available_bytes: 0, total_bytes: 0 }
        });
        let ledger = *core.ledger();
        DriveHealth {
            writable: core.condition.writable(),
            chunks: ledger.chunks,
            live_bytes: ledger.live_bytes,
            allocated_bytes: core.journal.usage().allocated_bytes(),
            available_bytes: space.available_bytes,
            total_bytes: space.total_bytes,
            errors: core.condition.errors(),
        }
    }
}

impl fmt::Debug for Drive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drive").field("id", &self.core.id).field("path", &self.core.dir.path()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
