//! Multipart uploads: an object that comes in parts, in any order and side by side, and is there once it is completed.
//!
//! ```text
//! create -> upload --part, part_copy--> parts, each content of its own
//!                    |
//!                    +-- complete -> the parts judged, a manifest of them filled, the version made: 200
//!                    +-- abort    -> nobody finds it any more
//! ```
//!
//! Parts take the same ways to the drives as objects ([`store`](crate::object::store)). What is known of an upload stands in
//! rows; nothing is kept here between two requests, so any gateway may serve any of them.
//!
//! - [`create`], [`part`], [`part_copy`], [`complete`], [`abort()`]: the life of an upload
//! - [`list`], [`list_parts`]: what is under way
//! - [`checksum`]: which checksums go together, and what they become. Pure

pub mod checksum;
pub mod complete;
pub mod create;
pub mod list;
pub mod list_parts;
pub mod part;
pub mod part_copy;

use cairn_core::{BucketId, ObjectKey};
use cairn_machine::Refusal;
use cairn_machine::operation::Operation;
use cairn_machine::rows::upload::{UploadId, UploadRow};
use cairn_metadata::{View, query};
use s3s::dto::{AbortMultipartUploadInput, AbortMultipartUploadOutput, Initiator, Owner};

use crate::authority::lists;
use crate::authority::situation::is_user_id;
use crate::fault::Fault;
use crate::front::Core;
use crate::names;

/// The full name of an upload.
#[derive(Debug, Clone)]
pub struct Named {
    /// The bucket.
    pub bucket: BucketId,
    /// The key that the object will have.
    pub key: ObjectKey,
    /// The upload.
    pub upload: UploadId,
}

/// An upload that is under way, in one view of the rows.
#[derive(Debug)]
struct Found {
    view: View,
    named: Named,
    row: UploadRow,
}

fn no_such_upload() -> Fault {
    Fault::of_refusal(Refusal::NoSuchUpload)
}

/// The upload that a client names; what is no name of ours names none.
fn upload_id(sent: &str) -> Result<UploadId, Fault> {
    sent.parse().map(UploadId).map_err(|_| no_such_upload())
}

/// Finds an upload. Where it is in the rows as they are here, they will do: who changes it asks the log anyway.
async fn find(core: &Core, bucket: &str, key: String, upload: &str) -> Result<Found, Fault> {
    let view = core.stripes.client.read_stale();
    match find_in(view, bucket, &key, upload) {
        Err(Fault::NoSuchBucket | Fault::Request(_)) => find_now(core, bucket, key, upload).await,
        found => found,
    }
}

/// Finds an upload in the rows as they are now.
async fn find_now(core: &Core, bucket: &str, key: String, upload: &str) -> Result<Found, Fault> {
    find_in(core.stripes.client.read().await?, bucket, &key, upload)
}

fn find_in(view: View, bucket: &str, key: &str, upload: &str) -> Result<Found, Fault> {
    let name = names::bucket(bucket).map_err(|_| Fault::NoSuchBucket)?;
    let (bucket, _) = query::bucket_by_name(&view, &name)?.ok_or(Fault::NoSuchBucket)?;
    let named = Named { bucket, key: names::key(key.to_owned())?, upload: upload_id(upload)? };
    let row = query::upload(&view, bucket, &named.key, named.upload)?.ok_or_else(no_such_upload)?;
    Ok(Found { view, named, row })
}

/// Who began an upload, of a bucket with this owner. What was written before there were users is the name of a key.
fn initiator(row: &UploadRow, owner: &Owner) -> Initiator {
    let id = row.initiator.clone();
    let display_name = match (is_user_id(&id), owner.id.as_ref() == Some(&id)) {
        (_, true) => owner.display_name.clone(),
        (true, false) => lists::shown_owner(&id, "").display_name,
        (false, false) => Some(id.clone()),
    };
    Initiator { id: Some(id), display_name }
}

/// Gives an upload up. What its parts hold goes a little later.
pub async fn abort(core: &Core, input: AbortMultipartUploadInput) -> Result<AbortMultipartUploadOutput, Fault> {
    let Found { named: Named { bucket, key, upload }, .. } =
        find(core, &input.bucket, input.key, &input.upload_id).await?;
    core.propose(Operation::AbortUpload { bucket, key, upload }).await?;
    Ok(AbortMultipartUploadOutput::default())
}
