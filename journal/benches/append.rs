//! What an append costs beside the bare write and sync that it cannot do without, and what gathering saves.
//!
//! `cargo bench -p cairn-journal --bench append`; writes below the target directory, on the disk that is measured.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use cairn_core::clock::SystemClock;
use cairn_core::entropy::SystemEntropy;
use cairn_journal::files::real::RealFiles;
use cairn_journal::{
    Append, BodyReader, Damage, File, Files, Journal, JournalHandle, Options, Owner, OwnerKind, RecordHead, RecordInfo,
    RecordName, Shell,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Believes everything: these journals are empty when they are opened.
struct Nobody;

impl Owner for Nobody {
    fn verify(&mut self, _: &RecordHead, _: &BodyReader<'_>) -> bool {
        true
    }
    fn found(&mut self, _: &RecordInfo) {}
    fn damaged(&mut self, _: &Damage) {}
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target directory can be written to")
}

fn journal(dir: &Path) -> Journal {
    let options = Options::new(OwnerKind(*b"bench\0\0\0"), SystemClock::start(), SystemEntropy::shared());
    Journal::open(RealFiles::shared(), dir, options, &mut Nobody).expect("an empty journal opens").0
}

fn record(body_bytes: usize) -> Append {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let name = RecordName::new(&NUMBER.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    Append::new(name, Bytes::from_static(&[7; 64]), vec![Bytes::from(vec![42; body_bytes])])
}

/// Appends and forgets, so that the disk does not fill.
fn append(journal: &mut Journal, records: Vec<Append>) {
    let places = journal.append_group(records).expect("the disk has room");
    let last = places.last().expect("there is at least one record").segment;
    journal.remove_segments_below(last).expect("segments can be removed");
}

/// Write and sync into a preallocated file, block after block: the floor under every append.
struct Bare {
    file: Arc<dyn File>,
    at: u64,
}

impl Bare {
    const LENGTH: u64 = 256 << 20;

    fn new(dir: &Path) -> Self {
        let file = RealFiles.create(&dir.join("bare")).expect("a file can be made");
        file.allocate(Self::LENGTH).expect("the disk has room");
        file.sync_data().expect("the disk syncs");
        Self { file, at: 0 }
    }

    fn write(&mut self, bytes: &Bytes) {
        if self.at + bytes.len() as u64 > Self::LENGTH {
            self.file.punch(0, Self::LENGTH).expect("the file can be punched");
            self.file.allocate(Self::LENGTH).expect("the disk has room");
            self.at = 0;
        }
        self.file.write_all_vectored_at(std::slice::from_ref(bytes), self.at).expect("the disk takes it");
        self.file.sync_data().expect("the disk syncs");
        self.at += (bytes.len() as u64).next_multiple_of(4096);
    }
}

/// The same three by turns, so that a neighbour's load falls on all of them alike; the least and the middle of each.
fn by_turns(_: &mut Criterion) {
    const TURNS: usize = 300;
    let dir = directory();
    let mut bare = Bare::new(dir.path());
    let block = Bytes::from(vec![42; KIB]);
    let mut sync_core = journal(&dir.path().join("sync"));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime starts");
    let handle = start(&dir.path().join("handle"));
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..TURNS {
        let mut time = |which: usize, act: &mut dyn FnMut()| {
            let start = Instant::now();
            act();
            times[which].push(start.elapsed());
        };
        time(0, &mut || bare.write(&block));
        time(1, &mut || append(&mut sync_core, vec![record(KIB)]));
        time(2, &mut || {
            black_box(runtime.block_on(handle.append(record(KIB))).expect("the disk takes it"));
        });
    }
    for (name, mut times) in ["bare write and sync", "journal", "handle"].into_iter().zip(times) {
        times.sort_unstable();
        println!("1 KiB by turns, {name}: least {:?}, median {:?}", times[0], times[TURNS / 2]);
    }
}

fn alone(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("1 KiB alone");
    let dir = directory();
    let mut bare = Bare::new(dir.path());
    let block = Bytes::from(vec![42; KIB]);
    group.bench_function("bare write and sync", |bench| bench.iter(|| bare.write(&block)));
    let mut sync_core = journal(&dir.path().join("sync"));
    group.bench_function("journal", |bench| bench.iter(|| append(&mut sync_core, vec![record(KIB)])));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime starts");
    let handle = start(&dir.path().join("handle"));
    group.bench_function("handle", |bench| {
        bench.iter(|| black_box(runtime.block_on(handle.append(record(KIB))).expect("the disk takes it")));
    });
    group.finish();
}

fn crowd(criterion: &mut Criterion) {
    const CROWD: usize = 64;
    let mut group = criterion.benchmark_group("64 times 1 KiB");
    group.throughput(Throughput::Elements(CROWD as u64));
    let dir = directory();
    let mut sync_core = journal(&dir.path().join("sync"));
    group.bench_function("one sync each", |bench| {
        bench.iter(|| (0..CROWD).for_each(|_| append(&mut sync_core, vec![record(KIB)])));
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime starts");
    let handle = start(&dir.path().join("handle"));
    group.bench_function("gathered", |bench| {
        bench.iter(|| {
            runtime.block_on(async {
                let appends: Vec<_> = (0..CROWD)
                    .map(|_| {
                        let handle = handle.clone();
                        tokio::spawn(async move { handle.append(record(KIB)).await })
                    })
                    .collect();
                for append in appends {
                    append.await.expect("the task ends").expect("the disk takes it");
                }
            });
        });
    });
    group.finish();
}

fn stream(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("4 MiB after 4 MiB");
    group.throughput(Throughput::Bytes(4 * MIB as u64));
    let dir = directory();
    let mut bare = Bare::new(dir.path());
    let long = Bytes::from(vec![42; 4 * MIB]);
    group.bench_function("bare write and sync", |bench| bench.iter(|| bare.write(&long)));
    let mut sync_core = journal(&dir.path().join("sync"));
    group.bench_function("journal", |bench| bench.iter(|| append(&mut sync_core, vec![record(4 * MIB)])));
    group.finish();
}

fn start(dir: &Path) -> JournalHandle {
    JournalHandle::start(journal(dir), Shell::Thread, "bench", JournalHandle::QUEUE_BYTES).expect("a thread starts")
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = by_turns, alone, crowd, stream
}
criterion_main!(benches);
