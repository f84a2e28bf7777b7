//! GET and HEAD: which version, whether the client wants it, which bytes of it, and what is said beside them.

use core::ops::Range;
use std::collections::HashMap;

use cairn_machine::rows::lock::VersionLock;
use cairn_machine::rows::object::{Checksum, ContentHeaders};
use http::HeaderMap;
use s3s::S3Request;
use s3s::dto::{
    ChecksumType, ETag, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, StorageClass, Timestamp,
};

use super::lookup::{self, Found};
use super::part::{self, Part};
use super::preconditions::{self, ReadConditions};
use super::{lock, range, storage_class};
use crate::authority::situation::Judged;
use crate::fault::Fault;
use crate::front::Core;
use crate::mended::AsSent;
use crate::names;

/// What AWS says of an object whose type nobody said.
const CONTENT_TYPE_DEFAULT: &str = "binary/octet-stream";

/// What a read asks for, besides the object.
struct Asked<'a> {
    version: Option<&'a str>,
    part: Option<i32>,
    checksum: bool,
    /// As they were sent: what s3s makes of conditions and ranges is less than they say.
    headers: &'a HeaderMap,
}

/// What is said of the bytes that are read: the same for GET and HEAD.
struct Said {
    content_length: i64,
    content_range: Option<String>,
    content: ContentHeaders,
    checksum: Option<Checksum>,
    /// Whether the object's own checksum is one of its parts' checksums. What is said of a part says so too.
    composite: bool,
    e_tag: ETag,
    last_modified: Timestamp,
    metadata: Option<HashMap<String, String>>,
    lock: VersionLock,
    parts_count: Option<i32>,
    storage_class: Option<StorageClass>,
    tag_count: Option<i32>,
    version_id: Option<String>,
}

/// Finds the version, judges the conditions, and decides which of its bytes are meant.
async fn decide(core: &Core, bucket: &str, key: String, asked: Asked<'_>) -> Result<(Found, Range<u64>, Said), Fault> {
    let number = asked.part.map(part::number).transpose()?;
    let found = lookup::find(core, bucket, key, asked.version).await?;
    let Found { attributes, modified, .. } = &found;
    let (size, etag) = (attributes.size, attributes.etag);
    ReadConditions::from_headers(asked.headers, "").judge(&etag, *modified)?;
    let sent = range::sent(asked.headers);
    if sent.is_some() && number.is_some() {
        return Err(part::not_with_a_range());
    }
    let part = number.map(|number| part::find(&found, number)).transpose()?;
    let sent = sent.filter(|_| preconditions::range_applies(asked.headers, &etag, *modified));
    let range = match &part {
        Some(part) => part.range.clone(),
        None => range::resolve(sent.as_ref(), size)?,
    };
    // A part without bytes is nothing that a range could name: it is answered like a whole object.
    let partial = (sent.is_some() || part.is_some()) && !range.is_empty();
    let (whole, parts_count) = (attributes.checksum.as_ref(), part.as_ref().and_then(|part| part.of));
    // A checksum is only said of the bytes that it is over.
    let checksum = match &part {
        Some(Part { checksum, .. }) => checksum.clone(),
        None => whole.filter(|_| sent.is_none()).cloned(),
    };
    let said = Said {
        content_length: i64::try_from(range.end - range.start).expect("an object has at most 5 TiB"),
        content_range: partial.then(|| range::content_range(&range, size)),
        content: attributes.headers.clone(),
        checksum: checksum.filter(|_| asked.checksum),
        composite: whole.is_some_and(|checksum| checksum.parts.is_some()),
        e_tag: names::etag(&etag),
        last_modified: names::timestamp(*modified),
        metadata: (!attributes.metadata.is_empty()).then(|| attributes.metadata.iter().cloned().collect()),
        lock: attributes.lock.unwrap_or_default(),
        parts_count: parts_count.map(i32::from),
        tag_count: attributes.tags.as_ref().map(Vec::len).filter(|count| *count > 0).map(|count| count as i32),
        storage_class: storage_class::in_header(&found.view, attributes.profile)?,
        version_id: found.version_id.clone(),
    };
    Ok((found, range, said))
}

