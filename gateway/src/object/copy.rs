//! COPY: a version more of bytes that are there already. No byte moves: the log counts the source's extents, or its
//! manifest, once more.
//!
//! ```text
//! source: version at one index, its conditions judged -> that very version named in the operation -> applied
//!                                   ^                                                                |
//!                                   +--- the source changed meanwhile: look again, a few times <-----+
//! ```
//!
//! The copy keeps the source's ETag and checksum, parts included. S3 computes those of a single part anew, which means to
//! read all bytes; who compares ETags of source and copy is better served like this. Only a checksum of another kind than
//! the source has, where it is asked for, is computed from the bytes.

use cairn_core::ObjectKey;
use cairn_core::units::PUT_BYTES_MAX;
use cairn_machine::operation::{Conditions, NewContent, Operation};
use cairn_machine::rows::object::{Attributes, Checksum, ChecksumKind, ContentHeaders};
use cairn_machine::{Outcome, Refusal};
use futures::TryStreamExt;
use http::HeaderMap;
use s3s::dto::{CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource, MetadataDirective, TaggingDirective};
use s3s::{S3Request, S3Result, s3_error};

use super::attributes::Described;
use super::lock;
use super::lookup::{self, Found};
use super::preconditions::{self, ReadConditions};
use super::storage_class;
use crate::authority::Identity;
use crate::digest::{self, Running};
use crate::fault::Fault;
use crate::front::Core;
use crate::names;
use crate::outcome::unexpected;

/// The longest source: what S3 copies at once.
const SOURCE_BYTES_MAX: u64 = PUT_BYTES_MAX;

/// How often the source is looked at again that changed before the copy was applied.
const ATTEMPTS_MAX: usize = 8;

/// The source of a copy, as a client names it.
#[derive(Debug)]
pub struct Source {
    bucket: String,
    key: String,
    version: Option<String>,
    conditions: ReadConditions,
}

impl Source {
    /// Understands `x-amz-copy-source` and the conditions that go with it.
    pub fn new(source: &CopySource, headers: &http::HeaderMap) -> S3Result<Self> {
        let CopySource::Bucket { bucket, key, version_id } = source else {
            return Err(s3_error!(NotImplemented, "Access points are not implemented."));
        };
        let conditions = ReadConditions::from_headers(headers, "x-amz-copy-source-");
        let (bucket, key) = (bucket.to_string(), key.to_string());
        Ok(Self { bucket, key, version: version_id.as_deref().map(str::to_owned), conditions })
    }

    /// The version that is meant now, if its conditions hold.
    pub async fn find(&self, core: &Core) -> Result<Found, Fault> {
        let found = lookup::find(core, &self.bucket, self.key.clone(), self.version.as_deref()).await;
        let found = found.map_err(|fault| match fault {
            Fault::DeleteMarker { named: Some(_), .. } => s3_error!(
                InvalidRequest,
                "The source of a copy request may not specifically refer to a delete marker by version id."
            )
            .into(),
            fault => fault,
        })?;
        self.conditions.judge(&found.attributes.etag, found.modified).map_err(|fault| match fault {
            // What a reader has already need not be sent again; what was to be copied was not.
            Fault::NotModified { .. } => Fault::PreconditionFailed,
            fault => fault,
        })?;
        Ok(found)
    }
}

/// A COPY whose request was understood.
struct Copy {
    source: Source,
    bucket: String,
    key: ObjectKey,
    described: Described,
    replaces_metadata: bool,
    replaces_tags: bool,
    checksum: Option<ChecksumKind>,
    conditions: Conditions,
}

/// Answers CopyObject.
pub async fn copy(core: &Core, request: S3Request<CopyObjectInput>) -> Result<CopyObjectOutput, Fault> {
    let S3Request { input, headers, extensions, .. } = request;
    let identity = extensions.get::<Identity>().unwrap_or(&Identity::Anonymous);
    let copy = Copy::understood(input, &headers)?;
    lock::judge_future(copy.described.lock.as_ref(), core.clock.wall())?;
    for _ in 0..ATTEMPTS_MAX {
        match copy.attempt(core, identity, &headers).await {
            Err(Fault::Refused(Refusal::Changed)) => {}
            answered => return answered,
        }
    }
    // Somebody overwrites the source faster than it can be looked at.
    Err(Fault::Busy)
}

impl Copy {
    fn understood(mut input: CopyObjectInput, headers: &HeaderMap) -> S3Result<Self> {
        let source = Source::new(&input.copy_source, headers)?;
        let described = Described::take(&mut input)?;
        let metadata = input.metadata_directive.as_ref().map(MetadataDirective::as_str);
        let tagging = input.tagging_directive.as_ref().map(TaggingDirective::as_str);
        let checksum = input.checksum_algorithm.as_ref().map(|name| {
            digest::kind_named(name.as_str())
                .map(|(kind, _)| kind)
                .ok_or_else(|| s3_error!(InvalidRequest, "Checksum algorithm provided is unsupported."))
        });
        Ok(Self {
            source,
            described,
            replaces_metadata: replaces(metadata)?,
            replaces_tags: replaces(tagging)?,
            checksum: checksum.transpose()?,
            conditions: preconditions::of_put(input.if_match.as_ref(), input.if_none_match.as_ref())?,
            key: names::key(input.key)?,
            bucket: input.bucket,
        })
    }

