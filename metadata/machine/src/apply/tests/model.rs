//! The function against a naive model: an S3 of lists, that knows nothing of extents, stripes or ledgers. After every
//! entry the versions must be the model's, and all invariants must hold; at the end, when everything is deleted, retired
//! and collected, nothing may be left. Uploads, copies of ranges, tags and configurations are in `model/uploads.rs`.

mod uploads;

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use proptest::prelude::*;

use super::*;
use crate::operation::EtagCondition;
use crate::rows::bucket::{BucketLedgerRow, Versioning};
use crate::rows::extent::{ExtentPlace, ExtentRow};
use crate::rows::manifest::{ManifestPageRow, ManifestPartsRow, ManifestRow, RetirementRow};
use crate::rows::object::{Content, ExtentRange, ObjectRow, OlderVersionRow};
use crate::rows::stripe::StripeRow;
use crate::rows::topology::DriveRow;
use crate::rows::upload::{UploadId, UploadRetirementRow};

const KEYS: [&str; 4] = ["a", "a/b", "b", "\u{10FFFF}\0"];

#[derive(Debug, Clone)]
enum Client {
    /// Objects packed into one stripe: key, and the condition.
    Pack(Vec<(usize, Condition)>),
    Here(usize),
    Empty(usize),
    Long(usize, u32),
    Copy {
        from: usize,
        nth: usize,
        to: usize,
    },
    Delete(usize),
    DeleteNull(usize),
    DeleteNth(usize, usize),
    DeleteGhost(usize),
    Versioning(bool),
    Parts(uploads::Client),
}

#[derive(Debug, Clone, Copy)]
enum Condition {
    None,
    Absent,
    Present,
}

impl Condition {
    fn conditions(self) -> Conditions {
        match self {
            Self::None => Conditions::default(),
            Self::Absent => Conditions { if_none_match: Some(EtagCondition::Any), ..Default::default() },
            Self::Present => Conditions { if_match: Some(EtagCondition::Any), ..Default::default() },
        }
    }
}

#[derive(Debug, Clone)]
enum Background {
    Pass,
    Collect,
    Retire,
    Move { stripe: usize, position: u8, drive: u64 },
    Rewrite { extents: Vec<usize> },
    State { drive: u64, to: DriveState },
    HalfWritten,
    Repeat,
}

#[derive(Debug, Clone)]
enum Step {
    Clients(Vec<Client>),
    Background(Background),
}

fn condition() -> impl Strategy<Value = Condition> {
    prop::sample::select(vec![Condition::None, Condition::None, Condition::Absent, Condition::Present])
}

fn client() -> impl Strategy<Value = Client> {
    let key = 0..KEYS.len();
    let condition = condition();
    prop_oneof![
        6 => prop::collection::vec((key.clone(), condition), 0..4).prop_map(Client::Pack),
        1 => key.clone().prop_map(Client::Here),
        1 => key.clone().prop_map(Client::Empty),
        2 => (key.clone(), 1u32..4).prop_map(|(key, pages)| Client::Long(key, pages)),
        3 => (key.clone(), 0usize..3, key.clone()).prop_map(|(from, nth, to)| Client::Copy { from, nth, to }),
        3 => key.clone().prop_map(Client::Delete),
        2 => key.clone().prop_map(Client::DeleteNull),
        3 => (key.clone(), 0usize..3).prop_map(|(key, nth)| Client::DeleteNth(key, nth)),
        1 => key.prop_map(Client::DeleteGhost),
        2 => prop::bool::ANY.prop_map(Client::Versioning),
        24 => uploads::client().prop_map(Client::Parts),
    ]
}

