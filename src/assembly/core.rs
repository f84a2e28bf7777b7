//! What everything else stands on: locked directories, the operation log on them, and the metadata behind it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use cairn_core::{ChunkStore, ClusterId, DriveId, Drives, Geometry, NodeId};
use cairn_journal::Shell;
use cairn_metadata::{MetadataNode, NoPeers, NodeConfig, Peers, SessionPolicy, Standing, Work};
use cairn_oplog::{LogDrive, LogIdentity, OpLog, Options, Orders, VoterId, copies_wanted};
use cairn_rows::RowsOptions;
use cairn_storage_node::{ClusterSecret, Drive, DriveDir, DriveOptions, Formation, Identity, Inspect, Slot};

use crate::assembly::Parts;
use crate::dev::directories::{self, Plan};

/// The seat of the first voter. A voter's id is the index at which it joined, and the first one is there before the first
/// entry.
pub const FIRST_VOTER: u64 = 1;

/// Blocks of runs that are kept in memory. Far less than a page cache, because runs lie there too.
const RUN_CACHE_BYTES: usize = 16 << 20;

/// When a run is cut. A start applies this much of the log again before it serves: filling an overlay costs some 50 ms for
/// each MiB, and a start should take less than a second.
const OVERLAY_BYTES_MAX: u64 = 16 << 20;

/// The log that is kept behind the newest run takes at most this part of a drive: one twentieth.
const HISTORY_SHARE: u64 = 20;

/// What heads of chunks may take of memory, for each drive.
const HEAD_CACHE_BYTES: usize = 4 << 20;

/// The directories of one server, locked, with what they carry.
#[derive(Debug)]
pub struct Rooms {
    dirs: Vec<Arc<DriveDir>>,
    secret: ClusterSecret,
    of: u16,
}

impl Rooms {
    /// Opens the drives that are there and formats the fresh ones, as the plan says.
    pub fn open(parts: &Parts, dir: &Path, plan: &Plan) -> anyhow::Result<Self> {
        let mut dirs = Vec::new();
        for &number in &plan.present {
            dirs.push(Arc::new(DriveDir::open(parts.files.clone(), &directories::path(dir, number))?));
        }
        let like = match plan.like {
            Some((number, identity)) => {
                let at = plan.present.iter().position(|&present| present == number);
                let known = at.and_then(|at| dirs.get(at)).context("a plan follows a drive that is there")?;
                Some((identity, known.secret().clone()))
            }
            None => None,
        };
        let (cluster, node, secret) = match like {
            Some((identity, secret)) => (identity.cluster, identity.node, secret),
            None => {
                let entropy = &*parts.entropy;
                (ClusterId(entropy.next_u128()), NodeId(entropy.next_u64()), ClusterSecret::draw(entropy))
            }
        };
        for &number in &plan.fresh {
            let identity = Identity {
                cluster,
                node,
                drive: DriveId(parts.entropy.next_u64()),
                // In a cluster that exists, a fresh drive says so from its first moment: a start that saw nothing but
                // replacements would otherwise take them for the beginning of a cluster.
                state: if plan.formed { Formation::Formed } else { Formation::Forming },
                created: parts.clock.wall(),
                slot: Some(Slot { number, of: plan.of }),
            };
            let path = directories::path(dir, number);
            dirs.push(Arc::new(DriveDir::format(parts.files.clone(), &path, identity, &secret)?));
        }
        Ok(Self { dirs, secret, of: plan.of })
    }

    /// Opens the directories of a node of a cluster, and formats those that are fresh.
    pub fn open_node(
        parts: &Parts,
        paths: &[PathBuf],
        cluster: ClusterId,
        secret: &ClusterSecret,
    ) -> anyhow::Result<Self> {
        let mut found = Vec::new();
        for path in paths {
            found.push(match DriveDir::inspect(&*parts.files, path)? {
                Inspect::Missing | Inspect::Empty => None,
                // Everything else is a drive, or refused by name when it is opened.
                _ => Some(Arc::new(DriveDir::open(parts.files.clone(), path)?)),
            });
        }
        let mut node = None;
        for (dir, path) in found.iter().zip(paths) {
            let Some(dir) = dir else { continue };
            dir.require(cluster, None)?;
            anyhow::ensure!(dir.secret() == secret, "{} has another secret than the cluster's", path.display());
            let theirs = dir.identity().node;
            let ours = *node.get_or_insert(theirs);
            anyhow::ensure!(theirs == ours, "{} was node {theirs}'s, and others are node {ours}'s", path.display());
        }
        let node = node.unwrap_or_else(|| NodeId(parts.entropy.next_u64().max(1)));
        let mut dirs = Vec::new();
        for (dir, path) in found.into_iter().zip(paths) {
            let fresh = || {
                let identity = Identity {
                    cluster,
                    node,
                    drive: DriveId(parts.entropy.next_u64()),
                    state: Formation::Forming,
                    created: parts.clock.wall(),
                    slot: None,
                };
                DriveDir::format(parts.files.clone(), path, identity, secret).map(Arc::new)
            };
            dirs.push(dir.map_or_else(fresh, Ok)?);
        }
        let mut seen = BTreeSet::new();
        for dir in &dirs {
            let drive = dir.identity().drive;
            anyhow::ensure!(seen.insert(drive), "{} is a copy of another drive", dir.path().display());
        }
        Ok(Self { dirs, secret: secret.clone(), of: u16::try_from(paths.len()).unwrap_or(u16::MAX) })
    }

    /// The cluster.
    pub fn cluster(&self) -> ClusterId {
        self.dirs[0].identity().cluster
    }

    /// This node.
    pub fn node(&self) -> NodeId {
        self.dirs[0].identity().node
    }

