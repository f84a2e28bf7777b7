//! DELETE, of one object or of up to a thousand.

use cairn_core::ObjectKey;
use cairn_machine::operation::Operation;
use cairn_machine::{Outcome, Refusal};
use s3s::dto::{
    DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, Error,
    ObjectIdentifier,
};
use s3s::{S3Error, s3_error};

use super::preconditions;
use crate::fault::Fault;
use crate::front::Core;
use crate::names;

/// The most keys in one request: what S3 allows.
const KEYS_MAX: usize = 1000;

/// The most bytes of keys in one proposal, well below what one may have.
const PROPOSAL_KEY_BYTES_MAX: usize = 512 * 1024;

/// What a delete did, in S3's words.
#[derive(Debug, Default)]
struct Done {
    version_id: Option<String>,
    marker: bool,
}

/// Deletes one object. Deleting what is not there is no error.
pub async fn delete(core: &Core, input: DeleteObjectInput) -> Result<DeleteObjectOutput, Fault> {
    let bucket = core.bucket(&input.bucket).await?;
    let version = names::version(input.version_id.as_deref())?;
    let modified = input.if_match_last_modified_time.as_ref();
    let conditions = preconditions::of_delete(input.if_match.as_ref(), input.if_match_size, modified)?;
    let operation = Operation::DeleteObject { bucket, key: names::key(input.key)?, version, conditions };
    let outcome = core.stripes.client.propose(vec![operation]).await?.into_iter().next();
    let outcome = outcome.expect("each operation has one outcome");
    let Done { version_id, marker } = done(outcome, input.version_id.is_some())?;
    Ok(DeleteObjectOutput { delete_marker: marker.then_some(true), version_id, ..DeleteObjectOutput::default() })
}

fn done(outcome: Outcome, named: bool) -> Result<Done, Fault> {
    match outcome {
        Outcome::Deleted { version, null, marker } => {
            let id = version.filter(|_| marker || named);
            Ok(Done { version_id: id.map(|id| names::version_id(id, null)), marker })
        }
        Outcome::Refused(refusal) => Err(Fault::of_refusal(refusal)),
        other => Err(Fault::Refused(Refusal::Malformed { reason: format!("a DELETE was answered by {other:?}") })),
    }
}

/// Deletes many objects, each with an outcome of its own.
pub async fn delete_many(core: &Core, input: DeleteObjectsInput) -> Result<DeleteObjectsOutput, Fault> {
    let bucket = core.bucket(&input.bucket).await?;
    let listed = input.delete.objects;
    if listed.is_empty() || listed.len() > KEYS_MAX {
        return Err(s3_error!(MalformedXML).into());
    }
    let mut report = Report { quiet: input.delete.quiet.unwrap_or(false), ..Report::default() };
    let mut waiting = Vec::new();
    let mut bytes = 0;
    for object in listed {
        match understood(&object) {
            Err(error) => report.failed(&object, error),
            Ok((key, version, conditions)) => {
                if bytes + object.key.len() > PROPOSAL_KEY_BYTES_MAX {
                    report.propose(core, std::mem::take(&mut waiting)).await?;
                    bytes = 0;
                }
                bytes += object.key.len();
                waiting.push((object, Operation::DeleteObject { bucket, key, version, conditions }));
            }
        }
    }
    report.propose(core, waiting).await?;
    Ok(report.output())
}

type Understood = (ObjectKey, cairn_machine::operation::VersionChoice, cairn_machine::Conditions);

fn understood(object: &ObjectIdentifier) -> Result<Understood, S3Error> {
    let key = names::key(object.key.clone())?;
    let version = names::version(object.version_id.as_deref())?;
    let tag = object.e_tag.as_ref().map(preconditions::of_tag);
    let conditions = preconditions::of_delete(tag.as_ref(), object.size, object.last_modified_time.as_ref())?;
    Ok((key, version, conditions))
}

/// What is answered, key by key.
#[derive(Debug, Default)]
struct Report {
    quiet: bool,
    deleted: Vec<DeletedObject>,
    errors: Vec<Error>,
}

impl Report {
    async fn propose(&mut self, core: &Core, waiting: Vec<(ObjectIdentifier, Operation)>) -> Result<(), Fault> {
        if waiting.is_empty() {
            return Ok(());
        }
        let (objects, operations): (Vec<_>, Vec<_>) = waiting.into_iter().unzip();
        let outcomes = core.stripes.client.propose(operations).await?;
        assert_eq!(outcomes.len(), objects.len(), "each operation has one outcome");
        for (object, outcome) in objects.into_iter().zip(outcomes) {
            match done(outcome, object.version_id.is_some()) {
                Ok(done) => self.went(object, done),
                Err(fault) => self.failed(&object, fault.into()),
            }
        }
        Ok(())
    }

    fn went(&mut self, object: ObjectIdentifier, done: Done) {
        if self.quiet {
            return;
        }
        let delete_marker_version_id = done.version_id.filter(|_| done.marker);
        self.deleted.push(DeletedObject {
            delete_marker: done.marker.then_some(true),
            delete_marker_version_id,
            key: Some(object.key),
            version_id: object.version_id,
        });
    }

    fn failed(&mut self, object: &ObjectIdentifier, error: S3Error) {
        self.errors.push(Error {
            code: Some(error.code().as_str().to_owned()),
            key: Some(object.key.clone()),
            message: error.message().map(str::to_owned),
            version_id: object.version_id.clone(),
        });
    }

    fn output(self) -> DeleteObjectsOutput {
        let some = |list: Vec<_>| (!list.is_empty()).then_some(list);
        DeleteObjectsOutput {
            deleted: some(self.deleted),
            errors: (!self.errors.is_empty()).then_some(self.errors),
            ..DeleteObjectsOutput::default()
        }
    }
}
