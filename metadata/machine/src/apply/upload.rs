//! Multipart uploads: begun, filled, completed or aborted, taken away.
//!
//! ```text
//! (absent) --CreateUpload--> open --AddPartsPage*, CompleteUpload--> version + retiring --RetireUpload*--> (absent)
//!                              \-------------AbortUpload-----------------^
//! ```
//!
//! A completion fills a manifest beside the upload, counting each part's content once more, and only its last operation
//! ends the upload. So whatever happens to whoever completes it, the upload is as it was; and two who complete it at once
//! make one version: the second finds no upload.

use cairn_core::units::{MANIFEST_PAGE_PARTS_MAX, OBJECT_BYTES_MAX, PARTS_MAX, PUT_BYTES_MAX};
use cairn_core::{BucketId, ObjectKey, SessionId};

use crate::apply::context::Context;
use crate::apply::here::Owner;
use crate::apply::manifest;
use crate::apply::session::{alive, judge_write};
use crate::apply::transaction::{Stop, Transaction, malformed, unknown};
use crate::apply::{content, extent, object};
use crate::operation::{ByteRange, ChosenPart, Conditions, NewContent};
use crate::outcome::{Outcome, Refusal};
use crate::row::Row;
use crate::rows::access_key::ACCESS_KEY_ID_BYTES_MAX;
use crate::rows::bucket::BucketRow;
use crate::rows::manifest::{ManifestId, ManifestPartsRow, ManifestRow, ManifestState, PartOfObject, PartsOf};
use crate::rows::object::{Attributes, Checksum, ChecksumKind, DIGEST_BYTES_MAX, Etag};
use crate::rows::upload::{
    BucketUploadsRow, PartRow, ReplacingPart, UploadId, UploadLedgerRow, UploadRetirementRow, UploadRow,
};
use crate::source::RowSource;

/// More bytes than a part's row and a retirement's have together: what a step of a retirement keeps for itself.
const PART_ROW_BYTES_MAX: usize = 2048;

pub(crate) fn create<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &Context<'_>,
    bucket: BucketId,
    key: &ObjectKey,
    row: UploadRow,
) -> Result<Outcome, Stop> {
    if row.initiator.is_empty() || row.initiator.len() > ACCESS_KEY_ID_BYTES_MAX {
        return Err(malformed("the initiator's access key is empty or too long"));
    }
    let in_bucket = rows.get::<BucketRow>(&bucket)?.ok_or(Refusal::NoSuchBucket)?;
    if row.lock.is_some() && in_bucket.lock.is_none() {
        return Err(Refusal::NoLock.into());
    }
    // The version that this operation does not make is free to name the upload.
    let upload = UploadId(context.version());
    // Weighed as what it becomes, so that whatever can be begun can be completed.
    let longest = Checksum { kind: ChecksumKind::Sha256, digest: vec![0; DIGEST_BYTES_MAX], parts: Some(PARTS_MAX) };
    let etag = Etag { md5: [0; 16], parts: Some(PARTS_MAX) };
    if attributes(&row, 0, etag, Some(longest), upload).weight() > object::ATTRIBUTES_BYTES_MAX {
        return Err(malformed("more attributes than a version holds"));
    }
    rows.put(&(bucket, key.clone(), upload), row)?;
    rows.put(&upload, UploadLedgerRow::default())?;
    let ledger = rows.get::<BucketUploadsRow>(&bucket)?.map_or_else(BucketUploadsRow::default, |ledger| *ledger);
    rows.put(&bucket, BucketUploadsRow { uploads: ledger.uploads + 1, ..ledger })?;
    Ok(Outcome::UploadCreated(upload))
}

