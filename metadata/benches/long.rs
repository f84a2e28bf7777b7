//! One very long object among many clients: what it costs the others while it is completed, and while it is taken apart. On
//! real files, one voter.
//!
//! ```text
//! cargo bench -p cairn-metadata --bench long              100,000 extents, each in a stripe of its own
//! CAIRN_BENCH_PARTS=100 cargo bench ...                   12,800 of them
//! ```

mod node;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cairn_core::{BucketId, DriveId, ExtentId, Geometry, ObjectKey, StripeId, StripeShape};
use cairn_machine::operation::{ChosenPart, Conditions, NewContent, NewExtent, NewPlace, VersionChoice};
use cairn_machine::rows::manifest::{ManifestId, ManifestRow, RetirementRow};
use cairn_machine::rows::object::{ContentHeaders, Etag};
use cairn_machine::rows::profile::ProfileId;
use cairn_machine::rows::session::SessionKind;
use cairn_machine::rows::stripe::PlacedChunk;
use cairn_machine::rows::upload::{UploadId, UploadRetirementRow};
use cairn_machine::{Operation, Outcome, Row, RowSource, Table};
use cairn_metadata::{Client, View};

/// Extents of one part: a page of its manifest.
const EXTENTS: u32 = 128;

/// How long an extent is.
const EXTENT_BYTES: u32 = 16 << 20;

/// Parts on one page of the manifest of parts.
const PAGE_PARTS: usize = 64;

const CLIENTS: u64 = 64;

fn main() {
    let parts = std::env::var("CAIRN_BENCH_PARTS").ok().and_then(|n| n.parse().ok()).unwrap_or(782);
    let parent = std::env::var_os("CAIRN_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let dir = tempfile::Builder::new().prefix("cairn-long").tempdir_in(parent).expect("a directory to work in");
    println!("{} extents in {parts} parts, in {}", u32::from(parts) * EXTENTS, dir.path().display());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    runtime.block_on(async {
        let (node, _) = node::start(dir.path(), node::OVERLAY_BYTES, node::COPIES).await;
        let client = node.client(SessionKind::Gateway).await.expect("a session");
        measure(&client, node::bucket(&client, "bench").await, parts).await;
        client.close().await;
        node.close().await.expect("it closes");
    });
}

async fn measure(client: &Client, bucket: BucketId, parts: u16) {
    let long = Long { client, bucket, key: ObjectKey::new("long").expect("a key") };
    let began = Instant::now();
    let (upload, chosen) = long.upload(parts).await;
    println!("written in {:.1?}", began.elapsed());
    beside(client, bucket, "at rest", tokio::time::sleep(Duration::from_secs(5))).await;
    beside(client, bucket, "while it is completed, and its parts are given up", async {
        let began = Instant::now();
        long.complete(upload, &chosen).await;
        let completed = began.elapsed();
        let steps = retire(client).await;
        println!("completed in {completed:.1?}, given up in {steps} steps more, {:.1?} in all", began.elapsed());
    })
    .await;
    beside(client, bucket, "while it is deleted, and taken apart", async {
        let began = Instant::now();
        long.delete().await;
        let steps = retire(client).await;
        println!("deleted and taken apart in {steps} steps, {:.1?}", began.elapsed());
    })
    .await;
    beside(client, bucket, "at rest again", tokio::time::sleep(Duration::from_secs(5))).await;
}

/// What small commits take while something else is done.
async fn beside(client: &Client, bucket: BucketId, what: &str, work: impl Future<Output = ()>) {
    let stop = Arc::new(AtomicBool::new(false));
    let began = Instant::now();
    let tasks: Vec<_> = (0..CLIENTS)
        .map(|n| {
            let (client, stop) = (client.clone(), stop.clone());
            tokio::spawn(async move {
                let mut times = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    let id = ExtentId { write: client.begin_write().id(), ordinal: 0 };
                    let extent = NewExtent { id, length: 64, place: NewPlace::Here(vec![7; 64].into()) };
                    let key = format!("small/{n}/{}", times.len());
                    one(&client, node::put(bucket, &key, extent, client.session())).await;
                    times.push(began.elapsed());
                }
                times
            })
        })
        .collect();
    work.await;
    stop.store(true, Ordering::Relaxed);
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.expect("a client"));
    }
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    let rate = times.len() as f64 / began.elapsed().as_secs_f64();
    println!("{what}: {rate:.0} commits/s, p50 {:.1?}, p99 {:.1?}, max {:.1?}", at(0.5), at(0.99), at(1.0));
}

async fn one(client: &Client, operation: Operation) -> Outcome {
    let outcome = client.propose(vec![operation]).await.expect("an answer").remove(0);
    assert!(!matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
    outcome
}

struct Long<'a> {
    client: &'a Client,
    bucket: BucketId,
    key: ObjectKey,
}

