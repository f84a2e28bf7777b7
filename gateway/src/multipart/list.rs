//! ListMultipartUploads: which uploads of a bucket are under way.

use cairn_machine::RowError;
use cairn_metadata::View;
use cairn_metadata::query::{self, UploadsEntry, UploadsPage, UploadsRequest, UploadsStart};
use s3s::dto::{CommonPrefix, ListMultipartUploadsInput, ListMultipartUploadsOutput, MultipartUpload, Owner};
use s3s::s3_error;

use super::{checksum, initiator, upload_id};
use crate::bucket::listing::{self, encoded, given, some};
use crate::fault::Fault;
use crate::front::Core;
use crate::names;
use crate::object::storage_class;

/// Answers ListMultipartUploads.
pub async fn list(core: &Core, input: ListMultipartUploadsInput) -> Result<ListMultipartUploadsOutput, Fault> {
    let (prefix, delimiter) = (input.prefix.as_deref().unwrap_or_default(), given(input.delimiter.as_deref()));
    let sent = [input.prefix.as_deref(), input.delimiter.as_deref(), input.key_marker.as_deref()];
    let url = listing::is_encoded(input.encoding_type.as_ref(), &sent)?;
    let limit = listing::page_size(input.max_uploads)?;
    let name = names::bucket(&input.bucket).map_err(|_| Fault::NoSuchBucket)?;
    let view = core.stripes.client.read().await?;
    let (bucket, of_bucket) = query::bucket_by_name(&view, &name)?.ok_or(Fault::NoSuchBucket)?;
    let start_after = start(given(input.key_marker.as_deref()), input.upload_id_marker.as_deref(), prefix, delimiter)?;
    let page = query::list_uploads(&view, &UploadsRequest { bucket, prefix, delimiter, start_after, limit })?;
    let url = url || !page.entries.iter().all(|entry| names::fits_xml(text_of(entry)));
    let mut output = shown(&core.owner_of(&of_bucket), &view, page, url)?;
    output.prefix = Some(encoded(prefix, url));
    output.delimiter = delimiter.map(|delimiter| encoded(delimiter, url));
    output.key_marker = Some(encoded(input.key_marker.as_deref().unwrap_or_default(), url));
    output.upload_id_marker = Some(names::xml_text(input.upload_id_marker.unwrap_or_default()));
    output.max_uploads = Some(i32::try_from(limit).expect("at most 1,000"));
    output.encoding_type = listing::encoding(url);
    output.bucket = Some(input.bucket);
    Ok(output)
}

/// Where a client says that the page before ended. The upload is only looked at together with its key, as on AWS.
fn start(
    key: Option<&str>,
    upload: Option<&str>,
    prefix: &str,
    delimiter: Option<&str>,
) -> Result<Option<UploadsStart>, Fault> {
    let Some(key) = key else { return Ok(None) };
    Ok(Some(match (given(upload), listing::common_prefix_of(key, prefix, delimiter)) {
        (None, Some(common)) => UploadsStart::CommonPrefix(common.to_owned()),
        (None, None) => UploadsStart::Key(key.to_owned()),
        (Some(upload), _) => {
            let upload = upload_id(upload).map_err(|_| s3_error!(InvalidArgument, "Invalid uploadId marker"))?;
            UploadsStart::Upload { key: key.to_owned(), upload }
        }
    }))
}

fn text_of(entry: &UploadsEntry) -> &str {
    match entry {
        UploadsEntry::Upload { key, .. } => key.as_str(),
        UploadsEntry::CommonPrefix(prefix) => prefix,
    }
}

fn shown(of_bucket: &Owner, view: &View, page: UploadsPage, url: bool) -> Result<ListMultipartUploadsOutput, RowError> {
    let (mut uploads, mut prefixes) = (Vec::new(), Vec::new());
    for entry in page.entries {
        match entry {
            UploadsEntry::CommonPrefix(prefix) => {
                prefixes.push(CommonPrefix { prefix: Some(encoded(&prefix, url)) });
            }
            UploadsEntry::Upload { key, upload, row } => {
                let (checksum_algorithm, checksum_type) = checksum::shown(row.checksum);
                uploads.push(MultipartUpload {
                    key: Some(encoded(key.as_str(), url)),
                    upload_id: Some(upload.to_string()),
                    initiated: Some(names::timestamp(row.initiated)),
                    initiator: Some(initiator(&row, of_bucket)),
                    owner: Some(listing::owner_by(row.acl.as_ref(), of_bucket)),
                    storage_class: Some(storage_class::name(view, row.profile)?.into()),
                    checksum_algorithm,
                    checksum_type,
                });
            }
        }
    }
    let (next_key_marker, next_upload_id_marker) = match &page.next {
        None => (None, None),
        Some(UploadsStart::Upload { key, upload }) => (Some(encoded(key, url)), Some(upload.to_string())),
        Some(UploadsStart::Key(text) | UploadsStart::CommonPrefix(text)) => (Some(encoded(text, url)), None),
    };
    Ok(ListMultipartUploadsOutput {
        is_truncated: Some(page.next.is_some()),
        next_key_marker,
        next_upload_id_marker,
        uploads: some(uploads),
        common_prefixes: some(prefixes),
        ..ListMultipartUploadsOutput::default()
    })
}