fn background() -> impl Strategy<Value = Background> {
    let state =
        prop::sample::select(vec![DriveState::Active, DriveState::Draining, DriveState::Lost, DriveState::Removed]);
    prop_oneof![
        2 => Just(Background::Pass),
        2 => Just(Background::Collect),
        3 => Just(Background::Retire),
        3 => (0usize..8, 0u8..3, 0..DRIVES)
            .prop_map(|(stripe, position, drive)| Background::Move { stripe, position, drive }),
        2 => prop::collection::vec(0usize..12, 1..5).prop_map(|extents| Background::Rewrite { extents }),
        1 => (3..DRIVES, state).prop_map(|(drive, to)| Background::State { drive, to }),
        1 => Just(Background::HalfWritten),
        1 => Just(Background::Repeat),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => prop::collection::vec(client(), 1..5).prop_map(Step::Clients),
        2 => background().prop_map(Step::Background),
    ]
}

/// Pairs of text, as tags are.
type Tags = Option<Vec<(String, String)>>;

/// One version, as a client knows it.
#[derive(Debug, Clone, PartialEq)]
struct Version {
    id: VersionId,
    null: bool,
    /// None for a delete marker.
    object: Option<Object>,
}

/// What a client knows of an object.
#[derive(Debug, Clone, PartialEq, Default)]
struct Object {
    /// Its bytes, by what they are called, whatever names them.
    bytes: Vec<ExtentRange>,
    /// The numbers and sizes of its parts, where it was uploaded so.
    parts: Vec<(u16, u64)>,
    tags: Tags,
    upload: Option<UploadId>,
}

impl Object {
    fn of(bytes: Vec<ExtentRange>) -> Self {
        Self { bytes, ..Self::default() }
    }

    fn size(&self) -> u64 {
        length(&self.bytes)
    }
}

fn length(ranges: &[ExtentRange]) -> u64 {
    ranges.iter().map(|range| u64::from(range.length)).sum()
}

/// An extent of these tests that is used whole.
fn whole(stripe: StripeId, ordinal: u16) -> ExtentRange {
    ExtentRange { extent: in_stripe(stripe, ordinal).id, offset: 0, length: LENGTH }
}

struct Model {
    lab: Lab,
    bucket: BucketId,
    versioning: Versioning,
    keys: BTreeMap<usize, Vec<Version>>,
    uploads: uploads::Uploads,
    last: Option<(Proposal, Vec<Outcome>)>,
}

impl Model {
    fn new() -> Self {
        let (lab, bucket) = Lab::formed();
        Self {
            lab,
            bucket,
            versioning: Versioning::Off,
            keys: BTreeMap::new(),
            uploads: Default::default(),
            last: None,
        }
    }

    fn active(&self) -> Vec<u64> {
        let state = |drive: &u64| self.lab.get::<DriveRow>(&DriveId(*drive)).unwrap().state;
        (0..DRIVES).filter(|drive| state(drive) == DriveState::Active).collect()
    }

    fn newest(&self, key: usize) -> Option<&Version> {
        self.keys.get(&key)?.first()
    }

    fn refused(&self, key: usize, condition: Condition) -> Option<Refusal> {
        let exists = self.newest(key).is_some_and(|version| version.object.is_some());
        match condition {
            Condition::Absent if exists => Some(Refusal::PreconditionFailed),
            Condition::Present if !exists => Some(Refusal::NoSuchKey),
            _ => None,
        }
    }

    fn add(&mut self, key: usize, version: Version) {
        let versions = self.keys.entry(key).or_default();
        if version.null {
            versions.retain(|version| !version.null);
        }
        versions.insert(0, version);
    }

    fn put(&mut self, key: usize, id: VersionId, object: Object) -> Outcome {
        let null = self.versioning != Versioning::Enabled;
        self.add(key, Version { id, null, object: Some(object) });
        Outcome::Put { version: id, null, modified: WallTime(1_700_000_000_000 + id.index.0 * 1000) }
    }

