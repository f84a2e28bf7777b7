//! What an owner decides about its journal.

use std::fmt;
use std::sync::Arc;

use cairn_core::units::MIB;
use cairn_core::{Clock, Entropy};

use crate::format::BLOCK_BYTES;

/// Which kind of owner writes a journal. It stands in every segment, so that a drive's chunks are never read as an
/// operation log.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct OwnerKind(pub [u8; 8]);

impl fmt::Display for OwnerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.iter().copied().take_while(|&byte| byte != 0);
        shown.flat_map(std::ascii::escape_default).try_for_each(|byte| write!(f, "{}", char::from(byte)))
    }
}

impl fmt::Debug for OwnerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Header, one group's header, and a footer of one block.
const SEGMENT_OVERHEAD_BYTES: u64 = 3 * BLOCK_BYTES;

/// How many times as much lives as a new segment sets aside.
const LIVE_PER_SEGMENT: u64 = 16;

/// How a journal is kept.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whose it is.
    pub owner: OwnerKind,
    /// How long a new segment is: a multiple of the block, at least [`Options::SEGMENT_BYTES_MIN`]. Segments that exist
    /// keep the length they have.
    pub segment_bytes: u64,
    /// How short a new segment may be while the journal holds little, so that what is set aside stays small beside what
    /// lives: a sixteenth of it, between this and `segment_bytes`. As long as that or longer, all are of one length.
    pub segment_bytes_first: u64,
    /// What must be left on the filesystem after a segment was allocated. The owner keeps it for what must never run
    /// out of room.
    pub reserve_bytes: u64,
    /// How many sealed segments are kept open for reading; each costs a file descriptor.
    pub open_files_max: usize,
    /// Dates the records, for people.
    pub clock: Arc<dyn Clock>,
    /// Names the segments: a nonce must never come twice.
    pub entropy: Arc<dyn Entropy>,
}

impl Options {
    /// The shortest segment: enough for the headers, the footer and some small records, as tests want it.
    pub const SEGMENT_BYTES_MIN: u64 = 16 * BLOCK_BYTES;
    /// The longest segment, and the default: long enough that rolling costs nothing, short enough that an unsealed one
    /// is scanned quickly.
    pub const SEGMENT_BYTES_MAX: u64 = 256 * MIB;

    /// The defaults: segments of 256 MiB, no reserve, 256 open files.
    pub fn new(owner: OwnerKind, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self {
            owner,
            segment_bytes: Self::SEGMENT_BYTES_MAX,
            segment_bytes_first: Self::SEGMENT_BYTES_MAX,
            reserve_bytes: 0,
            open_files_max: 256,
            clock,
            entropy,
        }
    }

    /// A fitting segment length for a drive of this size: a 256th of it, so that what is preallocated and not used is
    /// lost in the noise, between 8 MiB and 256 MiB. The owner raises it to what its longest record needs.
    pub fn segment_bytes_for(drive_bytes: u64) -> u64 {
        (drive_bytes / 256).next_multiple_of(MIB).clamp(8 * MIB, Self::SEGMENT_BYTES_MAX)
    }

    /// The longest record, padding included, that a segment can hold beside header, group header and footer.
    pub(crate) fn record_bytes_max(&self) -> u64 {
        self.segment_bytes - SEGMENT_OVERHEAD_BYTES
    }

    /// How long the next segment is when so much lives, and a record of so many bytes is to begin it.
    pub(crate) fn next_segment_bytes(&self, live_bytes: u64, record_bytes: u64) -> u64 {
        let share = (live_bytes / LIVE_PER_SEGMENT).next_multiple_of(MIB);
        let needed = record_bytes.next_multiple_of(BLOCK_BYTES) + SEGMENT_OVERHEAD_BYTES;
        share.max(self.segment_bytes_first).max(needed).min(self.segment_bytes)
    }

    /// How many zeros are written ahead of small groups at a time: seldom enough that it does not show, little enough that
    /// a short segment is not written twice for one record.
    pub(crate) fn ahead_bytes(&self) -> u64 {
        (self.segment_bytes / 16).min(MIB).next_multiple_of(BLOCK_BYTES)
    }

    pub(crate) fn check(&self) {
        assert!(self.segment_bytes_first.is_multiple_of(BLOCK_BYTES), "segments are whole blocks");
        assert!(self.segment_bytes_first >= Self::SEGMENT_BYTES_MIN, "segments of at least 64 KiB");
        assert!(self.segment_bytes.is_multiple_of(BLOCK_BYTES), "segments are whole blocks");
        assert!(self.segment_bytes >= Self::SEGMENT_BYTES_MIN, "segments of at least 64 KiB");
        assert!(self.segment_bytes <= Self::SEGMENT_BYTES_MAX, "segments of at most 256 MiB");
        assert!(self.open_files_max > 0, "at least one segment can be open");
    }
}

#[cfg(test)]
mod tests {
    use cairn_core::WallTime;
    use cairn_core::clock::ManualClock;
    use cairn_core::entropy::SeededEntropy;

    use super::*;

    #[test]
    fn a_new_segment_is_a_sixteenth_of_what_lives_and_holds_the_record_that_begins_it() {
        let options = Options::new(OwnerKind(*b"test\0\0\0\0"), ManualClock::at(WallTime(1)), SeededEntropy::new(1));
        assert_eq!(options.next_segment_bytes(0, 1), 256 * MIB, "of one length unless it was asked for");
        let options = Options { segment_bytes_first: 4 * MIB, ..options };
        options.check();
        assert_eq!(options.next_segment_bytes(0, 1), 4 * MIB);
        assert_eq!(options.next_segment_bytes(65 * MIB, 1), 5 * MIB);
        assert_eq!(options.next_segment_bytes(u64::MAX / 2, 1), 256 * MIB);
        assert_eq!(options.next_segment_bytes(0, 8 * MIB), 8 * MIB + 3 * BLOCK_BYTES);
        assert_eq!(options.next_segment_bytes(0, options.record_bytes_max()), 256 * MIB);
    }
}
