//! What the log's keeper decides.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cairn_core::units::MIB;
use cairn_core::{Clock, DriveId};
use cairn_journal::{BLOCK_BYTES, Files, OwnerKind};

use crate::group::{GROUP_BODY_BYTES_MAX, GROUP_HEAD_BYTES_MAX};
use crate::pace::Patience;
use crate::record::CONTROL_BYTES_MAX;
use crate::recover::Orders;

/// Stands in every segment of a log, so that a drive's chunks are never read as one.
pub(crate) const OWNER: OwnerKind = OwnerKind(*b"oplog\0\0\0");

/// The directory of a drive that its part of the log lies in.
pub(crate) const LOG_DIR: &str = "log";

/// A drive that the log may lie on. Whoever hands it in has locked it.
#[derive(Clone)]
pub struct LogDrive {
    /// Its name.
    pub id: DriveId,
    /// Its directory; the log lies in `log` below it.
    pub dir: PathBuf,
    /// The filesystem.
    pub files: Arc<dyn Files>,
}

impl fmt::Debug for LogDrive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogDrive({} at {})", self.id, self.dir.display())
    }
}

/// How the log is kept.
#[derive(Debug, Clone)]
pub struct Options {
    /// See [`crate::recover::Setting::formed`].
    pub formed: bool,
    /// What [`crate::roster::copies_wanted`] says.
    pub copies_wanted: u8,
    /// What people and the log have said about drives.
    pub orders: Orders,
    /// How long a new segment of a drive's journal is. Purging removes whole segments.
    pub segment_bytes: u64,
    /// What must be left on a filesystem after a segment was allocated there.
    pub reserve_bytes: u64,
    /// How many bytes of recent entries are kept in memory, beside those under way.
    pub cache_bytes: usize,
    /// How many bytes of records may wait for their group; the last to be taken may go beyond it.
    pub queue_bytes: usize,
    /// How many groups may be under way at once. With one, a lone append waits for whoever is being synced; with more,
    /// groups are smaller.
    pub groups_under_way: usize,
    /// After how long a drive is late that has not synced what another one has: the group goes to others too. At least as
    /// long again as the other one took, so that a pause of all drives makes nobody late.
    pub late_after: Duration,
    /// After how long a drive is given up that does not answer at all, though others do.
    pub given_up_after: Duration,
    /// Dates the records, for people.
    pub clock: Arc<dyn Clock>,
}

impl Options {
    /// The usual: segments of 64 MiB, 32 MiB of recent entries, 64 MiB waiting, one group under way, another drive after
    /// a quarter of a second, none of a drive that hangs for half a minute. Says neither how many copies are wanted nor that the log was formed.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            formed: false,
            copies_wanted: 1,
            orders: Orders::default(),
            segment_bytes: 64 * MIB,
            reserve_bytes: 0,
            cache_bytes: 32 << 20,
            queue_bytes: 64 << 20,
            groups_under_way: 1,
            late_after: Duration::from_millis(250),
            given_up_after: Duration::from_secs(30),
            clock,
        }
    }

    pub(crate) const fn patience(&self) -> Patience {
        Patience { late: self.late_after, given_up: self.given_up_after }
    }

    pub(crate) fn limits(&self) -> Limits {
        let record = usize::try_from(self.segment_bytes - 3 * BLOCK_BYTES).unwrap_or(usize::MAX);
        let head = (record / 2 - BLOCK_BYTES as usize).min(GROUP_HEAD_BYTES_MAX);
        let control = CONTROL_BYTES_MAX.min(head / 8);
        // A group that purges says every control record once more.
        let restated = 4 * (control + 64) + 128;
        Limits { body: (record / 2).min(GROUP_BODY_BYTES_MAX), head: head - restated, control }
    }
}

/// What one group may hold, so that it fits into a segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes of entries.
    pub body: usize,
    /// Bytes of records in the head, without those restated.
    pub head: usize,
    /// Bytes of one control record's payload.
    pub control: usize,
}
