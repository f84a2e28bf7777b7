//! The conformance suite, over every kind of drive.

use cairn_journal::files::real::RealFiles;
use tempfile::TempDir;

use super::*;
use crate::conformance;

/// A store whose directory goes with it.
fn run_on_disk(options: DriveOptions, workers: usize) {
    let base = TempDir::new().unwrap();
    let made = std::cell::Cell::new(0);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).build().unwrap();
    runtime.block_on(conformance::all(|| async {
        made.set(made.get() + 1);
        let dir = format(RealFiles::shared(), &base.path().join(made.get().to_string()));
        let store: Arc<dyn ChunkStore> = open(dir, &options, made.get()).unwrap();
        store
    }));
}

#[test]
fn on_a_disk_with_an_index_in_memory() {
    // As it runs in earnest, but for the reserve, which a test's machine may not have.
    run_on_disk(DriveOptions { reserve_bytes: Some(0), ..DriveOptions::default() }, 2);
}

#[test]
fn on_a_disk_with_an_index_in_sled() {
    let index = IndexKind::Sled { cache_bytes: 1 << 20 };
    run_on_disk(DriveOptions { segment_bytes: Some(8 << 20), ..options(Shell::Thread, index) }, 2);
}

#[test]
fn with_everything_on_one_task() {
    for cache_miss in [0.0, 0.5, 1.0] {
        let made = std::cell::Cell::new(0);
        one_thread().block_on(conformance::all(|| async {
            made.set(made.get() + 1);
            let plan = FaultPlan { cache_miss, ..FaultPlan::default() };
            let files = FaultyFiles::new(made.get(), plan);
            let options = DriveOptions { segment_bytes: Some(8 << 20), ..simulated() };
            let store: Arc<dyn ChunkStore> = open(format(files.shared(), Path::new("/drive")), &options, 1).unwrap();
            store
        }));
    }
}

/// Chunks longer than the whole queue, a cache that holds next to nothing, one reading thread: slower, not wrong.
#[test]
fn with_hardly_any_room() {
    let tight = DriveOptions { queue_bytes: 8192, head_cache_bytes: 0, reads_max: 1, ..DriveOptions::default() };
    run_on_disk(DriveOptions { reserve_bytes: Some(0), ..tight }, 2);
}