impl Long<'_> {
    async fn upload(&self, parts: u16) -> (UploadId, Vec<ChosenPart>) {
        let create = Operation::CreateUpload {
            bucket: self.bucket,
            key: self.key.clone(),
            initiator: "root".into(),
            profile: ProfileId::STANDARD,
            headers: ContentHeaders::default(),
            metadata: Vec::new(),
            tags: None,
            checksum: None,
            lock: None,
            acl: None,
        };
        let Outcome::UploadCreated(upload) = one(self.client, create).await else { panic!("no upload") };
        for number in 1..=parts {
            self.part(upload, number).await;
        }
        let view = self.client.read().await.expect("a view");
        let chosen = (1..=parts).map(|number| {
            let row = cairn_machine::rows::upload::PartRow::get(&view, &(upload, number)).expect("rows are read");
            ChosenPart { number, version: row.expect("it was put").version }
        });
        (upload, chosen.collect())
    }

    /// A part whose extents have a stripe each.
    async fn part(&self, upload: UploadId, number: u16) {
        let session = self.client.session();
        let manifest = ManifestId(self.client.begin_write().id());
        let geometry = Geometry::standard_for(6);
        let shape = StripeShape::holding(u64::from(EXTENT_BYTES), geometry, 65_536).expect("it is short");
        let tickets: Vec<_> = (0..EXTENTS).map(|_| self.client.begin_write()).collect();
        let stripes: Vec<_> = tickets.iter().map(|ticket| StripeId(ticket.id())).collect();
        let mut operations: Vec<Operation> = Vec::new();
        for (&id, ticket) in stripes.iter().zip(&tickets) {
            let positions = (0..6).map(|n| PlacedChunk { drive: DriveId(n), write: ticket.another() }).collect();
            operations.push(Operation::MakeStripe { id, shape, positions });
        }
        let extent = |&stripe: &StripeId| NewExtent {
            id: ExtentId { write: stripe.0, ordinal: 0 },
            length: EXTENT_BYTES,
            place: NewPlace::Stripe { stripe, offset: 0 },
        };
        let (extents, profile) = (stripes.iter().map(extent).collect(), ProfileId::STANDARD);
        operations.push(Operation::AddManifestPage { manifest, page: 0, extents, profile });
        operations.extend(stripes.iter().map(|&id| Operation::SettleStripe { id }));
        operations.push(Operation::PutPart {
            bucket: self.bucket,
            key: self.key.clone(),
            upload,
            number,
            size: u64::from(EXTENTS) * u64::from(EXTENT_BYTES),
            md5: [7; 16],
            checksum: None,
            content: NewContent::Manifest(manifest),
            session,
        });
        let outcomes = self.client.propose(operations).await.expect("an answer");
        assert!(!outcomes.iter().any(|outcome| matches!(outcome, Outcome::Refused(_))), "{outcomes:?}");
    }

    async fn complete(&self, upload: UploadId, chosen: &[ChosenPart]) {
        let ticket = self.client.begin_write();
        let (bucket, key, manifest) = (self.bucket, self.key.clone(), ManifestId(ticket.id()));
        for (page, parts) in (0..).zip(chosen.chunks(PAGE_PARTS)) {
            let (key, parts) = (key.clone(), parts.to_vec());
            one(self.client, Operation::AddPartsPage { manifest, page, bucket, key, upload, parts }).await;
        }
        let (conditions, session) = (Conditions::default(), self.client.session());
        let etag = Etag { md5: [8; 16], parts: Some(u16::try_from(chosen.len()).expect("there are fewer")) };
        let checksum = None;
        let complete = Operation::CompleteUpload { bucket, key, upload, manifest, etag, checksum, conditions, session };
        one(self.client, complete).await;
    }

    async fn delete(&self) {
        let (bucket, key, conditions) = (self.bucket, self.key.clone(), Conditions::default());
        let version = VersionChoice::Newest;
        one(self.client, Operation::DeleteObject { bucket, key, version, conditions, bypass: None }).await;
    }
}

/// Takes apart what is retiring, as the repair daemon does: uploads before manifests, one page at a time.
async fn retire(client: &Client) -> u64 {
    let mut taken = 0;
    loop {
        let steps = steps(&client.read().await.expect("a view"));
        if steps.is_empty() {
            return taken;
        }
        for some in steps.chunks(1) {
            let outcomes = client.propose(some.to_vec()).await.expect("an answer");
            taken += outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Done)).count() as u64;
        }
    }
}

fn steps(view: &View) -> Vec<Operation> {
    let mut steps = Vec::new();
    let table = |table: Table| ([table as u8], [table as u8 + 1]);
    let (from, to) = table(Table::UploadRetirement);
    let scanned = view.scan(&from, Some(&to), &mut |key, _| {
        let upload = UploadRetirementRow::parse_key(key).expect("a key");
        steps.push(Operation::RetireUpload { upload });
        ControlFlow::Continue(())
    });
    scanned.expect("rows are read");
    let (from, to) = table(Table::Retirement);
    let scanned = view.scan(&from, Some(&to), &mut |key, value| {
        let manifest = RetirementRow::parse_key(key).expect("a key");
        let next = RetirementRow::decode(key, value).expect("a row").next_page;
        let head = ManifestRow::get(view, &manifest).expect("rows are read").expect("it is retiring");
        steps.extend((next..head.pages).map(|page| Operation::RetirePage { manifest, page }));
        if steps.len() < 256 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    scanned.expect("rows are read");
    steps
}
