//! What an append costs: alone against a bare write and fdatasync, and many at once, on three directories and on one.
//! Directories are made below `CAIRN_BENCH_DIR`, or where the system keeps temporary files.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::Bytes;
use cairn_core::clock::SystemClock;
use cairn_core::entropy::SystemEntropy;
use cairn_core::{ClusterId, DriveId, NodeId};
use cairn_journal::files::real::RealFiles;
use cairn_oplog::{LogDrive, LogIdentity, LogRecord, OpLog, Options, Shell, VoterId};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::Runtime;

const ENTRY_BYTES: usize = 1024;
const CONCURRENT: u64 = 64;

fn directory() -> tempfile::TempDir {
    match std::env::var_os("CAIRN_BENCH_DIR") {
        Some(dir) => tempfile::tempdir_in(dir),
        None => tempfile::tempdir(),
    }
    .expect("a directory for the bench")
}

fn open(runtime: &Runtime, root: &Path, drives: u64, groups_under_way: usize) -> OpLog {
    let drives = (1..=drives).map(|id| LogDrive {
        id: DriveId(id),
        dir: root.join(format!("d{id}")),
        files: RealFiles::shared(),
    });
    let drives: Vec<LogDrive> = drives.collect();
    let mut options = Options::new(SystemClock::start());
    options.copies_wanted = drives.len() as u8;
    options.groups_under_way = groups_under_way;
    let identity = LogIdentity { cluster: ClusterId(1), node: NodeId(1), voter: VoterId(1) };
    let opened = runtime.block_on(OpLog::open(drives, identity, options, SystemEntropy::shared(), Shell::Thread));
    opened.expect("a log in empty directories").0
}

fn entry(index: u64) -> Vec<LogRecord> {
    vec![LogRecord::Append { first_index: index, entries: vec![Bytes::from(vec![7; ENTRY_BYTES])] }]
}

async fn one(log: &OpLog, next: &mut u64) {
    log.append(entry(*next)).expect("room").await.expect("durable");
    *next += 1;
    tidy(log, *next).await;
}

async fn many(log: &OpLog, next: &mut u64) {
    let completions: Vec<_> =
        (*next..*next + CONCURRENT).map(|index| log.append(entry(index)).expect("room")).collect();
    for completion in completions {
        completion.await.expect("durable");
    }
    *next += CONCURRENT;
    tidy(log, *next).await;
}

/// 64 who each wait for their own answer before they come again, sixteen times.
async fn crowd(log: &OpLog, next: &mut u64) {
    let first = *next;
    let index = std::sync::Arc::new(std::sync::Mutex::new(first));
    let clients = (0..CONCURRENT).map(|_| {
        let (log, index) = (log.clone(), index.clone());
        tokio::spawn(async move {
            for _ in 0..16 {
                let completion = {
                    let mut index = index.lock().expect("nobody panics");
                    let completion = log.append(entry(*index)).expect("room");
                    *index += 1;
                    completion
                };
                completion.await.expect("durable");
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.expect("nobody panics");
    }
    *next = first + CONCURRENT * 16;
    tidy(log, *next).await;
}

async fn tidy(log: &OpLog, next: u64) {
    if next.is_multiple_of(1 << 15) {
        log.purge(next - 1, Bytes::new()).await.expect("durable");
    }
}

fn appends(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let mut group = c.benchmark_group("lone append of 1 KiB");
    for drives in [1, 3] {
        let root = directory();
        let log = open(&runtime, root.path(), drives, 1);
        let mut next = 0;
        group.bench_function(format!("{drives} drives"), |b| {
            b.iter(|| runtime.block_on(one(&log, &mut next)));
        });
    }
    let root = directory();
    let file = OpenOptions::new().write(true).create_new(true).open(root.path().join("bare")).expect("a file");
    file.set_len(64 << 20).expect("room");
    let block = vec![7; 4096];
    let mut at = 0;
    group.bench_function("bare write and fdatasync", |b| {
        b.iter(|| {
            file.write_all_at(&block, at).expect("written");
            file.sync_data().expect("synced");
            at = (at + 4096) % (64 << 20);
        });
    });
    group.finish();

    let mut group = c.benchmark_group("64 concurrent appends of 1 KiB");
    group.throughput(Throughput::Elements(CONCURRENT));
    for drives in [1, 3] {
        for under_way in [1, 2] {
            let root = directory();
            let log = open(&runtime, root.path(), drives, under_way);
            let mut next = 0;
            group.bench_function(format!("{drives} drives, {under_way} groups under way"), |b| {
                b.iter(|| runtime.block_on(many(&log, &mut next)));
            });
        }
    }
    group.finish();

    let mut group = c.benchmark_group("64 clients, 16 appends of 1 KiB each");
    group.throughput(Throughput::Elements(CONCURRENT * 16));
    for drives in [1, 3] {
        for under_way in [1, 2, 4] {
            let root = directory();
            let log = open(&runtime, root.path(), drives, under_way);
            let mut next = 0;
            group.bench_function(format!("{drives} drives, {under_way} groups under way"), |b| {
                b.iter(|| runtime.block_on(crowd(&log, &mut next)));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, appends);
criterion_main!(benches);
