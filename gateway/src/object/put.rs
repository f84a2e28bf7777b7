//! PUT: which way a body takes, and what is answered.

use cairn_core::units::VERSION_RANGES_MAX;
use cairn_core::{ObjectKey, VersionId};
use cairn_machine::Outcome;
use cairn_machine::operation::{Conditions, NewContent, Operation};
use cairn_machine::rows::object::{Checksum, Etag};
use cairn_machine::rows::profile::ProfileId;
use s3s::dto::{PutObjectInput, PutObjectOutput};
use s3s::{S3Request, s3_error};

use super::attributes::Described;
use super::large::{self, Destination};
use super::packer::{PACKED_BYTES_MAX, SmallObject};
use super::upload::Upload;
use super::{preconditions, storage_class};
use crate::digest::BodyHasher;
use crate::fault::Fault;
use crate::front::Core;
use crate::names;
use crate::outcome::unexpected;

/// Bodies of at most this many bytes are hashed where they arrive; longer ones where coding runs.
const HASHED_HERE_BYTES_MAX: usize = 64 * 1024;

/// An object that was stored.
#[derive(Debug)]
struct Stored {
    outcome: Outcome,
    etag: Etag,
    checksum: Option<Checksum>,
}

/// A PUT whose request was understood.
struct Put {
    upload: Upload,
    described: Described,
    conditions: Conditions,
    key: ObjectKey,
    bucket: String,
}

/// Stores an object.
pub async fn put(core: &Core, request: S3Request<PutObjectInput>) -> Result<PutObjectOutput, Fault> {
    let S3Request { mut input, headers, trailing_headers, .. } = request;
    let body = input.body.take().ok_or_else(|| s3_error!(MissingRequestBodyError))?;
    let described = Described::take(&mut input)?;
    let conditions = preconditions::of_put(input.if_match.as_ref(), input.if_none_match.as_ref())?;
    let upload = Upload::new(body, input.content_length, &headers, trailing_headers)?;
    let put = Put { upload, described, conditions, key: names::key(input.key)?, bucket: input.bucket };
    let Stored { outcome, etag, checksum } = match put.upload.left() {
        0 => put.empty(core).await?,
        1..=PACKED_BYTES_MAX => put.small(core).await?,
        _ => Box::pin(put.large(core)).await?,
    };
    let version_id = version_of(outcome)?;
    let mut output = PutObjectOutput { e_tag: Some(names::etag(&etag)), version_id, ..PutObjectOutput::default() };
    if let Some(checksum) = &checksum {
        names::put_checksum(checksum, &mut output);
    }
    Ok(output)
}

/// The version's id, where versions are kept.
fn version_of(outcome: Outcome) -> Result<Option<String>, Fault> {
    match outcome {
        Outcome::Put { version, null, .. } => Ok((!null).then(|| VersionId::to_string(&version))),
        Outcome::Refused(refusal) => Err(Fault::of_refusal(refusal)),
        other => Err(unexpected("a PUT", &other)),
    }
}

impl Put {
    /// The profile that is meant. The rows as they are here will do: a profile never means anything else than it did.
    fn profile(&self, core: &Core) -> Result<ProfileId, Fault> {
        match &self.described.class {
            None => Ok(ProfileId::STANDARD),
            class => storage_class::profile(&core.stripes.client.read_stale(), class.as_ref()),
        }
    }

    async fn empty(self, core: &Core) -> Result<Stored, Fault> {
        let (bucket, profile) = (core.bucket(&self.bucket).await?, self.profile(core)?);
        let digests = BodyHasher::new(self.upload.promises()).finish();
        let (etag, checksum) = self.upload.finish(&digests).await?;
        let operation = Operation::PutObject {
            bucket,
            key: self.key,
            attributes: self.described.attributes(profile, 0, etag, checksum.clone()),
            content: NewContent::Extents(Vec::new()),
            conditions: self.conditions,
            session: core.stripes.client.session(),
        };
        let outcomes = core.stripes.commit(&mut [], vec![operation]).await?;
        let outcome = outcomes.into_iter().next().expect("each operation has one outcome");
        Ok(Stored { outcome, etag, checksum })
    }

    async fn small(mut self, core: &Core) -> Result<Stored, Fault> {
        let (bucket, profile) = (core.bucket(&self.bucket).await?, self.profile(core)?);
        let size = self.upload.left();
        // Where many extents share a stripe, chunks are gathered: the bytes are there twice for a moment.
        let memory = core.write_budget.reserve(size + core.stripes.footprint(size)?).await?;
        let data = self.upload.take(size).await?;
        let mut hasher = BodyHasher::new(self.upload.promises());
        let digests = if data.len() <= HASHED_HERE_BYTES_MAX {
            hasher.update(&data);
            hasher.finish()
        } else {
            let data = data.clone();
            let hash = move || {
                hasher.update(&data);
                hasher.finish()
            };
            core.stripes.pool.run(size as usize, hash).await
        };
        let (etag, checksum) = self.upload.finish(&digests).await?;
        let weight = self.described.weight();
        let attributes = self.described.attributes(profile, size, etag, checksum.clone());
        let (key, conditions) = (self.key, self.conditions);
        let object = SmallObject { bucket, key, attributes, data, conditions, weight, memory };
        let outcome = core.packer.put(object).await?;
        Ok(Stored { outcome, etag, checksum })
    }

    async fn large(mut self, core: &Core) -> Result<Stored, Fault> {
        let (bucket, profile) = (core.bucket(&self.bucket).await?, self.profile(core)?);
        let size = self.upload.left();
        let to = Destination { bucket, key: self.key.clone() };
        let (streamed, digests) = large::stream(core, &mut self.upload, &to).await?;
        let (etag, checksum) = self.upload.finish(&digests).await?;
        let attributes = self.described.attributes(profile, size, etag, checksum.clone());
        let (key, conditions, stripes) = (self.key, self.conditions, std::sync::Arc::clone(&core.stripes));
        // A task of its own: the body is complete, and a client that vanishes now must not leave it undecided.
        let committed = tokio::spawn(async move {
            let operation = |content: NewContent, session| {
                if let NewContent::Extents(extents) = &content {
                    assert!(extents.len() <= VERSION_RANGES_MAX, "longer objects have a manifest");
                }
                Operation::PutObject { bucket, key, attributes, content, conditions, session }
            };
            streamed.commit(&stripes, operation).await
        });
        let outcome = committed.await.map_err(|error| Fault::Unknown(error.to_string()))??;
        Ok(Stored { outcome, etag, checksum })
    }
}
