//! Bytes that stand in the metadata: found, and counted.

use cairn_core::{BucketId, ExtentId, ObjectKey, VersionId};

use crate::apply::transaction::{Stop, Transaction};
use crate::rows::here::{HereLedgerRow, HereRow};
use crate::source::RowSource;

/// The object that brings an extent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner<'k> {
    /// The bucket.
    pub(crate) bucket: BucketId,
    /// The key.
    pub(crate) key: &'k ObjectKey,
    /// The version that comes with it; none for a part of an upload.
    pub(crate) version: Option<VersionId>,
    /// The part that it comes as.
    pub(crate) part: Option<u16>,
}

/// An extent's bytes stand here from now on.
pub(crate) fn add<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    extent: ExtentId,
    length: u32,
    owner: Owner<'_>,
) -> Result<(), Stop> {
    let Owner { bucket, key, version, part } = owner;
    rows.put(&extent, HereRow { bucket, key: key.clone(), version, part })?;
    let ledger = rows.get::<HereLedgerRow>(&())?.map_or_else(HereLedgerRow::default, |ledger| *ledger);
    rows.put(&(), HereLedgerRow { extents: ledger.extents + 1, bytes: ledger.bytes + u64::from(length) })
}

/// They do no more: the extent has died, or its bytes lie in a stripe.
pub(crate) fn remove<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    extent: ExtentId,
    length: u32,
) -> Result<(), Stop> {
    let less = "invariant 11: the ledger counts every extent that stands here";
    let ledger = *rows.must::<HereLedgerRow>(&())?;
    let extents = ledger.extents.checked_sub(1).expect(less);
    let bytes = ledger.bytes.checked_sub(u64::from(length)).expect(less);
    rows.remove::<HereRow>(&extent)?;
    if extents == 0 {
        assert_eq!(bytes, 0, "{less}");
        rows.remove::<HereLedgerRow>(&())
    } else {
        rows.put(&(), HereLedgerRow { extents, bytes })
    }
}
