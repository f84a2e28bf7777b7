//! The group: what is written and synced at once. One group is one record of a drive's journal, the same bytes on each
//! of its drives, so that it can be copied unchanged and compared by its digest.
//!
//! ```text
//! journal record   name = 'g', epoch, number     head = version, GroupHead (CBOR)     body = entries, one after the other
//! ```
//! The head is under the journal's checksum. The body is under the hashes in the head, one for each append.

use core::fmt;

use bytes::Bytes;
use cairn_core::EpochId;
use cairn_journal::RecordName;
use minicbor::{Decode, Encode};

use crate::record::RecordHead;

/// The version of a group's head that this release writes, and the newest that it reads.
pub const GROUP_VERSION: u8 = 1;

/// The most bytes of a group's head: a journal takes 1 MiB.
pub const GROUP_HEAD_BYTES_MAX: usize = 1 << 20;

/// The most bytes of entries in one group. A journal takes 64 MiB in one record; a smaller group keeps the latency of
/// those behind it bounded, and still lets the device stream.
pub const GROUP_BODY_BYTES_MAX: usize = 16 << 20;

/// A group's place in the one sequence. Unique within its epoch only: an abandoned tail's numbers are given again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode)]
#[cbor(transparent)]
pub struct GroupNumber(#[n(0)] pub u64);

impl GroupNumber {
    /// Before any group.
    pub const ZERO: Self = Self(0);

    /// The number behind this one. Numbers do not run out: at a million groups a second they last for half a million
    /// years.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The number before this one; zero stays.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for GroupNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for GroupNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "group {self}")
    }
}

/// A group's whole name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupName {
    /// The epoch that it was written under.
    pub epoch: EpochId,
    /// Its place in the sequence.
    pub number: GroupNumber,
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.epoch, self.number)
    }
}

impl fmt::Debug for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "group {self}")
    }
}

/// What a record of a log's journal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoredName {
    /// An epoch's record.
    Epoch(EpochId),
    /// A group.
    Group(GroupName),
}

impl StoredName {
    /// The journal's form: a letter, then ids big-endian.
    pub fn encode(self) -> RecordName {
        let mut bytes = Vec::with_capacity(17);
        match self {
            Self::Epoch(epoch) => {
                bytes.push(b'e');
                bytes.extend_from_slice(&epoch.to_bytes());
            }
            Self::Group(name) => {
                bytes.push(b'g');
                bytes.extend_from_slice(&name.epoch.to_bytes());
                bytes.extend_from_slice(&name.number.0.to_be_bytes());
            }
        }
        RecordName::new(&bytes)
    }

    /// The inverse; `None` for what is no name of this log's.
    pub fn decode(name: &RecordName) -> Option<Self> {
        let (&kind, ids) = name.as_bytes().split_first()?;
        match kind {
            b'e' => Some(Self::Epoch(EpochId::from_bytes(ids.try_into().ok()?))),
            b'g' => {
                let (epoch, number) = ids.split_at_checked(EpochId::BYTES)?;
                Some(Self::Group(GroupName {
                    epoch: EpochId::from_bytes(epoch.try_into().ok()?),
                    number: GroupNumber(u64::from_be_bytes(number.try_into().ok()?)),
                }))
            }
            _ => None,
        }
    }
}

/// What tells two heads apart: 128 bits of blake3 over the head's bytes, which hold the hashes of the body.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct GroupDigest(pub [u8; 16]);

impl GroupDigest {
    /// Of a head's persisted form.
    pub fn of(head: &[u8]) -> Self {
        Self(hash128(head))
    }
}

impl fmt::Debug for GroupDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "digest {:032x}", u128::from_be_bytes(self.0))
    }
}

/// 128 bits of blake3: enough against every accident, and no one who could forge it gets at these files.
pub(crate) fn hash128(bytes: &[u8]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(bytes);
    finish128(&hasher)
}

