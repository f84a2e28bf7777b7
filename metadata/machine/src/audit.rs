//! The ledger, recomputed from rows at one index and compared with what operations kept (invariant 11). In steps of so
//! many rows, with memory for what there is of buckets, drives and open uploads, and not for what there is of objects.
//!
//! ```text
//! all rows, once, in order of their keys
//!   what is there       -> counted: by bucket, by drive, by upload, in the metadata
//!   what the ledger says -> kept                                                       compared in the end
//!   every reference to an extent or a manifest, every extent of a stripe -> 4,096 sums
//!   what extents, manifests and stripes count of those                   -> taken off the same sums
//! some sum is not zero -> all rows once more: whatever falls into that sum is counted by name
//! ```
//! A sum is over hashes of names, each as often as it is referred to; where counts and rows agree it is zero, and where
//! they do not it is not (two faults that cancel out in 128 bits do not happen by chance). So references of a billion
//! extents are compared in 64 KiB, and only what does not balance is looked at by name.
//!
//! It shares nothing with [`crate::check`] but the rows' types: that one holds everything in memory and says more.

use core::fmt;
use core::ops::ControlFlow;
use std::collections::BTreeMap;

use cairn_core::{BucketId, BucketName, DriveId, ExtentId, StripeId, WriteId};

use crate::row::{Row, Table};
use crate::rows::bucket::{BucketLedgerRow, BucketRow};
use crate::rows::extent::{ExtentPlace, ExtentRow};
use crate::rows::garbage::GarbageRow;
use crate::rows::here::HereLedgerRow;
use crate::rows::manifest::{ManifestId, ManifestPageRow, ManifestPartsRow, ManifestRow, ManifestState};
use crate::rows::object::{Content, ObjectRow, OlderVersionRow};
use crate::rows::stripe::{StripeLiveRow, StripeRow};
use crate::rows::topology::{DriveLedgerRow, DriveRow};
use crate::rows::upload::{BucketUploadsRow, PartRow, UploadId, UploadLedgerRow, UploadRow};
use crate::source::{RowError, RowSource};

/// How many sums there are. More make a fault's neighbours fewer, and cost 16 bytes each.
const SUMS: usize = 4096;

/// How many names are counted when sums do not agree: some MiB of them. Of more it is said that there are more.
const NAMES_MAX: usize = 65_536;

/// How many things that do not balance are told.
const IMBALANCES_MAX: usize = 1000;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Balance {
    /// How many rows were read.
    pub rows: u64,
    /// What there is in each bucket.
    pub buckets: BTreeMap<BucketId, (Option<BucketName>, BucketLedgerRow)>,
    /// What stripes and garbage have on each drive.
    pub drives: BTreeMap<DriveId, DriveLedgerRow>,
    /// What stands in the metadata.
    pub here: HereLedgerRow,
    /// Stripes.
    pub stripes: u64,
    /// Extents.
    pub extents: u64,
    /// What does not balance; empty is what one wants to see.
    pub imbalances: Vec<Imbalance>,
    /// Whether there is more than is told.
    pub more: bool,
}

/// A count that is not what there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imbalance {
    /// Whose count.
    pub of: String,
    /// What is kept.
    pub kept: String,
    /// What was counted.
    pub counted: String,
}

impl fmt::Display for Imbalance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: the ledger says {}, and there is {}", self.of, self.kept, self.counted)
    }
}

/// Something that is counted where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Item {
    /// References to an extent.
    Extent(ExtentId),
    /// References to a manifest.
    Manifest(ManifestId),
    /// Extents that live in a stripe.
    Extents(StripeId),
    /// Their bytes.
    Bytes(StripeId),
}

impl Item {
    fn hash(self) -> u128 {
        let mut bytes = [0; 3 + WriteId::BYTES];
        let (tag, write, ordinal) = match self {
            Self::Extent(extent) => (0, extent.write, extent.ordinal),
            Self::Manifest(ManifestId(write)) => (1, write, 0),
            Self::Extents(StripeId(write)) => (2, write, 0),
            Self::Bytes(StripeId(write)) => (3, write, 0),
        };
        bytes[0] = tag;
        bytes[1..3].copy_from_slice(&u16::to_be_bytes(ordinal));
        bytes[3..].copy_from_slice(&write.to_bytes());
        let hash = blake3::hash(&bytes);
        u128::from_be_bytes(*hash.as_bytes().first_chunk().expect("a hash has 32 bytes"))
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Extent(extent) => write!(f, "references to extent {extent}"),
            Self::Manifest(ManifestId(manifest)) => write!(f, "references to manifest {manifest}"),
            Self::Extents(stripe) => write!(f, "extents in stripe {stripe}"),
            Self::Bytes(stripe) => write!(f, "bytes that live in stripe {stripe}"),
        }
    }
}

