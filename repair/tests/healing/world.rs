//! Six nodes with a drive in memory each, of which one runs: objects that are written and read beside the daemon, and time that stands still
//! unless everyone waits.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cairn_core::entropy::SeededEntropy;
use cairn_core::units::{KIB, MIB};
use cairn_core::{
    BucketId, BucketName, Clock, ClusterId, DriveId, Elapsed, Entropy, Geometry, NodeId, ObjectKey, StripeId, WallTime,
};
use cairn_erasure::testing::{DriveFault, MemoryDrives, bytes_of};
use cairn_erasure::{ChunkPlace, CodingPool, StripePlaces, StripeReader};
use cairn_journal::files::faulty::{FaultPlan, FaultyFiles};
use cairn_machine::operation::{NewContent, NewDrive, VersionChoice};
use cairn_machine::rows::object::{Attributes, ContentHeaders, Etag};
use cairn_machine::rows::profile::ProfileId;
use cairn_machine::rows::session::SessionKind;
use cairn_machine::rows::stripe::StripeRow;
use cairn_machine::rows::topology::DriveState;
use cairn_machine::{Conditions, Operation, Outcome, Row, RowSource, Table};
use cairn_metadata::query::{self, LocatedPlace};
use cairn_metadata::{Client, MetadataNode, NodeConfig, StartError, Work};
use cairn_oplog::{LogDrive, LogIdentity, OpLog, Options, Shell, VoterId};
use cairn_placement::{Packing, PendingExtent, Stripes};
use cairn_repair::daemon::RepairParts;

use cairn_repair::{FaultQueue, Meter, NodeStanding, Redundancy, RepairConfig, RepairDaemon, Standings};
use cairn_rows::{MemoryOverlays, RowsOptions};
use tokio::sync::watch;
use tokio::time::Instant;

/// The node that runs.
pub const NODE: NodeId = NodeId(1);

/// All nodes; each has the drive with its own number.
const NODES: u64 = 6;

const LOG_DRIVES: u64 = 4;

/// How long healing may take, in simulated time.
const HEALING: Duration = Duration::from_secs(120);

/// Time that stands still unless everyone waits.
#[derive(Debug)]
pub struct PausedClock(Instant);

impl Clock for PausedClock {
    fn wall(&self) -> WallTime {
        WallTime(1_700_000_000_000 + u64::try_from(self.0.elapsed().as_millis()).unwrap())
    }

    fn elapsed(&self) -> Elapsed {
        Elapsed(self.0.elapsed())
    }
}

/// All of it.
pub struct World {
    pub drives: MemoryDrives,
    pub client: Client,
    pub stripes: Stripes,
    pub clock: Arc<dyn Clock>,
    pub bucket: BucketId,
    /// What must be read back.
    pub objects: BTreeMap<String, Bytes>,
    /// What the daemons are told of nodes.
    pub standings: watch::Sender<Standings>,
    written: u64,
    pub node: MetadataNode,
    _files: FaultyFiles,
}

/// A daemon and what it shows.
pub struct Daemon {
    pub meter: Meter,
    pub daemon: RepairDaemon,
}

/// Runs a test on one thread and paused time.
pub fn run(body: impl AsyncFnOnce(&mut World)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut world = World::new().await;
        body(&mut world).await;
        world.audit();
    });
}

fn dir(drive: u64) -> PathBuf {
    PathBuf::from(format!("/d{drive}"))
}

