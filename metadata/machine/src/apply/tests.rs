//! The function under test: a laboratory with six drives and two sessions, and after every entry all invariants.

mod accidents;
mod locks;
mod member;
mod model;
mod objects;
mod requests;
mod topology;
mod uploads;
mod uploads_at_their_largest;

use std::collections::BTreeMap;

use cairn_core::{
    BucketId, BucketName, ClusterId, DriveId, ExtentId, Geometry, LogIndex, NodeId, ObjectKey, SessionId, StripeId,
    StripeShape, VersionId, WallTime, WriteId,
};

use super::*;
use crate::batch::{Proposal, RequestId};
use crate::check::check;
use crate::operation::{ChosenPart, Conditions, NewContent, NewDrive, NewExtent, NewPlace, VersionChoice};
use crate::row::Row;
use crate::rows::manifest::ManifestId;
use crate::rows::object::{Attributes, ContentHeaders, Etag};
use crate::rows::profile::ProfileId;
use crate::rows::session::SessionKind;
use crate::rows::stripe::PlacedChunk;
use crate::rows::topology::{DriveLedgerRow, DriveState};
use crate::rows::upload::UploadId;
use crate::source::MapRows;

pub(super) const NODE: NodeId = NodeId(0x0A);
pub(super) const VOTER: u64 = 1;
/// The gateway's session.
pub(super) const GATE: SessionId = SessionId(0x6A);
/// The repair daemon's session.
pub(super) const REPAIR: SessionId = SessionId(0x4E);
pub(super) const DRIVES: u64 = 6;

/// Rows, and a log that grows.
#[derive(Clone)]
pub(super) struct Lab {
    pub(super) rows: MapRows,
    pub(super) index: LogIndex,
    pub(super) numbers: BTreeMap<SessionId, u64>,
    pub(super) counter: u64,
}

impl Lab {
    pub(super) fn empty() -> Self {
        Self { rows: MapRows::default(), index: LogIndex(0), numbers: BTreeMap::new(), counter: 0 }
    }

    /// Six drives, 2+1 stripes for brevity, two sessions, one bucket.
    pub(super) fn formed() -> (Self, BucketId) {
        let mut lab = Self::empty();
        assert_eq!(lab.alone(form()), Outcome::Done);
        for (id, kind) in [(GATE, SessionKind::Gateway), (REPAIR, SessionKind::Repair)] {
            assert_eq!(lab.alone(Operation::RegisterSession { id, kind, node: NODE }), Outcome::Done);
        }
        let bucket = lab.bucket("photos");
        (lab, bucket)
    }

    pub(super) fn bucket(&mut self, name: &str) -> BucketId {
        let name = BucketName::new(name).unwrap();
        match self.one(GATE, Operation::CreateBucket { name, owner: "root".into(), lock: None, acl: None }) {
            Outcome::BucketCreated(id) => id,
            other => panic!("{other:?}"),
        }
    }

    /// Applies an entry twice, compares, takes its effects over and checks every invariant.
    pub(super) fn entry(&mut self, proposals: Vec<Proposal>) -> Vec<Vec<Outcome>> {
        self.index.0 += 1;
        let batch = Batch { function: FUNCTION_VERSION, time: self.time(), proposals, sure: None };
        assert_eq!(Batch::decode(&batch.encode()).unwrap(), batch);
        let applied = apply(&self.rows, self.index, &batch).unwrap();
        assert_eq!(applied, apply(&self.rows.clone(), self.index, &batch).unwrap(), "the function is one");
        self.rows.apply(applied.effects);
        let violations = check(&self.rows).unwrap();
        assert!(violations.is_empty(), "after {:?}:\n{}", batch.proposals, lines(&violations));
        let balance = crate::audit::tests::audit(&self.rows, 100);
        assert_eq!((balance.imbalances, balance.more), (vec![], false), "after {:?}", batch.proposals);
        applied.outcomes
    }

    fn time(&self) -> WallTime {
        WallTime(1_700_000_000_000 + self.index.0 * 1000)
    }

