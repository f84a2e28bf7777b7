//! The shell around a journal: one writer, fed from everywhere.
//!
//! ```text
//! append ---+                                     +--> place, to the first
//! append ---+--> bounded queue --> one group,  ---+--> place, to the second
//! append ---+                      one sync       +--> place, to the third
//! ```
//!
//! While one group is being synced, the next gathers: nobody waits for a timer, and a lone append waits for nobody. (Where
//! many were answered at once, the writer's thread looks out for their return for a moment: see `worker`.) The queue is
//! bounded in bytes (a record counts what it takes on the device, so at least two blocks), and with that in
//! number.

use std::fmt;
use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, oneshot};

use crate::error::JournalError;
use crate::format::BLOCK_BYTES;
use crate::journal::Journal;
use crate::name::RecordName;
use crate::place::Place;
use crate::reader::Reader;
use crate::record::Append;
use crate::usage::Usage;

mod worker;

use worker::{Command, Worker};

/// Errors are shared: one failed sync is the answer to every append of its group.
pub type Shared<T> = Result<T, Arc<JournalError>>;

/// Who drives the writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shell {
    /// A thread of its own: for real disks, which block.
    Thread,
    /// A task on the current tokio runtime: for simulations, where the runtime's scheduler decides every order and
    /// nothing blocks. All else is equal.
    Task,
}

/// A running journal, to be cloned to everyone who appends.
///
/// Dropping the last one ends the writer as a kill would: what is queued is still written, but the journal is not marked
/// as closed. [`Self::close`] does that.
#[derive(Clone)]
pub struct JournalHandle {
    inner: Arc<Inner>,
}

struct Inner {
    reader: Reader,
    commands: UnboundedSender<Command>,
    /// In blocks of records that are queued or being written.
    room: Arc<Semaphore>,
    room_blocks: u32,
    record_bytes_max: u64,
    poisoned: Arc<OnceLock<Arc<str>>>,
}

impl JournalHandle {
    /// The usual bound of a queue: two groups of the largest size, one being written while the next gathers.
    pub const QUEUE_BYTES: u64 = 2 * crate::writer::GROUP_BYTES_MAX;

