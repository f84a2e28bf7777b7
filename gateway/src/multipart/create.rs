//! CreateMultipartUpload: everything that is said of the object is said here.

use cairn_machine::Outcome;
use cairn_machine::operation::Operation;
use s3s::dto::{ChecksumAlgorithm, ChecksumType, CreateMultipartUploadInput, CreateMultipartUploadOutput};

use super::checksum;
use crate::fault::Fault;
use crate::front::Core;
use crate::names;
use crate::object::attributes::Described;
use crate::object::storage_class;
use crate::outcome::unexpected;

/// Begins an upload.
pub async fn create(
    core: &Core,
    mut input: CreateMultipartUploadInput,
    initiator: String,
) -> Result<CreateMultipartUploadOutput, Fault> {
    let bucket = core.bucket(&input.bucket).await?;
    let algorithm = input.checksum_algorithm.as_ref().map(ChecksumAlgorithm::as_str);
    let checksum = checksum::asked(algorithm, input.checksum_type.as_ref().map(ChecksumType::as_str))?;
    let described = Described::take(&mut input)?;
    let profile = storage_class::profile(&core.stripes.client.read_stale(), described.class.as_ref())?;
    let key = names::key(input.key.clone())?;
    let Described { headers, metadata, tags, .. } = described;
    let operation = Operation::CreateUpload { bucket, key, initiator, profile, headers, metadata, tags, checksum };
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
