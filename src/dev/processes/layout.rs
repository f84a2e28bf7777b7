//! What lies where below the directory of a cluster of processes, made on the first start and found again on later ones.

use std::fs::{File, TryLockError};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use cairn_core::entropy::SystemEntropy;

use crate::credentials::{Credentials, CredentialsError};
use crate::history::History;
use crate::node::cluster_file::{ClusterFile, ClusterFileError};
use crate::node::config::{ConfigError, NodeConfig, Patience, Role};

/// What a person has said that stands in each node's file: whether signatures of version 2 are accepted, how much of the log is
/// kept.
type Said = (bool, History);

/// How long is waited in a cluster on one machine, where everything should be seen to happen.
const PATIENCE: Patience =
    Patience { grace_seconds: 10, session_seconds: 10, reshape_exposed_seconds: 10, reshape_rest_seconds: 10 };

/// Where ports are taken from that nobody has asked for.
const PORTS: std::ops::Range<u16> = 10_000..32_000;

/// How often other ports are tried where a person asked for any.
const PORT_ATTEMPTS: usize = 64;

/// Why there is no cluster of processes on a directory. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// It serves one process.
    #[error("{0} was made for one process: leave --processes away, or choose another --dir")]
    OneProcess(PathBuf),
    /// The flag asks for another number of nodes than there are.
    #[error("{dir} was made for {made} processes; --processes {asked} cannot change that")]
    OtherNumber {
        /// The directory.
        dir: PathBuf,
        /// How many there are.
        made: u16,
        /// How many were asked for.
        asked: u16,
    },
    /// So many addresses beside each other are not free.
    #[error("cannot serve S3 on {address}: {source}")]
    Port {
        /// Which address.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// Another process runs the nodes of this directory.
    #[error("{0} is run by another `cairn dev`: end that first")]
    Running(PathBuf),
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The cluster's file cannot be used.
    #[error(transparent)]
    Cluster(#[from] ClusterFileError),
    /// A node's file cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The root key cannot be used.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

/// One node's place.
#[derive(Debug, Clone)]
pub struct NodePlace {
    /// Counted from 1.
    pub number: u16,
    /// Its file.
    pub config: PathBuf,
    /// Where it serves S3.
    pub s3: SocketAddr,
}

impl NodePlace {
    /// What a person types to start it.
    pub fn command(&self) -> String {
        let program = std::env::current_exe().map_or_else(|_| "cairn".to_owned(), |path| path.display().to_string());
        format!("{program} node --config {}", self.config.display())
    }
}

/// All of it.
#[derive(Debug)]
pub struct Layout {
    nodes: Vec<NodePlace>,
    credentials: Credentials,
    formed: bool,
    /// Held until the last node has ended: two processes would each end the other's nodes.
    _lock: File,
}

/// The directory of a node.
fn node_dir(dir: &Path, number: u16) -> PathBuf {
    dir.join(format!("node-{number}"))
}

fn cluster_path(dir: &Path) -> PathBuf {
    dir.join("cluster.json")
}

/// How many processes a directory was made for; none where it was not made for several.
pub fn formed_with(dir: &Path) -> Option<u16> {
    if !cluster_path(dir).exists() {
        return None;
    }
    let made = (1..=u16::MAX).take_while(|&number| node_dir(dir, number).join("node.toml").exists()).count();
    u16::try_from(made).ok().filter(|&made| made > 0)
}

/// Takes the directory for this process until the file is closed.
fn lock(dir: &Path) -> Result<File, LayoutError> {
    let path = dir.join(".lock");
    let failed = |source| LayoutError::File { path: path.clone(), source };
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LayoutError::Running(dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

impl Layout {
    /// Makes what is missing, and gives each node addresses that are free now.
    pub fn settle(dir: &Path, asked: u16, listen: SocketAddr, said: Said) -> Result<Self, LayoutError> {
        let dir = std::path::absolute(dir).map_err(|source| LayoutError::File { path: dir.to_owned(), source })?;
        let dir = &*dir;
        if dir.join("drive-1").exists() {
            return Err(LayoutError::OneProcess(dir.to_owned()));
        }
        if let Some(made) = formed_with(dir).filter(|&made| made != asked) {
            return Err(LayoutError::OtherNumber { dir: dir.to_owned(), made, asked });
        }
        let demanded = Credentials::from_environment()?;
        make_directory(dir)?;
        let lock = lock(dir)?;
        let s3 = consecutive(listen, asked)?;
        if !cluster_path(dir).exists() {
            ClusterFile::draw(&*SystemEntropy::shared()).write(&cluster_path(dir))?;
        }
        // Before anything is formed with it: a key that was only in the log and in no file would lock its owner out.
        let credentials = match (demanded, Credentials::read(dir)?) {
            (Some(demanded), _) => demanded,
            (None, Some(known)) => known,
            (None, None) => Credentials::draw(&*SystemEntropy::shared()),
        };
        credentials.write(dir)?;
        let inside = inside_addresses(dir, asked, listen.ip())?;
        let mut nodes = Vec::new();
        for number in 1..=asked {
            let at = usize::from(number) - 1;
            let place = NodePlace { number, config: node_dir(dir, number).join("node.toml"), s3: s3[at] };
            make_directory(&node_dir(dir, number))?;
            write_config(&place, &inside, said)?;
            nodes.push(place);
        }
        // A node that has a part in the log is part of a cluster that exists.
        let formed = (1..=asked).any(|number| drive_dir(dir, number).join("member.json").exists());
        Ok(Self { nodes, credentials, formed, _lock: lock })
    }

    /// The nodes, in order.
    pub fn nodes(&self) -> &[NodePlace] {
        &self.nodes
    }

    /// One of them.
    pub fn node(&self, number: u16) -> &NodePlace {
        &self.nodes[usize::from(number) - 1]
    }

    /// The root key.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Whether this node forms the cluster.
    pub fn forms(&self, place: &NodePlace) -> bool {
        !self.formed && place.number == 1
    }
}

fn drive_dir(dir: &Path, number: u16) -> PathBuf {
    node_dir(dir, number).join(format!("drive-{number}"))
}

fn make_directory(dir: &Path) -> Result<(), LayoutError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|source| LayoutError::File { path: dir.to_owned(), source })
}

/// Addresses for S3 beside each other, all of them free; where port 0 asks for any, some of them.
fn consecutive(listen: SocketAddr, count: u16) -> Result<Vec<SocketAddr>, LayoutError> {
    let all = |first: u16| -> Result<Vec<SocketAddr>, LayoutError> {
        let mut held = Vec::new();
        for number in 0..count {
            let address = SocketAddr::new(listen.ip(), first.saturating_add(number));
            let listener = TcpListener::bind(address).map_err(|source| LayoutError::Port { address, source })?;
            held.push((address, listener));
        }
        Ok(held.into_iter().map(|(address, _)| address).collect())
    };
    if listen.port() != 0 {
        return all(listen.port());
    }
    any_port(&all)
}

/// Tries ports at random until one will do. Not those that the system gives away by itself: while a node is away, somebody's
/// outgoing connection may take one of these, and the node could not come back.
fn any_port<T>(take: &dyn Fn(u16) -> Result<T, LayoutError>) -> Result<T, LayoutError> {
    let entropy = SystemEntropy::shared();
    let mut attempts = 1;
    loop {
        let port = PORTS.start + u16::try_from(entropy.next_u64() % PORTS.len() as u64).unwrap_or_default();
        match take(port) {
            Err(_) if attempts < PORT_ATTEMPTS => attempts += 1,
            result => return result,
        }
    }
}

/// Where the nodes reach each other: where they did before, as far as that is still free.
fn inside_addresses(dir: &Path, count: u16, ip: IpAddr) -> Result<Vec<SocketAddr>, LayoutError> {
    let mut held: Vec<(SocketAddr, TcpListener)> = Vec::new();
    for number in 1..=count {
        let path = node_dir(dir, number).join("node.toml");
        let before = if path.exists() { Some(NodeConfig::read(&path)?.listen) } else { None };
        let before = before.filter(|before| before.ip() == ip);
        let kept = before.and_then(|before| TcpListener::bind(before).ok().map(|listener| (before, listener)));
        held.push(match kept {
            Some(kept) => kept,
            None => any_port(&|port| {
                let address = SocketAddr::new(ip, port);
                let listener = TcpListener::bind(address).map_err(|source| LayoutError::Port { address, source })?;
                Ok((address, listener))
            })?,
        });
    }
    Ok(held.into_iter().map(|(address, _)| address).collect())
}

fn write_config(place: &NodePlace, inside: &[SocketAddr], (signature_v2, history): Said) -> Result<(), LayoutError> {
    let config = NodeConfig {
        history,
        cluster: PathBuf::from("../cluster.json"),
        drives: vec![PathBuf::from(format!("drive-{}", place.number))],
        listen: inside[usize::from(place.number) - 1],
        seeds: inside.to_vec(),
        s3: Some(place.s3),
        metrics: None,
        zone: String::new(),
        roles: Role::ALL.into(),
        signature_v2,
        overlay: None,
        told_in: Some(PathBuf::from("..")),
        patience: PATIENCE,
    };
    let failed = |source| LayoutError::File { path: place.config.clone(), source };
    let text = config.to_text().map_err(|error| failed(std::io::Error::other(error)))?;
    let beside = place.config.with_extension("new");
    std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, &place.config)).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: &str = "127.0.0.1:0";

    #[test]
    fn a_layout_is_made_once_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(formed_with(dir.path()), None);
        let made = Layout::settle(dir.path(), 3, ANY.parse().unwrap(), (true, History::default())).unwrap();
        assert_eq!(formed_with(dir.path()), Some(3));
        assert!(made.forms(made.node(1)) && !made.forms(made.node(2)));
        let ports: Vec<u16> = made.nodes().iter().map(|place| place.s3.port()).collect();
        assert!(ports[1] == ports[0] + 1 && ports[2] == ports[0] + 2, "{ports:?}");
        let before = NodeConfig::read(&made.node(2).config).unwrap();
        let cluster = ClusterFile::read(&before.cluster).unwrap();
        let (again, made) = {
            let known = made.credentials().clone();
            drop(made);
            (Layout::settle(dir.path(), 3, ANY.parse().unwrap(), (true, History::default())).unwrap(), known)
        };
        let after = NodeConfig::read(&again.node(2).config).unwrap();
        assert_eq!((after.listen, &after.seeds), (before.listen, &before.seeds));
        assert_eq!(ClusterFile::read(&after.cluster).unwrap(), cluster);
        assert_eq!(again.credentials(), &made);
    }

    #[test]
    fn another_number_and_a_directory_of_one_process_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let held = Layout::settle(dir.path(), 3, ANY.parse().unwrap(), (true, History::default())).unwrap();
        let again = Layout::settle(dir.path(), 3, ANY.parse().unwrap(), (true, History::default()));
        assert!(matches!(again, Err(LayoutError::Running(_))));
        drop(held);
        let other = Layout::settle(dir.path(), 4, ANY.parse().unwrap(), (true, History::default()));
        assert!(matches!(other, Err(LayoutError::OtherNumber { made: 3, asked: 4, .. })));
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("drive-1")).unwrap();
        assert!(matches!(
            Layout::settle(dir.path(), 3, ANY.parse().unwrap(), (true, History::default())),
            Err(LayoutError::OneProcess(_))
        ));
    }

    #[test]
    fn a_taken_port_among_those_asked_for_is_named() {
        let taken = TcpListener::bind(ANY).unwrap();
        let address = taken.local_addr().unwrap();
        assert!(matches!(consecutive(address, 1), Err(LayoutError::Port { address: named, .. }) if named == address));
        assert_eq!(consecutive(ANY.parse().unwrap(), 6).unwrap().len(), 6);
    }
}
