//! A run's header, footer and trailer as bytes: pure encoding and decoding with every length checked. The offsets are
//! listed in `docs/formats/runs.md`.

use core::fmt;
use core::ops::Range;

use bytes::{Buf, BufMut, Bytes};
use cairn_core::LogIndex;
use minicbor::{Decode, Encode};

use super::block::BLOCK_BYTES_MAX;
use crate::bounds::KEY_BYTES_MAX;
use crate::filter::{FILTER_BYTES_MAX, Filter};
use crate::run_set::RunId;

/// The version of the layout that is written.
pub const RUN_FORMAT_VERSION: u16 = 1;
/// How long the header is.
pub const HEADER_BYTES: usize = 64;
/// How long the trailer is.
pub const TRAILER_BYTES: usize = 64;
/// The longest footer that is read. At some 2.5 % of a run that is a run of 40 GiB.
pub const FOOTER_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// How many bytes of a block's blake3 are kept.
pub const BLOCK_HASH_BYTES: usize = 16;

const HEADER_MAGIC: [u8; 8] = *b"CAIRNRUN";
const TRAILER_MAGIC: [u8; 8] = *b"CAIRNEND";
const HEADER_CHECKED_BYTES: usize = HEADER_BYTES - BLOCK_HASH_BYTES;
const FOOTER_FIXED_BYTES: usize = 32;
const CHECKSUM_BYTES: usize = 8;
const CHECKSUM_AT: usize = 4;
const HASH_AT: usize = CHECKSUM_AT + CHECKSUM_BYTES;
const SEPARATOR_AT: usize = HASH_AT + BLOCK_HASH_BYTES;
const BLOCK_FIXED_BYTES: usize = SEPARATOR_AT + 2;

/// The hash of a whole run: blake3 over header and footer, which holds the hash of every block.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RunHash(pub [u8; 32]);

impl fmt::Debug for RunHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl<C> Encode<C> for RunHash {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for RunHash {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let bytes = d.bytes()?.try_into();
        bytes.map(Self).map_err(|_| minicbor::decode::Error::message("a run's hash has 32 bytes"))
    }
}

/// Why a file is not the run that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum RunRefusal {
    /// No such file. Look elsewhere.
    #[error("it is not there")]
    Missing,
    /// The device failed. Look elsewhere; the drive's owner counts it.
    #[error("it cannot be read: {0}")]
    Io(#[source] std::io::Error),
    /// Not a run at all.
    #[error("it is not a run: {0}")]
    Foreign(&'static str),
    /// Written by a later release. Nothing is wrong with it: start that release.
    #[error("it is a run of format version {found}, this release knows up to {RUN_FORMAT_VERSION}")]
    Newer {
        /// The version that stands there.
        found: u16,
    },
    /// A run whose bytes are not what was written, or not all there. Replace the copy.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// A sound run, but another one than was asked for.
    #[error("it is another run than its name says")]
    Other,
}

/// Which run a file says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub id: RunId,
    /// It holds what the log wrote behind this index...
    pub after: LogIndex,
    /// ...up to this one.
    pub index: LogIndex,
}

fn truncated_hash(bytes: &[u8]) -> [u8; BLOCK_HASH_BYTES] {
    let hash = blake3::hash(bytes);
    *hash.as_bytes().first_chunk().expect("a blake3 hash has 32 bytes")
}

/// The hash of a block as the footer keeps it.
pub fn block_hash(block: &[u8]) -> [u8; BLOCK_HASH_BYTES] {
    truncated_hash(block)
}

/// The checksum of a block as the footer keeps it: CRC-64/NVME. It finds what devices and wires do, in a tenth of the time
/// that a hash of so few bytes takes; a lookup that has to read a block would spend most of its time in the hash.
pub fn block_checksum(block: &[u8]) -> u64 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, block)
}

/// The hash of a run.
pub fn run_hash(header: &[u8; HEADER_BYTES], footer: &[u8]) -> RunHash {
    RunHash(*blake3::Hasher::new().update(header).update(footer).finalize().as_bytes())
}

