//! The function: the rows and one entry of the log give the changed rows and the answers.
//!
//! ```text
//! entry -> proposals, in order -> [asked before? the stored answer] -> operations, in order -> outcomes
//!                                                                      |
//!                                                              Transaction: rows below + what the entry changed
//! ```
//!
//! An operation has all its effects or none; the operations of a proposal stand and fall alone, except where one builds
//! on another of the same proposal that was refused. One file for each family of operations.

mod bucket;
mod cluster;
mod condition;
mod config;
mod content;
mod context;
mod extent;
mod garbage;
mod here;
mod manifest;
mod member;
mod object;
mod request;
mod session;
mod slice;
mod stripe;
mod table;
mod topology;
mod transaction;
mod upload;

use bytes::Bytes;
use cairn_core::LogIndex;

use crate::apply::context::Context;
use crate::apply::transaction::{Stop, Transaction};
use crate::batch::{Batch, ENTRY_OPERATIONS_MAX, FUNCTION_VERSION};
use crate::operation::Operation;
use crate::outcome::{Outcome, Refusal};
use crate::rows::cluster::ClusterRow;
use crate::rows::upload::UploadRow;
use crate::source::{RowError, RowSource};

pub use garbage::due_until;

/// What an entry of the log amounts to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// The rows that changed, each once, in order of their keys; none for a row that went.
    pub effects: Vec<(Bytes, Option<Bytes>)>,
    /// For each proposal, for each of its operations, what came of it.
    pub outcomes: Vec<Vec<Outcome>>,
}

/// Why an entry cannot be applied. The node stops: to skip an entry, or to guess, would make its rows differ from the
/// other voters'.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The entry needs a later version of this function. Start the release that knows it.
    #[error("entry {index} needs version {found} of the state machine, this release knows up to {FUNCTION_VERSION}")]
    NewerFunction {
        /// Where in the log.
        index: LogIndex,
        /// The version that it names.
        found: u8,
    },
    /// Rows could not be read. Restore them from the runs or from another voter.
    #[error("entry {index} cannot be applied")]
    Rows {
        /// Where in the log.
        index: LogIndex,
        /// What happened.
        #[source]
        source: RowError,
    },
}

/// Applies one entry. Pure: the same rows and the same entry give the same answer, on every voter and at every time.
///
/// `rows` must stand at the index before `index`. Nothing is changed; the caller makes the effects visible, all at once.
pub fn apply<S: RowSource + ?Sized>(rows: &S, index: LogIndex, batch: &Batch) -> Result<Applied, ApplyError> {
    if batch.function == 0 || batch.function > FUNCTION_VERSION {
        return Err(ApplyError::NewerFunction { index, found: batch.function });
    }
    let mut transaction = Transaction::new(rows);
    let mut outcomes = Vec::with_capacity(batch.proposals.len());
    let mut ordinal = 0;
    for proposal in &batch.proposals {
        let mut context = Context::new(index, batch, proposal, ordinal);
        ordinal += proposal.operations.len();
        let answered = if ordinal > ENTRY_OPERATIONS_MAX {
            Ok(request::refuse_all(proposal, &Refusal::TooLarge))
        } else {
            request::answer(&mut transaction, &mut context, proposal)
        };
        outcomes.push(answered.map_err(|source| ApplyError::Rows { index, source })?);
    }
    Ok(Applied { effects: transaction.into_effects(), outcomes })
}

/// Applies one operation: all of it, or nothing and the reason why.
fn apply_operation<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &mut Context<'_>,
    operation: &Operation,
) -> Result<Outcome, RowError> {
    rows.begin();
    match dispatch(rows, context, operation) {
        Ok(outcome) => {
            rows.keep();
            context.succeeded(operation);
            Ok(outcome)
        }
        Err(Stop::Refused(refusal)) => {
            rows.roll_back();
            context.refused(operation);
            Ok(Outcome::Refused(refusal))
        }
        Err(Stop::Rows(error)) => Err(error),
    }
}