/// How often something is there, or is said to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Count {
    kept: u64,
    counted: u64,
}

#[derive(Debug)]
enum Pass {
    /// Everything is summed up.
    Sums,
    /// What falls into a sum that is not zero is counted by name.
    Names,
    /// All is known.
    Over,
}

/// An audit under way. All its steps read the same rows, those of one index.
#[derive(Debug)]
pub struct Audit {
    pass: Pass,
    next: Vec<u8>,
    rows: u64,
    sums: Vec<u128>,
    names: BTreeMap<Item, Count>,
    counted: Ledger,
    kept: Ledger,
    bucket_names: BTreeMap<BucketId, BucketName>,
    buckets_of_uploads: BTreeMap<UploadId, BucketId>,
    stripes: u64,
    extents: u64,
    imbalances: Vec<Imbalance>,
    more: bool,
}

/// All counts that are kept for something.
#[derive(Debug, Default)]
struct Ledger {
    buckets: BTreeMap<BucketId, BucketLedgerRow>,
    drives: BTreeMap<DriveId, DriveLedgerRow>,
    uploads: BTreeMap<UploadId, UploadLedgerRow>,
    bucket_uploads: BTreeMap<BucketId, BucketUploadsRow>,
    here: HereLedgerRow,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            pass: Pass::Sums,
            next: Vec::new(),
            rows: 0,
            sums: vec![0; SUMS],
            names: BTreeMap::new(),
            counted: Ledger::default(),
            kept: Ledger::default(),
            bucket_names: BTreeMap::new(),
            buckets_of_uploads: BTreeMap::new(),
            stripes: 0,
            extents: 0,
            imbalances: Vec::new(),
            more: false,
        }
    }
}

impl Audit {
    /// Reads at most so many rows more. `true` when there is nothing left to read.
    pub fn step(&mut self, rows: &(impl RowSource + ?Sized), rows_max: usize) -> Result<bool, RowError> {
        assert!(rows_max > 0, "a step reads something");
        if matches!(self.pass, Pass::Over) {
            return Ok(true);
        }
        let from = core::mem::take(&mut self.next);
        let (mut read, mut failure, mut next) = (0, None, None);
        rows.scan(&from, None, &mut |key, value| {
            read += 1;
            if let Err(error) = self.row(rows, key, value) {
                failure = Some(error);
                return ControlFlow::Break(());
            }
            if read < rows_max {
                return ControlFlow::Continue(());
            }
            next = Some([key, &[0]].concat());
            ControlFlow::Break(())
        })?;
        if let Some(error) = failure {
            return Err(error);
        }
        if matches!(self.pass, Pass::Sums) {
            self.rows += read as u64;
        }
        match next {
            Some(next) => self.next = next,
            None => self.end_pass(),
        }
        Ok(matches!(self.pass, Pass::Over))
    }

    /// How many rows were read until now.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// What was found. To be asked when a step has said that nothing is left.
    pub fn finish(self) -> Balance {
        assert!(matches!(self.pass, Pass::Over), "an audit is asked when it is over");
        let Self { rows, counted, mut bucket_names, stripes, extents, imbalances, more, .. } = self;
        let buckets = counted.buckets.into_iter().map(|(id, ledger)| (id, (bucket_names.remove(&id), ledger)));
        let (buckets, drives, here) = (buckets.collect(), counted.drives, counted.here);
        Balance { rows, buckets, drives, here, stripes, extents, imbalances, more }
    }

    fn end_pass(&mut self) {
        match self.pass {
            Pass::Sums if self.sums.iter().any(|sum| *sum != 0) => self.pass = Pass::Names,
            Pass::Sums | Pass::Names => {
                self.pass = Pass::Over;
                self.compare();
            }
            Pass::Over => unreachable!("nothing is read when it is over"),
        }
    }

