//! Buckets: a name that points to an id, and an id under which everything else stands.

use cairn_core::{BucketId, BucketName, LogIndex, WallTime};
use minicbor::{Decode, Encode};

use crate::row::{Row, Table, cbor_row};
use crate::rows::lock::BucketLock;

/// The id of a bucket that an operation of an entry makes: 48 bits of the entry's index, 16 of the operation's place, because
/// one entry may make many. A million entries a second would use the 48 bits up in nine years.
pub fn made_by(index: LogIndex, operation: u16) -> BucketId {
    assert!(index.0 < 1 << 48, "the log is longer than bucket ids reach");
    BucketId(index.0 << 16 | u64::from(operation))
}

/// The inverse of [`made_by`]: where the log says how a bucket is called.
pub fn made_at(bucket: BucketId) -> (LogIndex, u16) {
    (LogIndex(bucket.0 >> 16), u16::try_from(bucket.0 & 0xFFFF).expect("16 bits are left"))
}

/// Whether a bucket keeps what is overwritten and deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Versioning {
    /// Never switched on: one version a key.
    #[n(0)]
    #[default]
    Off,
    /// Every write adds a version.
    #[n(1)]
    Enabled,
    /// Writes replace the null version; older ones stay.
    #[n(2)]
    Suspended,
}

/// A bucket.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct BucketRow {
    /// What people call it.
    #[n(0)]
    pub name: BucketName,
    /// When it was made.
    #[n(1)]
    pub created: WallTime,
    /// Who owns it: a user's id; before there were users, the access key that made it.
    #[n(2)]
    pub owner: String,
    /// Whether versions are kept.
    #[n(3)]
    pub versioning: Versioning,
    /// Whether versions can be locked. Every write looks at it, so it stands here and not among the configurations.
    #[n(4)]
    pub lock: Option<BucketLock>,
}

impl Row for BucketRow {
    const TABLE: Table = Table::Bucket;
    type Key = BucketId;

    fn write_key(key: &BucketId, out: &mut Vec<u8>) {
        out.extend_from_slice(&key.to_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<BucketId> {
        Some(BucketId::from_bytes(bytes.try_into().ok()?))
    }

    fn weight(&self) -> usize {
        80 + self.name.as_str().len() + self.owner.len()
    }

    cbor_row!();
}

/// Which bucket a name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct BucketNameRow {
    /// The bucket.
    #[n(0)]
    pub id: BucketId,
}

impl Row for BucketNameRow {
    const TABLE: Table = Table::BucketName;
    type Key = BucketName;

    fn write_key(key: &BucketName, out: &mut Vec<u8>) {
        out.extend_from_slice(key.as_str().as_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<BucketName> {
        BucketName::new(core::str::from_utf8(bytes).ok()?).ok()
    }

    cbor_row!();
}

/// What a bucket holds. Kept by the same operations that change it (invariant 11).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
pub struct BucketLedgerRow {
    /// Keys whose newest version is an object.
    #[n(0)]
    pub objects: u64,
    /// Versions of all kinds, delete markers included.
    #[n(1)]
    pub versions: u64,
    /// The sizes of all versions.
    #[n(2)]
    pub bytes: u64,
}

impl Row for BucketLedgerRow {
    const TABLE: Table = Table::BucketLedger;
    type Key = BucketId;

    fn write_key(key: &BucketId, out: &mut Vec<u8>) {
        out.extend_from_slice(&key.to_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<BucketId> {
        Some(BucketId::from_bytes(bytes.try_into().ok()?))
    }

    cbor_row!();
}
