//! The longest object that S3 promises, in as many parts as it may have, by arithmetic: no operation touches more than
//! invariant 13 allows, and a retirement never stands still.

use std::cell::Cell;
use std::ops::ControlFlow;

use cairn_core::units::{MANIFEST_PAGE_PARTS_MAX, MIB, OBJECT_BYTES_MAX, PARTS_MAX};

use super::*;
use crate::operation::{ByteRange, OPERATION_BYTES_MAX, OPERATION_ROWS_MAX};
use crate::row::Table;
use crate::rows::extent::{ExtentPlace, ExtentRow};
use crate::rows::manifest::{ManifestPageRow, ManifestRow, ManifestState, RetirementRow};
use crate::rows::object::{Content, ExtentRange, ObjectRow};
use crate::rows::stripe::{StripeLiveRow, StripeRow};
use crate::rows::upload::{BucketUploadsRow, PartRow, UploadLedgerRow, UploadRetirementRow};

/// What some operations cost: how many there were, and the most rows and bytes of one.
#[derive(Debug, Default, Clone, Copy)]
struct Cost {
    operations: usize,
    rows: usize,
    bytes: usize,
}

impl Cost {
    fn run(&mut self, lab: &mut Lab, operation: Operation) -> Outcome {
        let shown = format!("{:.80?}", operation);
        let (outcome, (rows, bytes)) = lab.measured(GATE, operation);
        assert!(refusal(&outcome).is_none(), "{shown}: {outcome:?}");
        assert!(rows <= OPERATION_ROWS_MAX && bytes <= OPERATION_BYTES_MAX, "{shown}: {rows} rows, {bytes} bytes");
        *self = Self { operations: self.operations + 1, rows: self.rows.max(rows), bytes: self.bytes.max(bytes) };
        outcome
    }
}

fn put<R: Row>(lab: &mut Lab, key: &R::Key, row: R) {
    lab.rows.apply([(R::key(key), Some(row.encode()))]);
}

/// Takes apart whatever is retiring; says what that cost.
fn retire_all(lab: &mut Lab) -> Cost {
    let mut cost = Cost::default();
    loop {
        let (mut uploads, mut manifests) = (Vec::new(), Vec::new());
        UploadRetirementRow::scan(&lab.rows, &[Table::UploadRetirement as u8], |key, _| {
            uploads.push(key);
            ControlFlow::Continue(())
        })
        .unwrap();
        RetirementRow::scan(&lab.rows, &[Table::Retirement as u8], |key, row| {
            manifests.push((key, row.next_page));
            ControlFlow::Continue(())
        })
        .unwrap();
        if uploads.is_empty() && manifests.is_empty() {
            return cost;
        }
        for upload in uploads {
            cost.run(lab, Operation::RetireUpload { upload });
        }
        for (manifest, page) in manifests {
            cost.run(lab, Operation::RetirePage { manifest, page });
        }
        assert!(cost.operations < 50_000, "a retirement stands still");
    }
}

