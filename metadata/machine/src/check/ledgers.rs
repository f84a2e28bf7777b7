//! Invariant 11: the ledgers balance, recomputed from scratch.

use std::collections::BTreeMap;

use cairn_core::{BucketId, DriveId};

use super::Loaded;
use crate::rows::bucket::BucketLedgerRow;
use crate::rows::extent::ExtentPlace;
use crate::rows::here::HereLedgerRow;
use crate::rows::topology::DriveLedgerRow;

/// Each bucket's ledger counts its objects, versions and bytes.
pub(super) fn bucket_ledgers_balance(rows: &Loaded, found: &mut Vec<String>) {
    let mut counted: BTreeMap<BucketId, BucketLedgerRow> =
        rows.buckets.keys().map(|id| (*id, BucketLedgerRow::default())).collect();
    for ((bucket, _), row) in &rows.newest {
        counted.entry(*bucket).or_default().objects += u64::from(row.object().is_some());
    }
    for (bucket, row) in rows.versions() {
        let ledger = counted.entry(bucket).or_default();
        ledger.versions += 1;
        ledger.bytes += row.object().map_or(0, |(attributes, _)| attributes.size);
    }
    compare(&counted, &rows.bucket_ledgers, found);
}

/// Each drive's ledger counts the chunks that stripes have on it, and its garbage.
pub(super) fn drive_ledgers_balance(rows: &Loaded, found: &mut Vec<String>) {
    let mut counted: BTreeMap<DriveId, DriveLedgerRow> =
        rows.drives.keys().map(|id| (*id, DriveLedgerRow::default())).collect();
    for stripe in rows.stripes.values() {
        for placed in &stripe.positions {
            let ledger = counted.entry(placed.drive).or_default();
            ledger.chunks += 1;
            ledger.bytes += u64::from(stripe.shape.chunk_bytes);
        }
    }
    for row in rows.garbage.values() {
        let ledger = counted.entry(row.drive).or_default();
        ledger.garbage_chunks += 1;
        ledger.garbage_bytes += u64::from(row.bytes);
    }
    compare(&counted, &rows.drive_ledgers, found);
}

/// What stands in the metadata is found and counted.
pub(super) fn here_balances(rows: &Loaded, found: &mut Vec<String>) {
    let mut counted = HereLedgerRow::default();
    for (id, extent) in &rows.extents {
        let here = matches!(extent.place, ExtentPlace::Here { .. });
        if here != rows.here.contains_key(id) {
            found.push(format!("{id:?} stands here is {here}, and its row says otherwise"));
        }
        if here {
            counted.extents += 1;
            counted.bytes += u64::from(extent.length);
        }
    }
    for id in rows.here.keys().filter(|id| !rows.extents.contains_key(id)) {
        found.push(format!("{id:?} is to stand here and is not there"));
    }
    let says = rows.here_ledger;
    if says.unwrap_or_default() != counted || says.is_some_and(|ledger| ledger.extents == 0) {
        found.push(format!("the ledger says that {says:?} stands here, and there is {counted:?}"));
    }
}

pub(super) fn compare<K: Ord + core::fmt::Debug, L: PartialEq + core::fmt::Debug>(
    counted: &BTreeMap<K, L>,
    kept: &BTreeMap<K, L>,
    found: &mut Vec<String>,
) {
    for (id, counted) in counted {
        let kept = kept.get(id);
        if kept != Some(counted) {
            found.push(format!("{id:?}: the ledger says {kept:?}, and there is {counted:?}"));
        }
    }
    for id in kept.keys().filter(|id| !counted.contains_key(id)) {
        found.push(format!("a ledger of {id:?}, which is not there"));
    }
}