/// Where the object's own list decided who may read it, it must be the same object. One that was replaced meanwhile has
/// another list, and whoever asks again is judged by that.
fn still(judged: Option<&Judged>, found: &Found) -> Result<(), Fault> {
    match judged {
        Some(Judged(version)) if *version != found.version => Err(Fault::Busy),
        _ => Ok(()),
    }
}

/// s3s has a type for each of the two answers, with the same fields.
macro_rules! answer {
    ($output:ident, $said:expr, $checksum:path) => {{
        let Said { content, checksum, .. } = $said;
        let mut output = $output {
            accept_ranges: Some("bytes".to_owned()),
            cache_control: content.cache_control,
            content_disposition: content.content_disposition,
            content_encoding: content.content_encoding,
            content_language: content.content_language,
            content_length: Some($said.content_length),
            content_range: $said.content_range,
            content_type: Some(content.content_type.unwrap_or_else(|| CONTENT_TYPE_DEFAULT.to_owned())),
            e_tag: Some($said.e_tag),
            expires: content.expires,
            last_modified: Some($said.last_modified),
            metadata: $said.metadata,
            object_lock_legal_hold_status: $said.lock.legal_hold.map(lock::hold_shown),
            object_lock_mode: $said.lock.retention.map(|retention| lock::mode_in_header(retention.mode)),
            object_lock_retain_until_date: $said.lock.retention.map(|retention| names::timestamp(retention.until)),
            parts_count: $said.parts_count,
            storage_class: $said.storage_class,
            tag_count: $said.tag_count,
            version_id: $said.version_id,
            website_redirect_location: content.website_redirect,
            ..$output::default()
        };
        if let Some(checksum) = &checksum {
            $checksum(checksum, &mut output);
            if $said.composite {
                output.checksum_type = Some(ChecksumType::from_static(ChecksumType::COMPOSITE));
            }
        }
        output
    }};
}

/// Answers a GET. The `response-*` parameters are put into the answer by s3s.
pub async fn get(core: &Core, request: S3Request<GetObjectInput>) -> Result<GetObjectOutput, Fault> {
    let S3Request { input, headers, extensions, .. } = request;
    let asked = Asked {
        version: input.version_id.as_deref(),
        part: input.part_number,
        checksum: input.checksum_mode.is_some(),
        headers: extensions.get::<AsSent>().map_or(&headers, |sent| &sent.0),
    };
    let (found, range, said) = decide(core, &input.bucket, input.key, asked).await?;
    still(extensions.get::<Judged>(), &found)?;
    let mut output = answer!(GetObjectOutput, said, names::get_checksum);
    output.body = Some(core.reader.read(found.view, found.content, range).await?);
    Ok(output)
}

/// Answers a HEAD.
pub async fn head(core: &Core, request: S3Request<HeadObjectInput>) -> Result<HeadObjectOutput, Fault> {
    let S3Request { input, headers, extensions, .. } = request;
    let asked = Asked {
        version: input.version_id.as_deref(),
        part: input.part_number,
        checksum: input.checksum_mode.is_some(),
        headers: extensions.get::<AsSent>().map_or(&headers, |sent| &sent.0),
    };
    let (found, _, mut said) = decide(core, &input.bucket, input.key, asked).await?;
    still(extensions.get::<Judged>(), &found)?;
    let kept = said.content;
    said.content = ContentHeaders {
        content_type: input.response_content_type.or(kept.content_type),
        content_encoding: input.response_content_encoding.or(kept.content_encoding),
        content_disposition: input.response_content_disposition.or(kept.content_disposition),
        content_language: input.response_content_language.or(kept.content_language),
        cache_control: input.response_cache_control.or(kept.cache_control),
        expires: input.response_expires.map(http_expires).or(kept.expires),
        website_redirect: kept.website_redirect,
    };
    Ok(answer!(HeadObjectOutput, said, names::head_checksum))
}

fn http_expires(time: Timestamp) -> String {
    let time = std::time::SystemTime::from(time::OffsetDateTime::from(time));
    httpdate::fmt_http_date(time)
}
