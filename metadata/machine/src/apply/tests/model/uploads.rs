//! The model's uploads: lists of parts, each a list of bytes. Also ranges that are copied, tags and configurations.
//!
//! A completion takes two steps here as it does in a gateway, and anything may happen between them: the upload is aborted
//! or completed by another, a part is put again, a page names a part that is not there any more.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::operation::{ByteRange, ChosenPart};
use crate::rows::config::{BucketConfig, BucketConfigRow, ConfigKind};
use crate::rows::upload::{PartRow, ReplacingPart, UploadLedgerRow, UploadRow};

/// The numbers that parts have here.
const NUMBERS: [u16; 5] = [1, 2, 3, 70, 10_000];

#[derive(Debug, Clone)]
pub(super) enum Client {
    Create(usize),
    Part {
        upload: usize,
        number: usize,
        bytes: Bytes,
    },
    Abort(usize),
    /// Fills a manifest with some of the parts, so many a page.
    Choose {
        upload: usize,
        numbers: u8,
        a_page: usize,
        stale: bool,
    },
    /// Completes what was chosen earlier.
    Complete {
        chosen: usize,
        condition: Condition,
    },
    GiveUp(usize),
    /// Copies bytes from a number on, at most so many.
    CopyRange {
        from: usize,
        nth: usize,
        at: u64,
        length: u64,
        to: usize,
    },
    /// The same through a manifest, in pages of so many bytes.
    CopyLong {
        from: usize,
        nth: usize,
        at: u64,
        length: u64,
        step: u64,
        to: usize,
    },
    Tag {
        key: usize,
        choice: Choice,
        tags: Tags,
    },
    Configure(Option<u8>),
}

/// What a part consists of.
#[derive(Debug, Clone)]
pub(super) enum Bytes {
    Here,
    Empty,
    Extents(u16),
    Pages(u32),
    Range { from: usize, nth: usize, at: u64, length: u64 },
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Choice {
    Newest,
    Null,
    Nth(usize),
}

#[derive(Debug, Default)]
pub(super) struct Uploads {
    open: BTreeMap<UploadId, Upload>,
    chosen: Vec<Chosen>,
    config: Option<BucketConfig>,
}

#[derive(Debug, Clone, Default)]
struct Upload {
    key: usize,
    parts: BTreeMap<u16, Part>,
    replaced: Option<ReplacingPart>,
}

#[derive(Debug, Clone, PartialEq)]
struct Part {
    version: VersionId,
    bytes: Vec<ExtentRange>,
}

/// A manifest that names parts and that no version refers to yet.
#[derive(Debug, Clone)]
struct Chosen {
    upload: UploadId,
    key: usize,
    manifest: ManifestId,
    parts: Vec<(u16, Part)>,
    since: VersionId,
}

pub(super) fn client() -> impl Strategy<Value = Client> {
    let (key, nth, at, length) = (0..KEYS.len(), 0usize..3, 0u64..1200, 1u64..1500);
    // Mostly the first one of what there is, so that several things happen to one upload.
    let upload = || prop_oneof![5 => Just(0usize), 1 => 1usize..4];
    let number = prop_oneof![2 => 0usize..2, 1 => 0..NUMBERS.len()];
    let bytes = prop_oneof![
        1 => Just(Bytes::Here),
        1 => Just(Bytes::Empty),
        3 => (1u16..4).prop_map(Bytes::Extents),
        2 => (1u32..4).prop_map(Bytes::Pages),
        2 => (key.clone(), nth.clone(), at.clone(), length.clone())
            .prop_map(|(from, nth, at, length)| Bytes::Range { from, nth, at, length }),
    ];
    let tags = prop::option::of(prop::collection::vec(("[ab]", "[cd]"), 0..3));
    let choice = prop_oneof![Just(Choice::Newest), Just(Choice::Null), (0usize..3).prop_map(Choice::Nth)];
    prop_oneof![
        3 => key.clone().prop_map(Client::Create),
        8 => (upload(), number, bytes)
            .prop_map(|(upload, number, bytes)| Client::Part { upload, number, bytes }),
        1 => upload().prop_map(Client::Abort),
        5 => (upload(), 1u8..32, 1usize..4, prop::bool::weighted(0.1))
            .prop_map(|(upload, numbers, a_page, stale)| Client::Choose { upload, numbers, a_page, stale }),
        5 => (upload(), condition()).prop_map(|(chosen, condition)| Client::Complete { chosen, condition }),
        1 => upload().prop_map(Client::GiveUp),
        2 => (key.clone(), nth.clone(), at.clone(), length.clone(), key.clone())
            .prop_map(|(from, nth, at, length, to)| Client::CopyRange { from, nth, at, length, to }),
        2 => (key.clone(), nth, at, length, 50u64..700, key.clone())
            .prop_map(|(from, nth, at, length, step, to)| Client::CopyLong { from, nth, at, length, step, to }),
        2 => (key, choice, tags).prop_map(|(key, choice, tags)| Client::Tag { key, choice, tags }),
        1 => prop::option::of(0u8..3).prop_map(Client::Configure),
    ]
}

/// These bytes of something: looked for one by one.
fn slice(ranges: &[ExtentRange], from: u64, length: u64) -> Vec<ExtentRange> {
    let mut found: Vec<ExtentRange> = Vec::new();
    let mut at = 0;
    for range in ranges {
        let mut piece: Option<ExtentRange> = None;
        for offset in range.offset..range.offset + range.length {
            if at >= from && at < from + length {
                piece.get_or_insert(ExtentRange { extent: range.extent, offset, length: 0 }).length += 1;
            }
            at += 1;
        }
        found.extend(piece);
    }
    found
}

impl Model {
    /// A version that is there, and a range inside it; none where it has no bytes.
    fn source(
        &self,
        from: usize,
        nth: usize,
        at: u64,
        length: u64,
    ) -> Option<(VersionId, ByteRange, Vec<ExtentRange>)> {
        let version = self.keys.get(&from)?.get(nth)?;
        let object = version.object.as_ref()?;
        let from = at % object.size().max(1);
        let length = length.min(object.size() - from);
        let range = ByteRange { from, length };
        (length > 0).then(|| (version.id, range, slice(&object.bytes, from, length)))
    }

