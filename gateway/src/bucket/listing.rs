//! Pages of a bucket's keys: ListObjects and ListObjectsV2, which ask the same in two ways.

use cairn_core::BucketId;
use cairn_machine::RowError;
use cairn_machine::rows::acl::Acl;
use cairn_machine::rows::object::Attributes;
use cairn_metadata::View;
use cairn_metadata::query::{self, ListEntry, ListPage, ListRequest, ListStart};
use s3s::dto::{
    ChecksumAlgorithm, ChecksumType, CommonPrefix, EncodingType, ListObjectsInput, ListObjectsOutput,
    ListObjectsV2Input, ListObjectsV2Output, Object, Owner,
};
use s3s::{S3Result, s3_error};

use super::{token, url_encoding};
use crate::authority::lists;
use crate::digest;
use crate::fault::Fault;
use crate::front::Core;
use crate::names;
use crate::object::storage_class;

/// The most entries in a page: what S3 gives, whatever is asked for.
const PAGE_MAX: usize = 1000;

/// What both requests ask for.
struct Asked<'a> {
    bucket: &'a str,
    prefix: &'a str,
    delimiter: Option<&'a str>,
    start: Option<ListStart>,
    max_keys: usize,
    url: bool,
    owner: bool,
}

/// What both answers show.
struct Page {
    /// Whether texts are encoded: where that was asked for, and where XML could not carry one of them.
    url: bool,
    contents: Vec<Object>,
    prefixes: Vec<CommonPrefix>,
    next: Option<ListStart>,
}

/// Who owns what has this list: whoever put it, or the owner of the bucket.
pub fn owner_by(acl: Option<&Acl>, of_bucket: &Owner) -> Owner {
    let writer = acl.and_then(|acl| acl.owner.as_deref());
    // The owner of the cluster writes for the owner of the bucket, and is no writer of its own.
    writer.map_or_else(|| of_bucket.clone(), |writer| lists::shown_owner(writer, ""))
}

impl Asked<'_> {
    async fn page(self, core: &Core) -> Result<Page, Fault> {
        let name = names::bucket(self.bucket).map_err(|_| Fault::NoSuchBucket)?;
        let view = core.stripes.client.read().await?;
        let (bucket, row) = query::bucket_by_name(&view, &name)?.ok_or(Fault::NoSuchBucket)?;
        if self.max_keys == 0 {
            return Ok(Page { url: self.url, contents: Vec::new(), prefixes: Vec::new(), next: None });
        }
        let owner = self.owner.then(|| core.owner_of(&row));
        let page = query::list(&view, &self.request(bucket))?;
        Ok(self.show(&view, page, owner.as_ref())?)
    }

    fn request(&self, bucket: BucketId) -> ListRequest<'_> {
        ListRequest {
            bucket,
            prefix: self.prefix,
            delimiter: self.delimiter,
            start_after: self.start.clone(),
            limit: self.max_keys,
        }
    }

    fn show(&self, view: &View, page: ListPage, owner: Option<&Owner>) -> Result<Page, RowError> {
        let url = self.url || !page.entries.iter().all(|entry| names::fits_xml(name_of(entry)));
        let mut shown = Page { url, contents: Vec::new(), prefixes: Vec::new(), next: page.next };
        for entry in page.entries {
            match entry {
                ListEntry::CommonPrefix(prefix) => {
                    shown.prefixes.push(CommonPrefix { prefix: Some(encoded(prefix.as_ref(), url)) });
                }
                ListEntry::Object { key, row } => {
                    let Some((attributes, _)) = row.object() else { continue };
                    let (checksum_algorithm, checksum_type) = checksum(attributes);
                    shown.contents.push(Object {
                        checksum_algorithm,
                        checksum_type,
                        e_tag: Some(names::etag(&attributes.etag)),
                        key: Some(encoded(key.as_str(), url)),
                        last_modified: Some(names::timestamp(row.modified)),
                        owner: owner.map(|of_bucket| owner_by(attributes.acl.as_ref(), of_bucket)),
                        size: Some(i64::try_from(attributes.size).expect("an object has at most 5 TiB")),
                        storage_class: Some(storage_class::name(view, attributes.profile)?.into()),
                        ..Object::default()
                    });
                }
            }
        }
        Ok(shown)
    }
}