fn dispatch<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &mut Context<'_>,
    operation: &Operation,
) -> Result<Outcome, Stop> {
    if let Operation::Form { .. } = operation {
        return cluster::form(rows, context, operation);
    }
    if rows.get::<ClusterRow>(&())?.is_none() {
        return Err(Refusal::NotFormed.into());
    }
    match operation {
        Operation::Form { .. } => unreachable!("answered above"),
        Operation::RaiseFunction { to } => cluster::raise_function(rows, context, *to),
        Operation::PutAccessKey { id, sealed_secret, root } => {
            cluster::put_access_key(rows, context, id, sealed_secret, *root)
        }
        Operation::RemoveAccessKey { id } => cluster::remove_access_key(rows, id),
        Operation::RegisterSession { id, kind, node } => session::register(rows, context, *id, *kind, *node),
        Operation::RenewSession { id, commits_from, reads_from } => {
            session::renew(rows, context, *id, *commits_from, *reads_from)
        }
        Operation::EndSession { id, last_renewal } => session::end(rows, context, *id, *last_renewal),
        Operation::TakeLease { lease, session } => session::take_lease(rows, context, *lease, *session),
        Operation::RegisterDrives { node, drives } => topology::register_drives(rows, context, *node, drives),
        Operation::SetDriveState { drive, from, to } => topology::set_drive_state(rows, context, *drive, *from, *to),
        Operation::ReportRun { voter, index } => topology::report_run(rows, context, *voter, *index),
        Operation::RegisterNode { node, zone, drives } => member::register_node(rows, context, *node, zone, drives),
        Operation::AdmitMember { node } => member::admit(rows, context, *node),
        Operation::SeatVoter { voter } => member::seat(rows, *voter),
        Operation::DismissMember { member } => member::dismiss(rows, *member),
        Operation::CreateBucket { name, owner, lock, acl } => {
            bucket::create(rows, context, name, owner, *lock, acl.as_ref())
        }
        Operation::DeleteBucket { id } => bucket::delete(rows, *id),
        Operation::SetVersioning { id, versioning } => bucket::set_versioning(rows, *id, *versioning),
        Operation::MakeStripe { id, shape, positions } => stripe::make(rows, context, *id, *shape, positions),
        Operation::SettleStripe { id } => stripe::settle(rows, context, *id),
        Operation::MovePosition { stripe, position, from, to } => {
            stripe::move_position(rows, context, *stripe, *position, *from, *to)
        }
        Operation::PutObject { bucket, key, attributes, content, conditions, session } => {
            object::put(rows, context, *bucket, key, attributes, content, None, conditions, *session)
        }
        Operation::DeleteObject { bucket, key, version, conditions, bypass } => {
            object::delete(rows, context, *bucket, key, *version, conditions, *bypass)
        }
        Operation::AddManifestPage { manifest, page, extents, profile } => {
            manifest::add_page(rows, context, *manifest, *page, extents, *profile)
        }
        Operation::AbandonManifest { manifest, session } => manifest::abandon(rows, *manifest, *session),
        Operation::RetirePage { manifest, page } => manifest::retire_page(rows, context, *manifest, *page),
        Operation::MoveExtent { extent, from, stripe, offset } => {
            extent::move_to(rows, context, *extent, *from, *stripe, *offset)
        }
        Operation::CreateUpload { bucket, key, initiator, profile, headers, metadata, tags, checksum, lock, acl } => {
            let row = UploadRow {
                initiated: context.time,
                initiator: initiator.clone(),
                profile: *profile,
                headers: headers.clone(),
                metadata: metadata.clone(),
                tags: tags.clone(),
                checksum: *checksum,
                lock: *lock,
                acl: acl.clone(),
            };
            upload::create(rows, context, *bucket, key, row)
        }
        Operation::PutPart { bucket, key, upload, number, size, md5, checksum, content, session } => {
            let name = (*bucket, key, *upload);
            upload::put_part(rows, context, name, *number, *size, *md5, checksum.as_ref(), content, *session)
        }
        Operation::AbortUpload { bucket, key, upload } => upload::abort(rows, *bucket, key, *upload),
        Operation::AddPartsPage { manifest, page, bucket, key, upload, parts } => {
            upload::add_parts_page(rows, context, *manifest, *page, (*bucket, key, *upload), parts)
        }
        Operation::CompleteUpload { bucket, key, upload, manifest, etag, checksum, conditions, session } => {
            let name = (*bucket, key, *upload);
            upload::complete(rows, context, name, *manifest, *etag, checksum.as_ref(), conditions, *session)
        }
        Operation::RetireUpload { upload } => upload::retire(rows, context, *upload),
        Operation::AddSharedPage { manifest, page, bucket, key, version, range } => {
            upload::add_shared_page(rows, context, *manifest, *page, (*bucket, key, *version), *range)
        }
        Operation::SetObjectTags { bucket, key, version, tags } => {
            object::set_tags(rows, (*bucket, key, *version), tags.as_ref())
        }
        Operation::PutBucketConfig { id, config } => config::put(rows, *id, config),
        Operation::RemoveBucketConfig { id, kind } => config::remove(rows, *id, *kind),
        Operation::LockBucket { id, lock } => bucket::lock(rows, *id, *lock),
        Operation::SetRetention { bucket, key, version, retention, bypass } => {
            object::set_retention(rows, context, (*bucket, key, *version), *retention, *bypass)
        }
        Operation::SetLegalHold { bucket, key, version, held } => {
            object::set_legal_hold(rows, (*bucket, key, *version), *held)
        }
        Operation::SetObjectAcl { bucket, key, version, acl } => {
            object::set_acl(rows, (*bucket, key, *version), acl.as_ref())
        }
        Operation::Condemn { chunk, drive } => garbage::condemn(rows, context, *chunk, *drive),
        Operation::Collected { garbage } => garbage::collected(rows, garbage),
    }
}

#[cfg(test)]
mod tests;
