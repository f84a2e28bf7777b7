//! One line about one record, as group headers and footers list them: its name, place and lengths.

use super::fields::Fields;
use super::{BLOCK_BYTES, ENVELOPE_BYTES, whole_blocks};
use crate::name::RecordName;
use crate::place::Place;
use crate::record::{HEAD_BYTES_MAX, RecordInfo};

const FIXED_BYTES: usize = 22;

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum EntryKind {
    /// A record that was there when the line was written. It may have been punched since.
    Record = 0,
    /// A record, or bytes, that were not sound any more.
    Damaged = 1,
    /// A record that had been punched. (A header that reads zero may be a written zero, which is no hole: without this
    /// line the next start would take it for a record.)
    Gone = 2,
}

/// What is known of a record without reading it. Only a damaged stretch may be without a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub sequence: u64,
    pub offset: u64,
    pub length: u64,
    pub head_bytes: u32,
    pub name: Option<RecordName>,
    pub kind: EntryKind,
}

impl Entry {
    pub fn encoded_bytes(name_bytes: usize) -> usize {
        FIXED_BYTES + name_bytes
    }

    pub fn name_bytes(&self) -> &[u8] {
        self.name.as_ref().map_or(&[], RecordName::as_bytes)
    }

    pub fn stored_bytes(&self) -> u64 {
        whole_blocks(self.length)
    }

    pub fn end(&self) -> u64 {
        self.offset + self.stored_bytes()
    }

    /// The record, if this is one and neither damaged nor gone.
    pub fn info(&self, segment: u32) -> Option<RecordInfo> {
        let name = self.name.filter(|_| self.kind == EntryKind::Record)?;
        let body_start = crate::record::body_start(&name, self.head_bytes as usize);
        let place = Place { segment, offset: self.offset, length: self.length };
        Some(RecordInfo { name, place, sequence: self.sequence, body_start })
    }

    pub fn encode(&self, bytes: &mut Vec<u8>) {
        assert!(self.offset.is_multiple_of(BLOCK_BYTES), "records begin where blocks begin");
        let block = u32::try_from(self.offset / BLOCK_BYTES).expect("a segment has at most 2^16 blocks");
        let length = u32::try_from(self.length).expect("a record is shorter than a segment, which is below 4 GiB");
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        bytes.extend_from_slice(&block.to_be_bytes());
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&self.head_bytes.to_be_bytes());
        bytes.push(self.kind as u8);
        bytes.push(self.name_bytes().len() as u8);
        bytes.extend_from_slice(self.name_bytes());
    }

    /// Takes one entry from the front; `None` when it makes no sense.
    fn decode(fields: &mut Fields<'_>) -> Option<Self> {
        let sequence = fields.u64()?;
        let offset = u64::from(fields.u32()?) * BLOCK_BYTES;
        let length = u64::from(fields.u32()?);
        let head_bytes = fields.u32()?;
        let kind = fields.u8()?;
        let name_bytes = fields.u8()? as usize;
        let kind = match kind {
            0 => EntryKind::Record,
            1 => EntryKind::Damaged,
            2 => EntryKind::Gone,
            _ => return None,
        };
        let damaged = kind == EntryKind::Damaged;
        let name =
            if damaged && name_bytes == 0 { None } else { Some(RecordName::from_slice(fields.bytes(name_bytes)?)?) };
        let before_body = ENVELOPE_BYTES as u64 + name_bytes as u64 + u64::from(head_bytes);
        let fits = damaged || (head_bytes as usize <= HEAD_BYTES_MAX && length >= before_body);
        (fits && length > 0).then_some(Self { sequence, offset, length, head_bytes, name, kind })
    }

    /// Decodes exactly `count` entries that follow each other inside `range`; `None` when there are more, fewer, or
    /// when they overlap.
    pub fn decode_list(bytes: &[u8], count: usize, range: std::ops::Range<u64>) -> Option<Vec<Self>> {
        if count > bytes.len() / FIXED_BYTES {
            return None;
        }
        let mut fields = Fields(bytes);
        let mut entries = Vec::with_capacity(count);
        let mut at = range.start;
        for _ in 0..count {
            let entry = Self::decode(&mut fields)?;
            if entry.offset < at || entry.end() > range.end {
                return None;
            }
            at = entry.end();
            entries.push(entry);
        }
        fields.is_empty().then_some(entries)
    }
}