fn name_of(entry: &ListEntry) -> &str {
    match entry {
        ListEntry::Object { key, .. } => key.as_str(),
        ListEntry::CommonPrefix(prefix) => prefix.as_ref(),
    }
}

/// Which checksum is kept, as listings show it.
pub(crate) fn checksum(attributes: &Attributes) -> (Option<Vec<ChecksumAlgorithm>>, Option<ChecksumType>) {
    let Some(checksum) = &attributes.checksum else { return (None, None) };
    let name = digest::name_and_length(checksum.kind).0.to_ascii_uppercase();
    let kind = if checksum.parts.is_some() { ChecksumType::COMPOSITE } else { ChecksumType::FULL_OBJECT };
    (Some(vec![ChecksumAlgorithm::from(name)]), Some(ChecksumType::from_static(kind)))
}

pub(crate) fn encoded(text: &str, url: bool) -> String {
    if url { url_encoding::encode(text) } else { text.to_owned() }
}

pub(crate) fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

pub(crate) fn page_size(max_keys: Option<i32>) -> S3Result<usize> {
    let Some(max_keys) = max_keys else { return Ok(PAGE_MAX) };
    let asked = usize::try_from(max_keys).map_err(|_| s3_error!(InvalidArgument, "max-keys must not be negative."))?;
    Ok(asked.min(PAGE_MAX))
}

fn is_url(encoding: Option<&EncodingType>) -> S3Result<bool> {
    match encoding.map(EncodingType::as_str) {
        None => Ok(false),
        Some("url") => Ok(true),
        Some(_) => Err(s3_error!(InvalidArgument, "Invalid Encoding Method specified in Request")),
    }
}

pub(crate) fn given(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

/// The common prefix of this very listing under which a text is shown, if it is shown under one. As a marker such a text
/// means all that is below it: that prefix comes before the text, so it has been shown. And so the last entry of a page,
/// whichever it was, leads to the next one.
pub(crate) fn common_prefix_of<'t>(text: &'t str, prefix: &str, delimiter: Option<&str>) -> Option<&'t str> {
    let delimiter = delimiter?;
    let at = text.strip_prefix(prefix)?.find(delimiter)?;
    Some(&text[..prefix.len() + at + delimiter.len()])
}

/// Whether texts are encoded: where a client asks for it, and where XML cannot carry what it sent and is shown again.
pub(crate) fn is_encoded(encoding: Option<&EncodingType>, sent: &[Option<&str>]) -> S3Result<bool> {
    Ok(is_url(encoding)? || !sent.iter().flatten().all(|text| names::fits_xml(text)))
}

/// What an answer says of it.
pub(crate) fn encoding(url: bool) -> Option<EncodingType> {
    url.then(|| EncodingType::from_static(EncodingType::URL))
}

/// Where a listing begins that goes on behind a text.
fn behind(text: &str, prefix: &str, delimiter: Option<&str>) -> ListStart {
    match common_prefix_of(text, prefix, delimiter) {
        Some(common) => ListStart::CommonPrefix(common.into()),
        None => ListStart::Key(text.into()),
    }
}

/// What a page ends with: the text that the next one begins behind.
fn last_shown(start: &ListStart) -> &str {
    match start {
        ListStart::Key(text) | ListStart::CommonPrefix(text) => text.as_ref(),
    }
}

