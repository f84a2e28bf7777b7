//! Retention and legal holds of versions: between S3's words and the state machine, which alone decides what they keep.

use cairn_core::{VersionId, WallTime};
use cairn_machine::Outcome;
use cairn_machine::operation::Operation;
use cairn_machine::row::Row;
use cairn_machine::rows::bucket::BucketRow;
use cairn_machine::rows::lock::{Bypass, Retention, RetentionMode, VersionLock};
use s3s::dto::{
    GetObjectLegalHoldInput, GetObjectLegalHoldOutput, GetObjectRetentionInput, GetObjectRetentionOutput,
    ObjectLockLegalHold, ObjectLockLegalHoldStatus, ObjectLockMode, ObjectLockRetention, ObjectLockRetentionMode,
    PutObjectLegalHoldInput, PutObjectRetentionInput, Timestamp,
};
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};

use super::lookup::{self, Found};
use crate::fault::Fault;
use crate::front::Core;
use crate::names;
use crate::outcome::unexpected;

/// What AWS says of retention and legal holds where no lock was configured.
pub fn no_lock() -> S3Error {
    s3_error!(InvalidRequest, "Bucket is missing Object Lock Configuration")
}

/// The mode that a client names.
pub fn mode_named(name: Option<&str>) -> S3Result<RetentionMode> {
    match name {
        Some(ObjectLockRetentionMode::GOVERNANCE) => Ok(RetentionMode::Governance),
        Some(ObjectLockRetentionMode::COMPLIANCE) => Ok(RetentionMode::Compliance),
        _ => Err(s3_error!(MalformedXML)),
    }
}

fn name_of(mode: RetentionMode) -> &'static str {
    match mode {
        RetentionMode::Governance => ObjectLockRetentionMode::GOVERNANCE,
        RetentionMode::Compliance => ObjectLockRetentionMode::COMPLIANCE,
    }
}

/// A mode as documents show it.
pub fn mode_shown(mode: RetentionMode) -> ObjectLockRetentionMode {
    ObjectLockRetentionMode::from_static(name_of(mode))
}

/// A mode as headers show it.
pub fn mode_in_header(mode: RetentionMode) -> ObjectLockMode {
    ObjectLockMode::from_static(name_of(mode))
}

fn hold_named(status: Option<&str>) -> Option<bool> {
    match status {
        Some(ObjectLockLegalHoldStatus::ON) => Some(true),
        Some(ObjectLockLegalHoldStatus::OFF) => Some(false),
        _ => None,
    }
}

/// The status of a hold as it is shown.
pub fn hold_shown(held: bool) -> ObjectLockLegalHoldStatus {
    ObjectLockLegalHoldStatus::from_static(if held {
        ObjectLockLegalHoldStatus::ON
    } else {
        ObjectLockLegalHoldStatus::OFF
    })
}

/// What `x-amz-object-lock-*` says of an object that is about to be made; `None` where there is no such header.
pub fn of_headers(mode: Option<&str>, until: Option<Timestamp>, hold: Option<&str>) -> S3Result<Option<VersionLock>> {
    let invalid = |what: &str| s3_error!(InvalidArgument, "{what}");
    let retention = match (mode, until) {
        (None, None) => None,
        (Some(mode), Some(until)) => {
            let mode = mode_named(Some(mode)).map_err(|_| invalid("Unknown wormMode directive."))?;
            Some(Retention { mode, until: moment(until)? })
        }
        _ => {
            return Err(invalid(
                "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied",
            ));
        }
    };
    let legal_hold = match hold {
        None => None,
        Some(_) => Some(hold_named(hold).ok_or_else(|| invalid("Legal Hold must be either of 'ON' or 'OFF'"))?),
    };
    let lock = VersionLock { retention, legal_hold };
    Ok((lock != VersionLock::default()).then_some(lock))
}

fn moment(time: Timestamp) -> S3Result<WallTime> {
    let millis = time::OffsetDateTime::from(time).unix_timestamp_nanos() / 1_000_000;
    u64::try_from(millis).map(WallTime).map_err(|_| past())
}

fn past() -> S3Error {
    s3_error!(InvalidArgument, "The retain until date must be in the future!")
}

/// A retention that is over before it begins would be a promise of nothing.
pub fn judge_future(lock: Option<&VersionLock>, now: WallTime) -> S3Result<()> {
    match lock.and_then(|lock| lock.retention) {
        Some(retention) if retention.until <= now => Err(past()),
        _ => Ok(()),
    }
}

/// What a request says of governance: who it may be bypassed for is judged before it gets here.
pub fn bypass(asked: Option<bool>) -> Option<Bypass> {
    asked.unwrap_or(false).then_some(Bypass::Governance)
}

