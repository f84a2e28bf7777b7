//! Listing against a model that looks at every key.

use super::*;

/// What a listing shows, by looking at everything.
fn model(keys: &BTreeMap<String, bool>, prefix: &str, delimiter: Option<&str>) -> Vec<String> {
    let mut shown: Vec<String> = Vec::new();
    for key in keys.iter().filter(|(key, marker)| key.starts_with(prefix) && !**marker).map(|(key, _)| key) {
        let delimiter = delimiter.filter(|delimiter| !delimiter.is_empty());
        let folded = delimiter.and_then(|delimiter| {
            let at = key[prefix.len()..].find(delimiter)?;
            Some(format!("P{}", &key[..prefix.len() + at + delimiter.len()]))
        });
        let entry = folded.unwrap_or_else(|| format!("K{key}"));
        if shown.last() != Some(&entry) {
            shown.push(entry);
        }
    }
    shown
}

fn shown(page: &ListPage) -> Vec<String> {
    page.entries
        .iter()
        .map(|entry| match entry {
            ListEntry::Object { key, .. } => format!("K{}", key.as_str()),
            ListEntry::CommonPrefix(prefix) => format!("P{prefix}"),
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn all_pages_together_are_what_is_there(
        keys in keys(), prefix in text(0..3), delimiter in prop::option::of(text(0..3)), limit in 1usize..9,
    ) {
        let rows = bucket_of(&keys);
        let delimiter = delimiter.as_deref();
        let expected = model(&keys, &prefix, delimiter);
        let mut start_after = None;
        let mut all = Vec::new();
        loop {
            let request = ListRequest { bucket: BUCKET, prefix: &prefix, delimiter, start_after, limit };
            let page = list(&rows, &request).unwrap();
            prop_assert!(page.entries.len() <= limit);
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
    fn a_listing_starts_behind_any_key(
        keys in keys(), prefix in text(0..3), start in text(1..5), delimiter in prop::option::of(text(1..2)),
    ) {
        let rows = bucket_of(&keys);
        let mut request = ListRequest {
            bucket: BUCKET,
            prefix: &prefix,
            delimiter: delimiter.as_deref(),
            start_after: Some(ListStart::Key(start.clone())),
            limit: 1000,
        };
        let later: BTreeMap<String, bool> = keys.clone().into_iter().filter(|(key, _)| *key > start).collect();
        prop_assert_eq!(shown(&list(&rows, &request).unwrap()), model(&later, &prefix, delimiter.as_deref()));
        request.start_after = Some(ListStart::CommonPrefix(start.clone()));
        let later: BTreeMap<String, bool> =
            keys.into_iter().filter(|(key, _)| *key > start && !key.starts_with(&start)).collect();
        prop_assert_eq!(shown(&list(&rows, &request).unwrap()), model(&later, &prefix, delimiter.as_deref()));
    }
}

#[test]
fn a_page_without_room_is_empty() {
    let rows = bucket_of(&BTreeMap::from([("a".to_owned(), false)]));
    let request = ListRequest { bucket: BUCKET, prefix: "", delimiter: None, start_after: None, limit: 0 };
    assert_eq!(list(&rows, &request).unwrap(), ListPage::default());
}

#[test]
fn a_desert_of_delete_markers_ends_the_page_and_not_the_listing() {
    let mut keys: BTreeMap<String, bool> = (0..40_000).map(|n| (format!("{n:05}"), true)).collect();
    keys.insert("00003".into(), false);
    keys.insert("z".into(), false);
    let rows = bucket_of(&keys);
    let (mut start_after, mut all, mut pages) = (None, Vec::new(), 0);
    loop {
        let request = ListRequest { bucket: BUCKET, prefix: "", delimiter: None, start_after, limit: 1000 };
        let page = list(&rows, &request).unwrap();
        all.extend(shown(&page));
        pages += 1;
        start_after = page.next;
        if start_after.is_none() {
            break;
        }
    }
    assert_eq!(all, ["K00003", "Kz"]);
    assert_eq!(pages, 3);
}
