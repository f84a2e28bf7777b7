//! `cairn init`: the drives of a machine that ran alone become the first node of a cluster, with everything that is on them.
//!
//! Nothing is copied and no chunk is touched. The cluster has been one all along: it has an id and a secret, and the machine's log
//! is that of its first voter. What is missing is written here: the cluster's file and the node's for people to hand out, and then, on
//! each drive, under which id the node takes part. That last step is what makes it a node; before it the machine may be started as it was.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_journal::files::Files;
use cairn_journal::files::real::RealFiles;
use cairn_storage_node::enlistment::Progress;
use cairn_storage_node::{DirError, DriveDir, Enlistment, Membership};

use crate::assembly::core::FIRST_VOTER;
use crate::cli::InitArgs;
use crate::history::History;
use crate::node::cluster_file::{ClusterFile, ClusterFileError};
use crate::node::config::{ConfigError, NodeConfig, Patience, Role};
use crate::server::directories::{self, StartError};

/// The cluster's file, in the directory that is named.
const CLUSTER: &str = "cluster.json";

/// The node's.
const NODE: &str = "node.toml";

/// Why the drives do not become a node. Unless it says otherwise, they may be started as they were.
#[derive(Debug, thiserror::Error)]
pub enum FoundingError {
    /// They are no drives of one machine.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A drive cannot be opened; one that is in use is the running server's.
    #[error(transparent)]
    Dir(#[from] DirError),
    /// Some of them are not here. They could come back as the machine that they were.
    #[error("{} cannot be used ({why}): all drives of the machine become the node's", path.display())]
    NotThere {
        /// Which directory.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// They are a node's already.
    #[error("{} is the drive of a node: start it with `cairn node --config FILE`", path.display())]
    Node {
        /// One of them.
        path: PathBuf,
    },
    /// The cluster's file cannot be written, or belongs to another cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterFileError),
    /// Another cluster's file stands where this one's should.
    #[error("{} is another cluster's file: name another directory", path.display())]
    Taken {
        /// Which file.
        path: PathBuf,
    },
    /// A node could not be run so.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file or a directory cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// What was made.
#[derive(Debug, PartialEq, Eq)]
pub struct Founded {
    cluster: PathBuf,
    node: PathBuf,
    drives: usize,
}

impl fmt::Display for Founded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cluster, node, drives } = self;
        writeln!(f, "{drives} drives are the first node of a cluster now")?;
        writeln!(
            f,
            "  {}  the cluster's id and secret: copy it to every node, readable by its owner alone",
            cluster.display()
        )?;
        writeln!(f, "  {}  this node's file", node.display())?;
        writeln!(f, "start it with: cairn node --config {}", node.display())
    }
}

/// Makes a node of a machine's drives. Doing it again, after it was cut short, goes on.
pub fn run(args: &InitArgs) -> Result<Founded, FoundingError> {
    let files = RealFiles::shared();
    let mut drives = Vec::new();
    for path in &args.from_server {
        let failed = |source| FoundingError::File { path: path.clone(), source };
        drives.push(std::path::absolute(path).map_err(failed)?);
    }
    let found = directories::look(&*files, &drives, false)?;
    if let Some(without) = found.without.into_iter().next() {
        return Err(FoundingError::NotThere { path: without.path, why: without.why });
    }
    let dirs = open(&files, &drives)?;
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| FoundingError::File { path, source }
    };
    std::fs::create_dir_all(&args.out).map_err(failed(&args.out))?;
    let out = std::path::absolute(&args.out).map_err(failed(&args.out))?;
    let (cluster, node) = (out.join(CLUSTER), out.join(NODE));
    let file = ClusterFile { cluster: dirs[0].identity().cluster, secret: dirs[0].secret().clone() };
    if cluster.exists() {
        if ClusterFile::read(&cluster)? != file {
            return Err(FoundingError::Taken { path: cluster });
        }
    } else {
        file.write(&cluster)?;
    }
    let config = NodeConfig {
        cluster: PathBuf::from(CLUSTER),
        drives,
        listen: args.listen,
        seeds: vec![args.listen],
        s3: Some(args.s3),
        zone: String::new(),
        roles: Role::ALL.into(),
        signature_v2: true,
        overlay: None,
        told_in: None,
        patience: Patience::default(),
        history: History::default(),
        metrics: None,
    };
    let text = config.to_text().map_err(|error| failed(&node)(std::io::Error::other(error)))?;
    std::fs::write(&node, text).map_err(failed(&node))?;
    // What a node would refuse is refused before there is one.
    NodeConfig::read(&node)?;
    // Only now are they a node's: from here on the machine is not started as it was.
    let membership = Some(Membership { member: FIRST_VOTER, progress: Progress::Member });
    for dir in &dirs {
        dir.enlist(Enlistment { generation: 1, membership })?;
    }
    Ok(Founded { cluster, node, drives: dirs.len() })
}

/// Opens, and so locks, all of them. A node has come no further than to its first start: then they are its own.
fn open(files: &Arc<dyn Files>, drives: &[PathBuf]) -> Result<Vec<DriveDir>, FoundingError> {
    let mut dirs = Vec::new();
    for path in drives {
        let dir = DriveDir::open(files.clone(), path)?;
        let enlisted = dir.enlistment()?;
        if enlisted.membership.is_some() && enlisted.generation > 1 {
            return Err(FoundingError::Node { path: path.clone() });
        }
        dirs.push(dir);
    }
    Ok(dirs)
}
