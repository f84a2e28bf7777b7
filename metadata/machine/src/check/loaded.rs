//! All rows, read once and sorted by what they are.

use core::ops::ControlFlow;
use std::collections::BTreeMap;

use cairn_core::{BucketId, BucketName, DriveId, ExtentId, ObjectKey, SessionId, StripeId, VersionId, WriteId};

use crate::operation::OPERATION_BYTES_MAX;
use crate::row::Row;
use crate::rows::bucket::{BucketLedgerRow, BucketNameRow, BucketRow};
use crate::rows::extent::ExtentRow;
use crate::rows::garbage::{GarbageKey, GarbageRow};
use crate::rows::manifest::{ManifestId, ManifestPageRow, ManifestRow, RetirementRow};
use crate::rows::object::{ObjectRow, OlderVersionRow};
use crate::rows::session::{LeaseRow, SessionRow, SlotRow};
use crate::rows::spent::SpentWriteRow;
use crate::rows::stripe::{StripeLiveRow, StripeRow};
use crate::rows::topology::{DriveLedgerRow, DriveRow};
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
    pub(super) retirements: BTreeMap<ManifestId, RetirementRow>,
    pub(super) extents: BTreeMap<ExtentId, ExtentRow>,
    pub(super) stripes: BTreeMap<StripeId, StripeRow>,
    pub(super) lives: BTreeMap<StripeId, StripeLiveRow>,
    pub(super) drives: BTreeMap<DriveId, DriveRow>,
    pub(super) drive_ledgers: BTreeMap<DriveId, DriveLedgerRow>,
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
            retirements: table(rows)?,
            extents: table(rows)?,
            stripes: table(rows)?,
            lives: table(rows)?,
            drives: table(rows)?,
            drive_ledgers: table(rows)?,
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
