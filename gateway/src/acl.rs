//! Access control lists of buckets and objects: told, set, and given to what is new. What they mean stands in
//! [`crate::authority`].

use core::ops::ControlFlow;

use cairn_core::BucketId;
use cairn_machine::Outcome;
use cairn_machine::operation::Operation;
use cairn_machine::row::{Row, Table};
use cairn_machine::rows::access_key::AccessKeyRow;
use cairn_machine::rows::acl::{Acl, Grant, Grantee};
use cairn_machine::rows::bucket::BucketRow;
use cairn_machine::rows::config::{BucketConfig, ConfigKind, Ownership};
use cairn_metadata::{View, query};
use http::HeaderMap;
use s3s::dto::{
    AccessControlPolicy, GetBucketAclOutput, GetObjectAclInput, GetObjectAclOutput, PutBucketAclInput,
    PutObjectAclInput,
};
use s3s::{S3Error, S3Result, s3_error};

use crate::authority::lists::{self, Asked, Canned};
use crate::authority::situation::{Situation, owner_of};
use crate::authority::{Identity, user_id};
use crate::fault::Fault;
use crate::front::Core;
use crate::names;
use crate::object::lookup;
use crate::outcome::unexpected;

impl Core {
    /// What is known of a bucket now, by its name.
    pub async fn situation(&self, bucket: &str) -> Result<(BucketId, Situation), Fault> {
        let name = names::bucket(bucket).map_err(|_| Fault::NoSuchBucket)?;
        let view = self.stripes.client.read().await?;
        let (id, row) = query::bucket_by_name(&view, &name)?.ok_or(Fault::NoSuchBucket)?;
        Ok((id, Situation::read(view, id, &row, &self.owner)?))
    }