    fn row(&mut self, rows: &(impl RowSource + ?Sized), key: &[u8], value: &[u8]) -> Result<(), RowError> {
        let is = |table: Table| key.first() == Some(&(table as u8));
        if is(Table::Object) {
            let row = ObjectRow::decode(key, value)?;
            self.version(rows, ObjectRow::parse_key(key)?.0, &row, true)
        } else if is(Table::OlderVersion) {
            let OlderVersionRow(row) = OlderVersionRow::decode(key, value)?;
            self.version(rows, OlderVersionRow::parse_key(key)?.0, &row, false)
        } else if is(Table::Extent) {
            let row = ExtentRow::decode(key, value)?;
            self.extent(ExtentRow::parse_key(key)?, &row);
            Ok(())
        } else if is(Table::Part) {
            let row = PartRow::decode(key, value)?;
            self.content(&row.content);
            self.check_size(rows, &row.content, row.size, || format!("part {:?}", key))?;
            let (upload, _) = PartRow::parse_key(key)?;
            // The parts of an upload that is being taken away are counted no more.
            if self.summing()
                && let Some(ledger) = self.counted.uploads.get_mut(&upload)
            {
                ledger.parts += 1;
                ledger.bytes += row.size;
            }
            Ok(())
        } else if is(Table::ManifestPage) {
            let page = ManifestPageRow::decode(key, value)?;
            page.ranges.iter().for_each(|range| self.tally(Item::Extent(range.extent), 0, 1));
            Ok(())
        } else if is(Table::ManifestParts) {
            let page = ManifestPartsRow::decode(key, value)?;
            page.parts.iter().for_each(|part| self.content(&part.content));
            Ok(())
        } else if is(Table::Manifest) {
            let row = ManifestRow::decode(key, value)?;
            if let ManifestState::Referenced(references) = row.state {
                self.tally(Item::Manifest(ManifestRow::parse_key(key)?), u64::from(references), 0);
            }
            Ok(())
        } else if is(Table::StripeLive) {
            let (id, row) = (StripeLiveRow::parse_key(key)?, StripeLiveRow::decode(key, value)?);
            self.tally(Item::Extents(id), u64::from(row.extents), 0);
            self.tally(Item::Bytes(id), row.bytes, 0);
            Ok(())
        } else if self.summing() {
            self.ledger_row(key, value)
        } else {
            Ok(())
        }
    }

    /// Rows that are looked at once.
    fn ledger_row(&mut self, key: &[u8], value: &[u8]) -> Result<(), RowError> {
        let is = |table: Table| key.first() == Some(&(table as u8));
        if is(Table::Drive) {
            self.counted.drives.entry(DriveRow::parse_key(key)?).or_default();
        } else if is(Table::Bucket) {
            let id = BucketRow::parse_key(key)?;
            self.counted.buckets.entry(id).or_default();
            self.bucket_names.insert(id, BucketRow::decode(key, value)?.name);
        } else if is(Table::Upload) {
            let (bucket, _, upload) = UploadRow::parse_key(key)?;
            self.counted.uploads.insert(upload, UploadLedgerRow::default());
            self.counted.bucket_uploads.entry(bucket).or_default().uploads += 1;
            self.buckets_of_uploads.insert(upload, bucket);
        } else if is(Table::Stripe) {
            self.stripes += 1;
            let row = StripeRow::decode(key, value)?;
            for placed in &row.positions {
                let ledger = self.counted.drives.entry(placed.drive).or_default();
                ledger.chunks += 1;
                ledger.bytes += u64::from(row.shape.chunk_bytes);
            }
        } else if is(Table::Garbage) {
            let row = GarbageRow::decode(key, value)?;
            let ledger = self.counted.drives.entry(row.drive).or_default();
            ledger.garbage_chunks += 1;
            ledger.garbage_bytes += u64::from(row.bytes);
        } else if is(Table::BucketLedger) {
            self.kept.buckets.insert(BucketLedgerRow::parse_key(key)?, BucketLedgerRow::decode(key, value)?);
        } else if is(Table::DriveLedger) {
            self.kept.drives.insert(DriveLedgerRow::parse_key(key)?, DriveLedgerRow::decode(key, value)?);
        } else if is(Table::BucketUploads) {
            self.kept.bucket_uploads.insert(BucketUploadsRow::parse_key(key)?, BucketUploadsRow::decode(key, value)?);
        } else if is(Table::UploadLedger) {
            // When a part was replaced is no count.
            let row = UploadLedgerRow { replaced: None, ..UploadLedgerRow::decode(key, value)? };
            self.kept.uploads.insert(UploadLedgerRow::parse_key(key)?, row);
        } else if is(Table::HereLedger) {
            self.kept.here = HereLedgerRow::decode(key, value)?;
        }
        Ok(())
    }

    fn summing(&self) -> bool {
        matches!(self.pass, Pass::Sums)
    }

    fn version(
        &mut self,
        rows: &(impl RowSource + ?Sized),
        bucket: BucketId,
        row: &ObjectRow,
        newest: bool,
    ) -> Result<(), RowError> {
        let object = row.object();
        if self.summing() {
            let ledger = self.counted.buckets.entry(bucket).or_default();
            ledger.objects += u64::from(newest && object.is_some());
            ledger.versions += 1;
            ledger.bytes += object.map_or(0, |(attributes, _)| attributes.size);
        }
        let Some((attributes, content)) = object else { return Ok(()) };
        self.content(content);
        self.check_size(rows, content, attributes.size, || format!("version {} in bucket {bucket}", row.version))
    }

