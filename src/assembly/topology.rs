//! What the log says of this node's drives, brought into agreement with the drives that are there.

use std::collections::{BTreeMap, BTreeSet};

use cairn_core::units::GIB;
use cairn_core::{DriveId, Geometry};
use cairn_machine::operation::NewDrive;
use cairn_machine::rows::profile::{ProfileId, ProfileRow};
use cairn_machine::rows::topology::{DriveLedgerRow, DriveRow, DriveState};
use cairn_machine::{Operation, Outcome, Row};
use cairn_metadata::Client;
use cairn_repair::census::drive_states;
use cairn_storage_node::DriveDir;

use crate::assembly::Beginning;
use crate::assembly::core::Rooms;

/// Why the drives do not fit the log.
#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    /// The log has written this drive off; its place is taken.
    #[error("{path} holds drive {drive}, which was declared lost and replaced: move it away")]
    Returned {
        /// Where it is.
        path: String,
        /// Which drive.
        drive: DriveId,
    },
    /// More drives are gone than the data survives.
    #[error("{} drives are missing and the data survives the loss of {most}: {}", missing.len(), missing.join(", "))]
    TooManyMissing {
        /// What people call them.
        missing: Vec<String>,
        /// How many may be.
        most: usize,
    },
    /// The log did not take it.
    #[error("the log refuses to change the drives: {0}")]
    Refused(String),
}

/// What becomes of drives that the log knows and that are not here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// They are declared lost.
    WrittenOff,
    /// They are gone without until they are back, or a person says that they are lost.
    GoneWithout,
}

/// A drive that is gone without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Away {
    /// Which.
    pub drive: DriveId,
    /// What people call it.
    pub label: String,
}

/// What a start changed.
#[derive(Debug, Default)]
pub struct Changes {
    /// Drives that are not here and not lost.
    pub absent: Vec<Away>,
    /// What a person should know.
    pub notices: Vec<String>,
}

/// Declares lost what the log counts on and is not there, where that was asked for, and registers what is there and new.
/// Doing it again changes nothing.
pub async fn settle(client: &Client, rooms: &Rooms, beginning: &Beginning) -> anyhow::Result<Changes> {
    let view = client.read().await?;
    let known = drive_states(&view)?;
    let geometry = ProfileRow::get(&view, &ProfileId::STANDARD)?.map(|row| row.geometry);
    let mut still_missed = Vec::new();
    for (drive, row) in known.iter().filter(|(_, row)| row.state == DriveState::Lost) {
        if DriveLedgerRow::get(&view, drive)?.is_some_and(|ledger| ledger.chunks > 0) {
            still_missed.push(format!("{} (drive {drive}, lost before and not rebuilt yet)", row.label));
        }
    }
    drop(view);
    let here: BTreeMap<DriveId, &DriveDir> = rooms.dirs().iter().map(|dir| (dir.identity().drive, &**dir)).collect();
    let gone = |row: &DriveRow| matches!(row.state, DriveState::Lost | DriveState::Removed);
    if let Some((&drive, dir)) = here.iter().find(|(drive, _)| known.get(drive).is_some_and(gone)) {
        return Err(TopologyError::Returned { path: dir.path().display().to_string(), drive }.into());
    }
    let fails = |drive: &DriveId| rooms.failing().iter().any(|failing| failing.drive == Some(*drive));
    let mut missing: Vec<(DriveId, &DriveRow)> = known
        .iter()
        .filter(|(drive, row)| row.node == rooms.node() && !gone(row) && !here.contains_key(drive) && !fails(drive))
        .map(|(&drive, row)| (drive, row))
        .collect();
    let most = geometry.map_or(0, Geometry::m);
    // Drives that were declared lost and are still being rebuilt count: calling more drives lost than the data survives
    // would give up what those that are only away still hold.
    let failing = known.keys().filter(|drive| fails(drive)).count();
    let too_many = missing.len() + still_missed.len() + failing > most && !beginning.orders.accept_loss;
    if !missing.is_empty() && too_many {
        let missing = missing.iter().map(|(_, row)| row.label.clone()).chain(still_missed).collect();
        return Err(TopologyError::TooManyMissing { missing, most }.into());
    }
    let mut absent = Vec::new();
    let away = |(drive, row): (DriveId, &DriveRow)| Away { drive, label: row.label.clone() };
    if client.covered().is_some() {
        // Nothing can be said in the log: whoever is not here is gone without, and whoever is new waits.
        return Ok(Changes { absent: missing.into_iter().map(away).collect(), notices: Vec::new() });
    }
    if beginning.absent == Absent::GoneWithout {
        let (lost, gone): (Vec<_>, Vec<_>) =
            missing.into_iter().partition(|(drive, _)| beginning.orders.given_up.contains(drive));
        missing = lost;
        absent.extend(gone.into_iter().map(away));
    } else if rooms.failing().iter().any(|failing| failing.drive.is_none()) {
        // A drive that cannot say who it is may be any of the missing. It is there, so none of them is written off.
        missing.clear();
    }
    let mut operations: Vec<Operation> = missing
        .iter()
        .map(|(drive, row)| Operation::SetDriveState { drive: *drive, from: row.state, to: DriveState::Lost })
        .collect();
    let fresh: Vec<&DriveDir> =
        here.iter().filter(|(drive, _)| !known.contains_key(drive)).map(|(_, dir)| *dir).collect();
    if !fresh.is_empty() {
        operations.push(Operation::RegisterDrives {
            node: rooms.node(),
            drives: fresh.iter().map(|dir| new_drive(dir)).collect(),
        });
    }
    for outcome in client.propose(operations).await? {
        if let Outcome::Refused(refusal) = outcome {
            return Err(TopologyError::Refused(refusal.to_string()).into());
        }
    }
    let mut changes = Changes { absent, ..Changes::default() };
    for (drive, row) in &missing {
        changes.notices.push(format!("{} (drive {drive}) is missing and was declared lost", row.label));
    }
    for dir in fresh {
        changes.notices.push(format!("{} is a fresh drive {}", label(dir), dir.identity().drive));
    }
    Ok(changes)
}

