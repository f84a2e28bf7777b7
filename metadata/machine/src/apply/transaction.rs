//! What the operations of one entry read and write: the rows below, and over them what earlier operations of the same
//! entry changed.
//!
//! ```text
//! operation 1   reads, writes -> kept
//! operation 2   reads, writes, refused -> its writes are rolled back, whatever they were
//! operation 3   sees what 1 wrote, and nothing of 2
//! end           every changed row is encoded once, in order of the keys
//! ```
//!
//! Every distinct row that an operation touches is counted, and what it writes is weighed. The one that passes a bound
//! is refused there, so no operation can be larger than invariant 13 allows, and none can have half of its effects.

use core::ops::ControlFlow;
use std::rc::Rc;

use bytes::Bytes;

use crate::apply::table::TableRows;
use crate::operation::{OPERATION_BYTES_MAX, OPERATION_ROWS_MAX};
use crate::outcome::Refusal;
use crate::row::{Row, prefix_end};
use crate::rows::access_key::AccessKeyRow;
use crate::rows::bucket::{BucketLedgerRow, BucketNameRow, BucketRow};
use crate::rows::cluster::ClusterRow;
use crate::rows::config::BucketConfigRow;
use crate::rows::extent::ExtentRow;
use crate::rows::garbage::GarbageRow;
use crate::rows::here::{HereLedgerRow, HereRow};
use crate::rows::manifest::{ManifestPageRow, ManifestPartsRow, ManifestRow, RetirementRow};
use crate::rows::object::{ObjectRow, OlderVersionRow};
use crate::rows::profile::ProfileRow;
use crate::rows::session::{LeaseRow, SessionRow, SlotRow};
use crate::rows::spent::SpentWriteRow;
use crate::rows::stripe::{StripeLiveRow, StripeRow};
use crate::rows::topology::{DriveLedgerRow, DriveRow, NodeRow, VoterRow};
use crate::rows::upload::{BucketUploadsRow, PartRow, UploadLedgerRow, UploadRetirementRow, UploadRow};
use crate::source::{RowError, RowSource};

/// Why an operation goes no further.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It has no effect, and its proposer is told why.
    Refused(Refusal),
    /// The whole entry stops: the node cannot go on with these rows.
    Rows(RowError),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<RowError> for Stop {
    fn from(error: RowError) -> Self {
        Self::Rows(error)
    }
}

/// A refusal of what no well-behaved caller proposes.
pub(crate) fn malformed(reason: &'static str) -> Stop {
    Stop::Refused(Refusal::Malformed { reason: reason.into() })
}

/// A refusal for want of something.
pub(crate) fn unknown(what: &'static str) -> Stop {
    Stop::Refused(Refusal::Unknown { what: what.into() })
}

/// A row whose table a transaction holds.
pub(crate) trait Tabled: Row {
    fn of(tables: &Tables) -> &TableRows<Self>;
    fn of_mut(tables: &mut Tables) -> &mut TableRows<Self>;
}

macro_rules! tables {
    ($($table:ident: $row:ty,)*) => {
        /// All tables, in order of their first bytes.
        #[derive(Debug, Default)]
        pub(crate) struct Tables {
            $($table: TableRows<$row>,)*
        }

        $(impl Tabled for $row {
            fn of(tables: &Tables) -> &TableRows<Self> {
                &tables.$table
            }

            fn of_mut(tables: &mut Tables) -> &mut TableRows<Self> {
                &mut tables.$table
            }
        })*

        impl Tables {
            fn keep(&mut self) {
                $(self.$table.keep();)*
            }

            fn roll_back(&mut self) {
                $(self.$table.roll_back();)*
            }

            fn into_effects(self) -> Vec<(Bytes, Option<Bytes>)> {
                let (mut effects, mut buffer) = (Vec::new(), Vec::new());
                $(self.$table.into_effects(&mut effects, &mut buffer);)*
                effects
            }
        }
    };
}

