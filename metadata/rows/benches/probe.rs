//! The probe of the rows: what three lookups and a page of 1,000 cost over a million rows in runs and overlay, and what an
//! overlay costs in sled and in memory.
//!
//! `cargo bench --ignore-rust-version -p cairn-rows --bench probe`. It is plain code and not a statistical bench, because
//! each figure is a mean over many operations on data that takes a while to make. Reads and single writes are timed on the
//! processor, cuts, merges and starts on the wall. The data is the same on every run. `PROBE_ROWS` changes the number of
//! rows, `PROBE_DIR` where they are written, `PROBE_CACHE_MIB` the cache of blocks; `PROBE_MEMORY=sled` or `=memory` fills one overlay only and says how much memory
//! the process has then, which means something only in a process that has done nothing else.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cairn_core::LogIndex;
use cairn_core::entropy::SeededEntropy;
use cairn_journal::files::real::RealFiles;
use cairn_rows::overlay::Overlay;
use cairn_rows::{
    CACHE_BYTES_DEFAULT, CUT_BYTES, MemoryOverlays, MergePolicy, MergeProgress, Overlays, Row, Rows, RowsOptions,
    RunSet, SledOverlays, View, merge_plan,
};

/// As the binary has it: the allocator makes a difference of a third.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The rows of one small PUT, roughly: version, extent, stripe, stripe's live bytes, two ledgers.
const ROWS_PER_INDEX: u64 = 6;
const LOOKUPS: u64 = 300_000;
const PAGES: u64 = 300;
const PAGE_ROWS: usize = 1000;

/// Time that this thread was on a processor, as the scheduler counts it. Others who build and test on the same machine
/// make a mean of the wall's time worthless; what a device makes us wait for is reported by the wall where it matters.
struct Stopwatch {
    start: Duration,
}

impl Stopwatch {
    fn start() -> Self {
        Self { start: Self::on_processor() }
    }

    fn elapsed(&self) -> Duration {
        Self::on_processor() - self.start
    }

    fn on_processor() -> Duration {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("this is Linux");
        let nanoseconds = text.split(' ').next().and_then(|field| field.parse().ok());
        Duration::from_nanos(nanoseconds.expect("its first field is a number"))
    }
}

fn mib(bytes: u64) -> u64 {
    bytes >> 20
}

