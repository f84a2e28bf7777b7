//! Putting and deleting.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use cairn_core::{ChunkError, ChunkHead, ChunkName, ChunkRecord};
use cairn_journal::{Append, JournalError, Place};
use tokio::sync::OwnedSemaphorePermit;

use super::{Core, blocks};
use crate::head_cache::Known;
use crate::line::TooLong;
use crate::name_locks::NameGuard;
use crate::verify::record_name;

impl Core {
    pub(super) async fn put(self: &Arc<Self>, chunk: ChunkRecord) -> Result<(), ChunkError> {
        let body_bytes: usize = chunk.body.iter().map(bytes::Bytes::len).sum();
        assert_eq!(body_bytes, chunk.head.length() as usize, "a chunk is as long as its head says");
        self.writable()?;
        let name = *chunk.head.name();
        let held = self.names.lock(name).await;
        if self.lookup(&name)?.is_some() {
            return self.is_the_same(name, &chunk.head).await;
        }
        let head_bytes = chunk.head.encode();
        let append = Append::new(record_name(&name), head_bytes.clone(), chunk.body);
        // The head is remembered in a buffer of its own: the caller's may be a part of a large one, which would stay
        // in memory with it.
        let head = ChunkHead::decode(&head_bytes).expect("what was just encoded can be decoded");
        let room = self.room_for(&append).await?;
        let core = self.clone();
        self.finished(tokio::spawn(core.append(append, Arc::new(head), held, room)).await)?
    }

    async fn append(
        self: Arc<Self>,
        append: Append,
        head: Arc<ChunkHead>,
        held: NameGuard,
        room: OwnedSemaphorePermit,
    ) -> Result<(), ChunkError> {
        let place = self.journal.append(append).await.map_err(|error| self.write_error(&error))?;
        drop(room);
        let name = *head.name();
        // The record is durable whatever comes now, so a failing index makes this "maybe happened".
        let before = self.index.insert(&name, place).map_err(|error| self.index_error(&error))?;
        assert_eq!(before, None, "the name was locked since it was looked up");
        self.enter(place);
        self.heads.insert(name, Known { place, head });
        drop(held);
        Ok(())
    }

    /// All of a chunk's room at once, as invariant 14 asks. A chunk longer than the queue takes all of it.
    async fn room_for(&self, append: &Append) -> Result<OwnedSemaphorePermit, ChunkError> {
        let wanted = blocks(append.stored_bytes()).min(self.room_blocks);
        self.room.enter(wanted).await.map_err(|TooLong| ChunkError::Busy(self.id))
    }

    /// A chunk of that name is here. A retry is answered as the first attempt was; a name is never used twice, so
    /// anything else is a mistake elsewhere that must not pass for success.
    async fn is_the_same(self: &Arc<Self>, name: ChunkName, head: &ChunkHead) -> Result<(), ChunkError> {
        let here = self.head(name).await?;
        if *here == *head {
            return Ok(());
        }
        Err(self.damaged(name, "another chunk of that name is here already".to_owned()))
    }

    pub(super) async fn delete(self: &Arc<Self>, name: ChunkName) -> Result<bool, ChunkError> {
        self.writable()?;
        let held = self.names.lock(name).await;
        let Some(place) = self.lookup(&name)? else { return Ok(false) };
        let core = self.clone();
        self.finished(tokio::spawn(core.punch(name, place, held)).await)?
    }

    async fn punch(self: Arc<Self>, name: ChunkName, place: Place, held: NameGuard) -> Result<bool, ChunkError> {
        let before = self.index.remove(&name).map_err(|error| self.index_error(&error))?;
        assert_eq!(before, Some(place), "the name was locked since it was looked up");
        // In this order: see the field.
        self.deletes.fetch_add(1, Ordering::SeqCst);
        self.heads.remove(&name);
        self.leave(place);
        let punched = self.journal.punch(place, record_name(&name)).await;
        let deleted = match punched {
            Ok(true) => Ok(true),
            Ok(false) => {
                tracing::warn!(drive = %self.id, %name, %place, "a chunk to be deleted was gone already");
                Ok(true)
            }
            Err(error) => match &*error {
                // The record cannot be proven to be this chunk's, so its blocks stay until their segment goes; but the
                // chunk is lost, and after the next start it would not be in the index either.
                JournalError::Damaged { .. } | JournalError::WrongName { .. } => {
                    tracing::warn!(drive = %self.id, %name, %error, "a chunk was deleted whose record is damaged");
                    Ok(true)
                }
                _ => {
                    // Still there: it is found again, and deleted again. Nobody else could enter the name meanwhile.
                    self.index.insert(&name, place).map_err(|error| self.index_error(&error))?;
                    self.enter(place);
                    Err(self.punch_error(&error))
                }
            },
        };
        drop(held);
        deleted
    }

    fn enter(&self, place: Place) {
        let mut ledger = self.ledger();
        ledger.chunks += 1;
        ledger.live_bytes += place.stored_bytes();
    }

    fn leave(&self, place: Place) {
        let mut ledger = self.ledger();
        ledger.chunks -= 1;
        ledger.live_bytes -= place.stored_bytes();
    }

    fn writable(&self) -> Result<(), ChunkError> {
        self.condition.writable().map_err(|why| ChunkError::ReadOnly(self.id, why))
    }

    /// What a failure of the journal's writer means to whoever asked.
    pub(super) fn write_error(&self, error: &JournalError) -> ChunkError {
        match error {
            JournalError::Full { .. } => ChunkError::Full(self.id),
            JournalError::Busy => ChunkError::Busy(self.id),
            JournalError::Closed | JournalError::TooLarge { .. } => self.unavailable(error.to_string()),
            JournalError::Poisoned(why) => {
                self.condition.write_failed(error);
                ChunkError::ReadOnly(self.id, why.clone())
            }
            JournalError::Io { .. }
            | JournalError::Gone(_)
            | JournalError::Damaged { .. }
            | JournalError::WrongName { .. }
            | JournalError::Newer { .. }
            | JournalError::Foreign { .. } => {
                self.condition.write_failed(error);
                self.unavailable(error.to_string())
            }
        }
    }

    /// A punch that failed leaves the record as it was and the writer sound, unless the journal says otherwise: a fault
    /// to be counted, no reason to refuse writes.
    fn punch_error(&self, error: &JournalError) -> ChunkError {
        if let (JournalError::Io { .. }, None) = (error, self.journal.poisoned()) {
            self.condition.fault(error);
            return self.unavailable(error.to_string());
        }
        self.write_error(error)
    }
}
