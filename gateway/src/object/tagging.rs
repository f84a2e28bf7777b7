//! Tags of a version: said, changed and taken away without touching its bytes.

use cairn_core::VersionId;
use cairn_machine::Outcome;
use cairn_machine::operation::Operation;
use s3s::dto::{
    DeleteObjectTaggingInput, DeleteObjectTaggingOutput, GetObjectTaggingInput, GetObjectTaggingOutput,
    PutObjectTaggingInput, PutObjectTaggingOutput,
};

use super::lookup;
use crate::fault::Fault;
use crate::front::Core;
use crate::names;
use crate::outcome::unexpected;
use crate::tags::{self, OBJECT_TAGS_MAX, Tags};

/// Says which tags a version has.
pub async fn get(core: &Core, input: GetObjectTaggingInput) -> Result<GetObjectTaggingOutput, Fault> {
    let found = lookup::find(core, &input.bucket, input.key, input.version_id.as_deref()).await?;
    let tag_set = tags::shown(found.attributes.tags.unwrap_or_default());
    Ok(GetObjectTaggingOutput { tag_set, version_id: found.version_id })
}

/// Gives a version these tags and no others.
pub async fn put(core: &Core, input: PutObjectTaggingInput) -> Result<PutObjectTaggingOutput, Fault> {
    let tags = tags::of_set(input.tagging.tag_set, OBJECT_TAGS_MAX)?;
    let version_id = set(core, &input.bucket, input.key, input.version_id, tags).await?;
    Ok(PutObjectTaggingOutput { version_id })
}

/// Takes all tags of a version away.
pub async fn delete(core: &Core, input: DeleteObjectTaggingInput) -> Result<DeleteObjectTaggingOutput, Fault> {
    let version_id = set(core, &input.bucket, input.key, input.version_id, Tags::new()).await?;
    Ok(DeleteObjectTaggingOutput { version_id })
}

async fn set(
    core: &Core,
    bucket: &str,
    key: String,
    named: Option<String>,
    tags: Tags,
) -> Result<Option<String>, Fault> {
    let bucket = core.bucket(bucket).await?;
    let version = names::version(named.as_deref())?;
    let tags = (!tags.is_empty()).then_some(tags);
    match core.propose(Operation::SetObjectTags { bucket, key: names::key(key)?, version, tags }).await? {
        // A bucket that never kept versions does not speak of them.
        Outcome::Amended { version, null: false } => Ok(Some(VersionId::to_string(&version))),
        Outcome::Amended { null: true, .. } => Ok(named),
        other => Err(unexpected("tags of an object", &other)),
    }
}
