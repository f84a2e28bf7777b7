//! What a million objects cost: rows and log for each, listings, an audit, and the next start. On real files.
//!
//! ```text
//! cargo bench -p cairn-metadata --bench million           in a directory below the system's temporary one
//! CAIRN_BENCH_OBJECTS=100000 CAIRN_BENCH_DIR=/mnt/disk cargo bench ...
//! ```

mod node;

use std::cell::Cell;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cairn_core::units::STRIPE_EXTENTS_MAX;
use cairn_core::{BucketId, DriveId, ExtentId, Geometry, StripeId, StripeShape};
use cairn_machine::audit::Audit;
use cairn_machine::operation::{NewExtent, NewPlace};
use cairn_machine::rows::session::SessionKind;
use cairn_machine::rows::stripe::PlacedChunk;
use cairn_machine::{Operation, Outcome, RowError, RowSource};
use cairn_metadata::query::{ListRequest, ListStart, list};
use cairn_metadata::{Client, MetadataNode, MetadataStatus, View};

/// Keys of the small bucket, which pages of the large one are compared with.
const FEW: u64 = 10_000;

/// Prefixes that the large bucket's keys stand under.
const PREFIXES: u64 = 1000;

fn main() {
    let objects = std::env::var("CAIRN_BENCH_OBJECTS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let parent = std::env::var_os("CAIRN_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let dir = tempfile::Builder::new().prefix("cairn-million").tempdir_in(parent).expect("a directory to work in");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    println!("{objects} objects in {}", dir.path().display());
    runtime.block_on(measure(dir.path(), objects));
}

async fn measure(dir: &Path, objects: u64) {
    let (node, _) = node::start(dir, node::OVERLAY_BYTES, node::COPIES).await;
    let client = node.client(SessionKind::Gateway).await.expect("a session");
    let (few, many) = (node::bucket(&client, "few").await, node::bucket(&client, "many").await);
    fill(&client, few, FEW).await;
    let (before, began) = (node.status(), Instant::now());
    fill(&client, many, objects).await;
    let took = began.elapsed();
    let after = node.status();
    println!(
        "filled in {took:.1?}: {:.0} objects/s, {STRIPE_EXTENTS_MAX} a stripe",
        objects as f64 / took.as_secs_f64()
    );
    let entries = after.last_index.0 - before.last_index.0;
    println!("{entries} entries, {} runs of {} MiB", after.rows.runs, after.rows.run_bytes >> 20);
    let log_bytes = |status: &MetadataStatus| status.log.usage.first().map_or(0, |(_, usage)| usage.live_bytes);
    println!(
        "bytes of log for each object and copy: {:.0}",
        (log_bytes(&after) - log_bytes(&before)) as f64 / objects as f64
    );
    sizes(&client.read_stale(), objects);
    println!("bytes of runs for each object: {:.0}", after.rows.run_bytes as f64 / objects as f64);
    pages(&client.read().await.expect("a view"), few, many);
    audit(&client.read().await.expect("a view"));
    client.close().await;
    node.close().await.expect("it closes");
    change_some(dir, many, objects).await;
    for _ in 0..3 {
        let began = Instant::now();
        let (node, _) = node::start(dir, node::OVERLAY_BYTES, node::COPIES).await;
        println!("a start: {:.2?}, applied {} entries again", began.elapsed(), again(&node));
        node.close().await.expect("it closes");
    }
}

fn again(node: &MetadataNode) -> u64 {
    let status = node.status();
    status.applied_index.0 - status.run_index.0
}

/// Puts objects of 4 KiB, packed, in the order of a hash of their numbers.
async fn fill(client: &Client, bucket: BucketId, objects: u64) {
    let per = STRIPE_EXTENTS_MAX as u64;
    for first in (0..objects).step_by(STRIPE_EXTENTS_MAX) {
        flush(client, bucket, first..(first + per).min(objects), objects).await;
    }
}

async fn flush(client: &Client, bucket: BucketId, numbers: std::ops::Range<u64>, of: u64) {
    let ticket = client.begin_write();
    let (session, stripe) = (ticket.id().session, StripeId(ticket.id()));
    let geometry = Geometry::standard_for(6);
    let shape = StripeShape::holding(4096 * (numbers.end - numbers.start), geometry, 4096).expect("it is short");
    let positions = (0..6).map(|n| PlacedChunk { drive: DriveId(n), write: ticket.another() }).collect();
    let mut operations = vec![Operation::MakeStripe { id: stripe, shape, positions }];
    for (ordinal, number) in (0..).zip(numbers) {
        // An odd factor and a power of two that is not smaller: each number once, and far from its neighbours.
        let spread = number.wrapping_mul(0x9E37_79B1) & (of.next_power_of_two() - 1);
        let key = format!("{:03}/{spread:012}.jpg", spread % PREFIXES);
        let place = NewPlace::Stripe { stripe, offset: u64::from(ordinal) * 4096 };
        let extent = NewExtent { id: ExtentId { write: stripe.0, ordinal }, length: 4096, place };
        operations.push(node::put(bucket, &key, extent, session));
    }
    operations.push(Operation::SettleStripe { id: stripe });
    let outcomes = client.propose(operations).await.expect("an answer");
    assert!(!outcomes.iter().any(|outcome| matches!(outcome, Outcome::Refused(_))), "{outcomes:?}");
}

/// Rows of each table, and what they take as keys and values.
fn sizes(view: &View, objects: u64) {
    let mut tables = std::collections::BTreeMap::<u8, (u64, u64)>::new();
    view.scan(&[], None, &mut |key, value| {
        let table = tables.entry(key[0]).or_default();
        *table = (table.0 + 1, table.1 + (key.len() + value.len()) as u64);
        ControlFlow::Continue(())
    })
    .expect("rows are read");
    let all: u64 = tables.values().map(|(_, bytes)| bytes).sum();
    println!("bytes of rows for each object: {:.0}", all as f64 / objects as f64);
    for (table, (rows, bytes)) in tables.into_iter().filter(|(_, (rows, _))| *rows > 1000) {
        println!("     table {table:#04x}: {rows} rows, {:.0} bytes each", bytes as f64 / rows as f64);
    }
}

/// Rows that count how many of them are looked at.
struct Counted<'a>(&'a View, Cell<u64>);

