//! Whether a record of the journal is the chunk that it says it is: head, lengths, and every block.
//!
//! One judgement for two occasions: a start, which must know what of the unsealed tail the device really has, and a
//! repair, which believes a chunk only once the drive has read it back (invariant 10).

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use cairn_core::chunk::InvalidHead;
use cairn_core::{ChunkHead, ChunkName};
use cairn_journal::{RecordHead, RecordName};

/// How much of a body is in memory at a time while it is verified.
const STEP_BYTES: u32 = 1024 * 1024;

/// Why a record is not a sound chunk.
#[derive(Debug)]
pub(crate) enum Unsound {
    /// A later release wrote it; it cannot be judged here.
    Newer { found: u8 },
    /// What is wrong with it.
    Damaged(String),
    /// The device failed while the body was read.
    Read(io::Error),
}

/// The name of a chunk's record in the journal.
pub(crate) fn record_name(name: &ChunkName) -> RecordName {
    RecordName::new(&name.to_bytes())
}

/// The chunk that a record's name means; `None` for a name that no chunk has.
pub(crate) fn chunk_name(name: &RecordName) -> Option<ChunkName> {
    ChunkName::from_slice(name.as_bytes())
}

/// The head of a chunk from the head of its record, checked against the record's name and lengths. The journal's
/// checksum over it was verified before.
pub(crate) fn chunk_head(record: &RecordHead) -> Result<Arc<ChunkHead>, Unsound> {
    let head = match ChunkHead::decode(&record.head) {
        Ok(head) => head,
        Err(InvalidHead::Newer { found }) => return Err(Unsound::Newer { found }),
        Err(error @ InvalidHead::Malformed(_)) => return Err(Unsound::Damaged(error.to_string())),
    };
    if chunk_name(&record.info.name) != Some(*head.name()) {
        return Err(Unsound::Damaged(format!("the head is that of {}", head.name())));
    }
    if record.info.body_bytes() != u64::from(head.length()) {
        let found = record.info.body_bytes();
        return Err(Unsound::Damaged(format!("{found} bytes where the head says {}", head.length())));
    }
    Ok(Arc::new(head))
}

/// Reads a chunk's bytes piece by piece and checks every block.
pub(crate) fn body(head: &ChunkHead, mut read: impl FnMut(Range<u64>) -> io::Result<Bytes>) -> Result<(), Unsound> {
    // Both are powers of two, so that pieces end where blocks do.
    let step = STEP_BYTES.max(head.block_bytes());
    let mut offset = 0;
    while offset < head.length() {
        let end = head.length().min(offset.saturating_add(step));
        let piece = read(u64::from(offset)..u64::from(end)).map_err(Unsound::Read)?;
        assert_eq!(piece.len(), (end - offset) as usize, "a read gives what was asked for");
        head.verify(offset, &piece).map_err(|bad| Unsound::Damaged(format!("block {}", bad.block)))?;
        offset = end;
    }
    Ok(())
}