    /// The cluster's secret.
    pub fn secret(&self) -> &ClusterSecret {
        &self.secret
    }

    /// The drives' directories.
    pub fn dirs(&self) -> &[Arc<DriveDir>] {
        &self.dirs
    }

    /// How many drives belong together.
    pub fn of(&self) -> u16 {
        self.of
    }

    /// Notes on every drive that the cluster exists. Only after the log has them all.
    pub fn mark_formed(&self) -> anyhow::Result<()> {
        for dir in &self.dirs {
            dir.mark_formed()?;
        }
        Ok(())
    }
}

/// Under which id this process takes part in the log, and how it reaches the others.
#[derive(Debug)]
pub struct Seat {
    /// The id.
    pub member: u64,
    /// What it knows of its past under that id.
    pub standing: Standing,
    /// Whether the drives say that its log was begun: an empty one is a lost one then.
    pub formed: bool,
    /// How many of its drives may be lost while nothing is lost with them.
    pub parity: u8,
    /// The way to the others.
    pub peers: Arc<dyn Peers>,
    /// How sessions are kept alive.
    pub sessions: SessionPolicy,
}

impl Seat {
    /// The only voter of a cluster that is one process.
    pub fn alone(rooms: &Rooms, formed: bool) -> Self {
        Self {
            member: FIRST_VOTER,
            standing: Standing::Founder,
            formed,
            parity: u8::try_from(Geometry::standard_for(usize::from(rooms.of())).m()).unwrap_or(u8::MAX),
            peers: Arc::new(NoPeers),
            sessions: SessionPolicy::default(),
        }
    }
}

/// The log and the metadata of this process.
#[derive(Debug)]
pub struct Core {
    /// Whose log it is.
    pub identity: LogIdentity,
    /// The voter.
    pub node: MetadataNode,
}

impl Core {
    /// Opens the log on its drives and starts the voter on it. Ready, or to be formed.
    pub async fn start(parts: &Parts, rooms: &Rooms, seat: Seat, orders: Orders) -> anyhow::Result<Self> {
        let voter = VoterId(seat.member);
        let identity = LogIdentity { cluster: rooms.cluster(), node: rooms.node(), voter };
        let dirs = rooms.dirs();
        let copies = copies_wanted(seat.parity, 0, dirs.len());
        let options =
            Options { formed: seat.formed, copies_wanted: copies, orders, ..Options::new(parts.clock.clone()) };
        let drives = dirs.iter().map(|dir| LogDrive {
            id: dir.identity().drive,
            dir: dir.path().to_owned(),
            files: parts.files.clone(),
        });
        let (log, recovered) =
            OpLog::open(drives.collect(), identity, options, parts.entropy.clone(), parts.shell).await?;
        let run_directories: Vec<PathBuf> = dirs.iter().map(|dir| dir.runs()).collect();
        let run_copies = usize::from(copies).min(run_directories.len());
        let mut config = NodeConfig::new(rooms.node(), seat.member, run_directories, run_copies);
        (config.standing, config.peers, config.sessions) = (seat.standing, seat.peers, seat.sessions);
        config.cut.overlay_bytes = OVERLAY_BYTES_MAX;
        config.history.bytes = config.history.bytes.min(smallest_drive_bytes(rooms) / HISTORY_SHARE);
        if parts.shell == Shell::Task {
            config.work = Work::Inline;
        }
        let rows = RowsOptions {
            files: parts.files.clone(),
            overlays: parts.overlays.clone(),
            entropy: parts.entropy.clone(),
            cache_bytes: RUN_CACHE_BYTES,
        };
        let clock = parts.clock.clone();
        let node = MetadataNode::start(config, log, recovered, rows, clock, parts.entropy.clone()).await?;
        Ok(Self { identity, node })
    }

    /// The drives of the log's roster that are among these.
    pub fn roster_without(&self, lost: &BTreeSet<DriveId>) -> BTreeSet<DriveId> {
        let roster = self.node.status().log.epoch.quorum.roster;
        roster.into_iter().filter(|drive| lost.contains(drive)).collect()
    }

    /// Stops the voter and its log, and leaves the directories locked: to begin them once more, or to close the drives.
    pub async fn stop(self) -> anyhow::Result<()> {
        Ok(self.node.close().await?)
    }
}

/// The drives of this process, open.
#[derive(Debug)]
pub struct OwnDrives(Vec<Arc<Drive>>);

impl OwnDrives {
    /// Opens the chunk stores of every drive.
    pub fn open(parts: &Parts, rooms: &Rooms) -> anyhow::Result<Self> {
        let options =
            DriveOptions { shell: parts.shell, head_cache_bytes: HEAD_CACHE_BYTES, ..DriveOptions::default() };
        let mut opened = Vec::new();
        for dir in rooms.dirs() {
            opened.push(Drive::open(dir.clone(), &options, parts.clock.clone(), parts.entropy.clone())?);
        }
        Ok(Self(opened))
    }

    /// The drives as others use them.
    pub fn stores(&self) -> Arc<Drives> {
        Drives::new(self.0.iter().map(|drive| drive.clone() as Arc<dyn ChunkStore>))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Closes every one, so that the next start has nothing to scan.
    pub async fn close(self) -> anyhow::Result<()> {
        for drive in self.0 {
            drive.close().await?;
        }
        Ok(())
    }
}

/// The size of the smallest filesystem under a drive. One that cannot be asked does not count.
fn smallest_drive_bytes(rooms: &Rooms) -> u64 {
    let sizes = rooms.dirs().iter().filter_map(|dir| dir.files().space(dir.path()).ok());
    sizes.map(|space| space.total_bytes).min().unwrap_or(u64::MAX)
}
