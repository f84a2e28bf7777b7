//! Objects one by one: put, get, head, delete, and versions on and off.

use aws_sdk_s3::types::{BucketVersioningStatus, Delete, ObjectIdentifier, VersioningConfiguration};
use bytes::Bytes;
use rand::RngExt;
use std::collections::BTreeSet;

use super::bucket::{Condition, Object, PRECONDITION_FAILED, Refusal, Versioning};
use super::worker::{Worker, metadata};

/// What a GET asks for beside the key.
#[derive(Debug)]
enum Wish {
    Whole,
    From(usize),
    Between(usize, usize),
    Last(usize),
    IfTag(String),
    IfNotTag(String),
}

impl Wish {
    /// The bytes that it should bring.
    fn of(&self, object: &Object) -> Result<Bytes, Refusal> {
        let (body, length) = (&object.body, object.body.len());
        let range = match *self {
            Self::From(start) => (start < length).then_some((start, length)),
            Self::Between(start, last) => (start < length).then_some((start, length.min(last + 1))),
            Self::Last(count) => (count > 0).then_some((length.saturating_sub(count), length)),
            Self::IfTag(ref tag) if *tag != object.etag => return Err(PRECONDITION_FAILED),
            // A 304 has no body, and no code in it.
            Self::IfNotTag(ref tag) if *tag == object.etag => return Err((304, "")),
            Self::Whole | Self::IfTag(_) | Self::IfNotTag(_) => Some((0, length)),
        };
        let (start, end) = range.ok_or((416, "InvalidRange"))?;
        Ok(body.slice(start..end))
    }
}

impl Worker {
    pub async fn put(&mut self, of: usize) {
        let (key, body, colour) = (self.key(), self.body(), self.colour());
        let condition = self.condition(of, &key);
        self.doing(of, (&key, body.len(), &condition));
        let expected = self.buckets[of].admits(&key, &condition);
        let mut put = self.s3.put_object().bucket(&self.buckets[of].name).key(&key).body(body.clone().into());
        put = match condition {
            Condition::None => put,
            Condition::Absent => put.if_none_match("*"),
            Condition::Tag(tag) => put.if_match(tag),
        };
        put = put.set_metadata(metadata(colour.as_deref()));
        let answer = put.send().await;
        if let Some(done) = self.judged(expected, answer) {
            let object = Object::new(body, colour);
            self.agree(Some(object.etag.as_str()), done.e_tag());
            self.buckets[of].put(&key, object, done.version_id());
        }
    }

    pub async fn get(&mut self, of: usize) {
        let (key, version) = self.key_and_version(of);
        let found = self.buckets[of].find(&key, version.as_deref());
        let (length, etag) = found.map(|(_, object)| (object.body.len(), object.etag.clone())).unwrap_or_default();
        let wish = match self.chance.random_range(0..12) {
            0..2 => Wish::From(self.chance.random_range(0..=length)),
            2..5 => {
                let start = self.chance.random_range(0..=length);
                Wish::Between(start, start + self.chance.random_range(0..=length))
            }
            5 if length > 0 => Wish::Last(self.chance.random_range(0..=2 * length)),
            6 => Wish::IfTag(self.tag(of, &key)),
            7 => Wish::IfNotTag(if self.chance.random_ratio(1, 2) { etag } else { self.tag(of, &key) }),
            _ => Wish::Whole,
        };
        self.doing(of, (&key, &version, &wish));
        self.get_and_judge(of, &key, version, &wish).await;
    }

    async fn get_and_judge(&mut self, of: usize, key: &str, version: Option<String>, wish: &Wish) {
        let bucket = &self.buckets[of];
        let spoken_of = bucket.versioning != Versioning::Never || version.is_some();
        let found = bucket.find(key, version.as_deref());
        let expected = found.and_then(|(version, object)| Ok((wish.of(object)?, version.clone(), object.clone())));
        let mut get = self.s3.get_object().bucket(&bucket.name).key(key).set_version_id(version);
        get = match wish {
            Wish::Whole => get,
            Wish::From(start) => get.range(format!("bytes={start}-")),
            Wish::Between(start, last) => get.range(format!("bytes={start}-{last}")),
            Wish::Last(count) => get.range(format!("bytes=-{count}")),
            Wish::IfTag(tag) => get.if_match(tag),
            Wish::IfNotTag(tag) => get.if_none_match(tag),
        };
        let answer = get.send().await;
        let Some(done) = self.judged(expected.as_ref().map(drop).map_err(|&refusal| refusal), answer) else { return };
        let (body, version, object) = expected.expect("both said yes");
        self.agree(Some(object.etag.as_str()), done.e_tag());
        self.agree(object.colour.as_ref(), done.metadata().and_then(|metadata| metadata.get("colour")));
        self.agree(spoken_of.then_some(version.id.as_str()), done.version_id());
        let found = done.body.collect().await.unwrap().into_bytes();
        assert!(found == body, "{}: {} bytes were expected, and {} others came", self.at, body.len(), found.len());
    }

    pub async fn head(&mut self, of: usize) {
        let (key, version) = self.key_and_version(of);
        self.doing(of, (&key, &version));
        let bucket = &self.buckets[of];
        let spoken_of = bucket.versioning != Versioning::Never || version.is_some();
        let found = bucket.find(&key, version.as_deref());
        let expected = found.map(|(version, object)| (version.clone(), object.clone()));
        let answer = self.s3.head_object().bucket(&bucket.name).key(&key).set_version_id(version).send().await;
        match (expected, answer) {
            (Ok((version, object)), Ok(done)) => {
                self.agree(Some(object.body.len() as i64), done.content_length());
                self.agree(Some(object.etag.as_str()), done.e_tag());
                self.agree(object.colour.as_ref(), done.metadata().and_then(|metadata| metadata.get("colour")));
                self.agree(spoken_of.then_some(version.id.as_str()), done.version_id());
            }
            // A HEAD has no body, so the status says it all.
            (Err((status, _)), Err(error)) => {
                self.refused();
                self.agree(status, crate::sdk::refusal(error).0);
            }
            (expected, found) => panic!("{}\n expected {expected:?}\n found    {found:?}", self.at),
        }
    }

