//! One drive in memory.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use cairn_core::chunk_store::{ChunkStat, DriveHealth};
use cairn_core::{ChunkError, ChunkHead, ChunkName, ChunkRecord, ChunkSlice, ChunkStore, DriveId};
use futures::future::BoxFuture;

/// What a drive says it has room for. Nothing holds it to that: a full one is a fault.
const CAPACITY_BYTES: u64 = 1 << 40;

/// How a drive fails until the fault is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriveFault {
    /// Answers nothing.
    Unavailable,
    /// Takes chunks and answers as if it could not be reached: the write has happened.
    LosesReplies,
    /// Reads, and has no room.
    Full,
    /// Reads, and takes nothing.
    ReadOnly,
    /// Has more to do than it takes, of writes and reads.
    Busy,
}

/// A drive in memory.
#[derive(Debug)]
pub struct MemoryDrive {
    drive: DriveId,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    chunks: BTreeMap<ChunkName, (Arc<ChunkHead>, Bytes)>,
    fault: Option<DriveFault>,
    errors: u64,
    gets: u64,
    got_bytes: u64,
}

impl MemoryDrive {
    /// An empty drive.
    pub fn new(drive: DriveId) -> Arc<Self> {
        Arc::new(Self { drive, state: Mutex::default() })
    }

    /// Fails from now on, or works again.
    pub fn set_fault(&self, fault: impl Into<Option<DriveFault>>) {
        self.state().fault = fault.into();
    }

    /// Flips a bit in a block of a chunk, as a device does. Whether there is such a block.
    pub fn damage(&self, name: ChunkName, block: u32) -> bool {
        let mut state = self.state();
        let Some((head, body)) = state.chunks.get_mut(&name) else { return false };
        let at = (block * head.block_bytes()) as usize;
        if at >= body.len() {
            return false;
        }
        let mut bytes = body.to_vec();
        bytes[at] ^= 0x10;
        *body = Bytes::from(bytes);
        true
    }

    /// Loses a chunk without a word. Whether it was there.
    pub fn lose(&self, name: ChunkName) -> bool {
        self.state().chunks.remove(&name).is_some()
    }

    /// Puts a chunk's record under another's name, as a misdirected write does.
    pub fn misdirect(&self, from: ChunkName, to: ChunkName) -> bool {
        let mut state = self.state();
        let Some(record) = state.chunks.get(&from).cloned() else { return false };
        state.chunks.insert(to, record);
        true
    }

    /// What is there.
    pub fn names(&self) -> Vec<ChunkName> {
        self.state().chunks.keys().copied().collect()
    }

    /// How many reads there were since the last call, and of how many bytes.
    pub fn take_reads(&self) -> (u64, u64) {
        let mut state = self.state();
        (std::mem::take(&mut state.gets), std::mem::take(&mut state.got_bytes))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, where the drive answers reads.
    fn readable(&self) -> Result<MutexGuard<'_, State>, ChunkError> {
        let mut state = self.state();
        let error = match state.fault {
            Some(DriveFault::Unavailable) => self.unreachable(),
            Some(DriveFault::Busy) => ChunkError::Busy(self.drive),
            _ => return Ok(state),
        };
        state.errors += 1;
        Err(error)
    }

