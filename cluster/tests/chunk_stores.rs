//! One conformance suite for a drive in this process, across loopback, and across a network that cuts and corrupts.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod support;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cairn_cluster::chunks::{ChunkService, RemoteDrive};
use cairn_cluster::client::pool::Pool;
use cairn_cluster::network::Network;
use cairn_cluster::network::simulated::{Faults, SimulatedNetwork};
use cairn_cluster::network::tcp::TcpNetwork;
use cairn_cluster::server::{Listener, ListenerOptions};
use cairn_cluster::service::{ServiceId, Services};
use cairn_core::chunk_store::{ChunkStat, DriveHealth};
use cairn_core::clock::ManualClock;
use cairn_core::entropy::SeededEntropy;
use cairn_core::{
    ChunkError, ChunkHead, ChunkName, ChunkRecord, ChunkSlice, ChunkStore, ClusterId, DriveId, Drives, Entropy as _,
    NodeId, WallTime,
};
use cairn_journal::Shell;
use cairn_journal::files::faulty::{FaultPlan, FaultyFiles};
use cairn_storage_node::conformance::{self, assert_holds, name, record};
use cairn_storage_node::{ClusterSecret, Drive, DriveDir, DriveOptions, Formation, Identity};
use futures::FutureExt as _;
use futures::future::{BoxFuture, join_all};

use support::{SECRET, key, loopback, machine};

const DRIVE: DriveId = DriveId(0xD);
const OWNER: NodeId = NodeId(2);

fn options() -> DriveOptions {
    DriveOptions { shell: Shell::Task, segment_bytes: Some(8 << 20), reserve_bytes: Some(0), ..DriveOptions::default() }
}

fn format(files: &FaultyFiles) -> Arc<DriveDir> {
    let identity = Identity {
        cluster: ClusterId(1),
        node: OWNER,
        drive: DRIVE,
        state: Formation::Formed,
        created: WallTime(3),
        slot: None,
    };
    let secret = ClusterSecret::from_bytes(SECRET);
    Arc::new(DriveDir::format(files.shared(), Path::new("/drive"), identity, &secret).unwrap())
}

fn open(dir: Arc<DriveDir>, seed: u64) -> Arc<Drive> {
    Drive::open(dir, &options(), ManualClock::at(WallTime(5)), SeededEntropy::new(seed)).unwrap()
}

fn local(seed: u64) -> Arc<Drive> {
    open(format(&FaultyFiles::new(seed, FaultPlan::default())), seed)
}

/// A drive, and another node's view of it. The listener lives as long as the view.
#[derive(Debug)]
struct Across {
    remote: Arc<RemoteDrive>,
    /// Says again what a caller said whose call was lost, as the layers above do.
    stubborn: bool,
    _listener: Listener,
}

impl Across {
    async fn new(
        drive: Arc<dyn ChunkStore>,
        theirs: &dyn Network,
        ours: Arc<dyn Network>,
        stubborn: bool,
        seed: u64,
    ) -> Self {
        let entropy = SeededEntropy::new(seed);
        let services = Services::default().with(ServiceId::CHUNKS, ChunkService::new(Drives::new([drive]), &*entropy));
        let listening = ListenerOptions { node: OWNER, key: key(&SECRET), address: loopback(), services };
        let listener = Listener::start(listening, theirs, entropy.clone()).await.unwrap();
        let pool = Pool::new(NodeId(1), key(&SECRET), ours, entropy);
        pool.set_address(OWNER, listener.address());
        let across = Self { remote: RemoteDrive::new(pool, OWNER, DRIVE), stubborn, _listener: listener };
        across.again(|| across.remote.refresh().boxed()).await.unwrap();
        across
    }

    async fn over_tcp(drive: Arc<dyn ChunkStore>) -> Self {
        Self::new(drive, &TcpNetwork, TcpNetwork::shared(), false, 1).await
    }

    async fn over(network: &SimulatedNetwork, drive: Arc<dyn ChunkStore>, stubborn: bool, seed: u64) -> Self {
        let theirs = network.endpoint(machine(2));
        Self::new(drive, &*theirs, network.endpoint(machine(1)), stubborn, seed).await
    }

