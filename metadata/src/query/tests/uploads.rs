//! Listing uploads and their parts against models that look at everything.

use std::collections::BTreeSet;

use cairn_machine::rows::upload::{PartRow, UploadId, UploadRow};

use super::*;

fn row(initiated: u64) -> UploadRow {
    UploadRow {
        initiated: WallTime(initiated),
        initiator: "me".into(),
        profile: ProfileId::STANDARD,
        headers: ContentHeaders::default(),
        metadata: vec![],
        tags: None,
        checksum: None,
        lock: None,
        acl: None,
    }
}

fn id(index: u64) -> UploadId {
    UploadId(at(index))
}

/// Uploads of these keys in the bucket, and of others in the buckets on both sides.
fn uploads_of(uploads: &BTreeSet<(String, u64)>) -> MapRows {
    let mut rows = MapRows::default();
    for (text, index) in uploads {
        put(&mut rows, &(BUCKET, key(text), id(*index)), &row(*index));
    }
    for neighbour in [BucketId(BUCKET.0 - 1), BucketId(BUCKET.0 + 1)] {
        for text in ["a", "a/", "\u{10FFFF}", "\0"] {
            put(&mut rows, &(neighbour, key(text), id(1)), &row(1));
        }
    }
    rows
}

fn uploads() -> impl Strategy<Value = BTreeSet<(String, u64)>> {
    prop::collection::btree_set((text(1..5), 0u64..4), 0..50)
}

/// What a listing shows, by looking at everything.
fn model<'a>(
    uploads: impl IntoIterator<Item = &'a (String, u64)>,
    prefix: &str,
    delimiter: Option<&str>,
) -> Vec<String> {
    let mut shown: Vec<String> = Vec::new();
    for (key, upload) in uploads.into_iter().filter(|(key, _)| key.starts_with(prefix)) {
        let folded = delimiter.filter(|delimiter| !delimiter.is_empty()).and_then(|delimiter| {
            let at = key[prefix.len()..].find(delimiter)?;
            Some(format!("P{}", &key[..prefix.len() + at + delimiter.len()]))
        });
        let entry = folded.unwrap_or_else(|| format!("K{key} {upload}"));
        if shown.last() != Some(&entry) {
            shown.push(entry);
        }
    }
    shown
}

fn shown(page: &UploadsPage) -> Vec<String> {
    let show = |entry: &UploadsEntry| match entry {
        UploadsEntry::Upload { key, upload, row } => {
            assert_eq!(row.initiated.0, upload.0.index.0);
            format!("K{} {}", key.as_str(), upload.0.index.0)
        }
        UploadsEntry::CommonPrefix(prefix) => format!("P{prefix}"),
    };
    page.entries.iter().map(show).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn all_pages_together_are_what_is_under_way(
        uploads in uploads(), prefix in text(0..3), delimiter in prop::option::of(text(0..3)), limit in 1usize..9,
    ) {
        let rows = uploads_of(&uploads);
        let delimiter = delimiter.as_deref();
        let expected = model(&uploads, &prefix, delimiter);
        let (mut start_after, mut all) = (None, Vec::new());
        loop {
            let request = UploadsRequest { bucket: BUCKET, prefix: &prefix, delimiter, start_after, limit };
            let page = list_uploads(&rows, &request).unwrap();
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
    fn a_listing_starts_behind_any_key_and_any_upload(
        uploads in uploads(), prefix in text(0..3), start in text(1..5), upload in 0u64..5,
        delimiter in prop::option::of(text(1..2)),
    ) {
        let rows = uploads_of(&uploads);
        let delimiter = delimiter.as_deref();
        let listed = |start_after| {
            let request = UploadsRequest { bucket: BUCKET, prefix: &prefix, delimiter, start_after, limit: 1000 };
            shown(&list_uploads(&rows, &request).unwrap())
        };
        let later = |kept: &dyn Fn(&(String, u64)) -> bool| {
            model(uploads.iter().filter(|upload| kept(upload)), &prefix, delimiter)
        };
        prop_assert_eq!(listed(Some(UploadsStart::Key(start.clone()))), later(&|(key, _)| *key > start));
        let behind = (start.clone(), upload);
        let marker = UploadsStart::Upload { key: start.clone(), upload: id(upload) };
        prop_assert_eq!(listed(Some(marker)), later(&|upload| *upload > behind));
        let folded = later(&|(key, _)| *key > start && !key.starts_with(&start));
        prop_assert_eq!(listed(Some(UploadsStart::CommonPrefix(start.clone()))), folded);
    }

    #[test]
    fn parts_are_listed_in_pages(
        numbers in prop::collection::btree_set(1u16..40, 0..20), start in 0u16..45, limit in 1usize..6,
    ) {
        let mut rows = MapRows::default();
        for upload in [id(6), id(7), id(8)] {
            // The neighbours have other parts.
            for number in numbers.iter().map(|number| if upload == id(7) { *number } else { number + 500 }) {
                let content = Content::Ranges(vec![]);
                let version = at(u64::from(number));
                let part =
                    PartRow { version, modified: WallTime(1), size: 0, md5: [0; 16], checksum: None, content };
                put(&mut rows, &(upload, number), &part);
            }
        }
        let (mut behind, mut all) = (start, Vec::new());
        loop {
            let (parts, more) = upload_parts(&rows, id(7), behind, limit).unwrap();
            prop_assert!(parts.len() <= limit && (!more || parts.len() == limit));
            for (number, part) in &parts {
                prop_assert_eq!(part.version, at(u64::from(*number)));
            }
            all.extend(parts.iter().map(|(number, _)| *number));
            if !more {
                break;
            }
            behind = *all.last().unwrap();
        }
        prop_assert_eq!(all, numbers.into_iter().filter(|number| *number > start).collect::<Vec<_>>());
    }
}

#[test]
fn one_upload_and_one_part_are_found_by_their_whole_names() {
    let mut rows = uploads_of(&BTreeSet::from([("a".to_owned(), 3)]));
    assert_eq!(upload(&rows, BUCKET, &key("a"), id(3)).unwrap(), Some(row(3)));
    assert_eq!(upload(&rows, BUCKET, &key("a"), id(2)).unwrap(), None);
    assert_eq!(upload(&rows, BUCKET, &key("b"), id(3)).unwrap(), None);
    let content = Content::Ranges(vec![]);
    let part = PartRow { version: at(9), modified: WallTime(1), size: 0, md5: [0; 16], checksum: None, content };
    put(&mut rows, &(id(3), 2), &part);
    assert_eq!(upload_part(&rows, id(3), 2).unwrap(), Some(part));
    assert_eq!(upload_part(&rows, id(3), 1).unwrap(), None);
    let nothing = UploadsRequest { bucket: BUCKET, prefix: "", delimiter: None, start_after: None, limit: 0 };
    assert_eq!(list_uploads(&rows, &nothing).unwrap(), UploadsPage::default());
    // Rows that make no sense are damage, and no short list.
    rows.apply([(PartRow::key(&(id(3), 5)), Some(vec![1, 0xFF].into()))]);
    assert!(matches!(upload_parts(&rows, id(3), 0, 9), Err(RowError::Damaged { .. })));
}