    /// What a client asks for, and what it must be answered.
    pub(super) fn ask_parts(&mut self, client: &Client, ordinal: u16) -> (Vec<Operation>, Vec<Outcome>) {
        let index = LogIndex(self.lab.index.0 + 1);
        let id = |nth: usize| VersionId { index, ordinal: ordinal + nth as u16 };
        let bucket = self.bucket;
        match client {
            Client::Create(at) => {
                let upload = UploadId(id(0));
                self.uploads.open.insert(upload, Upload { key: *at, ..Default::default() });
                (vec![create(bucket, KEYS[*at])], vec![Outcome::UploadCreated(upload)])
            }
            Client::Part { upload, number, bytes } => self.ask_part(*upload, NUMBERS[*number], bytes, ordinal),
            Client::Abort(nth) => {
                let Some((upload, of)) = self.nth_upload(*nth) else { return (vec![], vec![]) };
                self.uploads.open.remove(&upload);
                let abort = Operation::AbortUpload { bucket, key: key(KEYS[of.key]), upload };
                // The second one finds nothing.
                (vec![abort.clone(), abort], vec![Outcome::Done, Outcome::Refused(Refusal::NoSuchUpload)])
            }
            Client::Choose { upload, numbers, a_page, stale } => {
                let Some((upload, of)) = self.nth_upload(*upload) else { return (vec![], vec![]) };
                let manifest = ManifestId(self.lab.write(GATE));
                let wanted = |number: &u16| numbers & 1 << NUMBERS.iter().position(|at| at == number).unwrap() != 0;
                let parts: Vec<(u16, Part)> = of.parts.into_iter().filter(|(number, _)| wanted(number)).collect();
                let mut operations: Vec<Operation> = (0..)
                    .zip(parts.chunks(*a_page))
                    .map(|(page, parts)| {
                        let choose =
                            |(number, part): &(u16, Part)| ChosenPart { number: *number, version: part.version };
                        let parts = parts.iter().map(choose).collect();
                        Operation::AddPartsPage { manifest, page, bucket, key: key(KEYS[of.key]), upload, parts }
                    })
                    .collect();
                let mut answers = vec![Outcome::Done; operations.len()];
                match operations.first_mut() {
                    Some(Operation::AddPartsPage { parts, .. }) if *stale => {
                        parts[0].version.ordinal ^= 0x4000;
                        answers.fill(Outcome::Refused(Refusal::Depends));
                        answers[0] = Outcome::Refused(Refusal::PartChanged { number: parts[0].number });
                    }
                    Some(_) => self.uploads.chosen.push(Chosen { upload, key: of.key, manifest, parts, since: id(0) }),
                    None => {}
                }
                (operations, answers)
            }
            Client::Complete { chosen, condition } => {
                let Some(chosen) = self.uploads.chosen.get(*chosen).cloned() else { return (vec![], vec![]) };
                let complete =
                    complete(bucket, KEYS[chosen.key], chosen.upload, chosen.manifest, condition.conditions());
                (vec![complete], vec![self.completed(&chosen, *condition, id(0))])
            }
            Client::GiveUp(nth) => {
                if *nth >= self.uploads.chosen.len() {
                    return (vec![], vec![]);
                }
                let manifest = self.uploads.chosen.remove(*nth).manifest;
                (vec![Operation::AbandonManifest { manifest, session: GATE }], vec![Outcome::Done])
            }
            Client::CopyRange { from, nth, at, length: most, to } => {
                let Some((version, range, bytes)) = self.source(*from, *nth, *at, *most) else {
                    return (vec![], vec![]);
                };
                let shared = NewContent::Shared { bucket, key: key(KEYS[*from]), version, range: Some(range) };
                let put = put_with(bucket, KEYS[*to], range.length, shared, Conditions::default());
                let answer = match bytes.len() {
                    0..=8 => self.put(*to, id(0), Object::of(bytes)),
                    _ => Outcome::Refused(Refusal::TooLarge),
                };
                (vec![put], vec![answer])
            }
            Client::CopyLong { from, nth, at, length: most, step, to } => {
                let Some((version, whole, bytes)) = self.source(*from, *nth, *at, *most) else {
                    return (vec![], vec![]);
                };
                let manifest = ManifestId(self.lab.write(GATE));
                let begins = (0..whole.length).step_by(*step as usize);
                let mut operations: Vec<Operation> = (0..)
                    .zip(begins)
                    .map(|(page, begin)| {
                        let range = ByteRange { from: whole.from + begin, length: (*step).min(whole.length - begin) };
                        Operation::AddSharedPage { manifest, page, bucket, key: key(KEYS[*from]), version, range }
                    })
                    .collect();
                let content = NewContent::Manifest(manifest);
                operations.push(put_with(bucket, KEYS[*to], whole.length, content, Conditions::default()));
                let mut answers = vec![Outcome::Done; operations.len() - 1];
                // Each page cuts the ranges that lie across its ends.
                let pieces = (0..whole.length).step_by(*step as usize).flat_map(|begin| slice(&bytes, begin, *step));
                answers.push(self.put(*to, id(operations.len() - 1), Object::of(pieces.collect())));
                (operations, answers)
            }
            Client::Tag { key: at, choice, tags } => self.tag(*at, *choice, tags),
            Client::Configure(Some(tag)) => {
                let config = BucketConfig::Tags(vec![("t".into(), tag.to_string())]);
                self.uploads.config = Some(config.clone());
                (vec![Operation::PutBucketConfig { id: bucket, config }], vec![Outcome::Done])
            }
            Client::Configure(None) => {
                self.uploads.config = None;
                (vec![Operation::RemoveBucketConfig { id: bucket, kind: ConfigKind::Tags }], vec![Outcome::Done])
            }
        }
    }

