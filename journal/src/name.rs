//! The name of a record: bytes that mean something to the journal's owner alone.
//!
//! A name travels with its record wherever the record is mentioned (group header, envelope, footer), so that a record
//! can be named when it is damaged, and so that whoever reads or punches a place can prove that it is the right one.

use std::fmt;
use std::hash::{Hash, Hasher};

/// 1 to 64 bytes, chosen by the owner. Kept inline: naming a record costs no allocation.
#[derive(Clone, Copy)]
pub struct RecordName {
    length: u8,
    bytes: [u8; RecordName::BYTES_MAX],
}

impl RecordName {
    /// The longest name.
    pub const BYTES_MAX: usize = 64;

    /// A name that the owner knows to be of proper length.
    ///
    /// Panics when it is empty or longer than [`Self::BYTES_MAX`]: owners choose names of fixed shape.
    pub fn new(name: &[u8]) -> Self {
        Self::from_slice(name).expect("a record's name has 1 to 64 bytes")
    }

    /// A name from bytes of unknown origin; `None` when they are too few or too many.
    pub fn from_slice(name: &[u8]) -> Option<Self> {
        if name.is_empty() || name.len() > Self::BYTES_MAX {
            return None;
        }
        let mut bytes = [0; Self::BYTES_MAX];
        bytes[..name.len()].copy_from_slice(name);
        Some(Self { length: name.len() as u8, bytes })
    }

    /// The bytes as the owner gave them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length as usize]
    }
}

impl PartialEq for RecordName {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for RecordName {}

impl PartialOrd for RecordName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for RecordName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for RecordName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Display for RecordName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RecordName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {self}")
    }
}
