//! A drive over real and over faulty disks.

mod crashes;
mod faults;
mod indexes;
mod model;
mod races;
mod sick;
mod suite;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use cairn_core::chunk_store::ChunkStat;
use cairn_core::clock::ManualClock;
use cairn_core::entropy::SeededEntropy;
use cairn_core::{ClusterId, NodeId, WallTime};
use cairn_journal::files::Files;
use cairn_journal::files::faulty::{FaultPlan, FaultyFiles};
use tokio::runtime::Runtime;

use super::*;
use crate::identity::{Formation, Identity};
use crate::options::IndexKind;
use crate::secret::ClusterSecret;

const DRIVE: DriveId = DriveId(0xD);

/// Small segments, so that a handful of chunks fills one.
fn options(shell: Shell, index: IndexKind) -> DriveOptions {
    DriveOptions {
        shell,
        index,
        segment_bytes: Some(128 * 1024),
        reserve_bytes: Some(0),
        head_cache_bytes: 64 * 1024,
        ..DriveOptions::default()
    }
}

fn simulated() -> DriveOptions {
    options(Shell::Task, IndexKind::Memory)
}

fn format(files: Arc<dyn Files>, path: &Path) -> Arc<DriveDir> {
    let identity = Identity {
        cluster: ClusterId(1),
        node: NodeId(2),
        drive: DRIVE,
        state: Formation::Formed,
        created: WallTime(3),
        slot: None,
    };
    let secret = ClusterSecret::draw(&*SeededEntropy::new(4));
    Arc::new(DriveDir::format(files, path, identity, &secret).unwrap())
}

fn open(dir: Arc<DriveDir>, options: &DriveOptions, seed: u64) -> Result<Arc<Drive>, OpenError> {
    Drive::open(dir, options, ManualClock::at(WallTime(5)), SeededEntropy::new(seed))
}

fn one_thread() -> Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

/// A drive on a simulated disk, to be opened again and again.
struct Simulated {
    files: FaultyFiles,
    path: PathBuf,
}

impl Simulated {
    fn new(seed: u64, plan: FaultPlan) -> Self {
        let files = FaultyFiles::new(seed, plan);
        let path = PathBuf::from("/drive");
        drop(format(files.shared(), &path));
        Self { files, path }
    }

    fn dir(&self) -> Arc<DriveDir> {
        Arc::new(DriveDir::open(self.files.shared(), &self.path).unwrap())
    }

    fn open(&self, seed: u64) -> Arc<Drive> {
        self.try_open(seed).unwrap()
    }

    fn try_open(&self, seed: u64) -> Result<Arc<Drive>, Box<dyn std::error::Error>> {
        let dir = Arc::new(DriveDir::open(self.files.shared(), &self.path)?);
        Ok(open(dir, &simulated(), seed)?)
    }

    /// The segments, in order.
    fn segments(&self) -> Vec<PathBuf> {
        let chunks = self.path.join("chunks");
        self.files.list(&chunks).unwrap().into_iter().map(|entry| chunks.join(entry.name)).collect()
    }

    /// Where bytes stand on the disk: which file, and at what offset.
    fn find(&self, bytes: &[u8]) -> (PathBuf, u64) {
        for path in self.segments() {
            let file = self.files.open(&path).unwrap();
            let mut content = vec![0; file.len().unwrap() as usize];
            file.read_exact_at(&mut content, 0).unwrap();
            if let Some(at) = content.windows(bytes.len()).position(|window| window == bytes) {
                return (path, at as u64);
            }
        }
        panic!("these bytes are on no segment");
    }
}

async fn listed(store: &dyn ChunkStore) -> Vec<ChunkStat> {
    store.list(None, usize::MAX).await.unwrap()
}

/// The index, the books and the journal agree.
async fn assert_balanced(drive: &Drive) {
    let (stats, health) = (listed(drive).await, drive.health());
    assert_eq!(health.chunks, stats.len() as u64);
    assert_eq!(health.live_bytes, stats.iter().map(|stat| stat.stored_bytes).sum::<u64>());
    let usage = drive.core.journal.usage();
    assert_eq!((usage.live_records, usage.live_bytes), (health.chunks, health.live_bytes));
}

fn bytes_of(name: &ChunkName, length: usize) -> Bytes {
    crate::conformance::bytes(name, length)
}