    pub async fn delete(&mut self, of: usize) {
        let (key, version) = self.key_and_version(of);
        let condition = match self.chance.random_range(0..8) {
            0 if version.is_none() => Condition::Tag(self.tag(of, &key)),
            _ => Condition::None,
        };
        self.doing(of, (&key, &version, &condition));
        let bucket = &mut self.buckets[of];
        let expected = match bucket.admits(&key, &condition) {
            // There is no object, but there is a marker in its place: it does not match.
            Err(_) if bucket.keys.contains_key(&key) => Err(PRECONDITION_FAILED),
            judged => judged,
        };
        let mut delete = self.s3.delete_object().bucket(&bucket.name).key(&key).set_version_id(version.clone());
        if let Condition::Tag(tag) = condition {
            delete = delete.if_match(tag);
        }
        let answer = delete.send().await;
        if let Some(done) = self.judged(expected, answer) {
            let expected = self.buckets[of].delete(&key, version.as_deref(), done.version_id());
            self.agree((expected.marker, expected.version), (done.delete_marker().unwrap_or(false), done.version_id));
        }
    }

    pub async fn delete_many(&mut self, of: usize) {
        let wishes = (0..self.chance.random_range(1..8)).map(|_| self.key_and_version(of)).collect::<Vec<_>>();
        // Each key once: what is answered for it is then told apart by the key.
        let mut seen = BTreeSet::new();
        let wishes: Vec<_> = wishes.into_iter().filter(|(key, _)| seen.insert(key.clone())).collect();
        self.doing(of, &wishes);
        self.delete_and_judge(of, wishes).await;
    }

    async fn delete_and_judge(&mut self, of: usize, wishes: Vec<(String, Option<String>)>) {
        let name = self.buckets[of].name.clone();
        let objects = wishes.iter().map(|(key, version)| {
            ObjectIdentifier::builder().key(key).set_version_id(version.clone()).build().unwrap()
        });
        let delete = Delete::builder().set_objects(Some(objects.collect())).build().unwrap();
        let answer = self.s3.delete_objects().bucket(name).delete(delete).send().await;
        let done = self.judged(Ok(()), answer).expect("it is never refused as a whole");
        self.agree(0, done.errors().len());
        self.agree(wishes.len(), done.deleted().len());
        for (key, version) in wishes {
            let same = |deleted: &&aws_sdk_s3::types::DeletedObject| {
                deleted.key() == Some(&key) && deleted.version_id() == version.as_deref()
            };
            let deleted =
                done.deleted().iter().find(same).unwrap_or_else(|| panic!("{}: {key} has no answer", self.at));
            let expected = self.buckets[of].delete(&key, version.as_deref(), deleted.delete_marker_version_id());
            self.agree(expected.marker, deleted.delete_marker().unwrap_or(false));
            let marker = if expected.marker { expected.version } else { None };
            self.agree(marker.as_deref(), deleted.delete_marker_version_id());
        }
    }

    pub async fn switch_versions(&mut self) {
        // In the other bucket they are never switched on.
        let bucket = &mut self.buckets[1];
        let (versioning, status) = match bucket.versioning {
            Versioning::On => (Versioning::Suspended, BucketVersioningStatus::Suspended),
            Versioning::Never | Versioning::Suspended => (Versioning::On, BucketVersioningStatus::Enabled),
        };
        bucket.versioning = versioning;
        let wanted = VersioningConfiguration::builder().status(status.clone()).build();
        let name = bucket.name.clone();
        self.doing(1, &status);
        let put = self.s3.put_bucket_versioning().bucket(&name).versioning_configuration(wanted).send().await;
        self.judged(Ok(()), put);
        let answer = self.s3.get_bucket_versioning().bucket(&name).send().await;
        let found = self.judged(Ok(()), answer).expect("it was not to be refused");
        self.agree(Some(&status), found.status());
        let answer = self.s3.get_bucket_versioning().bucket(&self.buckets[0].name).send().await;
        let found = self.judged(Ok(()), answer).expect("it was not to be refused");
        self.agree(None, found.status());
    }

    /// Every version that should be there is read; then all of them are deleted, the uploads are aborted, and the bucket goes.
    pub async fn clear(&mut self, of: usize) {
        "at the end".clone_into(&mut self.at);
        self.list_objects_v2(of).await;
        self.list_versions(of).await;
        self.list_uploads(of).await;
        let mut all = Vec::new();
        for (key, versions) in &self.buckets[of].keys {
            all.extend(versions.iter().map(|version| (key.clone(), version.id.clone())));
        }
        for (key, version) in &all {
            self.at = format!("at the end {key} {version}");
            self.get_and_judge(of, key, Some(version.clone()), &Wish::Whole).await;
        }
        let wishes: Vec<_> = all.into_iter().map(|(key, version)| (key, Some(version))).collect();
        for wishes in wishes.chunks(1000) {
            self.delete_and_judge(of, wishes.to_vec()).await;
        }
        self.agree(0, self.buckets[of].keys.len());
        self.list_versions(of).await;
        self.abort_all(of).await;
        let answer = self.s3.delete_bucket().bucket(&self.buckets[of].name).send().await;
        self.judged(Ok(()), answer);
    }
}
