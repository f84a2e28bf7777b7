//! Uploads: found while they are open, taken away when they are not, and counted.

use std::collections::{BTreeMap, BTreeSet};

use cairn_core::BucketId;
use cairn_core::units::PARTS_MAX;

use super::Loaded;
use crate::rows::upload::{BucketUploadsRow, UploadId, UploadLedgerRow};

/// Each part belongs to an upload that is open or retiring, and no upload is both.
pub(super) fn parts_have_an_upload(rows: &Loaded, found: &mut Vec<String>) {
    let mut open = BTreeSet::new();
    for (bucket, key, upload) in rows.uploads.keys() {
        if !rows.buckets.contains_key(bucket) {
            found.push(format!("an upload of {key:?} in {bucket:?}, which is not there"));
        }
        if !open.insert(*upload) {
            found.push(format!("two uploads are called {upload}"));
        }
    }
    for ((upload, number), part) in &rows.parts {
        if *number == 0 || *number > PARTS_MAX {
            found.push(format!("upload {upload} has a part {number}"));
        }
        if !open.contains(upload) && !rows.upload_retirements.contains_key(upload) {
            found.push(format!("part {number} of upload {upload} is reached by nothing"));
        }
        let bytes = rows.bytes_of(&part.content);
        if bytes != part.size {
            found.push(format!("part {number} of upload {upload} has {} bytes and refers to {bytes}", part.size));
        }
    }
    for (upload, retirement) in &rows.upload_retirements {
        if open.contains(upload) {
            found.push(format!("upload {upload} is open and retiring"));
        }
        if rows.parts.range((*upload, 0)..(*upload, retirement.next_part)).next().is_some() {
            found
                .push(format!("upload {upload} has parts below {}, where its retirement stands", retirement.next_part));
        }
    }
}

/// Each upload counts its parts, each bucket its uploads.
pub(super) fn upload_ledgers_balance(rows: &Loaded, found: &mut Vec<String>) {
    let mut uploads: BTreeMap<UploadId, UploadLedgerRow> =
        rows.uploads.keys().map(|(_, _, upload)| (*upload, UploadLedgerRow::default())).collect();
    for ((upload, _), part) in &rows.parts {
        // Those of a retiring upload are counted no more.
        if let Some(ledger) = uploads.get_mut(upload) {
            ledger.parts += 1;
            ledger.bytes += part.size;
        }
    }
    let mut buckets: BTreeMap<BucketId, BucketUploadsRow> = BTreeMap::new();
    for (bucket, _, upload) in rows.uploads.keys() {
        let ledger = buckets.entry(*bucket).or_default();
        ledger.uploads += 1;
        ledger.bytes += uploads.get(upload).map_or(0, |ledger| ledger.bytes);
    }
    // When a part was replaced is no count.
    let counts =
        |(upload, ledger): (&UploadId, &UploadLedgerRow)| (*upload, UploadLedgerRow { replaced: None, ..*ledger });
    super::ledgers::compare(&uploads, &rows.upload_ledgers.iter().map(counts).collect(), found);
    super::ledgers::compare(&buckets, &rows.bucket_uploads, found);
}

/// What is configured is configured for a bucket that is there, and stands under its kind.
pub(super) fn configurations_have_a_bucket(rows: &Loaded, found: &mut Vec<String>) {
    for ((bucket, kind), row) in &rows.bucket_configs {
        if !rows.buckets.contains_key(bucket) || row.config.kind() != *kind {
            found.push(format!("a configuration {kind:?} of {bucket:?}: {:?}", row.config));
        }
    }
}
