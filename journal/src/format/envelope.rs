//! What stands before a record's bytes. It binds name and head to their place, and is bound to its segment, so that it
//! can be found and believed even when the header of its group is lost.

use bytes::Bytes;
use cairn_core::WallTime;

use super::fields::Fields;
use super::{CHECKSUM_BYTES, Entry, EntryKind, Look, SegmentKey, VERSION, checksum};
use crate::name::RecordName;
use crate::record::{BODY_BYTES_MAX, HEAD_BYTES_MAX};

const MAGIC: [u8; 8] = *b"CAIRNREC";
const CONTEXT: &str = "cairn 2026 journal record envelope v1";
const SUMMED: usize = 64;

/// What an envelope takes beside name and head.
pub(crate) const ENVELOPE_BYTES: usize = SUMMED + CHECKSUM_BYTES;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub name: RecordName,
    pub offset: u64,
    pub sequence: u64,
    pub written: WallTime,
    pub head_bytes: u32,
    pub body_bytes: u32,
}

impl Envelope {
    /// Envelope, name and head in one piece: everything before the body.
    pub fn encode(&self, key: &SegmentKey, head: &[u8]) -> Bytes {
        assert_eq!(head.len(), self.head_bytes as usize);
        let name = self.name.as_bytes();
        let mut bytes = Vec::with_capacity(ENVELOPE_BYTES + name.len() + head.len());
        bytes.extend_from_slice(&MAGIC);
        bytes.push(VERSION);
        bytes.push(name.len() as u8);
        bytes.extend_from_slice(&[0; 2]);
        bytes.extend_from_slice(&key.ordinal.to_be_bytes());
        bytes.extend_from_slice(&key.nonce);
        bytes.extend_from_slice(&self.offset.to_be_bytes());
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        bytes.extend_from_slice(&self.written.0.to_be_bytes());
        bytes.extend_from_slice(&self.head_bytes.to_be_bytes());
        bytes.extend_from_slice(&self.body_bytes.to_be_bytes());
        assert_eq!(bytes.len(), SUMMED);
        let sum = checksum(CONTEXT, &[&bytes, name, head]);
        bytes.extend_from_slice(&sum);
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(head);
        Bytes::from(bytes)
    }

    /// How many bytes must be read to judge the record that begins like this: envelope, name and head. Nothing is
    /// believed yet, but what is returned is bounded.
    pub fn peek(front: &[u8]) -> Look<usize> {
        if front.len() < ENVELOPE_BYTES {
            return Look::Bad;
        }
        if front[..ENVELOPE_BYTES].iter().all(|&byte| byte == 0) {
            return Look::Zero;
        }
        let head_bytes = Fields(&front[56..]).u32().unwrap_or(u32::MAX) as usize;
        if front[..8] != MAGIC || front[9] as usize > RecordName::BYTES_MAX || head_bytes > HEAD_BYTES_MAX {
            return Look::Bad;
        }
        Look::Sound(ENVELOPE_BYTES + front[9] as usize + head_bytes)
    }

    /// Judges what stands at `offset` of a segment; `bytes` must hold what [`Self::peek`] asked for.
    pub fn decode(bytes: &[u8], key: &SegmentKey, offset: u64) -> Look<Self> {
        let length = match Self::peek(bytes) {
            Look::Sound(length) if length <= bytes.len() => length,
            Look::Zero => return Look::Zero,
            _ => return Look::Bad,
        };
        let bound = &bytes[ENVELOPE_BYTES..length];
        if bytes[SUMMED..ENVELOPE_BYTES] != checksum(CONTEXT, &[&bytes[..SUMMED], bound]) {
            return Look::Bad;
        }
        if bytes[8] > VERSION {
            return Look::Newer(bytes[8]);
        }
        match Self::fields(&bytes[8..SUMMED], bound) {
            Some((found, envelope)) if found == *key && envelope.offset == offset => Look::Sound(envelope),
            _ => Look::Bad,
        }
    }

    fn fields(fixed: &[u8], bound: &[u8]) -> Option<(SegmentKey, Self)> {
        let mut fields = Fields(fixed);
        let (version, name_bytes) = (fields.u8()?, fields.u8()?);
        fields.zeros(2)?;
        let key = SegmentKey { ordinal: fields.u32()?, nonce: fields.array()? };
        let (offset, sequence, written) = (fields.u64()?, fields.u64()?, WallTime(fields.u64()?));
        let (head_bytes, body_bytes) = (fields.u32()?, fields.u32()?);
        let name = RecordName::from_slice(bound.get(..name_bytes as usize)?)?;
        let bounded = version == VERSION && body_bytes as usize <= BODY_BYTES_MAX;
        bounded.then_some((key, Self { name, offset, sequence, written, head_bytes, body_bytes }))
    }

    /// Where the body begins, counted from the first byte.
    pub fn body_start(&self) -> u64 {
        crate::record::body_start(&self.name, self.head_bytes as usize)
    }

    /// The line that headers and footers have about this record.
    pub fn entry(&self) -> Entry {
        Entry {
            sequence: self.sequence,
            offset: self.offset,
            length: self.body_start() + u64::from(self.body_bytes),
            head_bytes: self.head_bytes,
            name: Some(self.name),
            kind: EntryKind::Record,
        }
    }
}
