//! Removing lost drives from the books: once every position was rebuilt elsewhere and no garbage is counted on a drive,
//! nothing is left that could be missed. Only where no node is watched: of a node that may come back the drive may come
//! back as well, however little it is missed, and from there no road would lead.

use cairn_machine::rows::topology::{DriveLedgerRow, DriveState};
use cairn_machine::{Operation, Outcome, Row};
use cairn_metadata::Client;

use crate::census::drive_states;
use crate::error::RepairError;

/// Proposes it for every lost drive that the ledger counts nothing on; how many were removed. The state machine judges the
/// ledger again (invariant 6).
pub async fn remove(client: &Client) -> Result<u64, RepairError> {
    let view = client.read().await?;
    let mut operations = Vec::new();
    for (drive, row) in drive_states(&view)? {
        let ledger = DriveLedgerRow::get(&view, &drive)?.unwrap_or_default();
        if row.state == DriveState::Lost && ledger == DriveLedgerRow::default() {
            operations.push(Operation::SetDriveState { drive, from: row.state, to: DriveState::Removed });
        }
    }
    drop(view);
    if operations.is_empty() {
        return Ok(0);
    }
    let outcomes = client.propose(operations).await?;
    Ok(outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Done)).count() as u64)
}
