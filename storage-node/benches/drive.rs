//! What a drive costs: small puts in a crowd and alone, hot point reads with verification, large reads.
//!
//! The directory is made below `CAIRN_BENCH_DIR`, or the system's temporary directory: name a real disk, a file in memory
//! syncs for nothing.

use std::hint::black_box;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cairn_core::clock::SystemClock;
use cairn_core::entropy::SystemEntropy;
use cairn_core::{ChunkStore as _, Clock as _, ClusterId, DriveId, NodeId};
use cairn_journal::files::real::RealFiles;
use cairn_storage_node::conformance::{name, record, record_with};
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
    const CHUNKS: u64 = 200;
    const LENGTH: u32 = 1 << 20;
    let runtime = Runtime::new().expect("a runtime");
    let _inside = runtime.enter();
    let (_dir, drive) = drive();
    // Position 0 in small blocks, as objects that share a stripe have them; position 1 in those of large objects.
    let blocks = [4096, 65_536];
    runtime.block_on(async {
        for counter in 0..CHUNKS {
            for (position, block_bytes) in (0..).zip(blocks) {
                let record = record_with(name(counter, position), LENGTH as usize, block_bytes);
                drive.put(record).await.expect("stored");
            }
        }
    });
    let mut group = c.benchmark_group("get");
    let mut turn = 0u64;
    for (what, length, position) in [
        ("4 KiB cached, blocks of 4 KiB", 4096u32, 0),
        ("64 KiB cached, blocks of 64 KiB", 65_536, 1),
        ("1 MiB cached, blocks of 4 KiB", LENGTH, 0),
        ("1 MiB cached, blocks of 64 KiB", LENGTH, 1),
    ] {
        group.throughput(Throughput::Bytes(u64::from(length)));
        group.bench_function(format!("{what}, verified"), |b| {
            b.iter(|| {
                turn += 1;
                let start = ((turn * 40_960) as u32 % LENGTH).min(LENGTH - length);
                let chunk = name(turn % CHUNKS, position);
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

/// What this thread has used of a processor. Where a machine is shared, this is what is the same twice.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux says what a thread has used");
    Duration::from_nanos(stat.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("nanoseconds"))
}

/// The least that one of many calls took of a processor, over some batches.
fn least(mut call: impl FnMut()) -> Duration {
    const BATCHES: u32 = 15;
    let mut calls = 1;
    loop {
        let began = cpu();
        (0..calls).for_each(|_| call());
        if cpu() - began > Duration::from_millis(20) {
            break;
        }
        calls *= 2;
    }
    let batch = |_| {
        let began = cpu();
        (0..calls).for_each(|_| call());
        (cpu() - began) / calls
    };
    (0..BATCHES).map(batch).min().expect("there are some batches")
}

/// The aims for reads, in time of one core, each beside the bare read and hash that it cannot do without.
fn per_core(_: &mut Criterion) {
    const CHUNKS: u64 = 32;
    const LENGTH: u32 = 1 << 20;
    let runtime = Runtime::new().expect("a runtime");
    let _inside = runtime.enter();
    let (dir, drive) = drive();
    let blocks = [4096, 65_536];
    runtime.block_on(async {
        for counter in 0..CHUNKS {
            for (position, block_bytes) in (0..).zip(blocks) {
                drive.put(record_with(name(counter, position), LENGTH as usize, block_bytes)).await.expect("stored");
            }
        }
    });
    let bare = dir.path().join("bare");
    std::fs::write(&bare, vec![42; CHUNKS as usize * LENGTH as usize]).expect("the disk has room");
    let bare = std::fs::File::open(bare).expect("just written");
    let mut turn = 0u64;
    let mut next = |length: u32| {
        turn += 1;
        (turn % CHUNKS, ((turn * 40_960) as u32 % LENGTH).min(LENGTH - length))
    };
    for (what, length, position, aim) in [
        ("4 KiB, blocks of 4 KiB", 4096u32, 0, "150,000/s"),
        ("64 KiB, blocks of 64 KiB", 65_536, 1, "none"),
        ("1 MiB, blocks of 4 KiB", LENGTH, 0, "none"),
        ("1 MiB, blocks of 64 KiB", LENGTH, 1, "3 GB/s"),
    ] {
        let ours = least(|| {
            let (counter, start) = next(length);
            let chunk = name(counter, position);
            let slice = runtime.block_on(drive.get(chunk, start..start + length)).expect("there");
            black_box(slice.verified(&chunk).expect("sound"));
        });
        let mut buffer = vec![0; length as usize];
        let floor = least(|| {
            let (counter, start) = next(length);
            bare.read_exact_at(&mut buffer, counter * u64::from(LENGTH) + u64::from(start)).expect("there");
            for block in buffer.chunks(blocks[usize::from(position)] as usize) {
                black_box(blake3::hash(block));
            }
        });
        println!(
            "get {what}, cached and verified: {:.2} us of a core, {:.0}/s, {:.2} GB/s; bare read and hash {:.2} us, {:.2} \
             times as long (aim: {aim})",
            ours.as_secs_f64() * 1e6,
            1.0 / ours.as_secs_f64(),
            f64::from(length) / ours.as_secs_f64() / 1e9,
            floor.as_secs_f64() * 1e6,
            ours.as_secs_f64() / floor.as_secs_f64(),
        );
    }
}

criterion_group!(benches, per_core, puts, gets);
criterion_main!(benches);