    async fn again<'a, T>(&self, ask: impl Fn() -> BoxFuture<'a, Result<T, ChunkError>>) -> Result<T, ChunkError> {
        loop {
            match ask().await {
                Err(ChunkError::Unavailable(..) | ChunkError::Busy(_)) if self.stubborn => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                answer => return answer,
            }
        }
    }
}

impl ChunkStore for Across {
    fn drive(&self) -> DriveId {
        self.remote.drive()
    }

    fn put(&self, chunk: ChunkRecord) -> BoxFuture<'_, Result<(), ChunkError>> {
        async move { self.again(|| self.remote.put(chunk.clone())).await }.boxed()
    }

    fn get(&self, name: ChunkName, range: Range<u32>) -> BoxFuture<'_, Result<ChunkSlice, ChunkError>> {
        async move {
            loop {
                let slice = self.again(|| self.remote.get(name, range.clone())).await?;
                // What a flipped bit made of a chunk on its way is found by its reader, who asks again.
                if !self.stubborn || slice.clone().verified(&name).is_ok() {
                    return Ok(slice);
                }
            }
        }
        .boxed()
    }

    fn head(&self, name: ChunkName) -> BoxFuture<'_, Result<Arc<ChunkHead>, ChunkError>> {
        async move { self.again(|| self.remote.head(name)).await }.boxed()
    }

    fn read_back(&self, name: ChunkName) -> BoxFuture<'_, Result<Arc<ChunkHead>, ChunkError>> {
        async move { self.again(|| self.remote.read_back(name)).await }.boxed()
    }

    fn delete(&self, name: ChunkName) -> BoxFuture<'_, Result<bool, ChunkError>> {
        async move {
            // A delete whose answer was lost says "not there" when it is asked again, so this asks first.
            let there = !self.stubborn || self.head(name).await.is_ok();
            let deleted = self.again(|| self.remote.delete(name)).await?;
            Ok(if self.stubborn { there } else { deleted })
        }
        .boxed()
    }

    fn list(&self, after: Option<ChunkName>, limit: usize) -> BoxFuture<'_, Result<Vec<ChunkStat>, ChunkError>> {
        async move { self.again(|| self.remote.list(after, limit)).await }.boxed()
    }

    fn health(&self) -> DriveHealth {
        self.remote.health()
    }
}