#[expect(clippy::too_many_arguments, reason = "an operation's fields, each of a type of its own")]
pub(crate) fn put_part<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &Context<'_>,
    (bucket, key, upload): (BucketId, &ObjectKey, UploadId),
    number: u16,
    size: u64,
    md5: [u8; 16],
    checksum: Option<&Checksum>,
    new: &NewContent,
    session: SessionId,
) -> Result<Outcome, Stop> {
    if number == 0 || number > PARTS_MAX {
        return Err(malformed("parts are numbered from 1 to 10,000"));
    }
    if size > PUT_BYTES_MAX {
        return Err(malformed("longer than any part"));
    }
    if checksum.is_some_and(|checksum| checksum.digest.len() > DIGEST_BYTES_MAX) {
        return Err(malformed("longer than any digest"));
    }
    if let NewContent::Shared { range: None, .. } = new {
        return Err(malformed("a part names the bytes that it shares"));
    }
    let profile = open(rows, bucket, key, upload)?.profile;
    alive(rows, session)?;
    let owner = Owner { bucket, key, version: None, part: Some(number) };
    let (content, bytes) = content::take_over(rows, context, profile, owner, new, None, session)?;
    if bytes != size {
        return Err(malformed("the size is not that of the bytes"));
    }
    let mut ledger = *rows.must::<UploadLedgerRow>(&upload)?;
    let mut of_bucket = *rows.must::<BucketUploadsRow>(&bucket)?;
    let less = "invariant 11: an upload counts every part";
    if let Some(replaced) = rows.get::<PartRow>(&(upload, number))? {
        content::release(rows, context, &replaced.content)?;
        ledger.parts = ledger.parts.checked_sub(1).expect(less);
        ledger.replaced = Some(ReplacingPart { number, version: context.version() });
        ledger.bytes = ledger.bytes.checked_sub(replaced.size).expect(less);
        of_bucket.bytes = of_bucket.bytes.checked_sub(replaced.size).expect(less);
    }
    ledger.parts += 1;
    ledger.bytes += size;
    of_bucket.bytes += size;
    let (version, modified) = (context.version(), context.time);
    rows.put(&(upload, number), PartRow { version, modified, size, md5, checksum: checksum.cloned(), content })?;
    rows.put(&upload, ledger)?;
    rows.put(&bucket, of_bucket)?;
    Ok(Outcome::PartPut { modified })
}

pub(crate) fn abort<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    bucket: BucketId,
    key: &ObjectKey,
    upload: UploadId,
) -> Result<Outcome, Stop> {
    open(rows, bucket, key, upload)?;
    end(rows, bucket, key, upload)?;
    Ok(Outcome::Done)
}

pub(crate) fn add_parts_page<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &Context<'_>,
    id: ManifestId,
    page: u32,
    (bucket, key, upload): (BucketId, &ObjectKey, UploadId),
    chosen: &[ChosenPart],
) -> Result<Outcome, Stop> {
    context.manifest_stands(id)?;
    if chosen.is_empty() || chosen.len() > MANIFEST_PAGE_PARTS_MAX {
        return Err(malformed("a page without parts, or with too many"));
    }
    judge_write(rows, id.0)?;
    open(rows, bucket, key, upload)?;
    let pending = ManifestState::Pending(id.0.session);
    let (head, mut of) = match rows.get::<ManifestRow>(&id)? {
        None if page == 0 => {
            let of = PartsOf { upload, count: 0, last: 0, since: context.version() };
            (ManifestRow { state: pending, pages: 0, bytes: 0, parts: Some(of) }, of)
        }
        None => return Err(unknown("manifest")),
        Some(head) => match head.parts {
            Some(of) if head.state == pending && head.pages == page && of.upload == upload => (*head, of),
            _ => return Err(Refusal::Changed.into()),
        },
    };
    let mut total = head.bytes;
    let mut parts = Vec::with_capacity(chosen.len());
    for &ChosenPart { number, version } in chosen {
        if number <= of.last {
            return Err(malformed("parts come in the order of their numbers"));
        }
        let part = rows.get::<PartRow>(&(upload, number))?.filter(|part| part.version == version);
        let part = part.ok_or(Refusal::PartChanged { number })?;
        content::share(rows, &part.content)?;
        total += part.size;
        (of.count, of.last) = (of.count + 1, number);
        let PartRow { size, checksum, content, .. } = (*part).clone();
        parts.push(PartOfObject { number, size, checksum, content });
    }
    if total > OBJECT_BYTES_MAX {
        return Err(malformed("longer than any object"));
    }
    rows.put(&(id, page), ManifestPartsRow { offset: head.bytes, parts })?;
    rows.put(&id, ManifestRow { pages: page + 1, bytes: total, parts: Some(of), ..head })?;
    Ok(Outcome::Done)
}

#[expect(clippy::too_many_arguments, reason = "an operation's fields, each of a type of its own")]
pub(crate) fn complete<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &Context<'_>,
    (bucket, key, upload): (BucketId, &ObjectKey, UploadId),
    id: ManifestId,
    etag: Etag,
    checksum: Option<&Checksum>,
    conditions: &Conditions,
    session: SessionId,
) -> Result<Outcome, Stop> {
    context.manifest_stands(id)?;
    let row = open(rows, bucket, key, upload)?;
    let head = rows.get::<ManifestRow>(&id)?.ok_or_else(|| unknown("manifest"))?;
    let of = head.parts.filter(|of| of.upload == upload);
    let of = of.ok_or_else(|| malformed("the manifest is not of this upload's parts"))?;
    if let Some(replacing) = rows.must::<UploadLedgerRow>(&upload)?.replaced
        && replacing.version > of.since
    {
        return Err(Refusal::PartChanged { number: replacing.number }.into());
    }
    if checksum.is_some_and(|checksum| checksum.digest.len() > DIGEST_BYTES_MAX) {
        return Err(malformed("longer than any digest"));
    }
    let attributes = attributes(&row, head.bytes, etag, checksum.cloned(), upload);
    let content = NewContent::Manifest(id);
    let outcome = object::put(rows, context, bucket, key, &attributes, &content, Some(upload), conditions, session)?;
    end(rows, bucket, key, upload)?;
    Ok(outcome)
}

