//! UploadPartCopy: a part of bytes that an object has already. None of them moves: the log counts their extents once more.
//!
//! The tag of a part is the MD5 of its bytes, and a copy has none of its own to send: unless it is of a whole object whose
//! tag and checksum say it, the bytes are read, in bounded steps like any other read, and hashed.
//!
//! ```text
//! source at one index, conditions judged -> hashed -> up to 8 extents: one operation
//!        ^                                         \-> more: pages of 128 extents fill a manifest, then one operation
//!        +--- the source changed meanwhile ----------------------------+
//! ```

use core::ops::Range;
use std::sync::Arc;

use cairn_core::units::{MANIFEST_PAGE_RANGES_MAX, PUT_BYTES_MAX, VERSION_RANGES_MAX};
use cairn_core::{BucketId, ObjectKey, VersionId, WallTime};
use cairn_machine::operation::{ByteRange, NewContent, Operation};
use cairn_machine::rows::object::{Attributes, Checksum, ChecksumKind, Content, Etag};
use cairn_machine::{Outcome, Refusal, RowError};
use cairn_metadata::authorship::carried;
use cairn_metadata::{Client, View, query};
use futures::TryStreamExt;
use s3s::dto::{CopyPartResult, UploadPartCopyInput, UploadPartCopyOutput};
use s3s::{S3Request, S3Result, s3_error};

use super::{Found as Upload, Named, find};
use crate::digest::{BodyHasher, Digests, KIND_DEFAULT, Promises};
use crate::fault::Fault;
use crate::front::Core;
use crate::names;
use crate::object::copy::Source;
use crate::object::lookup::Found;
use crate::object::manifest::PendingManifest;
use crate::object::part;
use crate::outcome::{last_or_first_refusal, unexpected};

/// The longest range: what S3 copies at once.
const RANGE_BYTES_MAX: u64 = PUT_BYTES_MAX;

/// How often the source is looked at again that changed before the copy was applied.
const ATTEMPTS_MAX: usize = 8;

/// A copy whose request was understood.
struct Copy {
    source: Source,
    range: Option<Range<u64>>,
    number: u16,
}

/// What a part is to be, and where its bytes are now.
struct Part {
    to: Named,
    number: u16,
    /// The rows in which its source was found, which are kept meanwhile.
    view: View,
    bucket: BucketId,
    key: ObjectKey,
    version: VersionId,
    content: Content,
    range: Range<u64>,
    md5: [u8; 16],
    checksum: Checksum,
}

/// Makes a part of bytes that are there.
pub async fn copy(core: &Arc<Core>, request: S3Request<UploadPartCopyInput>) -> Result<UploadPartCopyOutput, Fault> {
    let S3Request { input, headers, .. } = request;
    let copy = Copy {
        source: Source::new(&input.copy_source, &headers)?,
        range: input.copy_source_range.as_deref().map(range_of).transpose()?,
        number: part::number(input.part_number)?,
    };
    let Upload { named, row, .. } = find(core, &input.bucket, input.key, &input.upload_id).await?;
    let kind = row.checksum.map_or(KIND_DEFAULT, |checksum| checksum.kind);
    for _ in 0..ATTEMPTS_MAX {
        match copy.attempt(core, &named, kind).await {
            Err(Fault::Refused(Refusal::Changed)) => {}
            answered => return answered,
        }
    }
    // Somebody overwrites the source faster than it can be looked at.
    Err(Fault::Busy)
}

/// `x-amz-copy-source-range`: unlike other ranges both ends must be there, and one that is none is refused.
fn range_of(sent: &str) -> S3Result<Range<u64>> {
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok());
    let ends = sent.strip_prefix("bytes=").and_then(|ends| ends.split_once('-'));
    let ends = ends.and_then(|(first, last)| Some((number(first)??, number(last)??)));
    match ends {
        Some((first, last)) if first <= last && last < u64::MAX => Ok(first..last + 1),
        _ => Err(s3_error!(
            InvalidArgument,
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the \
             zero-based offsets of the first and last bytes to copy"
        )),
    }
}

impl Copy {
    async fn attempt(&self, core: &Arc<Core>, to: &Named, kind: ChecksumKind) -> Result<UploadPartCopyOutput, Fault> {
        let found = self.source.find(core).await?;
        let range = self.bytes(found.attributes.size)?;
        let copy_source_version_id = found.version_id.clone();
        let (md5, checksum) = match known(&found.attributes, &range, kind) {
            Some(known) => known,
            None => read(core, &found, range.clone(), kind).await?,
        };
        let Found { view, bucket, key, version, content, .. } = found;
        let to = to.clone();
        let part = Part { to, number: self.number, view, bucket, key, version, content, range, md5, checksum };
        let e_tag = Some(names::etag(&Etag { md5: part.md5, parts: None }));
        let mut result = CopyPartResult { e_tag, ..CopyPartResult::default() };
        names::copied_checksum(&part.checksum, &mut result);
        let core = Arc::clone(core);
        // A task of its own: a client that vanishes now must not leave it undecided.
        let committed = tokio::spawn(carried(async move { part.commit(&core).await }));
        let modified = committed.await.map_err(|error| Fault::Unknown(error.to_string()))??;
        result.last_modified = Some(names::timestamp(modified));
        Ok(UploadPartCopyOutput {
            copy_part_result: Some(result),
            copy_source_version_id,
            ..UploadPartCopyOutput::default()
        })
    }