    async fn attempt(&self, core: &Core, identity: &Identity, headers: &HeaderMap) -> Result<CopyObjectOutput, Fault> {
        let found = self.source.find(core).await?;
        let bucket = core.bucket(&self.bucket).await?;
        if found.attributes.size > SOURCE_BYTES_MAX {
            return Err(s3_error!(
                InvalidRequest,
                "The specified copy source is larger than the maximum allowable size for a copy source: \
                 {SOURCE_BYTES_MAX}"
            )
            .into());
        }
        // Who names a version of the same key wants it to be the newest again.
        let in_place = (found.bucket, &found.key) == (bucket, &self.key) && self.source.version.is_none();
        if in_place && !self.changes_something() {
            return Err(s3_error!(
                InvalidRequest,
                "This copy request is illegal because it is trying to copy an object to itself without changing the \
                 object's metadata, storage class, website redirect location or encryption attributes."
            )
            .into());
        }
        let copy_source_version_id = found.version_id.clone();
        let (from, key, version) = (found.bucket, found.key.clone(), found.version);
        let content = NewContent::Shared { bucket: from, key, version, range: None };
        let acl = core.acl_of_new_object(bucket, identity, headers).await?;
        let attributes = Attributes { acl, ..self.attributes(core, found).await? };
        let (e_tag, checksum) = (names::etag(&attributes.etag), attributes.checksum.clone());
        let operation = Operation::PutObject {
            bucket,
            key: self.key.clone(),
            attributes,
            content,
            conditions: self.conditions.clone(),
            session: core.stripes.client.session(),
        };
        let (version, null, modified) = match core.propose(operation).await? {
            Outcome::Put { version, null, modified } => (version, null, modified),
            other => return Err(unexpected("a COPY", &other)),
        };
        let mut result = CopyObjectResult {
            e_tag: Some(e_tag),
            last_modified: Some(names::timestamp(modified)),
            ..CopyObjectResult::default()
        };
        if let Some(checksum) = &checksum {
            names::copy_checksum(checksum, &mut result);
        }
        Ok(CopyObjectOutput {
            copy_object_result: Some(result),
            copy_source_version_id,
            version_id: (!null).then(|| version.to_string()),
            ..CopyObjectOutput::default()
        })
    }

    /// Whether a copy of an object onto itself would differ from it.
    fn changes_something(&self) -> bool {
        self.replaces_metadata || self.described.class.is_some() || self.checksum.is_some()
    }

    /// What the copy is: what the source is, where nothing else was asked for.
    async fn attributes(&self, core: &Core, found: Found) -> Result<Attributes, Fault> {
        let source = found.attributes.clone();
        let described = self.described.clone();
        let (headers, metadata) = match self.replaces_metadata {
            true => (described.headers, described.metadata),
            // Where a website leads on is a matter of the key, and not copied.
            false => (ContentHeaders { website_redirect: None, ..source.headers }, source.metadata),
        };
        let profile = match &described.class {
            None => source.profile,
            class => storage_class::profile(&found.view, class.as_ref())?,
        };
        let checksum = match (self.checksum, source.checksum) {
            (Some(wanted), kept) if kept.as_ref().is_none_or(|kept| kept.kind != wanted) => {
                Some(checksum_of(core, found, wanted).await?)
            }
            (_, kept) => kept,
        };
        Ok(Attributes {
            size: source.size,
            etag: source.etag,
            profile,
            headers,
            metadata,
            checksum,
            tags: if self.replaces_tags { described.tags } else { source.tags },
            upload: None,
            // Neither what keeps the source nor who may read it is copied: only its writer can want that.
            lock: described.lock,
            acl: None,
        })
    }
}

fn replaces(directive: Option<&str>) -> S3Result<bool> {
    match directive {
        None | Some("COPY") => Ok(false),
        Some("REPLACE") => Ok(true),
        Some(other) => Err(s3_error!(InvalidArgument, "{other} is no directive: it is COPY or REPLACE.")),
    }
}

/// A checksum that nobody computed yet, from the bytes.
async fn checksum_of(core: &Core, found: Found, kind: ChecksumKind) -> Result<Checksum, Fault> {
    let size = found.attributes.size;
    let mut steps = core.reader.read(found.view, found.content, 0..size).await?;
    let mut running = Running::new(kind);
    // A read that breaks off has said why in the log already.
    while let Some(step) = steps.try_next().await.map_err(|error| Fault::Unavailable(error.to_string()))? {
        let length = step.len();
        let hash = move || {
            running.update(&step);
            running
        };
        running = core.stripes.pool.run(length, hash).await;
    }
    Ok(Checksum { kind, digest: running.finish(), parts: None })
}