    /// Applies one operation alone, without a look at all rows afterwards, and says how many rows and bytes it touched.
    pub(super) fn measured(&mut self, session: SessionId, operation: Operation) -> (Outcome, (usize, usize)) {
        let proposal = Proposal { request: Some(self.request(session)), operations: vec![operation], authors: None };
        self.index.0 += 1;
        let mut rows = Transaction::new(&self.rows);
        let batch = Batch { function: FUNCTION_VERSION, time: self.time(), proposals: vec![], sure: None };
        let mut context = Context::new(self.index, &batch, &proposal, 0);
        let outcome = apply_operation(&mut rows, &mut context, &proposal.operations[0]).unwrap();
        let touched = rows.touched();
        let effects = rows.into_effects();
        self.rows.apply(effects);
        (outcome, touched)
    }

    pub(super) fn check(&self) {
        let violations = check(&self.rows).unwrap();
        assert!(violations.is_empty(), "{}", lines(&violations));
    }

    pub(super) fn upload(&mut self, bucket: BucketId, name: &str) -> UploadId {
        match self.one(GATE, create(bucket, name)) {
            Outcome::UploadCreated(upload) => upload,
            other => panic!("{other:?}"),
        }
    }

    /// Puts a part of one extent in a stripe of its own, which must succeed.
    pub(super) fn part(&mut self, bucket: BucketId, name: &str, upload: UploadId, number: u16) -> ChosenPart {
        let stripe = StripeId(self.write(GATE));
        let content = NewContent::Extents(vec![in_stripe(stripe, 0)]);
        let put = put_part(bucket, name, upload, number, u64::from(LENGTH), content);
        let outcomes = self.propose(GATE, packed(stripe, vec![put]));
        assert!(matches!(outcomes[..], [Outcome::Done, Outcome::PartPut { .. }, Outcome::Done]), "{outcomes:?}");
        ChosenPart { number, version: VersionId { index: self.index, ordinal: 1 } }
    }

    /// A part whose bytes stand in the metadata.
    pub(super) fn part_here(
        &mut self,
        bucket: BucketId,
        name: &str,
        upload: UploadId,
        number: u16,
        length: u32,
    ) -> ChosenPart {
        let id = ExtentId { write: self.write(GATE), ordinal: 0 };
        let place = NewPlace::Here(vec![number as u8; length as usize].into());
        let content = NewContent::Extents(vec![NewExtent { id, length, place }]);
        let put = put_part(bucket, name, upload, number, u64::from(length), content);
        assert!(matches!(self.one(GATE, put), Outcome::PartPut { .. }));
        ChosenPart { number, version: VersionId { index: self.index, ordinal: 0 } }
    }

    /// What needs no session.
    pub(super) fn alone(&mut self, operation: Operation) -> Outcome {
        self.entry(vec![Proposal { request: None, operations: vec![operation], authors: None }]).remove(0).remove(0)
    }

    pub(super) fn request(&mut self, session: SessionId) -> RequestId {
        let number = self.numbers.entry(session).or_default();
        *number += 1;
        RequestId { session, number: *number, lowest_unanswered: *number }
    }

    /// One request of a session.
    pub(super) fn propose(&mut self, session: SessionId, operations: Vec<Operation>) -> Vec<Outcome> {
        let request = Some(self.request(session));
        self.entry(vec![Proposal { request, operations, authors: None }]).remove(0)
    }

    pub(super) fn one(&mut self, session: SessionId, operation: Operation) -> Outcome {
        self.propose(session, vec![operation]).remove(0)
    }

    pub(super) fn write(&mut self, session: SessionId) -> WriteId {
        self.counter += 1;
        WriteId { session, counter: self.counter }
    }

    pub(super) fn renew(&mut self, session: SessionId, commits_from: u64) {
        let renewal = Operation::RenewSession { id: session, commits_from, reads_from: self.index };
        assert_eq!(self.one(session, renewal), Outcome::Done);
    }

