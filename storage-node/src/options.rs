//! What whoever opens a drive decides about it.

use cairn_core::chunk::CHUNK_BYTES_MAX;
use cairn_core::units::{GIB, MIB};
use cairn_journal::{JournalHandle, Options, Shell};

/// Where the chunk index is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexKind {
    /// In memory, some 90 bytes for each chunk, filled from the journal at each start. The fastest, and the only one
    /// whose bytes all go through the file trait: simulations need it.
    Memory,
    /// In sled, its memory bounded: for drives with so many chunks that memory matters more than a few microseconds.
    Sled {
        /// The bound of its cache. sled keeps as much again beside it.
        cache_bytes: u64,
    },
}

/// How a drive is run.
#[derive(Debug, Clone)]
pub struct DriveOptions {
    /// A thread for the writer and others for reads, or everything on the current task's thread for a simulation.
    pub shell: Shell,
    /// Where the chunk index is kept.
    pub index: IndexKind,
    /// How long the journal's segments are; `None`: what fits the drive's size, and shorter while little is on it.
    pub segment_bytes: Option<u64>,
    /// What the chunk journal leaves free for the operation log, the runs and one segment more; `None`: a segment and a
    /// twentieth of the drive, at most 1 GiB.
    pub reserve_bytes: Option<u64>,
    /// What chunks on their way to the device may take of memory.
    pub queue_bytes: u64,
    /// What remembered heads of chunks may take of memory.
    pub head_cache_bytes: usize,
    /// How many reads may wait for the device at a time. More would not make a disk faster, and each holds a thread.
    pub reads_max: usize,
    /// How many puts may wait for room in the queue, and how many reads for their turn; who comes then is told that the
    /// drive is busy. What a caller brings stays in memory while he waits, so a drive that hangs must not gather them.
    pub waiting_max: usize,
    /// So many failed reads or punches make the drive read-only. A single failed write does.
    pub faults_max: u64,
}

impl Default for DriveOptions {
    fn default() -> Self {
        Self {
            shell: Shell::Thread,
            index: IndexKind::Memory,
            segment_bytes: None,
            reserve_bytes: None,
            queue_bytes: JournalHandle::QUEUE_BYTES,
            head_cache_bytes: 8 << 20,
            reads_max: 16,
            waiting_max: 1024,
            faults_max: 16,
        }
    }
}

impl DriveOptions {
    /// No segment is shorter unless it was asked for: the longest chunk fits, with its head.
    const SEGMENT_BYTES_MIN: u64 = 32 * MIB;

    pub(crate) fn segment_bytes(&self, drive_bytes: u64) -> u64 {
        const { assert!(Self::SEGMENT_BYTES_MIN > CHUNK_BYTES_MAX as u64 + 2 * MIB) };
        self.segment_bytes.unwrap_or_else(|| Options::segment_bytes_for(drive_bytes).max(Self::SEGMENT_BYTES_MIN))
    }

    pub(crate) fn segment_bytes_first(&self) -> u64 {
        self.segment_bytes.unwrap_or(Self::SEGMENT_BYTES_MIN)
    }

    pub(crate) fn reserve_bytes(&self, drive_bytes: u64) -> u64 {
        self.reserve_bytes.unwrap_or_else(|| self.segment_bytes(drive_bytes) + (drive_bytes / 20).min(GIB))
    }
}
