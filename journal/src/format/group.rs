//! The header of a group: what one write brought, and how far everything before it was durable.
//!
//! Its checksum covers the header and the records' names, places and lengths, never their bytes: a record stands or falls
//! by its own checksums.

use super::fields::Fields;
use super::{BLOCK_BYTES, CHECKSUM_BYTES, Entry, Look, SegmentKey, VERSION, checksum, whole_blocks};

const MAGIC: [u8; 8] = *b"CAIRNGRP";
const CONTEXT: &str = "cairn 2026 journal group header v1";
const CLEAN: u8 = 1;
const SUMMED: usize = 80;

/// What a group header takes beside its entries.
const GROUP_FIXED_BYTES: usize = SUMMED + CHECKSUM_BYTES;

/// Up to where a journal was synced, when a group was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct DurableEnd {
    pub segment: u32,
    pub offset: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    pub offset: u64,
    pub first_sequence: u64,
    pub durable: DurableEnd,
    /// Written when the journal was closed; has no records.
    pub clean: bool,
    pub entries: Vec<Entry>,
}

impl Group {
    /// What the header of a group takes, whose entries take so many bytes.
    pub fn header_bytes(entries_bytes: usize) -> u64 {
        whole_blocks((GROUP_FIXED_BYTES + entries_bytes) as u64)
    }

    /// Whole blocks.
    pub fn encode(&self, key: &SegmentKey) -> Vec<u8> {
        assert!(!self.clean || self.entries.is_empty(), "a clean mark has no records");
        let entries_bytes: usize =
            self.entries.iter().map(|entry| Entry::encoded_bytes(entry.name_bytes().len())).sum();
        let header_bytes = Self::header_bytes(entries_bytes) as usize;
        let mut bytes = Vec::with_capacity(header_bytes);
        bytes.extend_from_slice(&MAGIC);
        bytes.push(VERSION);
        bytes.push(if self.clean { CLEAN } else { 0 });
        bytes.extend_from_slice(&[0; 2]);
        bytes.extend_from_slice(&key.ordinal.to_be_bytes());
        bytes.extend_from_slice(&key.nonce);
        bytes.extend_from_slice(&self.offset.to_be_bytes());
        bytes.extend_from_slice(&self.first_sequence.to_be_bytes());
        bytes.extend_from_slice(&self.durable.offset.to_be_bytes());
        bytes.extend_from_slice(&self.durable.segment.to_be_bytes());
        bytes.extend_from_slice(&(self.entries.len() as u32).to_be_bytes());
        bytes.extend_from_slice(&(entries_bytes as u32).to_be_bytes());
        bytes.resize(SUMMED + CHECKSUM_BYTES, 0);
        for entry in &self.entries {
            entry.encode(&mut bytes);
        }
        assert_eq!(bytes.len(), GROUP_FIXED_BYTES + entries_bytes);
        let sum = checksum(CONTEXT, &[&bytes[..SUMMED], &bytes[GROUP_FIXED_BYTES..]]);
        bytes[SUMMED..GROUP_FIXED_BYTES].copy_from_slice(&sum);
        bytes.resize(header_bytes, 0);
        bytes
    }

    /// Whether a block may be the first of a group header, and if so how many bytes the header has. Nothing of it is
    /// believed yet, but the length is bounded by what the segment has left.
    pub fn peek(block: &[u8], left_bytes: u64) -> Option<u64> {
        assert_eq!(block.len(), BLOCK_BYTES as usize);
        if block[..8] != MAGIC {
            return None;
        }
        let entries_bytes = Fields(&block[64..]).u32()?;
        let header_bytes = Self::header_bytes(entries_bytes as usize);
        (header_bytes <= left_bytes).then_some(header_bytes)
    }

    /// Reads a header that stands at `offset` of a segment of `segment_bytes`. The nonce is returned, not compared: it
    /// is how a segment whose own header is damaged is recognised.
    pub fn decode(bytes: &[u8], ordinal: u32, offset: u64, segment_bytes: u64) -> Look<(SegmentKey, Self)> {
        if bytes.len() < GROUP_FIXED_BYTES || bytes[..8] != MAGIC {
            return Look::Bad;
        }
        let entries_bytes = Fields(&bytes[64..]).u32().unwrap_or(u32::MAX) as usize;
        let Some(entries) = bytes[GROUP_FIXED_BYTES..].get(..entries_bytes) else { return Look::Bad };
        if bytes[SUMMED..GROUP_FIXED_BYTES] != checksum(CONTEXT, &[&bytes[..SUMMED], entries]) {
            return Look::Bad;
        }
        if bytes[8] > VERSION {
            return Look::Newer(bytes[8]);
        }
        match Self::fields(&bytes[8..SUMMED], entries, segment_bytes) {
            Some((key, group)) if key.ordinal == ordinal && group.offset == offset => Look::Sound((key, group)),
            _ => Look::Bad,
        }
    }

    fn fields(fixed: &[u8], entries: &[u8], segment_bytes: u64) -> Option<(SegmentKey, Self)> {
        let mut fields = Fields(fixed);
        let (version, flags) = (fields.u8()?, fields.u8()?);
        fields.zeros(2)?;
        let ordinal = fields.u32()?;
        let nonce = fields.array()?;
        let (offset, first_sequence) = (fields.u64()?, fields.u64()?);
        let durable = DurableEnd { offset: fields.u64()?, segment: fields.u32()? };
        let count = fields.u32()? as usize;
        let _entries_bytes = fields.u32()?;
        fields.zeros(12)?;
        let clean = flags == CLEAN;
        let behind_itself = durable > DurableEnd { segment: ordinal, offset };
        if version != VERSION || flags > CLEAN || (clean && count > 0) || offset > segment_bytes || behind_itself {
            return None;
        }
        let records_start = offset + Self::header_bytes(entries.len());
        let entries = Entry::decode_list(entries, count, records_start..segment_bytes)?;
        Some((SegmentKey { ordinal, nonce }, Self { offset, first_sequence, durable, clean, entries }))
    }

    /// Where the next group begins.
    pub fn end(&self) -> u64 {
        let entries_bytes = self.entries.iter().map(|entry| Entry::encoded_bytes(entry.name_bytes().len())).sum();
        self.entries.last().map_or(self.offset + Self::header_bytes(entries_bytes), Entry::end)
    }
}
