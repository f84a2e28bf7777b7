//! A body on its way to the log: which of three ways it takes.
//!
//! ```text
//! 0 bytes --------------------------------------+--> one operation
//! up to 1 MiB: packer, many to a stripe --------+
//! more: large, extents of their own stripes ----+
//! ```
//! Parts of uploads go the same ways as objects. A part that is small is the only one of its upload, or the last one: a
//! stripe of its own would be as many small chunks as drives for it, where the packer has room.

use std::sync::Arc;

use cairn_machine::Outcome;
use cairn_machine::operation::NewContent;
use cairn_machine::rows::object::{Checksum, Etag};
use cairn_metadata::authorship::carried;

use super::large;
use super::packer::{PACKED_BYTES_MAX, SmallObject};
use super::purpose::{Destination, Purpose};
use super::upload::Upload;
use crate::digest::BodyHasher;
use crate::fault::Fault;
use crate::front::Core;

/// Bodies of at most this many bytes are hashed where they arrive; longer ones where coding runs.
const HASHED_HERE_BYTES_MAX: usize = 64 * 1024;

/// A body that was stored.
#[derive(Debug)]
pub struct Stored {
    /// What came of it: an effect, and no refusal.
    pub outcome: Outcome,
    /// What clients compare.
    pub etag: Etag,
    /// The checksum that is kept.
    pub checksum: Option<Checksum>,
}

/// Stores a body. `purpose` says what it is, from its length, tag and checksum.
pub async fn store(
    core: &Core,
    upload: Upload,
    to: Destination,
    purpose: impl FnOnce(u64, Etag, Option<Checksum>) -> Purpose + Send,
) -> Result<Stored, Fault> {
    let stored = match upload.left() {
        0 => empty(core, upload, to, purpose).await?,
        1..=PACKED_BYTES_MAX => small(core, upload, to, purpose).await?,
        _ => Box::pin(streamed(core, upload, to, purpose)).await?,
    };
    match stored.outcome {
        Outcome::Refused(refusal) => Err(Fault::of_refusal(refusal)),
        _ => Ok(stored),
    }
}

async fn empty(
    core: &Core,
    upload: Upload,
    to: Destination,
    purpose: impl FnOnce(u64, Etag, Option<Checksum>) -> Purpose,
) -> Result<Stored, Fault> {
    let digests = BodyHasher::new(upload.promises()).finish();
    let (etag, checksum) = upload.finish(&digests).await?;
    let session = core.stripes.client.session();
    let content = NewContent::Extents(Vec::new());
    let operation = purpose(0, etag, checksum.clone()).operation(to.bucket, to.key, content, session);
    let outcomes = core.stripes.commit(&mut [], vec![operation]).await?;
    let outcome = outcomes.into_iter().next().expect("each operation has one outcome");
    Ok(Stored { outcome, etag, checksum })
}

async fn small(
    core: &Core,
    mut upload: Upload,
    to: Destination,
    purpose: impl FnOnce(u64, Etag, Option<Checksum>) -> Purpose,
) -> Result<Stored, Fault> {
    let size = upload.left();
    // Where many extents share a stripe, chunks are gathered: the bytes are there twice for a moment.
    let memory = core.write_budget.reserve(size + core.stripes.footprint(size)?).await?;
    let data = upload.take(size).await?;
    if data.is_empty() {
        return empty(core, upload, to, purpose).await;
    }
    let size = data.len() as u64;
    let mut hasher = BodyHasher::new(upload.promises());
    let digests = if data.len() <= HASHED_HERE_BYTES_MAX {
        hasher.update(&data);
        hasher.finish()
    } else {
        hasher.update_together(data.clone(), &core.hashing).await.finish()
    };
    let (etag, checksum) = upload.finish(&digests).await?;
    let purpose = purpose(size, etag, checksum.clone());
    let outcome = core.packer.put(SmallObject { to, purpose, data, memory }).await?;
    Ok(Stored { outcome, etag, checksum })
}

async fn streamed(
    core: &Core,
    mut upload: Upload,
    to: Destination,
    purpose: impl FnOnce(u64, Etag, Option<Checksum>) -> Purpose,
) -> Result<Stored, Fault> {
    let (streamed, digests) = large::stream(core, &mut upload, &to).await?;
    let (etag, checksum) = upload.finish(&digests).await?;
    let purpose = purpose(streamed.size, etag, checksum.clone());
    let stripes = Arc::clone(&core.stripes);
    // A task of its own: the body is complete, and a client that vanishes now must not leave it undecided.
    let committed = tokio::spawn(carried(async move { streamed.commit(&stripes, to, purpose).await }));
    let outcome = committed.await.map_err(|error| Fault::Unknown(error.to_string()))??;
    Ok(Stored { outcome, etag, checksum })
}
