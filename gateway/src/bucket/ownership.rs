//! Who owns what others put into a bucket, and so whether lists mean anything there.

use cairn_machine::Outcome;
use cairn_machine::operation::Operation;
use cairn_machine::row::Row;
use cairn_machine::rows::config::{BucketConfig, BucketConfigRow, ConfigKind, Ownership};
use cairn_metadata::query;
use s3s::dto::{
    GetBucketOwnershipControlsOutput, ObjectOwnership, OwnershipControls, OwnershipControlsRule,
    PutBucketOwnershipControlsInput,
};
use s3s::{S3Result, s3_error};

use crate::fault::Fault;
use crate::front::Core;
use crate::names;
use crate::outcome::unexpected;

/// What a client names.
pub fn named(name: &str) -> S3Result<Ownership> {
    match name {
        ObjectOwnership::BUCKET_OWNER_ENFORCED => Ok(Ownership::OwnerEnforced),
        ObjectOwnership::BUCKET_OWNER_PREFERRED => Ok(Ownership::OwnerPreferred),
        ObjectOwnership::OBJECT_WRITER => Ok(Ownership::Writer),
        _ => Err(s3_error!(InvalidArgument, "{name} is no object ownership.")),
    }
}

/// Says who.
pub async fn get(core: &Core, bucket: &str) -> Result<GetBucketOwnershipControlsOutput, Fault> {
    let name = names::bucket(bucket).map_err(|_| Fault::NoSuchBucket)?;
    let view = core.stripes.client.read().await?;
    let (id, _) = query::bucket_by_name(&view, &name)?.ok_or(Fault::NoSuchBucket)?;
    let ownership = match BucketConfigRow::get(&view, &(id, ConfigKind::Ownership))?.map(|row| row.config) {
        Some(BucketConfig::Ownership(ownership)) => ownership,
        _ => {
            let message = "The bucket ownership controls were not found";
            return Err(s3_error!(OwnershipControlsNotFoundError, "{message}").into());
        }
    };
    let object_ownership = ObjectOwnership::from_static(match ownership {
        Ownership::OwnerEnforced => ObjectOwnership::BUCKET_OWNER_ENFORCED,
        Ownership::OwnerPreferred => ObjectOwnership::BUCKET_OWNER_PREFERRED,
        Ownership::Writer => ObjectOwnership::OBJECT_WRITER,
    });
    let rules = vec![OwnershipControlsRule { object_ownership }];
    Ok(GetBucketOwnershipControlsOutput { ownership_controls: Some(OwnershipControls { rules }) })
}

/// Says who from now on.
pub async fn put(core: &Core, input: PutBucketOwnershipControlsInput) -> Result<(), Fault> {
    let [rule] = input.ownership_controls.rules.as_slice() else { return Err(s3_error!(MalformedXML).into()) };
    let ownership = named(rule.object_ownership.as_str()).map_err(|_| s3_error!(MalformedXML))?;
    let (id, situation) = core.situation(&input.bucket).await?;
    let granted = situation.acl().is_some_and(|acl| !acl.grants.iter().all(|grant| situation.is_owners(grant)));
    if ownership == Ownership::OwnerEnforced && granted {
        return Err(s3_error!(
            InvalidBucketAclWithObjectOwnership,
            "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting"
        )
        .into());
    }
    done(core.propose(Operation::PutBucketConfig { id, config: BucketConfig::Ownership(ownership) }).await?)
}

/// Leaves it open again: whoever puts an object owns it.
pub async fn delete(core: &Core, bucket: &str) -> Result<(), Fault> {
    let id = core.bucket(bucket).await?;
    done(core.propose(Operation::RemoveBucketConfig { id, kind: ConfigKind::Ownership }).await?)
}

fn done(outcome: Outcome) -> Result<(), Fault> {
    match outcome {
        Outcome::Done => Ok(()),
        other => Err(unexpected("who owns what is in a bucket", &other)),
    }
}
