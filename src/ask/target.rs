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
    #[error("{0} holds no running server: start one with `cairn dev --dir {0}`")]
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
    /// Finds out what the flags mean.
    pub fn find(args: &AdminArgs) -> Result<Self, TargetError> {
        if let Some(endpoint) = &args.endpoint {
            let credentials = from_environment()?.ok_or(TargetError::NoKey)?;
            return Ok(Self { endpoint: endpoint.clone(), credentials });
        }
        let dir = args.dir.clone().unwrap_or_else(|| PathBuf::from("./cairn-data"));
        let not_running = || TargetError::NotRunning(dir.display().to_string());
        let nodes = read_nodes(&dir)?;
        let node = nodes.first().ok_or_else(not_running)?;
        let credentials = match Credentials::read(&dir)? {
            Some(credentials) => credentials,
            None => from_environment()?.ok_or_else(not_running)?,
        };
        Ok(Self { endpoint: node.s3.clone(), credentials })
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

fn read_nodes(dir: &Path) -> Result<Vec<RunningNode>, TargetError> {
    let path = nodes_path(dir);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(TargetError::File { path, what: error.to_string() }),
    };
    serde_json::from_slice(&text).map_err(|error| TargetError::File { path, what: error.to_string() })
}

/// Writes down which processes serve a directory; whole or not at all.
pub fn write_nodes(dir: &Path, nodes: &[RunningNode]) -> io::Result<()> {
    let beside = dir.join(".nodes.json.new");
    let mut text = serde_json::to_vec_pretty(nodes)?;
    text.push(b'\n');
    std::fs::write(&beside, text)?;
    std::fs::rename(&beside, nodes_path(dir))
}
