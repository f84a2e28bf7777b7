//! Buckets: making, finding, listing and removing them, and listing what is in them.
//!
//! - [`listing`]: pages of keys, both versions of the request
//! - [`token`]: where a listing goes on
//! - [`url_encoding`]: keys that XML cannot carry
//! - [`removal`]: the end of a bucket
//! - [`tagging`]: tags of a bucket
//! - [`unconfigured`]: what no bucket has, and can be asked for
//! - [`versioning`]: whether versions are kept; [`versions`]: pages of them

pub mod listing;
pub mod removal;
pub mod tagging;
pub mod token;
pub mod unconfigured;
pub mod url_encoding;
pub mod versioning;
pub mod versions;

use cairn_core::{BucketId, BucketName};
use cairn_machine::operation::Operation;
use cairn_machine::rows::bucket::BucketRow;
use cairn_machine::{Outcome, RowError};
use cairn_metadata::{View, query};
use s3s::dto::{
    Bucket, BucketLocationConstraint, CreateBucketInput, CreateBucketOutput, GetBucketLocationOutput, HeadBucketOutput,
    ListBucketsInput, ListBucketsOutput, Owner,
};
use s3s::{S3ErrorCode, s3_error};

use crate::fault::Fault;
use crate::front::Core;
use crate::names;
use crate::outcome::unexpected;

/// The region where AWS leaves the location of a bucket empty.
const REGION_WITHOUT_NAME: &str = "us-east-1";

/// How the one owner is called where clients show a name.
const OWNER_NAME: &str = "cairn";

/// The most buckets in one answer: what S3 allows.
const BUCKETS_MAX: usize = 10_000;

/// How many buckets are looked at at a time.
const BUCKETS_PAGE: usize = 1000;

impl Core {
    /// The id of a bucket for a write. The rows as they are here are asked first: a write names the bucket by its id, so
    /// one that was removed meanwhile is refused when the write is applied.
    pub async fn bucket(&self, name: &str) -> Result<BucketId, Fault> {
        let name = names::bucket(name).map_err(|_| Fault::NoSuchBucket)?;
        if let Some((id, _)) = query::bucket_by_name(&self.stripes.client.read_stale(), &name)? {
            return Ok(id);
        }
        self.bucket_row(&name).await.map(|(id, _)| id)
    }

    /// A bucket as it is now.
    async fn bucket_row(&self, name: &BucketName) -> Result<(BucketId, BucketRow), Fault> {
        let view = self.stripes.client.read().await?;
        query::bucket_by_name(&view, name)?.ok_or(Fault::NoSuchBucket)
    }

    /// Who owns everything.
    pub fn owner(&self) -> Owner {
        Owner { display_name: Some(OWNER_NAME.to_owned()), id: Some(self.owner.clone()) }
    }
}

/// Makes a bucket.
pub async fn create(core: &Core, input: CreateBucketInput, made_by: String) -> Result<CreateBucketOutput, Fault> {
    let name = names::bucket(&input.bucket)?;
    if let Some(configuration) = &input.create_bucket_configuration {
        let asks_more =
            configuration.bucket.is_some() || configuration.location.is_some() || configuration.tags.is_some();
        if asks_more {
            return Err(
                s3_error!(NotImplemented, "Of CreateBucketConfiguration only the location is implemented.").into()
            );
        }
        let wanted = configuration.location_constraint.as_ref().map(BucketLocationConstraint::as_str);
        core.check_location(wanted.unwrap_or_default())?;
    }
    let made = CreateBucketOutput { location: Some(format!("/{name}")), ..CreateBucketOutput::default() };
    match core.propose(Operation::CreateBucket { name, owner: made_by }).await {
        Ok(Outcome::BucketCreated(_)) => Ok(made),
        Ok(other) => Err(unexpected("a bucket", &other)),
        // Where AWS leaves the location of a bucket empty, one's own bucket may be made again: it is there, as it was. So a
        // client that repeats a request whose answer was lost is not refused.
        Err(Fault::Request(error))
            if *error.code() == S3ErrorCode::BucketAlreadyOwnedByYou && core.region_name() == REGION_WITHOUT_NAME =>
        {
            Ok(made)
        }
        Err(fault) => Err(fault),
    }
}

