//! A stripe's table of contents: which bytes of which object each range is, so that one day the metadata can be rebuilt
//! from drives alone.
//!
//! It stands at the very end of the data bytes, coded and placed with them, and is found by arithmetic:
//!
//! ```text
//! data bytes   | extents ... | zeros | entries | trailer (64 bytes) |
//! ```
//!
//! While the metadata stands only re-encoding reads it. The layout is in `docs/formats/stripe.md`.

use std::ops::Range;

use bytes::Bytes;
use cairn_core::units::{EXTENT_BYTES_MAX, OBJECT_KEY_BYTES_MAX, STRIPE_EXTENTS_MAX};
use cairn_core::{BucketId, ExtentId, ObjectKey, StripeId, VersionId};
use minicbor::{Decode, Encode};

/// The version that is written.
pub const TOC_VERSION: u8 = 1;

/// The length of the trailer.
pub const TRAILER_BYTES: usize = 64;

const MAGIC: [u8; 8] = *b"cairntoc";

/// Where the trailer's checksum begins. It covers the entries and the trailer up to here.
const CHECKSUM_AT: usize = TRAILER_BYTES - CHECKSUM_BYTES;
const CHECKSUM_BYTES: usize = 16;

/// More than an entry takes beside its key: the widest form of each field.
const ENTRY_FIXED_BYTES_MAX: usize = 96;

/// More than any table's entries take.
const ENTRIES_BYTES_MAX: usize = STRIPE_EXTENTS_MAX * (ENTRY_FIXED_BYTES_MAX + OBJECT_KEY_BYTES_MAX);

/// One extent of the stripe, and whose bytes it is.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct TocEntry {
    /// Its name.
    #[n(0)]
    pub extent: ExtentId,
    /// The bucket for which it was written.
    #[n(1)]
    pub bucket: BucketId,
    /// The key for which it was written.
    #[n(2)]
    pub key: ObjectKey,
    /// The version whose bytes it is, where that was known when the stripe was made: a first write learns it only with
    /// its commit.
    #[n(3)]
    pub version: Option<VersionId>,
    /// The number of the part, for a part of a multipart upload.
    #[n(4)]
    pub part: Option<u16>,
    /// Which byte of the object, or of the part, is its first.
    #[n(5)]
    pub object_offset: u64,
    /// Which byte of the stripe's data is its first.
    #[n(6)]
    pub offset: u64,
    /// How many bytes it has.
    #[n(7)]
    pub length: u64,
}

impl TocEntry {
    /// At most so many bytes are taken by an entry for such a key.
    pub(crate) fn bytes_max(key: &ObjectKey) -> usize {
        ENTRY_FIXED_BYTES_MAX + key.as_str().len()
    }
}

/// Bytes that are not this stripe's table of contents.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToc {
    /// There is more of it: call again with so many bytes from the end of the data.
    #[error("the table of contents takes the last {bytes} bytes of the stripe's data")]
    Longer {
        /// How many bytes are needed, trailer included.
        bytes: usize,
    },
    /// Written by a later release. Nothing is wrong with the stripe: start that release.
    #[error("table of contents of version {found}, this release knows up to {TOC_VERSION}")]
    Newer {
        /// The version that stands there.
        found: u8,
    },
    /// Not a table of contents, or not that of this stripe. The data's own checksums are the chunks'; where those fit,
    /// this was never one: report it.
    #[error("not this stripe's table of contents: {0}")]
    Malformed(&'static str),
}

/// The entries in their binary form, as they are collected.
#[derive(Debug, Default)]
pub(crate) struct TocWriter {
    entries: Vec<u8>,
    count: u32,
}

impl TocWriter {
    pub(crate) fn push(&mut self, entry: &TocEntry) {
        let before = self.entries.len();
        minicbor::encode(entry, &mut self.entries).expect("writing to memory does not fail");
        let taken = self.entries.len() - before;
        assert!(taken <= TocEntry::bytes_max(&entry.key), "an entry of {taken} bytes is longer than was reserved");
        self.count += 1;
    }

    /// What the finished table takes.
    pub(crate) fn bytes(&self) -> usize {
        self.entries.len() + TRAILER_BYTES
    }

