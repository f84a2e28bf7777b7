//! Buckets: making, finding, listing and removing them, and listing what is in them.
//!
//! - [`cors`]: cross-origin rules; [`lock`]: whether versions can be locked
//! - [`policy`], [`public_access`], [`ownership`]: who may do what
//! - [`listing`]: pages of keys, both versions of the request
//! - [`token`]: where a listing goes on
//! - [`url_encoding`]: keys that XML cannot carry
//! - [`removal`]: the end of a bucket
//! - [`tagging`]: tags of a bucket
//! - [`unconfigured`]: what no bucket has, and can be asked for
//! - [`versioning`]: whether versions are kept; [`versions`]: pages of them

pub mod cors;
pub mod listing;
pub mod lock;
pub mod ownership;
pub mod policy;
pub mod public_access;
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
use cairn_machine::rows::config::{BucketConfig, Ownership};
use cairn_machine::rows::lock::BucketLock;
use cairn_machine::{Outcome, Refusal, RowError};
use cairn_metadata::{View, query};
use http::HeaderMap;
use s3s::dto::{
    Bucket, BucketLocationConstraint, CreateBucketInput, CreateBucketOutput, GetBucketLocationOutput, HeadBucketOutput,
    ListBucketsInput, ListBucketsOutput, Owner,
};
use s3s::s3_error;

use crate::authority::situation::{is_user_id as is_user, owner_of};
use crate::authority::{Identity, lists};
use crate::fault::Fault;
use crate::front::Core;
use crate::names;
use crate::outcome::unexpected;

/// The region where AWS leaves the location of a bucket empty.
pub const REGION_WITHOUT_NAME: &str = "us-east-1";

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

    /// Who owns a bucket, as it is shown.
    pub fn owner_of(&self, row: &BucketRow) -> Owner {
        lists::shown_owner(&owner_of(row, &self.owner), &self.owner)
    }
}

/// Makes a bucket.
pub async fn create(
    core: &Core,
    input: CreateBucketInput,
    identity: &Identity,
    headers: &HeaderMap,
) -> Result<CreateBucketOutput, Fault> {
    let name = names::bucket(&input.bucket)?;
    let owner = identity.id().ok_or_else(|| s3_error!(AccessDenied))?.to_owned();
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
    let lock = input.object_lock_enabled_for_bucket.unwrap_or(false).then(BucketLock::default);
    let ownership = input.object_ownership.as_ref().map(|named| ownership::named(named.as_str())).transpose()?;
    let acl = core.acl_of_new_bucket(&owner, headers).await?;
    if ownership == Some(Ownership::OwnerEnforced) && acl.is_some() {
        return Err(s3_error!(
            InvalidBucketAclWithObjectOwnership,
            "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting"
        )
        .into());
    }
    // What is asked for beside the bucket is not there where the bucket was there before.
    let plain = lock.is_none() && acl.is_none() && ownership.is_none();
    let operation = Operation::CreateBucket { name, owner: owner.clone(), lock, acl };
    let outcomes = core.stripes.client.propose(vec![operation]).await?;
    let id = match outcomes.into_iter().next().expect("each operation has one outcome") {
        Outcome::BucketCreated(id) => id,
        Outcome::Refused(Refusal::BucketExists { owner: taken }) => {
            let mine = taken == owner || (identity.is_root() && !is_user(&taken));
            // Where AWS leaves the location of a bucket empty, one's own bucket may be made again: it is there, as it was.
            // So a client that repeats a request whose answer was lost is not refused.
            return match (mine, plain && core.region_name() == REGION_WITHOUT_NAME) {
                (true, true) => Ok(made),
                (true, false) => Err(s3_error!(BucketAlreadyOwnedByYou).into()),
                (false, _) => Err(s3_error!(BucketAlreadyExists).into()),
            };
        }
        Outcome::Refused(refusal) => return Err(Fault::of_refusal(refusal)),
        other => return Err(unexpected("a bucket", &other)),
    };
    if let Some(ownership) = ownership {
        let config = BucketConfig::Ownership(ownership);
        match core.propose(Operation::PutBucketConfig { id, config }).await? {
            Outcome::Done => {}
            other => return Err(unexpected("who owns what is in a bucket", &other)),
        }
    }
    Ok(made)
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
fn named(
    view: &View,
    prefix: &str,
    mut after: Option<BucketName>,
    limit: usize,
    seen: impl Fn(&BucketRow) -> bool,
) -> Result<Vec<NamedBucket>, RowError> {
    let mut found = Vec::new();
    loop {
        let page = query::buckets(view, after.as_ref(), BUCKETS_PAGE)?;
        let last = page.len() < BUCKETS_PAGE;
        after = page.last().map(|(name, ..)| name.clone());
        for row in page {
            let name = row.0.as_str();
            if name.starts_with(prefix) {
                if seen(&row.2) {
                    found.push(row);
                }
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

/// Lists somebody's buckets, by name; to root those of everybody.
pub async fn list(core: &Core, input: ListBucketsInput, identity: &Identity) -> Result<ListBucketsOutput, Fault> {
    let me = identity.id().ok_or_else(|| s3_error!(AccessDenied))?;
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
    let seen = |row: &BucketRow| identity.is_root() || owner_of(row, &core.owner) == me;
    let mut rows = named(&view, prefix, after, most + 1, seen)?;
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
        owner: Some(lists::shown_owner(me, &core.owner)),
        prefix: input.prefix,
    })
}