    /// Puts one object of one extent in a stripe of its own, which must succeed.
    pub(super) fn put(&mut self, bucket: BucketId, key: &str) -> (StripeId, ExtentId) {
        let stripe = StripeId(self.write(GATE));
        let extent = ExtentId { write: stripe.0, ordinal: 0 };
        let outcomes = self.propose(GATE, packed(stripe, vec![put_in(bucket, key, stripe, 0)]));
        assert!(matches!(outcomes[..], [Outcome::Done, Outcome::Put { .. }, Outcome::Done]), "{outcomes:?}");
        (stripe, extent)
    }

    pub(super) fn get<R: Row>(&self, key: &R::Key) -> Option<R> {
        R::get(&self.rows, key).unwrap()
    }

    pub(super) fn ledger(&self, drive: u64) -> DriveLedgerRow {
        self.get::<DriveLedgerRow>(&DriveId(drive)).unwrap()
    }

    pub(super) fn set_state(&mut self, drive: u64, from: DriveState, to: DriveState) -> Outcome {
        self.one(REPAIR, Operation::SetDriveState { drive: DriveId(drive), from, to })
    }

    /// Everything that is garbage now.
    pub(super) fn garbage(&self) -> Vec<crate::rows::garbage::GarbageKey> {
        let mut keys = Vec::new();
        crate::rows::garbage::GarbageRow::scan(&self.rows, &[Table::Garbage as u8], |key, _| {
            keys.push(key);
            core::ops::ControlFlow::Continue(())
        })
        .unwrap();
        keys
    }

    /// Lets every session and the voter pass everything until now, so that all garbage is due.
    pub(super) fn pass(&mut self) {
        let index = self.index;
        for session in [GATE, REPAIR] {
            if self.get::<crate::rows::session::SessionRow>(&session).is_some() {
                let renewal = Operation::RenewSession { id: session, commits_from: 0, reads_from: index };
                self.one(session, renewal);
            }
        }
        assert_eq!(self.alone(Operation::ReportRun { voter: VOTER, index }), Outcome::Done);
    }
}

use crate::row::Table;

pub(super) fn lines(violations: &[crate::check::Violation]) -> String {
    violations.iter().map(|violation| format!("{violation}\n")).collect()
}

pub(super) fn form() -> Operation {
    let drive = |id| NewDrive { id: DriveId(id), weight: 1, label: format!("drive-{id}") };
    Operation::Form {
        cluster: ClusterId(7),
        node: NODE,
        zone: String::new(),
        drives: (0..DRIVES).map(drive).collect(),
        standard: Geometry::standard_for(DRIVES as usize),
        access_key: "root".into(),
        sealed_secret: vec![1, 2, 3].into(),
        voter: VOTER,
    }
}

pub(super) fn key(key: &str) -> ObjectKey {
    ObjectKey::new(key).unwrap()
}

/// How long each extent of these tests is.
pub(super) const LENGTH: u32 = 100;

pub(super) fn shape() -> StripeShape {
    StripeShape { geometry: Geometry::new(2, 1).unwrap(), chunk_bytes: 6400, block_bytes: 4096 }
}

/// Places a stripe on the first drives.
pub(super) fn make(stripe: StripeId) -> Operation {
    make_on(stripe, &[0, 1, 2])
}

pub(super) fn make_on(stripe: StripeId, drives: &[u64]) -> Operation {
    let positions = drives.iter().map(|&drive| PlacedChunk { drive: DriveId(drive), write: stripe.0 }).collect();
    Operation::MakeStripe { id: stripe, shape: shape(), positions }
}

/// A stripe, what is put into it, and its end.
pub(super) fn packed(stripe: StripeId, between: Vec<Operation>) -> Vec<Operation> {
    let mut operations = vec![make(stripe)];
    operations.extend(between);
    operations.push(Operation::SettleStripe { id: stripe });
    operations
}

pub(super) fn in_stripe(stripe: StripeId, ordinal: u16) -> NewExtent {
    let id = ExtentId { write: stripe.0, ordinal };
    let place = NewPlace::Stripe { stripe, offset: u64::from(ordinal) * u64::from(LENGTH) };
    NewExtent { id, length: LENGTH, place }
}