tables! {
    clusters: ClusterRow,
    profiles: ProfileRow,
    nodes: NodeRow,
    drives: DriveRow,
    sessions: SessionRow,
    slots: SlotRow,
    leases: LeaseRow,
    access_keys: AccessKeyRow,
    voters: VoterRow,
    spent_writes: SpentWriteRow,
    bucket_names: BucketNameRow,
    buckets: BucketRow,
    bucket_ledgers: BucketLedgerRow,
    drive_ledgers: DriveLedgerRow,
    bucket_configs: BucketConfigRow,
    bucket_uploads: BucketUploadsRow,
    objects: ObjectRow,
    older_versions: OlderVersionRow,
    uploads: UploadRow,
    parts: PartRow,
    upload_ledgers: UploadLedgerRow,
    manifests: ManifestRow,
    manifest_pages: ManifestPageRow,
    manifest_parts: ManifestPartsRow,
    extents: ExtentRow,
    stripes: StripeRow,
    stripe_lives: StripeLiveRow,
    here: HereRow,
    here_ledger: HereLedgerRow,
    garbage: GarbageRow,
    retirements: RetirementRow,
    upload_retirements: UploadRetirementRow,
}

/// The rows as the operations of one entry see them.
pub(crate) struct Transaction<'a, S: RowSource + ?Sized> {
    below: &'a S,
    tables: Tables,
    operation: u64,
    rows: usize,
    bytes: usize,
    /// Where keys are written before they are looked up: most lookups find what is known and keep nothing.
    key: Vec<u8>,
}

impl<'a, S: RowSource + ?Sized> Transaction<'a, S> {
    pub(crate) fn new(below: &'a S) -> Self {
        Self { below, tables: Tables::default(), operation: 1, rows: 0, bytes: 0, key: Vec::new() }
    }

    /// Begins the next operation: what it touches is counted from zero.
    pub(crate) fn begin(&mut self) {
        self.operation += 1;
        self.rows = 0;
        self.bytes = 0;
    }

    /// The operation is done: its effects stay.
    pub(crate) fn keep(&mut self) {
        self.tables.keep();
    }

    /// The operation is refused: its effects go.
    pub(crate) fn roll_back(&mut self) {
        self.tables.roll_back();
    }

    /// Whether this operation may still touch so many rows and bytes. Work that can be done in steps asks, and stops.
    pub(crate) fn has_room(&self, rows: usize, bytes: usize) -> bool {
        self.rows + rows <= OPERATION_ROWS_MAX && self.bytes + bytes <= OPERATION_BYTES_MAX
    }

    /// The rows and bytes that the operation touched.
    #[cfg(test)]
    pub(crate) fn touched(&self) -> (usize, usize) {
        (self.rows, self.bytes)
    }

    fn count(&mut self, rows: usize, bytes: usize) -> Result<(), Stop> {
        if !self.has_room(rows, bytes) {
            return Err(Refusal::TooLarge.into());
        }
        self.rows += rows;
        self.bytes += bytes;
        Ok(())
    }

    /// Calls with the bytes of a key, which are written to a buffer that is used again.
    fn with_key<R: Row, T>(&mut self, key: &R::Key, call: impl FnOnce(&mut Self, &[u8]) -> T) -> T {
        let mut bytes = core::mem::take(&mut self.key);
        bytes.clear();
        bytes.push(R::TABLE as u8);
        R::write_key(key, &mut bytes);
        let result = call(self, &bytes);
        self.key = bytes;
        result
    }

    /// A row.
    pub(crate) fn get<R: Tabled>(&mut self, key: &R::Key) -> Result<Option<Rc<R>>, Stop> {
        self.with_key::<R, _>(key, |rows, key| rows.get_at(key))
    }

    /// A row that must be there because another one says so. That it is not is damage, and no refusal.
    pub(crate) fn must<R: Tabled>(&mut self, key: &R::Key) -> Result<Rc<R>, Stop> {
        self.with_key::<R, _>(key, |rows, key| rows.get_at(key)?.ok_or_else(|| Stop::Rows(RowError::missing::<R>(key))))
    }

    /// A row by its whole key.
    pub(crate) fn get_at<R: Tabled>(&mut self, key: &[u8]) -> Result<Option<Rc<R>>, Stop> {
        if let Some((row, first)) = R::of_mut(&mut self.tables).touch(key, self.operation) {
            if first {
                self.count(1, 0)?;
            }
            return Ok(row);
        }
        let value = self.below.get(key)?;
        self.count(1, value.as_ref().map_or(0, Bytes::len))?;
        let row = value.map(|value| R::decode(key, &value)).transpose()?.map(Rc::new);
        let known = R::of_mut(&mut self.tables);
        known.remember(Bytes::copy_from_slice(key), row.clone(), self.operation);
        Ok(row)
    }

    /// Writes a row.
    pub(crate) fn put<R: Tabled>(&mut self, key: &R::Key, row: R) -> Result<(), Stop> {
        self.with_key::<R, _>(key, |rows, key| rows.put_at(key, row))
    }

