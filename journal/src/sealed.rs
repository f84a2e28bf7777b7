//! What a sealed segment says of itself: its footer, and which of the records listed there are there still.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use crate::files::File;
use crate::format::{BLOCK_BYTES, ENVELOPE_BYTES, Entry, EntryKind, Envelope, Footer, Look, SegmentKey};
use crate::options::Options;
use crate::reader::look_at_head;

/// Reads the footer with which a file of this length ends. `Look::Bad` where there is none: then the segment is to be
/// scanned. So it is after an error, but then there may well be one, and nothing may be written where it could be.
pub(crate) fn read_footer(file: &dyn File, ordinal: u32, length: u64) -> io::Result<Look<Footer>> {
    // A footer may make a segment longer than it was allocated, but never twice as long.
    if length < 2 * BLOCK_BYTES || !length.is_multiple_of(BLOCK_BYTES) || length > 2 * Options::SEGMENT_BYTES_MAX {
        return Ok(Look::Bad);
    }
    let mut last = [0; BLOCK_BYTES as usize];
    file.read_exact_at(&mut last, length - BLOCK_BYTES)?;
    let Some(start) = Footer::peek(&last, length) else { return Ok(Look::Bad) };
    let mut bytes = vec![0; usize::try_from(length - start).expect("a footer is shorter than a segment")];
    file.read_exact_at(&mut bytes, start)?;
    Ok(Footer::decode(&bytes, ordinal, start))
}

/// What the filesystem's word about holes is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holes {
    /// It punches: a record without a hole in its place is there, and no read is needed to know it.
    Tell,
    /// It cannot punch: what is gone was overwritten with zeros, which count as data like any other.
    Nothing,
}

impl Holes {
    /// Asks the filesystem of a file, by punching behind the file's end: where that is supported it changes nothing.
    pub fn of(file: &dyn File, length: u64) -> io::Result<Self> {
        match file.punch(length.next_multiple_of(BLOCK_BYTES), BLOCK_BYTES) {
            Ok(()) => Ok(Self::Tell),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(Self::Nothing),
            Err(error) => Err(error),
        }
    }
}

/// What became of a record that a footer lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// As far as anybody looked.
    There,
    /// Punched.
    Gone,
    /// Its envelope or head is not what was written: where records are overwritten to delete them, a crash may leave half
    /// of that.
    Damaged,
}

/// Whether a record that a footer lists has not been punched. Asks the filesystem for holes, which costs no read; where
/// it cannot tell, the header is read, and judged while it is at hand.
pub(crate) fn presence(file: &dyn File, key: &SegmentKey, entry: &Entry, holes: Holes) -> io::Result<Presence> {
    let (Some(info), EntryKind::Record) = (entry.info(key.ordinal), entry.kind) else { return Ok(Presence::Gone) };
    if holes == Holes::Tell {
        match file.next_data(entry.offset) {
            Ok(data) if data.is_some_and(|data| data < entry.offset + BLOCK_BYTES) => return Ok(Presence::There),
            Ok(_) => return Ok(Presence::Gone),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(error) => return Err(error),
        }
    }
    // A footer's checksum vouches for the length; a head is at most 1 MiB.
    let mut front = vec![0; usize::try_from(info.body_start).expect("a head is shorter than memory")];
    file.read_exact_at(&mut front, entry.offset)?;
    Ok(match look_at_head(key, entry.offset, &Bytes::from(front)) {
        Look::Sound(head) if head.info == info => Presence::There,
        Look::Zero => Presence::Gone,
        // A later release's record under this release's footer is not this place's to judge: its reader will.
        Look::Newer(_) => Presence::There,
        Look::Sound(_) | Look::Bad => Presence::Damaged,
    })
}

/// Whether every record of a sealed segment is gone, by its own word. Asked before a segment is removed: figures alone
/// may not cost a record.
pub(crate) fn is_empty(file: &Arc<dyn File>, ordinal: u32) -> io::Result<bool> {
    let Look::Sound(footer) = read_footer(&**file, ordinal, file.len()?)? else { return Ok(false) };
    for entry in footer.entries.iter().filter(|entry| entry.kind == EntryKind::Record) {
        // The header is read and not the filesystem asked: where a record could only be overwritten, there is no hole.
        let mut front = [0; ENVELOPE_BYTES];
        file.read_exact_at(&mut front, entry.offset)?;
        if Envelope::peek(&front) != Look::Zero {
            return Ok(false);
        }
    }
    Ok(true)
}
