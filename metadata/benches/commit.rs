//! Commits on real files: what a voter with its log on three directories does, against what the device does.
//!
//! ```text
//! cargo bench -p cairn-metadata --bench commit            in a directory below the system's temporary one
//! CAIRN_BENCH_DIR=/mnt/disk cargo bench ...               elsewhere
//! ```

mod node;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cairn_core::{BucketId, ExtentId};
use cairn_machine::Outcome;
use cairn_machine::batch::FUNCTION_VERSION;
use cairn_machine::operation::{NewExtent, NewPlace};
use cairn_machine::rows::session::SessionKind;
use cairn_metadata::{Client, MetadataNode};
use cairn_oplog::LogRecord;
use node::COPIES;

/// A lone object of 4 KiB travels in its commit; of a crowd only the names do.
const OBJECT_BYTES: [usize; 2] = [4096, 64];
const ROUND: Duration = Duration::from_secs(3);

fn main() {
    let parent = std::env::var_os("CAIRN_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let dir = tempfile::Builder::new().prefix("cairn-commit").tempdir_in(parent).expect("a directory to work in");
    println!("{}: state machine {FUNCTION_VERSION}, {COPIES} directories", dir.path().display());
    bare(dir.path());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    runtime.block_on(measure(dir.path()));
}

/// What one write and one fdatasync of 8 KiB take: no commit can be quicker.
fn bare(dir: &Path) {
    let file = File::create(dir.join("bare")).expect("a file");
    file.set_len(64 << 20).expect("room");
    file.sync_all().expect("a sync");
    let mut times = Vec::new();
    for n in 0..400 {
        let begin = Instant::now();
        file.write_all_at(&[7; 8192], n * 8192).expect("a write");
        file.sync_data().expect("a sync");
        times.push(begin.elapsed());
    }
    report("bare write and fdatasync of 8 KiB", &mut times);
}

async fn measure(dir: &Path) {
    let (node, log) = node::start(dir, node::OVERLAY_BYTES, node::COPIES).await;
    let client = node.client(SessionKind::Gateway).await.expect("a session");
    let bucket = node::bucket(&client, "bench").await;

    for bytes in OBJECT_BYTES {
        // In turns, so that both meet the same noise. A start would not know what to make of this record; there is none.
        let (mut log_alone, mut commits) = (Vec::new(), Vec::new());
        for n in 0..500 {
            let begin = Instant::now();
            let record = LogRecord::Committed { payload: vec![7; bytes + 300].into() };
            log.append(vec![record]).expect("the log runs").await.expect("a group");
            log_alone.push(begin.elapsed());
            let begin = Instant::now();
            put(&client, bucket, &format!("lone/{bytes}/{n}"), bytes).await;
            commits.push(begin.elapsed());
        }
        report(&format!("the log alone, {bytes} bytes and what is around them"), &mut log_alone);
        report(&format!("a lone PUT of {bytes} bytes"), &mut commits);
    }
    let mut times = Vec::new();
    for _ in 0..2000 {
        let begin = Instant::now();
        client.read().await.expect("a view");
        times.push(begin.elapsed());
    }
    report("a lone linearizable view", &mut times);

    for bytes in OBJECT_BYTES {
        println!("objects of {bytes} bytes in the commit");
        for clients in [1, 8, 64, 512] {
            crowd(&node, &client, bucket, clients, bytes).await;
        }
    }
    reads(&client, 64).await;
    client.close().await;
    node.close().await.expect("it closes");
}

async fn put(client: &Client, bucket: BucketId, key: &str, bytes: usize) {
    let ticket = client.begin_write();
    let extent = NewExtent {
        id: ExtentId { write: ticket.id(), ordinal: 0 },
        length: bytes as u32,
        place: NewPlace::Here(vec![7; bytes].into()),
    };
    let put = node::put(bucket, key, extent, client.session());
    let outcomes = client.propose(vec![put]).await.expect("an answer");
    assert!(matches!(outcomes[..], [Outcome::Put { .. }]), "{outcomes:?}");
}

async fn crowd(node: &MetadataNode, client: &Client, bucket: BucketId, clients: u64, bytes: usize) {
    let stop = Arc::new(AtomicBool::new(false));
    let before = node.status();
    let begin = Instant::now();
    let tasks: Vec<_> = (0..clients)
        .map(|n| {
            let (client, stop) = (client.clone(), stop.clone());
            tokio::spawn(async move {
                let mut times = Vec::new();
                let mut count = 0;
                while !stop.load(Ordering::Relaxed) {
                    let begin = Instant::now();
                    put(&client, bucket, &format!("crowd/{bytes}/{clients}/{n}/{count}"), bytes).await;
                    times.push(begin.elapsed());
                    count += 1;
                }
                times
            })
        })
        .collect();
    tokio::time::sleep(ROUND).await;
    stop.store(true, Ordering::Relaxed);
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.expect("a client"));
    }
    let seconds = begin.elapsed().as_secs_f64();
    let after = node.status();
    let entries = after.last_index.0 - before.last_index.0;
    let groups = after.log.groups - before.log.groups;
    println!(
        "{clients:>4} clients: {:>8.0} commits/s, {:.1} proposals an entry, {:.0} groups/s, {:.4} groups a commit, runs {} of {} MiB, failure {:?}",
        times.len() as f64 / seconds,
        times.len() as f64 / entries as f64,
        groups as f64 / seconds,
        groups as f64 / times.len() as f64,
        after.rows.runs,
        after.rows.run_bytes >> 20,
        after.failure,
    );
    report("     each", &mut times);
}

async fn reads(client: &Client, readers: u64) {
    let stop = Arc::new(AtomicBool::new(false));
    let count = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..readers)
        .map(|_| {
            let (client, stop, count) = (client.clone(), stop.clone(), count.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    client.read().await.expect("a view");
                    count.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    tokio::time::sleep(ROUND).await;
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.expect("a reader");
    }
    println!(
        "{readers:>4} readers: {:>8.0} linearizable views/s",
        count.load(Ordering::Relaxed) as f64 / ROUND.as_secs_f64()
    );
}

fn report(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!("{what}: p50 {:?}, p95 {:?}, p99 {:?}, max {:?}", at(0.5), at(0.95), at(0.99), at(1.0));
}
