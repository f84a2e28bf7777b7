//! The footer of a sealed segment: a line about every record, so that a start need not read the segment. It ends with
//! the file: the trailer is found there, and says how long the footer is.

use super::fields::Fields;
use super::{BLOCK_BYTES, CHECKSUM_BYTES, Entry, Look, SegmentKey, VERSION, checksum, whole_blocks};
use crate::options::OwnerKind;

const MAGIC: [u8; 8] = *b"CAIRNEND";
const CONTEXT: &str = "cairn 2026 journal footer v1";
const SUMMED: usize = 80;

/// The fixed part at the very end of the file.
const FOOTER_TRAILER_BYTES: usize = SUMMED + CHECKSUM_BYTES;

/// The fixed part of a footer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trailer {
    pub key: SegmentKey,
    pub owner: OwnerKind,
    /// Where the footer begins: where records end.
    pub offset: u64,
    /// The number of the record that would have come next.
    pub next_sequence: u64,
    pub count: u32,
    pub entries_bytes: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Footer {
    pub trailer: Trailer,
    pub entries: Vec<Entry>,
}

impl Footer {
    /// What a footer takes, whose entries take so many bytes.
    pub fn stored_bytes(entries_bytes: usize) -> u64 {
        whole_blocks((entries_bytes + FOOTER_TRAILER_BYTES) as u64)
    }

    /// Whole blocks: entries, zeros, trailer.
    pub fn encode(key: SegmentKey, owner: OwnerKind, offset: u64, next_sequence: u64, entries: &[Entry]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for entry in entries {
            entry.encode(&mut bytes);
        }
        let entries_bytes = bytes.len();
        let mut fixed = Vec::with_capacity(FOOTER_TRAILER_BYTES);
        fixed.extend_from_slice(&MAGIC);
        fixed.push(VERSION);
        fixed.extend_from_slice(&[0; 3]);
        fixed.extend_from_slice(&key.ordinal.to_be_bytes());
        fixed.extend_from_slice(&key.nonce);
        fixed.extend_from_slice(&owner.0);
        fixed.extend_from_slice(&offset.to_be_bytes());
        fixed.extend_from_slice(&next_sequence.to_be_bytes());
        fixed.extend_from_slice(&(entries.len() as u32).to_be_bytes());
        fixed.extend_from_slice(&(entries_bytes as u32).to_be_bytes());
        fixed.resize(SUMMED, 0);
        let sum = checksum(CONTEXT, &[&fixed, &bytes]);
        fixed.extend_from_slice(&sum);
        bytes.resize(Self::stored_bytes(entries_bytes) as usize - fixed.len(), 0);
        bytes.extend_from_slice(&fixed);
        bytes
    }

    /// Whether the last block of a file may end in a trailer, and where the footer would begin then. Nothing is believed
    /// yet, but the footer is known to lie inside the file.
    pub fn peek(last_block: &[u8], file_bytes: u64) -> Option<u64> {
        assert_eq!(last_block.len(), BLOCK_BYTES as usize);
        let trailer = &last_block[last_block.len() - FOOTER_TRAILER_BYTES..];
        if trailer[..8] != MAGIC {
            return None;
        }
        let entries_bytes = Fields(&trailer[60..]).u32()?;
        let start = file_bytes.checked_sub(Self::stored_bytes(entries_bytes as usize))?;
        (start >= BLOCK_BYTES).then_some(start)
    }

    /// Judges a footer that begins at `offset` and ends with the file.
    pub fn decode(bytes: &[u8], ordinal: u32, offset: u64) -> Look<Self> {
        let Some(trailer_at) = bytes.len().checked_sub(FOOTER_TRAILER_BYTES) else { return Look::Bad };
        let (front, trailer) = bytes.split_at(trailer_at);
        if trailer[..8] != MAGIC {
            return Look::Bad;
        }
        let entries_bytes = Fields(&trailer[60..]).u32().unwrap_or(u32::MAX) as usize;
        let Some(entries) = front.get(..entries_bytes) else { return Look::Bad };
        if trailer[SUMMED..] != checksum(CONTEXT, &[&trailer[..SUMMED], entries]) {
            return Look::Bad;
        }
        if trailer[8] > VERSION {
            return Look::Newer(trailer[8]);
        }
        match Self::fields(&trailer[8..SUMMED], entries) {
            Some(footer) if footer.trailer.key.ordinal == ordinal && footer.trailer.offset == offset => {
                Look::Sound(footer)
            }
            _ => Look::Bad,
        }
    }

    fn fields(fixed: &[u8], entries: &[u8]) -> Option<Self> {
        let mut fields = Fields(fixed);
        let version = fields.u8()?;
        fields.zeros(3)?;
        let key = SegmentKey { ordinal: fields.u32()?, nonce: fields.array()? };
        let owner = OwnerKind(fields.array()?);
        let (offset, next_sequence) = (fields.u64()?, fields.u64()?);
        let (count, entries_bytes) = (fields.u32()?, fields.u32()?);
        fields.zeros(16)?;
        let entries = Entry::decode_list(entries, count as usize, BLOCK_BYTES..offset)?;
        let trailer = Trailer { key, owner, offset, next_sequence, count, entries_bytes };
        (version == VERSION).then_some(Self { trailer, entries })
    }
}
