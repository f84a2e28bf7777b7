//! Extents whose bytes stand in the metadata: which there are, and how much they are together. A small write commits its
//! bytes with its operation, and a rewrite moves them into full stripes later; this is how the rewrite finds them, without
//! looking through all extents, and how a writer knows when there are enough.

use cairn_core::{BucketId, ExtentId, ObjectKey, VersionId};
use minicbor::{Decode, Encode};

use crate::row::{Row, Table, cbor_row};
use crate::rows::extent::ExtentRow;

/// An extent whose bytes stand in its row, and the object that brought it: a stripe's table of contents names it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct HereRow {
    /// The bucket.
    #[n(0)]
    pub bucket: BucketId,
    /// The key.
    #[n(1)]
    pub key: ObjectKey,
    /// The version that it came with; none where it came as a part of an upload.
    #[n(2)]
    pub version: Option<VersionId>,
    /// The number of the part, where it came as a part of an upload.
    #[n(3)]
    pub part: Option<u16>,
}

impl Row for HereRow {
    const TABLE: Table = Table::Here;
    type Key = ExtentId;

    fn write_key(key: &ExtentId, out: &mut Vec<u8>) {
        ExtentRow::write_key(key, out);
    }

    fn read_key(bytes: &[u8]) -> Option<ExtentId> {
        ExtentRow::read_key(bytes)
    }

    fn weight(&self) -> usize {
        48 + self.key.as_str().len()
    }

    cbor_row!();
}

/// How much stands in the metadata. No row while nothing does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
pub struct HereLedgerRow {
    /// How many extents.
    #[n(0)]
    pub extents: u64,
    /// Their bytes.
    #[n(1)]
    pub bytes: u64,
}

impl Row for HereLedgerRow {
    const TABLE: Table = Table::HereLedger;
    type Key = ();

    fn write_key(_: &(), _: &mut Vec<u8>) {}

    fn read_key(bytes: &[u8]) -> Option<()> {
        bytes.is_empty().then_some(())
    }

    cbor_row!();
}