    fn remove(&mut self, key: usize, which: Option<usize>, null_asked: bool) -> Outcome {
        let Some(which) = which else { return Outcome::Deleted { version: None, null: null_asked, marker: false } };
        let versions = self.keys.get_mut(&key).unwrap();
        let gone = versions.remove(which);
        if versions.is_empty() {
            self.keys.remove(&key);
        }
        Outcome::Deleted { version: Some(gone.id), null: gone.null, marker: gone.object.is_none() }
    }

    /// What a client asks for, and what it must be answered, when its first operation is the `ordinal`-th of the entry.
    fn ask(&mut self, client: &Client, ordinal: u16) -> (Vec<Operation>, Vec<Outcome>) {
        let index = LogIndex(self.lab.index.0 + 1);
        let id = |nth: usize| VersionId { index, ordinal: ordinal + nth as u16 };
        let bucket = self.bucket;
        match client {
            Client::Pack(objects) => {
                let stripe = StripeId(self.lab.write(GATE));
                let mut between = Vec::new();
                let mut answers = vec![Outcome::Done];
                for (nth, &(key, condition)) in objects.iter().enumerate() {
                    let content = NewContent::Extents(vec![in_stripe(stripe, nth as u16)]);
                    let range = whole(stripe, nth as u16);
                    between.push(put_with(bucket, KEYS[key], u64::from(LENGTH), content, condition.conditions()));
                    answers.push(match self.refused(key, condition) {
                        Some(refusal) => Outcome::Refused(refusal),
                        None => self.put(key, id(nth + 1), Object::of(vec![range])),
                    });
                }
                answers.push(Outcome::Done);
                let mut operations = packed(stripe, between);
                operations[0] = make_on(stripe, &self.active()[..3]);
                (operations, answers)
            }
            Client::Here(key) => {
                let extent = ExtentId { write: self.lab.write(GATE), ordinal: 7 };
                let new = NewExtent { id: extent, length: 4, place: NewPlace::Here(vec![9; 4].into()) };
                let put = put_with(bucket, KEYS[*key], 4, NewContent::Extents(vec![new]), Conditions::default());
                let range = ExtentRange { extent, offset: 0, length: 4 };
                (vec![put], vec![self.put(*key, id(0), Object::of(vec![range]))])
            }
            Client::Empty(key) => {
                let put = put_with(bucket, KEYS[*key], 0, NewContent::Extents(vec![]), Conditions::default());
                (vec![put], vec![self.put(*key, id(0), Object::default())])
            }
            Client::Long(key, pages) => {
                let (manifest, stripe) = (ManifestId(self.lab.write(GATE)), StripeId(self.lab.write(GATE)));
                let (mut between, bytes) = pages_of(manifest, stripe, *pages);
                let content = NewContent::Manifest(manifest);
                between.push(put_with(bucket, KEYS[*key], length(&bytes), content, Conditions::default()));
                let mut operations = packed(stripe, between);
                operations[0] = make_on(stripe, &self.active()[..3]);
                let mut answers = vec![Outcome::Done; operations.len()];
                let at = *pages as usize + 1;
                answers[at] = self.put(*key, id(at), Object::of(bytes));
                (operations, answers)
            }
            Client::Copy { from, nth, to } => {
                let Some(source) = self.keys.get(from).and_then(|versions| versions.get(*nth)).cloned() else {
                    return (vec![], vec![]);
                };
                let shared = NewContent::Shared { bucket, key: key(KEYS[*from]), version: source.id, range: None };
                let size = source.object.as_ref().map_or(0, Object::size);
                let put = put_with(bucket, KEYS[*to], size, shared, Conditions::default());
                let answer = match source.object {
                    Some(object) => self.put(*to, id(0), Object { tags: None, upload: None, ..object }),
                    None => of_a_marker(),
                };
                (vec![put], vec![answer])
            }
            Client::Delete(key) => {
                let answer = match self.versioning {
                    Versioning::Off => {
                        let there = self.keys.contains_key(key).then_some(0);
                        self.remove(*key, there, false)
                    }
                    versioning => {
                        let (id, null) = (id(0), versioning == Versioning::Suspended);
                        self.add(*key, Version { id, null, object: None });
                        Outcome::Deleted { version: Some(id), null, marker: true }
                    }
                };
                (vec![delete(bucket, KEYS[*key])], vec![answer])
            }
            Client::DeleteNull(key) => {
                let which = self.keys.get(key).and_then(|versions| versions.iter().position(|version| version.null));
                let operation = delete_version(bucket, KEYS[*key], VersionChoice::Null);
                (vec![operation], vec![self.remove(*key, which, true)])
            }
            Client::DeleteNth(key, nth) => {
                let Some(version) = self.keys.get(key).and_then(|versions| versions.get(*nth)) else {
                    return (vec![], vec![]);
                };
                let operation = delete_version(bucket, KEYS[*key], VersionChoice::Exactly(version.id));
                (vec![operation], vec![self.remove(*key, Some(*nth), false)])
            }
            Client::DeleteGhost(key) => {
                let ghost = VersionId { index: LogIndex(1), ordinal: 77 };
                let operation = delete_version(bucket, KEYS[*key], VersionChoice::Exactly(ghost));
                (vec![operation], vec![self.remove(*key, None, false)])
            }
            Client::Parts(client) => self.ask_parts(client, ordinal),
            Client::Versioning(enabled) => {
                self.versioning = if *enabled { Versioning::Enabled } else { Versioning::Suspended };
                (vec![Operation::SetVersioning { id: bucket, versioning: self.versioning }], vec![Outcome::Done])
            }
        }
    }