pub(super) fn attributes(size: u64, tag: u8) -> Attributes {
    Attributes {
        size,
        etag: Etag { md5: [tag; 16], parts: None },
        profile: ProfileId::STANDARD,
        headers: ContentHeaders { content_type: Some("text/plain".into()), ..Default::default() },
        metadata: vec![("a".into(), "b".into())],
        checksum: None,
        tags: None,
        upload: None,
        lock: None,
        acl: None,
    }
}

pub(super) fn put_with(
    bucket: BucketId,
    name: &str,
    size: u64,
    content: NewContent,
    conditions: Conditions,
) -> Operation {
    let tag = name.as_bytes()[0];
    Operation::PutObject {
        bucket,
        key: key(name),
        attributes: attributes(size, tag),
        content,
        conditions,
        session: GATE,
    }
}

/// Puts an object of one extent of a stripe.
pub(super) fn put_in(bucket: BucketId, name: &str, stripe: StripeId, ordinal: u16) -> Operation {
    let content = NewContent::Extents(vec![in_stripe(stripe, ordinal)]);
    put_with(bucket, name, u64::from(LENGTH), content, Conditions::default())
}

pub(super) fn delete(bucket: BucketId, name: &str) -> Operation {
    delete_version(bucket, name, VersionChoice::Newest)
}

pub(super) fn delete_version(bucket: BucketId, name: &str, version: VersionChoice) -> Operation {
    Operation::DeleteObject { bucket, key: key(name), version, conditions: Conditions::default(), bypass: None }
}

/// The tags of what is uploaded in parts.
pub(super) fn tags_of_uploads() -> Option<Vec<(String, String)>> {
    Some(vec![("how".into(), "in parts".into())])
}

pub(super) fn create(bucket: BucketId, name: &str) -> Operation {
    let Attributes { profile, headers, metadata, .. } = attributes(0, 0);
    let (initiator, tags) = ("root".into(), tags_of_uploads());
    Operation::CreateUpload {
        bucket,
        key: key(name),
        initiator,
        profile,
        headers,
        metadata,
        tags,
        checksum: None,
        lock: None,
        acl: None,
    }
}

pub(super) fn put_part(
    bucket: BucketId,
    name: &str,
    upload: UploadId,
    number: u16,
    size: u64,
    content: NewContent,
) -> Operation {
    let (md5, session) = ([number as u8; 16], GATE);
    Operation::PutPart { bucket, key: key(name), upload, number, size, md5, checksum: None, content, session }
}

pub(super) fn parts_page(
    bucket: BucketId,
    name: &str,
    upload: UploadId,
    manifest: ManifestId,
    page: u32,
    parts: &[ChosenPart],
) -> Operation {
    Operation::AddPartsPage { manifest, page, bucket, key: key(name), upload, parts: parts.to_vec() }
}

pub(super) fn complete(
    bucket: BucketId,
    name: &str,
    upload: UploadId,
    manifest: ManifestId,
    conditions: Conditions,
) -> Operation {
    let (etag, session) = (Etag { md5: [0xCC; 16], parts: Some(1) }, manifest.0.session);
    Operation::CompleteUpload { bucket, key: key(name), upload, manifest, etag, checksum: None, conditions, session }
}

pub(super) fn abort(bucket: BucketId, name: &str, upload: UploadId) -> Operation {
    Operation::AbortUpload { bucket, key: key(name), upload }
}

pub(super) fn page(manifest: ManifestId, page: u32, extents: Vec<NewExtent>) -> Operation {
    Operation::AddManifestPage { manifest, page, extents, profile: ProfileId::STANDARD }
}

/// The refusal, where there is one.
pub(super) fn refusal(outcome: &Outcome) -> Option<&Refusal> {
    match outcome {
        Outcome::Refused(refusal) => Some(refusal),
        _ => None,
    }
}

pub(super) fn is_malformed(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Refused(Refusal::Malformed { .. }))
}
