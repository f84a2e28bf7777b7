//! Policies of buckets: put, told, taken away, and whether they let the public in. What they say to a request stands in
//! [`crate::authority::policy`].

use cairn_machine::Outcome;
use cairn_machine::operation::Operation;
use cairn_machine::row::Row;
use cairn_machine::rows::config::{BucketConfig, BucketConfigRow, ConfigKind};
use cairn_metadata::query;
use s3s::dto::{GetBucketPolicyOutput, GetBucketPolicyStatusOutput, PolicyStatus, PutBucketPolicyInput};
use s3s::s3_error;

use crate::authority::lists;
use crate::authority::policy::Policy;
use crate::fault::Fault;
use crate::front::Core;
use crate::names;
use crate::outcome::unexpected;

async fn document(core: &Core, bucket: &str) -> Result<Option<String>, Fault> {
    let name = names::bucket(bucket).map_err(|_| Fault::NoSuchBucket)?;
    let view = core.stripes.client.read().await?;
    let (id, _) = query::bucket_by_name(&view, &name)?.ok_or(Fault::NoSuchBucket)?;
    match BucketConfigRow::get(&view, &(id, ConfigKind::Policy))?.map(|row| row.config) {
        Some(BucketConfig::Policy(document)) => Ok(Some(document)),
        _ => Ok(None),
    }
}

/// Tells the policy as it was sent.
pub async fn get(core: &Core, bucket: &str) -> Result<GetBucketPolicyOutput, Fault> {
    let policy = document(core, bucket).await?;
    let policy = policy.ok_or_else(|| s3_error!(NoSuchBucketPolicy, "The bucket policy does not exist"))?;
    Ok(GetBucketPolicyOutput { policy: Some(policy) })
}

/// Says whether the public may do anything here, by the policy or by the bucket's list.
pub async fn status(core: &Core, bucket: &str) -> Result<GetBucketPolicyStatusOutput, Fault> {
    let (_, situation) = core.situation(bucket).await?;
    let by_list = situation.lists_count()
        && !situation.block.ignore_acls
        && situation.acl().is_some_and(|acl| lists::is_public(&acl.grants));
    let by_policy = !situation.block.restrict && situation.policy().is_some_and(Policy::is_public);
    Ok(GetBucketPolicyStatusOutput { policy_status: Some(PolicyStatus { is_public: Some(by_list || by_policy) }) })
}

/// Gives a bucket this policy and no other.
pub async fn put(core: &Core, input: PutBucketPolicyInput) -> Result<(), Fault> {
    let (id, situation) = core.situation(&input.bucket).await?;
    let policy = Policy::parse(&input.policy, &input.bucket)?;
    if situation.block.block_policy && policy.is_public() {
        return Err(s3_error!(AccessDenied, "Public policies are blocked.").into());
    }
    done(core.propose(Operation::PutBucketConfig { id, config: BucketConfig::Policy(input.policy) }).await?)
}

/// Takes the policy away. That there is none is no error.
pub async fn delete(core: &Core, bucket: &str) -> Result<(), Fault> {
    let id = core.bucket(bucket).await?;
    done(core.propose(Operation::RemoveBucketConfig { id, kind: ConfigKind::Policy }).await?)
}

fn done(outcome: Outcome) -> Result<(), Fault> {
    match outcome {
        Outcome::Done => Ok(()),
        other => Err(unexpected("the policy of a bucket", &other)),
    }
}
