//! What balances passes, in steps of any size; each count that is wrong is found, and named.

use cairn_core::{ExtentId, StripeId};

use super::*;
use crate::check::tests::{BUCKET, key, object, put, whole, write};
use crate::rows::object::ExtentRange;
use crate::source::MapRows;

pub(crate) fn audit(rows: &MapRows, step: usize) -> Balance {
    let mut audit = Audit::default();
    while !audit.step(rows, step).unwrap() {}
    audit.finish()
}

#[test]
fn what_balances_passes_in_steps_of_any_size() {
    let rows = whole();
    let balance = audit(&rows, 1);
    assert_eq!(balance.imbalances, []);
    assert_eq!(balance, audit(&rows, 3));
    assert_eq!(balance, audit(&rows, 1000));
    assert_eq!((balance.rows, balance.stripes, balance.extents), (rows.0.len() as u64, 1, 1));
    let (name, ledger) = &balance.buckets[&BUCKET];
    assert_eq!(name.as_ref().unwrap().as_str(), "bucket");
    assert_eq!(*ledger, BucketLedgerRow { objects: 1, versions: 1, bytes: 10 });
    assert_eq!(balance.drives[&DriveId(2)].bytes, 64);
    assert_eq!(audit(&MapRows::default(), 5), Balance::default());
}

#[test]
fn each_count_that_is_wrong_is_found_and_named() {
    let extent = ExtentId { write: write(1), ordinal: 0 };
    let stripe = StripeId(write(1));
    let row = move |references| {
        let place = ExtentPlace::Stripe { stripe, offset: 0 };
        ExtentRow { place, length: 10, references, profile: crate::rows::profile::ProfileId::STANDARD }
    };
    type Break = Box<dyn Fn(&mut MapRows)>;
    let breaks: Vec<(&str, Break)> = vec![
        ("bucket bucket", Box::new(|rows| put(rows, &BUCKET, BucketLedgerRow { objects: 2, versions: 1, bytes: 10 }))),
        ("bucket bucket", Box::new(|rows| put(rows, &BUCKET, BucketLedgerRow { objects: 1, versions: 1, bytes: 11 }))),
        ("bucket 0000000000000009", Box::new(|rows| put(rows, &BucketId(9), BucketLedgerRow::default()))),
        (
            "drive 0000000000000001",
            Box::new(|rows| put(rows, &DriveId(1), DriveLedgerRow { chunks: 2, bytes: 64, ..Default::default() })),
        ),
        (
            "drive 0000000000000001",
            Box::new(|rows| {
                let ledger = DriveLedgerRow { chunks: 1, bytes: 64, garbage_chunks: 1, garbage_bytes: 5 };
                put(rows, &DriveId(1), ledger);
            }),
        ),
        ("what stands in the metadata", Box::new(|rows| put(rows, &(), HereLedgerRow { extents: 1, bytes: 1 }))),
        ("references to extent", Box::new(move |rows| put(rows, &extent, row(2)))),
        ("references to extent", Box::new(move |rows| rows.apply([(ExtentRow::key(&extent), None)]))),
        (
            "references to manifest",
            Box::new(|rows| put(rows, &key("a"), object(7, 10, Content::Manifest(ManifestId(write(4)))))),
        ),
        ("extents in stripe", Box::new(move |rows| put(rows, &stripe, StripeLiveRow { extents: 2, bytes: 10 }))),
        ("bytes that live in stripe", Box::new(move |rows| put(rows, &stripe, StripeLiveRow { extents: 1, bytes: 9 }))),
        (
            "version",
            Box::new(move |rows| {
                let ranges = vec![ExtentRange { extent, offset: 0, length: 9 }];
                put(rows, &key("a"), object(7, 10, Content::Ranges(ranges)));
            }),
        ),
        ("uploads to bucket bucket", Box::new(|rows| put(rows, &BUCKET, BucketUploadsRow { uploads: 1, bytes: 0 }))),
    ];
    for (of, break_it) in breaks {
        let mut rows = whole();
        break_it(&mut rows);
        for step in [2, 1000] {
            let found = audit(&rows, step).imbalances;
            assert!(found.iter().any(|imbalance| imbalance.of.starts_with(of)), "{of}: {found:?}");
        }
    }
}

#[test]
fn of_thousands_that_are_counted_only_the_wrong_one_is_named() {
    let mut rows = whole();
    let extent = |n: u64| ExtentId { write: write(100 + n), ordinal: 7 };
    for n in 0..3000 {
        let place = ExtentPlace::Here { bytes: vec![1].into(), hash: *blake3::hash(&[1]).as_bytes() };
        let references = if n == 1234 { 3 } else { 1 };
        let row = ExtentRow { place, length: 1, references, profile: crate::rows::profile::ProfileId::STANDARD };
        put(&mut rows, &extent(n), row);
        let ranges = vec![ExtentRange { extent: extent(n), offset: 0, length: 1 }];
        put(&mut rows, &key(&format!("k{n}")), object(1000 + n, 1, Content::Ranges(ranges)));
    }
    put(&mut rows, &BUCKET, BucketLedgerRow { objects: 3001, versions: 3001, bytes: 3010 });
    put(&mut rows, &(), HereLedgerRow { extents: 3000, bytes: 3000 });
    let found = audit(&rows, 128).imbalances;
    let [wrong] = &found[..] else { panic!("{found:?}") };
    assert_eq!(wrong.of, format!("references to extent {}", extent(1234)));
    assert_eq!((wrong.kept.as_str(), wrong.counted.as_str()), ("3", "1"));
}
