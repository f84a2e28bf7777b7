//! What a whole drive costs: building its index anew from footers, the memory for it, and the disk that deleted chunks leave.
//!
//! No criterion here: what is measured is a growing structure, once, not a repeated call. `cargo bench --bench whole --
//! rebuild` or `-- space` runs one of the two. The index is built of 100,000 chunks, or of a million with `CAIRN_LONG=1`
//! (4 GiB on the disk that `CAIRN_BENCH_DIR` names).

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use cairn_core::clock::SystemClock;
use cairn_core::entropy::SystemEntropy;
use cairn_core::units::MIB;
use cairn_core::{ChunkStore as _, Clock as _, ClusterId, DriveId, NodeId};
use cairn_journal::files::real::RealFiles;
use cairn_storage_node::conformance::{name, record};
use cairn_storage_node::{ClusterSecret, Drive, DriveDir, DriveOptions, Formation, Identity};
use futures::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::runtime::Runtime;

/// What the process is told that only opens a drive.
const OPENS: &str = "opens-alone";

fn home() -> tempfile::TempDir {
    let base = std::env::var_os("CAIRN_BENCH_DIR").map_or_else(|| env!("CARGO_TARGET_TMPDIR").into(), PathBuf::from);
    tempfile::tempdir_in(base).expect("a directory for the bench")
}

fn format(path: &Path) {
    let identity = Identity {
        cluster: ClusterId(1),
        node: NodeId(2),
        drive: DriveId(3),
        state: Formation::Formed,
        created: SystemClock::start().wall(),
        slot: None,
    };
    let secret = ClusterSecret::draw(&SystemEntropy);
    drop(DriveDir::format(RealFiles::shared(), path, identity, &secret).expect("an empty directory"));
}

fn open(path: &Path, options: &DriveOptions) -> Arc<Drive> {
    let dir = Arc::new(DriveDir::open(RealFiles::shared(), path).expect("a drive"));
    Drive::open(dir, options, SystemClock::start(), SystemEntropy::shared()).expect("the drive opens")
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux says how much memory is used");
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("a number of pages") * 4096
}

/// What the filesystem has given to everything below a directory.
fn disk_bytes(path: &Path) -> u64 {
    std::fs::read_dir(path)
        .expect("a directory")
        .map(|entry| {
            let entry = entry.expect("an entry");
            let meta = entry.metadata().expect("its metadata");
            if meta.is_dir() { disk_bytes(&entry.path()) } else { meta.blocks() * 512 }
        })
        .sum()
}

fn rebuild(runtime: &Runtime) {
    let chunks: u64 = if std::env::var_os("CAIRN_LONG").is_some_and(|long| long == "1") { 1_000_000 } else { 100_000 };
    let home = home();
    let path = home.path().join("drive");
    format(&path);
    let options = DriveOptions { head_cache_bytes: 0, ..DriveOptions::default() };
    runtime.block_on(async {
        let drive = open(&path, &options);
        for first in (0..chunks).step_by(1000) {
            let puts = (first..first + 1000).map(|counter| {
                let drive = drive.clone();
                tokio::spawn(async move { drive.put(record(name(counter, (counter % 6) as u8), 100)).await })
            });
            for put in join_all(puts).await {
                put.expect("joined").expect("stored");
            }
        }
        drive.close().await.expect("closed");
    });
    // In a process of its own, which has nothing of what the writing left in the allocator.
    let this = std::env::current_exe().expect("this program");
    let ended = Command::new(this).arg(OPENS).arg(&path).arg(chunks.to_string()).status().expect("it starts");
    assert!(ended.success(), "{ended}");
}

fn opens(runtime: &Runtime, path: &Path, chunks: u64) {
    // What heads are remembered would hide what the index takes.
    let options = DriveOptions { head_cache_bytes: 0, ..DriveOptions::default() };
    let start = Instant::now();
    let drive = runtime.block_on(async { open(path, &options) });
    let took = start.elapsed();
    assert_eq!(drive.health().chunks, chunks);
    let million = took.as_secs_f64() * 1e6 / chunks as f64;
    println!(
        "index of {chunks} chunks from footers: {took:.2?} ({million:.2} s for a million; aim: under 10 s), {} MiB resident in \
         all (aim at a million: under 200 MiB)",
        resident_bytes() / MIB,
    );
}

fn space(runtime: &Runtime) {
    const CHUNKS: u64 = 1024;
    let home = home();
    let path = home.path().join("drive");
    format(&path);
    let options = DriveOptions { reserve_bytes: Some(0), head_cache_bytes: 0, ..DriveOptions::default() };
    let mut random = StdRng::seed_from_u64(1);
    runtime.block_on(async {
        let drive = open(&path, &options);
        let mut there: Vec<u64> = Vec::new();
        let mut next = 0;
        for round in 1..=2 {
            while (there.len() as u64) < CHUNKS {
                drive.put(record(name(next, 0), MIB as usize)).await.expect("stored");
                there.push(next);
                next += 1;
            }
            for _ in 0..CHUNKS / 2 {
                let gone = there.swap_remove(random.random_range(0..there.len()));
                assert!(drive.delete(name(gone, 0)).await.expect("deleted"));
            }
            drive.sync().await.expect("synced");
            let (accounts, given) = (drive.stats().accounts, disk_bytes(&path.join("chunks")));
            let ratio = |bytes: u64| bytes as f64 / (there.len() as u64 * MIB) as f64;
            println!(
                "1 GiB of chunks, a random half deleted, round {round}: {} MiB on disk, {:.3} times what lives (aim: under \
                 1.1); without what is set aside for the next chunks {:.3}",
                given / MIB,
                ratio(given),
                ratio(given - accounts.free_bytes),
            );
            assert!(given.abs_diff(accounts.allocated_bytes()) <= MIB, "the books are the filesystem's: {accounts:?}");
        }
    });
}

fn main() {
    let runtime = Runtime::new().expect("a runtime");
    let args: Vec<String> = std::env::args().collect();
    if let [_, opens_alone, path, chunks] = &args[..]
        && opens_alone == OPENS
    {
        return opens(&runtime, Path::new(path), chunks.parse().expect("a number of chunks"));
    }
    let wanted = |which: &str| {
        !std::env::args().any(|arg| arg == "rebuild" || arg == "space") || std::env::args().any(|arg| arg == which)
    };
    if wanted("space") {
        space(&runtime);
    }
    if wanted("rebuild") {
        rebuild(&runtime);
    }
}