    /// Writes a row by its whole key.
    pub(crate) fn put_at<R: Tabled>(&mut self, key: &[u8], row: R) -> Result<(), Stop> {
        let bytes = key.len() + row.weight();
        let first = R::of_mut(&mut self.tables).write(key, Some(Rc::new(row)), self.operation);
        self.count(usize::from(first), bytes)
    }

    /// Removes a row.
    pub(crate) fn remove<R: Tabled>(&mut self, key: &R::Key) -> Result<(), Stop> {
        self.with_key::<R, _>(key, |rows, key| rows.remove_at::<R>(key))
    }

    /// Removes a row by its whole key.
    pub(crate) fn remove_at<R: Tabled>(&mut self, key: &[u8]) -> Result<(), Stop> {
        let first = R::of_mut(&mut self.tables).write(key, None, self.operation);
        self.count(usize::from(first), key.len())
    }

    /// The first rows under a prefix, in order of their keys, at most so many.
    pub(crate) fn first<R: Tabled>(&mut self, prefix: &[u8], limit: usize) -> Result<Vec<(Bytes, Rc<R>)>, Stop> {
        self.first_from(prefix, prefix, limit)
    }

    /// The first rows under a prefix whose keys are not less than `from`. Rows that went before a scan's beginning cost it
    /// nothing, while those behind it are passed one by one, here and in the rows below: who removes rows in order says
    /// where it stands.
    pub(crate) fn first_from<R: Tabled>(
        &mut self,
        prefix: &[u8],
        from: &[u8],
        limit: usize,
    ) -> Result<Vec<(Bytes, Rc<R>)>, Stop> {
        for (key, value) in self.below_unknown::<R, _>(prefix, from, limit, Bytes::clone)? {
            let row = Rc::new(R::decode(&key, &value)?);
            self.count(1, value.len())?;
            R::of_mut(&mut self.tables).remember(key, Some(row), self.operation);
        }
        // Everything below that could be among the first is known by now, so what is known is the answer.
        let page: Vec<(Bytes, Rc<R>)> = R::of(&self.tables)
            .known(prefix, from)
            .filter_map(|(key, entry)| Some((key.clone(), entry.row.clone()?)))
            .take(limit)
            .collect();
        for (key, _) in &page {
            let touched = R::of_mut(&mut self.tables).touch(key, self.operation);
            if touched.is_some_and(|(_, first)| first) {
                self.count(1, 0)?;
            }
        }
        Ok(page)
    }

    /// The keys of at most so many rows under a prefix, in no particular order: for removing what nobody looks at.
    pub(crate) fn keys<R: Tabled>(&mut self, prefix: &[u8], limit: usize) -> Result<Vec<Bytes>, Stop> {
        let living = R::of(&self.tables).known(prefix, prefix).filter(|(_, entry)| entry.row.is_some());
        let mut keys: Vec<Bytes> = living.map(|(key, _)| key.clone()).take(limit).collect();
        let below = self.below_unknown::<R, _>(prefix, prefix, limit - keys.len(), |_| ())?;
        keys.extend(below.into_iter().map(|(key, ())| key));
        Ok(keys)
    }

    /// The first rows below under a prefix, from a key on, that this entry does not know of, at most so many.
    fn below_unknown<R: Tabled, V>(
        &self,
        prefix: &[u8],
        from: &[u8],
        limit: usize,
        value_of: impl Fn(&Bytes) -> V,
    ) -> Result<Vec<(Bytes, V)>, Stop> {
        assert_eq!(prefix.first(), Some(&(R::TABLE as u8)), "a scan stays inside its table");
        assert!(from.starts_with(prefix), "a scan begins under its prefix");
        let mut found = Vec::new();
        if limit == 0 {
            return Ok(found);
        }
        let known = R::of(&self.tables);
        self.below.scan(from, prefix_end(prefix).as_deref(), &mut |key, value| {
            if !known.knows(key) {
                found.push((Bytes::copy_from_slice(key), value_of(value)));
            }
            if found.len() >= limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(found)
    }

    /// What the entry changed, in order of the keys.
    pub(crate) fn into_effects(self) -> Vec<(Bytes, Option<Bytes>)> {
        let effects = self.tables.into_effects();
        assert!(effects.is_sorted_by(|a, b| a.0 < b.0), "tables are in order of their first bytes");
        effects
    }
}