    fn nth_upload(&self, nth: usize) -> Option<(UploadId, Upload)> {
        let (id, upload) = self.uploads.open.iter().nth(nth)?;
        Some((*id, upload.clone()))
    }

    fn ask_part(&mut self, upload: usize, number: u16, bytes: &Bytes, ordinal: u16) -> (Vec<Operation>, Vec<Outcome>) {
        let Some((upload, of)) = self.nth_upload(upload) else { return (vec![], vec![]) };
        let (bucket, name) = (self.bucket, KEYS[of.key]);
        let stripe = StripeId(self.lab.write(GATE));
        // What comes before the part in its proposal, what it consists of, and its bytes.
        let (mut before, content, bytes) = match bytes {
            Bytes::Empty => (vec![], NewContent::Extents(vec![]), vec![]),
            Bytes::Here => {
                let extent = ExtentId { write: stripe.0, ordinal: 3 };
                let here = NewExtent { id: extent, length: 4, place: NewPlace::Here(vec![9; 4].into()) };
                (vec![], NewContent::Extents(vec![here]), vec![ExtentRange { extent, offset: 0, length: 4 }])
            }
            Bytes::Extents(count) => {
                let extents = (0..*count).map(|ordinal| in_stripe(stripe, ordinal)).collect();
                let bytes = (0..*count).map(|ordinal| whole(stripe, ordinal)).collect();
                (vec![make_on(stripe, &self.active()[..3])], NewContent::Extents(extents), bytes)
            }
            Bytes::Pages(pages) => {
                let manifest = ManifestId(self.lab.write(GATE));
                let (pages, bytes) = pages_of(manifest, stripe, *pages);
                let make = make_on(stripe, &self.active()[..3]);
                ([vec![make], pages].concat(), NewContent::Manifest(manifest), bytes)
            }
            Bytes::Range { from, nth, at, length } => {
                let Some((version, range, bytes)) = self.source(*from, *nth, *at, *length) else {
                    return (vec![], vec![]);
                };
                let key = key(KEYS[*from]);
                (vec![], NewContent::Shared { bucket, key, version, range: Some(range) }, bytes)
            }
        };
        let mut answers = vec![Outcome::Done; before.len()];
        let version = VersionId { index: LogIndex(self.lab.index.0 + 1), ordinal: ordinal + before.len() as u16 };
        let is_range = matches!(content, NewContent::Shared { .. });
        if is_range && bytes.len() > 8 {
            answers.push(Outcome::Refused(Refusal::TooLarge));
        } else {
            let modified = WallTime(1_700_000_000_000 + version.index.0 * 1000);
            answers.push(Outcome::PartPut { modified });
            let upload = self.uploads.open.get_mut(&upload).unwrap();
            if upload.parts.insert(number, Part { version, bytes: bytes.clone() }).is_some() {
                upload.replaced = Some(ReplacingPart { number, version });
            }
        }
        let makes = !before.is_empty();
        before.push(put_part(bucket, name, upload, number, length(&bytes), content));
        if makes {
            before.push(Operation::SettleStripe { id: stripe });
            answers.push(Outcome::Done);
        }
        (before, answers)
    }

