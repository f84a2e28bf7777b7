//! A drive's directory: what may lie in it, whether it is ours, and the lock that keeps a second process out.
//!
//! ```text
//! DIR/drive.json   who this drive is          DIR/chunks/   the chunk journal
//! DIR/secret       the cluster's secret       DIR/log/      the operation log's journal (another room's)
//! DIR/member.json  the node's part in the log DIR/runs/     sorted runs of rows (another room's)
//! DIR/lock         held while open            DIR/index/    chunk index generations; may be thrown away
//! ```
//!
//! Formatting writes the secret first and `drive.json` last, each whole or not at all, so that a directory is a drive
//! exactly from the moment on at which everything that a drive needs is durable. What is not known here is reported and
//! never touched.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use cairn_core::{ClusterId, DriveId};
use cairn_journal::files::fitness::Fitness;
use cairn_journal::files::{File, Files};

use crate::enlistment::Enlistment;
use crate::identity::{DRIVE_FORMAT_VERSION, DRIVE_JSON_BYTES_MAX, Formation, Identity, InvalidIdentity};
use crate::secret::ClusterSecret;

const IDENTITY: &str = "drive.json";
const SECRET: &str = "secret";
const MEMBER: &str = "member.json";
const LOCK: &str = "lock";
const CHUNKS: &str = "chunks";
const LOG: &str = "log";
const RUNS: &str = "runs";
const INDEX: &str = "index";
const SCRUB: &str = "scrub.position";

/// Everything that this release puts into a drive's directory, `.new` files of an interrupted write included. A
/// filesystem's own `lost+found` is nobody's data.
const KNOWN: [&str; 15] = [
    IDENTITY,
    "drive.json.new",
    SECRET,
    "secret.new",
    MEMBER,
    "member.json.new",
    LOCK,
    CHUNKS,
    LOG,
    RUNS,
    INDEX,
    SCRUB,
    "scrub.position.new",
    Fitness::PROBE,
    "lost+found",
];

/// More names than this are not listed in a message.
const NAMES_REPORTED_MAX: usize = 16;

/// What a directory turned out to be. Looking changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inspect {
    /// There is no such directory. It may be made and formatted.
    Missing,
    /// Nothing of anyone's lies in it. It may be formatted.
    Empty,
    /// Somebody else's files lie in it, and no drive. It must not be formatted.
    Foreign(Vec<String>),
    /// A drive.
    Drive {
        /// Who it is.
        identity: Identity,
        /// Names beside it that this release does not know. They are left alone.
        unknown: Vec<String>,
    },
    /// It was a drive, and what says which is damaged. It must not be formatted; its chunks may be whole.
    Corrupt(String),
    /// A drive that a later release wrote.
    Newer(u32),
}

