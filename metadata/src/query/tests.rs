//! The queries over a map, against models that look at everything.

mod listing;
mod locate;
mod parts;
mod uploads;
mod versions;

use std::collections::BTreeMap;

use cairn_core::{BucketId, BucketName, LogIndex, ObjectKey, VersionId, WallTime};
use cairn_machine::operation::VersionChoice;
use cairn_machine::row::Row;
use cairn_machine::rows::bucket::{BucketNameRow, BucketRow, Versioning};
use cairn_machine::rows::object::{Attributes, Content, ContentHeaders, Etag, ObjectRow, OlderVersionRow, VersionKind};
use cairn_machine::rows::profile::ProfileId;
use cairn_machine::{MapRows, RowError};
use proptest::prelude::*;

use super::*;

pub(super) const BUCKET: BucketId = BucketId(7 << 16);

pub(super) fn put<R: Row>(rows: &mut MapRows, key: &R::Key, row: &R) {
    rows.apply([(R::key(key), Some(row.encode()))]);
}

pub(super) fn at(index: u64) -> VersionId {
    VersionId { index: LogIndex(index), ordinal: 3 }
}

pub(super) fn object(index: u64, marker: bool) -> ObjectRow {
    let attributes = Attributes {
        size: 0,
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
    let kind = match marker {
        true => VersionKind::DeleteMarker,
        false => VersionKind::Object { attributes, content: Content::Ranges(vec![]) },
    };
    ObjectRow { version: at(index), null: false, modified: WallTime(index), kind, older_null: None }
}

pub(super) fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

/// Keys in the bucket, whether each is a marker, and neighbours in the buckets on both sides that must not show.
pub(super) fn bucket_of(keys: &BTreeMap<String, bool>) -> MapRows {
    let mut rows = MapRows::default();
    for (index, (text, marker)) in (1..).zip(keys) {
        put(&mut rows, &(BUCKET, key(text)), &object(index, *marker));
    }
    for neighbour in [BucketId(BUCKET.0 - 1), BucketId(BUCKET.0 + 1)] {
        for text in ["a", "a/", "\u{10FFFF}", "\0"] {
            put(&mut rows, &(neighbour, key(text)), &object(1, false));
            put(&mut rows, &(neighbour, key(text), at(0)), &OlderVersionRow(object(0, false)));
        }
    }
    rows
}

/// Pieces that keys, prefixes and delimiters are made of: what folds, what sorts next to nothing, what sorts last.
pub(super) fn text(pieces: core::ops::Range<usize>) -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec!["a", "b", "/", "//", "\0", "\u{1}", "\u{FF}", "\u{10FFFF}", "\u{7F}", "ä"]);
    prop::collection::vec(piece, pieces).prop_map(|pieces| pieces.concat())
}

pub(super) fn keys() -> impl Strategy<Value = BTreeMap<String, bool>> {
    prop::collection::btree_map(text(1..6), prop::bool::weighted(0.2), 0..60)
}

#[test]
fn a_name_leads_to_its_bucket() {
    let mut rows = MapRows::default();
    let names: Vec<BucketName> = ["aaa", "aaa.b", "bbb"].map(|name| BucketName::new(name).unwrap()).to_vec();
    for (id, name) in (1..).map(BucketId).zip(&names) {
        put(&mut rows, name, &BucketNameRow { id });
        let row = BucketRow {
            name: name.clone(),
            created: WallTime(1),
            owner: "me".into(),
            versioning: Versioning::Off,
            lock: None,
        };
        put(&mut rows, &id, &row);
    }
    let found = bucket_by_name(&rows, &names[1]).unwrap().unwrap();
    assert_eq!((found.0, found.1.name), (BucketId(2), names[1].clone()));
    assert!(bucket_by_name(&rows, &BucketName::new("aaa.c").unwrap()).unwrap().is_none());
    let listed = |after: Option<&BucketName>, limit| -> Vec<BucketName> {
        buckets(&rows, after, limit).unwrap().into_iter().map(|(name, _, _)| name).collect()
    };
    assert_eq!(listed(None, 10), names);
    assert_eq!(listed(Some(&names[0]), 10), names[1..]);
    assert_eq!(listed(None, 2), names[..2]);
    assert_eq!(listed(Some(&names[2]), 10), []);
    rows.apply([(BucketRow::key(&BucketId(2)), None)]);
    assert!(matches!(bucket_by_name(&rows, &names[1]), Err(RowError::Damaged { .. })));
}

#[test]
fn a_version_is_found_wherever_it_stands() {
    let mut rows = MapRows::default();
    let name = (BUCKET, key("a"));
    put(&mut rows, &name, &ObjectRow { older_null: Some(at(4)), ..object(9, true) });
    for index in [4, 6] {
        let row = ObjectRow { null: index == 4, ..object(index, false) };
        put(&mut rows, &(BUCKET, key("a"), at(index)), &OlderVersionRow(row));
    }
    let found = |choice| version(&rows, BUCKET, &name.1, choice).unwrap().map(|row| row.version.index.0);
    assert_eq!(found(VersionChoice::Newest), Some(9));
    assert_eq!(found(VersionChoice::Null), Some(4));
    assert_eq!(found(VersionChoice::Exactly(at(9))), Some(9));
    assert_eq!(found(VersionChoice::Exactly(at(6))), Some(6));
    assert_eq!(found(VersionChoice::Exactly(at(5))), None);
    put(&mut rows, &name, &object(9, false));
    assert_eq!(version(&rows, BUCKET, &name.1, VersionChoice::Null).unwrap(), None);
    assert_eq!(newest(&rows, BUCKET, &key("b")).unwrap(), None);
}