impl Header {
    /// As bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&HEADER_MAGIC);
        bytes[8..10].copy_from_slice(&RUN_FORMAT_VERSION.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.id.0.to_be_bytes());
        bytes[24..32].copy_from_slice(&self.after.0.to_be_bytes());
        bytes[32..40].copy_from_slice(&self.index.0.to_be_bytes());
        let hash = truncated_hash(&bytes[..HEADER_CHECKED_BYTES]);
        bytes[HEADER_CHECKED_BYTES..].copy_from_slice(&hash);
        bytes
    }

    /// The inverse of [`Self::encode`]. The version is looked at before the checksum, whose place a later version may
    /// have changed.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, RunRefusal> {
        if bytes[..8] != HEADER_MAGIC {
            return Err(RunRefusal::Foreign("it does not begin as one"));
        }
        check_version(u16::from_be_bytes([bytes[8], bytes[9]]))?;
        if truncated_hash(&bytes[..HEADER_CHECKED_BYTES]) != bytes[HEADER_CHECKED_BYTES..] {
            return Err(RunRefusal::Damaged("its header"));
        }
        let mut fields = &bytes[16..40];
        let header =
            Self { id: RunId(fields.get_u64()), after: LogIndex(fields.get_u64()), index: LogIndex(fields.get_u64()) };
        if header.after >= header.index || bytes[10..16] != [0; 6] || bytes[40..48] != [0; 8] {
            return Err(RunRefusal::Damaged("its header makes no sense"));
        }
        Ok(header)
    }
}

fn check_version(found: u16) -> Result<(), RunRefusal> {
    match found {
        RUN_FORMAT_VERSION => Ok(()),
        0 => Err(RunRefusal::Damaged("a format version of zero")),
        found => Err(RunRefusal::Newer { found }),
    }
}

/// What stands at the very end of a run: where its footer is, and the run's hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trailer {
    /// Where the footer begins.
    pub footer_at: u64,
    /// How long it is.
    pub footer_bytes: u64,
    /// The run's hash.
    pub hash: RunHash,
}

impl Trailer {
    /// As bytes.
    pub fn encode(&self) -> [u8; TRAILER_BYTES] {
        let mut bytes = [0; TRAILER_BYTES];
        bytes[..8].copy_from_slice(&TRAILER_MAGIC);
        bytes[8..10].copy_from_slice(&RUN_FORMAT_VERSION.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.footer_at.to_be_bytes());
        bytes[24..32].copy_from_slice(&self.footer_bytes.to_be_bytes());
        bytes[32..].copy_from_slice(&self.hash.0);
        bytes
    }

    /// The inverse of [`Self::encode`], for a file of so many bytes.
    pub fn decode(bytes: &[u8; TRAILER_BYTES], file_bytes: u64) -> Result<Self, RunRefusal> {
        if bytes[..8] != TRAILER_MAGIC {
            return Err(RunRefusal::Damaged("it does not end as a run"));
        }
        check_version(u16::from_be_bytes([bytes[8], bytes[9]]))?;
        let mut fields = &bytes[16..32];
        let (footer_at, footer_bytes) = (fields.get_u64(), fields.get_u64());
        let hash = RunHash(*bytes[32..].first_chunk().expect("a trailer's second half has 32 bytes"));
        let end = footer_at.checked_add(footer_bytes).and_then(|end| end.checked_add(TRAILER_BYTES as u64));
        if end != Some(file_bytes) || footer_at < HEADER_BYTES as u64 || bytes[10..16] != [0; 6] {
            return Err(RunRefusal::Damaged("its trailer does not fit the file"));
        }
        if !(FOOTER_FIXED_BYTES as u64..=FOOTER_BYTES_MAX).contains(&footer_bytes) {
            return Err(RunRefusal::Damaged("a footer of impossible length"));
        }
        Ok(Self { footer_at, footer_bytes, hash })
    }
}

/// Gathers what a footer says about each block.
#[derive(Debug, Default)]
pub struct FooterBuilder {
    table: Vec<u8>,
    blocks: u32,
}

impl FooterBuilder {
    /// Adds the next block: `separator` is greater than every key before the block and not greater than its first.
    pub fn add_block(&mut self, block: &[u8], separator: &[u8]) {
        self.table.put_u32(u32::try_from(block.len()).expect("a block has a bounded length"));
        self.table.put_u64(block_checksum(block));
        self.table.put_slice(&block_hash(block));
        self.table.put_u16(u16::try_from(separator.len()).expect("a key has a bounded length"));
        self.table.put_slice(separator);
        self.blocks += 1;
    }

    /// The footer's bytes.
    pub fn finish(self, entries: u64, removals: u64, filter: &[u8]) -> Vec<u8> {
        let mut footer = Vec::with_capacity(FOOTER_FIXED_BYTES + self.table.len() + filter.len());
        footer.put_u64(entries);
        footer.put_u64(removals);
        footer.put_u32(self.blocks);
        footer.put_u32(u32::try_from(filter.len()).expect("a filter has a bounded length"));
        footer.put_u64(0);
        footer.put_slice(&self.table);
        footer.put_slice(filter);
        footer
    }
}

