//! Reading: inline what the kernel remembers, the rest on threads that may wait for the device.
//!
//! A store reads and does not judge: blocks go to the reader unverified, who checks them whoever stored them. Only
//! [`Core::read_back`] verifies, because its answer is the judgement.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use cairn_core::chunk_store::ChunkStat;
use cairn_core::{ChunkError, ChunkHead, ChunkName, ChunkSlice};
use cairn_journal::{JournalError, Place, RecordHead, Shell};

use super::Core;
use crate::head_cache::Known;
use crate::line::TooLong;
use crate::verify::{self, Unsound, record_name};

/// Longer reads go to a reading thread even when the kernel has the bytes: copying them would hold up the others on
/// this thread, and next to the copy the hop costs nothing.
const INLINE_BYTES_MAX: u32 = 1024 * 1024;

/// How far a read may go for its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// What the kernel remembers; never waits.
    Memory,
    /// The device as well.
    Device,
}

/// A read that may not wait found that it would have to.
enum Missed {
    NotInMemory,
    Failed(ChunkError),
}

impl From<ChunkError> for Missed {
    fn from(error: ChunkError) -> Self {
        Self::Failed(error)
    }
}

impl Core {
    pub(super) async fn get(self: &Arc<Self>, name: ChunkName, range: Range<u32>) -> Result<ChunkSlice, ChunkError> {
        match self.slice(name, &range, Reach::Memory) {
            Ok(slice) => Ok(slice),
            Err(Missed::Failed(error)) => Err(error),
            Err(Missed::NotInMemory) => {
                self.on_a_reading_thread(move |core| on_device(core.slice(name, &range, Reach::Device))).await
            }
        }
    }

    pub(super) async fn head(self: &Arc<Self>, name: ChunkName) -> Result<Arc<ChunkHead>, ChunkError> {
        match self.known(name, Reach::Memory) {
            Ok(known) => Ok(known.head),
            Err(Missed::Failed(error)) => Err(error),
            Err(Missed::NotInMemory) => {
                self.on_a_reading_thread(move |core| on_device(core.known(name, Reach::Device)).map(|k| k.head)).await
            }
        }
    }

    pub(super) async fn read_back(self: &Arc<Self>, name: ChunkName) -> Result<Arc<ChunkHead>, ChunkError> {
        self.on_a_reading_thread(move |core| core.verify_on_device(name)).await
    }

    /// A census reads whole listings; it has time for a hop, and the tasks it would hold up have not.
    pub(super) async fn list(
        self: &Arc<Self>,
        after: Option<ChunkName>,
        limit: usize,
    ) -> Result<Vec<ChunkStat>, ChunkError> {
        self.on_a_reading_thread(move |core| {
            let page = core.index.page(after.as_ref(), limit).map_err(|error| core.index_error(&error))?;
            let stat = |(name, place): (ChunkName, Place)| ChunkStat { name, stored_bytes: place.stored_bytes() };
            Ok(page.into_iter().map(stat).collect())
        })
        .await
    }

    /// The blocks that hold a range.
    fn slice(&self, name: ChunkName, range: &Range<u32>, reach: Reach) -> Result<ChunkSlice, Missed> {
        let deletes = self.deletes.load(Ordering::SeqCst);
        let Known { place, head } = self.known(name, reach)?;
        if range.start > range.end || range.end > head.length() {
            let what = format!("bytes {} to {} of {}", range.start, range.end, head.length());
            return Err(Missed::Failed(self.damaged(name, what)));
        }
        let wanted = head.aligned(range.clone());
        let blocks = if wanted.is_empty() {
            Bytes::new()
        } else {
            let body_start = place.length - u64::from(head.length());
            let within = body_start + u64::from(wanted.start)..body_start + u64::from(wanted.end);
            match reach {
                Reach::Memory if wanted.end - wanted.start > INLINE_BYTES_MAX => return Err(Missed::NotInMemory),
                Reach::Memory => self.reader().read_cached(place, within).ok_or(Missed::NotInMemory)?,
                Reach::Device => {
                    self.reader().read(place, within).map_err(|error| self.read_error(name, place, &error))?
                }
            }
        };
        if self.deletes.load(Ordering::SeqCst) != deletes {
            self.still_there(name, place)?;
        }
        Ok(ChunkSlice::new(head, range.clone(), blocks))
    }

