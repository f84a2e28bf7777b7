//! What an append costs: alone against a bare write and fdatasync, and many at once, on three directories and on one.
//! Directories are made below `CAIRN_BENCH_DIR`, or where the system keeps temporary files.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

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

/// A lone append on one directory, on three, and a bare write and fdatasync of one block and of two, by turns: what else
/// the disk is doing changes from one second to the next, so figures that are taken one after the other tell nothing.
fn lone_by_turns(runtime: &Runtime) {
    const TURNS: usize = 400;
    let root = directory();
    let one_drive = open(runtime, &root.path().join("one"), 1, 1);
    let three_drives = open(runtime, &root.path().join("three"), 3, 1);
    let file = OpenOptions::new().write(true).create_new(true).open(root.path().join("bare")).expect("a file");
    file.write_all_at(&vec![0; 16 << 20], 0).and_then(|()| file.sync_all()).expect("room");
    let (mut at, mut next_one, mut next_three) = (0, 0, 0);
    let names = ["bare, 4 KiB", "bare, 8 KiB", "log on 1 drive", "log on 3 drives"];
    let mut times: [Vec<Duration>; 4] = Default::default();
    for turn in 0..TURNS {
        for which in 0..names.len() {
            // Each goes first, second, third and fourth equally often.
            let which = (which + turn) % names.len();
            let start = Instant::now();
            match which {
                0 | 1 => {
                    let block = vec![7; 4096 * (which + 1)];
                    file.write_all_at(&block, at).and_then(|()| file.sync_data()).expect("synced");
                    at = (at + block.len() as u64) % (15 << 20);
                }
                2 => runtime.block_on(one(&one_drive, &mut next_one)),
                _ => runtime.block_on(one(&three_drives, &mut next_three)),
            }
            times[which].push(start.elapsed());
        }
    }
    println!("lone append of 1 KiB, {TURNS} turns: least, median, nine of ten");
    for (name, mut times) in names.into_iter().zip(times) {
        times.sort_unstable();
        println!("  {name:16} {:>9.1?} {:>9.1?} {:>9.1?}", times[0], times[TURNS / 2], times[TURNS * 9 / 10]);
    }
}

fn appends(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    lone_by_turns(&runtime);

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