    /// What a completion is answered, and what becomes of it.
    fn completed(&mut self, chosen: &Chosen, condition: Condition, id: VersionId) -> Outcome {
        let Some(upload) = self.uploads.open.get(&chosen.upload) else {
            return Outcome::Refused(Refusal::NoSuchUpload);
        };
        if let Some(ReplacingPart { number, version }) = upload.replaced
            && version > chosen.since
        {
            return Outcome::Refused(Refusal::PartChanged { number });
        }
        if let Some(refusal) = self.refused(chosen.key, condition) {
            return Outcome::Refused(refusal);
        }
        for (number, part) in &chosen.parts {
            assert_eq!(upload.parts.get(number), Some(part), "what is completed is what is there");
        }
        self.uploads.open.remove(&chosen.upload);
        self.uploads.chosen.retain(|other| other.manifest != chosen.manifest);
        let object = Object {
            bytes: chosen.parts.iter().flat_map(|(_, part)| part.bytes.clone()).collect(),
            parts: chosen.parts.iter().map(|(number, part)| (*number, length(&part.bytes))).collect(),
            tags: tags_of_uploads(),
            upload: Some(chosen.upload),
        };
        self.put(chosen.key, id, object)
    }

    fn tag(&mut self, at: usize, choice: Choice, tags: &Tags) -> (Vec<Operation>, Vec<Outcome>) {
        let versions = self.keys.get_mut(&at);
        let (version, absent, which) = match choice {
            Choice::Newest => (VersionChoice::Newest, Refusal::NoSuchKey, Some(0)),
            Choice::Null => {
                let null = versions.as_ref().and_then(|versions| versions.iter().position(|version| version.null));
                (VersionChoice::Null, Refusal::NoSuchVersion, null)
            }
            Choice::Nth(nth) => {
                let ghost = VersionId { index: LogIndex(1), ordinal: 77 };
                let id = versions.as_ref().and_then(|versions| versions.get(nth)).map_or(ghost, |version| version.id);
                (VersionChoice::Exactly(id), Refusal::NoSuchVersion, Some(nth))
            }
        };
        let set = Operation::SetObjectTags { bucket: self.bucket, key: key(KEYS[at]), version, tags: tags.clone() };
        let found = versions.zip(which).and_then(|(versions, which)| versions.get_mut(which));
        let answer = match found {
            None => Outcome::Refused(absent),
            Some(Version { id, null, object: Some(object) }) => {
                object.tags.clone_from(tags);
                Outcome::Amended { version: *id, null: *null }
            }
            Some(_) if matches!(choice, Choice::Newest) => Outcome::Refused(Refusal::NoSuchKey),
            Some(_) => Outcome::Refused(Refusal::Marker),
        };
        (vec![set], vec![answer])
    }