impl Core {
    /// A gateway without a configured region stands in any; one with a region stands in no other.
    fn check_location(&self, wanted: &str) -> Result<(), Fault> {
        match &self.region {
            Some(region) if !wanted.is_empty() && wanted != region => {
                Err(s3_error!(IllegalLocationConstraintException, "This endpoint is in {region}, not in {wanted}.")
                    .into())
            }
            _ => Ok(()),
        }
    }

    fn region_name(&self) -> &str {
        self.region.as_deref().unwrap_or(REGION_WITHOUT_NAME)
    }
}

/// Says that a bucket is there.
pub async fn head(core: &Core, name: &str) -> Result<HeadBucketOutput, Fault> {
    let name = names::bucket(name).map_err(|_| Fault::NoSuchBucket)?;
    core.bucket_row(&name).await?;
    Ok(HeadBucketOutput { bucket_region: Some(core.region_name().to_owned()), ..HeadBucketOutput::default() })
}

/// Says where a bucket is.
pub async fn location(core: &Core, name: &str) -> Result<GetBucketLocationOutput, Fault> {
    let name = names::bucket(name).map_err(|_| Fault::NoSuchBucket)?;
    core.bucket_row(&name).await?;
    let region = core.region_name();
    let named = (region != REGION_WITHOUT_NAME).then(|| BucketLocationConstraint::from(region.to_owned()));
    Ok(GetBucketLocationOutput { location_constraint: named })
}

type NamedBucket = (BucketName, BucketId, BucketRow);

/// The buckets whose names begin with a prefix, in order, page by page so that a long list of others costs no memory.
fn named(view: &View, prefix: &str, mut after: Option<BucketName>, limit: usize) -> Result<Vec<NamedBucket>, RowError> {
    let mut found = Vec::new();
    loop {
        let page = query::buckets(view, after.as_ref(), BUCKETS_PAGE)?;
        let last = page.len() < BUCKETS_PAGE;
        after = page.last().map(|(name, ..)| name.clone());
        for row in page {
            let name = row.0.as_str();
            if name.starts_with(prefix) {
                found.push(row);
            } else if name > prefix {
                return Ok(found);
            }
            if found.len() == limit {
                return Ok(found);
            }
        }
        if last {
            return Ok(found);
        }
    }
}

/// Lists buckets, by name.
pub async fn list(core: &Core, input: ListBucketsInput) -> Result<ListBucketsOutput, Fault> {
    let most = match input.max_buckets {
        None => BUCKETS_MAX,
        Some(most) => usize::try_from(most)
            .ok()
            .filter(|most| (1..=BUCKETS_MAX).contains(most))
            .ok_or_else(|| s3_error!(InvalidArgument, "max-buckets must be 1 to {BUCKETS_MAX}."))?,
    };
    let after = input.continuation_token.as_deref().map(token::decode_bucket).transpose()?;
    let prefix = input.prefix.as_deref().unwrap_or_default();
    let view = core.stripes.client.read().await?;
    let mut rows = named(&view, prefix, after, most + 1)?;
    let more = rows.len() > most;
    rows.truncate(most);
    let continuation_token = rows.last().filter(|_| more).map(|(name, ..)| token::encode_bucket(name));
    let buckets = rows.into_iter().map(|(name, _, row)| Bucket {
        creation_date: Some(names::timestamp(row.created)),
        name: Some(name.as_str().to_owned()),
        ..Bucket::default()
    });
    Ok(ListBucketsOutput {
        buckets: Some(buckets.collect()),
        continuation_token,
        owner: Some(core.owner()),
        prefix: input.prefix,
    })
}
