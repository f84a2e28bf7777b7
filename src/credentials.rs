//! The root key: drawn at random on the first start, sealed in the log, and written beside the drives for the person who
//! runs the server. The file is a convenience; the log has the truth.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use cairn_core::Entropy;
use serde::{Deserialize, Serialize};

/// An access key with its secret. Debug never shows the secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// What clients send.
    pub access_key: String,
    /// What clients sign with.
    pub secret_key: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

/// Why credentials cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The environment names one half of a key.
    #[error("CAIRN_ROOT_ACCESS_KEY and CAIRN_ROOT_SECRET_KEY go together: one of them is not set")]
    Half,
    /// The environment's key is too short or too long.
    #[error("{name} must have {least} to 128 letters, digits or any of -_.+/=")]
    Unfit {
        /// Which variable.
        name: &'static str,
        /// How many characters at least.
        least: usize,
    },
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not what it should be.
    #[error("{path} is not a credentials file: {what}")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

impl Credentials {
    /// Where they are written below a server's directory.
    pub fn path_in(dir: &Path) -> PathBuf {
        dir.join("credentials.json")
    }

    /// Draws a key of 100 random bits and a secret of 200.
    pub fn draw(entropy: &dyn Entropy) -> Self {
        let text = |length: usize| {
            let mut bytes = vec![0; length];
            entropy.fill(&mut bytes);
            // 32 letters: five bits of each byte, without bias.
            bytes.into_iter().map(|byte| char::from(LETTERS[usize::from(byte & 31)])).collect::<String>()
        };
        Self { access_key: text(20), secret_key: text(40) }
    }

    /// The key that the environment demands, if it does.
    pub fn from_environment() -> Result<Option<Self>, CredentialsError> {
        let set = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
        match (set("CAIRN_ROOT_ACCESS_KEY"), set("CAIRN_ROOT_SECRET_KEY")) {
            (None, None) => Ok(None),
            (Some(access_key), Some(secret_key)) => Self { access_key, secret_key }.checked().map(Some),
            _ => Err(CredentialsError::Half),
        }
    }

    fn checked(self) -> Result<Self, CredentialsError> {
        let fits = |text: &str, least: usize| {
            (least..=128).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.+/=".contains(&b))
        };
        if !fits(&self.access_key, 3) || self.access_key.contains('/') {
            return Err(CredentialsError::Unfit { name: "CAIRN_ROOT_ACCESS_KEY", least: 3 });
        }
        if !fits(&self.secret_key, 8) {
            return Err(CredentialsError::Unfit { name: "CAIRN_ROOT_SECRET_KEY", least: 8 });
        }
        Ok(self)
    }

    /// Reads a server's file; `None` when there is none.
    pub fn read(dir: &Path) -> Result<Option<Self>, CredentialsError> {
        let path = Self::path_in(dir);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(CredentialsError::File { path, source }),
        };
        serde_json::from_slice(&text)
            .map(Some)
            .map_err(|error| CredentialsError::Malformed { path, what: error.to_string() })
    }

    /// Writes a server's file, readable by its owner alone; whole or not at all.
    pub fn write(&self, dir: &Path) -> Result<(), CredentialsError> {
        let path = Self::path_in(dir);
        let beside = dir.join(".credentials.json.new");
        let written = || -> io::Result<()> {
            let mut options = fs::OpenOptions::new();
            let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
            file.set_permissions(fs::Permissions::from_mode(0o600))?;
            let mut text = serde_json::to_vec_pretty(self)?;
            text.push(b'\n');
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&beside, &path)
        };
        written().map_err(|source| CredentialsError::File { path: path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use cairn_core::entropy::SystemEntropy;

    use super::*;

    #[test]
    fn drawn_keys_differ_and_survive_the_file() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Credentials::read(dir.path()).unwrap(), None);
        let drawn = Credentials::draw(&SystemEntropy);
        assert_ne!(drawn, Credentials::draw(&SystemEntropy));
        assert_eq!((drawn.access_key.len(), drawn.secret_key.len()), (20, 40));
        drawn.write(dir.path()).unwrap();
        assert_eq!(Credentials::read(dir.path()).unwrap(), Some(drawn.clone()));
        let mode = fs::metadata(Credentials::path_in(dir.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!format!("{drawn:?}").contains(&drawn.secret_key), "a secret never reaches a log");
    }

    #[test]
    fn a_file_that_is_none_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(Credentials::path_in(dir.path()), b"{}").unwrap();
        assert!(matches!(Credentials::read(dir.path()), Err(CredentialsError::Malformed { .. })));
    }

    #[test]
    fn unfit_keys_are_refused() {
        let key = |access: &str, secret: &str| Credentials { access_key: access.into(), secret_key: secret.into() };
        assert!(key("abc", "12345678").checked().is_ok());
        for unfit in [key("ab", "12345678"), key("a/b", "12345678"), key("abc", "1234567"), key("abc", "1234 5678")] {
            assert!(unfit.checked().is_err());
        }
    }
}