    /// The state, where the drive takes writes.
    fn writable(&self) -> Result<MutexGuard<'_, State>, ChunkError> {
        let mut state = self.readable()?;
        let error = match state.fault {
            Some(DriveFault::Full) => ChunkError::Full(self.drive),
            Some(DriveFault::ReadOnly) => ChunkError::ReadOnly(self.drive, Arc::from("a test said so")),
            _ => return Ok(state),
        };
        state.errors += 1;
        Err(error)
    }

    fn unreachable(&self) -> ChunkError {
        ChunkError::Unavailable(self.drive, Arc::from("a test said so"))
    }

    /// Ends a write: the fault may eat the answer.
    fn answer<T>(&self, state: &mut State, answer: T) -> Result<T, ChunkError> {
        if state.fault == Some(DriveFault::LosesReplies) {
            state.errors += 1;
            return Err(self.unreachable());
        }
        Ok(answer)
    }

    fn put_now(&self, chunk: ChunkRecord) -> Result<(), ChunkError> {
        let mut state = self.writable()?;
        let body = chunk.body.concat();
        assert_eq!(body.len(), chunk.head.length() as usize, "a record's head tells its length");
        state.chunks.entry(*chunk.head.name()).or_insert((chunk.head, Bytes::from(body)));
        self.answer(&mut state, ())
    }

    fn get_now(&self, name: ChunkName, range: Range<u32>) -> Result<ChunkSlice, ChunkError> {
        let mut state = self.readable()?;
        state.gets += 1;
        let (head, body) = state.chunks.get(&name).cloned().ok_or(ChunkError::NotFound(name, self.drive))?;
        if range.end > head.length() {
            let what = format!("{range:?} is not inside its {} bytes", head.length());
            return Err(ChunkError::Damaged { chunk: name, drive: self.drive, what });
        }
        let aligned = head.aligned(range.clone());
        state.got_bytes += aligned.len() as u64;
        Ok(ChunkSlice::new(head, range, body.slice(aligned.start as usize..aligned.end as usize)))
    }

    fn head_now(&self, name: ChunkName) -> Result<Arc<ChunkHead>, ChunkError> {
        let state = self.readable()?;
        state.chunks.get(&name).map(|(head, _)| head.clone()).ok_or(ChunkError::NotFound(name, self.drive))
    }

    fn read_back_now(&self, name: ChunkName) -> Result<Arc<ChunkHead>, ChunkError> {
        let head = self.head_now(name)?;
        let slice = self.get_now(name, 0..head.length())?;
        slice.verified(&name).map_err(|bad| ChunkError::damaged(self.drive, bad))?;
        Ok(head)
    }

    fn delete_now(&self, name: ChunkName) -> Result<bool, ChunkError> {
        let mut state = self.readable()?;
        let there = state.chunks.remove(&name).is_some();
        self.answer(&mut state, there)
    }

    fn list_now(&self, after: Option<ChunkName>, limit: usize) -> Result<Vec<ChunkStat>, ChunkError> {
        let state = self.readable()?;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let stat = |(name, (_, body)): (&ChunkName, &(Arc<ChunkHead>, Bytes))| ChunkStat {
            name: *name,
            stored_bytes: body.len() as u64,
        };
        Ok(state.chunks.range((from, Bound::Unbounded)).map(stat).take(limit).collect())
    }
}

impl ChunkStore for MemoryDrive {
    fn drive(&self) -> DriveId {
        self.drive
    }

    fn put(&self, chunk: ChunkRecord) -> BoxFuture<'_, Result<(), ChunkError>> {
        Box::pin(async move { self.put_now(chunk) })
    }

    fn get(&self, name: ChunkName, range: Range<u32>) -> BoxFuture<'_, Result<ChunkSlice, ChunkError>> {
        Box::pin(async move { self.get_now(name, range) })
    }

    fn head(&self, name: ChunkName) -> BoxFuture<'_, Result<Arc<ChunkHead>, ChunkError>> {
        Box::pin(async move { self.head_now(name) })
    }

    fn read_back(&self, name: ChunkName) -> BoxFuture<'_, Result<Arc<ChunkHead>, ChunkError>> {
        Box::pin(async move { self.read_back_now(name) })
    }

    fn delete(&self, name: ChunkName) -> BoxFuture<'_, Result<bool, ChunkError>> {
        Box::pin(async move { self.delete_now(name) })
    }

    fn list(&self, after: Option<ChunkName>, limit: usize) -> BoxFuture<'_, Result<Vec<ChunkStat>, ChunkError>> {
        Box::pin(async move { self.list_now(after, limit) })
    }

    fn health(&self) -> DriveHealth {
        let state = self.state();
        let live_bytes = state.chunks.values().map(|(_, body)| body.len() as u64).sum();
        let writable = match state.fault {
            None | Some(DriveFault::LosesReplies) => Ok(()),
            Some(fault) => Err(Arc::from(format!("{fault:?}"))),
        };
        DriveHealth {
            writable,
            chunks: state.chunks.len() as u64,
            live_bytes,
            allocated_bytes: live_bytes,
            available_bytes: CAPACITY_BYTES.saturating_sub(live_bytes),
            total_bytes: CAPACITY_BYTES,
            errors: state.errors,
        }
    }
}
