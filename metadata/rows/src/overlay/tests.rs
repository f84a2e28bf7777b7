//! One suite that every overlay must pass.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::memory::MemoryOverlays;
use super::sled::SledOverlays;
use super::*;

type Model = BTreeMap<Vec<u8>, BTreeMap<u64, Option<Bytes>>>;

fn newest(versions: &BTreeMap<u64, Option<Bytes>>, at: u64) -> Option<Option<Bytes>> {
    versions.range(..=at).next_back().map(|(_, value)| value.clone())
}

fn check(overlay: &dyn Overlay, model: &Model, from: &[u8], to: &[u8], at: u64, limit: usize) {
    for (key, versions) in model {
        assert_eq!(overlay.get(key, LogIndex(at)).unwrap(), newest(versions, at), "key {key:?} at {at}");
    }
    let expected: Vec<Row> = model
        .iter()
        .filter(|(key, _)| key.as_slice() >= from && key.as_slice() < to)
        .filter_map(|(key, versions)| Some((Bytes::copy_from_slice(key), newest(versions, at)?)))
        .collect();
    let mut page = Vec::new();
    overlay.page(from, Some(to), LogIndex(at), limit, &mut page).unwrap();
    assert_eq!(page, expected.into_iter().take(limit).collect::<Vec<_>>(), "{from:?} to {to:?} at {at}");

    let all: Vec<Version> = model
        .iter()
        .flat_map(|(key, versions)| versions.iter().rev().map(move |(index, value)| (key, index, value)))
        .map(|(key, index, value)| Version {
            key: Bytes::copy_from_slice(key),
            index: LogIndex(*index),
            value: value.clone(),
        })
        .collect();
    let mut found: Vec<Version> = Vec::new();
    loop {
        let last = found.last().cloned();
        let before = found.len();
        overlay.versions(last.as_ref().map(|v| (v.key.as_ref(), v.index)), limit, &mut found).unwrap();
        if found.len() - before < limit {
            break;
        }
    }
    assert_eq!(found, all);
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(vec![0u8, 1, b'a', 255]), 1..4)
}

fn value() -> impl Strategy<Value = Option<Bytes>> {
    let lengths = prop_oneof![Just(0usize), 1..40usize, Just(super::sled::INLINE_BYTES_MAX + 1)];
    prop::option::weighted(0.8, (lengths, any::<u8>()).prop_map(|(length, byte)| Bytes::from(vec![byte; length])))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn overlays_agree_with_a_map(
        writes in prop::collection::vec((key(), value(), any::<bool>()), 1..200),
        probes in prop::collection::vec((key(), key(), 0u64..220, 1usize..30), 6),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let sled = SledOverlays::discard_and_open(directory.path()).unwrap();
        let overlays = [MemoryOverlays.fresh().unwrap(), sled.fresh().unwrap()];
        let mut model = Model::new();
        let mut index = 1;
        for (key, value, next) in writes {
            let versions = model.entry(key.clone()).or_default();
            if next || versions.contains_key(&index) {
                index += 1;
            }
            versions.insert(index, value.clone());
            for overlay in &overlays {
                overlay.write(LogIndex(index), &[(Bytes::from(key.clone()), value.clone())]).unwrap();
            }
        }
        for (from, to, at, limit) in probes {
            for overlay in &overlays {
                check(overlay.as_ref(), &model, &from, &to, at, limit);
            }
        }
    }
}

fn row(key: &str, value: Option<&str>) -> Row {
    (Bytes::copy_from_slice(key.as_bytes()), value.map(|value| Bytes::copy_from_slice(value.as_bytes())))
}

#[test]
fn a_row_of_many_versions_is_jumped_over() {
    let directory = tempfile::tempdir().unwrap();
    let sled = SledOverlays::discard_and_open(directory.path()).unwrap();
    for overlay in [MemoryOverlays.fresh().unwrap(), sled.fresh().unwrap()] {
        for index in 1..=1000 {
            overlay.write(LogIndex(index), &[row("counter", Some(&index.to_string()))]).unwrap();
        }
        overlay.write(LogIndex(3), &[row("z", Some("last"))]).unwrap();
        for at in [1, 3, 500, 1000] {
            let mut page = Vec::new();
            overlay.page(b"a", None, LogIndex(at), 10, &mut page).unwrap();
            assert_eq!(page[0].1.as_deref(), Some(at.to_string().as_bytes()));
            assert_eq!(page.len(), if at < 3 { 1 } else { 2 });
        }
    }
}

#[test]
fn an_overlay_of_an_earlier_start_is_gone_and_a_dropped_one_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(directory.path().join("overlay-00000000/blobs")).unwrap();
    let sled = SledOverlays::discard_and_open(directory.path()).unwrap();
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    let overlay = sled.fresh().unwrap();
    overlay.write(LogIndex(1), &[row("a", None)]).unwrap();
    drop(overlay);
    // The last of sled's own threads to let go removes the directory, and that may be a moment later.
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while std::fs::read_dir(directory.path()).unwrap().count() > 0 {
        assert!(std::time::Instant::now() < patience, "the directory of a dropped overlay stays");
        std::thread::yield_now();
    }
}

#[test]
fn a_directory_that_fails_is_passed_over_once() {
    let directory = tempfile::tempdir().unwrap();
    let sled = SledOverlays::discard_and_open(directory.path()).unwrap();
    let in_the_way = |number: u32| std::fs::write(directory.path().join(format!("overlay-{number:08}")), b"x").unwrap();
    in_the_way(0);
    let overlay = sled.fresh().unwrap();
    overlay.write(LogIndex(1), &[row("a", None)]).unwrap();
    drop(overlay);
    in_the_way(2);
    in_the_way(3);
    assert!(matches!(sled.fresh(), Err(OverlayError::Store(_) | OverlayError::Panicked(_))));
    SledOverlays::discard_and_open(directory.path()).unwrap().fresh().unwrap();
}
