//! Which cluster a node belongs to, as a file: the cluster's id and its secret. The same file goes to every node; whoever
//! has it is a member.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use cairn_core::{ClusterId, Entropy};
use cairn_storage_node::ClusterSecret;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

/// The version of the file that is written, and the newest that is read.
const FORMAT_VERSION: u32 = 1;

/// No such file is longer.
const BYTES_MAX: u64 = 4096;

/// A cluster and its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterFile {
    /// The cluster.
    pub cluster: ClusterId,
    /// What makes a process a member of it.
    pub secret: ClusterSecret,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ClusterFileError {
    /// It cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not what it should be.
    #[error("{path} is not a cluster's file: {what}")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Others may read it.
    #[error("{path} can be read by others: it holds the cluster's secret, so run `chmod 600 {path}`")]
    Open {
        /// Which file.
        path: PathBuf,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    format: u32,
    cluster: ClusterId,
    secret: String,
}

impl Drop for Text {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl ClusterFile {
    /// Draws a cluster that does not exist yet.
    pub fn draw(entropy: &dyn Entropy) -> Self {
        Self { cluster: ClusterId(entropy.next_u128()), secret: ClusterSecret::draw(entropy) }
    }

    /// Reads it.
    pub fn read(path: &Path) -> Result<Self, ClusterFileError> {
        let failed = |source| ClusterFileError::File { path: path.to_owned(), source };
        let malformed = |what: &str| ClusterFileError::Malformed { path: path.to_owned(), what: what.to_owned() };
        let found = fs::metadata(path).map_err(failed)?;
        if found.len() > BYTES_MAX {
            return Err(malformed("it is too long"));
        }
        if found.permissions().mode() & 0o077 != 0 {
            return Err(ClusterFileError::Open { path: path.to_owned() });
        }
        let mut text = fs::read(path).map_err(failed)?;
        // serde's own words would repeat what stands there, and the secret stands there.
        let parsed: Result<Text, _> = serde_json::from_slice(&text);
        text.zeroize();
        let parsed = parsed.map_err(|error| malformed(&format!("line {}, column {}", error.line(), error.column())))?;
        if parsed.format != FORMAT_VERSION {
            return Err(malformed("it is of another version than this release knows"));
        }
        let mut secret = [0; 32];
        hex::decode_to_slice(&parsed.secret, &mut secret)
            .map_err(|_| malformed("the secret is not 32 bytes in hexadecimal"))?;
        Ok(Self { cluster: parsed.cluster, secret: ClusterSecret::from_bytes(secret) })
    }

    /// Writes it where nothing stands, for its owner alone, whole or not at all.
    pub fn write(&self, path: &Path) -> Result<(), ClusterFileError> {
        let failed = |source| ClusterFileError::File { path: path.to_owned(), source };
        let text = Text { format: FORMAT_VERSION, cluster: self.cluster, secret: hex::encode(self.secret.expose()) };
        let mut bytes = serde_json::to_vec_pretty(&text).map_err(|error| failed(error.into()))?;
        bytes.push(b'\n');
        let beside = path.with_extension("new");
        let written = (|| {
            let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            // Linking refuses to replace: the secret of a cluster that exists is nowhere else outside its drives.
            fs::hard_link(&beside, path)?;
            fs::remove_file(&beside)
        })();
        bytes.zeroize();
        written.map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use cairn_core::entropy::SeededEntropy;

    use super::*;

    #[test]
    fn a_cluster_survives_its_file_and_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cluster.json");
        let cluster = ClusterFile::draw(&*SeededEntropy::new(3));
        cluster.write(&path).unwrap();
        assert_eq!(ClusterFile::read(&path).unwrap(), cluster);
        assert!(ClusterFile::draw(&*SeededEntropy::new(4)).write(&path).is_err());
        assert_eq!(ClusterFile::read(&path).unwrap(), cluster);
    }

    #[test]
    fn a_file_for_everybodys_eyes_or_of_another_kind_is_refused_without_its_words() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cluster.json");
        ClusterFile::draw(&*SeededEntropy::new(3)).write(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(ClusterFile::read(&path), Err(ClusterFileError::Open { .. })));
        fs::write(&path, "{\"format\": 1, \"secret\": hush}").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let error = ClusterFile::read(&path).unwrap_err();
        assert!(matches!(error, ClusterFileError::Malformed { .. }) && !error.to_string().contains("hush"));
    }
}