    fn extent(&mut self, id: ExtentId, row: &ExtentRow) {
        self.tally(Item::Extent(id), u64::from(row.references), 0);
        match row.place {
            ExtentPlace::Here { .. } if self.summing() => {
                self.counted.here.extents += 1;
                self.counted.here.bytes += u64::from(row.length);
            }
            ExtentPlace::Here { .. } => {}
            ExtentPlace::Stripe { stripe, .. } => {
                self.tally(Item::Extents(stripe), 0, 1);
                self.tally(Item::Bytes(stripe), 0, u64::from(row.length));
            }
        }
        self.extents += u64::from(self.summing());
    }

    fn content(&mut self, content: &Content) {
        match content {
            Content::Ranges(ranges) => ranges.iter().for_each(|range| self.tally(Item::Extent(range.extent), 0, 1)),
            Content::Manifest(id) => self.tally(Item::Manifest(*id), 0, 1),
        }
    }

    /// Logical bytes are what is referred to.
    fn check_size(
        &mut self,
        rows: &(impl RowSource + ?Sized),
        content: &Content,
        size: u64,
        of: impl FnOnce() -> String,
    ) -> Result<(), RowError> {
        if !self.summing() {
            return Ok(());
        }
        let bytes = match content {
            Content::Ranges(ranges) => ranges.iter().map(|range| u64::from(range.length)).sum(),
            Content::Manifest(id) => ManifestRow::get(rows, id)?.map_or(0, |manifest| manifest.bytes),
        };
        if bytes != size {
            self.tell(of(), format!("{size} bytes"), format!("{bytes} bytes of extents"));
        }
        Ok(())
    }

    fn tally(&mut self, item: Item, kept: u64, counted: u64) {
        let hash = item.hash();
        let sum = (hash >> 116) as usize % SUMS;
        match self.pass {
            Pass::Sums => {
                let add = hash.wrapping_mul(u128::from(counted)).wrapping_sub(hash.wrapping_mul(u128::from(kept)));
                self.sums[sum] = self.sums[sum].wrapping_add(add);
            }
            Pass::Names if self.sums[sum] == 0 => {}
            Pass::Names => {
                if self.names.len() >= NAMES_MAX && !self.names.contains_key(&item) {
                    self.more = true;
                    return;
                }
                let count = self.names.entry(item).or_default();
                count.kept += kept;
                count.counted += counted;
            }
            Pass::Over => unreachable!("nothing is read when it is over"),
        }
    }

    fn tell(&mut self, of: String, kept: String, counted: String) {
        if self.imbalances.len() < IMBALANCES_MAX {
            self.imbalances.push(Imbalance { of, kept, counted });
        } else {
            self.more = true;
        }
    }

    fn compare(&mut self) {
        for (item, count) in core::mem::take(&mut self.names) {
            if count.kept != count.counted {
                self.tell(item.to_string(), count.kept.to_string(), count.counted.to_string());
            }
        }
        for (upload, bucket) in &self.buckets_of_uploads {
            let bytes = self.counted.uploads.get(upload).map_or(0, |ledger| ledger.bytes);
            self.counted.bucket_uploads.entry(*bucket).or_default().bytes += bytes;
        }
        let names = &self.bucket_names;
        let name = |id: &BucketId| names.get(id).map_or_else(|| id.to_string(), BucketName::to_string);
        let mut found = differences(&self.counted.buckets, &self.kept.buckets, |id| format!("bucket {}", name(id)));
        found.extend(differences(&self.counted.drives, &self.kept.drives, |id| format!("drive {id}")));
        found.extend(differences(&self.counted.uploads, &self.kept.uploads, |id| format!("upload {}", id.0)));
        let (counted, kept) = (&self.counted.bucket_uploads, &self.kept.bucket_uploads);
        found.extend(differences(counted, kept, |id| format!("uploads to bucket {}", name(id))));
        if self.counted.here != self.kept.here {
            let (kept, counted) = (format!("{:?}", self.kept.here), format!("{:?}", self.counted.here));
            found.push(("what stands in the metadata".into(), kept, counted));
        }
        for (of, kept, counted) in found {
            self.tell(of, kept, counted);
        }
    }
}

/// Whose counts differ, what is kept and what there is.
fn differences<K: Ord, L: PartialEq + fmt::Debug>(
    counted: &BTreeMap<K, L>,
    kept: &BTreeMap<K, L>,
    of: impl Fn(&K) -> String,
) -> Vec<(String, String, String)> {
    let said = |ledger: Option<&L>| ledger.map_or_else(|| "nothing".to_owned(), |ledger| format!("{ledger:?}"));
    let mut ids: Vec<&K> = counted.keys().chain(kept.keys()).collect();
    ids.sort();
    ids.dedup();
    ids.retain(|id| counted.get(id) != kept.get(id));
    ids.into_iter().map(|id| (of(id), said(kept.get(id)), said(counted.get(id)))).collect()
}

#[cfg(test)]
pub(crate) mod tests;
