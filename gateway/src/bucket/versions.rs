//! Pages of a bucket's versions: ListObjectVersions.

use cairn_core::{BucketId, LogIndex, ObjectKey, VersionId};
use cairn_machine::RowError;
use cairn_machine::operation::VersionChoice;
use cairn_metadata::View;
use cairn_metadata::query::{self, VersionEntry, VersionPage, VersionRequest, VersionStart};
use s3s::dto::{
    CommonPrefix, DeleteMarkerEntry, ListObjectVersionsInput, ListObjectVersionsOutput, ObjectVersion, Owner,
};
use s3s::s3_error;

use super::listing::{self, encoded, given, some};
use crate::fault::Fault;
use crate::front::Core;
use crate::names;
use crate::object::storage_class;

/// What no version will ever be.
const NEWER_THAN_ANY: VersionId = VersionId { index: LogIndex(u64::MAX), ordinal: u16::MAX };

/// Answers ListObjectVersions.
pub async fn list(core: &Core, input: ListObjectVersionsInput) -> Result<ListObjectVersionsOutput, Fault> {
    let (prefix, delimiter) = (input.prefix.as_deref().unwrap_or_default(), given(input.delimiter.as_deref()));
    let sent = [input.prefix.as_deref(), input.delimiter.as_deref(), input.key_marker.as_deref()];
    let url = listing::is_encoded(input.encoding_type.as_ref(), &sent)?;
    let limit = listing::page_size(input.max_keys)?;
    let name = names::bucket(&input.bucket).map_err(|_| Fault::NoSuchBucket)?;
    let view = core.stripes.client.read().await?;
    let (bucket, of_bucket) = query::bucket_by_name(&view, &name)?.ok_or(Fault::NoSuchBucket)?;
    let marker = Marker { key: given(input.key_marker.as_deref()), version: input.version_id_marker.as_deref() };
    let start_after = marker.start(&view, bucket, prefix, delimiter)?;
    let page = query::list_versions(&view, &VersionRequest { bucket, prefix, delimiter, start_after, limit })?;
    let url = url || !page.entries.iter().all(|entry| names::fits_xml(name_of(entry)));
    let mut output = shown(&core.owner_of(&of_bucket), &view, page, url)?;
    output.prefix = Some(encoded(prefix, url));
    output.delimiter = delimiter.map(|delimiter| encoded(delimiter, url));
    output.key_marker = Some(encoded(input.key_marker.as_deref().unwrap_or_default(), url));
    output.version_id_marker = Some(names::xml_text(input.version_id_marker.unwrap_or_default()));
    output.max_keys = Some(i32::try_from(limit).expect("at most 1,000"));
    output.encoding_type = listing::encoding(url);
    output.name = Some(input.bucket);
    Ok(output)
}

/// Where a client says that the page before ended.
struct Marker<'a> {
    key: Option<&'a str>,
    version: Option<&'a str>,
}

impl Marker<'_> {
    fn start(
        &self,
        view: &View,
        bucket: BucketId,
        prefix: &str,
        delimiter: Option<&str>,
    ) -> Result<Option<VersionStart>, Fault> {
        let Some(key) = self.key else {
            return match self.version {
                None | Some("") => Ok(None),
                Some(_) => {
                    Err(s3_error!(InvalidArgument, "A version-id marker cannot be specified without a key marker.")
                        .into())
                }
            };
        };
        let version = match self.version {
            None => {
                return Ok(Some(match listing::common_prefix_of(key, prefix, delimiter) {
                    Some(common) => VersionStart::CommonPrefix(common.to_owned()),
                    None => VersionStart::Key(key.to_owned()),
                }));
            }
            Some("") => return Err(s3_error!(InvalidArgument, "A version-id marker cannot be empty.").into()),
            Some(version) => version,
        };
        let version = match names::version(Some(version))? {
            VersionChoice::Exactly(version) => version,
            // Pages of ours end with a true id; this is whoever takes the name from an entry. Where the null version is gone,
            // nobody knows where it stood: older versions may be shown again, and none is passed over.
            _ => {
                let named = ObjectKey::new(key).map_err(|_| s3_error!(InvalidArgument, "The key marker is no key."))?;
                let null = query::version(view, bucket, &named, VersionChoice::Null)?;
                null.map_or(NEWER_THAN_ANY, |row| row.version)
            }
        };
        Ok(Some(VersionStart::Version { key: key.to_owned(), version }))
    }
}

fn name_of(entry: &VersionEntry) -> &str {
    match entry {
        VersionEntry::Version { key, .. } => key.as_str(),
        VersionEntry::CommonPrefix(prefix) => prefix.as_ref(),
    }
}

fn shown(of_bucket: &Owner, view: &View, page: VersionPage, url: bool) -> Result<ListObjectVersionsOutput, RowError> {
    let (mut versions, mut markers, mut prefixes) = (Vec::new(), Vec::new(), Vec::new());
    for entry in page.entries {
        let (key, row, latest) = match entry {
            VersionEntry::CommonPrefix(prefix) => {
                prefixes.push(CommonPrefix { prefix: Some(encoded(&prefix, url)) });
                continue;
            }
            VersionEntry::Version { key, row, latest } => (key, row, latest),
        };
        let key = Some(encoded(key.as_str(), url));
        let version_id = Some(names::version_id(row.version, row.null));
        let last_modified = Some(names::timestamp(row.modified));
        let is_latest = Some(latest);
        match row.object() {
            None => {
                let owner = Some(of_bucket.clone());
                markers.push(DeleteMarkerEntry { is_latest, key, last_modified, owner, version_id });
            }
            Some((attributes, _)) => {
                let (checksum_algorithm, checksum_type) = listing::checksum(attributes);
                versions.push(ObjectVersion {
                    checksum_algorithm,
                    checksum_type,
                    e_tag: Some(names::etag(&attributes.etag)),
                    is_latest,
                    key,
                    last_modified,
                    owner: Some(listing::owner_by(attributes.acl.as_ref(), of_bucket)),
                    size: Some(i64::try_from(attributes.size).expect("an object has at most 5 TiB")),
                    storage_class: Some(storage_class::name(view, attributes.profile)?.into()),
                    version_id,
                    ..ObjectVersion::default()
                });
            }
        }
    }
    let (next_key_marker, next_version_id_marker) = match &page.next {
        None => (None, None),
        Some(VersionStart::Version { key, version }) => (Some(encoded(key, url)), Some(version.to_string())),
        Some(VersionStart::Key(text) | VersionStart::CommonPrefix(text)) => (Some(encoded(text, url)), None),
    };
    Ok(ListObjectVersionsOutput {
        is_truncated: Some(page.next.is_some()),
        next_key_marker,
        next_version_id_marker,
        versions: some(versions),
        delete_markers: some(markers),
        common_prefixes: some(prefixes),
        ..ListObjectVersionsOutput::default()
    })
}