impl RowSource for Counted<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, RowError> {
        self.1.set(self.1.get() + 1);
        self.0.get(key)
    }

    fn scan(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &Bytes) -> ControlFlow<()>,
    ) -> Result<(), RowError> {
        self.0.scan(from, to, &mut |key, value| {
            self.1.set(self.1.get() + 1);
            visit(key, value)
        })
    }
}

fn pages(view: &View, few: BucketId, many: BucketId) {
    // In turns, from places all over the bucket, so that both meet the same noise.
    let page = |bucket, start: &str| {
        let start_after = Some(ListStart::Key(start.to_owned()));
        let request = ListRequest { bucket, prefix: "", delimiter: None, start_after, limit: 1000 };
        let began = Instant::now();
        let page = list(view, &request).expect("rows are read");
        assert!(page.entries.len() > 900, "{}", page.entries.len());
        began.elapsed()
    };
    let (mut of_few, mut of_many) = (Vec::new(), Vec::new());
    for n in 0..200 {
        let start = format!("{:03}/", n * 4);
        of_few.push(page(few, &start));
        of_many.push(page(many, &start));
    }
    let (a, b) = (middle(&mut of_few), middle(&mut of_many));
    println!("a page of 1,000: of {FEW} keys {a:?}, of all {b:?}, {:.2} times", b.as_secs_f64() / a.as_secs_f64());
    let counted = Counted(view, Cell::new(0));
    let request = ListRequest { bucket: many, prefix: "", delimiter: Some("/"), start_after: None, limit: 1000 };
    let began = Instant::now();
    let page = list(&counted, &request).expect("rows are read");
    let (shown, rows) = (page.entries.len(), counted.1.get());
    println!("by delimiter: {shown} prefixes from {rows} rows in {:?}", began.elapsed());
}

fn audit(view: &View) {
    let (mut audit, mut longest, began) = (Audit::default(), Duration::ZERO, Instant::now());
    loop {
        let step = Instant::now();
        let over = audit.step(view, 4096).expect("rows are read");
        longest = longest.max(step.elapsed());
        if over {
            break;
        }
    }
    let balance = audit.finish();
    assert_eq!(balance.imbalances, []);
    println!("an audit: {} rows in {:?}, the longest step {longest:?}", balance.rows, began.elapsed());
}

/// Overwrites one object in a hundred, spread over all keys, and waits for the run that holds them.
async fn change_some(dir: &Path, bucket: BucketId, objects: u64) {
    let changed = objects / 100;
    // So few rows do not fill an overlay: with this bound they make a run of their own.
    let (node, _) = node::start(dir, changed * 100, node::COPIES).await;
    let client = node.client(SessionKind::Gateway).await.expect("a session");
    let (before, began) = (node.status(), Instant::now());
    for first in (0..changed).step_by(STRIPE_EXTENTS_MAX) {
        flush(&client, bucket, first..(first + STRIPE_EXTENTS_MAX as u64).min(changed), objects).await;
    }
    let written = began.elapsed();
    while node.status().run_index <= before.last_index {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let after = node.status();
    println!("1 % overwritten in {written:.1?}, in a run {:.1?} after the first", began.elapsed());
    println!(
        "1 % overwritten: runs {} of {} MiB before, {} of {} MiB after, {} entries behind the newest",
        before.rows.runs,
        before.rows.run_bytes >> 20,
        after.rows.runs,
        after.rows.run_bytes >> 20,
        again(&node)
    );
    client.close().await;
    node.close().await.expect("it closes");
}

fn middle(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
