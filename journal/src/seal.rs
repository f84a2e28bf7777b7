//! Sealing: the footer is written behind the last record, the file is cut behind the footer, and both are made durable.
//!
//! ```text
//! | header | group | group | ...           | preallocated |
//! | header | group | group | ... | footer |
//! ```
//!
//! The footer goes where room was reserved for it, before the rest is given back: sealing never asks for space. A crash
//! in between leaves no footer at the end of the file, and so a segment that is scanned and sealed again.

use std::io;

use bytes::Bytes;

use crate::files::File;
use crate::format::{Entry, Footer, SegmentKey};
use crate::options::OwnerKind;

/// Seals a segment whose records end at `end`; says how long the file is then.
pub(crate) fn seal(
    file: &dyn File,
    key: SegmentKey,
    owner: OwnerKind,
    end: u64,
    next_sequence: u64,
    entries: &[Entry],
) -> io::Result<u64> {
    let footer = Bytes::from(Footer::encode(key, owner, end, next_sequence, entries));
    let length = end + footer.len() as u64;
    file.write_all_vectored_at(&[footer], end)?;
    file.truncate(length)?;
    file.sync_data()?;
    Ok(length)
}
