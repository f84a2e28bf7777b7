//! Buckets: made, emptied, removed; and whether they keep versions.
//!
//! ```text
//! Off --> Enabled <--> Suspended        (never back to Off: versions may exist from then on)
//!            |
//!            +--> locked: Enabled for ever
//! ```

use cairn_core::{BucketId, BucketName};

use crate::apply::config;
use crate::apply::context::Context;
use crate::apply::transaction::{Stop, Transaction, malformed};
use crate::outcome::{Outcome, Refusal};
use crate::rows::access_key::ACCESS_KEY_ID_BYTES_MAX;
use crate::rows::acl::Acl;
use crate::rows::bucket::{BucketLedgerRow, BucketNameRow, BucketRow, Versioning};
use crate::rows::cluster::ClusterRow;
use crate::rows::config::BucketConfig;
use crate::rows::lock::BucketLock;
use crate::rows::upload::BucketUploadsRow;
use crate::source::RowSource;

pub(crate) fn create<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &Context<'_>,
    name: &BucketName,
    owner: &str,
    lock: Option<BucketLock>,
    acl: Option<&Acl>,
) -> Result<Outcome, Stop> {
    if owner.is_empty() || owner.len() > ACCESS_KEY_ID_BYTES_MAX {
        return Err(malformed("the owner's access key is empty or too long"));
    }
    if let Some(taken) = rows.get::<BucketNameRow>(name)? {
        let owner = rows.must::<BucketRow>(&taken.id)?.owner.clone();
        return Err(Refusal::BucketExists { owner }.into());
    }
    judge_lock(lock)?;
    let id = context.bucket();
    let versioning = if lock.is_some() { Versioning::Enabled } else { Versioning::default() };
    let row = BucketRow { name: name.clone(), created: context.time, owner: owner.into(), versioning, lock };
    rows.put(name, BucketNameRow { id })?;
    rows.put(&id, row)?;
    rows.put(&id, BucketLedgerRow::default())?;
    if let Some(acl) = acl {
        config::put(rows, id, &BucketConfig::Acl(acl.clone()))?;
    }
    let cluster = rows.must::<ClusterRow>(&())?;
    rows.put(&(), ClusterRow { buckets_made: cluster.buckets_made + 1, ..(*cluster).clone() })?;
    Ok(Outcome::BucketCreated(id))
}

/// The ledger says whether the bucket is empty. To look would be to walk over the tombstones of everything that it ever
/// held; that the ledger is right is invariant 11.
pub(crate) fn delete<S: RowSource + ?Sized>(rows: &mut Transaction<'_, S>, id: BucketId) -> Result<Outcome, Stop> {
    let row = rows.get::<BucketRow>(&id)?.ok_or(Refusal::NoSuchBucket)?;
    if rows.must::<BucketLedgerRow>(&id)?.versions > 0 {
        return Err(Refusal::BucketNotEmpty.into());
    }
    if rows.get::<BucketUploadsRow>(&id)?.is_some() {
        return Err(Refusal::BucketNotEmpty.into());
    }
    config::remove_all(rows, id)?;
    rows.remove::<BucketNameRow>(&row.name)?;
    rows.remove::<BucketRow>(&id)?;
    rows.remove::<BucketLedgerRow>(&id)?;
    Ok(Outcome::Done)
}

pub(crate) fn set_versioning<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    id: BucketId,
    versioning: Versioning,
) -> Result<Outcome, Stop> {
    let row = rows.get::<BucketRow>(&id)?.ok_or(Refusal::NoSuchBucket)?;
    if versioning == Versioning::Off && row.versioning != Versioning::Off {
        return Err(malformed("versions cannot be switched off again, only suspended"));
    }
    if row.lock.is_some() && versioning != Versioning::Enabled {
        return Err(Refusal::VersioningRequired.into());
    }
    rows.put(&id, BucketRow { versioning, ..(*row).clone() })?;
    Ok(Outcome::Done)
}

/// Lets versions be locked. Where they were not kept, one could be replaced whatever locks it: so they must be.
pub(crate) fn lock<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    id: BucketId,
    lock: BucketLock,
) -> Result<Outcome, Stop> {
    judge_lock(Some(lock))?;
    let row = rows.get::<BucketRow>(&id)?.ok_or(Refusal::NoSuchBucket)?;
    if row.versioning != Versioning::Enabled {
        return Err(Refusal::VersioningRequired.into());
    }
    rows.put(&id, BucketRow { lock: Some(lock), ..(*row).clone() })?;
    Ok(Outcome::Done)
}

fn judge_lock(lock: Option<BucketLock>) -> Result<(), Stop> {
    match lock.and_then(|lock| lock.default) {
        Some(default) if default.days().is_none() => Err(malformed("a retention of no days, or of too many")),
        _ => Ok(()),
    }
}
