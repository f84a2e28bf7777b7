//! Drives that a machine takes in while it runs: a fresh one in the place of one that is lost, or one more.
//!
//! ```text
//! an empty directory -> formatted -> opened -> the log: the old one is lost, the fresh one is registered -> it takes chunks
//!                                                                                  -> the log lies on it, not on the old one
//! ```
//! A crash in between leaves a formatted drive that the log does not know; the next start that is given it registers it.

use std::collections::BTreeSet;
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cairn_core::{ChunkStore as _, ClusterId, DriveId, Drives, Geometry, NodeId};
use cairn_machine::row::Row;
use cairn_machine::rows::profile::{ProfileId, ProfileRow};
use cairn_machine::rows::topology::{DriveLedgerRow, DriveRow, DriveState};
use cairn_machine::{Operation, Outcome};
use cairn_metadata::Client;
use cairn_repair::FaultQueue;
use cairn_repair::census::drive_states;
use cairn_storage_node::{ClusterSecret, DirError, Drive, DriveDir, Formation, Identity, Inspect, OpenError, Scrub};
use serde::{Deserialize, Serialize};

use crate::assembly::Parts;
use crate::assembly::core::Rooms;
use crate::assembly::log_drives::LogDrives;
use crate::assembly::own_drives::{close_drives, look_after, options, start_scrub};
use crate::assembly::topology::{label, new_drive};

/// Why a drive is not taken in. Unless it says otherwise, nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum TakeInError {
    /// Nobody knows the old drive.
    #[error("no drive of this machine is called {0}: see `cairn drive ls`")]
    Unknown(String),
    /// Several drives are called that: name the id.
    #[error("several drives are called {0}: name one by its id")]
    Ambiguous(String),
    /// The old drive is well, and may hold the only copy of something.
    #[error("{0} answers and takes writes: a drive that is well is not given up")]
    Well(String),
    /// Calling one more drive lost would give up what those that are only away still hold.
    #[error(
        "{lost} drives are lost and not rebuilt yet, and the data survives the loss of {most}: wait, or bring one back"
    )]
    TooManyLost {
        /// How many are.
        lost: usize,
        /// How many may be.
        most: usize,
    },
    /// The directory is not there: a disk that is not mounted looks like that.
    #[error("{0} is not there: mount the fresh disk first")]
    NotThere(PathBuf),
    /// It cannot be made a drive of.
    #[error(transparent)]
    Dir(#[from] DirError),
    /// It was made a drive, and cannot be opened: take another disk.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The log did not take it. The directory is a drive now that nobody knows: empty it, or start with it.
    #[error("the log refuses: {0}")]
    Refused(String),
    /// The log does not answer; whether the drive was taken in is seen in `cairn drive ls`.
    #[error("the log does not answer: {0}")]
    Unavailable(String),
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenIn {
    /// The fresh drive's id.
    pub drive: String,
    /// What people call it.
    pub label: String,
    /// The drive whose place it took.
    pub replaced: Option<String>,
    /// What a person should know.
    pub notes: Vec<String>,
}

impl fmt::Display for TakenIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.replaced {
            Some(old) => {
                writeln!(f, "{} is drive {} and takes the place of {old}, which is lost", self.label, self.drive)?
            }
            None => writeln!(f, "{} is drive {}", self.label, self.drive)?,
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "  {note}"))
    }
}

/// Takes drives in.
#[derive(Debug)]
pub struct Newcomers {
    parts: Parts,
    cluster: ClusterId,
    node: NodeId,
    secret: ClusterSecret,
    client: Client,
    drives: Arc<Drives>,
    faults: Arc<FaultQueue>,
    log_drives: Arc<LogDrives>,
    taken: Mutex<Vec<(Arc<Drive>, Scrub)>>,
    /// One at a time: each counts what is lost before it calls one more lost.
    turn: tokio::sync::Mutex<()>,
}

impl Newcomers {
    /// For the machine of these directories.
    pub fn new(
        parts: &Parts,
        rooms: &Rooms,
        client: Client,
        drives: Arc<Drives>,
        faults: Arc<FaultQueue>,
        log_drives: Arc<LogDrives>,
    ) -> Self {
        Self {
            parts: parts.clone(),
            cluster: rooms.cluster(),
            node: rooms.node(),
            secret: rooms.secret().clone(),
            client,
            drives,
            faults,
            log_drives,
            taken: Mutex::new(Vec::new()),
            turn: tokio::sync::Mutex::new(()),
        }
    }

