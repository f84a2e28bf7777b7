//! What a server is told: by flags, else by the environment, else by a file. Paths in the file are relative to it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::cli::ServerArgs;
use crate::history::History;

/// A server's file is at most so long.
const BYTES_MAX: u64 = 64 * 1024;

/// More drives than a machine can have here.
const DRIVES_MAX: usize = 64;

/// Where a server keeps what is not precious, when nobody says.
const STATE_USUAL: &str = "/var/lib/cairn";

/// Where S3 is served, when nobody says: to this machine alone.
const LISTEN_USUAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9000);

/// What stands in a server's file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// A directory on each disk.
    #[serde(default)]
    drives: Vec<PathBuf>,
    listen: Option<SocketAddr>,
    metrics: Option<SocketAddr>,
    state: Option<PathBuf>,
    signature_v2: Option<bool>,
    #[serde(default)]
    history: History,
}

/// What a server runs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// A directory on each disk.
    pub drives: Vec<PathBuf>,
    /// Where S3 is served.
    pub listen: SocketAddr,
    /// Where metrics are told, if anywhere.
    pub metrics: Option<SocketAddr>,
    /// Where the root key and the addresses of the process are told to people on this machine. Nothing in it is precious.
    pub state: PathBuf,
    /// Whether signatures of version 2 are accepted.
    pub signature_v2: bool,
    /// How much of the log is kept.
    pub history: History,
}

/// Why a server does not know what to run with.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file says what nobody understands.
    #[error("{path}: {what}")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Nobody named a drive.
    #[error(
        "name the drives' directories: on the command line, in CAIRN_DRIVES or as `drives` in the file of --config"
    )]
    NoDrives,
    /// Too many were named.
    #[error("{0} directories are named, a machine has at most {DRIVES_MAX} drives")]
    TooMany(usize),
}

impl ServerConfig {
    /// Puts flags, environment and file together. Clap has looked at flags and environment already.
    pub fn settle(args: &ServerArgs) -> Result<Self, ConfigError> {
        let file = args.config.as_deref().map(File::read).transpose()?.unwrap_or_default();
        let drives = if args.drives.is_empty() { file.drives } else { args.drives.clone() };
        if drives.is_empty() {
            return Err(ConfigError::NoDrives);
        }
        if drives.len() > DRIVES_MAX {
            return Err(ConfigError::TooMany(drives.len()));
        }
        Ok(Self {
            drives,
            listen: args.listen.or(file.listen).unwrap_or(LISTEN_USUAL),
            metrics: args.metrics.or(file.metrics),
            state: args.state.clone().or(file.state).unwrap_or_else(|| PathBuf::from(STATE_USUAL)),
            signature_v2: !args.no_signature_v2 && file.signature_v2.unwrap_or(true),
            history: args.history.or(file.history),
        })
    }
}

impl File {
    fn read(path: &Path) -> Result<Self, ConfigError> {
        let failed = |source| ConfigError::File { path: path.to_owned(), source };
        let malformed = |what: String| ConfigError::Malformed { path: path.to_owned(), what };
        if std::fs::metadata(path).map_err(failed)?.len() > BYTES_MAX {
            return Err(malformed("it is too long".to_owned()));
        }
        let text = std::fs::read_to_string(path).map_err(failed)?;
        let mut file: Self = toml::from_str(&text).map_err(|error| malformed(error.to_string()))?;
        let absolute = std::path::absolute(path).map_err(failed)?;
        let dir = absolute.parent().unwrap_or(&absolute);
        file.state = file.state.map(|state| dir.join(state));
        for drive in &mut file.drives {
            *drive = dir.join(&*drive);
        }
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn settled(line: &[&str]) -> Result<ServerConfig, ConfigError> {
        let parsed = Cli::try_parse_from(["cairn", "server"].iter().chain(line)).unwrap();
        let Command::Server(args) = parsed.command else { panic!("another command") };
        ServerConfig::settle(&args)
    }

    #[test]
    fn flags_stand_above_the_file_and_the_file_above_what_is_usual() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("server.toml");
        std::fs::write(
            &path,
            "drives = ['a', '/b']\nlisten = '0.0.0.0:80'\nmetrics = '127.0.0.1:81'\nsignature_v2 = false\n[history]\ndays = 30\n",
        )
        .unwrap();
        let file = path.to_str().unwrap();
        let from_file = settled(&["--config", file]).unwrap();
        assert_eq!(from_file.drives, [home.path().join("a"), PathBuf::from("/b")]);
        assert_eq!((from_file.listen.port(), from_file.signature_v2), (80, false));
        assert_eq!(from_file.state, Path::new(STATE_USUAL));
        assert_eq!(from_file.metrics.map(|metrics| metrics.port()), Some(81));
        let mixed =
            settled(&["/c", "--config", file, "--listen", "127.0.0.1:9", "--state", "s", "--history-mib", "64"])
                .unwrap();
        assert_eq!((mixed.drives, mixed.listen.port()), (vec![PathBuf::from("/c")], 9));
        assert_eq!(mixed.state, Path::new("s"));
        assert_eq!(from_file.history, History { days: Some(30), mib: None });
        assert_eq!(mixed.history, History { days: Some(30), mib: Some(64) });
        assert_eq!(settled(&["/c"]).unwrap().listen, LISTEN_USUAL);
        assert_eq!(settled(&["/c"]).unwrap().metrics, None, "nobody listens unless told to");
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        assert!(matches!(settled(&[]), Err(ConfigError::NoDrives)));
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("server.toml");
        std::fs::write(&path, "drivs = []\n").unwrap();
        let error = settled(&["--config", path.to_str().unwrap()]).unwrap_err().to_string();
        assert!(error.contains("drivs") && error.contains("server.toml"), "{error}");
    }
}
