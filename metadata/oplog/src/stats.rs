//! What a running log says of itself.

use std::sync::Arc;

use cairn_core::DriveId;
use cairn_journal::Usage;

use crate::epoch::EpochRecord;
use crate::error::DriveFailure;
use crate::group::GroupNumber;

/// What the log is like right now.
#[derive(Debug, Clone)]
pub struct Stats {
    /// The epoch, and with it roster and copies.
    pub epoch: Arc<EpochRecord>,
    /// The drives of the roster that groups go to; fewer than copies: the log has stopped.
    pub healthy: Vec<DriveId>,
    /// The drives of the roster that were left since the start.
    pub failed: Vec<DriveId>,
    /// The same, with what each said.
    pub left: Vec<DriveFailure>,
    /// Whether nothing more is acknowledged.
    pub stopped: bool,
    /// Groups that lie on fewer drives that are well than they should; they are being copied.
    pub short: usize,
    /// Copies that were made since the start, because a drive was left or the roster changed.
    pub copied: u64,
    /// The last group acknowledged.
    pub acknowledged: GroupNumber,
    /// The first group that is still needed.
    pub floor: GroupNumber,
    /// The first entry that stands.
    pub first_index: Option<u64>,
    /// The index behind the last entry that stands.
    pub next_index: Option<u64>,
    /// Bytes of records that wait for their group.
    pub queued_bytes: usize,
    /// Bytes of entries in memory.
    pub cached_bytes: usize,
    /// Groups formed since the start.
    pub groups: u64,
    /// Records in them.
    pub records: u64,
    /// Groups that went to another drive because one was late.
    pub late: u64,
    /// Where each drive's bytes are.
    pub usage: Vec<(DriveId, Usage)>,
}

impl Stats {
    /// Whether each group goes to as many drives as its epoch says.
    pub fn writes(&self) -> bool {
        !self.stopped && self.healthy.len() >= self.epoch.quorum.copies_len()
    }
}