    /// Makes a drive of an empty directory and has the cluster use it. The old one, where there is one, is lost from then on.
    pub async fn take_in(&self, old: Option<&str>, new: &Path) -> Result<TakenIn, TakeInError> {
        let _one = self.turn.lock().await;
        if let Some(covered) = self.client.covered() {
            return Err(TakeInError::Refused(covered.to_string()));
        }
        let unavailable = |error: &dyn fmt::Display| TakeInError::Unavailable(error.to_string());
        let view = self.client.read().await.map_err(|error| unavailable(&error))?;
        let known = drive_states(&view).map_err(|error| unavailable(&error))?;
        let old = old.map(|name| self.find(name, &known)).transpose()?;
        if let Some((old, row)) = old.filter(|(_, row)| row.state != DriveState::Lost) {
            let mut lost = 1;
            for (drive, _) in known.iter().filter(|(drive, row)| **drive != old && row.state == DriveState::Lost) {
                let ledger = DriveLedgerRow::get(&view, drive).map_err(|error| unavailable(&error))?;
                lost += usize::from(ledger.is_some_and(|ledger| ledger.chunks > 0));
            }
            let standard = ProfileRow::get(&view, &ProfileId::STANDARD).map_err(|error| unavailable(&error))?;
            let most = standard.map_or(0, |row| Geometry::m(row.geometry));
            if lost > most {
                return Err(TakeInError::TooManyLost { lost, most });
            }
            if self.drives.get(old).is_ok_and(|store| store.health().writable.is_ok()) {
                return Err(TakeInError::Well(row.label.clone()));
            }
        }
        drop(view);
        let dir = self.format(new)?;
        let drive =
            Drive::open(dir.clone(), &options(&self.parts), self.parts.clock.clone(), self.parts.entropy.clone())?;
        let register = Operation::RegisterDrives { node: self.node, drives: vec![new_drive(&dir)] };
        let write_off = old
            .filter(|(_, row)| row.state != DriveState::Lost)
            .map(|(drive, row)| Operation::SetDriveState { drive, from: row.state, to: DriveState::Lost });
        let operations = std::iter::once(register).chain(write_off).collect();
        for outcome in self.client.propose(operations).await.map_err(|error| unavailable(&error))? {
            if let Outcome::Refused(refusal) = outcome {
                return Err(TakeInError::Refused(refusal.to_string()));
            }
        }
        self.drives.insert(drive.clone());
        let scrub = start_scrub(&drive, &self.parts, &self.faults);
        look_after(&drive, &self.parts);
        self.taken().push((drive, scrub));
        self.log_drives.add(&dir);
        let mut notes = Vec::new();
        if let Err(error) = self.log_drives.settle().await {
            notes.push(format!("{error}; it is tried again"));
        }
        let place = if old.is_some() { "in the place of the old directory" } else { "among the directories" };
        notes.push(format!("name {} {place} at the next start", new.display()));
        notes.extend(self.shared_device(new));
        Ok(TakenIn {
            drive: dir.identity().drive.to_string(),
            label: label(&dir),
            replaced: old.map(|(drive, row)| format!("{} (drive {drive})", row.label)),
            notes,
        })
    }

    fn find<'a>(
        &self,
        name: &str,
        known: &'a std::collections::BTreeMap<DriveId, DriveRow>,
    ) -> Result<(DriveId, &'a DriveRow), TakeInError> {
        let own = known.iter().filter(|(_, row)| row.node == self.node && row.state != DriveState::Removed);
        let called = |drive: &DriveId, row: &DriveRow| row.label == name || drive.to_string() == name;
        let found: Vec<_> = own.filter(|(drive, row)| called(drive, row)).map(|(drive, row)| (*drive, row)).collect();
        match found[..] {
            [one] => Ok(one),
            [] => Err(TakeInError::Unknown(name.to_owned())),
            _ => Err(TakeInError::Ambiguous(name.to_owned())),
        }
    }

    fn format(&self, path: &Path) -> Result<Arc<DriveDir>, TakeInError> {
        if DriveDir::inspect(&*self.parts.files, path)? == Inspect::Missing {
            return Err(TakeInError::NotThere(path.to_owned()));
        }
        let identity = Identity {
            cluster: self.cluster,
            node: self.node,
            drive: DriveId(self.parts.entropy.next_u64()),
            // A start that saw nothing but replacements would otherwise take them for the beginning of a cluster.
            state: Formation::Formed,
            created: self.parts.clock.wall(),
            slot: None,
        };
        Ok(Arc::new(DriveDir::format(self.parts.files.clone(), path, identity, &self.secret)?))
    }

    /// Whether the fresh drive would fail together with another one that was taken in.
    fn shared_device(&self, new: &Path) -> Option<String> {
        let device = |path: &Path| std::fs::metadata(path).ok().map(|found| found.dev());
        let mine = device(new)?;
        let parent = new.parent().and_then(device);
        // A disk that is mounted there has another device than what it is mounted in.
        (parent == Some(mine)).then(|| format!("{} is no disk of its own: see `cairn doctor`", new.display()))
    }

    /// The drives that were taken in.
    pub fn opened(&self) -> Vec<Arc<Drive>> {
        self.taken().iter().map(|(drive, _)| drive.clone()).collect()
    }

    /// Their ids.
    pub fn ids(&self) -> BTreeSet<DriveId> {
        self.taken().iter().map(|(drive, _)| drive.drive()).collect()
    }

    fn taken(&self) -> MutexGuard<'_, Vec<(Arc<Drive>, Scrub)>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes every one, so that the next start has nothing to scan. One that cannot be closed keeps no other from it.
    pub async fn close(&self) -> anyhow::Result<()> {
        let taken = std::mem::take(&mut *self.taken());
        let (drives, scrubs): (Vec<_>, Vec<_>) = taken.into_iter().unzip();
        close_drives(drives, scrubs).await
    }
}