/// Takes away as many parts as one operation may; one that names much may lose its first extents before the others. The
/// last part takes the retirement with it.
pub(crate) fn retire<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &Context<'_>,
    upload: UploadId,
) -> Result<Outcome, Stop> {
    let before = *rows.get::<UploadRetirementRow>(&upload)?.ok_or_else(|| unknown("retirement"))?;
    let (mut next, mut progress) = (before.next_part, false);
    let prefix = PartRow::upload_prefix(upload);
    while extent::may_release(rows, PART_ROW_BYTES_MAX) {
        let from = PartRow::key(&(upload, next));
        let Some((at, part)) = rows.first_from::<PartRow>(&prefix, &from, 1)?.pop() else {
            rows.remove::<UploadRetirementRow>(&upload)?;
            return Ok(Outcome::Done);
        };
        let (_, number) = PartRow::parse_key(&at)?;
        progress = true;
        match content::release_some(rows, context, &part.content, PART_ROW_BYTES_MAX)? {
            None => rows.remove_at::<PartRow>(&at)?,
            Some(content) => {
                let size = content::bytes_left(&content, part.size);
                rows.put_at(&at, PartRow { size, content, ..(*part).clone() })?;
                next = number;
                break;
            }
        }
        next = number + 1;
    }
    assert!(progress, "one part always fits an operation");
    rows.put(&upload, UploadRetirementRow { next_part: next })?;
    Ok(Outcome::Done)
}

/// Adds a page of extents that a version has already to a pending manifest.
pub(crate) fn add_shared_page<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &Context<'_>,
    id: ManifestId,
    page: u32,
    (bucket, key, version): (BucketId, &ObjectKey, cairn_core::VersionId),
    range: ByteRange,
) -> Result<Outcome, Stop> {
    let (source, bytes) = content::source(rows, bucket, key, version)?;
    manifest::add_shared_page(rows, context, id, page, &source, content::inside(range, bytes)?)
}

/// An upload that takes parts.
fn open<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    bucket: BucketId,
    key: &ObjectKey,
    upload: UploadId,
) -> Result<std::rc::Rc<UploadRow>, Stop> {
    rows.get::<BucketRow>(&bucket)?.ok_or(Refusal::NoSuchBucket)?;
    let row = rows.get::<UploadRow>(&(bucket, key.clone(), upload))?;
    row.ok_or_else(|| Refusal::NoSuchUpload.into())
}

/// Nobody finds the upload any more; its parts are taken away later.
fn end<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    bucket: BucketId,
    key: &ObjectKey,
    upload: UploadId,
) -> Result<(), Stop> {
    let ledger = *rows.must::<UploadLedgerRow>(&upload)?;
    let of_bucket = *rows.must::<BucketUploadsRow>(&bucket)?;
    let less = "invariant 11: a bucket counts every upload";
    let uploads = of_bucket.uploads.checked_sub(1).expect(less);
    let bytes = of_bucket.bytes.checked_sub(ledger.bytes).expect(less);
    rows.remove::<UploadRow>(&(bucket, key.clone(), upload))?;
    rows.remove::<UploadLedgerRow>(&upload)?;
    if uploads == 0 {
        assert_eq!(bytes, 0, "{less}");
        rows.remove::<BucketUploadsRow>(&bucket)?;
    } else {
        rows.put(&bucket, BucketUploadsRow { uploads, bytes })?;
    }
    if ledger.parts > 0 { rows.put(&upload, UploadRetirementRow { next_part: 1 }) } else { Ok(()) }
}

fn attributes(row: &UploadRow, size: u64, etag: Etag, checksum: Option<Checksum>, upload: UploadId) -> Attributes {
    let UploadRow { profile, headers, metadata, tags, lock, acl, .. } = row.clone();
    Attributes { size, etag, profile, headers, metadata, checksum, tags, upload: Some(upload), lock, acl }
}