/// A node of a cluster, which is not alone: registers what is there and new, and says what is missing. Whether a drive is
/// lost is decided by those who look after all of them.
pub async fn agree(client: &Client, rooms: &Rooms) -> anyhow::Result<Vec<String>> {
    let view = client.read().await?;
    let known = drive_states(&view)?;
    drop(view);
    let here: BTreeSet<DriveId> = rooms.dirs().iter().map(|dir| dir.identity().drive).collect();
    let fresh: Vec<NewDrive> = rooms
        .dirs()
        .iter()
        .filter(|dir| !known.contains_key(&dir.identity().drive))
        .map(|dir| new_drive(dir))
        .collect();
    let mut notices: Vec<String> =
        fresh.iter().map(|drive| format!("{} is a fresh drive {}", drive.label, drive.id)).collect();
    if !fresh.is_empty() {
        let register = Operation::RegisterDrives { node: rooms.node(), drives: fresh };
        for outcome in client.propose(vec![register]).await? {
            if let Outcome::Refused(refusal) = outcome {
                return Err(TopologyError::Refused(refusal.to_string()).into());
            }
        }
    }
    let missing = known
        .iter()
        .filter(|(drive, row)| row.node == rooms.node() && row.state != DriveState::Removed && !here.contains(drive));
    notices.extend(missing.map(|(drive, row)| format!("{} (drive {drive}) of this node is missing", row.label)));
    Ok(notices)
}

/// What STANDARD is.
pub async fn standard(client: &Client) -> anyhow::Result<Geometry> {
    let view = client.read().await?;
    let row = ProfileRow::get(&view, &ProfileId::STANDARD)?;
    row.map(|row| row.geometry).ok_or_else(|| anyhow::anyhow!("the cluster has no profile STANDARD"))
}

/// A drive as the log is told of it.
pub fn new_drive(dir: &DriveDir) -> NewDrive {
    NewDrive { id: dir.identity().drive, weight: weight(dir), label: label(dir) }
}

/// The name of the directory.
pub fn label(dir: &DriveDir) -> String {
    dir.path().file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// GiB of the filesystem, at least 1. Where it cannot be asked the drive weighs as little as one can.
fn weight(dir: &DriveDir) -> u32 {
    let gibibytes = dir.files().space(dir.path()).map_or(1, |space| space.total_bytes / GIB);
    u32::try_from(gibibytes).unwrap_or(u32::MAX).max(1)
}
