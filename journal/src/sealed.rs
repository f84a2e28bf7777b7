//! What a sealed segment says of itself: its footer, and which of the records listed there are there still.

use std::io;
use std::sync::Arc;

use crate::files::File;
use crate::format::{BLOCK_BYTES, ENVELOPE_BYTES, Entry, EntryKind, Envelope, Footer, Look};
use crate::options::Options;

/// Reads the footer with which a file of this length ends. `Look::Bad` where there is none that can be read: then the
/// segment is to be scanned, and whether the device is failing shows there.
pub(crate) fn read_footer(file: &dyn File, ordinal: u32, length: u64) -> Look<Footer> {
    // A footer may make a segment longer than it was allocated, but never twice as long.
    if length < 2 * BLOCK_BYTES || !length.is_multiple_of(BLOCK_BYTES) || length > 2 * Options::SEGMENT_BYTES_MAX {
        return Look::Bad;
    }
    let mut last = [0; BLOCK_BYTES as usize];
    if file.read_exact_at(&mut last, length - BLOCK_BYTES).is_err() {
        return Look::Bad;
    }
    let Some(start) = Footer::peek(&last, length) else { return Look::Bad };
    let mut bytes = vec![0; usize::try_from(length - start).expect("a footer is shorter than a segment")];
    match file.read_exact_at(&mut bytes, start) {
        Ok(()) => Footer::decode(&bytes, ordinal, start),
        Err(_) => Look::Bad,
    }
}

/// Whether a record that a footer lists has not been punched. Asks the filesystem for holes, which costs no read; where
/// it cannot tell, the header is read.
pub(crate) fn is_there(file: &dyn File, entry: &Entry) -> io::Result<bool> {
    if entry.kind != EntryKind::Record {
        return Ok(false);
    }
    match file.next_data(entry.offset) {
        Ok(data) => Ok(data.is_some_and(|data| data < entry.offset + BLOCK_BYTES)),
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            let mut front = [0; ENVELOPE_BYTES];
            file.read_exact_at(&mut front, entry.offset)?;
            Ok(Envelope::peek(&front) != Look::Zero)
        }
        Err(error) => Err(error),
    }
}

/// Whether every record of a sealed segment is gone, by its own word. Asked before a segment is removed: figures alone
/// may not cost a record.
pub(crate) fn is_empty(file: &Arc<dyn File>, ordinal: u32) -> io::Result<bool> {
    let Look::Sound(footer) = read_footer(&**file, ordinal, file.len()?) else { return Ok(false) };
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