    /// Everybody who is granted something must be somebody.
    fn judge_known(&self, view: &View, grants: &[Grant]) -> Result<(), Fault> {
        let mut unknown: Vec<&str> = grants
            .iter()
            .filter_map(|grant| match &grant.grantee {
                Grantee::User(id) if *id != self.owner => Some(id.as_str()),
                _ => None,
            })
            .collect();
        if !unknown.is_empty() {
            AccessKeyRow::scan(view, &[Table::AccessKey as u8], |key, _| {
                let id = user_id(self.cluster, &key);
                unknown.retain(|wanted| *wanted != id);
                if unknown.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
        }
        if unknown.is_empty() { Ok(()) } else { Err(s3_error!(InvalidArgument, "Invalid id").into()) }
    }

    /// Nothing for the public where that is blocked.
    fn judge_allowed(&self, situation: &Situation, grants: &[Grant]) -> S3Result<()> {
        if situation.block.block_acls && lists::is_public(grants) {
            return Err(s3_error!(AccessDenied, "Public access control lists are blocked."));
        }
        Ok(())
    }

    /// The list of a bucket that is about to be made.
    pub async fn acl_of_new_bucket(&self, owner: &str, headers: &HeaderMap) -> Result<Option<Acl>, Fault> {
        let Some(asked) = lists::of_headers(headers)? else { return Ok(None) };
        let grants = grants(&asked, owner, owner);
        self.judge_known(&self.stripes.client.read().await?, &grants)?;
        Ok(lists::kept(owner, owner, grants))
    }

    /// The list of an object that is about to be made. It belongs to whoever makes it; what nobody signed, and what root
    /// makes, belongs to the owner of the bucket.
    pub async fn acl_of_new_object(
        &self,
        bucket: BucketId,
        identity: &Identity,
        headers: &HeaderMap,
    ) -> Result<Option<Acl>, Fault> {
        let stale = self.stripes.client.read_stale();
        let row = BucketRow::get(&stale, &bucket)?.ok_or(Fault::NoSuchBucket)?;
        let bucket_owner = owner_of(&row, &self.owner);
        let writer = match identity {
            Identity::User { id, root: false, .. } => id.clone(),
            Identity::User { root: true, .. } | Identity::Anonymous => bucket_owner.clone(),
        };
        let said = lists::of_headers(headers)?;
        if said.is_none() && writer == bucket_owner {
            return Ok(None);
        }
        drop(stale);
        let view = self.stripes.client.read().await?;
        let row = BucketRow::get(&view, &bucket)?.ok_or(Fault::NoSuchBucket)?;
        let situation = Situation::read(view, bucket, &row, &self.owner)?;
        if !situation.lists_count() {
            // Nothing may be said of who owns it or may do what but what is so anyway.
            return match said.is_none_or(|said| gives_to(&said, &bucket_owner)) {
                true => Ok(None),
                false => Err(not_supported().into()),
            };
        }
        let asked = said.unwrap_or(Asked::Canned(Canned::Private));
        let given = grants(&asked, &writer, &bucket_owner);
        self.judge_allowed(&situation, &given)?;
        self.judge_known(&self.stripes.client.read_stale(), &given)?;
        match situation.ownership {
            Some(Ownership::OwnerPreferred) if asked == Asked::Canned(Canned::BucketOwnerFullControl) => Ok(None),
            _ => Ok(lists::kept(&writer, &bucket_owner, given)),
        }
    }

    /// What a request that sets a list says: in its headers or its body.
    fn asked(&self, headers: &HeaderMap, document: Option<&AccessControlPolicy>, owner: &str) -> S3Result<Asked> {
        match (lists::of_headers(headers)?, document) {
            (Some(_), Some(_)) => Err(s3_error!(UnexpectedContent, "This request does not support content")),
            (Some(asked), None) => Ok(asked),
            (None, None) => Err(s3_error!(MissingSecurityHeader)),
            (None, Some(document)) => {
                let named = document.owner.as_ref().and_then(|owner| owner.id.as_deref());
                if named.is_some_and(|named| named != owner) {
                    return Err(s3_error!(AccessDenied, "The owner of a list cannot be changed."));
                }
                Ok(Asked::Grants(lists::of_document(document)?))
            }
        }
    }
}

/// What a client hears who speaks of lists where they count for nothing.
fn not_supported() -> S3Error {
    s3_error!(AccessControlListNotSupported, "The bucket does not allow ACLs")
}

/// Whether a list gives everything to the owner of the bucket, and nothing to anybody else.
fn gives_to(asked: &Asked, bucket_owner: &str) -> bool {
    match asked {
        Asked::Canned(canned) => *canned == Canned::BucketOwnerFullControl,
        Asked::Grants(grants) => *grants == lists::grants_of(Canned::Private, bucket_owner, bucket_owner),
    }
}

fn grants(asked: &Asked, owner: &str, bucket_owner: &str) -> Vec<Grant> {
    match asked {
        Asked::Canned(canned) => lists::grants_of(*canned, owner, bucket_owner),
        Asked::Grants(grants) => grants.clone(),
    }
}

/// Says who may do what with a bucket.
pub async fn of_bucket(core: &Core, bucket: &str) -> Result<GetBucketAclOutput, Fault> {
    let (_, situation) = core.situation(bucket).await?;
    let acl = situation.acl().filter(|_| situation.lists_count());
    let (owner, grants) = lists::shown(acl, &situation.owner, &core.owner);
    Ok(GetBucketAclOutput { grants: Some(grants), owner: Some(owner) })
}

/// Says who may do what with a bucket from now on.
pub async fn put_of_bucket(core: &Core, input: PutBucketAclInput, headers: &HeaderMap) -> Result<(), Fault> {
    let (id, situation) = core.situation(&input.bucket).await?;
    if !situation.lists_count() {
        return Err(not_supported().into());
    }
    let owner = &situation.owner;
    let asked = core.asked(headers, input.access_control_policy.as_ref(), owner)?;
    let grants = grants(&asked, owner, owner);
    core.judge_allowed(&situation, &grants)?;
    core.judge_known(&core.stripes.client.read_stale(), &grants)?;
    let operation = match lists::kept(owner, owner, grants) {
        Some(acl) => Operation::PutBucketConfig { id, config: BucketConfig::Acl(acl) },
        None => Operation::RemoveBucketConfig { id, kind: ConfigKind::Acl },
    };
    match core.propose(operation).await? {
        Outcome::Done => Ok(()),
        other => Err(unexpected("the list of a bucket", &other)),
    }
}

/// Says who may do what with an object.
pub async fn of_object(core: &Core, input: GetObjectAclInput) -> Result<GetObjectAclOutput, Fault> {
    let found = lookup::find(core, &input.bucket, input.key, input.version_id.as_deref()).await?;
    let row = BucketRow::get(&found.view, &found.bucket)?.ok_or(Fault::NoSuchBucket)?;
    let situation = Situation::read(found.view, found.bucket, &row, &core.owner)?;
    let acl = found.attributes.acl.as_ref().filter(|_| situation.lists_count());
    let (owner, grants) = lists::shown(acl, &situation.owner, &core.owner);
    Ok(GetObjectAclOutput { grants: Some(grants), owner: Some(owner), ..GetObjectAclOutput::default() })
}

/// Says who may do what with an object from now on. It stays with its owner.
pub async fn put_of_object(core: &Core, input: PutObjectAclInput, headers: &HeaderMap) -> Result<(), Fault> {
    let found = lookup::find(core, &input.bucket, input.key, input.version_id.as_deref()).await?;
    let (bucket, situation) = core.situation(&input.bucket).await?;
    if !situation.lists_count() {
        return Err(not_supported().into());
    }
    let owner = found.attributes.acl.as_ref().and_then(|acl| acl.owner.as_deref()).unwrap_or(&situation.owner);
    let asked = core.asked(headers, input.access_control_policy.as_ref(), owner)?;
    let grants = grants(&asked, owner, &situation.owner);
    core.judge_allowed(&situation, &grants)?;
    core.judge_known(&core.stripes.client.read_stale(), &grants)?;
    let acl = lists::kept(owner, &situation.owner, grants);
    let version = names::version(input.version_id.as_deref())?;
    match core.propose(Operation::SetObjectAcl { bucket, key: found.key, version, acl }).await? {
        Outcome::Amended { .. } => Ok(()),
        other => Err(unexpected("the list of an object", &other)),
    }
}
