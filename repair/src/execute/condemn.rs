//! Condemning orphans: the only way in which a chunk that no row names becomes garbage.

use cairn_machine::{Operation, Outcome};
use cairn_metadata::Client;

use crate::error::RepairError;
use crate::plan::Orphan;

/// How many are proposed at a time.
const STEP: usize = 256;

/// Proposes each orphan; how many were condemned. A refusal is no failure: what looked orphaned was a write under way.
pub async fn condemn(client: &Client, orphans: &[Orphan]) -> Result<u64, RepairError> {
    let mut condemned = 0;
    for step in orphans.chunks(STEP) {
        let operations =
            step.iter().map(|orphan| Operation::Condemn { chunk: orphan.chunk, drive: orphan.drive }).collect();
        let outcomes = client.propose(operations).await?;
        condemned += outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Done)).count() as u64;
    }
    Ok(condemned)
}