/// Why a drive's directory could not be used. In every case nothing in it was changed that was there before.
#[derive(Debug, thiserror::Error)]
pub enum DirError {
    /// The filesystem refused. Report it; nothing is known about the drive.
    #[error("{path}: cannot {doing}", path = path.display())]
    Io {
        /// What was asked of it.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
    /// Another process serves this drive. Stop it, or leave it alone.
    #[error("{} is in use by another process", .0.display())]
    Locked(PathBuf),
    /// There is no directory here. Mount the disk, or declare the drive lost.
    #[error("{} does not exist", .0.display())]
    Missing(PathBuf),
    /// The directory is empty. Format it, or find out why nothing is mounted there.
    #[error("{} is not a drive: it is empty", .0.display())]
    NotADrive(PathBuf),
    /// Somebody else's files lie here. Name another directory.
    #[error("{path} is not a drive, and other files lie in it: {names}", path = path.display(), names = list(names))]
    Foreign {
        /// Where.
        path: PathBuf,
        /// What lies there.
        names: Vec<String>,
    },
    /// There is a drive here already. Open it instead of formatting it.
    #[error("{path} holds {drive:?} of {cluster:?} already", path = path.display())]
    AlreadyADrive {
        /// Where.
        path: PathBuf,
        /// Which drive.
        drive: DriveId,
        /// Of which cluster.
        cluster: ClusterId,
    },
    /// The identity or the secret is damaged. Put the file back, or replace the drive.
    #[error("{file} is damaged: {what}", file = file.display())]
    Corrupt {
        /// Which file, or the directory where one is missing.
        file: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Written by a later release. Start that release.
    #[error("{path} has drive format {found}, this release knows up to {DRIVE_FORMAT_VERSION}", path = path.display())]
    Newer {
        /// Where.
        path: PathBuf,
        /// The version that stands there.
        found: u32,
    },
    /// The drive belongs to another cluster. Do not use it here.
    #[error("{path} belongs to {found:?}, not to {expected:?}", path = path.display())]
    OtherCluster {
        /// Where.
        path: PathBuf,
        /// Whose it is.
        found: ClusterId,
        /// Who asks.
        expected: ClusterId,
    },
    /// Another drive of this cluster is mounted here.
    #[error("{path} holds {found:?}, not {expected:?}", path = path.display())]
    OtherDrive {
        /// Where.
        path: PathBuf,
        /// Which drive is there.
        found: DriveId,
        /// Which one was expected.
        expected: DriveId,
    },
}

fn list(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().take(NAMES_REPORTED_MAX).map(String::as_str).collect();
    let rest = names.len() - shown.len();
    if rest == 0 { shown.join(", ") } else { format!("{} and {rest} more", shown.join(", ")) }
}

/// A drive's directory, locked for this process until it is dropped.
#[derive(Debug)]
pub struct DriveDir {
    files: Arc<dyn Files>,
    path: PathBuf,
    identity: Mutex<Identity>,
    secret: ClusterSecret,
    unknown: Vec<String>,
    /// Held, not used: closing it lets the next process in.
    _lock: Arc<dyn File>,
}

impl DriveDir {
    /// Says what a directory is, without locking or changing anything.
    pub fn inspect(files: &dyn Files, path: &Path) -> Result<Inspect, DirError> {
        let entries = match files.list(path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Inspect::Missing),
            Err(error) => return Err(io("list the directory", path, error)),
        };
        let unknown: Vec<String> =
            entries.iter().map(|e| e.name.clone()).filter(|name| !KNOWN.contains(&name.as_str())).collect();
        if entries.iter().any(|entry| entry.name == IDENTITY) {
            let file = path.join(IDENTITY);
            return Ok(match read_small(files, &file, DRIVE_JSON_BYTES_MAX)? {
                None => Inspect::Corrupt(format!("{IDENTITY} is longer than {DRIVE_JSON_BYTES_MAX} bytes")),
                Some(bytes) => match Identity::decode(&bytes) {
                    Ok(identity) => Inspect::Drive { identity, unknown },
                    Err(InvalidIdentity::Corrupt(what)) => Inspect::Corrupt(format!("{IDENTITY}: {what}")),
                    Err(InvalidIdentity::Newer { found }) => Inspect::Newer(found),
                },
            });
        }
        if !unknown.is_empty() {
            return Ok(Inspect::Foreign(unknown));
        }
        // A format that was cut short leaves empty directories at most. Anything in them was written by a drive whose
        // identity is gone, and may be the only copy of something.
        for truth in [CHUNKS, LOG, RUNS] {
            if entries.iter().any(|entry| entry.name == truth) {
                let inside = path.join(truth);
                if !files.list(&inside).map_err(|e| io("list the directory", &inside, e))?.is_empty() {
                    return Ok(Inspect::Corrupt(format!("{truth}/ holds data and {IDENTITY} is missing")));
                }
            }
        }
        Ok(Inspect::Empty)
    }

    /// Makes a drive of a missing or empty directory. Anything else is refused and left as it is.
    pub fn format(
        files: Arc<dyn Files>,
        path: &Path,
        identity: Identity,
        secret: &ClusterSecret,
    ) -> Result<Self, DirError> {
        // Looked at before the first write, so that a refused directory is left without so much as a lock file, and
        // again under the lock, because another process may have been formatting it.
        formattable(Self::inspect(&*files, path)?, path)?;
        files.create_dir_all(path).map_err(|e| io("create the directory", path, e))?;
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            files.sync_dir(parent).map_err(|e| io("sync the directory", parent, e))?;
        }
        let lock = lock(&*files, path)?;
        formattable(Self::inspect(&*files, path)?, path)?;
        make_rooms(&*files, path)?;
        write_whole(&*files, path, SECRET, secret.encode())?;
        write_whole(&*files, path, IDENTITY, identity.encode())?;
        Ok(Self {
            files,
            path: path.to_owned(),
            identity: Mutex::new(identity),
            secret: secret.clone(),
            unknown: Vec::new(),
            _lock: lock,
        })
    }

