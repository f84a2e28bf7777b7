//! Drives, their states, and what voters report.
//!
//! ```text
//! (unknown) --RegisterDrives--> Active <----> Draining
//!                                ^  |            |  \
//!                                |  |            |   \-- holds no chunk --> Removed
//!                                |  v            v                            ^
//!                                Lost <----------+-------- holds no chunk ----/
//! ```
//!
//! A lost drive may come back: what its stripes still name was never given up, and to have declared intact drives lost
//! must not be what loses their data. What was given up meanwhile, positions rebuilt elsewhere and garbage counted as
//! collected without a delete, is named by no row any more, and the census condemns it. From `Removed` no road leads back,
//! and none leads there from `Active`, so that no writer still believes in the drive.

use std::collections::BTreeSet;
use std::rc::Rc;

use cairn_core::{DriveId, Geometry, LogIndex, NodeId};

use crate::apply::context::Context;
use crate::apply::transaction::{Stop, Transaction, malformed, unknown};
use crate::operation::NewDrive;
use crate::outcome::{Outcome, Refusal};
use crate::row::{Row, Table};
use crate::rows::cluster::ClusterRow;
use crate::rows::profile::{ProfileId, ProfileRow};
use crate::rows::topology::{DriveLedgerRow, DriveRow, DriveState, NodeRow, VoterRow};
use crate::source::RowSource;

/// The most drives in one operation, and the most that STANDARD is followed for.
pub(crate) const DRIVES_MAX: usize = 1024;

/// The longest zone or label, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 512;

/// Writes new drives, active and empty. A drive that is there already, active and of the same node, stays as it is.
pub(crate) fn add_drives<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &Context<'_>,
    node: NodeId,
    drives: &[NewDrive],
) -> Result<(), Stop> {
    let ids: BTreeSet<DriveId> = drives.iter().map(|drive| drive.id).collect();
    if ids.len() != drives.len() || drives.len() > DRIVES_MAX {
        return Err(malformed("a drive is named twice, or there are too many"));
    }
    for drive in drives {
        if drive.weight == 0 || drive.label.len() > NAME_BYTES_MAX {
            return Err(malformed("a drive without weight, or with too long a label"));
        }
        match rows.get::<DriveRow>(&drive.id)? {
            Some(row) if row.node == node && row.state == DriveState::Active => continue,
            Some(_) => return Err(Refusal::Changed.into()),
            None => {}
        }
        let row = DriveRow {
            node,
            weight: drive.weight,
            state: DriveState::Active,
            since: context.index,
            changed: context.time,
            label: drive.label.clone(),
        };
        rows.put(&drive.id, row)?;
        rows.put(&drive.id, DriveLedgerRow::default())?;
    }
    Ok(())
}

pub(crate) fn register_drives<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &Context<'_>,
    node: NodeId,
    drives: &[NewDrive],
) -> Result<Outcome, Stop> {
    if rows.get::<NodeRow>(&node)?.is_none() {
        return Err(unknown("node"));
    }
    following_standard(rows, |rows| add_drives(rows, context, node, drives))?;
    Ok(Outcome::Done)
}

/// Runs `change`, which adds drives, and lets STANDARD follow them if it still does.
pub(crate) fn following_standard<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    change: impl FnOnce(&mut Transaction<'_, S>) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let follows = standard_follows(rows)?;
    change(rows)?;
    if let Some(profile) = follows {
        let geometry = Geometry::standard_for(active_drives(rows)?);
        rows.put(&ProfileId::STANDARD, ProfileRow { geometry, ..(*profile).clone() })?;
    }
    Ok(())
}

/// STANDARD, if it still follows the drives: until the first bucket, and unless somebody chose otherwise.
fn standard_follows<S: RowSource + ?Sized>(rows: &mut Transaction<'_, S>) -> Result<Option<Rc<ProfileRow>>, Stop> {
    if rows.must::<ClusterRow>(&())?.buckets_made > 0 {
        return Ok(None);
    }
    let profile = rows.must::<ProfileRow>(&ProfileId::STANDARD)?;
    let chosen = profile.geometry != Geometry::standard_for(active_drives(rows)?);
    Ok((!chosen).then_some(profile))
}

fn active_drives<S: RowSource + ?Sized>(rows: &mut Transaction<'_, S>) -> Result<usize, Stop> {
    let drives = rows.first::<DriveRow>(&[Table::Drive as u8], DRIVES_MAX)?;
    Ok(drives.iter().filter(|(_, row)| row.state == DriveState::Active).count())
}

pub(crate) fn set_drive_state<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &Context<'_>,
    drive: DriveId,
    from: DriveState,
    to: DriveState,
) -> Result<Outcome, Stop> {
    use DriveState::{Active, Draining, Lost, Removed};
    let key = DriveRow::key(&drive);
    let row = rows.get_at::<DriveRow>(&key)?.ok_or_else(|| unknown("drive"))?;
    if row.state != from {
        return Err(Refusal::Changed.into());
    }
    match (from, to) {
        (Active, Draining | Lost) | (Draining, Active | Lost) | (Lost, Active) => {}
        (Draining | Lost, Removed) => {
            let chunks = rows.must::<DriveLedgerRow>(&drive)?.chunks;
            if chunks > 0 {
                return Err(Refusal::DriveInUse { chunks }.into());
            }
        }
        _ => return Err(malformed("no road leads from that state to the other")),
    }
    rows.put_at(&key, DriveRow { state: to, since: context.index, changed: context.time, ..(*row).clone() })?;
    Ok(Outcome::Done)
}

/// A voter of whom no run is known.
pub(crate) const NOTHING_REPORTED: VoterRow = VoterRow { run_index: LogIndex(0), node: None };

pub(crate) fn report_run<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &Context<'_>,
    voter: u64,
    index: LogIndex,
) -> Result<Outcome, Stop> {
    if index >= context.index {
        return Err(malformed("a run that contains the future"));
    }
    let nodes = rows.first::<NodeRow>(&[Table::Node as u8], DRIVES_MAX)?;
    if !nodes.iter().any(|(_, node)| node.voter == Some(voter)) {
        return Err(unknown("voter"));
    }
    let known = rows.get::<VoterRow>(&voter)?.map_or(NOTHING_REPORTED, |row| *row);
    rows.put(&voter, VoterRow { run_index: known.run_index.max(index), ..known })?;
    Ok(Outcome::Done)
}
