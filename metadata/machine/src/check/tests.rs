//! Each checker must be able to fail: rows are broken one way at a time, and the right one says so.

use std::collections::BTreeSet;

use cairn_core::{
    BucketId, ChunkName, DriveId, ExtentId, Geometry, LogIndex, SessionId, StripeId, StripeShape, VersionId,
};
use cairn_core::{BucketName, NodeId, ObjectKey, WallTime, WriteId};

use super::*;
use crate::row::Row;
use crate::rows::bucket::{BucketLedgerRow, BucketNameRow, BucketRow, Versioning};
use crate::rows::config::{BucketConfig, BucketConfigRow, ConfigKind};
use crate::rows::extent::{ExtentPlace, ExtentRow};
use crate::rows::garbage::{GarbageKey, GarbageRow};
use crate::rows::here::HereLedgerRow;
use crate::rows::lock::{BucketLock, VersionLock};
use crate::rows::manifest::{ManifestId, ManifestPageRow, ManifestRow, ManifestState};
use crate::rows::object::{
    Attributes, Content, ContentHeaders, Etag, ExtentRange, ObjectRow, OlderVersionRow, VersionKind,
};
use crate::rows::profile::ProfileId;
use crate::rows::session::{Lease, LeaseRow, SlotRow};
use crate::rows::stripe::{PlacedChunk, StripeLiveRow, StripeRow};
use crate::rows::topology::{DriveLedgerRow, DriveRow, DriveState};
use crate::rows::upload::{BucketUploadsRow, PartRow, UploadId};
use crate::source::MapRows;

pub(crate) const BUCKET: BucketId = BucketId(1 << 16);

pub(crate) fn write(counter: u64) -> WriteId {
    WriteId { session: SessionId(5), counter }
}

pub(crate) fn put<R: Row>(rows: &mut MapRows, key: &R::Key, row: R) {
    rows.apply([(R::key(key), Some(row.encode()))]);
}

pub(crate) fn key(key: &str) -> (BucketId, ObjectKey) {
    (BUCKET, ObjectKey::new(key).unwrap())
}

fn version(index: u64) -> VersionId {
    VersionId { index: LogIndex(index), ordinal: 0 }
}

pub(crate) fn object(index: u64, size: u64, content: Content) -> ObjectRow {
    let attributes = Attributes {
        size,
        etag: Etag { md5: [0; 16], parts: None },
        profile: ProfileId::STANDARD,
        headers: ContentHeaders::default(),
        metadata: vec![],
        checksum: None,
        tags: None,
        upload: None,
        lock: None,
        acl: None,
    };
    let kind = VersionKind::Object { attributes, content };
    ObjectRow { version: version(index), null: true, modified: WallTime(0), kind, older_null: None }
}

/// One bucket, one object of one extent in one stripe on three drives.
pub(crate) fn whole() -> MapRows {
    let mut rows = MapRows::default();
    let name = BucketName::new("bucket").unwrap();
    put(&mut rows, &name, BucketNameRow { id: BUCKET });
    let row = BucketRow { name, created: WallTime(0), owner: "me".into(), versioning: Versioning::Off, lock: None };
    put(&mut rows, &BUCKET, row);
    put(&mut rows, &BUCKET, BucketLedgerRow { objects: 1, versions: 1, bytes: 10 });
    let extent = ExtentId { write: write(1), ordinal: 0 };
    let range = ExtentRange { extent, offset: 0, length: 10 };
    put(&mut rows, &key("a"), object(7, 10, Content::Ranges(vec![range])));
    let stripe = StripeId(write(1));
    let place = ExtentPlace::Stripe { stripe, offset: 0 };
    put(&mut rows, &extent, ExtentRow { place, length: 10, references: 1, profile: ProfileId::STANDARD });
    let shape = StripeShape { geometry: Geometry::new(2, 1).unwrap(), chunk_bytes: 64, block_bytes: 4096 };
    let positions = (0..3).map(|drive| PlacedChunk { drive: DriveId(drive), write: write(1) }).collect();
    put(&mut rows, &stripe, StripeRow { shape, positions });
    put(&mut rows, &stripe, StripeLiveRow { extents: 1, bytes: 10 });
    for drive in 0..3 {
        let row = DriveRow {
            node: NodeId(1),
            weight: 1,
            state: DriveState::Active,
            since: LogIndex(1),
            changed: WallTime(0),
            label: String::new(),
        };
        put(&mut rows, &DriveId(drive), row);
        put(&mut rows, &DriveId(drive), DriveLedgerRow { chunks: 1, bytes: 64, ..Default::default() });
    }
    rows
}

fn found(rows: &MapRows) -> BTreeSet<&'static str> {
    check(rows).unwrap().into_iter().map(|violation| violation.checker).collect()
}

#[test]
fn whole_rows_pass() {
    assert_eq!(check(&whole()).unwrap(), []);
    assert_eq!(check(&MapRows::default()).unwrap(), []);
}

