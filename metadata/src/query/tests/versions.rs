//! Listing versions against a model that looks at every row.

use super::*;

/// Keys with the indexes of their versions, newest first.
fn histories() -> impl Strategy<Value = BTreeMap<String, Vec<u64>>> {
    let versions = prop::collection::btree_set(1u64..1000, 1..5).prop_map(|set| set.into_iter().rev().collect());
    prop::collection::btree_map(text(1..5), versions, 0..30)
}

fn rows_of(histories: &BTreeMap<String, Vec<u64>>) -> MapRows {
    let mut rows = bucket_of(&BTreeMap::new());
    for (text, versions) in histories {
        put(&mut rows, &(BUCKET, key(text)), &object(versions[0], versions[0] % 3 == 0));
        for &index in &versions[1..] {
            put(&mut rows, &(BUCKET, key(text), at(index)), &OlderVersionRow(object(index, index % 3 == 0)));
        }
    }
    rows
}

fn model(histories: &BTreeMap<String, Vec<u64>>, prefix: &str, delimiter: Option<&str>) -> Vec<String> {
    let mut shown: Vec<String> = Vec::new();
    for (key, versions) in histories.iter().filter(|(key, _)| key.starts_with(prefix)) {
        let folded = delimiter.filter(|delimiter| !delimiter.is_empty()).and_then(|delimiter| {
            let at = key[prefix.len()..].find(delimiter)?;
            Some(format!("P{}", &key[..prefix.len() + at + delimiter.len()]))
        });
        match folded {
            Some(folded) if shown.last() == Some(&folded) => {}
            Some(folded) => shown.push(folded),
            None => {
                let version = |(place, index): (usize, &u64)| format!("K{key} {index} {}", place == 0);
                shown.extend(versions.iter().enumerate().map(version));
            }
        }
    }
    shown
}

fn shown(page: &VersionPage) -> Vec<String> {
    let show = |entry: &VersionEntry| match entry {
        VersionEntry::Version { key, row, latest } => format!("K{} {} {latest}", key.as_str(), row.version.index),
        VersionEntry::CommonPrefix(prefix) => format!("P{prefix}"),
    };
    page.entries.iter().map(show).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn all_pages_together_are_every_version(
        histories in histories(), prefix in text(0..3), delimiter in prop::option::of(text(0..2)), limit in 1usize..7,
    ) {
        let rows = rows_of(&histories);
        let delimiter = delimiter.as_deref();
        let expected = model(&histories, &prefix, delimiter);
        let (mut start_after, mut all) = (None, Vec::new());
        loop {
            let request = VersionRequest { bucket: BUCKET, prefix: &prefix, delimiter, start_after, limit };
            let page = list_versions(&rows, &request).unwrap();
            prop_assert!(page.next.is_none() || page.entries.len() == limit);
            all.extend(shown(&page));
            start_after = page.next;
            if start_after.is_none() {
                break;
            }
            prop_assert!(all.len() < expected.len(), "a next page has something");
        }
        prop_assert_eq!(all, expected);
    }

    #[test]
    fn a_listing_starts_behind_any_version(histories in histories(), start in text(1..4), index in 1u64..1000) {
        let rows = rows_of(&histories);
        let ask = |start_after| {
            let start_after = Some(start_after);
            list_versions(&rows, &VersionRequest { bucket: BUCKET, prefix: "", delimiter: None, start_after, limit: 999 })
        };
        let later = |keep: &dyn Fn(&str) -> bool| -> BTreeMap<String, Vec<u64>> {
            histories.clone().into_iter().filter(|(key, _)| keep(key)).collect()
        };
        let page = ask(VersionStart::Key(start.clone())).unwrap();
        prop_assert_eq!(shown(&page), model(&later(&|key| key > start.as_str()), "", None));
        // Behind a version of a key: its older ones, then everything behind the key.
        let page = ask(VersionStart::Version { key: start.clone(), version: at(index) }).unwrap();
        let versions = histories.get(&start).map_or(&[][..], |versions| &versions[1..]);
        let mut expected: Vec<String> =
            versions.iter().filter(|&&older| older < index).map(|older| format!("K{start} {older} false")).collect();
        expected.extend(model(&later(&|key| key > start.as_str()), "", None));
        prop_assert_eq!(shown(&page), expected);
    }
}