    fn clients(&mut self, clients: &[Client]) {
        let (mut proposals, mut answers, mut ordinal) = (Vec::new(), Vec::new(), 0);
        for client in clients {
            let (operations, expected) = self.ask(client, ordinal);
            ordinal += operations.len() as u16;
            proposals.push(Proposal { request: Some(self.lab.request(GATE)), operations, authors: None });
            answers.push(expected);
        }
        // All of one entry are under way together, so none of them may say that the others are answered.
        let lowest = proposals[0].request.unwrap().number;
        for request in proposals.iter_mut().filter_map(|proposal| proposal.request.as_mut()) {
            request.lowest_unanswered = lowest;
        }
        let outcomes = self.lab.entry(proposals.clone());
        assert_eq!(outcomes, answers);
        self.last = proposals.pop().zip(outcomes.into_iter().next_back());
    }

    fn background(&mut self, background: &Background) {
        match background {
            Background::Pass => self.lab.pass(),
            Background::Collect => {
                let until = due_until(&self.lab.rows).unwrap();
                let garbage: Vec<_> = self.lab.garbage().into_iter().filter(|key| key.index < until).collect();
                assert_eq!(self.lab.one(REPAIR, Operation::Collected { garbage }), Outcome::Done);
            }
            Background::Retire => {
                for (manifest, row) in all::<RetirementRow>(&self.lab.rows) {
                    let retire = Operation::RetirePage { manifest, page: row.next_page };
                    assert_eq!(self.lab.one(REPAIR, retire), Outcome::Done);
                }
                for (upload, _) in all::<UploadRetirementRow>(&self.lab.rows) {
                    assert_eq!(self.lab.one(REPAIR, Operation::RetireUpload { upload }), Outcome::Done);
                }
            }
            Background::Move { stripe, position, drive } => {
                let stripes = all::<StripeRow>(&self.lab.rows);
                let Some((id, row)) = stripes.get(stripe % stripes.len().max(1)) else { return };
                let to = PlacedChunk { drive: DriveId(*drive), write: self.lab.write(REPAIR) };
                let from = row.positions[*position as usize];
                let moved =
                    self.lab.one(REPAIR, Operation::MovePosition { stripe: *id, position: *position, from, to });
                let taken = row
                    .positions
                    .iter()
                    .enumerate()
                    .any(|(at, placed)| at != *position as usize && placed.drive == to.drive);
                assert_eq!(moved == Outcome::Done, !taken && self.active().contains(drive), "{moved:?}");
            }
            Background::Rewrite { extents } => {
                let there = all::<ExtentRow>(&self.lab.rows);
                if there.is_empty() {
                    return;
                }
                let stripe = StripeId(self.lab.write(REPAIR));
                let mut moves = BTreeMap::new();
                for (at, nth) in (0u64..).zip(extents) {
                    let (extent, row) = &there[nth % there.len()];
                    let from = match row.place {
                        ExtentPlace::Here { .. } => None,
                        ExtentPlace::Stripe { stripe, .. } => Some(stripe),
                    };
                    let offset = at * u64::from(LENGTH);
                    moves.insert(*extent, Operation::MoveExtent { extent: *extent, from, stripe, offset });
                }
                let mut operations = packed(stripe, moves.into_values().collect());
                operations[0] = make_on(stripe, &self.active()[..3]);
                let outcomes = self.lab.propose(REPAIR, operations);
                assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Done), "{outcomes:?}");
            }
            Background::State { drive, to } => {
                let from = self.lab.get::<DriveRow>(&DriveId(*drive)).unwrap().state;
                if from != DriveState::Active || self.active().len() > 3 {
                    self.lab.set_state(*drive, from, *to);
                }
            }
            Background::HalfWritten => {
                let (manifest, stripe) = (ManifestId(self.lab.write(GATE)), StripeId(self.lab.write(GATE)));
                let mut operations = packed(stripe, vec![page(manifest, 0, vec![in_stripe(stripe, 0)])]);
                operations[0] = make_on(stripe, &self.active()[..3]);
                self.lab.propose(GATE, operations);
                let abandon = Operation::AbandonManifest { manifest, session: GATE };
                assert_eq!(self.lab.one(GATE, abandon), Outcome::Done);
            }
            Background::Repeat => {
                let Some((proposal, answer)) = self.last.clone() else { return };
                let number = proposal.request.unwrap().number;
                if number + 1 < self.lab.numbers[&GATE] {
                    return;
                }
                // Repeated before anything behind it was answered: the stored answer, and no effect.
                let before = self.lab.rows.clone();
                let session = self.lab.get::<crate::rows::session::SessionRow>(&GATE).unwrap();
                if session.answered_below <= number {
                    assert_eq!(self.lab.entry(vec![proposal]), [answer]);
                    assert_eq!(self.lab.rows, before);
                }
            }
        }
    }

    /// The rows show what the model knows, of every key and every version.
    fn compare(&self) {
        let mut shown: BTreeMap<usize, Vec<Version>> = BTreeMap::new();
        let of = |row: &ObjectRow| Version {
            id: row.version,
            null: row.null,
            object: row.object().map(|(attributes, content)| {
                let (tags, upload) = (attributes.tags.clone(), attributes.upload);
                let object = Object { bytes: self.bytes_of(content), parts: self.parts_of(content), tags, upload };
                assert_eq!(object.size(), attributes.size);
                object
            }),
        };
        let place = |key: &ObjectKey| KEYS.iter().position(|known| *known == key.as_str()).unwrap();
        for ((_, key), row) in all::<ObjectRow>(&self.lab.rows) {
            shown.entry(place(&key)).or_default().push(of(&row));
        }
        for ((_, key, _), row) in all::<OlderVersionRow>(&self.lab.rows) {
            shown.entry(place(&key)).or_default().push(of(&row.0));
        }
        assert_eq!(shown, self.keys);
        self.compare_uploads();
    }

    /// The ranges that a content names, by walking over all of it.
    fn bytes_of(&self, content: &Content) -> Vec<ExtentRange> {
        let id = match content {
            Content::Ranges(ranges) => return ranges.clone(),
            Content::Manifest(id) => *id,
        };
        let head = self.lab.get::<ManifestRow>(&id).unwrap();
        let pages = (0..head.pages).map(|number| match head.parts {
            None => self.lab.get::<ManifestPageRow>(&(id, number)).unwrap().ranges,
            Some(_) => {
                let page = self.lab.get::<ManifestPartsRow>(&(id, number)).unwrap();
                page.parts.iter().flat_map(|part| self.bytes_of(&part.content)).collect()
            }
        });
        pages.collect::<Vec<_>>().concat()
    }

    fn parts_of(&self, content: &Content) -> Vec<(u16, u64)> {
        let Content::Manifest(id) = content else { return vec![] };
        let head = self.lab.get::<ManifestRow>(id).unwrap();
        let Some(of) = head.parts else { return vec![] };
        let pages = (0..head.pages).map(|number| self.lab.get::<ManifestPartsRow>(&(*id, number)).unwrap());
        let parts: Vec<_> = pages.flat_map(|page| page.parts).map(|part| (part.number, part.size)).collect();
        assert_eq!(parts.len(), usize::from(of.count));
        parts
    }

    /// Deletes everything there is: afterwards nothing of it may be left.
    fn empty(mut self) {
        for (at, versions) in self.keys.clone() {
            for version in versions {
                let choice = VersionChoice::Exactly(version.id);
                self.lab.one(GATE, delete_version(self.bucket, KEYS[at], choice));
            }
        }
        self.end_uploads();
        let waiting = |rows: &MapRows| all::<RetirementRow>(rows).len() + all::<UploadRetirementRow>(rows).len();
        while waiting(&self.lab.rows) > 0 {
            self.background(&Background::Retire);
        }
        self.lab.pass();
        self.background(&Background::Collect);
        assert_eq!(self.lab.get::<BucketLedgerRow>(&self.bucket), Some(BucketLedgerRow::default()));
        for drive in 0..DRIVES {
            assert_eq!(self.lab.ledger(drive), DriveLedgerRow::default(), "drive {drive}");
        }
        let counter = self.lab.counter + 1;
        self.lab.renew(GATE, counter);
        self.lab.renew(REPAIR, counter);
        assert_eq!(self.lab.one(GATE, Operation::DeleteBucket { id: self.bucket }), Outcome::Done);
        let left: Vec<u8> = self.lab.rows.0.keys().map(|key| key[0]).filter(|&table| table >= 0x0A).collect();
        let ledgers = left.iter().filter(|&&table| table == Table::DriveLedger as u8).count();
        assert_eq!(left.len(), ledgers, "something is left: tables {left:?}");
    }
}