#[tokio::test]
async fn the_suite_over_a_local_drive() {
    let made = Cell::new(0);
    conformance::all(|| async {
        made.set(made.get() + 1);
        local(made.get()) as Arc<dyn ChunkStore>
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_over_loopback() {
    let made = Cell::new(0);
    conformance::all(|| async {
        made.set(made.get() + 1);
        Arc::new(Across::over_tcp(local(made.get())).await) as Arc<dyn ChunkStore>
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_suite_over_a_network_that_cuts_delays_and_corrupts() {
    let seed: u64 = std::env::var("CAIRN_SEED").map_or(11, |seed| seed.parse().unwrap());
    eprintln!("CAIRN_SEED={seed} replays it");
    let made = Cell::new(seed);
    conformance::all(|| async {
        made.set(made.get() + 1);
        let network = SimulatedNetwork::new(made.get());
        let delay = Duration::ZERO..=Duration::from_millis(2);
        network.set_faults(Faults { delay, cut_one_in: 4, cut_bytes_max: 2_000_000, flip_one_in: 300 });
        Arc::new(Across::over(&network, local(made.get()), true, made.get()).await) as Arc<dyn ChunkStore>
    })
    .await;
}

/// Puts over a bad network onto a disk that loses power: whatever was acknowledged is there afterwards, whole.
async fn lose_power(seed: u64) -> (usize, usize) {
    let entropy = SeededEntropy::new(seed);
    let files = FaultyFiles::new(seed, FaultPlan::default());
    let drive = open(format(&files), seed);
    let network = SimulatedNetwork::new(seed);
    let delay = Duration::ZERO..=Duration::from_millis(5);
    network.set_faults(Faults { delay, cut_one_in: 3, cut_bytes_max: 100_000, flip_one_in: 100 });
    let across = Across::over(&network, drive.clone(), true, seed).await;
    files.power_off_after(entropy.next_u64() % 400);
    let records: Vec<_> =
        (0..120).map(|counter| record(name(counter, 0), (entropy.next_u64() % 40_000) as usize)).collect();
    // Each is tried once: a caller that asks again and again never learns that the disk is gone.
    let answers = join_all(records.iter().map(|record| across.remote.put(record.clone()))).await;
    let acked: BTreeSet<_> =
        records.iter().zip(&answers).filter(|(_, answer)| answer.is_ok()).map(|(r, _)| *r.head.name()).collect();
    drop((across, drive));
    // The tasks of the connections hold the drive until they have seen the end.
    tokio::time::sleep(Duration::from_secs(1)).await;
    files.crash();
    files.stop_faults();
    let again = open(Arc::new(DriveDir::open(files.shared(), Path::new("/drive")).unwrap()), seed + 1);
    for record in records.iter().filter(|record| acked.contains(record.head.name())) {
        assert_holds(&*again, record).await;
    }
    // What was not acknowledged is there whole or not at all.
    for stat in again.list(None, usize::MAX).await.unwrap() {
        let record = records.iter().find(|record| *record.head.name() == stat.name).unwrap();
        assert_holds(&*again, record).await;
    }
    (acked.len(), records.len() - acked.len())
}

#[tokio::test(start_paused = true)]
async fn what_was_acknowledged_across_a_bad_network_survives_a_power_cut() {
    let (first, seeds) = match std::env::var("CAIRN_SEED") {
        Ok(seed) => (seed.parse().unwrap(), 1),
        Err(_) => (1, 30),
    };
    let (mut acked, mut failed) = (0, 0);
    for seed in first..first + seeds {
        eprintln!("CAIRN_SEED={seed} replays it");
        let (a, f) = lose_power(seed).await;
        acked += a;
        failed += f;
    }
    assert!(seeds == 1 || acked > 100 && failed > 100, "{acked} acknowledged, {failed} failed: both were tried");
}

/// A drive that breaks what it stores, or claims what it did not do, cannot be told apart by a test of the network; one
/// that gives wrong bytes to the wire can.
#[tokio::test(start_paused = true)]
async fn wrong_bytes_on_their_way_to_a_drive_never_reach_it() {
    let network = SimulatedNetwork::new(3);
    let drive = local(3);
    let across = Across::over(&network, drive.clone(), false, 3).await;
    network.set_faults(Faults { flip_one_in: 2, ..Faults::default() });
    let mut refused = 0;
    for counter in 0..60 {
        let record = record(name(counter, 0), 30_000);
        match across.put(record.clone()).await {
            Ok(()) => assert_holds(&*drive, &record).await,
            Err(ChunkError::Unavailable(..)) => refused += 1,
            Err(other) => panic!("{other}"),
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    assert!(refused > 5, "{refused} puts met a flipped bit");
    for stat in drive.list(None, usize::MAX).await.unwrap() {
        drive.read_back(stat.name).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_gone_is_said_to_be_and_comes_back() {
    let network = SimulatedNetwork::new(4);
    let across = Across::over(&network, local(4), false, 4).await;
    let here = record(name(1, 0), 5000);
    across.put(here.clone()).await.unwrap();
    assert_eq!(across.health().writable, Ok(()));
    network.part(machine(1), machine(2));
    assert!(matches!(across.put(record(name(2, 0), 10)).await, Err(ChunkError::Unavailable(..))));
    let health = across.health();
    assert!(health.writable.is_err(), "nobody writes to a drive that does not answer");
    assert_eq!(health.chunks, 1, "its figures are the last ones");
    network.heal();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(across.remote.refresh().await.unwrap().writable, Ok(()));
    assert_holds(&across, &here).await;
    // A drive that this node does not have.
    let other = RemoteDrive::new(
        {
            let pool = Pool::new(NodeId(3), key(&SECRET), network.endpoint(machine(3)), SeededEntropy::new(9));
            pool.set_address(OWNER, across._listener.address());
            pool
        },
        OWNER,
        DriveId(0xE),
    );
    assert!(matches!(other.refresh().await, Err(ChunkError::Unavailable(DriveId(0xE), _))));
}
