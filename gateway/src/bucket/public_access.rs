//! What is kept from the public, whatever lists and policies say.

use cairn_machine::Outcome;
use cairn_machine::operation::Operation;
use cairn_machine::row::Row;
use cairn_machine::rows::config::{BucketConfig, BucketConfigRow, ConfigKind, PublicAccessBlock};
use cairn_metadata::query;
use s3s::S3ErrorCode;
use s3s::dto::{GetPublicAccessBlockOutput, PublicAccessBlockConfiguration, PutPublicAccessBlockInput};

use super::unconfigured;
use crate::fault::Fault;
use crate::front::Core;
use crate::names;
use crate::outcome::unexpected;

/// Says what is kept.
pub async fn get(core: &Core, bucket: &str) -> Result<GetPublicAccessBlockOutput, Fault> {
    let name = names::bucket(bucket).map_err(|_| Fault::NoSuchBucket)?;
    let view = core.stripes.client.read().await?;
    let (id, _) = query::bucket_by_name(&view, &name)?.ok_or(Fault::NoSuchBucket)?;
    match BucketConfigRow::get(&view, &(id, ConfigKind::PublicAccess))?.map(|row| row.config) {
        Some(BucketConfig::PublicAccess(block)) => Ok(GetPublicAccessBlockOutput {
            public_access_block_configuration: Some(PublicAccessBlockConfiguration {
                block_public_acls: Some(block.block_acls),
                block_public_policy: Some(block.block_policy),
                ignore_public_acls: Some(block.ignore_acls),
                restrict_public_buckets: Some(block.restrict),
            }),
        }),
        _ => Err(unconfigured::not_found(
            S3ErrorCode::Custom("NoSuchPublicAccessBlockConfiguration".into()),
            "The public access block configuration was not found",
        )
        .into()),
    }
}

/// Keeps this from the public from now on.
pub async fn put(core: &Core, input: PutPublicAccessBlockInput) -> Result<(), Fault> {
    let asked = input.public_access_block_configuration;
    let block = PublicAccessBlock {
        block_acls: asked.block_public_acls.unwrap_or(false),
        ignore_acls: asked.ignore_public_acls.unwrap_or(false),
        block_policy: asked.block_public_policy.unwrap_or(false),
        restrict: asked.restrict_public_buckets.unwrap_or(false),
    };
    let id = core.bucket(&input.bucket).await?;
    done(core.propose(Operation::PutBucketConfig { id, config: BucketConfig::PublicAccess(block) }).await?)
}

/// Keeps nothing more from it.
pub async fn delete(core: &Core, bucket: &str) -> Result<(), Fault> {
    let id = core.bucket(bucket).await?;
    done(core.propose(Operation::RemoveBucketConfig { id, kind: ConfigKind::PublicAccess }).await?)
}

fn done(outcome: Outcome) -> Result<(), Fault> {
    match outcome {
        Outcome::Done => Ok(()),
        other => Err(unexpected("what is kept from the public", &other)),
    }
}
