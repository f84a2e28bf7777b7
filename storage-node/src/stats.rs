//! What a drive can say about itself, in figures.

use cairn_core::latency::{Histogram, Latencies};
use cairn_journal::Usage;

use crate::scrub::ScrubProgress;

/// Where the bytes of the chunk journal are. Always `live_bytes + dead_bytes + free_bytes` is what the filesystem has given
/// to it, and `punched_bytes` what it was given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Accounts {
    /// Chunks that are there, with their heads and padding.
    pub live_bytes: u64,
    /// What serves nobody: headers and footers, damaged records, and what was deleted and could not be given back.
    pub dead_bytes: u64,
    /// Set aside and not yet written.
    pub free_bytes: u64,
    /// Deleted and given back while their segments are still there.
    pub punched_bytes: u64,
}

impl From<Usage> for Accounts {
    fn from(usage: Usage) -> Self {
        let accounts = Self {
            live_bytes: usage.live_bytes,
            dead_bytes: usage.damaged_bytes + usage.overhead_bytes,
            free_bytes: usage.unused_bytes,
            punched_bytes: usage.punched_bytes,
        };
        assert_eq!(accounts.allocated_bytes(), usage.allocated_bytes(), "every byte is in one account");
        accounts
    }
}

impl Accounts {
    /// What the filesystem has given.
    pub fn allocated_bytes(&self) -> u64 {
        self.live_bytes + self.dead_bytes + self.free_bytes
    }
}

/// What is on its way to or from the drive at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Bytes queued for the writer or being written.
    pub queued_bytes: u64,
    /// Puts that wait for room in that queue.
    pub puts_waiting: usize,
    /// Reads that are at the device.
    pub reads_under_way: usize,
    /// Reads that wait for their turn.
    pub reads_waiting: usize,
}

/// Everything at once. Each figure is exact; together they are as close as reading one after the other allows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DriveStats {
    /// Chunks that are there.
    pub chunks: u64,
    /// Where the bytes are.
    pub accounts: Accounts,
    /// Reads and writes that failed since the start.
    pub errors: u64,
    /// What is under way.
    pub load: Load,
    /// How long things take.
    pub latencies: Latencies,
    /// How far the scrub is; none where none was started.
    pub scrub: Option<ScrubProgress>,
}

/// How long a drive's operations take.
#[derive(Debug, Default)]
pub(crate) struct Tempo {
    pub(crate) put: Histogram,
    pub(crate) get: Histogram,
    pub(crate) head: Histogram,
    pub(crate) read_back: Histogram,
    pub(crate) delete: Histogram,
    pub(crate) list: Histogram,
}

impl Tempo {
    pub(crate) fn latencies(&self) -> Latencies {
        Latencies {
            put: self.put.quantiles(),
            get: self.get.quantiles(),
            head: self.head.quantiles(),
            read_back: self.read_back.quantiles(),
            delete: self.delete.quantiles(),
            list: self.list.quantiles(),
        }
    }
}
