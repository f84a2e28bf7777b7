//! Whether the versions of a bucket can be locked, and what holds for those that bring no retention.

use cairn_machine::Outcome;
use cairn_machine::operation::Operation;
use cairn_machine::rows::lock::{BucketLock, DefaultRetention, Period};
use s3s::dto::{
    DefaultRetention as SaidRetention, GetObjectLockConfigurationOutput, ObjectLockConfiguration, ObjectLockEnabled,
    ObjectLockRule, PutObjectLockConfigurationInput,
};
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};

use crate::fault::Fault;
use crate::front::Core;
use crate::names;
use crate::object::lock::{mode_named, mode_shown};
use crate::outcome::unexpected;

/// Says what holds.
pub async fn get(core: &Core, bucket: &str) -> Result<GetObjectLockConfigurationOutput, Fault> {
    let name = names::bucket(bucket).map_err(|_| Fault::NoSuchBucket)?;
    let (_, row) = core.bucket_row(&name).await?;
    let lock = row.lock.ok_or_else(|| {
        s3_error!(ObjectLockConfigurationNotFoundError, "Object Lock configuration does not exist for this bucket")
    })?;
    Ok(GetObjectLockConfigurationOutput { object_lock_configuration: Some(shown(&lock)) })
}

/// Lets versions be locked from now on, or changes what holds for new ones.
pub async fn put(core: &Core, input: PutObjectLockConfigurationInput) -> Result<(), Fault> {
    if input.token.is_some() {
        return Err(s3_error!(NotImplemented, "The header x-amz-bucket-object-lock-token is not implemented.").into());
    }
    let lock = wanted(input.object_lock_configuration)?;
    let id = core.bucket(&input.bucket).await?;
    match core.propose(Operation::LockBucket { id, lock }).await? {
        Outcome::Done => Ok(()),
        other => Err(unexpected("a bucket's lock", &other)),
    }
}

fn shown(lock: &BucketLock) -> ObjectLockConfiguration {
    let rule = lock.default.map(|default| {
        let (days, years) = match default.period {
            Period::Days(days) => (Some(days), None),
            Period::Years(years) => (None, Some(years)),
        };
        let number = |number: Option<u32>| number.and_then(|number| i32::try_from(number).ok());
        let (mode, days, years) = (Some(mode_shown(default.mode)), number(days), number(years));
        ObjectLockRule { default_retention: Some(SaidRetention { days, mode, years }) }
    });
    let enabled = ObjectLockEnabled::from_static(ObjectLockEnabled::ENABLED);
    ObjectLockConfiguration { object_lock_enabled: Some(enabled), rule }
}

fn wanted(configuration: Option<ObjectLockConfiguration>) -> S3Result<BucketLock> {
    let configuration = configuration.ok_or_else(|| s3_error!(MalformedXML))?;
    let enabled = configuration.object_lock_enabled.as_ref().map(ObjectLockEnabled::as_str);
    if enabled != Some(ObjectLockEnabled::ENABLED) {
        return Err(s3_error!(MalformedXML));
    }
    let Some(rule) = configuration.rule else { return Ok(BucketLock::default()) };
    let SaidRetention { days, mode, years } = rule.default_retention.ok_or_else(|| s3_error!(MalformedXML))?;
    let mode = mode_named(mode.as_ref().map(s3s::dto::ObjectLockRetentionMode::as_str))?;
    let period = match (days, years) {
        (Some(days), None) => u32::try_from(days).map(Period::Days),
        (None, Some(years)) => u32::try_from(years).map(Period::Years),
        _ => return Err(s3_error!(MalformedXML)),
    };
    let default = DefaultRetention { mode, period: period.map_err(|_| no_period())? };
    default.days().ok_or_else(no_period)?;
    Ok(BucketLock { default: Some(default) })
}

fn no_period() -> S3Error {
    let message = "Default retention period must be at least one day and at most a hundred years.";
    let mut error = S3Error::with_message(S3ErrorCode::Custom("InvalidRetentionPeriod".into()), message);
    error.set_status_code(http::StatusCode::BAD_REQUEST);
    error
}

#[cfg(test)]
mod tests {
    use s3s::dto::ObjectLockRetentionMode;

    use super::*;

    fn asked(enabled: &str, mode: &str, days: Option<i32>, years: Option<i32>) -> ObjectLockConfiguration {
        let mode = Some(ObjectLockRetentionMode::from(mode.to_owned()));
        ObjectLockConfiguration {
            object_lock_enabled: Some(ObjectLockEnabled::from(enabled.to_owned())),
            rule: Some(ObjectLockRule { default_retention: Some(SaidRetention { days, mode, years }) }),
        }
    }

    #[test]
    fn what_is_configured_is_shown_as_it_was_said() {
        for sound in [
            asked("Enabled", "GOVERNANCE", Some(1), None),
            asked("Enabled", "COMPLIANCE", None, Some(100)),
            ObjectLockConfiguration { rule: None, ..asked("Enabled", "", None, None) },
        ] {
            assert_eq!(shown(&wanted(Some(sound.clone())).unwrap()), sound);
        }
        for (refused, code) in [
            (asked("Disabled", "GOVERNANCE", Some(1), None), "MalformedXML"),
            (asked("Enabled", "governance", Some(1), None), "MalformedXML"),
            (asked("Enabled", "GOVERNANCE", Some(1), Some(1)), "MalformedXML"),
            (asked("Enabled", "GOVERNANCE", None, None), "MalformedXML"),
            (asked("Enabled", "GOVERNANCE", Some(0), None), "InvalidRetentionPeriod"),
            (asked("Enabled", "GOVERNANCE", None, Some(-1)), "InvalidRetentionPeriod"),
            (asked("Enabled", "GOVERNANCE", None, Some(101)), "InvalidRetentionPeriod"),
        ] {
            assert_eq!(wanted(Some(refused.clone())).unwrap_err().code().as_str(), code, "{refused:?}");
        }
    }
}
