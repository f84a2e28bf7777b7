//! Where a record lies. Owners keep places in their indexes; nothing but this crate takes them apart.

use std::fmt;

use crate::format::BLOCK_BYTES;

/// A record's place: which segment, where it begins there, how long it is without padding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The ordinal of the segment.
    pub segment: u32,
    /// Where the envelope begins: a multiple of the block.
    pub offset: u64,
    /// Envelope, name, head and body together, in bytes.
    pub length: u64,
}

impl Place {
    /// How many bytes the binary form has.
    pub const BYTES: usize = 20;

    /// Segment, offset, length, big-endian: byte order is the order of places.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&self.segment.to_be_bytes());
        bytes[4..12].copy_from_slice(&self.offset.to_be_bytes());
        bytes[12..].copy_from_slice(&self.length.to_be_bytes());
        bytes
    }

    /// The inverse of [`Self::to_bytes`]; `None` for any other length.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::BYTES] = bytes.try_into().ok()?;
        Some(Self {
            segment: u32::from_be_bytes(bytes[..4].try_into().ok()?),
            offset: u64::from_be_bytes(bytes[4..12].try_into().ok()?),
            length: u64::from_be_bytes(bytes[12..].try_into().ok()?),
        })
    }

    /// What the record takes on the device: its length rounded up to whole blocks.
    pub fn stored_bytes(&self) -> u64 {
        self.length.next_multiple_of(BLOCK_BYTES)
    }

    /// Where the next record may begin.
    pub fn end(&self) -> u64 {
        self.offset + self.stored_bytes()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "segment {} offset {} length {}", self.segment, self.offset, self.length)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