/// Rows as 10,000 uploaded parts leave them, 5 TiB in all: each part has a manifest of some 33 extents. So that the rows
/// fit a test, all of them are ranges of one extent, which a copy of ranges may well make.
fn five_tebibytes(lab: &mut Lab, bucket: BucketId) -> (UploadId, Vec<ChosenPart>) {
    let (stripe, extent) = lab.put(bucket, "source");
    let upload = lab.upload(bucket, "a");
    let length = 16 * MIB as u32;
    let row = lab.get::<StripeRow>(&stripe).unwrap();
    let shape = StripeShape { chunk_bytes: 8 << 20, ..row.shape };
    for placed in &row.positions {
        let ledger = lab.get::<DriveLedgerRow>(&placed.drive).unwrap();
        put(lab, &placed.drive, DriveLedgerRow { bytes: 8 << 20, ..ledger });
    }
    put(lab, &stripe, StripeRow { shape, ..row });
    put(lab, &stripe, StripeLiveRow { extents: 1, bytes: u64::from(length) });
    let mut left = OBJECT_BYTES_MAX;
    let (mut references, mut parts) = (1, Vec::new());
    for number in 1..=PARTS_MAX {
        let size = left / u64::from(PARTS_MAX - number + 1);
        left -= size;
        let manifest = ManifestId(lab.write(GATE));
        let whole = ExtentRange { extent, offset: 0, length };
        let mut ranges = vec![whole; (size / u64::from(length)) as usize];
        ranges.push(ExtentRange { length: (size % u64::from(length)) as u32, ..whole });
        references += ranges.len() as u32;
        put(lab, &(manifest, 0), ManifestPageRow { offset: 0, ranges });
        let state = ManifestState::Referenced(1);
        put(lab, &manifest, ManifestRow { state, pages: 1, bytes: size, parts: None });
        let version = VersionId { index: lab.index, ordinal: number };
        let content = Content::Manifest(manifest);
        let part = PartRow { version, modified: WallTime(1), size, md5: [0; 16], checksum: None, content };
        put(lab, &(upload, number), part);
        parts.push(ChosenPart { number, version });
    }
    assert_eq!(left, 0);
    let ledger = lab.get::<ExtentRow>(&extent).unwrap();
    put(lab, &extent, ExtentRow { references, length, ..ledger });
    put(lab, &upload, UploadLedgerRow { parts: PARTS_MAX, bytes: OBJECT_BYTES_MAX, replaced: None });
    put(lab, &bucket, BucketUploadsRow { uploads: 1, bytes: OBJECT_BYTES_MAX });
    // The object that lent its extent has grown with it.
    let name = (bucket, key("source"));
    let mut source = lab.get::<ObjectRow>(&name).unwrap();
    let crate::rows::object::VersionKind::Object { attributes, content } = &mut source.kind else { unreachable!() };
    (attributes.size, *content) = (u64::from(length), Content::Ranges(vec![ExtentRange { extent, offset: 0, length }]));
    put(lab, &name, source);
    let ledger = lab.get::<crate::rows::bucket::BucketLedgerRow>(&bucket).unwrap();
    put(lab, &bucket, crate::rows::bucket::BucketLedgerRow { bytes: u64::from(length), ..ledger });
    lab.check();
    (upload, parts)
}

#[test]
fn ten_thousand_parts_and_five_tebibytes_go_in_bounded_steps() {
    let (mut lab, bucket) = Lab::formed();
    let (upload, parts) = five_tebibytes(&mut lab, bucket);
    let began = std::time::Instant::now();
    let manifest = ManifestId(lab.write(GATE));
    let mut pages = Cost::default();
    for (number, parts) in (0..).zip(parts.chunks(MANIFEST_PAGE_PARTS_MAX)) {
        pages.run(&mut lab, parts_page(bucket, "a", upload, manifest, number, parts));
    }
    assert_eq!(pages.operations, 157);
    let mut completion = Cost::default();
    completion.run(&mut lab, complete(bucket, "a", upload, manifest, Conditions::default()));
    let completed = began.elapsed();
    lab.check();
    let row = lab.get::<ObjectRow>(&(bucket, key("a"))).unwrap();
    assert_eq!(row.object().unwrap().0.size, OBJECT_BYTES_MAX);
    // A range in the middle is copied without a walk over what stands before it.
    let mut copies = Cost::default();
    let copy = ManifestId(lab.write(GATE));
    for page in 0..4 {
        let range = ByteRange { from: (OBJECT_BYTES_MAX / 5 * (u64::from(page) + 1)) | 1, length: 100 * 16 * MIB };
        let (key, version) = (key("a"), row.version);
        copies.run(&mut lab, Operation::AddSharedPage { manifest: copy, page, bucket, key, version, range });
    }
    copies.run(&mut lab, Operation::AbandonManifest { manifest: copy, session: GATE });
    let of_copies = retire_all(&mut lab);
    lab.check();
    assert!(lab.get::<UploadRetirementRow>(&upload).is_none());
    assert!(!lab.rows.0.keys().any(|key| key[0] == Table::Part as u8), "the upload is gone by then");
    let mut deletion = Cost::default();
    deletion.run(&mut lab, delete(bucket, "a"));
    let retired = retire_all(&mut lab);
    lab.check();
    assert!(!lab.rows.0.keys().any(|key| key[0] == Table::Manifest as u8));
    // 157 pages of parts, and a page for each part.
    assert_eq!(retired.operations, 157 + 10_000);
    println!("pages {pages:?}, completion {completion:?}, both in {completed:?}; copies {copies:?}");
    println!("upload and copies retired {of_copies:?}; deletion {deletion:?}, retired {retired:?}");
}

