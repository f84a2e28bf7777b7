//! What a drive costs: small puts in a crowd and alone, hot point reads with verification, large reads.
//!
//! The directory is made below `CAIRN_BENCH_DIR`, or the system's temporary directory: name a real disk, a file in memory
//! syncs for nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cairn_core::clock::SystemClock;
use cairn_core::entropy::SystemEntropy;
use cairn_core::{ChunkStore as _, Clock as _, ClusterId, DriveId, NodeId};
use cairn_journal::files::real::RealFiles;
use cairn_storage_node::conformance::{name, record};
use cairn_storage_node::{ClusterSecret, Drive, DriveDir, DriveOptions, Formation, Identity};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures::future::join_all;
use tokio::runtime::Runtime;

fn drive() -> (tempfile::TempDir, Arc<Drive>) {
    let base = std::env::var_os("CAIRN_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let dir = tempfile::tempdir_in(base).expect("a directory for the bench");
    let clock = SystemClock::start();
    let identity = Identity {
        cluster: ClusterId(1),
        node: NodeId(2),
        drive: DriveId(3),
        state: Formation::Formed,
        created: clock.wall(),
        slot: None,
    };
    let secret = ClusterSecret::draw(&SystemEntropy);
    let drive_dir = DriveDir::format(RealFiles::shared(), &dir.path().join("drive"), identity, &secret);
    let drive_dir = Arc::new(drive_dir.expect("an empty directory"));
    let drive = Drive::open(drive_dir, &DriveOptions::default(), clock, SystemEntropy::shared());
    (dir, drive.expect("a fresh drive"))
}

fn puts(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let _inside = runtime.enter();
    let (_dir, drive) = drive();
    let next = AtomicU64::new(0);
    let mut group = c.benchmark_group("put");
    group.sample_size(20);
    for (crowd, length) in [(1u64, 1024), (64, 1024), (1, 4 << 20)] {
        group.throughput(if crowd > 1 { Throughput::Elements(crowd) } else { Throughput::Bytes(length as u64) });
        group.bench_function(format!("{length}B x {crowd}"), |b| {
            b.to_async(&runtime).iter_batched(
                || {
                    (0..crowd)
                        .map(|_| record(name(next.fetch_add(1, Ordering::Relaxed), 0), length))
                        .collect::<Vec<_>>()
                },
                |records| async {
                    let done = join_all(records.into_iter().map(|record| {
                        let drive = drive.clone();
                        tokio::spawn(async move { drive.put(record).await })
                    }));
                    done.await.into_iter().for_each(|put| put.expect("joined").expect("stored"));
                },
                criterion::BatchSize::SmallInput,
            );
        });
    }
}

fn gets(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let _inside = runtime.enter();
    let (_dir, drive) = drive();
    const CHUNKS: u64 = 200;
    const LENGTH: u32 = 1 << 20;
    runtime.block_on(async {
        for counter in 0..CHUNKS {
            drive.put(record(name(counter, 0), LENGTH as usize)).await.expect("stored");
        }
    });
    let mut group = c.benchmark_group("get");
    let mut turn = 0u64;
    for (what, length) in [("4 KiB cached", 4096u32), ("64 KiB cached", 65_536), ("1 MiB cached", LENGTH)] {
        group.throughput(Throughput::Bytes(u64::from(length)));
        group.bench_function(format!("{what}, verified"), |b| {
            b.iter(|| {
                turn += 1;
                let start = ((turn * 40_960) as u32 % LENGTH).min(LENGTH - length);
                let chunk = name(turn % CHUNKS, 0);
                let slice = runtime.block_on(drive.get(chunk, start..start + length)).expect("there");
                slice.verified(&chunk).expect("sound")
            });
        });
    }
    group.bench_function("read back 1 MiB from the device", |b| {
        b.iter(|| {
            turn += 1;
            runtime.block_on(drive.read_back(name(turn % CHUNKS, 0))).expect("sound")
        });
    });
}

criterion_group!(benches, puts, gets);
criterion_main!(benches);
