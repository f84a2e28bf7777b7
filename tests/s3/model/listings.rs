//! Listings, with random prefixes, delimiters and pages: of objects in both forms, of versions, and of uploads.

use rand::RngExt;
use rand::seq::IndexedRandom;

use super::bucket::Bucket;
use super::worker::Worker;

const PREFIXES: [&str; 10] = ["", "", "a", "a/", "a/b", "b/", "ü", "d=1", "z", "nothing"];
const DELIMITERS: [&str; 8] = ["", "", "/", "/", "//", "=", ",e", "\u{308}"];
const PAGES: [i32; 6] = [1, 2, 3, 7, 20, 1000];

/// What a listing asks for.
#[derive(Debug)]
struct Wish {
    prefix: &'static str,
    delimiter: &'static str,
    page: i32,
}

impl Wish {
    /// The common prefix under which a key is shown, if it is shown under one.
    fn rolled<'a>(&self, key: &'a str) -> Option<&'a str> {
        let rest = key.strip_prefix(self.prefix)?;
        let at = rest.find(self.delimiter).filter(|_| !self.delimiter.is_empty())?;
        Some(&key[..self.prefix.len() + at + self.delimiter.len()])
    }

    fn delimiter(&self) -> Option<String> {
        Some(self.delimiter.to_owned()).filter(|delimiter| !delimiter.is_empty())
    }

    /// The keys that are shown themselves, and the common prefixes.
    fn split<'a, T>(&self, all: impl Iterator<Item = (&'a str, T)>) -> (Vec<T>, Vec<String>) {
        let (mut shown, mut prefixes) = (Vec::new(), Vec::new());
        for (key, item) in all.filter(|(key, _)| key.starts_with(self.prefix)) {
            match self.rolled(key) {
                None => shown.push(item),
                Some(prefix) if prefixes.last().is_none_or(|last| last != prefix) => prefixes.push(prefix.to_owned()),
                Some(_) => {}
            }
        }
        (shown, prefixes)
    }

    /// A page has no more than it may, and one that is not the last has something.
    fn holds(&self, count: usize, truncated: Option<bool>) {
        assert!(count <= self.page as usize, "{count} items on a page of {}", self.page);
        assert!(count > 0 || truncated != Some(true), "an empty page that is not the last");
    }
}

/// A version as a listing shows it: key, id, whether it is the latest, ETag and size.
type Shown = (String, String, bool, String, i64);

fn objects(bucket: &Bucket) -> impl Iterator<Item = (&str, (String, String, i64))> {
    bucket.keys.iter().filter_map(|(key, versions)| {
        let object = versions.last()?.object.as_ref()?;
        Some((key.as_str(), (key.clone(), object.etag.clone(), object.body.len() as i64)))
    })
}

fn common(prefixes: &[aws_sdk_s3::types::CommonPrefix]) -> impl Iterator<Item = String> {
    prefixes.iter().map(|prefix| prefix.prefix().unwrap().to_owned())
}

fn shown(object: &aws_sdk_s3::types::Object) -> (String, String, i64) {
    (object.key().unwrap().to_owned(), object.e_tag().unwrap().to_owned(), object.size().unwrap())
}

impl Worker {
    fn wish(&mut self, of: usize) -> Wish {
        let wish = Wish {
            prefix: PREFIXES.choose(&mut self.chance).expect("there are prefixes"),
            delimiter: DELIMITERS.choose(&mut self.chance).expect("there are delimiters"),
            page: *PAGES.choose(&mut self.chance).expect("there are pages"),
        };
        self.doing(of, &wish);
        wish
    }

    pub async fn list_objects(&mut self, of: usize) {
        let wish = self.wish(of);
        let expected = wish.split(objects(&self.buckets[of]));
        let mut found = (Vec::new(), Vec::new());
        let mut marker = None;
        loop {
            let list = self.s3.list_objects().bucket(&self.buckets[of].name).prefix(wish.prefix).max_keys(wish.page);
            let answer = list.set_delimiter(wish.delimiter()).set_marker(marker).send().await;
            let page = self.judged(Ok(()), answer).expect("it was not to be refused");
            wish.holds(page.contents().len() + page.common_prefixes().len(), page.is_truncated());
            found.0.extend(page.contents().iter().map(shown));
            found.1.extend(common(page.common_prefixes()));
            if page.is_truncated() != Some(true) {
                break;
            }
            // The next marker is named where there is a delimiter; else it is the last key.
            let last = page.contents().last().and_then(|object| object.key());
            marker = Some(page.next_marker().or(last).unwrap().to_owned());
        }
        self.agree(expected, found);
    }