/// A page of parts that is as heavy as it may be: eight extents a part, each in a stripe of its own on 32 drives.
#[test]
fn the_heaviest_page_of_parts_is_added_in_one_step_and_goes_in_several() {
    let (mut lab, bucket) = Lab::formed();
    let drives = (DRIVES..32).map(|id| NewDrive { id: DriveId(id), weight: 1, label: String::new() }).collect();
    assert_eq!(lab.one(REPAIR, Operation::RegisterDrives { node: NODE, drives }), Outcome::Done);
    let upload = lab.upload(bucket, "a");
    let shape = StripeShape { geometry: Geometry::new(24, 8).unwrap(), chunk_bytes: 6400, block_bytes: 4096 };
    let mut parts = Vec::new();
    for number in 1..=MANIFEST_PAGE_PARTS_MAX as u16 {
        let stripes: Vec<StripeId> = (0..8).map(|_| StripeId(lab.write(GATE))).collect();
        let make = |&id: &StripeId| {
            let positions = (0..32).map(|drive| PlacedChunk { drive: DriveId(drive), write: id.0 }).collect();
            Operation::MakeStripe { id, shape, positions }
        };
        let extents = stripes.iter().map(|&stripe| in_stripe(stripe, 0)).collect();
        let mut operations: Vec<Operation> = stripes.iter().map(make).collect();
        operations.push(put_part(bucket, "a", upload, number, 800, NewContent::Extents(extents)));
        operations.extend(stripes.iter().map(|&id| Operation::SettleStripe { id }));
        let request = Some(lab.request(GATE));
        lab.index.0 += 1;
        let proposals = vec![Proposal { request, operations, authors: None }];
        let batch = Batch { function: FUNCTION_VERSION, time: WallTime(1), proposals, sure: None };
        let applied = apply(&lab.rows, lab.index, &batch).unwrap();
        assert!(applied.outcomes[0].iter().all(|outcome| refusal(outcome).is_none()));
        lab.rows.apply(applied.effects);
        parts.push(ChosenPart { number, version: VersionId { index: lab.index, ordinal: 8 } });
    }
    lab.check();
    let (mut added, manifest) = (Cost::default(), ManifestId(lab.write(GATE)));
    added.run(&mut lab, parts_page(bucket, "a", upload, manifest, 0, &parts));
    lab.check();
    // The other way round, the page takes the stripes with it, and stops inside parts.
    let mut other = lab.clone();
    Cost::default().run(&mut other, abort(bucket, "a", upload));
    assert_eq!(retire_all(&mut other).operations, 1);
    Cost::default().run(&mut other, Operation::AbandonManifest { manifest, session: GATE });
    let mut page = Cost::default();
    while other.get::<RetirementRow>(&manifest).is_some() {
        page.run(&mut other, Operation::RetirePage { manifest, page: 0 });
        other.check();
        assert!(page.operations < 100, "a retirement stands still");
    }
    assert!(page.operations > 1, "{page:?}");
    assert!(!other.rows.0.keys().any(|key| key[0] == Table::Stripe as u8));
    let mut given_up = Cost::default();
    given_up.run(&mut lab, Operation::AbandonManifest { manifest, session: GATE });
    // Every extent has two references: the first one to go is cheap, the second takes the stripes with it.
    let first = retire_all(&mut lab);
    lab.check();
    given_up.run(&mut lab, abort(bucket, "a", upload));
    let mut last = Cost::default();
    while lab.get::<UploadRetirementRow>(&upload).is_some() {
        last.run(&mut lab, Operation::RetireUpload { upload });
        lab.check();
    }
    assert!(!lab.rows.0.keys().any(|key| [Table::Stripe, Table::Part].iter().any(|at| *at as u8 == key[0])));
    assert!(last.operations > 1, "{last:?}");
    println!("added {added:?}, given up {first:?}, the upload taken away {last:?}, the page taken away {page:?}");
}

