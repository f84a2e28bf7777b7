//! Whether a bucket keeps versions: asked, switched on, suspended.

use cairn_machine::Outcome;
use cairn_machine::operation::Operation;
use cairn_machine::rows::bucket::Versioning;
use s3s::dto::{
    BucketVersioningStatus, GetBucketVersioningOutput, MFADelete, PutBucketVersioningInput, VersioningConfiguration,
};
use s3s::{S3Result, s3_error};

use crate::fault::Fault;
use crate::front::Core;
use crate::names;
use crate::outcome::unexpected;

/// Switches versions on, or suspends them.
pub async fn put(core: &Core, input: PutBucketVersioningInput) -> Result<(), Fault> {
    let versioning = wanted(&input.versioning_configuration)?;
    let id = core.bucket(&input.bucket).await?;
    match core.propose(Operation::SetVersioning { id, versioning }).await? {
        Outcome::Done => Ok(()),
        other => Err(unexpected("versioning", &other)),
    }
}

/// Deleting with a second factor is refused aloud: who asks for it relies on it.
fn wanted(configuration: &VersioningConfiguration) -> S3Result<Versioning> {
    if configuration.mfa_delete.as_ref().is_some_and(|mfa| mfa.as_str() != MFADelete::DISABLED) {
        return Err(s3_error!(NotImplemented, "MfaDelete is not implemented."));
    }
    match configuration.status.as_ref().map(BucketVersioningStatus::as_str) {
        Some(BucketVersioningStatus::ENABLED) => Ok(Versioning::Enabled),
        Some(BucketVersioningStatus::SUSPENDED) => Ok(Versioning::Suspended),
        Some(_) => Err(s3_error!(MalformedXML)),
        None => Err(s3_error!(
            IllegalVersioningConfigurationException,
            "The Versioning element must be specified in the request."
        )),
    }
}

/// Says whether versions are kept; says nothing where they never were.
pub async fn get(core: &Core, bucket: &str) -> Result<GetBucketVersioningOutput, Fault> {
    let name = names::bucket(bucket).map_err(|_| Fault::NoSuchBucket)?;
    let (_, row) = core.bucket_row(&name).await?;
    let status = match row.versioning {
        Versioning::Off => None,
        Versioning::Enabled => Some(BucketVersioningStatus::ENABLED),
        Versioning::Suspended => Some(BucketVersioningStatus::SUSPENDED),
    };
    Ok(GetBucketVersioningOutput { status: status.map(BucketVersioningStatus::from_static), mfa_delete: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_built_can_be_switched_on() {
        let asked = |status: Option<&str>, mfa: Option<&str>| VersioningConfiguration {
            status: status.map(|status| BucketVersioningStatus::from(status.to_owned())),
            mfa_delete: mfa.map(|mfa| MFADelete::from(mfa.to_owned())),
        };
        assert_eq!(wanted(&asked(Some("Enabled"), None)).unwrap(), Versioning::Enabled);
        assert_eq!(wanted(&asked(Some("Suspended"), Some("Disabled"))).unwrap(), Versioning::Suspended);
        for (status, mfa, code) in [
            (Some("Enabled"), Some("Enabled"), "NotImplemented"),
            (Some("Off"), None, "MalformedXML"),
            (None, None, "IllegalVersioningConfigurationException"),
        ] {
            assert_eq!(wanted(&asked(status, mfa)).unwrap_err().code().as_str(), code);
        }
    }
}
