//! What is configured for a bucket beside its versioning: one row for each kind of thing, so that a write, which looks at
//! the bucket, does not carry it all along.

use cairn_core::BucketId;
use minicbor::{Decode, Encode};

use crate::row::{Row, Table, cbor_row};

/// The most bytes of one configuration.
pub const CONFIG_BYTES_MAX: usize = 64 * 1024;

/// The kinds of things that can be configured. Numbers are never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
#[repr(u8)]
pub enum ConfigKind {
    /// Tags of the bucket.
    #[n(1)]
    Tags = 1,
}

impl ConfigKind {
    /// All kinds.
    pub const ALL: &[Self] = &[Self::Tags];

    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| *kind as u8 == byte)
    }
}

/// One configuration.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum BucketConfig {
    /// Names and values, sorted by name; at most 50.
    #[n(1)]
    Tags(#[n(0)] Vec<(String, String)>),
}

impl BucketConfig {
    /// Of which kind it is.
    pub fn kind(&self) -> ConfigKind {
        match self {
            Self::Tags(_) => ConfigKind::Tags,
        }
    }
}

/// A configuration of a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct BucketConfigRow {
    /// What it says.
    #[n(0)]
    pub config: BucketConfig,
}

impl Row for BucketConfigRow {
    const TABLE: Table = Table::BucketConfig;
    type Key = (BucketId, ConfigKind);

    fn write_key((bucket, kind): &Self::Key, out: &mut Vec<u8>) {
        out.extend_from_slice(&bucket.to_bytes());
        out.push(*kind as u8);
    }

    fn read_key(bytes: &[u8]) -> Option<Self::Key> {
        let (bucket, kind) = bytes.split_at_checked(BucketId::BYTES)?;
        let &[kind] = kind else { return None };
        Some((BucketId::from_bytes(bucket.try_into().ok()?), ConfigKind::from_byte(kind)?))
    }

    fn weight(&self) -> usize {
        match &self.config {
            BucketConfig::Tags(tags) => {
                64 + tags.iter().map(|(name, value)| name.len() + value.len() + 7).sum::<usize>()
            }
        }
    }

    cbor_row!();
}