/// Bytes that stand in rows are written again with each reference that goes, which makes a step the heavier.
#[test]
fn bytes_in_rows_that_are_shared_go_in_steps_too() {
    let (mut lab, bucket) = Lab::formed();
    let here = |write, ordinal| NewExtent {
        id: ExtentId { write, ordinal },
        length: 65_536,
        place: NewPlace::Here(vec![ordinal as u8; 65_536].into()),
    };
    let write = lab.write(GATE);
    let too_much = NewContent::Extents((0..2).map(|ordinal| here(write, ordinal)).collect());
    let put = put_with(bucket, "a", 2 * 65_536, too_much, Conditions::default());
    assert!(is_malformed(&lab.one(GATE, put)), "more than one operation could surely release");
    let manifest = ManifestId(lab.write(GATE));
    let nobodys = page(manifest, 0, vec![here(lab.write(GATE), 0)]);
    assert!(is_malformed(&lab.one(GATE, nobodys)), "a rewrite could not say whose they are");
    // Every extent is named twice: by its part, and by a page of parts.
    let upload = lab.upload(bucket, "a");
    let parts: Vec<ChosenPart> = (1..=21).map(|number| lab.part_here(bucket, "a", upload, number, 65_536)).collect();
    for (number, parts) in (0..).zip(parts.chunks(7)) {
        assert_eq!(lab.one(GATE, parts_page(bucket, "a", upload, manifest, number, parts)), Outcome::Done);
    }
    assert!(matches!(
        lab.one(GATE, complete(bucket, "a", upload, manifest, Conditions::default())),
        Outcome::Put { .. }
    ));
    lab.check();
    let mut steps = Cost::default();
    while lab.get::<UploadRetirementRow>(&upload).is_some() {
        steps.run(&mut lab, Operation::RetireUpload { upload });
        lab.check();
    }
    assert!(steps.operations > 1, "{steps:?}");
    let version = lab.get::<crate::rows::object::ObjectRow>(&(bucket, key("a"))).unwrap().version;
    let shared =
        |from, length| NewContent::Shared { bucket, key: key("a"), version, range: Some(ByteRange { from, length }) };
    let put = put_with(bucket, "b", 2, shared(65_535, 2), Conditions::default());
    assert_eq!(refusal(&lab.one(GATE, put)), Some(&Refusal::TooLarge), "two extents for two bytes");
    let put = put_with(bucket, "b", 2, shared(65_534, 2), Conditions::default());
    assert!(matches!(lab.one(GATE, put), Outcome::Put { .. }));
    lab.one(GATE, delete(bucket, "a"));
    let cost = retire_all(&mut lab);
    lab.check();
    lab.one(GATE, delete(bucket, "b"));
    lab.check();
    assert!(!lab.rows.0.keys().any(|key| key[0] == Table::Extent as u8), "{cost:?}");
}

/// Counts the rows that scans pass.
struct Counting<'a>(&'a MapRows, Cell<usize>);

impl RowSource for Counting<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<bytes::Bytes>, RowError> {
        self.0.get(key)
    }

    fn scan(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &bytes::Bytes) -> ControlFlow<()>,
    ) -> Result<(), RowError> {
        self.0.scan(from, to, &mut |key, value| {
            self.1.set(self.1.get() + 1);
            visit(key, value)
        })
    }
}

#[test]
fn a_retirement_does_not_walk_over_what_went_before() {
    let (mut lab, bucket) = Lab::formed();
    let upload = lab.upload(bucket, "a");
    let extent = lab.put(bucket, "source").1;
    let (count, version) = (9000, VersionId { index: lab.index, ordinal: 0 });
    for number in 1..=count {
        let content = Content::Ranges(vec![ExtentRange { extent, offset: 0, length: LENGTH }]);
        let size = u64::from(LENGTH);
        put(
            &mut lab,
            &(upload, number),
            PartRow { version, modified: WallTime(1), size, md5: [0; 16], checksum: None, content },
        );
    }
    let row = lab.get::<ExtentRow>(&extent).unwrap();
    assert!(matches!(row.place, ExtentPlace::Stripe { .. }));
    put(&mut lab, &extent, ExtentRow { references: u32::from(count) + 1, ..row });
    let bytes = u64::from(count) * u64::from(LENGTH);
    put(&mut lab, &upload, UploadLedgerRow { parts: count, bytes, replaced: None });
    put(&mut lab, &bucket, BucketUploadsRow { uploads: 1, bytes });
    lab.check();
    lab.one(GATE, abort(bucket, "a", upload));
    // All steps in one entry, where what went is still in the rows below.
    let request = Some(lab.request(REPAIR));
    let operations = vec![Operation::RetireUpload { upload }; 12];
    let proposals = vec![Proposal { request, operations, authors: None }];
    let batch = Batch { function: FUNCTION_VERSION, time: WallTime(1), proposals, sure: None };
    let rows = Counting(&lab.rows, Cell::new(0));
    let applied = apply(&rows, LogIndex(lab.index.0 + 1), &batch).unwrap();
    let passed = rows.1.get();
    let done = applied.outcomes[0].iter().filter(|outcome| **outcome == Outcome::Done).count();
    assert!(done > 2 && done < 12, "{done} steps");
    assert!(passed <= 2 * usize::from(count), "{passed} rows passed for {count} parts");
    lab.rows.apply(applied.effects);
    lab.check();
    assert_eq!(lab.get::<ExtentRow>(&extent).unwrap().references, 1);
}
