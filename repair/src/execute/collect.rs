//! Collecting: the drives delete what due garbage rows name, then the rows go. In this order: a crash between the two
//! deletes again what is gone already, which is no error.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use cairn_core::{ChunkError, DriveId, Drives};
use cairn_machine::row::Table;
use cairn_machine::rows::garbage::{GarbageKey, GarbageRow};
use cairn_machine::rows::topology::{DriveRow, DriveState};
use cairn_machine::{Operation, Outcome, RowError, RowSource};
use cairn_metadata::Client;
use futures::future::join_all;

use crate::census::{damaged, drive_states, scan_table};
use crate::error::RepairError;

/// How many chunks are deleted before their rows go.
const STEP: usize = 512;

/// Deletes what is due, at most one step; a drive that takes longer than `patience` for one chunk keeps the others no
/// longer. Returns how many chunks went; zero means that nothing is due.
pub async fn collect(client: &Client, drives: &Drives, patience: Duration) -> Result<u64, RepairError> {
    let view = client.read().await?;
    let due = due(&view)?;
    let states = drive_states(&view)?;
    drop(view);
    if due.is_empty() {
        return Ok(0);
    }
    let mut by_drive: BTreeMap<DriveId, Vec<GarbageKey>> = BTreeMap::new();
    for (key, row) in due {
        by_drive.entry(row.drive).or_default().push(key);
    }
    let deleted =
        join_all(by_drive.into_iter().map(|(drive, keys)| delete(drives, drive, states.get(&drive), keys, patience)));
    let garbage: Vec<GarbageKey> = deleted.await.into_iter().flatten().collect();
    if garbage.is_empty() {
        return Ok(0);
    }
    let count = garbage.len() as u64;
    match client.propose(vec![Operation::Collected { garbage }]).await?.into_iter().next() {
        Some(Outcome::Refused(refusal)) => Err(RepairError::Refused(refusal)),
        _ => Ok(count),
    }
}

/// What of these the drive no longer holds.
async fn delete(
    drives: &Drives,
    drive: DriveId,
    state: Option<&DriveRow>,
    keys: Vec<GarbageKey>,
    patience: Duration,
) -> Vec<GarbageKey> {
    // What lay on a lost drive is gone with it; should the drive return, the census condemns what it finds.
    if state.is_none_or(|row| matches!(row.state, DriveState::Lost | DriveState::Removed)) {
        return keys;
    }
    let mut gone = Vec::with_capacity(keys.len());
    for key in keys {
        let deleted = match drives.get(drive) {
            Ok(store) => match tokio::time::timeout(patience, store.delete(key.chunk)).await {
                Ok(deleted) => deleted,
                // Whether it happened is found out by deleting again.
                Err(_) => Err(ChunkError::Unavailable(drive, Arc::from("it takes too long for an answer"))),
            },
            Err(error) => Err(error),
        };
        match deleted {
            Ok(_) => gone.push(key),
            Err(error) => {
                tracing::warn!(%drive, chunk = %key.chunk, %error, "garbage stays until the drive deletes it");
                break;
            }
        }
    }
    gone
}

fn due(rows: &impl RowSource) -> Result<Vec<(GarbageKey, GarbageRow)>, RowError> {
    let until = cairn_machine::due_until(rows)?;
    let mut due = Vec::new();
    scan_table::<GarbageRow>(rows, Table::Garbage, &[Table::Garbage as u8], &mut |key, row| {
        let garbage = GarbageKey::from_slice(&key[1..]).ok_or_else(|| damaged(key, "key of garbage"))?;
        if garbage.index >= until || due.len() == STEP {
            return Ok(ControlFlow::Break(()));
        }
        due.push((garbage, row));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(due)
}