    /// Where a chunk lies, and its head: remembered or read.
    fn known(&self, name: ChunkName, reach: Reach) -> Result<Known, Missed> {
        if let Some(known) = self.heads.get(&name) {
            return Ok(known);
        }
        let deletes = self.deletes.load(Ordering::SeqCst);
        let place = self.lookup(&name)?.ok_or(ChunkError::NotFound(name, self.id))?;
        let read = match reach {
            Reach::Memory => self.reader().read_head_cached(place, &record_name(&name)).ok_or(Missed::NotInMemory)?,
            Reach::Device => self.reader().read_head(place, &record_name(&name)),
        };
        let record = read.map_err(|error| self.read_error(name, place, &error))?;
        let known = Known { place, head: self.sound_head(name, &record)? };
        self.heads.insert(name, known.clone());
        if self.deletes.load(Ordering::SeqCst) != deletes {
            self.still_there(name, place)?;
        }
        Ok(known)
    }

    /// A delete went by while we read: were these bytes its?
    fn still_there(&self, name: ChunkName, place: Place) -> Result<(), ChunkError> {
        if self.lookup(&name)? == Some(place) {
            return Ok(());
        }
        self.heads.remove(&name);
        Err(ChunkError::NotFound(name, self.id))
    }

    fn sound_head(&self, name: ChunkName, record: &RecordHead) -> Result<Arc<ChunkHead>, ChunkError> {
        verify::chunk_head(record).map_err(|unsound| self.unsound(name, unsound))
    }

    fn unsound(&self, name: ChunkName, unsound: Unsound) -> ChunkError {
        match unsound {
            Unsound::Damaged(what) => self.damaged(name, what),
            Unsound::Newer { found } => self.unavailable(format!("{name} has a head of version {found}")),
            Unsound::Read(error) => {
                self.condition.fault(&error);
                self.unavailable(error.to_string())
            }
        }
    }

    /// What the device holds, past everything that remembers: the index's place, the record's head, every block.
    fn verify_on_device(&self, name: ChunkName) -> Result<Arc<ChunkHead>, ChunkError> {
        let place = self.lookup(&name)?.ok_or(ChunkError::NotFound(name, self.id))?;
        let read = match self.reader().read_record_device(place, &record_name(&name)) {
            Err(JournalError::Io { source, .. }) if source.kind() == io::ErrorKind::Unsupported => {
                // A filesystem without direct reads, as some containers have. Said once, when the drive was opened.
                self.reader().read_record(place, &record_name(&name))
            }
            read => read,
        };
        let record = read.map_err(|error| self.read_error(name, place, &error))?;
        let head = self.sound_head(name, &record.head)?;
        let judged = verify::body(&head, |range| Ok(record.body.slice(range.start as usize..range.end as usize)));
        match judged {
            Ok(()) => Ok(head),
            Err(unsound) => {
                // A delete that went by leaves zeros, which are not damage.
                self.still_there(name, place)?;
                Err(self.unsound(name, unsound))
            }
        }
    }

    /// What a failed read of the journal means to whoever asked for a chunk.
    fn read_error(&self, name: ChunkName, place: Place, error: &JournalError) -> ChunkError {
        match error {
            JournalError::Gone(_) | JournalError::WrongName { .. } | JournalError::Damaged { .. } => {
                // Deleted while we read, or damaged: the index knows.
                match self.still_there(name, place) {
                    Ok(()) => {
                        tracing::warn!(drive = %self.id, %name, %error, "a chunk is damaged");
                        self.damaged(name, error.to_string())
                    }
                    Err(gone) => gone,
                }
            }
            JournalError::Io { source, .. } => {
                self.condition.fault(source);
                self.unavailable(error.to_string())
            }
            JournalError::Newer { .. }
            | JournalError::Foreign { .. }
            | JournalError::Poisoned(_)
            | JournalError::Full { .. }
            | JournalError::TooLarge { .. }
            | JournalError::Busy
            | JournalError::Closed => self.unavailable(error.to_string()),
        }
    }

    /// Runs a call that may wait for the device. Whoever waits for a thread waits here, in the queue of its own drive,
    /// so that a slow disk holds up no reads of another.
    pub(super) async fn on_a_reading_thread<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Self) -> Result<T, ChunkError> + Send + 'static,
    ) -> Result<T, ChunkError> {
        if self.shell == Shell::Task {
            return read(self);
        }
        let slot = self.reads.enter(1).await.map_err(|TooLong| ChunkError::Busy(self.id))?;
        let core = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            let answer = read(&core);
            drop(slot);
            answer
        });
        self.finished(done.await)?
    }
}

/// A read that may go to the device never misses.
fn on_device<T>(read: Result<T, Missed>) -> Result<T, ChunkError> {
    read.map_err(|missed| match missed {
        Missed::Failed(error) => error,
        Missed::NotInMemory => unreachable!("the device was allowed"),
    })
}
