//! What an entry costs: 64 small PUTs that share a stripe, as a busy gateway proposes them, and 64 that each bring their
//! own, as the first release of a client would; and one of the 157 steps in which 10,000 parts become an object. Rows stand
//! in a map, so this is the function's cost and not the storage's.

use std::collections::BTreeMap;
use std::hint::black_box;

use cairn_core::{
    BucketId, BucketName, ClusterId, DriveId, ExtentId, Geometry, LogIndex, NodeId, ObjectKey, SessionId, StripeId,
    StripeShape, VersionId, WallTime, WriteId,
};
use cairn_machine::operation::{ChosenPart, Conditions, NewContent, NewDrive, NewExtent, NewPlace};
use cairn_machine::rows::manifest::ManifestId;
use cairn_machine::rows::object::{Attributes, ContentHeaders, Etag};
use cairn_machine::rows::profile::ProfileId;
use cairn_machine::rows::session::SessionKind;
use cairn_machine::rows::stripe::PlacedChunk;
use cairn_machine::rows::upload::UploadId;
use cairn_machine::{Batch, FUNCTION_VERSION, MapRows, Operation, Outcome, Proposal, RequestId, apply};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const PUTS: u64 = 64;
const OBJECTS: u64 = 20_000;
const SESSION: SessionId = SessionId(0xA11CE);

struct Log {
    rows: MapRows,
    index: u64,
    number: u64,
}

impl Log {
    fn batch(&mut self, request: bool, operations: Vec<Operation>) -> Batch {
        self.number += u64::from(request);
        let number = self.number;
        let request = request.then_some(RequestId { session: SESSION, number, lowest_unanswered: number });
        Batch {
            function: FUNCTION_VERSION,
            time: WallTime(1),
            sure: None,
            proposals: vec![Proposal { request, operations, authors: None }],
        }
    }

    fn apply(&mut self, batch: &Batch) -> Vec<Outcome> {
        self.index += 1;
        let applied = apply(&self.rows, LogIndex(self.index), batch).expect("rows in a map are there");
        self.rows.apply(applied.effects);
        applied.outcomes.into_iter().flatten().collect()
    }
}

fn formed() -> (Log, BucketId) {
    let mut log = Log { rows: MapRows(BTreeMap::new()), index: 0, number: 0 };
    let node = NodeId(1);
    let form = Operation::Form {
        cluster: ClusterId(1),
        node,
        zone: String::new(),
        drives: (0..6).map(|id| NewDrive { id: DriveId(id), weight: 1, label: String::new() }).collect(),
        standard: Geometry::standard_for(6),
        access_key: "root".into(),
        sealed_secret: vec![1].into(),
        voter: 1,
    };
    let register = Operation::RegisterSession { id: SESSION, kind: SessionKind::Gateway, node };
    let batch = log.batch(false, vec![form, register]);
    log.apply(&batch);
    let name = BucketName::new("bench").expect("a bucket's name");
    let batch = log.batch(true, vec![Operation::CreateBucket { name, owner: "root".into(), lock: None, acl: None }]);
    let [Outcome::BucketCreated(bucket)] = log.apply(&batch)[..] else { panic!("no bucket") };
    for first in (0..OBJECTS).step_by(PUTS as usize) {
        let operations = shared(bucket, first, first + 1);
        let batch = log.batch(true, operations);
        assert!(!log.apply(&batch).iter().any(|outcome| matches!(outcome, Outcome::Refused(_))));
    }
    (log, bucket)
}

fn make(stripe: StripeId) -> Operation {
    let shape = StripeShape { geometry: Geometry::standard_for(6), chunk_bytes: 1 << 16, block_bytes: 4096 };
    let positions = (0..6).map(|drive| PlacedChunk { drive: DriveId(drive), write: stripe.0 }).collect();
    Operation::MakeStripe { id: stripe, shape, positions }
}

