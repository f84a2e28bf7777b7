//! Which version a request means, in one view of the rows.

use cairn_core::{BucketId, ObjectKey, VersionId, WallTime};
use cairn_machine::rows::bucket::Versioning;
use cairn_machine::rows::object::{Attributes, Content, ObjectRow, VersionKind};
use cairn_metadata::{View, query};

use crate::fault::Fault;
use crate::front::Core;
use crate::names;

/// A version with bytes. The view is part of it: what its rows name is kept for as long as the view is held.
#[derive(Debug)]
pub struct Found {
    /// The rows in which it was found.
    pub view: View,
    /// Its bucket.
    pub bucket: BucketId,
    /// Its key.
    pub key: ObjectKey,
    /// Which version it is.
    pub version: VersionId,
    /// Its id as this request's answer names it; none where a bucket that never kept versions was asked without one.
    pub version_id: Option<String>,
    /// Since when it is there.
    pub modified: WallTime,
    /// What it is.
    pub attributes: Attributes,
    /// Where its bytes are.
    pub content: Content,
}

/// Finds what a bucket, a key and perhaps a version's id name at this moment.
pub async fn find(core: &Core, bucket: &str, key: String, version: Option<&str>) -> Result<Found, Fault> {
    let name = names::bucket(bucket).map_err(|_| Fault::NoSuchBucket)?;
    let key = names::key(key)?;
    let choice = names::version(version)?;
    let named = version.is_some();
    let view = core.stripes.client.read().await?;
    let (bucket, row) = query::bucket_by_name(&view, &name)?.ok_or(Fault::NoSuchBucket)?;
    let keeps_versions = row.versioning != Versioning::Off;
    let row = query::version(&view, bucket, &key, choice)?;
    let row = row.ok_or(if named { Fault::NoSuchVersion } else { Fault::NoSuchKey })?;
    let ObjectRow { version, null, modified, kind, .. } = row;
    let version_id = names::version_id(version, null);
    let VersionKind::Object { attributes, content } = kind else {
        return Err(Fault::DeleteMarker { version_id, named: named.then_some(modified) });
    };
    // A bucket that never kept versions does not speak of them.
    let version_id = (keeps_versions || named).then_some(version_id);
    Ok(Found { view, bucket, key, version, version_id, modified, attributes, content })
}
