//! GET and HEAD: which version, whether the client wants it, and what goes with its bytes.

use core::ops::Range;
use std::collections::HashMap;

use cairn_core::{BucketId, WallTime};
use cairn_machine::rows::bucket::Versioning;
use cairn_machine::rows::object::{Attributes, Content, ContentHeaders, Etag, ObjectRow, VersionKind};
use cairn_metadata::{View, query};
use s3s::S3Request;
use s3s::dto::{GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, Range as SentRange};

use super::preconditions::{self, ReadConditions};
use super::range;
use crate::fault::Fault;
use crate::front::Core;
use crate::names;

/// What AWS says of an object whose type nobody said.
const CONTENT_TYPE_DEFAULT: &str = "binary/octet-stream";

/// A version that was found and is wanted.
struct Found {
    view: View,
    attributes: Attributes,
    content: Content,
    modified: WallTime,
    version_id: Option<String>,
    range: Range<u64>,
    /// Whether only a part was asked for.
    partial: bool,
}

/// What a read asks for.
struct Wanted<'a> {
    bucket: &'a str,
    key: String,
    version: Option<&'a str>,
    conditions: ReadConditions,
    range: Option<SentRange>,
    if_range: Option<&'a str>,
}

impl Wanted<'_> {
    async fn find(self, core: &Core) -> Result<Found, Fault> {
        let name = names::bucket(self.bucket).map_err(|_| Fault::NoSuchBucket)?;
        let key = names::key(self.key)?;
        let choice = names::version(self.version)?;
        let view = core.stripes.client.read().await?;
        let (bucket, bucket_row) = query::bucket_by_name(&view, &name)?.ok_or(Fault::NoSuchBucket)?;
        let row = Self::row(&view, bucket, &key, self.version.is_some(), choice)?;
        let ObjectRow { version, null, modified, kind, .. } = row;
        let VersionKind::Object { attributes, content } = kind else {
            let named = self.version.is_some().then_some(modified);
            return Err(Fault::DeleteMarker { version_id: names::version_id(version, null), named });
        };
        self.conditions.judge(&attributes.etag, modified)?;
        let asked = self.range.as_ref().filter(|_| range_applies(self.if_range, &attributes.etag, modified));
        let range = range::resolve(asked, attributes.size)?;
        let partial = asked.is_some();
        // A bucket that never kept versions does not speak of them.
        let kept = bucket_row.versioning != Versioning::Off;
        let version_id = (kept || self.version.is_some()).then(|| names::version_id(version, null));
        Ok(Found { view, attributes, content, modified, version_id, range, partial })
    }

    fn row(
        view: &View,
        bucket: BucketId,
        key: &cairn_core::ObjectKey,
        named: bool,
        choice: cairn_machine::operation::VersionChoice,
    ) -> Result<ObjectRow, Fault> {
        let found = if named { query::version(view, bucket, key, choice)? } else { query::newest(view, bucket, key)? };
        found.ok_or(if named { Fault::NoSuchVersion } else { Fault::NoSuchKey })
    }
}

/// `If-Range`: the part is only wanted of the version that the client has the rest of.
fn range_applies(if_range: Option<&str>, etag: &Etag, modified: WallTime) -> bool {
    let Some(condition) = if_range else { return true };
    if let Ok(date) = httpdate::parse_http_date(condition) {
        let known = date.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
        return known == modified.as_millis() / 1000;
    }
    // A weak tag never says that bytes are equal.
    let tag = condition.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
    tag.and_then(preconditions::parse).as_ref() == Some(etag)
}

fn metadata(pairs: Vec<(String, String)>) -> Option<HashMap<String, String>> {
    (!pairs.is_empty()).then(|| pairs.into_iter().collect())
}

