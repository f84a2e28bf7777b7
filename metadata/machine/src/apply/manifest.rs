//! Manifests: filled page by page while a stream runs, counted by versions, taken apart page by page.
//!
//! ```text
//! (absent) --first page--> Pending(session) --PutObject, PutPart, CompleteUpload--> Referenced(1) <--> Referenced(n)
//!                                     |                                |
//!                                     | AbandonManifest                | the last one that refers to it goes
//!                                     v                                v
//!                                  Retiring --RetirePage, in bounded steps--> (absent)
//! ```

use cairn_core::SessionId;
use cairn_core::units::{MANIFEST_PAGE_RANGES_MAX, OBJECT_BYTES_MAX};

use crate::apply::context::Context;
use crate::apply::session::{alive, judge_write};
use crate::apply::transaction::{Stop, Transaction, malformed, unknown};
use crate::apply::{content, extent, slice};
use crate::operation::NewExtent;
use crate::outcome::{Outcome, Refusal};
use crate::row::Row;
use crate::rows::manifest::{
    ManifestId, ManifestPageRow, ManifestPartsRow, ManifestRow, ManifestState, PartOfObject, RetirementRow,
};
use crate::rows::object::{Content, ExtentRange};
use crate::rows::profile::ProfileId;
use crate::rows::session::SessionRow;
use crate::rows::upload::UploadId;
use crate::source::RowSource;

pub(crate) fn add_page<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &Context<'_>,
    id: ManifestId,
    page: u32,
    extents: &[NewExtent],
    profile: ProfileId,
) -> Result<Outcome, Stop> {
    context.manifest_stands(id)?;
    if extents.is_empty() || extents.len() > MANIFEST_PAGE_RANGES_MAX {
        return Err(malformed("a page without extents, or with too many"));
    }
    judge_write(rows, id.0)?;
    let head = pending(rows, id, page)?;
    let (ranges, bytes) = extent::add(rows, context, extents, profile, None)?;
    append(rows, id, head, ranges, bytes)
}

/// Adds a page that names extents which something else names already.
pub(crate) fn add_shared_page<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &Context<'_>,
    id: ManifestId,
    page: u32,
    source: &Content,
    range: core::ops::Range<u64>,
) -> Result<Outcome, Stop> {
    context.manifest_stands(id)?;
    judge_write(rows, id.0)?;
    let head = pending(rows, id, page)?;
    let bytes = range.end - range.start;
    let ranges = slice::of(rows, source, range, MANIFEST_PAGE_RANGES_MAX)?;
    extent::share(rows, &ranges)?;
    append(rows, id, head, ranges, bytes)
}

/// The head of a manifest of extents whose next page this is.
fn pending<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    id: ManifestId,
    page: u32,
) -> Result<ManifestRow, Stop> {
    let state = ManifestState::Pending(id.0.session);
    match rows.get::<ManifestRow>(&id)? {
        None if page == 0 => Ok(ManifestRow { state, pages: 0, bytes: 0, parts: None }),
        None => Err(unknown("manifest")),
        Some(head) if head.state == state && head.pages == page && head.parts.is_none() => Ok(*head),
        Some(_) => Err(Refusal::Changed.into()),
    }
}

fn append<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    id: ManifestId,
    head: ManifestRow,
    ranges: Vec<ExtentRange>,
    bytes: u64,
) -> Result<Outcome, Stop> {
    let (page, total) = (head.pages, head.bytes + bytes);
    if total > OBJECT_BYTES_MAX {
        return Err(malformed("longer than any object"));
    }
    rows.put(&(id, page), ManifestPageRow { offset: head.bytes, ranges })?;
    rows.put(&id, ManifestRow { pages: page + 1, bytes: total, ..head })?;
    Ok(Outcome::Done)
}

/// A pending manifest, of the parts of this upload or else of extents, becomes the content of a version or of a part.
/// Returns its bytes.
pub(crate) fn adopt<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &Context<'_>,
    id: ManifestId,
    of: Option<UploadId>,
    session: SessionId,
) -> Result<u64, Stop> {
    context.manifest_stands(id)?;
    alive(rows, session)?;
    judge_write(rows, id.0)?;
    let head = rows.get::<ManifestRow>(&id)?.ok_or_else(|| unknown("manifest"))?;
    if head.state != ManifestState::Pending(session) {
        return Err(Refusal::Changed.into());
    }
    if head.parts.map(|parts| parts.upload) != of {
        return Err(malformed("the manifest names something else than it should"));
    }
    rows.put(&id, ManifestRow { state: ManifestState::Referenced(1), ..*head })?;
    Ok(head.bytes)
}

/// One version, part or page more refers to a manifest.
pub(crate) fn share<S: RowSource + ?Sized>(rows: &mut Transaction<'_, S>, id: ManifestId) -> Result<(), Stop> {
    let head = rows.must::<ManifestRow>(&id)?;
    let ManifestState::Referenced(references) = head.state else {
        panic!("invariant 11: a version refers to a manifest that is {:?}", head.state);
    };
    let references = references.checked_add(1).ok_or(Refusal::TooLarge)?;
    rows.put(&id, ManifestRow { state: ManifestState::Referenced(references), ..*head })
}