    pub async fn list_objects_v2(&mut self, of: usize) {
        let wish = self.wish(of);
        let after = self.chance.random_ratio(1, 4).then(|| self.key());
        self.at.push_str(&format!(" after {after:?}"));
        let later = |(key, _): &(&str, _)| after.as_deref().is_none_or(|after| *key > after);
        let (expected, mut prefixes) = wish.split(objects(&self.buckets[of]).filter(later));
        // A common prefix that the listing is to start after is not shown, though there are keys below it.
        prefixes.retain(|prefix| after.as_deref().is_none_or(|after| prefix.as_str() > after));
        let mut found = (Vec::new(), Vec::new());
        let mut token = None;
        loop {
            let list = self.s3.list_objects_v2().bucket(&self.buckets[of].name).prefix(wish.prefix).max_keys(wish.page);
            let list = list.set_start_after(after.clone()).set_delimiter(wish.delimiter());
            let answer = list.set_continuation_token(token).send().await;
            let page = self.judged(Ok(()), answer).expect("it was not to be refused");
            let count = page.contents().len() + page.common_prefixes().len();
            wish.holds(count, page.is_truncated());
            self.agree(Some(count as i32), page.key_count());
            found.0.extend(page.contents().iter().map(shown));
            found.1.extend(common(page.common_prefixes()));
            if page.is_truncated() != Some(true) {
                break;
            }
            token = Some(page.next_continuation_token().unwrap().to_owned());
        }
        self.agree((expected, prefixes), found);
    }

    pub async fn list_versions(&mut self, of: usize) {
        let wish = self.wish(of);
        let all = self.buckets[of].keys.iter().flat_map(|(key, versions)| {
            versions.iter().rev().enumerate().map(move |(at, version)| (key.as_str(), (key, at == 0, version)))
        });
        let (each, prefixes) = wish.split(all);
        let (mut expected, mut markers) = (Vec::<Shown>::new(), Vec::new());
        for (key, latest, version) in each {
            match &version.object {
                None => markers.push((key.clone(), version.id.clone(), latest)),
                Some(object) => {
                    let (etag, length) = (object.etag.clone(), object.body.len() as i64);
                    expected.push((key.clone(), version.id.clone(), latest, etag, length));
                }
            }
        }
        let mut found = (Vec::<Shown>::new(), Vec::new(), Vec::new());
        let (mut key, mut id) = (None, None);
        loop {
            let name = &self.buckets[of].name;
            let list = self.s3.list_object_versions().bucket(name).prefix(wish.prefix).max_keys(wish.page);
            let list = list.set_delimiter(wish.delimiter()).set_key_marker(key).set_version_id_marker(id);
            let answer = list.send().await;
            let page = self.judged(Ok(()), answer).expect("it was not to be refused");
            let count = page.versions().len() + page.delete_markers().len() + page.common_prefixes().len();
            wish.holds(count, page.is_truncated());
            found.0.extend(page.versions().iter().map(|version| {
                let (key, id) = (version.key().unwrap().to_owned(), version.version_id().unwrap().to_owned());
                let etag = version.e_tag().unwrap().to_owned();
                (key, id, version.is_latest().unwrap(), etag, version.size().unwrap())
            }));
            found.1.extend(page.delete_markers().iter().map(|marker| {
                let (key, id) = (marker.key().unwrap().to_owned(), marker.version_id().unwrap().to_owned());
                (key, id, marker.is_latest().unwrap())
            }));
            found.2.extend(common(page.common_prefixes()));
            if page.is_truncated() != Some(true) {
                break;
            }
            (key, id) = (page.next_key_marker, page.next_version_id_marker);
            assert!(key.is_some(), "{}: a page that is not the last says where to go on", self.at);
        }
        self.agree((expected, markers, prefixes), found);
    }

    pub async fn list_uploads(&mut self, of: usize) {
        let wish = self.wish(of);
        let mut all: Vec<_> = self.buckets[of].uploads.iter().map(|upload| (&upload.key, &upload.id)).collect();
        // Those of one key come in the order in which they were made, and so they stand in the model.
        all.sort_by_key(|(key, _)| *key);
        let each = all.into_iter().map(|(key, id)| (key.as_str(), (key.clone(), id.clone())));
        let expected = wish.split(each);
        let mut found = (Vec::new(), Vec::new());
        let (mut key, mut id) = (None, None);
        loop {
            let name = &self.buckets[of].name;
            let list = self.s3.list_multipart_uploads().bucket(name).prefix(wish.prefix).max_uploads(wish.page);
            let list = list.set_delimiter(wish.delimiter()).set_key_marker(key).set_upload_id_marker(id);
            let answer = list.send().await;
            let page = self.judged(Ok(()), answer).expect("it was not to be refused");
            wish.holds(page.uploads().len() + page.common_prefixes().len(), page.is_truncated());
            found.0.extend(
                page.uploads()
                    .iter()
                    .map(|upload| (upload.key().unwrap().to_owned(), upload.upload_id().unwrap().to_owned())),
            );
            found.1.extend(common(page.common_prefixes()));
            if page.is_truncated() != Some(true) {
                break;
            }
            (key, id) = (page.next_key_marker, page.next_upload_id_marker);
            assert!(key.is_some(), "{}: a page that is not the last says where to go on", self.at);
        }
        self.agree(expected, found);
    }
}