    /// Opens a drive and takes its lock.
    pub fn open(files: Arc<dyn Files>, path: &Path) -> Result<Self, DirError> {
        // As above: nothing is written before the directory is known to be a drive.
        drive_in(Self::inspect(&*files, path)?, path)?;
        let lock = lock(&*files, path)?;
        let (identity, unknown) = drive_in(Self::inspect(&*files, path)?, path)?;
        let file = path.join(SECRET);
        let corrupt = |what: String| DirError::Corrupt { file: file.clone(), what };
        let secret = match read_small(&*files, &file, DRIVE_JSON_BYTES_MAX) {
            Ok(Some(text)) => ClusterSecret::decode(&text).map_err(|error| corrupt(error.to_string()))?,
            Ok(None) => return Err(corrupt("too long".to_owned())),
            Err(DirError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Err(corrupt("it is missing".to_owned()));
            }
            Err(error) => return Err(error),
        };
        make_rooms(&*files, path)?;
        if !unknown.is_empty() {
            tracing::warn!(drive = %identity.drive, path = %path.display(), names = list(&unknown),
                "files that are not Cairn's lie in a drive's directory; they are left alone");
        }
        Ok(Self { files, path: path.to_owned(), identity: Mutex::new(identity), secret, unknown, _lock: lock })
    }

    /// Refuses a drive of another cluster, or another drive than the one that belongs here.
    pub fn require(&self, cluster: ClusterId, drive: Option<DriveId>) -> Result<(), DirError> {
        let found = self.identity();
        if found.cluster != cluster {
            return Err(DirError::OtherCluster { path: self.path.clone(), found: found.cluster, expected: cluster });
        }
        match drive {
            Some(expected) if expected != found.drive => {
                Err(DirError::OtherDrive { path: self.path.clone(), found: found.drive, expected })
            }
            _ => Ok(()),
        }
    }

    /// Notes durably that the cluster exists. Doing it again changes nothing.
    pub fn mark_formed(&self) -> Result<(), DirError> {
        let mut identity = self.identity.lock().unwrap_or_else(PoisonError::into_inner);
        if identity.state == Formation::Formed {
            return Ok(());
        }
        let formed = Identity { state: Formation::Formed, ..*identity };
        write_whole(&*self.files, &self.path, IDENTITY, formed.encode())?;
        *identity = formed;
        Ok(())
    }