    /// Starts the writer. `name` is the thread's; `queue_bytes` bounds what may be queued and in flight.
    ///
    /// Fails with [`JournalError::Io`] when there can be no further thread. With [`Shell::Task`] it must be called
    /// inside a tokio runtime.
    pub fn start(journal: Journal, shell: Shell, name: &str, queue_bytes: u64) -> Result<Self, JournalError> {
        let room_blocks = (queue_bytes / BLOCK_BYTES).clamp(1, u64::from(u32::MAX >> 4)) as u32;
        let (commands, queue) = unbounded_channel();
        let poisoned = Arc::new(OnceLock::new());
        let room = Arc::new(Semaphore::new(room_blocks as usize));
        let inner = Inner {
            reader: journal.reader().clone(),
            commands,
            room: room.clone(),
            room_blocks,
            record_bytes_max: journal.record_bytes_max(),
            poisoned: poisoned.clone(),
        };
        let dir = journal.reader().dir().to_owned();
        let worker = Worker::new(journal, queue, room, poisoned);
        match shell {
            Shell::Thread => {
                let thread = std::thread::Builder::new().name(name.to_owned());
                thread
                    .spawn(move || worker.run_blocking())
                    .map_err(|source| JournalError::io("start the writer's thread of", &dir, source))?;
            }
            Shell::Task => {
                tokio::spawn(worker.run());
            }
        }
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Appends one record: durable when this answers. Waits for room in the queue.
    ///
    /// Dropping the future leaves it open whether the record was written. Fails as
    /// [`Journal::append_group`](crate::Journal::append_group) does, or with [`JournalError::Closed`].
    pub async fn append(&self, append: Append) -> Shared<Place> {
        self.check_length(&append)?;
        let room = self.room_for(append.stored_bytes()).await?;
        let (done, answer) = oneshot::channel();
        // An asker that went away needs no answer.
        let done = move |result| drop(done.send(result));
        self.send(Command::append(append, room, done));
        answer.await.unwrap_or_else(|_| Err(Arc::new(JournalError::Closed)))
    }

    /// Queues one record and returns; `done` is called exactly once, on the writer's thread, so it must be short and
    /// must not block. Records of one caller are written in the order of its calls.
    ///
    /// Fails with [`JournalError::Busy`] when the queue is full, [`JournalError::TooLarge`] or
    /// [`JournalError::Closed`]; `done` is not called then.
    pub fn submit(
        &self,
        append: Append,
        done: impl FnOnce(Shared<Place>) + Send + 'static,
    ) -> Result<(), JournalError> {
        self.check_length(&append)?;
        let room = match self.inner.room.clone().try_acquire_many_owned(self.blocks(append.stored_bytes())) {
            Ok(room) => room,
            Err(TryAcquireError::NoPermits) => return Err(JournalError::Busy),
            Err(TryAcquireError::Closed) => return Err(JournalError::Closed),
        };
        self.send(Command::append(append, room, done));
        Ok(())
    }

    /// As [`Journal::punch`](crate::Journal::punch).
    pub async fn punch(&self, place: Place, expected: RecordName) -> Shared<bool> {
        self.control(move |journal| journal.punch(place, &expected)).await
    }

    /// As [`Journal::remove_segment`](crate::Journal::remove_segment).
    pub async fn remove_segment(&self, ordinal: u32) -> Shared<bool> {
        self.control(move |journal| journal.remove_segment(ordinal)).await
    }

    /// As [`Journal::remove_segments_below`](crate::Journal::remove_segments_below).
    pub async fn remove_segments_below(&self, ordinal: u32) -> Shared<usize> {
        self.control(move |journal| journal.remove_segments_below(ordinal)).await
    }

    /// As [`Journal::sync`](crate::Journal::sync).
    pub async fn sync(&self) -> Shared<()> {
        self.control(Journal::sync).await
    }

    /// As [`Journal::check`](crate::Journal::check).
    pub async fn check(&self) -> Shared<()> {
        self.control(|journal| journal.check()).await
    }

    /// Writes what is queued, marks the journal as closed and ends the writer. Whoever comes later gets
    /// [`JournalError::Closed`].
    pub async fn close(&self) -> Shared<()> {
        let (done, answer) = oneshot::channel();
        self.send(Command::Close { done });
        answer.await.unwrap_or_else(|_| Err(Arc::new(JournalError::Closed)))
    }

    /// Reads, without the writer.
    pub fn reader(&self) -> &Reader {
        &self.inner.reader
    }

    /// Where the journal's bytes are.
    pub fn usage(&self) -> Usage {
        self.inner.reader.usage()
    }

    /// Why nothing more is acknowledged, if so.
    pub fn poisoned(&self) -> Option<Arc<str>> {
        self.inner.poisoned.get().cloned()
    }

    /// The longest record that fits, as [`Append::stored_bytes`] counts.
    pub fn record_bytes_max(&self) -> u64 {
        self.inner.record_bytes_max
    }

    fn check_length(&self, append: &Append) -> Result<(), JournalError> {
        let length_max = self.inner.record_bytes_max;
        if append.stored_bytes() > length_max {
            return Err(JournalError::TooLarge { length: append.length(), length_max });
        }
        Ok(())
    }

    /// A record longer than the whole queue takes all of it, rather than waiting for ever.
    fn blocks(&self, bytes: u64) -> u32 {
        (bytes / BLOCK_BYTES).clamp(1, u64::from(self.inner.room_blocks)) as u32
    }

    /// All of a record's room at once: nobody holds some and waits for more.
    async fn room_for(&self, bytes: u64) -> Result<OwnedSemaphorePermit, JournalError> {
        let room = self.inner.room.clone().acquire_many_owned(self.blocks(bytes)).await;
        room.map_err(|_| JournalError::Closed)
    }

    async fn control<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Journal) -> Result<T, JournalError> + Send + 'static,
    ) -> Shared<T> {
        let room = self.room_for(BLOCK_BYTES).await?;
        let (done, answer) = oneshot::channel();
        self.send(Command::Control {
            act: Box::new(move |journal| {
                let result = act(journal).map_err(Arc::new);
                drop(room);
                // An asker that went away needs no answer.
                drop(done.send(result));
            }),
        });
        answer.await.unwrap_or_else(|_| Err(Arc::new(JournalError::Closed)))
    }

    /// When the writer is gone the command is dropped, and with it answered as closed.
    fn send(&self, command: Command) {
        drop(self.inner.commands.send(command));
    }
}

impl fmt::Debug for JournalHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JournalHandle").field("reader", &self.inner.reader).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
