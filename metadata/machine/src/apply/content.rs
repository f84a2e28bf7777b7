//! What a version or a part consists of: taken over from a write, shared with what has it already, released.

use cairn_core::units::VERSION_RANGES_MAX;
use cairn_core::{BucketId, ObjectKey, SessionId, VersionId};

use crate::apply::context::Context;
use crate::apply::transaction::{Stop, Transaction, malformed};
use crate::apply::{extent, manifest, object, slice};
use crate::operation::{ByteRange, NewContent};
use crate::outcome::Refusal;
use crate::rows::object::Content;
use crate::rows::profile::ProfileId;
use crate::source::RowSource;

/// Takes over what a write brings. Returns its bytes too.
pub(crate) fn take_over<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &Context<'_>,
    profile: ProfileId,
    content: &NewContent,
    session: SessionId,
) -> Result<(Content, u64), Stop> {
    match content {
        NewContent::Extents(extents) => {
            if extents.len() > VERSION_RANGES_MAX {
                return Err(malformed("more extents than a version's row names"));
            }
            let (ranges, bytes) = extent::add(rows, context, extents, profile)?;
            Ok((Content::Ranges(ranges), bytes))
        }
        NewContent::Manifest(id) => Ok((Content::Manifest(*id), manifest::adopt(rows, context, *id, session)?)),
        NewContent::Shared { bucket, key, version, range: None } => {
            let (content, bytes) = source(rows, *bucket, key, *version)?;
            share(rows, &content)?;
            Ok((content, bytes))
        }
        NewContent::Shared { bucket, key, version, range: Some(range) } => {
            let (content, bytes) = source(rows, *bucket, key, *version)?;
            let ranges = slice::of(rows, &content, inside(*range, bytes)?, VERSION_RANGES_MAX)?;
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