    /// The rows show the uploads that the model knows, with all their parts.
    pub(super) fn compare_uploads(&self) {
        let rows = &self.lab.rows;
        let open: BTreeMap<UploadId, ObjectKey> =
            all::<UploadRow>(rows).into_iter().map(|((_, key, upload), _)| (upload, key)).collect();
        let known = self.uploads.open.iter().map(|(id, upload)| (*id, key(KEYS[upload.key])));
        assert_eq!(open, known.collect());
        let mut shown: BTreeMap<UploadId, BTreeMap<u16, Part>> = open.keys().map(|id| (*id, BTreeMap::new())).collect();
        for ((upload, number), row) in all::<PartRow>(rows) {
            if let Some(parts) = shown.get_mut(&upload) {
                parts.insert(number, Part { version: row.version, bytes: self.bytes_of(&row.content) });
            }
        }
        assert_eq!(shown, self.uploads.open.iter().map(|(id, upload)| (*id, upload.parts.clone())).collect());
        for (id, upload) in &self.uploads.open {
            assert_eq!(self.lab.get::<UploadLedgerRow>(id).unwrap().replaced, upload.replaced);
        }
        let config = self.lab.get::<BucketConfigRow>(&(self.bucket, ConfigKind::Tags)).map(|row| row.config);
        assert_eq!(config, self.uploads.config);
    }

    /// Ends everything that is under way. A bucket with uploads stays.
    pub(super) fn end_uploads(&mut self) {
        for chosen in core::mem::take(&mut self.uploads.chosen) {
            let abandon = Operation::AbandonManifest { manifest: chosen.manifest, session: GATE };
            assert_eq!(self.lab.one(GATE, abandon), Outcome::Done);
        }
        for (upload, of) in core::mem::take(&mut self.uploads.open) {
            let remove = Operation::DeleteBucket { id: self.bucket };
            assert_eq!(self.lab.one(GATE, remove), Outcome::Refused(Refusal::BucketNotEmpty));
            let abort = Operation::AbortUpload { bucket: self.bucket, key: key(KEYS[of.key]), upload };
            assert_eq!(self.lab.one(GATE, abort), Outcome::Done);
        }
    }
}
