//! What a version or a part consists of: taken over from a write, shared with what has it already, released.

use cairn_core::units::VERSION_RANGES_MAX;
use cairn_core::{BucketId, ObjectKey, SessionId, VersionId};

use crate::apply::context::Context;
use crate::apply::here::Owner;
use crate::apply::transaction::{Stop, Transaction, malformed};
use crate::apply::{extent, manifest, object, slice};
use crate::operation::{ByteRange, NewContent, NewPlace};
use crate::outcome::Refusal;
use crate::rows::extent::HERE_BYTES_MAX;
use crate::rows::object::Content;
use crate::rows::profile::ProfileId;
use crate::rows::upload::UploadId;
use crate::source::RowSource;

/// The most bytes of extents that stand in their rows and that one version or part names: it is released by one
/// operation, which may have to write all of them again.
const HERE_TOTAL_MAX: u64 = HERE_BYTES_MAX as u64;

/// Takes over what a write brings. Returns its bytes too. A manifest must name parts of the upload `of`, or extents where
/// there is none: parts inside parts would have no bottom.
pub(crate) fn take_over<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &Context<'_>,
    profile: ProfileId,
    owner: Owner<'_>,
    content: &NewContent,
    of: Option<UploadId>,
    session: SessionId,
) -> Result<(Content, u64), Stop> {
    match content {
        NewContent::Extents(extents) => {
            if extents.len() > VERSION_RANGES_MAX {
                return Err(malformed("more extents than a version's row names"));
            }
            let here = extents.iter().filter(|extent| matches!(extent.place, NewPlace::Here(_)));
            if here.map(|extent| u64::from(extent.length)).sum::<u64>() > HERE_TOTAL_MAX {
                return Err(malformed("more bytes here than one version may have"));
            }
            let (ranges, bytes) = extent::add(rows, context, extents, profile, Some(owner))?;
            Ok((Content::Ranges(ranges), bytes))
        }
        NewContent::Manifest(id) => Ok((Content::Manifest(*id), manifest::adopt(rows, context, *id, of, session)?)),
        NewContent::Shared { bucket, key, version, range: None } => {
            let (content, bytes) = source(rows, *bucket, key, *version)?;
            share(rows, &content)?;
            Ok((content, bytes))
        }
        NewContent::Shared { bucket, key, version, range: Some(range) } => {
            let (content, bytes) = source(rows, *bucket, key, *version)?;
            let ranges = slice::of(rows, &content, inside(*range, bytes)?, VERSION_RANGES_MAX)?;
            if extent::bytes_here(rows, &ranges)? > HERE_TOTAL_MAX {
                return Err(Refusal::TooLarge.into());
            }
            extent::share(rows, &ranges)?;
            Ok((Content::Ranges(ranges), range.length))
        }
    }
}

/// What a version consists of, and how many bytes it has.
pub(crate) fn source<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    bucket: BucketId,
    key: &ObjectKey,
    version: VersionId,
) -> Result<(Content, u64), Stop> {
    let row = object::find(rows, bucket, key, version)?.ok_or(Refusal::Changed)?;
    let (attributes, content) = row.object().ok_or_else(|| malformed("a delete marker has no bytes"))?;
    Ok((content.clone(), attributes.size))
}

/// The range, if it lies inside so many bytes.
pub(crate) fn inside(range: ByteRange, bytes: u64) -> Result<core::ops::Range<u64>, Stop> {
    match range.from.checked_add(range.length) {
        Some(end) if range.length > 0 && end <= bytes => Ok(range.from..end),
        _ => Err(malformed("the range is empty or lies outside its source")),
    }
}

/// Something more refers to this.
pub(crate) fn share<S: RowSource + ?Sized>(rows: &mut Transaction<'_, S>, content: &Content) -> Result<(), Stop> {
    match content {
        Content::Ranges(ranges) => extent::share(rows, ranges),
        Content::Manifest(id) => manifest::share(rows, *id),
    }
}

/// Releases as much of this as the operation has room for. Returns what is left, if something is.
pub(crate) fn release_some<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &Context<'_>,
    content: &Content,
    spare_bytes: usize,
) -> Result<Option<Content>, Stop> {
    match content {
        Content::Ranges(ranges) => {
            let done = extent::release_some(rows, context, ranges, spare_bytes)?;
            Ok((done < ranges.len()).then(|| Content::Ranges(ranges[done..].to_vec())))
        }
        Content::Manifest(_) if !extent::may_release(rows, spare_bytes) => Ok(Some(content.clone())),
        Content::Manifest(id) => manifest::release(rows, *id).map(|()| None),
    }
}

/// How many bytes are left of something that had `bytes`, when this is left of its content.
pub(crate) fn bytes_left(content: &Content, bytes: u64) -> u64 {
    match content {
        Content::Ranges(ranges) => ranges.iter().map(|range| u64::from(range.length)).sum(),
        Content::Manifest(_) => bytes,
    }
}

/// What referred to this is gone.
pub(crate) fn release<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &Context<'_>,
    content: &Content,
) -> Result<(), Stop> {
    match content {
        Content::Ranges(ranges) => ranges.iter().try_for_each(|range| extent::release(rows, context, range)),
        Content::Manifest(id) => manifest::release(rows, *id),
    }
}
