//! What is configured for a bucket. What it means is decided by whoever reads it.

use cairn_core::BucketId;

use crate::apply::transaction::{Stop, Transaction, malformed};
use crate::outcome::{Outcome, Refusal};
use crate::row::Row;
use crate::rows::bucket::BucketRow;
use crate::rows::config::{BucketConfig, BucketConfigRow, CONFIG_BYTES_MAX, ConfigKind};
use crate::rows::cors::CORS_RULES_MAX;
use crate::source::RowSource;

pub(crate) fn put<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    bucket: BucketId,
    config: &BucketConfig,
) -> Result<Outcome, Stop> {
    rows.get::<BucketRow>(&bucket)?.ok_or(Refusal::NoSuchBucket)?;
    match config {
        BucketConfig::Acl(acl) if !acl.is_bounded() => return Err(malformed("a longer list than a bucket has")),
        BucketConfig::Cors(rules) if rules.len() > CORS_RULES_MAX => {
            return Err(malformed("more rules than a bucket has"));
        }
        _ => {}
    }
    let row = BucketConfigRow { config: config.clone() };
    if row.weight() > CONFIG_BYTES_MAX {
        return Err(malformed("a longer configuration than a bucket has"));
    }
    rows.put(&(bucket, config.kind()), row)?;
    Ok(Outcome::Done)
}

pub(crate) fn remove<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    bucket: BucketId,
    kind: ConfigKind,
) -> Result<Outcome, Stop> {
    rows.get::<BucketRow>(&bucket)?.ok_or(Refusal::NoSuchBucket)?;
    if rows.get::<BucketConfigRow>(&(bucket, kind))?.is_some() {
        rows.remove::<BucketConfigRow>(&(bucket, kind))?;
    }
    Ok(Outcome::Done)
}

/// The bucket goes, and all that was configured for it.
pub(crate) fn remove_all<S: RowSource + ?Sized>(rows: &mut Transaction<'_, S>, bucket: BucketId) -> Result<(), Stop> {
    for &kind in ConfigKind::ALL {
        remove(rows, bucket, kind)?;
    }
    Ok(())
}
