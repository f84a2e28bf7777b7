//! What a request that makes an object says about it beside the bytes.

use std::collections::HashMap;

use cairn_machine::rows::lock::VersionLock;
use cairn_machine::rows::object::{Attributes, Checksum, ContentHeaders, Etag};
use cairn_machine::rows::profile::ProfileId;
use s3s::dto::{
    CopyObjectInput, CreateMultipartUploadInput, ObjectLockLegalHoldStatus, ObjectLockMode, PutObjectInput,
    StorageClass, Timestamp,
};
use s3s::{S3Error, s3_error};

use super::lock;
use crate::tags::{self, Tags};

/// The most bytes of user metadata, names and values together: what S3 allows.
const METADATA_BYTES_MAX: usize = 2 * 1024;

/// The most bytes of the headers that are kept: what S3 allows for all of a request's.
const CONTENT_HEADERS_BYTES_MAX: usize = 8 * 1024;

/// What a client said, checked, before its bytes are there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Described {
    /// The headers that are given back.
    pub headers: ContentHeaders,
    /// `x-amz-meta-*`, sorted.
    pub metadata: Vec<(String, String)>,
    /// `x-amz-tagging`.
    pub tags: Option<Tags>,
    /// `x-amz-storage-class`, where it was sent. [`storage_class::profile`](super::storage_class::profile) says what it means.
    pub class: Option<StorageClass>,
    /// `x-amz-object-lock-*`.
    pub lock: Option<VersionLock>,
}

/// What a request sent of it, unchecked.
#[derive(Debug)]
pub struct Sent {
    headers: ContentHeaders,
    metadata: Option<HashMap<String, String>>,
    tagging: Option<String>,
    class: Option<StorageClass>,
    mode: Option<ObjectLockMode>,
    until: Option<Timestamp>,
    hold: Option<ObjectLockLegalHoldStatus>,
}

/// A request that describes an object. s3s names the fields of each alike, and shares no type between them.
pub trait Describes {
    /// Takes it out of the request.
    fn take(&mut self) -> Sent;
}

macro_rules! describes {
    ($($input:ty),*) => { $(
        impl Describes for $input {
            fn take(&mut self) -> Sent {
                let headers = ContentHeaders {
                    content_type: self.content_type.take(),
                    content_encoding: self.content_encoding.take(),
                    content_disposition: self.content_disposition.take(),
                    content_language: self.content_language.take(),
                    cache_control: self.cache_control.take(),
                    expires: self.expires.take(),
                    website_redirect: None,
                };
                let (metadata, tagging, class) = (self.metadata.take(), self.tagging.take(), self.storage_class.take());
                let (mode, hold) = (self.object_lock_mode.take(), self.object_lock_legal_hold_status.take());
                let until = self.object_lock_retain_until_date.take();
                Sent { headers, metadata, tagging, class, mode, until, hold }
            }
        }
    )* };
}

describes!(PutObjectInput, CopyObjectInput, CreateMultipartUploadInput);

impl Described {
    /// Takes it out of a request.
    pub fn take(input: &mut impl Describes) -> Result<Self, S3Error> {
        let Sent { mut headers, metadata, tagging, class, mode, until, hold } = input.take();
        headers.content_encoding = headers.content_encoding.and_then(|value| without_aws_chunked(&value));
        let tags = tagging.map(|text| tags::of_header(&text)).transpose()?.filter(|tags| !tags.is_empty());
        let (mode, hold) =
            (mode.as_ref().map(ObjectLockMode::as_str), hold.as_ref().map(ObjectLockLegalHoldStatus::as_str));
        let lock = lock::of_headers(mode, until, hold)?;
        let described = Self { headers, metadata: sorted(metadata.unwrap_or_default()), tags, class, lock };
        if bytes_of(&described.metadata) > METADATA_BYTES_MAX {
            return Err(s3_error!(MetadataTooLarge));
        }
        if described.headers.weight() > CONTENT_HEADERS_BYTES_MAX {
            return Err(s3_error!(InvalidRequest, "Your request header section exceeds the maximum allowed size."));
        }
        Ok(described)
    }

    /// About how many bytes an operation with these takes in the log, beside its key.
    pub fn weight(&self) -> usize {
        let pairs = |pairs: &[(String, String)]| bytes_of(pairs) + 8 * pairs.len();
        pairs(&self.metadata) + self.headers.weight() + self.tags.as_deref().map_or(0, pairs)
    }

    /// The attributes, once the bytes are known.
    pub fn attributes(self, profile: ProfileId, size: u64, etag: Etag, checksum: Option<Checksum>) -> Attributes {
        let Self { headers, metadata, tags, class: _, lock } = self;
        Attributes { size, etag, profile, headers, metadata, checksum, tags, upload: None, lock, acl: None }
    }
}

fn bytes_of(pairs: &[(String, String)]) -> usize {
    pairs.iter().map(|(name, value)| name.len() + value.len()).sum()
}

fn sorted(metadata: HashMap<String, String>) -> Vec<(String, String)> {
    let mut metadata: Vec<_> = metadata.into_iter().collect();
    metadata.sort();
    metadata
}

/// `aws-chunked` is how the bytes travelled, not what they are.
fn without_aws_chunked(value: &str) -> Option<String> {
    let kept: Vec<_> = value
        .split(',')
        .map(str::trim)
        .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("aws-chunked"))
        .collect();
    (!kept.is_empty()).then(|| kept.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coding_of_the_journey_is_not_kept() {
        for (sent, kept) in [
            ("aws-chunked", None),
            ("aws-chunked,gzip", Some("gzip")),
            ("gzip, aws-chunked", Some("gzip")),
            ("gzip", Some("gzip")),
            ("deflate,aws-chunked ,gzip", Some("deflate, gzip")),
            ("", None),
        ] {
            assert_eq!(without_aws_chunked(sent).as_deref(), kept, "{sent}");
        }
    }

    #[test]
    fn metadata_is_bounded_and_sorted() {
        let metadata = Some(HashMap::from([("b".into(), "2".into()), ("a".into(), "1".into())]));
        let mut input = PutObjectInput { metadata, ..PutObjectInput::default() };
        let described = Described::take(&mut input).unwrap();
        assert_eq!(described.metadata, [("a".into(), "1".into()), ("b".to_owned(), "2".to_owned())]);
        for (value, code) in [(2047, None), (2048, Some("MetadataTooLarge"))] {
            input.metadata = Some(HashMap::from([("a".into(), "x".repeat(value))]));
            let error = Described::take(&mut input).err();
            assert_eq!(error.map(|error| error.code().as_str().to_owned()).as_deref(), code);
        }
    }

    #[test]
    fn tags_weigh_and_are_checked() {
        let mut input = PutObjectInput { tagging: Some("b=2&a=1".into()), ..PutObjectInput::default() };
        let tagged = Described::take(&mut input).unwrap();
        assert_eq!(tagged.tags, Some(vec![("a".into(), "1".into()), ("b".to_owned(), "2".to_owned())]));
        assert!(tagged.weight() > Described::default().weight());
        input.tagging = Some("a=1&a=2".into());
        assert_eq!(Described::take(&mut input).unwrap_err().code().as_str(), "InvalidTag");
        input.tagging = Some(String::new());
        assert_eq!(Described::take(&mut input).unwrap().tags, None);
    }
}
