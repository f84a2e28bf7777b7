//! PUT: an object, and what is answered.

use cairn_core::VersionId;
use cairn_machine::Outcome;
use cairn_machine::rows::object::Attributes;
use cairn_machine::rows::profile::ProfileId;
use s3s::dto::{PutObjectInput, PutObjectOutput};
use s3s::{S3Request, s3_error};

use super::attributes::Described;
use super::purpose::{Destination, Purpose};
use super::store::{self, Stored};
use super::upload::{LengthAtEnd, Upload};
use super::{lock, preconditions, storage_class};
use crate::authority::Identity;
use crate::fault::Fault;
use crate::front::Core;
use crate::names;
use crate::outcome::unexpected;

/// Stores an object.
pub async fn put(core: &Core, request: S3Request<PutObjectInput>) -> Result<PutObjectOutput, Fault> {
    let S3Request { mut input, headers, trailing_headers, extensions, .. } = request;
    let body = input.body.take().ok_or_else(|| s3_error!(MissingRequestBodyError))?;
    let described = Described::take(&mut input)?;
    lock::judge_future(described.lock.as_ref(), core.clock.wall())?;
    let conditions = preconditions::of_put(input.if_match.as_ref(), input.if_none_match.as_ref())?;
    let upload = match extensions.get::<LengthAtEnd>() {
        Some(at_end) => Upload::with_length_at_end(body, *at_end, &headers)?,
        None => Upload::new(body, input.content_length, &headers, trailing_headers)?,
    };
    let key = names::key(input.key)?;
    let bucket = core.bucket(&input.bucket).await?;
    // The rows as they are here will do: a profile never means anything else than it did.
    let profile = match &described.class {
        None => ProfileId::STANDARD,
        class => storage_class::profile(&core.stripes.client.read_stale(), class.as_ref())?,
    };
    let identity = extensions.get::<Identity>().unwrap_or(&Identity::Anonymous);
    let acl = core.acl_of_new_object(bucket, identity, &headers).await?;
    let to = Destination { bucket, key, profile, part: None, weight: described.weight() };
    let purpose = move |size, etag, checksum| Purpose::Object {
        attributes: Attributes { acl, ..described.attributes(profile, size, etag, checksum) },
        conditions,
    };
    let Stored { outcome, etag, checksum } = store::store(core, upload, to, purpose).await?;
    let version_id = version_of(outcome)?;
    let mut output = PutObjectOutput { e_tag: Some(names::etag(&etag)), version_id, ..PutObjectOutput::default() };
    if let Some(checksum) = &checksum {
        names::put_checksum(checksum, &mut output);
    }
    Ok(output)
}

/// The version's id, where versions are kept.
fn version_of(outcome: Outcome) -> Result<Option<String>, Fault> {
    match outcome {
        Outcome::Put { version, null, .. } => Ok((!null).then(|| VersionId::to_string(&version))),
        other => Err(unexpected("a PUT", &other)),
    }
}