/// The pages of a manifest of so many times four extents, and the ranges that they name.
fn pages_of(manifest: ManifestId, stripe: StripeId, pages: u32) -> (Vec<Operation>, Vec<ExtentRange>) {
    let of_page = |number: u32| (number as u16 * 4)..(number as u16 * 4 + 4);
    let operation = |number| {
        let extents = of_page(number).map(|ordinal| in_stripe(stripe, ordinal)).collect();
        page(manifest, number, extents)
    };
    let ranges = (0..pages).flat_map(of_page).map(|ordinal| whole(stripe, ordinal));
    ((0..pages).map(operation).collect(), ranges.collect())
}

/// What a copy of a delete marker is answered.
fn of_a_marker() -> Outcome {
    Outcome::Refused(Refusal::Malformed { reason: "a delete marker has no bytes".into() })
}

fn all<R: Row>(rows: &MapRows) -> Vec<(R::Key, R)> {
    let mut all = Vec::new();
    R::scan(rows, &[R::TABLE as u8], |key, row| {
        all.push((key, row));
        ControlFlow::Continue(())
    })
    .unwrap();
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_function_is_an_s3(steps in prop::collection::vec(step(), 1..30)) {
        let mut model = Model::new();
        for step in &steps {
            match step {
                Step::Clients(clients) => model.clients(clients),
                Step::Background(background) => model.background(background),
            }
            model.compare();
        }
        model.empty();
    }
}