    /// Which bytes of a source of this size are meant.
    fn bytes(&self, size: u64) -> Result<Range<u64>, Fault> {
        let range = self.range.clone().unwrap_or(0..size);
        if range.end > size {
            return Err(Fault::InvalidRange { size });
        }
        if range.end - range.start > RANGE_BYTES_MAX {
            return Err(s3_error!(
                InvalidRequest,
                "The specified copy source is larger than the maximum allowable size for a copy source: \
                 {RANGE_BYTES_MAX}"
            )
            .into());
        }
        Ok(range)
    }
}

/// What the source's own tag and checksum say of the part: where it is all of an object that came in one piece.
fn known(source: &Attributes, range: &Range<u64>, kind: ChecksumKind) -> Option<([u8; 16], Checksum)> {
    let checksum = source.checksum.as_ref()?;
    let whole = *range == (0..source.size) && source.etag.parts.is_none();
    let same = checksum.kind == kind && checksum.parts.is_none();
    (whole && same).then(|| (source.etag.md5, checksum.clone()))
}

/// The same from the bytes.
async fn read(
    core: &Core,
    found: &Found,
    range: Range<u64>,
    kind: ChecksumKind,
) -> Result<([u8; 16], Checksum), Fault> {
    let mut steps = core.reader.read(found.view.clone(), found.content.clone(), range).await?;
    let mut hasher = BodyHasher::new(&Promises::default().or_kind(kind));
    // A read that breaks off has said why in the log already.
    while let Some(step) = steps.try_next().await.map_err(|error| Fault::Unavailable(error.to_string()))? {
        let length = step.len();
        let hash = move || {
            hasher.update(&step);
            hasher
        };
        hasher = core.stripes.pool.run(length, hash).await;
    }
    let Digests { md5, checksum: (kind, digest) } = hasher.finish();
    Ok((md5, Checksum { kind, digest, parts: None }))
}

impl Part {
    /// Makes it a part. Since when it is one.
    async fn commit(self, core: &Core) -> Result<WallTime, Fault> {
        let client = &core.stripes.client;
        let (mut manifest, mut operations) = (None, Vec::new());
        let size = self.range.end - self.range.start;
        let content = if size == 0 {
            NewContent::Extents(Vec::new())
        } else if self.extents(self.range.start, VERSION_RANGES_MAX + 1)?.0 <= VERSION_RANGES_MAX {
            let (bucket, key, version) = (self.bucket, self.key.clone(), self.version);
            NewContent::Shared { bucket, key, version, range: Some(ByteRange { from: self.range.start, length: size }) }
        } else {
            let manifest = manifest.insert(PendingManifest::begin(client));
            operations.push(self.fill(manifest, client).await?);
            manifest.content()
        };
        let session = manifest.as_ref().map_or(client.session(), PendingManifest::session);
        let Self { to: Named { bucket, key, upload }, number, md5, checksum, .. } = self;
        let checksum = Some(checksum);
        operations.push(Operation::PutPart { bucket, key, upload, number, size, md5, checksum, content, session });
        match last_or_first_refusal(client.propose(operations).await?) {
            Outcome::PartPut { modified } => {
                manifest.into_iter().for_each(PendingManifest::keep);
                Ok(modified)
            }
            Outcome::Refused(refusal) => Err(Fault::of_refusal(refusal)),
            other => Err(unexpected("the copy of a part", &other)),
        }
    }

    /// Fills a manifest with pages of the source's extents, all but the last, which goes with the part.
    async fn fill(&self, manifest: &mut PendingManifest, client: &Client) -> Result<Operation, Fault> {
        let mut from = self.range.start;
        loop {
            let (_, end) = self.extents(from, MANIFEST_PAGE_RANGES_MAX)?;
            let range = ByteRange { from, length: end - from };
            let page = manifest.next_shared(self.bucket, &self.key, self.version, range);
            if end == self.range.end {
                return Ok(page);
            }
            if let Outcome::Refused(refusal) = last_or_first_refusal(client.propose(vec![page]).await?) {
                return Err(Fault::of_refusal(refusal));
            }
            from = end;
        }
    }

    /// How many extents the range has from a byte on, so many at most are counted, and where the last of them ends.
    fn extents(&self, from: u64, most: usize) -> Result<(usize, u64), RowError> {
        let places = query::locate(&self.view, &self.content, from..self.range.end, most)?;
        let end = places.last().map(|place| place.object_offset + u64::from(place.length));
        let end =
            end.ok_or_else(|| RowError::Damaged { key: String::new(), what: "a range without a place".into() })?;
        Ok((places.len(), end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_sources_have_both_ends() {
        assert_eq!(range_of("bytes=0-0").unwrap(), 0..1);
        assert_eq!(range_of("bytes=5-9").unwrap(), 5..10);
        for none in [
            "",
            "0-2",
            "bytes=0",
            "bytes=-3",
            "bytes=3-",
            "bytes=hello-world",
            "bytes=0-bar",
            "bytes=0-2,3-5",
            "bytes=4-3",
            "bytes=+1-2",
            "bytes= 1-2",
            "lines=0-1",
            "bytes=0-18446744073709551615",
            "bytes=0-99999999999999999999",
        ] {
            assert_eq!(range_of(none).unwrap_err().code().as_str(), "InvalidArgument", "{none}");
        }
    }
}