pub(crate) fn finish128(hasher: &blake3::Hasher) -> [u8; 16] {
    let mut hash = [0; 16];
    hash.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    hash
}

/// What a group says about itself and its records.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct GroupHead {
    /// The epoch that it was written under.
    #[n(0)]
    pub epoch: EpochId,
    /// Its place in the sequence.
    #[n(1)]
    pub number: GroupNumber,
    /// The durable end: the last group that had been acknowledged when this one was formed.
    #[n(2)]
    pub acknowledged: GroupNumber,
    /// The first group that is needed once this one is acknowledged; what is below it may be gone from then on. At most
    /// the one behind the durable end: were it higher, a start that finds this group without those between the durable
    /// end and the floor could not tell a purge from a gap.
    #[n(3)]
    pub floor: GroupNumber,
    /// Its records, in order. Entries' bytes stand in the body, everything else here.
    #[n(4)]
    pub records: Vec<RecordHead>,
}

/// Bytes that are no group's head.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GroupDecodeError {
    /// A newer release wrote it: run that release, or a newer one.
    #[error("a group of the operation log has format version {found}, this release reads up to {GROUP_VERSION}")]
    Newer {
        /// The version found.
        found: u8,
    },
    /// Not the group that was written: take another copy.
    #[error("not a group's head: {0}")]
    Malformed(String),
}

impl GroupHead {
    /// Its whole name.
    pub const fn name(&self) -> GroupName {
        GroupName { epoch: self.epoch, number: self.number }
    }

    /// How long the body is.
    pub fn body_bytes(&self) -> u64 {
        self.records.iter().map(RecordHead::body_bytes).sum()
    }

    /// The persisted form.
    pub fn encode(&self) -> Bytes {
        let mut bytes = vec![GROUP_VERSION];
        minicbor::encode(self, &mut bytes).expect("writing to memory cannot fail");
        assert!(bytes.len() <= GROUP_HEAD_BYTES_MAX, "groups are formed within their bounds");
        bytes.into()
    }

    /// The inverse of [`Self::encode`]. Refuses what a newer release wrote, what is cut short, followed by more or too
    /// large, and what does not hold together.
    pub fn decode(bytes: &[u8]) -> Result<Self, GroupDecodeError> {
        let malformed = |what: &dyn fmt::Display| GroupDecodeError::Malformed(what.to_string());
        if bytes.len() > GROUP_HEAD_BYTES_MAX {
            return Err(malformed(&"too long"));
        }
        let (&version, body) = bytes.split_first().ok_or_else(|| malformed(&"empty"))?;
        if version > GROUP_VERSION {
            return Err(GroupDecodeError::Newer { found: version });
        }
        if version == 0 {
            return Err(malformed(&"version 0"));
        }
        let mut decoder = minicbor::Decoder::new(body);
        let head: Self = decoder.decode().map_err(|e| malformed(&e))?;
        if decoder.position() != body.len() {
            return Err(malformed(&"bytes behind its end"));
        }
        if head.number.0 == 0 || head.number.0 == u64::MAX || head.acknowledged >= head.number {
            return Err(malformed(&"acknowledged before it was written"));
        }
        if head.floor.0 == 0 || head.floor > head.acknowledged.next() {
            return Err(malformed(&"a floor above the durable end"));
        }
        if head.body_bytes() > GROUP_BODY_BYTES_MAX as u64 {
            return Err(malformed(&"too large a body"));
        }
        Ok(head)
    }

    /// Whether a body is the one that this head describes.
    pub fn verify(&self, body: &[u8]) -> bool {
        let mut rest = body;
        for record in &self.records {
            let length = usize::try_from(record.body_bytes()).expect("bounded when it was decoded");
            let Some((mine, behind)) = rest.split_at_checked(length) else { return false };
            if !record.verify(mine) {
                return false;
            }
            rest = behind;
        }
        rest.is_empty()
    }
}

#[cfg(test)]
mod tests;
