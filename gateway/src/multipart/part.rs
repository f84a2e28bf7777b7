//! UploadPart: a body that becomes a part, in place of the one with its number.

use cairn_machine::rows::object::Etag;
use s3s::dto::{UploadPartInput, UploadPartOutput};
use s3s::{S3Request, s3_error};

use super::{Found, checksum, find};
use crate::fault::Fault;
use crate::front::Core;
use crate::names;
use crate::object::part;
use crate::object::purpose::{Destination, Purpose};
use crate::object::store::{self, Stored};
use crate::object::upload::Upload;

/// Stores a part.
pub async fn upload(core: &Core, request: S3Request<UploadPartInput>) -> Result<UploadPartOutput, Fault> {
    let S3Request { mut input, headers, trailing_headers, .. } = request;
    let body = input.body.take().ok_or_else(|| s3_error!(MissingRequestBodyError))?;
    let number = part::number(input.part_number)?;
    let body = Upload::new(body, input.content_length, &headers, trailing_headers)?;
    let Found { named, row, .. } = find(core, &input.bucket, input.key, &input.upload_id).await?;
    let body = match checksum::of_part(row.checksum, body.promises().named_kind())? {
        Some(kind) => body.or_kind(kind),
        None => body,
    };
    let (bucket, key, upload) = (named.bucket, named.key, named.upload);
    let to = Destination { bucket, key, profile: row.profile, part: Some(number), weight: 0 };
    let purpose = move |size, etag: Etag, checksum| Purpose::Part { upload, number, size, md5: etag.md5, checksum };
    let Stored { etag, checksum, .. } = store::store(core, body, to, purpose).await?;
    let mut output = UploadPartOutput { e_tag: Some(names::etag(&etag)), ..UploadPartOutput::default() };
    if let Some(checksum) = &checksum {
        names::part_checksum(checksum, &mut output);
    }
    Ok(output)
}
