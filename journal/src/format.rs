//! The bytes on disk. Each structure has a file of its own here; `docs/formats/journal.md` has the offset tables.
//!
//! Every structure is recognised by a magic number and judged by a checksum whose place and extent are the same in all
//! versions, so that a newer version is told from damage: only a sound checksum makes a version number believable.

mod entry;
mod envelope;
mod fields;
mod footer;
mod group;
mod segment;
#[cfg(test)]
mod tests;

pub(crate) use entry::{Entry, EntryKind};
pub(crate) use envelope::{ENVELOPE_BYTES, Envelope};
pub(crate) use footer::Footer;
pub(crate) use group::{DurableEnd, Group};
pub(crate) use segment::SegmentHeader;

/// The unit of alignment: records begin where blocks begin, so that punching one touches no other.
pub const BLOCK_BYTES: u64 = 4096;

/// The version of the layout that is written, and the newest that is read.
pub const VERSION: u8 = 1;

/// How many bytes of a blake3 are kept: 128 bits are far beyond what chance can hit.
pub(crate) const CHECKSUM_BYTES: usize = 16;

/// Tells one segment's structures from those of any other that ever was, on this drive or elsewhere.
pub(crate) type Nonce = [u8; 16];

/// What bytes turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Look<T> {
    /// Sound, and what it says.
    Sound(T),
    /// Nothing but zeros.
    Zero,
    /// Not this structure, or not sound.
    Bad,
    /// Sound, and of a later version.
    Newer(u8),
}

/// Binds structures to their segment: a copy of one in another segment, or elsewhere in the same, is not sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentKey {
    pub ordinal: u32,
    pub nonce: Nonce,
}

/// The checksum of a structure. The context keeps one kind of structure from passing for another.
fn checksum(context: &str, parts: &[&[u8]]) -> [u8; CHECKSUM_BYTES] {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for part in parts {
        hasher.update(part);
    }
    let mut kept = [0; CHECKSUM_BYTES];
    kept.copy_from_slice(&hasher.finalize().as_bytes()[..CHECKSUM_BYTES]);
    kept
}

/// Rounds up to whole blocks.
pub(crate) const fn whole_blocks(bytes: u64) -> u64 {
    bytes.next_multiple_of(BLOCK_BYTES)
}

/// The file name of a segment.
pub(crate) fn segment_file_name(ordinal: u32) -> String {
    format!("{ordinal:010}.segment")
}

/// The ordinal of a segment's file name; `None` for any other name.
pub(crate) fn segment_ordinal(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".segment")?;
    let all_digits = digits.len() == 10 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if all_digits { digits.parse().ok() } else { None }
}
