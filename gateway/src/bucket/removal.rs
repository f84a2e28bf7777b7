//! Removing a bucket. One that has nothing but unfinished uploads goes, and they with it, as in S3: they are aborted in
//! steps, and then the bucket is removed if it is still empty.

use cairn_core::BucketId;
use cairn_machine::operation::Operation;
use cairn_machine::row::Row;
use cairn_machine::rows::bucket::BucketLedgerRow;
use cairn_machine::{Outcome, Refusal};
use cairn_metadata::query::{self, UploadsEntry, UploadsRequest};
use s3s::{S3ErrorCode, s3_error};

use crate::fault::Fault;
use crate::front::Core;
use crate::outcome::unexpected;

/// How many uploads are aborted at once: with the longest keys a fraction of what a proposal may have.
const ABORTED_AT_ONCE: usize = 256;

/// How often that is done for one request. Whoever has begun more uploads than that, or goes on beginning them, hears that
/// the bucket is not empty, and asks again.
const ROUNDS_MAX: usize = 256;

/// Removes a bucket without versions.
pub async fn delete(core: &Core, name: &str) -> Result<(), Fault> {
    let id = core.bucket(name).await?;
    for _ in 0..ROUNDS_MAX {
        match core.propose(Operation::DeleteBucket { id }).await {
            Ok(Outcome::Done) => return Ok(()),
            Ok(other) => return Err(unexpected("a bucket's end", &other)),
            Err(Fault::Request(error)) if *error.code() == S3ErrorCode::BucketNotEmpty => {}
            Err(fault) => return Err(fault),
        }
        if !abort_some(core, id).await? {
            break;
        }
    }
    Err(s3_error!(BucketNotEmpty).into())
}

/// Aborts some uploads of a bucket that has nothing else; false where it has, or where there are none.
async fn abort_some(core: &Core, bucket: BucketId) -> Result<bool, Fault> {
    let view = core.stripes.client.read().await?;
    let versions = BucketLedgerRow::get(&view, &bucket)?.ok_or(Fault::NoSuchBucket)?.versions;
    if versions > 0 {
        return Ok(false);
    }
    let request = UploadsRequest { bucket, prefix: "", delimiter: None, start_after: None, limit: ABORTED_AT_ONCE };
    let page = query::list_uploads(&view, &request)?;
    drop(view);
    let aborts: Vec<_> = page
        .entries
        .into_iter()
        .filter_map(|entry| match entry {
            UploadsEntry::Upload { key, upload, .. } => Some(Operation::AbortUpload { bucket, key, upload }),
            UploadsEntry::CommonPrefix(_) => None,
        })
        .collect();
    let any = !aborts.is_empty();
    for outcome in core.stripes.client.propose(aborts).await? {
        match outcome {
            // One that is gone by now was completed, or aborted by somebody else.
            Outcome::Done | Outcome::Refused(Refusal::NoSuchUpload) => {}
            Outcome::Refused(refusal) => return Err(Fault::of_refusal(refusal)),
            other => return Err(unexpected("the end of an upload", &other)),
        }
    }
    Ok(any)
}
