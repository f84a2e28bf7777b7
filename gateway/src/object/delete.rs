//! DELETE, of one object or of up to a thousand.

use cairn_core::{BucketId, ObjectKey};
use cairn_machine::operation::{Conditions, Operation, VersionChoice};
use cairn_machine::rows::lock::Bypass;
use cairn_machine::{Outcome, Refusal};
use cairn_metadata::query;
use s3s::dto::{
    DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, Error,
    ObjectIdentifier,
};
use s3s::{S3Error, S3Request, s3_error};

use super::{lock, preconditions};
use crate::access::Peer;
use crate::authority::facts::Facts;
use crate::authority::situation::Wanted;
use crate::authority::{Identity, demands};
use crate::fault::Fault;
use crate::front::Core;
use crate::names;
use crate::outcome::unexpected;

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

/// One object that is to be deleted.
struct Deletion {
    bucket: BucketId,
    key: ObjectKey,
    /// The version, as the client named it.
    named: Option<String>,
    version: VersionChoice,
    conditions: Conditions,
    bypass: Option<Bypass>,
}

impl Deletion {
    fn operation(&self) -> Operation {
        let Self { bucket, key, version, conditions, bypass, .. } = self;
        let (key, conditions) = (key.clone(), conditions.clone());
        Operation::DeleteObject { bucket: *bucket, key, version: *version, conditions, bypass: *bypass }
    }

    /// What came of it.
    async fn done(&self, core: &Core, outcome: Outcome) -> Result<Done, Fault> {
        match outcome {
            Outcome::Deleted { version, null, marker } => {
                // A version that was not there has not been kept, which is what was asked for: it is named all the same.
                let version_id = match (&self.named, version) {
                    (Some(_), Some(version)) => Some(names::version_id(version, null)),
                    (Some(named), None) => Some(named.clone()),
                    (None, version) => version.filter(|_| marker).map(|version| names::version_id(version, null)),
                };
                Ok(Done { version_id, marker })
            }
            Outcome::Refused(Refusal::NoSuchKey) => self.nothing_there(core).await,
            Outcome::Refused(refusal) => Err(Fault::of_refusal(refusal)),
            other => Err(unexpected("a DELETE", &other)),
        }
    }

    /// A condition names an object, and there is none. To the log a delete marker and nothing at all are the same; to S3
    /// they are not. Nothing was deleted either way, so it does no harm that the rows are looked at a moment later.
    async fn nothing_there(&self, core: &Core) -> Result<Done, Fault> {
        let view = core.stripes.client.read().await?;
        if query::version(&view, self.bucket, &self.key, self.version)?.is_some() {
            return Err(Fault::PreconditionFailed);
        }
        match &self.conditions.if_match {
            Some(_) => Err(Fault::NoSuchKey),
            // Size and time only say which object is meant. One that is gone is as it was wanted.
            None => Ok(Done { version_id: self.named.clone(), marker: false }),
        }
    }
}

/// Deletes one object. Deleting what is not there is no error.
pub async fn delete(core: &Core, input: DeleteObjectInput) -> Result<DeleteObjectOutput, Fault> {
    let bucket = core.bucket(&input.bucket).await?;
    let version = names::version(input.version_id.as_deref())?;
    let modified = input.if_match_last_modified_time.as_ref();
    let conditions = preconditions::of_delete(input.if_match.as_ref(), input.if_match_size, modified)?;
    let (key, bypass) = (names::key(input.key)?, lock::bypass(input.bypass_governance_retention));
    let deletion = Deletion { bucket, key, named: input.version_id, version, conditions, bypass };
    let outcome = core.stripes.client.propose(vec![deletion.operation()]).await?.into_iter().next();
    let Done { version_id, marker } = deletion.done(core, outcome.expect("each operation has one outcome")).await?;
    Ok(DeleteObjectOutput { delete_marker: marker.then_some(true), version_id, ..DeleteObjectOutput::default() })
}

/// Deletes many objects, each with an outcome of its own.
pub async fn delete_many(core: &Core, request: S3Request<DeleteObjectsInput>) -> Result<DeleteObjectsOutput, Fault> {
    let S3Request { input, uri, headers, extensions, .. } = request;
    let identity = extensions.get::<Identity>().unwrap_or(&Identity::Anonymous);
    let peer = extensions.get::<Peer>().map(|peer| peer.0);
    let (operation, now) = ("DeleteObjects", core.clock.wall());
    let facts = Facts { operation, uri: &uri, headers: &headers, identity, peer, now, tags: None, listed: None };
    // Which keys are meant was not known when the request was judged: each is judged for itself.
    let situation = match identity.is_root() {
        true => None,
        false => Some(core.situation(&input.bucket).await?.1),
    };
    let bypassing = input.bypass_governance_retention.unwrap_or(false);
    let may = |object: &ObjectIdentifier| -> Result<bool, Fault> {
        let Some(situation) = &situation else { return Ok(true) };
        let wanted = Some(Wanted { key: &object.key, version: object.version_id.as_deref() });
        let conditional = object.e_tag.is_some() || object.size.is_some() || object.last_modified_time.is_some();
        Ok(situation.allows(identity, &demands::DELETE, wanted, &facts)?.0
            && (!bypassing || situation.allows(identity, &demands::BYPASS, wanted, &facts)?.0)
            // Whoever hears whether a condition held knows something of what is there.
            && (!conditional || situation.allows(identity, &demands::GET, wanted, &facts)?.0))
    };
    let bucket = core.bucket(&input.bucket).await?;
    let bypass = lock::bypass(Some(bypassing));
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
            Ok(_) if !may(&object)? => report.failed(&object, s3_error!(AccessDenied)),
            Ok((key, version, conditions)) => {
                if bytes + object.key.len() > PROPOSAL_KEY_BYTES_MAX {
                    report.propose(core, std::mem::take(&mut waiting)).await?;
                    bytes = 0;
                }
                bytes += object.key.len();
                let named = object.version_id.clone();
                waiting.push((object, Deletion { bucket, key, named, version, conditions, bypass }));
            }
        }
    }
    report.propose(core, waiting).await?;
    Ok(report.output())
}

fn understood(object: &ObjectIdentifier) -> Result<(ObjectKey, VersionChoice, Conditions), S3Error> {
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
    async fn propose(&mut self, core: &Core, waiting: Vec<(ObjectIdentifier, Deletion)>) -> Result<(), Fault> {
        if waiting.is_empty() {
            return Ok(());
        }
        let operations = waiting.iter().map(|(_, deletion)| deletion.operation()).collect();
        let outcomes = core.stripes.client.propose(operations).await?;
        assert_eq!(outcomes.len(), waiting.len(), "each operation has one outcome");
        for ((object, deletion), outcome) in waiting.into_iter().zip(outcomes) {
            match deletion.done(core, outcome).await {
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
            key: Some(names::xml_text(object.key)),
            version_id: object.version_id.map(names::xml_text),
        });
    }

    fn failed(&mut self, object: &ObjectIdentifier, error: S3Error) {
        self.errors.push(Error {
            code: Some(error.code().as_str().to_owned()),
            key: Some(names::xml_text(object.key.clone())),
            message: error.message().map(str::to_owned),
            version_id: object.version_id.clone().map(names::xml_text),
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
