//! Which server is meant: one on this machine by its directory, or any by its address.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cli::AdminArgs;
use crate::credentials::{Credentials, CredentialsError};

/// A server and the key to ask it with.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its address.
    pub endpoint: String,
    /// The root key.
    pub credentials: Credentials,
}

/// One process of a server, as its directory names it in `nodes.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningNode {
    /// Its id.
    pub id: String,
    /// The process.
    pub pid: u32,
    /// Where it serves S3.
    pub s3: String,
}

/// Why nobody can be asked.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The directory does not say where its server is.
    #[error("{0} holds no running server: start one with `cairn dev --dir {0}` or `cairn server --state {0}`")]
    NotRunning(String),
    /// A file of the directory cannot be used.
    #[error("{path}: {what}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The key cannot be used.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// An address without a key.
    #[error("set CAIRN_ROOT_ACCESS_KEY and CAIRN_ROOT_SECRET_KEY (or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)")]
    NoKey,
}

impl Target {
    /// Finds out what the flags mean: one address, or every process of a directory, of which any may answer.
    pub fn find(args: &AdminArgs) -> Result<Vec<Self>, TargetError> {
        if let Some(endpoint) = &args.endpoint {
            let credentials = from_environment()?.ok_or(TargetError::NoKey)?;
            return Ok(vec![Self { endpoint: endpoint.clone(), credentials }]);
        }
        let dir = args.dir.clone().unwrap_or_else(|| PathBuf::from("./cairn-data"));
        let not_running = || TargetError::NotRunning(dir.display().to_string());
        let nodes = read_nodes(&dir)?;
        if nodes.is_empty() {
            return Err(not_running());
        }
        let credentials = match Credentials::read(&dir)? {
            Some(credentials) => credentials,
            None => from_environment()?.ok_or_else(not_running)?,
        };
        let serving = nodes.into_iter().filter(|node| !node.s3.is_empty());
        Ok(serving.map(|node| Self { endpoint: node.s3, credentials: credentials.clone() }).collect())
    }
}

fn from_environment() -> Result<Option<Credentials>, CredentialsError> {
    if let Some(credentials) = Credentials::from_environment()? {
        return Ok(Some(credentials));
    }
    let set = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
    let aws = set("AWS_ACCESS_KEY_ID").zip(set("AWS_SECRET_ACCESS_KEY"));
    Ok(aws.map(|(access_key, secret_key)| Credentials { access_key, secret_key }))
}

/// Where a server's directory names its processes.
pub fn nodes_path(dir: &Path) -> PathBuf {
    dir.join("nodes.json")
}

/// Which processes serve a directory; none where nothing says so.
pub fn read_nodes(dir: &Path) -> Result<Vec<RunningNode>, TargetError> {
    let path = nodes_path(dir);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(TargetError::File { path, what: error.to_string() }),
    };
    serde_json::from_slice(&text).map_err(|error| TargetError::File { path, what: error.to_string() })
}

/// Writes down that a node runs, in the place of what was known of it. Nodes that start at once take turns.
pub fn tell_node(dir: &Path, node: RunningNode) -> io::Result<()> {
    let lock = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(dir.join(".nodes.lock"))?;
    lock.lock()?;
    let mut nodes = read_nodes(dir).map_err(io::Error::other)?;
    // Whoever served at its address before serves no more: a node that lost its drives comes back under another id.
    nodes.retain(|known| known.id != node.id && (known.s3 != node.s3 || node.s3.is_empty()));
    nodes.push(node);
    nodes.sort_by(|a, b| (a.s3.len(), &a.s3).cmp(&(b.s3.len(), &b.s3)));
    write_nodes(dir, &nodes)
}

/// Writes down which processes serve a directory; whole or not at all.
pub fn write_nodes(dir: &Path, nodes: &[RunningNode]) -> io::Result<()> {
    let beside = dir.join(".nodes.json.new");
    let mut text = serde_json::to_vec_pretty(nodes)?;
    text.push(b'\n');
    std::fs::write(&beside, text)?;
    std::fs::rename(&beside, nodes_path(dir))
}