impl World {
    async fn new() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(PausedClock(Instant::now()));
        let drives = MemoryDrives::new(NODES as usize);
        let (node, files) = voter(clock.clone()).await;
        let client = node.client(SessionKind::Gateway).await.unwrap();
        for other in 2..=NODES {
            let joins = Operation::RegisterNode { node: NodeId(other), zone: String::new(), drives: drive_of(other) };
            assert_eq!(client.propose(vec![joins]).await.unwrap(), [Outcome::Done]);
        }
        let made = Operation::CreateBucket {
            name: BucketName::new("stones").unwrap(),
            owner: "root".into(),
            lock: None,
            acl: None,
        };
        let outcomes = client.propose(vec![made]).await.unwrap();
        let [Outcome::BucketCreated(bucket)] = outcomes[..] else { panic!("{outcomes:?}") };
        let pool = CodingPool::inline();
        let reader = StripeReader::new(drives.drives.clone(), pool.clone(), Arc::new(FaultQueue::default()));
        let stripes = Stripes::new(client.clone(), drives.drives.clone(), pool, reader, clock.clone());
        let alive = |node| (NodeId(node), NodeStanding::Alive);
        let standings = watch::Sender::new((2..=NODES).map(alive).collect());
        let objects = BTreeMap::new();
        Self { drives, client, stripes, clock, bucket, objects, standings, written: 0, node, _files: files }
    }

    /// A daemon with a session of its own.
    pub async fn daemon(&self) -> Daemon {
        let meter = Meter::default();
        let parts = RepairParts {
            client: self.node.client(SessionKind::Repair).await.unwrap(),
            drives: self.drives.drives.clone(),
            pool: CodingPool::inline(),
            faults: Arc::new(FaultQueue::default()),
            meter: meter.clone(),
            clock: self.clock.clone(),
            standings: Some(self.standings.subscribe()),
        };
        Daemon { meter, daemon: RepairDaemon::start(parts, RepairConfig::for_dev()) }
    }

    /// Writes objects, as a flush of a gateway does: together in one stripe.
    pub async fn put(&mut self, packing: Packing, named: &[(&str, u64)]) {
        let bodies: Vec<Bytes> = named.iter().map(|(_, length)| self.body(*length)).collect();
        let pending: Vec<PendingExtent> = named
            .iter()
            .zip(&bodies)
            .map(|((key, _), data)| PendingExtent {
                id: None,
                bucket: self.bucket,
                key: ObjectKey::new(*key).unwrap(),
                part: None,
                offset: 0,
                data: data.clone(),
            })
            .collect();
        let placed = self.stripes.place(packing, &pending).await.unwrap();
        let puts = pending.iter().zip(placed.extents()).map(|(pending, extent)| Operation::PutObject {
            bucket: self.bucket,
            key: pending.key.clone(),
            attributes: attributes(&pending.data),
            content: NewContent::Extents(vec![extent]),
            conditions: Conditions::default(),
            session: placed.write().session,
        });
        let puts = puts.collect();
        let outcomes = self.stripes.commit(&mut [placed], puts).await.unwrap();
        assert!(outcomes.iter().all(|outcome| !matches!(outcome, Outcome::Refused(_))), "{outcomes:?}");
        self.objects.extend(named.iter().map(|(key, _)| (*key).to_owned()).zip(bodies));
    }

    /// Some of everything: packed, alone and large.
    pub async fn fill(&mut self) {
        let names: Vec<String> = (0..60).map(|n| format!("small-{n}")).collect();
        for some in names.chunks(5) {
            let named: Vec<(&str, u64)> =
                some.iter().zip(1..).map(|(key, n)| (key.as_str(), n * 3 * KIB + 3)).collect();
            self.put(Packing::Packed, &named).await;
        }
        for (key, length) in [("large-0", MIB), ("large-1", 700 * KIB + 1), ("large-2", 300 * KIB + 77)] {
            self.put(Packing::Large, &[(key, length)]).await;
        }
    }

    pub async fn delete(&mut self, key: &str) {
        let delete = Operation::DeleteObject {
            bucket: self.bucket,
            key: ObjectKey::new(key).unwrap(),
            version: VersionChoice::Newest,
            conditions: Conditions::default(),
            bypass: None,
        };
        let outcomes = self.client.propose(vec![delete]).await.unwrap();
        assert!(!matches!(outcomes[0], Outcome::Refused(_)), "{outcomes:?}");
        self.objects.remove(key);
    }

    fn body(&mut self, length: u64) -> Bytes {
        self.written += 1;
        bytes_of(self.written, length as usize)
    }

    /// Reads every object and compares it with what was written.
    pub async fn read_all(&self) {
        let view = self.client.read().await.unwrap();
        for (key, expected) in &self.objects {
            let row = query::newest(&view, self.bucket, &ObjectKey::new(key.as_str()).unwrap()).unwrap().unwrap();
            let (_, content) = row.object().unwrap();
            let mut found = Vec::new();
            for located in query::locate(&view, content, 0..expected.len() as u64, usize::MAX).unwrap() {
                let LocatedPlace::Stripe { id, row, offset } = located.place else { panic!("{key} stands here") };
                let range = offset..offset + u64::from(located.length);
                for part in self.stripes.reader.read(&places(id, &row), range).await.unwrap() {
                    found.extend_from_slice(&part);
                }
            }
            assert!(found == *expected, "{key} does not read as it was written");
        }
    }

    /// Every stripe that the log knows.
    pub fn rows(&self) -> BTreeMap<StripeId, StripeRow> {
        let mut found = BTreeMap::new();
        let view = self.client.read_stale();
        view.scan(&[Table::Stripe as u8], Some(&[Table::Stripe as u8 + 1]), &mut |key, value| {
            found.insert(StripeRow::parse_key(key).unwrap(), StripeRow::decode(key, value).unwrap());
            core::ops::ControlFlow::Continue(())
        })
        .unwrap();
        found
    }

    /// The geometries of all stripes.
    pub fn geometries(&self) -> BTreeMap<String, usize> {
        let mut found = BTreeMap::new();
        for row in self.rows().values() {
            *found.entry(row.shape.geometry.to_string()).or_default() += 1;
        }
        found
    }

    /// Drives stop answering, or begin again.
    pub fn fault(&self, drives: &[u64], fault: Option<DriveFault>) {
        for &drive in drives {
            self.drives.drive(DriveId(drive)).set_fault(fault);
        }
    }

    /// What is thought of nodes from now on.
    pub fn nodes(&self, nodes: &[u64], standing: NodeStanding) {
        self.standings.send_modify(|standings| standings.extend(nodes.iter().map(|&node| (NodeId(node), standing))));
    }

    /// The log is told of drives what an operator would tell it.
    pub async fn declare(&self, drives: &[u64], from: DriveState, to: DriveState) {
        let change = |&drive: &u64| Operation::SetDriveState { drive: DriveId(drive), from, to };
        let outcomes = self.client.propose(drives.iter().map(change).collect()).await.unwrap();
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Done), "{outcomes:?}");
    }

    pub fn state(&self, drive: u64) -> DriveState {
        cairn_repair::census::drive_states(&self.client.read_stale()).unwrap()[&DriveId(drive)].state
    }

    /// Waits until a daemon's meter is as it should be.
    pub async fn until(&self, daemon: &Daemon, what: &str, holds: impl Fn(&Self, &Redundancy) -> bool) -> Redundancy {
        let began = Instant::now();
        while began.elapsed() < HEALING {
            let found = daemon.meter.redundancy();
            if found.as_of_index.is_some() && holds(self, &found) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{what}: {:#?} {:#?} {:?}", daemon.meter.redundancy(), daemon.meter.progress(), self.geometries());
    }

    /// The rows keep every invariant that has a checker.
    pub fn audit(&self) {
        let findings = cairn_machine::check::check(&self.client.read_stale()).unwrap();
        assert!(findings.is_empty(), "{findings:#?}");
    }
}

pub fn places(id: StripeId, row: &StripeRow) -> StripePlaces {
    let positions = row.positions.iter().map(|placed| ChunkPlace { drive: placed.drive, write: placed.write });
    StripePlaces { id, shape: row.shape, positions: positions.collect() }
}

fn attributes(data: &Bytes) -> Attributes {
    Attributes {
        size: data.len() as u64,
        etag: Etag { md5: [0; 16], parts: None },
        profile: ProfileId::STANDARD,
        headers: ContentHeaders::default(),
        metadata: Vec::new(),
        checksum: None,
        tags: None,
        upload: None,
        lock: None,
        acl: None,
    }
}

fn drive_of(node: u64) -> Vec<NewDrive> {
    vec![NewDrive { id: DriveId(node), weight: 1, label: String::new() }]
}

/// A real voter: its log on three of four simulated drives that are not those of the data.
async fn voter(clock: Arc<dyn Clock>) -> (MetadataNode, FaultyFiles) {
    let faulty = FaultyFiles::new(1, FaultPlan::default());
    let files = faulty.shared();
    for drive in 0..LOG_DRIVES {
        files.create_dir_all(&dir(drive).join("runs")).unwrap();
    }
    let entropy: Arc<dyn Entropy> = SeededEntropy::new(2);
    let log_drives =
        (0..LOG_DRIVES).map(|n| LogDrive { id: DriveId(100 + n), dir: dir(n), files: files.clone() }).collect();
    let identity = LogIdentity { cluster: ClusterId(5), node: NODE, voter: VoterId(1) };
    let mut options = Options::new(clock.clone());
    options.copies_wanted = 3;
    options.segment_bytes = 4 * MIB;
    let (log, recovered) = OpLog::open(log_drives, identity, options, entropy.clone(), Shell::Task).await.unwrap();
    let rows =
        RowsOptions { files, overlays: Arc::new(MemoryOverlays), entropy: entropy.clone(), cache_bytes: 1 << 20 };
    let runs = (0..LOG_DRIVES).map(|drive| dir(drive).join("runs")).collect();
    let mut config = NodeConfig::new(NODE, 1, runs, 3);
    config.work = Work::Inline;
    let voter = MetadataNode::start(config, log, recovered, rows, clock, entropy).await.unwrap();
    assert!(matches!(voter.ready().await, Err(StartError::NotFormed)));
    let form = Operation::Form {
        cluster: ClusterId(5),
        node: NODE,
        zone: String::new(),
        drives: drive_of(NODE.0),
        standard: Geometry::standard_for(6),
        access_key: "root".into(),
        sealed_secret: b"sealed".to_vec().into(),
        voter: 1,
    };
    voter.form(form).await.unwrap();
    voter.ready().await.unwrap();
    (voter, faulty)
}