/// Answers ListObjects.
pub async fn list(core: &Core, input: ListObjectsInput) -> Result<ListObjectsOutput, Fault> {
    let (prefix, delimiter) = (input.prefix.as_deref().unwrap_or_default(), given(input.delimiter.as_deref()));
    let sent = [input.prefix.as_deref(), input.delimiter.as_deref(), input.marker.as_deref()];
    let (url, max_keys) = (is_encoded(input.encoding_type.as_ref(), &sent)?, page_size(input.max_keys)?);
    let start = given(input.marker.as_deref()).map(|marker| behind(marker, prefix, delimiter));
    let asked = Asked { bucket: &input.bucket, prefix, delimiter, start, max_keys, url, owner: true };
    let page = asked.page(core).await?;
    let url = page.url;
    let next = page.next.as_ref().map(|next| encoded(last_shown(next), url));
    Ok(ListObjectsOutput {
        prefix: Some(encoded(prefix, url)),
        marker: Some(encoded(input.marker.as_deref().unwrap_or_default(), url)),
        max_keys: Some(i32::try_from(max_keys).expect("at most 1,000")),
        is_truncated: Some(page.next.is_some()),
        // Without a delimiter the last key says it, and S3 leaves it at that.
        next_marker: next.filter(|_| delimiter.is_some()),
        delimiter: delimiter.map(|delimiter| encoded(delimiter, url)),
        contents: some(page.contents),
        common_prefixes: some(page.prefixes),
        encoding_type: encoding(url),
        name: Some(input.bucket),
        ..ListObjectsOutput::default()
    })
}

/// Answers ListObjectsV2.
pub async fn list_v2(core: &Core, input: ListObjectsV2Input) -> Result<ListObjectsV2Output, Fault> {
    let (prefix, delimiter) = (input.prefix.as_deref().unwrap_or_default(), given(input.delimiter.as_deref()));
    let sent = [input.prefix.as_deref(), input.delimiter.as_deref(), input.start_after.as_deref()];
    let (url, max_keys) = (is_encoded(input.encoding_type.as_ref(), &sent)?, page_size(input.max_keys)?);
    let start = match (given(input.continuation_token.as_deref()), given(input.start_after.as_deref())) {
        (Some(continued), _) => Some(token::decode(continued)?),
        (None, Some(after)) => Some(behind(after, prefix, delimiter)),
        (None, None) => None,
    };
    let owner = input.fetch_owner.unwrap_or(false);
    let asked = Asked { bucket: &input.bucket, prefix, delimiter, start, max_keys, url, owner };
    let page = asked.page(core).await?;
    let url = page.url;
    let count = page.contents.len() + page.prefixes.len();
    Ok(ListObjectsV2Output {
        prefix: Some(encoded(prefix, url)),
        max_keys: Some(i32::try_from(max_keys).expect("at most 1,000")),
        key_count: Some(i32::try_from(count).expect("at most 1,000")),
        is_truncated: Some(page.next.is_some()),
        next_continuation_token: page.next.as_ref().map(token::encode),
        delimiter: delimiter.map(|delimiter| encoded(delimiter, url)),
        start_after: given(input.start_after.as_deref()).map(|after| encoded(after, url)),
        contents: some(page.contents),
        common_prefixes: some(page.prefixes),
        encoding_type: encoding(url),
        continuation_token: input.continuation_token,
        name: Some(input.bucket),
        ..ListObjectsV2Output::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_below_a_common_prefix_skips_all_of_it() {
        let common = common_prefix_of;
        assert_eq!(common("a/", "", Some("/")), Some("a/"));
        assert_eq!(common("a/b/", "a/", Some("/")), Some("a/b/"));
        assert_eq!(common("xyxy", "", Some("xyxy")), Some("xyxy"));
        assert_eq!(common("a/b", "", Some("/")), Some("a/"));
        assert_eq!(common("a/b/", "", Some("/")), Some("a/"), "the common prefix of this listing is a/");
        assert_eq!(common("a/b", "a/", Some("/")), None);
        assert_eq!(common("a/", "", None), None);
        assert_eq!(common("a/", "b", Some("/")), None);
    }

    #[test]
    fn sizes_and_encodings_are_checked() {
        assert_eq!(page_size(None).unwrap(), 1000);
        assert_eq!(page_size(Some(0)).unwrap(), 0);
        assert_eq!(page_size(Some(5000)).unwrap(), 1000);
        assert!(page_size(Some(-1)).is_err());
        assert!(is_url(Some(&EncodingType::from("utf".to_owned()))).is_err());
    }
}