/// Bijective on 64 bits, so that numbers become keys in no order and never collide.
fn scatter(number: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// 48 bytes, like the key of an object's row: table, bucket, name, terminator.
fn key(number: u64) -> Bytes {
    let place = scatter(number);
    let mut key = vec![0x20, 0, 0, 0, 0, 0, 0, 0, 7];
    key.extend_from_slice(format!("photos/{:02x}/{place:016x}/{:08x}.j", place >> 56, number as u32).as_bytes());
    key.extend_from_slice(&[0, 1]);
    assert_eq!(key.len(), 48);
    Bytes::from(key)
}

/// 100 bytes that no two rows share.
fn value(number: u64) -> Bytes {
    let mut value = vec![7; 100];
    value[..8].copy_from_slice(&number.to_be_bytes());
    Bytes::from(value)
}

struct Picks(u64);

impl Picks {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn report(what: &str, figure: impl std::fmt::Debug, of: &str) {
    println!("  {what:<58} {figure:>12.1?} {of}");
}

fn time_overlay(name: &str, overlay: &dyn Overlay, rows: u64) {
    println!("{name}, {rows} rows");
    let start = Stopwatch::start();
    for number in 0..rows {
        let index = LogIndex(number / ROWS_PER_INDEX + 1);
        overlay.write(index, &[(key(number), Some(value(number)))]).expect("the store works");
    }
    report("write", start.elapsed() / rows as u32, "a row");
    let at = LogIndex(rows);
    let mut picks = Picks(1);
    let mut lookups = |first: u64| {
        let keys: Vec<Bytes> = (0..LOOKUPS).map(|_| key(first + picks.below(rows))).collect();
        let start = Stopwatch::start();
        for key in &keys {
            let found = overlay.get(key, at).expect("the store works");
            assert_eq!(found.is_some(), first == 0);
        }
        start.elapsed() / LOOKUPS as u32
    };
    report("lookup that finds", lookups(0), "");
    report("lookup that finds nothing", lookups(rows), "");
    let mut page = Vec::new();
    let start = Stopwatch::start();
    for _ in 0..PAGES {
        page.clear();
        overlay.page(&key(picks.below(rows)), None, at, PAGE_ROWS, &mut page).expect("the store works");
    }
    report("page of 1,000", start.elapsed() / PAGES as u32, "");
}

fn time_reads(what: &str, rows: &Rows, count: u64) {
    println!("{what}: {:?}", rows.stats());
    let view = rows.view();
    let mut picks = Picks(2);
    let mut three = |missing: bool, hot: u64| {
        let keys: Vec<Bytes> = (0..LOOKUPS).map(|_| key(picks.below(hot) + if missing { count } else { 0 })).collect();
        let start = Stopwatch::start();
        for key in &keys {
            let found = view.get(key).expect("the rows are sound");
            assert_eq!(found.is_none(), missing);
        }
        3 * start.elapsed() / LOOKUPS as u32
    };
    report("three lookups, among all rows", three(false, count), "");
    report("three lookups, among 2,000 rows, whose blocks are cached", three(false, 2_000), "");
    report("three lookups, of rows that are not there", three(true, count), "");
    time_pages(&view, count);
}

fn time_pages(view: &View, count: u64) {
    let mut picks = Picks(3);
    let mut rows = 0;
    let start = Stopwatch::start();
    for _ in 0..PAGES {
        let mut cursor = view.cursor(&key(picks.below(count)), None).expect("the rows are sound");
        for _ in 0..PAGE_ROWS {
            rows += usize::from(cursor.next_row().expect("the rows are sound").is_some());
        }
    }
    report("page of 1,000, anywhere", start.elapsed() / PAGES as u32, "");
    assert!(rows > PAGES as usize * PAGE_ROWS / 2);
    let start = Stopwatch::start();
    for _ in 0..PAGES {
        let mut cursor = view.cursor(&[0x20], None).expect("the rows are sound");
        // 256 common prefixes, each passed over with one jump.
        for prefix in 0..256 {
            cursor
                .seek(&[&key(0)[..9], format!("photos/{prefix:02x}/").as_bytes()].concat())
                .expect("the rows are sound");
            assert!(cursor.next_row().expect("the rows are sound").is_some());
        }
    }
    report("256 common prefixes by jumps", start.elapsed() / PAGES as u32, "");
    let start = Stopwatch::start();
    let mut cursor = view.cursor(&[], None).expect("the rows are sound");
    let mut all = 0;
    while cursor.next_row().expect("the rows are sound").is_some() {
        all += 1;
    }
    assert_eq!(all, count);
    report("walk through all rows", start.elapsed(), "");
}

fn apply(rows: &Rows, numbers: std::ops::Range<u64>) {
    let numbers: Vec<u64> = numbers.collect();
    for chunk in numbers.chunks(ROWS_PER_INDEX as usize) {
        let effects: Vec<Row> = chunk.iter().map(|&number| (key(number), Some(value(number)))).collect();
        rows.apply(LogIndex(rows.applied().0 + 1), &effects).expect("the overlay works");
    }
}

/// How much memory blocks may take: the default, or `PROBE_CACHE_MIB`.
fn cache_bytes() -> usize {
    let mib = std::env::var("PROBE_CACHE_MIB").ok().and_then(|mib| mib.parse::<usize>().ok());
    mib.map_or(CACHE_BYTES_DEFAULT, |mib| mib << 20)
}

fn open(overlays: Arc<dyn Overlays>, set: &RunSet, drives: &[PathBuf]) -> Rows {
    let entropy = SeededEntropy::new(1);
    let options = RowsOptions { files: RealFiles::shared(), overlays, entropy, cache_bytes: cache_bytes() };
    Rows::open(options, set, drives).expect("the runs are sound")
}

fn time_rows(name: &str, overlays: &Arc<dyn Overlays>, directory: &Path, count: u64) {
    let drives: Vec<PathBuf> = (0..3).map(|drive| directory.join(format!("{name}-drive{drive}"))).collect();
    for drive in &drives {
        std::fs::create_dir_all(drive).expect("there is room");
    }
    let rows = open(overlays.clone(), &RunSet::empty(), &drives);
    println!("\nrows over {name}: apply {count} rows, cut at 64 MiB into 3 copies, merge");
    // The last part stays in the overlay: as full as it gets before it is cut.
    let in_overlay = (CUT_BYTES / 164).min(count / 2);
    let mut applying = Duration::ZERO;
    let mut next = 0;
    while next < count - in_overlay {
        let upto = (next + CUT_BYTES / 164).min(count - in_overlay);
        let start = Stopwatch::start();
        apply(&rows, next..upto);
        applying += start.elapsed();
        let start = Instant::now();
        let run = rows.cut(&drives).expect("there is room").expect("rows were applied");
        report("cut", start.elapsed(), &format!("{} rows, {} MiB in each copy", run.entries, mib(run.file_bytes)));
        next = upto;
    }
    let start = Stopwatch::start();
    apply(&rows, next..count);
    applying += start.elapsed();
    report("apply", applying / count as u32, "a row");
    time_reads("runs as they were cut, and a full overlay", &rows, count);

    rows.cut(&drives).expect("there is room");
    let policy = MergePolicy { width_min: 2, ..MergePolicy::default() };
    while let Some(plan) = merge_plan::plan(&rows.run_set(), &policy) {
        let start = Instant::now();
        let mut merge = rows.begin_merge(plan.clone(), &drives).expect("the plan fits");
        let mut slowest = Duration::ZERO;
        loop {
            let step = Instant::now();
            let progress = merge.step(1 << 20).expect("there is room");
            slowest = slowest.max(step.elapsed());
            if matches!(progress, MergeProgress::Done(_)) {
                break;
            }
        }
        let what =
            format!("{} runs, {} MiB; slowest step of 1 MiB {slowest:.1?}", plan.inputs.len(), mib(plan.input_bytes));
        report("merge", start.elapsed(), &what);
    }
    let set = rows.run_set();
    rows.retire(&set, &drives);
    time_reads("one run and an empty overlay", &rows, count);
    drop(rows);
    let start = Instant::now();
    let rows = open(overlays.clone(), &set, &drives);
    report("open", start.elapsed(), "");
    let start = Instant::now();
    apply(&rows, count..count + in_overlay);
    report("fill a full overlay again from the log", start.elapsed(), "");
}

fn report_memory(kind: &str, sled: &SledOverlays) {
    let overlay = if kind == "sled" { sled.fresh() } else { MemoryOverlays.fresh() }.expect("there is room");
    time_overlay(kind, overlay.as_ref(), CUT_BYTES / 164);
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    for line in status.lines().filter(|line| line.starts_with("VmRSS") || line.starts_with("VmHWM")) {
        println!("  {line}");
    }
}

fn main() {
    let count: u64 = std::env::var("PROBE_ROWS").ok().and_then(|rows| rows.parse().ok()).unwrap_or(1_000_000);
    let base = std::env::var("PROBE_DIR").unwrap_or_else(|_| std::env::temp_dir().display().to_string());
    let directory = tempfile::tempdir_in(base).expect("there is room");
    let sled = SledOverlays::discard_and_open(directory.path().join("sled")).expect("there is room");
    if let Ok(kind) = std::env::var("PROBE_MEMORY") {
        return report_memory(&kind, &sled);
    }
    for rows in [count / 10, 2 * count / 5, count] {
        time_overlay("overlay in sled", sled.fresh().expect("there is room").as_ref(), rows);
        time_overlay("overlay in memory", MemoryOverlays.fresh().expect("it is only memory").as_ref(), rows);
    }
    let overlays: [(&str, Arc<dyn Overlays>); 2] = [("sled", Arc::new(sled)), ("memory", Arc::new(MemoryOverlays))];
    for (name, overlays) in &overlays {
        time_rows(name, overlays, directory.path(), count);
    }
}