/// Answers a GET.
pub async fn get(core: &Core, request: S3Request<GetObjectInput>) -> Result<GetObjectOutput, Fault> {
    let S3Request { input, headers, .. } = request;
    let wanted = Wanted {
        bucket: &input.bucket,
        key: input.key,
        version: input.version_id.as_deref(),
        conditions: ReadConditions {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
            if_modified_since: input.if_modified_since,
            if_unmodified_since: input.if_unmodified_since,
        },
        range: input.range,
        if_range: headers.get(http::header::IF_RANGE).and_then(|value| value.to_str().ok()),
    };
    let Found { view, attributes, content, modified, version_id, range, partial } = wanted.find(core).await?;
    let Attributes { size, etag, headers, metadata: pairs, checksum, .. } = attributes;
    let mut output = GetObjectOutput {
        accept_ranges: Some("bytes".to_owned()),
        content_length: Some(length(&range)),
        content_range: partial.then(|| range::content_range(&range, size)),
        e_tag: Some(names::etag(&etag)),
        last_modified: Some(names::timestamp(modified)),
        metadata: metadata(pairs),
        version_id,
        ..GetObjectOutput::default()
    };
    if let Some(checksum) = checksum.filter(|_| input.checksum_mode.is_some() && !partial) {
        names::get_checksum(&checksum, &mut output);
    }
    let ContentHeaders {
        content_type,
        content_encoding,
        content_disposition,
        content_language,
        cache_control,
        expires,
        ..
    } = headers;
    output.content_type = Some(content_type.unwrap_or_else(|| CONTENT_TYPE_DEFAULT.to_owned()));
    output.content_encoding = content_encoding;
    output.content_disposition = content_disposition;
    output.content_language = content_language;
    output.cache_control = cache_control;
    output.expires = expires;
    output.body = Some(core.reader.read(view, content, range).await?);
    Ok(output)
}

/// Answers a HEAD.
pub async fn head(core: &Core, request: S3Request<HeadObjectInput>) -> Result<HeadObjectOutput, Fault> {
    let S3Request { input, headers, .. } = request;
    let wanted = Wanted {
        bucket: &input.bucket,
        key: input.key,
        version: input.version_id.as_deref(),
        conditions: ReadConditions {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
            if_modified_since: input.if_modified_since,
            if_unmodified_since: input.if_unmodified_since,
        },
        range: input.range,
        if_range: headers.get(http::header::IF_RANGE).and_then(|value| value.to_str().ok()),
    };
    let Found { attributes, modified, version_id, range, partial, .. } = wanted.find(core).await?;
    let Attributes { size, etag, headers, metadata: pairs, checksum, .. } = attributes;
    let mut output = HeadObjectOutput {
        accept_ranges: Some("bytes".to_owned()),
        content_length: Some(length(&range)),
        content_range: partial.then(|| range::content_range(&range, size)),
        e_tag: Some(names::etag(&etag)),
        last_modified: Some(names::timestamp(modified)),
        metadata: metadata(pairs),
        version_id,
        ..HeadObjectOutput::default()
    };
    if let Some(checksum) = checksum.filter(|_| input.checksum_mode.is_some() && !partial) {
        names::head_checksum(&checksum, &mut output);
    }
    let ContentHeaders {
        content_type,
        content_encoding,
        content_disposition,
        content_language,
        cache_control,
        expires,
        ..
    } = headers;
    output.content_type =
        Some(input.response_content_type.or(content_type).unwrap_or_else(|| CONTENT_TYPE_DEFAULT.to_owned()));
    output.content_encoding = input.response_content_encoding.or(content_encoding);
    output.content_disposition = input.response_content_disposition.or(content_disposition);
    output.content_language = input.response_content_language.or(content_language);
    output.cache_control = input.response_cache_control.or(cache_control);
    output.expires = input.response_expires.map(http_expires).or(expires);
    Ok(output)
}

fn http_expires(time: s3s::dto::Timestamp) -> String {
    let time = std::time::SystemTime::from(time::OffsetDateTime::from(time));
    httpdate::fmt_http_date(time)
}

fn length(range: &Range<u64>) -> i64 {
    i64::try_from(range.end - range.start).expect("an object has at most 5 TiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_only_given_of_the_version_that_the_client_has() {
        let etag = Etag { md5: [0xAB; 16], parts: None };
        let modified = WallTime(784_111_777_900);
        let strong = format!("\"{etag}\"");
        for (if_range, applies) in [
            (None, true),
            (Some(strong.as_str()), true),
            (Some(&*format!("W/{strong}")), false),
            (Some("\"other\""), false),
            (Some("Sun, 06 Nov 1994 08:49:37 GMT"), true),
            (Some("Sun, 06 Nov 1994 08:49:38 GMT"), false),
        ] {
            assert_eq!(range_applies(if_range, &etag, modified), applies, "{if_range:?}");
        }
    }
}