fn put(bucket: BucketId, key: u64, stripe: StripeId, ordinal: u16) -> Operation {
    let place = NewPlace::Stripe { stripe, offset: u64::from(ordinal) * 4096 };
    let extent = NewExtent { id: ExtentId { write: stripe.0, ordinal }, length: 4096, place };
    let attributes = Attributes {
        size: 4096,
        etag: Etag { md5: [7; 16], parts: None },
        profile: ProfileId::STANDARD,
        headers: ContentHeaders { content_type: Some("application/octet-stream".into()), ..Default::default() },
        metadata: vec![],
        checksum: None,
        tags: None,
        upload: None,
        lock: None,
        acl: None,
    };
    // Spread, so that keys do not arrive in their own order.
    let key = format!("photos/{:016x}.jpg", key.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    Operation::PutObject {
        bucket,
        key: ObjectKey::new(key).expect("a short key"),
        attributes,
        content: NewContent::Extents(vec![extent]),
        conditions: Conditions::default(),
        session: SESSION,
    }
}

fn stripe(counter: u64) -> StripeId {
    StripeId(WriteId { session: SESSION, counter })
}

fn shared(bucket: BucketId, first: u64, counter: u64) -> Vec<Operation> {
    let stripe = stripe(counter);
    let mut operations = vec![make(stripe)];
    operations.extend((0..PUTS).map(|at| put(bucket, first + at, stripe, at as u16)));
    operations.push(Operation::SettleStripe { id: stripe });
    operations
}

fn alone(bucket: BucketId, first: u64, counter: u64) -> Vec<Vec<Operation>> {
    let one = |at| {
        let stripe = stripe(counter + at);
        vec![make(stripe), put(bucket, first + at, stripe, 0), Operation::SettleStripe { id: stripe }]
    };
    (0..PUTS).map(one).collect()
}

/// An upload of 64 parts of eight extents, and the operation that puts them on a page.
fn page_of_parts(log: &mut Log, bucket: BucketId) -> Operation {
    let key = ObjectKey::new("long").expect("a short key");
    let begin = Operation::CreateUpload {
        bucket,
        key: key.clone(),
        initiator: "root".into(),
        profile: ProfileId::STANDARD,
        headers: ContentHeaders::default(),
        metadata: vec![],
        tags: None,
        checksum: None,
        lock: None,
        acl: None,
    };
    let batch = log.batch(true, vec![begin]);
    let [Outcome::UploadCreated(upload)] = log.apply(&batch)[..] else { panic!("no upload") };
    let number = |at: u64| u16::try_from(at + 1).expect("64 parts");
    let parts = (0..PUTS).map(|at| ChosenPart { number: number(at), version: part(log, bucket, &key, upload, at) });
    let (parts, manifest) = (parts.collect(), ManifestId(stripe(1 << 29).0));
    Operation::AddPartsPage { manifest, page: 0, bucket, key, upload, parts }
}

fn part(log: &mut Log, bucket: BucketId, key: &ObjectKey, upload: UploadId, at: u64) -> VersionId {
    let stripe = stripe((1 << 28) + at);
    let extent = |ordinal: u16| NewExtent {
        id: ExtentId { write: stripe.0, ordinal },
        length: 4096,
        place: NewPlace::Stripe { stripe, offset: u64::from(ordinal) * 4096 },
    };
    let put = Operation::PutPart {
        bucket,
        key: key.clone(),
        upload,
        number: u16::try_from(at + 1).expect("64 parts"),
        size: 8 * 4096,
        md5: [7; 16],
        checksum: None,
        content: NewContent::Extents((0..8).map(extent).collect()),
        session: SESSION,
    };
    let batch = log.batch(true, vec![make(stripe), put, Operation::SettleStripe { id: stripe }]);
    let [_, Outcome::PartPut { .. }, _] = log.apply(&batch)[..] else { panic!("no part") };
    VersionId { index: LogIndex(log.index), ordinal: 1 }
}

fn measure(c: &mut Criterion) {
    let (mut log, bucket) = formed();
    let parts = page_of_parts(&mut log, bucket);
    let mut group = c.benchmark_group("apply");
    group.throughput(Throughput::Elements(PUTS));
    let index = LogIndex(log.index + 1);
    let mut case = |name: &str, batch: Batch| {
        let applied = apply(&log.rows, index, &batch).expect("rows in a map are there");
        let refused = applied.outcomes.iter().flatten().find(|outcome| matches!(outcome, Outcome::Refused(_)));
        assert_eq!(refused, None, "a bench of refusals says nothing");
        group.bench_function(name, |b| b.iter(|| apply(black_box(&log.rows), index, black_box(&batch))));
        let bytes = batch.encode();
        group.bench_function(format!("{name}, decoding"), |b| b.iter(|| Batch::decode(black_box(&bytes))));
    };
    let number = |number| Some(RequestId { session: SESSION, number, lowest_unanswered: 400 });
    let entry = |proposals: Vec<Vec<Operation>>| Batch {
        function: FUNCTION_VERSION,
        time: WallTime(1),
        sure: None,
        proposals: (400..)
            .zip(proposals)
            .map(|(n, operations)| Proposal { request: number(n), operations, authors: None })
            .collect(),
    };
    case("64 new keys, one stripe", entry(vec![shared(bucket, OBJECTS, 1 << 30)]));
    case("64 keys overwritten, one stripe", entry(vec![shared(bucket, 640, 1 << 30)]));
    case("64 new keys, a stripe and a proposal each", entry(alone(bucket, OBJECTS, 1 << 30)));
    case("64 parts of eight extents on a page", entry(vec![vec![parts]]));
    group.finish();
    log.index += 1;
}

criterion_group!(benches, measure);
criterion_main!(benches);