    /// Writes entries and trailer behind what `out` has.
    pub(crate) fn finish(&self, stripe: StripeId, out: &mut Vec<u8>) {
        let mut trailer = [0; TRAILER_BYTES];
        trailer[..8].copy_from_slice(&MAGIC);
        trailer[8] = TOC_VERSION;
        trailer[12..16].copy_from_slice(&self.count.to_be_bytes());
        trailer[16..20].copy_from_slice(&(self.entries.len() as u32).to_be_bytes());
        trailer[24..40].copy_from_slice(&stripe.0.to_bytes());
        let checksum = checksum(&self.entries, &trailer);
        trailer[CHECKSUM_AT..].copy_from_slice(&checksum);
        out.extend_from_slice(&self.entries);
        out.extend_from_slice(&trailer);
    }
}

/// Reads a table of contents. `tail` is the end of the stripe's data, trailer included: some KiB are enough for most, and
/// [`InvalidToc::Longer`] says how many for this one.
pub fn read_toc(stripe: StripeId, tail: &[u8]) -> Result<Vec<TocEntry>, InvalidToc> {
    let Some((before, trailer)) = tail.split_last_chunk::<TRAILER_BYTES>() else {
        return Err(InvalidToc::Longer { bytes: TRAILER_BYTES });
    };
    if trailer[..8] != MAGIC {
        return Err(InvalidToc::Malformed("no magic"));
    }
    match trailer[8] {
        0 => return Err(InvalidToc::Malformed("no version")),
        TOC_VERSION => {}
        found => return Err(InvalidToc::Newer { found }),
    }
    let u32_at = |at: usize| u32::from_be_bytes([trailer[at], trailer[at + 1], trailer[at + 2], trailer[at + 3]]);
    let (count, length) = (u32_at(12) as usize, u32_at(16) as usize);
    if count > STRIPE_EXTENTS_MAX || length > ENTRIES_BYTES_MAX {
        return Err(InvalidToc::Malformed("more entries than a stripe has"));
    }
    if before.len() < length {
        return Err(InvalidToc::Longer { bytes: length + TRAILER_BYTES });
    }
    let entries = &before[before.len() - length..];
    if checksum(entries, trailer) != trailer[CHECKSUM_AT..] {
        return Err(InvalidToc::Malformed("checksum"));
    }
    if trailer[24..40] != stripe.0.to_bytes() {
        return Err(InvalidToc::Malformed("of another stripe"));
    }
    // What follows was written so, for the checksum fits; it is read with as little trust all the same.
    let mut decoder = minicbor::Decoder::new(entries);
    let mut read: Vec<TocEntry> = Vec::with_capacity(count);
    let mut used: Range<u64> = 0..0;
    for _ in 0..count {
        let entry: TocEntry = decoder.decode().map_err(|_| InvalidToc::Malformed("entry"))?;
        if entry.offset < used.end || entry.length > EXTENT_BYTES_MAX {
            return Err(InvalidToc::Malformed("extents that overlap or are too long"));
        }
        let end = entry.offset.checked_add(entry.length).ok_or(InvalidToc::Malformed("extent without end"))?;
        used = entry.offset..end;
        read.push(entry);
    }
    if decoder.position() != entries.len() {
        return Err(InvalidToc::Malformed("bytes behind the last entry"));
    }
    Ok(read)
}

/// Reads a table of contents from bytes that lie in parts.
pub(crate) fn read_toc_parts(stripe: StripeId, tail: &[Bytes]) -> Result<Vec<TocEntry>, InvalidToc> {
    match tail {
        [whole] => read_toc(stripe, whole),
        parts => read_toc(stripe, &parts.concat()),
    }
}

fn checksum(entries: &[u8], trailer: &[u8; TRAILER_BYTES]) -> [u8; CHECKSUM_BYTES] {
    let mut hasher = blake3::Hasher::new_derive_key("cairn 2026 stripe table of contents v1");
    hasher.update(entries).update(&trailer[..CHECKSUM_AT]);
    let mut kept = [0; CHECKSUM_BYTES];
    kept.copy_from_slice(&hasher.finalize().as_bytes()[..CHECKSUM_BYTES]);
    kept
}

#[cfg(test)]
mod tests;