    /// What this drive knows of its node's part in the cluster; nothing on a drive that was never told.
    pub fn enlistment(&self) -> Result<Enlistment, DirError> {
        let file = self.path.join(MEMBER);
        let corrupt = |what: String| DirError::Corrupt { file: file.clone(), what };
        match read_small(&*self.files, &file, DRIVE_JSON_BYTES_MAX) {
            Ok(Some(text)) => Enlistment::decode(&text).map_err(|error| corrupt(error.to_string())),
            Ok(None) => Err(corrupt("too long".to_owned())),
            Err(DirError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(Enlistment::default()),
            Err(error) => Err(error),
        }
    }

    /// Notes durably which part its node has from now on.
    pub fn enlist(&self, enlistment: Enlistment) -> Result<(), DirError> {
        write_whole(&*self.files, &self.path, MEMBER, enlistment.encode())
    }

    /// Throws the operation log and the runs on this drive away. Only for a node that has no part in the log any more, or
    /// begins another one under another id: what it had promised here counts for nobody.
    pub fn forget_log(&self) -> Result<(), DirError> {
        for room in [LOG, RUNS] {
            let dir = self.path.join(room);
            let failed = |error| io("empty the directory", &dir, error);
            for entry in self.files.list(&dir).map_err(failed)? {
                self.files.remove(&dir.join(&entry.name)).map_err(failed)?;
            }
            self.files.sync_dir(&dir).map_err(failed)?;
        }
        Ok(())
    }

    /// Who this drive is.
    pub fn identity(&self) -> Identity {
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cluster's secret, as this drive carries it.
    pub fn secret(&self) -> &ClusterSecret {
        &self.secret
    }

    /// The filesystem it lies on.
    pub fn files(&self) -> &Arc<dyn Files> {
        &self.files
    }

    /// The directory itself: for messages to people.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names in the directory that this release does not know.
    pub fn unknown(&self) -> &[String] {
        &self.unknown
    }

    /// Where the chunk journal lies.
    pub fn chunks(&self) -> PathBuf {
        self.path.join(CHUNKS)
    }

    /// Where the operation log's journal lies.
    pub fn log(&self) -> PathBuf {
        self.path.join(LOG)
    }

    /// Where runs of rows lie.
    pub fn runs(&self) -> PathBuf {
        self.path.join(RUNS)
    }

    /// What was noted of a scrub, as it stands there; none where nothing was, or something longer than `bytes_max`.
    pub(crate) fn read_scrub_position(&self, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
        match read_small(&*self.files, &self.path.join(SCRUB), bytes_max) {
            Ok(bytes) => Ok(bytes),
            Err(DirError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(DirError::Io { source, .. }) => Err(source),
            Err(error) => Err(io::Error::other(error)),
        }
    }

    /// Notes how far a scrub is, whole or not at all.
    pub(crate) fn write_scrub_position(&self, bytes: Vec<u8>) -> io::Result<()> {
        match write_whole(&*self.files, &self.path, SCRUB, bytes) {
            Err(DirError::Io { source, .. }) => Err(source),
            Err(error) => Err(io::Error::other(error)),
            Ok(()) => Ok(()),
        }
    }

    /// Where chunk index generations lie.
    pub fn index(&self) -> PathBuf {
        self.path.join(INDEX)
    }
}

fn io(doing: &'static str, path: &Path, source: io::Error) -> DirError {
    DirError::Io { doing, path: path.to_owned(), source }
}

fn formattable(found: Inspect, path: &Path) -> Result<(), DirError> {
    let path = path.to_owned();
    match found {
        Inspect::Missing | Inspect::Empty => Ok(()),
        Inspect::Drive { identity, .. } => {
            Err(DirError::AlreadyADrive { path, drive: identity.drive, cluster: identity.cluster })
        }
        Inspect::Foreign(names) => Err(DirError::Foreign { path, names }),
        Inspect::Corrupt(what) => Err(DirError::Corrupt { file: path, what }),
        Inspect::Newer(found) => Err(DirError::Newer { path, found }),
    }
}

fn drive_in(found: Inspect, path: &Path) -> Result<(Identity, Vec<String>), DirError> {
    let path = path.to_owned();
    match found {
        Inspect::Drive { identity, unknown } => Ok((identity, unknown)),
        Inspect::Missing => Err(DirError::Missing(path)),
        Inspect::Empty => Err(DirError::NotADrive(path)),
        Inspect::Foreign(names) => Err(DirError::Foreign { path, names }),
        Inspect::Corrupt(what) => Err(DirError::Corrupt { file: path, what }),
        Inspect::Newer(found) => Err(DirError::Newer { path, found }),
    }
}

fn lock(files: &dyn Files, path: &Path) -> Result<Arc<dyn File>, DirError> {
    let name = path.join(LOCK);
    let file = match files.create(&name) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => files.open(&name),
        other => other,
    };
    let file = file.map_err(|e| io("open the lock", &name, e))?;
    match file.try_lock() {
        Ok(true) => Ok(file),
        Ok(false) => Err(DirError::Locked(path.to_owned())),
        Err(error) => Err(io("take the lock", &name, error)),
    }
}

fn make_rooms(files: &dyn Files, path: &Path) -> Result<(), DirError> {
    for room in [CHUNKS, LOG, RUNS, INDEX] {
        let room = path.join(room);
        files.create_dir_all(&room).map_err(|e| io("create the directory", &room, e))?;
    }
    files.sync_dir(path).map_err(|e| io("sync the directory", path, e))
}

/// Reads a file of at most `bytes_max`; `None` where it is longer.
fn read_small(files: &dyn Files, path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, DirError> {
    let read = || -> io::Result<Option<Vec<u8>>> {
        let file = files.open(path)?;
        let length = file.len()?;
        if length > bytes_max {
            return Ok(None);
        }
        let mut bytes = vec![0; length as usize];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(Some(bytes))
    };
    read().map_err(|error| io("read the file", path, error))
}

/// Writes a file so that it is there whole, or as it was: write beside it -> sync -> rename -> sync the directory.
fn write_whole(files: &dyn Files, dir: &Path, name: &str, content: Vec<u8>) -> Result<(), DirError> {
    let (beside, path) = (dir.join(format!("{name}.new")), dir.join(name));
    let write = || -> io::Result<()> {
        match files.remove(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = files.create(&beside)?;
        file.write_all_vectored_at(&[Bytes::from(content)], 0)?;
        file.sync_data()?;
        files.rename(&beside, &path)?;
        files.sync_dir(dir)
    };
    write().map_err(|error| io("write the file", &path, error))
}

#[cfg(test)]
mod tests;
