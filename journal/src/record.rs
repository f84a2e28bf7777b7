//! A record on its way in ([`Append`]), and as it comes back ([`RecordHead`], [`Record`]).

use bytes::Bytes;
use cairn_core::WallTime;

use crate::format::{BLOCK_BYTES, ENVELOPE_BYTES};
use crate::name::RecordName;
use crate::place::Place;

/// The longest head that an owner may give a record.
pub const HEAD_BYTES_MAX: usize = 1024 * 1024;

/// The longest body.
pub const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A record on its way into the journal. Cheap to clone: bytes are shared.
#[derive(Debug, Clone)]
pub struct Append {
    pub(crate) name: RecordName,
    pub(crate) head: Bytes,
    pub(crate) body: Vec<Bytes>,
    pub(crate) body_bytes: usize,
}

impl Append {
    /// A record. The journal's checksum covers name and head; the body is protected by checksums that the owner puts
    /// into the head, so that no byte is hashed twice. `body` may come in parts.
    ///
    /// Panics when head or body are longer than [`HEAD_BYTES_MAX`] and [`BODY_BYTES_MAX`]: owners bound what they store.
    pub fn new(name: RecordName, head: Bytes, body: Vec<Bytes>) -> Self {
        let body_bytes = body.iter().map(Bytes::len).sum();
        assert!(head.len() <= HEAD_BYTES_MAX, "a head of {} bytes is longer than any", head.len());
        assert!(body_bytes <= BODY_BYTES_MAX, "a body of {body_bytes} bytes is longer than any");
        Self { name, head, body, body_bytes }
    }

    /// The name it was given.
    pub fn name(&self) -> &RecordName {
        &self.name
    }

    /// How long the record will be: the length of its [`Place`].
    pub fn length(&self) -> u64 {
        self.body_start() + self.body_bytes as u64
    }

    /// What it will take on the device.
    pub fn stored_bytes(&self) -> u64 {
        self.length().next_multiple_of(BLOCK_BYTES)
    }

    pub(crate) fn body_start(&self) -> u64 {
        body_start(&self.name, self.head.len())
    }
}

/// Where a body begins in a record with this name and so long a head, counted from the record's first byte. An owner
/// that knows how long its heads are can read a body without reading the head first.
pub fn body_start(name: &RecordName, head_bytes: usize) -> u64 {
    (ENVELOPE_BYTES + name.as_bytes().len() + head_bytes) as u64
}

/// What recovery says of a record that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordInfo {
    /// Its name.
    pub name: RecordName,
    /// Where it lies.
    pub place: Place,
    /// Its number: records are numbered in the order in which they were appended, over all segments.
    pub sequence: u64,
    /// Where its body begins, counted from the record's first byte.
    pub body_start: u64,
}

impl RecordInfo {
    /// How long the body is.
    pub fn body_bytes(&self) -> u64 {
        self.place.length - self.body_start
    }
}

/// A record without its body. The journal's checksum was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordHead {
    /// Name, place, number, and where the body begins.
    pub info: RecordInfo,
    /// When it was appended, by the writer's calendar. For people; nothing is decided by it.
    pub written: WallTime,
    /// The owner's head.
    pub head: Bytes,
}

/// A whole record. Head and name were verified; the body is for the owner to check against its head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Everything before the body.
    pub head: RecordHead,
    /// The owner's bytes, not yet believed.
    pub body: Bytes,
}
