//! GetObjectAttributes: what is known of a version, without its bytes.

use cairn_machine::rows::object::Checksum;
use cairn_metadata::query::{self, ObjectPart, ObjectParts};
use http::HeaderMap;
use s3s::dto::{
    Checksum as SaidChecksum, ETag, GetObjectAttributesInput, GetObjectAttributesOutput, GetObjectAttributesParts,
    ObjectPart as SaidPart, StorageClass,
};
use s3s::{S3Request, s3_error};

use super::lookup::{self, Found};
use crate::fault::Fault;
use crate::front::Core;
use crate::names;

/// What may be asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Wanted {
    etag: bool,
    checksum: bool,
    parts: bool,
    class: bool,
    size: bool,
}

impl Wanted {
    /// Reads the lists that the client sent. s3s takes a header for one name, whatever stands in it.
    fn from_headers(headers: &HeaderMap) -> Result<Self, Fault> {
        let mut wanted = Self::default();
        let mut any = false;
        for value in headers.get_all("x-amz-object-attributes") {
            let value = value.to_str().unwrap_or("not text");
            for name in value.split(',').map(str::trim).filter(|name| !name.is_empty()) {
                any = true;
                *match name {
                    "ETag" => &mut wanted.etag,
                    "Checksum" => &mut wanted.checksum,
                    "ObjectParts" => &mut wanted.parts,
                    "StorageClass" => &mut wanted.class,
                    "ObjectSize" => &mut wanted.size,
                    _ => return Err(s3_error!(InvalidArgument, "Invalid attribute name specified.").into()),
                } = true;
            }
        }
        if !any {
            let missing = "The x-amz-object-attributes header specifying the attributes to be retrieved is either \
                           missing or empty";
            return Err(s3_error!(InvalidRequest, "{missing}").into());
        }
        Ok(wanted)
    }
}

/// Answers what was asked for.
pub async fn attributes(
    core: &Core,
    request: S3Request<GetObjectAttributesInput>,
) -> Result<GetObjectAttributesOutput, Fault> {
    let S3Request { input, headers, .. } = request;
    let wanted = Wanted::from_headers(&headers)?;
    let found = lookup::find(core, &input.bucket, input.key, input.version_id.as_deref()).await?;
    let Found { attributes, modified, version_id, .. } = &found;
    let mut output = GetObjectAttributesOutput {
        last_modified: Some(names::timestamp(*modified)),
        version_id: version_id.clone(),
        ..GetObjectAttributesOutput::default()
    };
    if wanted.etag {
        output.e_tag = Some(ETag::Strong(attributes.etag.to_string()));
    }
    if wanted.checksum {
        output.checksum = attributes.checksum.as_ref().map(said);
    }
    if wanted.parts {
        output.object_parts = parts(&found, input.part_number_marker, input.max_parts)?;
    }
    if wanted.class {
        output.storage_class = Some(StorageClass::from_static(StorageClass::STANDARD));
    }
    if wanted.size {
        output.object_size = Some(i64::try_from(attributes.size).expect("an object has at most 5 TiB"));
    }
    Ok(output)
}

/// The most parts that are told at once.
const PARTS_MAX: i32 = 1000;

/// A page of an object's parts; `None` for one that was not uploaded in parts.
fn parts(found: &Found, marker: Option<i32>, max: Option<i32>) -> Result<Option<GetObjectAttributesParts>, Fault> {
    let (marker, max) = (marker.unwrap_or(0), max.unwrap_or(PARTS_MAX).min(PARTS_MAX));
    let (Ok(after), Ok(limit)) = (u16::try_from(marker), usize::try_from(max)) else {
        return Err(s3_error!(InvalidArgument, "Neither a part number nor a number of parts can be negative.").into());
    };
    let Some(ObjectParts { count, parts, more }) = query::parts(&found.view, &found.content, after, limit)? else {
        return Ok(None);
    };
    let last = parts.last().map_or(marker, |part| i32::from(part.number));
    Ok(Some(GetObjectAttributesParts {
        is_truncated: Some(more),
        max_parts: Some(max),
        next_part_number_marker: Some(last),
        part_number_marker: Some(marker),
        parts: Some(parts.iter().map(part).collect()),
        total_parts_count: Some(i32::from(count)),
    }))
}

fn part(part: &ObjectPart) -> SaidPart {
    let checksum = part.checksum.as_ref().map(said).unwrap_or_default();
    SaidPart {
        checksum_crc32: checksum.checksum_crc32,
        checksum_crc32c: checksum.checksum_crc32c,
        checksum_crc64nvme: checksum.checksum_crc64nvme,
        checksum_sha1: checksum.checksum_sha1,
        checksum_sha256: checksum.checksum_sha256,
        part_number: Some(i32::from(part.number)),
        size: Some(i64::try_from(part.size).expect("a part has at most 5 GiB")),
        ..SaidPart::default()
    }
}

fn said(checksum: &Checksum) -> SaidChecksum {
    let mut said = SaidChecksum::default();
    names::said_checksum(checksum, &mut said);
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(values: &[&'static str]) -> Result<Wanted, String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("x-amz-object-attributes", http::HeaderValue::from_static(value));
        }
        Wanted::from_headers(&headers).map_err(|fault| s3s::S3Error::from(fault).code().as_str().to_owned())
    }

    #[test]
    fn lists_of_attributes_are_read_however_they_are_split() {
        let both = Wanted { etag: true, size: true, ..Wanted::default() };
        for values in [&["ETag,ObjectSize"][..], &["ETag", "ObjectSize"], &[" ObjectSize , ETag,"]] {
            assert_eq!(wanted(values), Ok(both), "{values:?}");
        }
        for (values, code) in [
            (&[][..], "InvalidRequest"),
            (&[""], "InvalidRequest"),
            (&[" , "], "InvalidRequest"),
            (&["ETag,Colour"], "InvalidArgument"),
            (&["etag"], "InvalidArgument"),
        ] {
            assert_eq!(wanted(values), Err(code.to_owned()), "{values:?}");
        }
    }
}
