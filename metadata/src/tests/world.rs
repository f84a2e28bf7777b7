//! A machine with four drives that can lose its power, and the lives that a node leads on it.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cairn_core::entropy::SeededEntropy;
use cairn_core::{Clock, ClusterId, DriveId, Elapsed, Entropy, Geometry, LogIndex, NodeId, WallTime};
use cairn_journal::files::faulty::{FaultPlan, FaultyFiles};
use cairn_machine::operation::NewDrive;
use cairn_machine::rows::access_key::AccessKeyRow;
use cairn_machine::rows::session::SessionKind;
use cairn_machine::{Operation, Row};
use cairn_oplog::{LogDrive, LogIdentity, OpLog, Options, Shell, VoterId};
use cairn_rows::{MemoryOverlays, RowsOptions};
use tokio::time::Instant;

use crate::{Client, CutPolicy, HistoryPolicy, MetadataNode, NodeConfig, StartError, View, Work};

pub(super) const NODE: NodeId = NodeId(0xA0);
pub(super) const VOTER: u64 = 1;
pub(super) const DRIVES: u64 = 4;

/// Time that stands still unless everyone waits.
#[derive(Debug)]
pub(super) struct PausedClock {
    pub(super) start: Instant,
    pub(super) wall: u64,
    /// By how many milliseconds somebody has set it ahead.
    pub(super) ahead: Arc<AtomicU64>,
}

impl Clock for PausedClock {
    fn wall(&self) -> WallTime {
        WallTime(
            self.wall + self.ahead.load(Ordering::Relaxed) + u64::try_from(self.start.elapsed().as_millis()).unwrap(),
        )
    }

    fn elapsed(&self) -> Elapsed {
        Elapsed(self.start.elapsed())
    }
}

pub(super) struct World {
    pub(super) files: FaultyFiles,
    pub(super) config: NodeConfig,
    pub(super) clock_ahead: Arc<AtomicU64>,
    /// How many drives are here.
    pub(super) drives: u64,
    entropy: Arc<SeededEntropy>,
    lives: u64,
    formed: bool,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let files = FaultyFiles::new(seed, FaultPlan::default());
        for drive in 0..DRIVES {
            files.shared().create_dir_all(&dir(drive).join("runs")).unwrap();
            files.shared().sync_dir(&dir(drive)).unwrap();
            files.shared().sync_dir(&PathBuf::from("/")).unwrap();
        }
        let directories = (0..DRIVES).map(|drive| dir(drive).join("runs")).collect();
        let mut config = NodeConfig::new(NODE, VOTER, directories, 3);
        config.work = Work::Inline;
        // Small enough that some dozens of proposals make a run, and some runs cut the log.
        config.cut = CutPolicy { overlay_bytes: 8 << 10, log_bytes: 16 << 10, garbage_age: Duration::from_secs(600) };
        config.history = HistoryPolicy { age: Duration::from_secs(3600), bytes: 24 << 10 };
        let clock_ahead = Arc::default();
        Self { files, config, clock_ahead, drives: DRIVES, entropy: SeededEntropy::new(seed), lives: 0, formed: false }
    }

    /// Starts a node on the machine as it is, and forms it the first time.
    pub(super) async fn start(&mut self) -> Result<MetadataNode, StartError> {
        let files = self.files.shared();
        let (wall, ahead) = (1_000_000 + self.lives * 1_000_000_000, self.clock_ahead.clone());
        let clock = Arc::new(PausedClock { start: Instant::now(), wall, ahead });
        let drives = (0..self.drives).map(|n| LogDrive { id: DriveId(n), dir: dir(n), files: files.clone() }).collect();
        let identity = LogIdentity { cluster: ClusterId(7), node: NODE, voter: VoterId(VOTER) };
        let mut options = Options::new(clock.clone());
        options.formed = self.formed;
        options.copies_wanted = 3;
        options.segment_bytes = 256 << 10;
        let entropy: Arc<dyn Entropy> = self.entropy.clone();
        let (log, recovered) = OpLog::open(drives, identity, options, entropy.clone(), Shell::Task)
            .await
            .map_err(|error| StartError::Log(error.into()))?;
        let rows =
            RowsOptions { files, overlays: Arc::new(MemoryOverlays), entropy: entropy.clone(), cache_bytes: 1 << 20 };
        let node = MetadataNode::start(self.config.clone(), log, recovered, rows, clock, entropy).await?;
        if let Err(StartError::NotFormed) = node.ready().await {
            node.form(form()).await.map_err(|error| StartError::Raft(error.to_string()))?;
            self.formed = true;
        }
        node.ready().await?;
        self.formed = true;
        Ok(node)
    }

    /// One life: whatever is still running when the body returns is gone at once, as in a kill.
    pub(super) fn live<T>(&mut self, body: impl AsyncFnOnce(&mut Self) -> T) -> T {
        self.lives += 1;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(body(self))
    }

    /// One life that ends with its power.
    pub(super) fn live_and_crash<T>(&mut self, body: impl AsyncFnOnce(&mut Self) -> T) -> T {
        let result = self.live(body);
        self.files.crash();
        result
    }
}

pub(super) fn dir(drive: u64) -> PathBuf {
    PathBuf::from(format!("/d{drive}"))
}

pub(super) fn form() -> Operation {
    Operation::Form {
        cluster: ClusterId(7),
        node: NODE,
        zone: String::new(),
        drives: (0..DRIVES).map(|n| NewDrive { id: DriveId(n), weight: 1, label: format!("d{n}") }).collect(),
        standard: Geometry::new(2, 2).unwrap(),
        access_key: "root".into(),
        sealed_secret: b"sealed".to_vec().into(),
        voter: VOTER,
    }
}

pub(super) async fn gateway(node: &MetadataNode) -> Client {
    node.client(SessionKind::Gateway).await.unwrap()
}

/// Access keys serve as registers: the machine takes any id and any short secret, and the last write wins.
pub(super) fn write(register: &str, value: u64) -> Operation {
    Operation::PutAccessKey { id: register.to_owned(), sealed_secret: value.to_be_bytes().to_vec().into(), root: false }
}

pub(super) fn value_of(view: &View, register: &str) -> Option<u64> {
    let row = AccessKeyRow::get(view, &register.to_owned()).unwrap()?;
    Some(u64::from_be_bytes(row.sealed_secret.as_slice().try_into().unwrap()))
}

/// Fails the test, with the seed that replays it, when nothing has come of something for an hour of simulated time.
pub(super) async fn within<T>(seed: u64, what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(3600), future).await {
        Ok(done) => done,
        Err(_) => panic!("seed {seed}: nothing came of {what}"),
    }
}

/// Waits until the status is as it should be.
pub(super) async fn until(seed: u64, node: &MetadataNode, what: &str, holds: impl Fn(&crate::MetadataStatus) -> bool) {
    within(seed, what, async {
        while !holds(&node.status()) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}

pub(super) const fn at(index: u64) -> LogIndex {
    LogIndex(index)
}
