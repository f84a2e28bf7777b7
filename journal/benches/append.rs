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

/// A record of bytes that were there before: what making them costs is not the journal's.
fn record(body_bytes: usize) -> Append {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    static BODY: [u8; 4 * MIB] = [42; 4 * MIB];
    let name = RecordName::new(&NUMBER.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    Append::new(name, Bytes::from_static(&[7; 64]), vec![Bytes::from_static(&BODY[..body_bytes])])
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

    /// Many times the same, one after the other, with one sync at the end.
    fn write_in_a_row(&mut self, bytes: &Bytes, times: u64) {
        let length = bytes.len() as u64;
        if self.at + times * length > Self::LENGTH {
            self.file.punch(0, Self::LENGTH).expect("the file can be punched");
            self.file.allocate(Self::LENGTH).expect("the disk has room");
            self.at = 0;
        }
        for _ in 0..times {
            self.file.write_all_vectored_at(std::slice::from_ref(bytes), self.at).expect("the disk takes it");
            self.at += length;
        }
        self.file.sync_data().expect("the disk syncs");
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

/// How a ratio is meant.
#[derive(Clone, Copy)]
enum Ratio {
    /// How many times as fast as the floor.
    Speed,
    /// How many times as long as the floor.
    Time,
}

/// Ours and its floor by turns, so that a neighbour's load falls on both alike; the middle of each, and their ratio.
fn against<'a>(what: &str, aim: &str, ratio: Ratio, ours: &'a mut dyn FnMut(), floor: &'a mut dyn FnMut()) {
    const TURNS: usize = 9;
    let mut times = [const { Vec::new() }; 2];
    for _ in 0..TURNS {
        for (times, act) in times.iter_mut().zip([&mut *ours, &mut *floor]) {
            let began = Instant::now();
            act();
            times.push(began.elapsed());
        }
    }
    times.iter_mut().for_each(|times| times.sort_unstable());
    let [ours, floor] = times.map(|times| times[TURNS / 2].as_secs_f64());
    let (ratio, word) = match ratio {
        Ratio::Speed => (floor / ours, "as fast"),
        Ratio::Time => (ours / floor, "as long"),
    };
    println!("{what}: {:.2} ms against {:.2} ms, {ratio:.2} times {word} (aim: {aim})", ours * 1e3, floor * 1e3);
}

/// What the aims are about, each against its floor in one run.
fn ratios(_: &mut Criterion) {
    let dir = directory();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime starts");
    let handle = start(&dir.path().join("handle"));
    let mut one_each = journal(&dir.path().join("one-each"));
    let mut bare = Bare::new(dir.path());
    // So many writers, each of which brings its next record when the last one was answered.
    let gathered = |each: usize, writers: usize, rounds: usize| {
        runtime.block_on(async {
            let mut appends = tokio::task::JoinSet::new();
            for _ in 0..writers {
                let handle = handle.clone();
                appends.spawn(async move {
                    let mut last = 0;
                    for _ in 0..rounds {
                        last = handle.append(record(each)).await.expect("the disk takes it").segment;
                    }
                    last
                });
            }
            let next = appends.join_all().await.into_iter().max().expect("something was appended");
            handle.remove_segments_below(next).await.expect("segments can be removed");
        });
    };
    against(
        "64 writers of 1 KiB, four times, and as many with one sync each",
        "at least 20",
        Ratio::Speed,
        &mut || gathered(KIB, 64, 4),
        &mut || (0..256).for_each(|_| append(&mut one_each, vec![record(KIB)])),
    );
    let kibibyte = Bytes::from(vec![42; KIB]);
    against(
        "the same, and as many bare writes with one sync each",
        "at least 20",
        Ratio::Speed,
        &mut || gathered(KIB, 64, 4),
        &mut || (0..256).for_each(|_| bare.write(&kibibyte)),
    );
    against(
        "50 appends of 1 KiB one after the other, and bare writes with a sync each",
        "at most 1.3",
        Ratio::Time,
        &mut || (0..50).for_each(|_| append(&mut one_each, vec![record(KIB)])),
        &mut || (0..50).for_each(|_| bare.write(&kibibyte)),
    );
    against(
        "50 appends of 1 KiB one after the other through the writer's thread, and the same",
        "at most 1.3",
        Ratio::Time,
        &mut || {
            (0..50).for_each(|_| {
                black_box(runtime.block_on(handle.append(record(KIB))).expect("the disk takes it"));
            });
        },
        &mut || (0..50).for_each(|_| bare.write(&kibibyte)),
    );
    let mebibyte = Bytes::from(vec![42; MIB]);
    // Records lie in whole blocks: these fill four with what the engine adds, those of a whole 16 KiB begin a fifth.
    let four_blocks = 16 * KIB - 256;
    against(
        "64 writers of records that take 16 KiB, 32 times, and 32 MiB written in a row, a sync for each MiB",
        "at least 0.8",
        Ratio::Speed,
        &mut || gathered(four_blocks, 64, 32),
        &mut || (0..32).for_each(|_| bare.write_in_a_row(&mebibyte, 1)),
    );
    against(
        "the same with bodies of 16 KiB, which take 20 each",
        "none",
        Ratio::Speed,
        &mut || gathered(16 * KIB, 64, 32),
        &mut || (0..32).for_each(|_| bare.write_in_a_row(&mebibyte, 1)),
    );
    against(
        "the same, and 32 MiB written in a row with one sync at the end",
        "none",
        Ratio::Speed,
        &mut || gathered(16 * KIB, 64, 32),
        &mut || bare.write_in_a_row(&mebibyte, 32),
    );
    against(
        "16 chunks of 4 MiB from four writers, and 64 MiB written in a row and synced",
        "at least 0.9",
        Ratio::Speed,
        &mut || gathered(4 * MIB, 4, 4),
        &mut || bare.write_in_a_row(&mebibyte, 64),
    );
    against(
        "the same from sixteen writers, who are all taken together",
        "none",
        Ratio::Speed,
        &mut || gathered(4 * MIB, 16, 1),
        &mut || bare.write_in_a_row(&mebibyte, 64),
    );
}

fn start(dir: &Path) -> JournalHandle {
    JournalHandle::start(journal(dir), Shell::Thread, "bench", JournalHandle::QUEUE_BYTES).expect("a thread starts")
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = ratios, by_turns, alone, crowd
}
criterion_main!(benches);
