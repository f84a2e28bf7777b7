//! The two chunk indexes with a million chunks: time of an insert and of a look-up, time of a start, memory and disk.
//!
//! No criterion here: what is measured is a growing structure, once, not a repeated call. Run one of them at a time
//! (`cargo bench --bench index -- memory`, `-- sled`), so that what one has freed does not hide what the other takes.

use std::path::Path;
use std::time::{Duration, Instant};

use cairn_core::{ChunkName, SessionId, StripeId, WriteId};
use cairn_journal::Place;
use cairn_storage_node::index::{ChunkIndex, MemoryIndex, SledIndex};

const CHUNKS: u64 = 1_000_000;
const CACHE_BYTES: u64 = 8 << 20;

fn name(counter: u64) -> ChunkName {
    // A new session after every hundred thousand writes, its id anywhere; two of three stripes have their chunk elsewhere.
    let session = SessionId((counter / 100_000 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let write = WriteId { session, counter: counter * 3 };
    ChunkName { stripe: StripeId(write), position: (counter % 6) as u8, write }
}

fn place(counter: u64) -> Place {
    Place { segment: (counter / 1000) as u32, offset: counter % 1000 * 262_144, length: 262_000 }
}

fn resident_bytes() -> i64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux says how much memory is used");
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<i64>().ok()).expect("a number of pages") * 4096
}

fn each(total: Duration) -> String {
    format!("{:.2} us each", total.as_secs_f64() * 1e6 / CHUNKS as f64)
}

fn timed(what: &str, run: impl FnOnce()) {
    let start = Instant::now();
    run();
    println!("  {what}: {} ({:.2?} in all)", each(start.elapsed()), start.elapsed());
}

fn fill(index: &dyn ChunkIndex) {
    (0..CHUNKS).for_each(|i| assert_eq!(index.insert(&name(i), place(i)).expect("inserted"), None));
}

fn look_up(index: &dyn ChunkIndex, among: u64) {
    let mut state = 1u64;
    for _ in 0..CHUNKS {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let counter = (state >> 33) % among;
        assert_eq!(index.get(&name(counter)).expect("asked"), Some(place(counter)));
    }
}

fn measure(index: &dyn ChunkIndex, before: i64) {
    timed("insert, in order of writing", || fill(index));
    println!("  resident: {} MiB", (resident_bytes() - before) >> 20);
    timed("look up, any of a million", || look_up(index, CHUNKS));
    timed("look up, any of ten thousand", || look_up(index, 10_000));
    timed("count", || assert_eq!(index.count().expect("counted"), CHUNKS));
    println!("  resident: {} MiB", (resident_bytes() - before) >> 20);
}

fn sled(dir: &Path) {
    let before = resident_bytes();
    let open = || SledIndex::open(dir, CACHE_BYTES).expect("opened");
    {
        let index = open();
        measure(&index, before);
    }
    let disk: u64 =
        std::fs::read_dir(dir).expect("listed").flatten().filter_map(|entry| Some(entry.metadata().ok()?.len())).sum();
    println!("  on disk: {} MiB", disk >> 20);
    timed("open again", || drop(open()));
    let index = open();
    timed("compare all with the journal's", || {
        (0..CHUNKS).for_each(|i| assert_eq!(index.get(&name(i)).expect("asked"), Some(place(i))));
    });
}

fn main() {
    let wanted = |which: &str| {
        !std::env::args().any(|arg| arg == "memory" || arg == "sled") || std::env::args().any(|arg| arg == which)
    };
    if wanted("memory") {
        println!("in memory");
        measure(&MemoryIndex::default(), resident_bytes());
    }
    if wanted("sled") {
        println!("in sled");
        let base = std::env::var_os("CAIRN_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
        sled(tempfile::tempdir_in(base).expect("a directory for the bench").path());
    }
}
