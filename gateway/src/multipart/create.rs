//! CreateMultipartUpload: everything that is said of the object is said here.

use cairn_machine::Outcome;
use cairn_machine::operation::Operation;
use http::HeaderMap;
use s3s::dto::{ChecksumAlgorithm, ChecksumType, CreateMultipartUploadInput, CreateMultipartUploadOutput};

use super::checksum;
use crate::authority::Identity;
use crate::fault::Fault;
use crate::front::Core;
use crate::names;
use crate::object::attributes::Described;
use crate::object::{lock, storage_class};
use crate::outcome::unexpected;

/// Who began an upload that nobody signed.
const ANONYMOUS: &str = "anonymous";

/// Begins an upload.
pub async fn create(
    core: &Core,
    mut input: CreateMultipartUploadInput,
    identity: &Identity,
    headers: &HeaderMap,
) -> Result<CreateMultipartUploadOutput, Fault> {
    let bucket = core.bucket(&input.bucket).await?;
    let algorithm = input.checksum_algorithm.as_ref().map(ChecksumAlgorithm::as_str);
    let checksum = checksum::asked(algorithm, input.checksum_type.as_ref().map(ChecksumType::as_str))?;
    let described = Described::take(&mut input)?;
    lock::judge_future(described.lock.as_ref(), core.clock.wall())?;
    let profile = storage_class::profile(&core.stripes.client.read_stale(), described.class.as_ref())?;
    let key = names::key(input.key.clone())?;
    let acl = core.acl_of_new_object(bucket, identity, headers).await?;
    let initiator = identity.id().unwrap_or(ANONYMOUS).to_owned();
    let Described { headers, metadata, tags, lock, class: _ } = described;
    let operation =
        Operation::CreateUpload { bucket, key, initiator, profile, headers, metadata, tags, checksum, lock, acl };
    let upload = match core.propose(operation).await? {
        Outcome::UploadCreated(upload) => upload,
        other => return Err(unexpected("the beginning of an upload", &other)),
    };
    let (checksum_algorithm, checksum_type) = checksum::shown(checksum);
    Ok(CreateMultipartUploadOutput {
        bucket: Some(input.bucket),
        key: Some(names::xml_text(input.key)),
        upload_id: Some(upload.to_string()),
        checksum_algorithm,
        checksum_type,
        ..CreateMultipartUploadOutput::default()
    })
}
