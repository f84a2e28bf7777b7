//! ListParts: what an upload has so far.

use cairn_machine::row::Row;
use cairn_machine::rows::bucket::BucketRow;
use cairn_machine::rows::object::Etag;
use cairn_machine::rows::upload::PartRow;
use cairn_metadata::query;
use s3s::dto::{ListPartsInput, ListPartsOutput, Part};
use s3s::s3_error;

use super::{Found, checksum, find_now, initiator};
use crate::bucket::listing;
use crate::fault::Fault;
use crate::front::Core;
use crate::names;
use crate::object::storage_class;

/// The most parts in one answer: what S3 gives, whatever is asked for.
const PAGE_MAX: i32 = 1000;

/// Answers ListParts.
pub async fn list(core: &Core, input: ListPartsInput) -> Result<ListPartsOutput, Fault> {
    let max_parts = input.max_parts.unwrap_or(PAGE_MAX).min(PAGE_MAX);
    let limit = usize::try_from(max_parts)
        .map_err(|_| s3_error!(InvalidArgument, "Argument max-parts must be an integer between 0 and 2147483647"))?;
    let marker = input.part_number_marker.unwrap_or(0);
    if marker < 0 {
        return Err(s3_error!(InvalidArgument, "Argument part-number-marker must not be negative.").into());
    }
    let Found { view, named, row } = find_now(core, &input.bucket, input.key.clone(), &input.upload_id).await?;
    // Behind the greatest number there is nothing.
    let behind = u16::try_from(marker).unwrap_or(u16::MAX);
    let (parts, more) = match limit {
        0 => (Vec::new(), false),
        _ => query::upload_parts(&view, named.upload, behind, limit)?,
    };
    let next = parts.last().map_or(marker, |(number, _)| i32::from(*number));
    let of_bucket = BucketRow::get(&view, &named.bucket)?.ok_or(Fault::NoSuchBucket)?;
    let owner = core.owner_of(&of_bucket);
    let (checksum_algorithm, checksum_type) = checksum::shown(row.checksum);
    Ok(ListPartsOutput {
        bucket: Some(input.bucket),
        key: Some(names::xml_text(input.key)),
        upload_id: Some(named.upload.to_string()),
        part_number_marker: Some(marker),
        next_part_number_marker: Some(next),
        max_parts: Some(max_parts),
        is_truncated: Some(more),
        parts: Some(parts.into_iter().map(shown).collect()),
        initiator: Some(initiator(&row, &owner)),
        owner: Some(listing::owner_by(row.acl.as_ref(), &owner)),
        storage_class: Some(storage_class::name(&view, row.profile)?.into()),
        checksum_algorithm,
        checksum_type,
        ..ListPartsOutput::default()
    })
}

fn shown((number, row): (u16, PartRow)) -> Part {
    let mut part = Part {
        part_number: Some(i32::from(number)),
        e_tag: Some(names::etag(&Etag { md5: row.md5, parts: None })),
        last_modified: Some(names::timestamp(row.modified)),
        size: Some(i64::try_from(row.size).expect("a part has at most 5 GiB")),
        ..Part::default()
    };
    if let Some(checksum) = &row.checksum {
        names::listed_checksum(checksum, &mut part);
    }
    part
}