#[test]
fn every_checker_can_fail() {
    let extent = ExtentId { write: write(1), ordinal: 0 };
    let stripe = StripeId(write(1));
    type Break = Box<dyn Fn(&mut MapRows)>;
    let breaks: Vec<(&str, Break)> = vec![
        (
            "buckets_have_one_name",
            Box::new(|rows| put(rows, &BucketName::new("other").unwrap(), BucketNameRow { id: BucketId(9) })),
        ),
        (
            "newest_is_newest",
            Box::new(|rows| {
                let older = OlderVersionRow(object(8, 0, Content::Ranges(vec![])));
                put(rows, &(BUCKET, ObjectKey::new("a").unwrap(), version(8)), older);
            }),
        ),
        (
            "one_null_version_per_key",
            Box::new(|rows| {
                let older = OlderVersionRow(object(6, 0, Content::Ranges(vec![])));
                put(rows, &(BUCKET, ObjectKey::new("a").unwrap(), version(6)), older);
            }),
        ),
        (
            "ranges_lie_in_extents",
            Box::new(move |rows| {
                rows.apply([(ExtentRow::key(&extent), None)]);
            }),
        ),
        (
            "extents_lie_in_stripes",
            Box::new(move |rows| {
                rows.apply([(StripeRow::key(&stripe), None)]);
            }),
        ),
        (
            "stripes_are_placed",
            Box::new(|rows| {
                rows.apply([(DriveRow::key(&DriveId(1)), None)]);
            }),
        ),
        (
            "removed_drives_hold_nothing",
            Box::new(|rows| {
                let row = DriveRow::get(rows, &DriveId(1)).unwrap().unwrap();
                put(rows, &DriveId(1), DriveRow { state: DriveState::Removed, ..row });
            }),
        ),
        (
            "only_the_living_hold",
            Box::new(|rows| {
                put(rows, &Lease::Repair, LeaseRow { holder: SessionId(5), since: LogIndex(1) });
            }),
        ),
        (
            "only_the_living_hold",
            Box::new(|rows| {
                put(rows, &(SessionId(5), 3), SlotRow { number: 3, outcomes: vec![].into() });
            }),
        ),
        (
            "garbage_is_unnamed",
            Box::new(move |rows| {
                let garbage =
                    GarbageKey { index: LogIndex(9), chunk: ChunkName { stripe, position: 1, write: write(1) } };
                put(rows, &garbage, GarbageRow { drive: DriveId(1), bytes: 64 });
            }),
        ),
        (
            "references_balance",
            Box::new(move |rows| {
                let row = ExtentRow::get(rows, &extent).unwrap().unwrap();
                put(rows, &extent, ExtentRow { references: 2, ..row });
            }),
        ),
        ("stripe_lives_balance", Box::new(move |rows| put(rows, &stripe, StripeLiveRow { extents: 1, bytes: 11 }))),
        (
            "bucket_ledgers_balance",
            Box::new(|rows| put(rows, &BUCKET, BucketLedgerRow { objects: 1, versions: 1, bytes: 11 })),
        ),
        ("here_balances", Box::new(|rows| put(rows, &(), HereLedgerRow { extents: 1, bytes: 5 }))),
        ("drive_ledgers_balance", Box::new(|rows| put(rows, &DriveId(2), DriveLedgerRow::default()))),
        (
            "manifests_are_whole",
            Box::new(|rows| {
                put(rows, &(ManifestId(write(4)), 0), ManifestPageRow { offset: 0, ranges: vec![] });
            }),
        ),
        (
            "manifests_are_whole",
            Box::new(|rows| {
                let state = ManifestState::Pending(SessionId(5));
                put(rows, &ManifestId(write(4)), ManifestRow { state, pages: 1, bytes: 5, parts: None });
            }),
        ),
        (
            "locks_stand_on_versions",
            Box::new(|rows| {
                let row = BucketRow::get(rows, &BUCKET).unwrap().unwrap();
                put(rows, &BUCKET, BucketRow { lock: Some(BucketLock::default()), ..row });
            }),
        ),
        (
            "locks_stand_on_versions",
            Box::new(|rows| {
                let mut row = ObjectRow::get(rows, &key("a")).unwrap().unwrap();
                let VersionKind::Object { attributes, .. } = &mut row.kind else { unreachable!() };
                attributes.lock = Some(VersionLock::default());
                put(rows, &key("a"), row);
            }),
        ),
        (
            "configurations_have_a_bucket",
            Box::new(|rows| {
                let config = BucketConfig::Tags(vec![]);
                put(rows, &(BucketId(99), ConfigKind::Tags), BucketConfigRow { config });
            }),
        ),
        (
            "parts_have_an_upload",
            Box::new(|rows| {
                let content = Content::Ranges(vec![]);
                let (version, modified) = (version(9), WallTime(1));
                let part = PartRow { version, modified, size: 0, md5: [0; 16], checksum: None, content };
                put(rows, &(UploadId(version), 1), part);
            }),
        ),
        ("upload_ledgers_balance", Box::new(|rows| put(rows, &BUCKET, BucketUploadsRow { uploads: 1, bytes: 0 }))),
        (
            "rows_are_bounded",
            Box::new(|rows| {
                put(rows, &(SessionId(5), 3), SlotRow { number: 3, outcomes: vec![0; 2 << 20].into() });
            }),
        ),
    ];
    let mut covered = BTreeSet::new();
    for (checker, break_it) in breaks {
        let mut rows = whole();
        break_it(&mut rows);
        assert!(found(&rows).contains(checker), "{checker} is blind: {:?}", check(&rows));
        covered.insert(checker);
    }
    let all: BTreeSet<_> = CHECKERS.iter().map(|checker| checker.name).collect();
    assert_eq!(covered, all);
}
