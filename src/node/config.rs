//! What stands in a node's file. Paths in it are relative to the file itself.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::history::History;

/// A node's file is at most so long.
const BYTES_MAX: u64 = 64 * 1024;

/// More drives than a node can have.
const DRIVES_MAX: usize = 64;

/// What a node does for its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It serves S3.
    Gateway,
    /// Its drives take chunks.
    Storage,
    /// It may be given a vote in the log.
    Metadata,
    /// It repairs, when it holds the lease.
    Repair,
}

impl Role {
    /// All of them: what a node does when its file does not say.
    pub const ALL: [Self; 4] = [Self::Gateway, Self::Storage, Self::Metadata, Self::Repair];
}

/// How long is waited before something follows. Seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Patience {
    /// How long a node may be away before its drives are given up.
    pub grace_seconds: u64,
    /// How long a session outlives its process. Whoever holds the lease for repair keeps it that long.
    pub session_seconds: u64,
    /// How long drives may be too few before data that survives no further loss is coded anew.
    pub reshape_exposed_seconds: u64,
    /// And before the rest is; also how long drives must have stood before data returns to its profile.
    pub reshape_rest_seconds: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            grace_seconds: 15 * 60,
            session_seconds: 60,
            reshape_exposed_seconds: 60 * 60,
            reshape_rest_seconds: 24 * 60 * 60,
        }
    }
}

/// What stands in a node's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// The file that says which cluster this is a node of.
    pub cluster: PathBuf,
    /// A directory on each drive.
    pub drives: Vec<PathBuf>,
    /// Where other nodes reach it.
    pub listen: SocketAddr,
    /// Where some of them are.
    #[serde(default)]
    pub seeds: Vec<SocketAddr>,
    /// Where it serves S3; needed for the role `gateway`.
    pub s3: Option<SocketAddr>,
    /// Where it tells metrics, if anywhere.
    pub metrics: Option<SocketAddr>,
    /// What fails together with it.
    #[serde(default)]
    pub zone: String,
    /// What it does.
    #[serde(default = "all_roles")]
    pub roles: BTreeSet<Role>,
    /// Whether signatures of version 2 are accepted.
    #[serde(default = "yes")]
    pub signature_v2: bool,
    /// Where rows stand that are not in a run yet: in sled in this directory, which is emptied at each start. In memory
    /// where none is named.
    pub overlay: Option<PathBuf>,
    /// A directory in which running processes are told to people, as `cairn dev` does.
    pub told_in: Option<PathBuf>,
    /// How much of the log is kept.
    #[serde(default)]
    pub history: History,
    /// How long is waited before something follows.
    #[serde(default)]
    pub patience: Patience,
}

fn all_roles() -> BTreeSet<Role> {
    Role::ALL.into()
}

fn yes() -> bool {
    true
}

/// Why a node's file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It does not say what it must, or says what nobody understands.
    #[error("{path}: {what}")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

impl NodeConfig {
    /// Reads a file and makes its paths absolute.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let failed = |source| ConfigError::File { path: path.to_owned(), source };
        let malformed = |what: String| ConfigError::Malformed { path: path.to_owned(), what };
        if std::fs::metadata(path).map_err(failed)?.len() > BYTES_MAX {
            return Err(malformed("it is too long".to_owned()));
        }
        let text = std::fs::read_to_string(path).map_err(failed)?;
        let mut config: Self = toml::from_str(&text).map_err(|error| malformed(error.to_string()))?;
        config.check().map_err(malformed)?;
        let absolute = std::path::absolute(path).map_err(failed)?;
        let dir = absolute.parent().unwrap_or(&absolute);
        config.cluster = dir.join(&config.cluster);
        config.overlay = config.overlay.map(|overlay| dir.join(overlay));
        config.told_in = config.told_in.map(|told_in| dir.join(told_in));
        for drive in &mut config.drives {
            *drive = dir.join(&*drive);
        }
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        let not = |condition: bool, what: &str| if condition { Err(what.to_owned()) } else { Ok(()) };
        not(self.drives.is_empty(), "drives: a node needs at least one directory, for its part of the log too")?;
        not(self.drives.len() > DRIVES_MAX, "drives: a node has at most 64")?;
        not(self.drives.iter().collect::<BTreeSet<_>>().len() < self.drives.len(), "drives: one is named twice")?;
        not(self.roles.is_empty(), "roles: a node does something")?;
        not(self.roles.contains(&Role::Gateway) && self.s3.is_none(), "s3: a gateway needs an address to serve S3 on")?;
        not(self.listen.port() == 0, "listen: other nodes must know the port")?;
        not(self.listen.ip().is_unspecified(), "listen: other nodes must know the address; 0.0.0.0 is none")?;
        not(self.zone.len() > 64, "zone: at most 64 bytes")?;
        not(self.patience.grace_seconds == 0, "patience.grace_seconds: at least 1")?;
        not(self.patience.session_seconds < 4, "patience.session_seconds: at least 4")
    }

    /// Whether it does this.
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// The file's text, as `cairn dev` writes it.
    pub fn to_text(&self) -> Result<String, toml::ser::Error> {
        let head = "# A node of a Cairn cluster. Start it with: cairn node --config THIS_FILE\n\
                    # Paths are relative to this file. docs/operations/node.md says what each line means.\n\n";
        Ok(format!("{head}{}", toml::to_string(self)?))
    }
}

impl Patience {
    /// How long a node may be away.
    pub fn grace(&self) -> Duration {
        Duration::from_secs(self.grace_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str =
        "cluster = 'cluster.json'\ndrives = ['drive-1']\nlisten = '127.0.0.1:7001'\ns3 = '127.0.0.1:9000'\n";

    fn read(text: &str) -> Result<NodeConfig, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.toml");
        std::fs::write(&path, text).unwrap();
        NodeConfig::read(&path)
    }

    #[test]
    fn the_least_is_enough_and_paths_are_the_files_own() {
        let config = read(LEAST).unwrap();
        assert!(config.drives[0].is_absolute() && config.drives[0].ends_with("drive-1"));
        assert_eq!(config.roles, Role::ALL.into());
        assert_eq!(config.patience, Patience::default());
        let again: NodeConfig = toml::from_str(&config.to_text().unwrap()).unwrap();
        assert_eq!(again, config);
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (more, word) in [
            ("colour = 'red'", "colour"),
            ("roles = []", "roles"),
            ("roles = ['king']", "king"),
            ("[patience]\ngrace_seconds = 0", "grace_seconds"),
            ("zone = 7", "zone"),
        ] {
            let error = read(&format!("{LEAST}{more}\n")).unwrap_err().to_string();
            assert!(error.contains(word), "{more}: {error}");
        }
        for (from, to, word) in [
            ("['drive-1']", "[]", "drives"),
            ("['drive-1']", "['a', 'a']", "twice"),
            ("s3 = '127.0.0.1:9000'", "", "s3"),
            ("127.0.0.1:7001", "127.0.0.1:0", "listen"),
            ("127.0.0.1:7001", "0.0.0.0:7001", "listen"),
        ] {
            let error = read(&LEAST.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(word), "{to}: {error}");
        }
    }
}
