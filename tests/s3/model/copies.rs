//! Copies, within a bucket and from one to the other.

use aws_sdk_s3::types::MetadataDirective;
use rand::RngExt;

use super::bucket::{Condition, Object, PRECONDITION_FAILED, Refusal};
use super::worker::{Worker, metadata};

impl Worker {
    pub async fn copy(&mut self, of: usize) {
        let from = usize::from(self.chance.random_ratio(1, 2));
        let (source, version) = self.key_and_version(from);
        let key = if self.chance.random_ratio(1, 10) { source.clone() } else { self.key() };
        let replaced = self.chance.random_ratio(1, 3).then(|| self.colour());
        let condition = self.condition(of, &key);
        let demand = match self.chance.random_range(0..10) {
            0 => Some((true, self.tag(from, &source))),
            1 => Some((false, self.tag(from, &source))),
            _ => None,
        };
        let found = self.source(from, &source, version.as_deref());
        // What comes of an object that becomes itself depends on which version of it is meant; only the plain case is tried.
        let itself = from == of && source == key;
        if itself && (version.is_some() || found.is_err()) {
            return;
        }
        self.doing(of, (from, &source, &version, &key, &replaced, &condition, &demand));
        let mut expected = found;
        if let (Ok(object), Some((equal, tag))) = (&expected, &demand)
            && (object.etag == *tag) != *equal
        {
            expected = Err(PRECONDITION_FAILED);
        }
        if itself && replaced.is_none() && expected.is_ok() {
            expected = Err((400, "InvalidRequest"));
            if demand.is_some() || !matches!(condition, Condition::None) {
                return;
            }
        }
        let expected = expected.and_then(|object| self.buckets[of].admits(&key, &condition).map(|()| object));
        let mut copy = self.s3.copy_object().bucket(&self.buckets[of].name).key(&key);
        copy = copy.copy_source(named(&self.buckets[from].name, &source, version.as_deref()));
        copy = match condition {
            Condition::None => copy,
            Condition::Absent => copy.if_none_match("*"),
            Condition::Tag(tag) => copy.if_match(tag),
        };
        copy = match demand {
            None => copy,
            Some((true, tag)) => copy.copy_source_if_match(tag),
            Some((false, tag)) => copy.copy_source_if_none_match(tag),
        };
        if let Some(colour) = &replaced {
            copy = copy.metadata_directive(MetadataDirective::Replace).set_metadata(metadata(colour.as_deref()));
        }
        let answer = copy.send().await;
        let Some(done) = self.judged(expected.as_ref().map(drop).map_err(|&refusal| refusal), answer) else { return };
        let mut object = expected.expect("both said yes");
        if let Some(colour) = replaced {
            object.colour = colour;
        }
        let etag = done.copy_object_result().and_then(|result| result.e_tag()).unwrap_or_default();
        // The copy of an object that came in parts may have a tag of its own; that of any other is the MD5 of its bytes.
        if !object.etag.contains('-') {
            self.agree(object.etag.as_str(), etag);
        }
        etag.clone_into(&mut object.etag);
        self.buckets[of].put(&key, object, done.version_id());
    }

    /// The object that a copy reads.
    pub fn source(&self, of: usize, key: &str, version: Option<&str>) -> Result<Object, Refusal> {
        let found = self.buckets[of].find(key, version).map(|(_, object)| object.clone());
        // A delete marker cannot be read, and for a copy that is a mistake in the request.
        found.map_err(|refusal| if refusal.0 == 405 { (400, "InvalidRequest") } else { refusal })
    }
}

/// A source as the header names it: percent-encoded, which the SDK leaves to its caller.
pub fn named(bucket: &str, key: &str, version: Option<&str>) -> String {
    let encoded = key.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    let version = version.map(|id| format!("?versionId={id}")).unwrap_or_default();
    format!("{bucket}/{}{version}", encoded.collect::<String>())
}