/// One version, part or page less refers to a manifest. With the last one it is retired, in steps of its own.
pub(crate) fn release<S: RowSource + ?Sized>(rows: &mut Transaction<'_, S>, id: ManifestId) -> Result<(), Stop> {
    let head = rows.must::<ManifestRow>(&id)?;
    match head.state {
        ManifestState::Referenced(1) => retire(rows, id, *head),
        ManifestState::Referenced(references) if references > 1 => {
            rows.put(&id, ManifestRow { state: ManifestState::Referenced(references - 1), ..*head })
        }
        state => panic!("invariant 11: a version refers to a manifest that is {state:?}"),
    }
}

fn retire<S: RowSource + ?Sized>(rows: &mut Transaction<'_, S>, id: ManifestId, head: ManifestRow) -> Result<(), Stop> {
    rows.put(&id, ManifestRow { state: ManifestState::Retiring, ..head })?;
    rows.put(&id, RetirementRow { next_page: 0 })
}

pub(crate) fn abandon<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    id: ManifestId,
    session: SessionId,
) -> Result<Outcome, Stop> {
    let head = rows.get::<ManifestRow>(&id)?.ok_or_else(|| unknown("manifest"))?;
    let ManifestState::Pending(owner) = head.state else {
        return Err(Refusal::Changed.into());
    };
    if owner != session && rows.get::<SessionRow>(&owner)?.is_some() {
        return Err(Refusal::Changed.into());
    }
    retire(rows, id, *head)?;
    Ok(Outcome::Done)
}

/// Takes a page apart, or as much of it as one operation may: then the same page is the next one again. The last page
/// takes the head with it.
pub(crate) fn retire_page<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &Context<'_>,
    id: ManifestId,
    page: u32,
) -> Result<Outcome, Stop> {
    let retirement = rows.get::<RetirementRow>(&id)?.ok_or_else(|| unknown("retirement"))?;
    if retirement.next_page != page {
        return Err(Refusal::Changed.into());
    }
    let head = rows.must::<ManifestRow>(&id)?;
    assert_eq!(head.state, ManifestState::Retiring, "a retirement is of a manifest that is retiring");
    assert!(page < head.pages, "a manifest has a page, and its last one ends the retirement");
    let gone = match head.parts {
        None => release_ranges(rows, context, id, page)?,
        Some(_) => release_parts(rows, context, id, page)?,
    };
    if !gone {
        return Ok(Outcome::Done);
    }
    if page + 1 == head.pages {
        rows.remove::<ManifestRow>(&id)?;
        rows.remove::<RetirementRow>(&id)?;
    } else {
        rows.put(&id, RetirementRow { next_page: page + 1 })?;
    }
    Ok(Outcome::Done)
}

/// Takes a page of extents apart, as far as the operation may. Whether it is gone.
fn release_ranges<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &Context<'_>,
    id: ManifestId,
    page: u32,
) -> Result<bool, Stop> {
    let row = rows.must::<ManifestPageRow>(&(id, page))?;
    let done = extent::release_some(rows, context, &row.ranges, row.weight())?;
    assert!(done > 0, "one range always fits an operation, and a page has one");
    if done == row.ranges.len() {
        rows.remove::<ManifestPageRow>(&(id, page))?;
        return Ok(true);
    }
    let offset = row.offset + row.ranges[..done].iter().map(|range| u64::from(range.length)).sum::<u64>();
    rows.put(&(id, page), ManifestPageRow { offset, ranges: row.ranges[done..].to_vec() })?;
    Ok(false)
}

/// Takes a page of parts apart, as far as the operation may: a part may lose its first extents before the others. Whether
/// the page is gone.
fn release_parts<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &Context<'_>,
    id: ManifestId,
    page: u32,
) -> Result<bool, Stop> {
    let row = rows.must::<ManifestPartsRow>(&(id, page))?;
    let end = row.offset + row.parts.iter().map(|part| part.size).sum::<u64>();
    let mut rest = Vec::new();
    for (at, part) in row.parts.iter().enumerate() {
        if let Some(content) = content::release_some(rows, context, &part.content, row.weight())? {
            assert!(at > 0 || content != part.content, "one range always fits an operation");
            let size = content::bytes_left(&content, part.size);
            rest.push(PartOfObject { size, content, ..part.clone() });
            rest.extend_from_slice(&row.parts[at + 1..]);
            break;
        }
    }
    if rest.is_empty() {
        rows.remove::<ManifestPartsRow>(&(id, page))?;
        return Ok(true);
    }
    let offset = end - rest.iter().map(|part| part.size).sum::<u64>();
    rows.put(&(id, page), ManifestPartsRow { offset, parts: rest })?;
    Ok(false)
}
