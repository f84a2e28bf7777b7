//! All rows, read once and sorted by what they are.

use core::ops::ControlFlow;
use std::collections::BTreeMap;

use cairn_core::{BucketId, BucketName, DriveId, ExtentId, ObjectKey, SessionId, StripeId, VersionId, WriteId};

use crate::operation::OPERATION_BYTES_MAX;
use crate::row::Row;
use crate::rows::bucket::{BucketLedgerRow, BucketNameRow, BucketRow};
use crate::rows::config::{BucketConfigRow, ConfigKind};
use crate::rows::extent::ExtentRow;
use crate::rows::garbage::{GarbageKey, GarbageRow};
use crate::rows::here::{HereLedgerRow, HereRow};
use crate::rows::manifest::{ManifestId, ManifestPageRow, ManifestPartsRow, ManifestRow, RetirementRow};
use crate::rows::object::{Content, ObjectRow, OlderVersionRow};
use crate::rows::session::{LeaseRow, SessionRow, SlotRow};
use crate::rows::spent::SpentWriteRow;
use crate::rows::stripe::{StripeLiveRow, StripeRow};
use crate::rows::topology::{DriveLedgerRow, DriveRow};
use crate::rows::upload::{BucketUploadsRow, PartRow, UploadId, UploadLedgerRow, UploadRetirementRow, UploadRow};
use crate::source::{RowError, RowSource};

/// All rows that a checker looks at.
#[derive(Debug)]
pub struct Loaded {
    pub(super) names: BTreeMap<BucketName, BucketNameRow>,
    pub(super) buckets: BTreeMap<BucketId, BucketRow>,
    pub(super) bucket_ledgers: BTreeMap<BucketId, BucketLedgerRow>,
    pub(super) newest: BTreeMap<(BucketId, ObjectKey), ObjectRow>,
    pub(super) older: BTreeMap<(BucketId, ObjectKey, VersionId), OlderVersionRow>,
    pub(super) manifests: BTreeMap<ManifestId, ManifestRow>,
    pub(super) pages: BTreeMap<(ManifestId, u32), ManifestPageRow>,
    pub(super) parts_pages: BTreeMap<(ManifestId, u32), ManifestPartsRow>,
    pub(super) retirements: BTreeMap<ManifestId, RetirementRow>,
    pub(super) uploads: BTreeMap<(BucketId, ObjectKey, UploadId), UploadRow>,
    pub(super) parts: BTreeMap<(UploadId, u16), PartRow>,
    pub(super) upload_ledgers: BTreeMap<UploadId, UploadLedgerRow>,
    pub(super) upload_retirements: BTreeMap<UploadId, UploadRetirementRow>,
    pub(super) bucket_uploads: BTreeMap<BucketId, BucketUploadsRow>,
    pub(super) bucket_configs: BTreeMap<(BucketId, ConfigKind), BucketConfigRow>,
    pub(super) extents: BTreeMap<ExtentId, ExtentRow>,
    pub(super) stripes: BTreeMap<StripeId, StripeRow>,
    pub(super) lives: BTreeMap<StripeId, StripeLiveRow>,
    pub(super) drives: BTreeMap<DriveId, DriveRow>,
    pub(super) drive_ledgers: BTreeMap<DriveId, DriveLedgerRow>,
    pub(super) here: BTreeMap<ExtentId, HereRow>,
    pub(super) here_ledger: Option<HereLedgerRow>,
    pub(super) garbage: BTreeMap<GarbageKey, GarbageRow>,
    pub(super) sessions: BTreeMap<SessionId, SessionRow>,
    pub(super) slots: BTreeMap<(SessionId, u16), SlotRow>,
    pub(super) spent: BTreeMap<WriteId, SpentWriteRow>,
    pub(super) leases: Vec<LeaseRow>,
    /// Rows longer than any operation may write: key and length.
    pub(super) overlong: Vec<(String, usize)>,
}

impl Loaded {
    /// Reads everything.
    pub fn read(rows: &(impl RowSource + ?Sized)) -> Result<Self, RowError> {
        let mut leases = Vec::new();
        LeaseRow::scan(rows, &[LeaseRow::TABLE as u8], |_, row| {
            leases.push(row);
            ControlFlow::Continue(())
        })?;
        let mut overlong = Vec::new();
        rows.scan(&[], None, &mut |key, value| {
            if value.len() > OPERATION_BYTES_MAX {
                overlong.push((crate::row::hex(key), value.len()));
            }
            ControlFlow::Continue(())
        })?;
        Ok(Self {
            names: table(rows)?,
            buckets: table(rows)?,
            bucket_ledgers: table(rows)?,
            newest: table(rows)?,
            older: table(rows)?,
            manifests: table(rows)?,
            pages: table(rows)?,
            parts_pages: table(rows)?,
            retirements: table(rows)?,
            uploads: table(rows)?,
            parts: table(rows)?,
            upload_ledgers: table(rows)?,
            upload_retirements: table(rows)?,
            bucket_uploads: table(rows)?,
            bucket_configs: table(rows)?,
            extents: table(rows)?,
            stripes: table(rows)?,
            lives: table(rows)?,
            drives: table(rows)?,
            drive_ledgers: table(rows)?,
            here: table(rows)?,
            here_ledger: HereLedgerRow::get(rows, &())?,
            garbage: table(rows)?,
            sessions: table(rows)?,
            slots: table(rows)?,
            spent: table(rows)?,
            leases,
            overlong,
        })
    }

    /// All versions there are, the newest ones and the older ones.
    pub(super) fn versions(&self) -> impl Iterator<Item = (BucketId, &ObjectRow)> {
        let newest = self.newest.iter().map(|((bucket, _), row)| (*bucket, row));
        newest.chain(self.older.iter().map(|((bucket, _, _), row)| (*bucket, &row.0)))
    }

    /// All that refers to bytes: versions, parts of uploads, and pages that name parts.
    pub(super) fn contents(&self) -> impl Iterator<Item = &Content> {
        let versions = self.versions().filter_map(|(_, row)| Some(row.object()?.1));
        let parts = self.parts.values().map(|part| &part.content);
        let pages = self.parts_pages.values().flat_map(|page| page.parts.iter().map(|part| &part.content));
        versions.chain(parts).chain(pages)
    }

    /// How many bytes a content names.
    pub(super) fn bytes_of(&self, content: &Content) -> u64 {
        match content {
            Content::Ranges(ranges) => ranges.iter().map(|range| u64::from(range.length)).sum(),
            Content::Manifest(id) => self.manifests.get(id).map_or(0, |manifest| manifest.bytes),
        }
    }
}

fn table<R: Row>(rows: &(impl RowSource + ?Sized)) -> Result<BTreeMap<R::Key, R>, RowError>
where
    R::Key: Ord,
{
    let mut table = BTreeMap::new();
    R::scan(rows, &[R::TABLE as u8], |key, row| {
        table.insert(key, row);
        ControlFlow::Continue(())
    })?;
    Ok(table)
}