/// Says until when a version is retained.
pub async fn get_retention(core: &Core, input: GetObjectRetentionInput) -> Result<GetObjectRetentionOutput, Fault> {
    let lock = lock_of(core, &input.bucket, input.key, input.version_id.as_deref()).await?;
    let Retention { mode, until } = lock.retention.ok_or_else(unlocked)?;
    let retain_until_date = Some(names::timestamp(until));
    Ok(GetObjectRetentionOutput {
        retention: Some(ObjectLockRetention { mode: Some(mode_shown(mode)), retain_until_date }),
    })
}

/// Says whether a version is on legal hold.
pub async fn get_hold(core: &Core, input: GetObjectLegalHoldInput) -> Result<GetObjectLegalHoldOutput, Fault> {
    let lock = lock_of(core, &input.bucket, input.key, input.version_id.as_deref()).await?;
    let held = lock.legal_hold.ok_or_else(unlocked)?;
    Ok(GetObjectLegalHoldOutput { legal_hold: Some(ObjectLockLegalHold { status: Some(hold_shown(held)) }) })
}

fn unlocked() -> S3Error {
    let message = "The specified object does not have a ObjectLock configuration";
    let mut error = S3Error::with_message(S3ErrorCode::Custom("NoSuchObjectLockConfiguration".into()), message);
    error.set_status_code(http::StatusCode::NOT_FOUND);
    error
}

async fn lock_of(core: &Core, bucket: &str, key: String, version: Option<&str>) -> Result<VersionLock, Fault> {
    let Found { view, bucket, attributes, .. } = lookup::find(core, bucket, key, version).await?;
    let row = BucketRow::get(&view, &bucket)?.ok_or(Fault::NoSuchBucket)?;
    row.lock.ok_or_else(no_lock)?;
    Ok(attributes.lock.unwrap_or_default())
}

/// Retains a version. An empty document lifts what may be lifted.
pub async fn put_retention(core: &Core, input: PutObjectRetentionInput) -> Result<Option<String>, Fault> {
    let retention = match input.retention {
        None => return Err(s3_error!(MalformedXML).into()),
        Some(ObjectLockRetention { mode: None, retain_until_date: None }) => None,
        Some(ObjectLockRetention { mode, retain_until_date: Some(until) }) => {
            let mode = mode_named(mode.as_ref().map(ObjectLockRetentionMode::as_str))?;
            Some(Retention { mode, until: moment(until)? })
        }
        Some(_) => return Err(s3_error!(MalformedXML).into()),
    };
    judge_future(Some(&VersionLock { retention, legal_hold: None }), core.clock.wall())?;
    let (bucket, key) = (core.bucket(&input.bucket).await?, names::key(input.key)?);
    let version = names::version(input.version_id.as_deref())?;
    let bypass = bypass(input.bypass_governance_retention);
    amended(core, Operation::SetRetention { bucket, key, version, retention, bypass }).await
}

/// Puts a version on legal hold, or lifts the hold.
pub async fn put_hold(core: &Core, input: PutObjectLegalHoldInput) -> Result<Option<String>, Fault> {
    let status = input.legal_hold.and_then(|hold| hold.status);
    let held = hold_named(status.as_ref().map(ObjectLockLegalHoldStatus::as_str));
    let held = held.ok_or_else(|| s3_error!(MalformedXML))?;
    let (bucket, key) = (core.bucket(&input.bucket).await?, names::key(input.key)?);
    let version = names::version(input.version_id.as_deref())?;
    amended(core, Operation::SetLegalHold { bucket, key, version, held }).await
}

async fn amended(core: &Core, operation: Operation) -> Result<Option<String>, Fault> {
    match core.propose(operation).await? {
        Outcome::Amended { version, null } => Ok((!null).then(|| VersionId::to_string(&version))),
        other => Err(unexpected("the lock of a version", &other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_say_all_of_a_retention_or_nothing() {
        let until = || Some(names::timestamp(WallTime(5_000)));
        let retention = Some(Retention { mode: RetentionMode::Compliance, until: WallTime(5_000) });
        let lock = |retention, legal_hold| Some(VersionLock { retention, legal_hold });
        assert_eq!(of_headers(None, None, None).unwrap(), None);
        assert_eq!(of_headers(Some("COMPLIANCE"), until(), None).unwrap(), lock(retention, None));
        assert_eq!(of_headers(Some("COMPLIANCE"), until(), Some("OFF")).unwrap(), lock(retention, Some(false)));
        assert_eq!(of_headers(None, None, Some("ON")).unwrap(), lock(None, Some(true)));
        for (mode, until, hold) in [
            (Some("COMPLIANCE"), None, None),
            (None, until(), None),
            (Some("compliance"), until(), None),
            (None, None, Some("on")),
        ] {
            assert_eq!(of_headers(mode, until, hold).unwrap_err().code().as_str(), "InvalidArgument");
        }
        judge_future(lock(retention, None).as_ref(), WallTime(4_999)).unwrap();
        assert!(judge_future(lock(retention, None).as_ref(), WallTime(5_000)).is_err());
    }
}