/// A footer, checked and ready to be searched: what stays in memory of a run.
#[derive(Debug)]
pub struct Footer {
    /// How many rows, removals among them.
    pub entries: u64,
    /// How many of them say that a row was removed.
    pub removals: u64,
    /// Answers for most keys that the run does not hold.
    pub filter: Filter,
    bytes: Bytes,
    /// Where in `bytes` each block's entry stands. Apart from the offsets, so that a search finds more of it in the
    /// processor's cache.
    entries_at: Vec<u32>,
    /// Where in the file each block begins.
    offsets: Vec<u64>,
}

impl Footer {
    /// Takes a footer apart; `blocks_end` is where it begins in the file, and so where the blocks end.
    pub fn decode(bytes: Bytes, blocks_end: u64) -> Result<Self, RunRefusal> {
        let damaged = RunRefusal::Damaged;
        if bytes.len() < FOOTER_FIXED_BYTES || bytes.len() as u64 > FOOTER_BYTES_MAX {
            return Err(damaged("a footer of impossible length"));
        }
        let mut head = &bytes[..FOOTER_FIXED_BYTES];
        let (entries, removals) = (head.get_u64(), head.get_u64());
        let (count, filter_bytes) = (head.get_u32() as usize, head.get_u32() as usize);
        let table_bytes = bytes.len() - FOOTER_FIXED_BYTES;
        if filter_bytes > FILTER_BYTES_MAX || filter_bytes > table_bytes {
            return Err(damaged("a filter of impossible length"));
        }
        let table_end = bytes.len() - filter_bytes;
        if count > table_bytes / BLOCK_FIXED_BYTES || removals > entries || head.get_u64() != 0 {
            return Err(damaged("its footer makes no sense"));
        }
        let filter = Filter::from_bytes(bytes.slice(table_end..)).ok_or(damaged("a filter of impossible length"))?;
        let (mut entries_at, mut offsets) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let (mut at, mut offset) = (FOOTER_FIXED_BYTES, HEADER_BYTES as u64);
        for _ in 0..count {
            if at + BLOCK_FIXED_BYTES > table_end {
                return Err(damaged("a table of blocks that is cut off"));
            }
            let length = (&bytes[at..]).get_u32();
            let separator = usize::from((&bytes[at + SEPARATOR_AT..]).get_u16());
            if length as usize > BLOCK_BYTES_MAX || separator > KEY_BYTES_MAX {
                return Err(damaged("a block or a key of impossible length"));
            }
            entries_at.push(u32::try_from(at).map_err(|_| damaged("a footer of impossible length"))?);
            offsets.push(offset);
            offset += u64::from(length);
            at += BLOCK_FIXED_BYTES + separator;
        }
        if at != table_end || offset != blocks_end {
            return Err(damaged("a table of blocks that does not fit the file"));
        }
        Ok(Self { entries, removals, filter, bytes, entries_at, offsets })
    }

    /// How many blocks.
    pub fn blocks(&self) -> usize {
        self.offsets.len()
    }

    /// The bytes that it was decoded from.
    pub fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// How much memory it takes.
    pub fn memory_bytes(&self) -> usize {
        self.bytes.len() + self.blocks() * (size_of::<u32>() + size_of::<u64>())
    }

    /// Where a block lies in the file.
    pub fn place(&self, number: usize) -> Range<u64> {
        let offset = self.offsets[number];
        offset..offset + u64::from(self.entry(number).get_u32())
    }

    fn entry(&self, number: usize) -> &[u8] {
        &self.bytes[self.entries_at[number] as usize..]
    }

    /// What a block's bytes sum up to: checked whenever it is read.
    pub fn checksum(&self, number: usize) -> u64 {
        (&self.entry(number)[CHECKSUM_AT..]).get_u64()
    }

    /// What a block's bytes hash to: checked when a whole copy is.
    pub fn hash(&self, number: usize) -> &[u8] {
        &self.entry(number)[HASH_AT..SEPARATOR_AT]
    }

    fn separator(&self, number: usize) -> &[u8] {
        let entry = &self.entry(number)[SEPARATOR_AT..];
        &entry[2..2 + usize::from(u16::from_be_bytes([entry[0], entry[1]]))]
    }

    /// The block that holds a key if any does; for a key before the first one, the first. `None` where there are no
    /// blocks.
    pub fn block_for(&self, key: &[u8]) -> Option<usize> {
        let (mut low, mut high) = (0, self.blocks());
        while low < high {
            let middle = low.midpoint(high);
            if self.separator(middle) <= key { low = middle + 1 } else { high = middle }
        }
        (self.blocks() > 0).then(|| low.saturating_sub(1))
    }
}

/// The shortest key that is greater than `before` and not greater than `first`.
pub fn separator<'a>(before: &[u8], first: &'a [u8]) -> &'a [u8] {
    assert!(before < first, "keys grow");
    let same = before.iter().zip(first).take_while(|(a, b)| a == b).count();
    &first[..same + 1]
}

#[cfg(test)]
mod tests;
