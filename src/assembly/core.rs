//! What everything else stands on: locked directories, the operation log on them, and the metadata behind it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_core::{ClusterId, DriveId, Geometry, NodeId};
use cairn_journal::Shell;
use cairn_metadata::{MetadataNode, NoPeers, NodeConfig, Peers, SessionPolicy, Standing, Work};
use cairn_oplog::{LogDrive, LogIdentity, OpLog, Options, Orders, VoterId, copies_wanted};
use cairn_rows::RowsOptions;
use cairn_storage_node::{ClusterSecret, DirError, DriveDir, Formation, Identity, Inspect, Slot};

use crate::assembly::Parts;
use crate::dev::directories::{self, Plan};
use crate::server::directories::Found;

/// The seat of the first voter. A voter's id is the index at which it joined, and the first one is there before the first
/// entry.
pub const FIRST_VOTER: u64 = 1;

/// Blocks of runs that are kept in memory. Far less than a page cache, because runs lie there too.
const RUN_CACHE_BYTES: usize = 16 << 20;

/// When a run is cut. A start applies this much of the log again before it serves: filling an overlay costs some 50 ms for
/// each MiB, and a start should take less than a second.
const OVERLAY_BYTES_MAX: u64 = 16 << 20;

/// The directories of one server, locked, with what they carry.
#[derive(Debug)]
pub struct Rooms {
    dirs: Vec<Arc<DriveDir>>,
    failing: Vec<Failing>,
    secret: ClusterSecret,
    of: u16,
}

/// A drive whose directory is there and does not answer.
#[derive(Debug, Clone)]
pub struct Failing {
    /// Where it is.
    pub path: PathBuf,
    /// Which one, where it still said so.
    pub drive: Option<DriveId>,
    /// What it answered.
    pub why: String,
}

impl Rooms {
    /// Opens the drives that are there and formats the fresh ones, as the plan says.
    pub fn open(parts: &Parts, dir: &Path, plan: &Plan) -> anyhow::Result<Self> {
        let mut dirs = Vec::new();
        let fail = |number: u16, drive: Option<DriveId>, why: String| Failing {
            path: directories::path(dir, number),
            drive,
            why,
        };
        let mut failing: Vec<Failing> =
            plan.failing.iter().map(|(number, why)| fail(*number, None, why.clone())).collect();
        let most = Geometry::standard_for(usize::from(plan.of)).m();
        for &(number, identity) in &plan.present {
            match DriveDir::open(parts.files.clone(), &directories::path(dir, number)) {
                Ok(opened) => dirs.push(Arc::new(opened)),
                Err(error @ DirError::Io { .. }) if plan.formed && plan.fresh.len() + failing.len() < most => {
                    failing.push(fail(number, Some(identity.drive), directories::in_one_line(&error)));
                }
                Err(error) => return Err(error.into()),
            }
        }
        // One that knows that the cluster exists, where there is one.
        let known = dirs.iter().max_by_key(|dir| dir.identity().state == Formation::Formed);
        let like = known.map(|known| (known.identity(), known.secret().clone()));
        if like.is_none() && !plan.present.is_empty() {
            anyhow::bail!("no drive answers");
        }
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
        Ok(Self { dirs, failing, secret, of: plan.of })
    }

    /// Opens the drives that a server was given, and formats those that a cluster is formed on.
    pub fn open_server(parts: &Parts, found: &Found) -> anyhow::Result<Self> {
        let (mut dirs, mut failing) = (Vec::new(), Vec::new());
        for (path, identity) in &found.present {
            match DriveDir::open(parts.files.clone(), path) {
                Ok(opened) => {
                    let alone = opened.enlistment()?.membership.is_none();
                    anyhow::ensure!(
                        alone,
                        "{} is the drive of a node of a cluster: start it with `cairn node --config FILE`",
                        path.display()
                    );
                    dirs.push(Arc::new(opened));
                }
                Err(error @ DirError::Io { .. }) if found.formed => {
                    let why = directories::in_one_line(&error);
                    failing.push(Failing { path: path.clone(), drive: Some(identity.drive), why });
                }
                Err(error) => return Err(error.into()),
            }
        }
        let known = dirs.iter().max_by_key(|dir| dir.identity().state == Formation::Formed);
        let (cluster, node, secret) = match known {
            Some(known) => (known.identity().cluster, known.identity().node, known.secret().clone()),
            None if found.formed => anyhow::bail!("no drive answers"),
            None => {
                let entropy = &*parts.entropy;
                (ClusterId(entropy.next_u128()), NodeId(entropy.next_u64().max(1)), ClusterSecret::draw(entropy))
            }
        };
        let count = u16::try_from(found.present.len() + found.fresh.len()).unwrap_or(u16::MAX);
        for (number, path) in (1..).zip(&found.fresh) {
            let identity = Identity {
                cluster,
                node,
                drive: DriveId(parts.entropy.next_u64()),
                state: Formation::Forming,
                created: parts.clock.wall(),
                slot: Some(Slot { number, of: count }),
            };
            dirs.push(Arc::new(DriveDir::format(parts.files.clone(), path, identity, &secret)?));
        }
        // How many belong together is what some drive was told when it was made, or what is here now, whichever is more.
        let told = dirs.iter().filter_map(|dir| dir.identity().slot).map(|slot| slot.of).max().unwrap_or(0);
        Ok(Self { dirs, failing, secret, of: told.max(count) })
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
        Ok(Self {
            dirs,
            failing: Vec::new(),
            secret: secret.clone(),
            of: u16::try_from(paths.len()).unwrap_or(u16::MAX),
        })
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

    /// Drives whose directories are there and do not answer.
    pub fn failing(&self) -> &[Failing] {
        &self.failing
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
    /// Whether there are no others, and never were: then a log that is covered and cannot be written is served for reading.
    pub lone: bool,
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
            lone: true,
            sessions: SessionPolicy::default(),
        }
    }
}

/// The log and the metadata of this process.
#[derive(Debug)]
pub struct Core {
    /// Whose log it is.
    pub identity: LogIdentity,
    /// The log itself.
    pub log: OpLog,
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
        config.serve_covered = seat.lone;
        config.cut.overlay_bytes = OVERLAY_BYTES_MAX;
        config.history = parts.history.policy(smallest_drive_bytes(rooms));
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
        let node = MetadataNode::start(config, log.clone(), recovered, rows, clock, parts.entropy.clone()).await?;
        Ok(Self { identity, log, node })
    }

    /// Stops the voter and its log, and leaves the directories locked: to begin them once more, or to close the drives.
    pub async fn stop(self) -> anyhow::Result<()> {
        Ok(self.node.close().await?)
    }
}

/// The size of the smallest filesystem under a drive. One that cannot be asked does not count.
fn smallest_drive_bytes(rooms: &Rooms) -> u64 {
    let sizes = rooms.dirs().iter().filter_map(|dir| dir.files().space(dir.path()).ok());
    sizes.map(|space| space.total_bytes).min().unwrap_or(u64::MAX)
}
