//! Tags of a bucket.

use cairn_core::BucketId;
use cairn_machine::Outcome;
use cairn_machine::operation::Operation;
use cairn_machine::row::Row;
use cairn_machine::rows::config::{BucketConfig, BucketConfigRow, ConfigKind};
use cairn_metadata::query;
use s3s::dto::{GetBucketTaggingOutput, PutBucketTaggingInput};
use s3s::s3_error;

use crate::fault::Fault;
use crate::front::Core;
use crate::names;
use crate::outcome::unexpected;
use crate::tags::{self, BUCKET_TAGS_MAX};

/// Says which tags a bucket has.
pub async fn get(core: &Core, bucket: &str) -> Result<GetBucketTaggingOutput, Fault> {
    let name = names::bucket(bucket).map_err(|_| Fault::NoSuchBucket)?;
    let view = core.stripes.client.read().await?;
    let (id, _) = query::bucket_by_name(&view, &name)?.ok_or(Fault::NoSuchBucket)?;
    match BucketConfigRow::get(&view, &(id, ConfigKind::Tags))?.map(|row| row.config) {
        Some(BucketConfig::Tags(tags)) => Ok(GetBucketTaggingOutput { tag_set: tags::shown(tags) }),
        _ => Err(s3_error!(NoSuchTagSet, "The TagSet does not exist").into()),
    }
}

/// Gives a bucket these tags and no others.
pub async fn put(core: &Core, input: PutBucketTaggingInput) -> Result<(), Fault> {
    let tags = tags::of_set(input.tagging.tag_set, BUCKET_TAGS_MAX)?;
    let id = core.bucket(&input.bucket).await?;
    if tags.is_empty() {
        return remove(core, id).await;
    }
    done(core.propose(Operation::PutBucketConfig { id, config: BucketConfig::Tags(tags) }).await?)
}

/// Takes all tags of a bucket away. That there are none is no error.
pub async fn delete(core: &Core, bucket: &str) -> Result<(), Fault> {
    let id = core.bucket(bucket).await?;
    remove(core, id).await
}

async fn remove(core: &Core, id: BucketId) -> Result<(), Fault> {
    done(core.propose(Operation::RemoveBucketConfig { id, kind: ConfigKind::Tags }).await?)
}

fn done(outcome: Outcome) -> Result<(), Fault> {
    match outcome {
        Outcome::Done => Ok(()),
        other => Err(unexpected("tags of a bucket", &other)),
    }
}
