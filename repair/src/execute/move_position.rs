//! Moving one position of a stripe: read any k, code the lost one, write it under a new name, read it back from the
//! device, and only then propose it. Done is what the log answered (invariant 10).

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use cairn_core::{ChunkName, DriveId, StripeId};
use cairn_erasure::{ChunkPlace, ChunkSource, StripePlaces};
use cairn_machine::rows::stripe::{PlacedChunk, StripeRow};
use cairn_machine::{Operation, Outcome};
use cairn_placement::{Layout, Stripes};

use crate::daemon::RepairParts;
use crate::error::RepairError;
use crate::plan::Rebuild;

/// Moves positions by one picture of the topology.
#[derive(Debug)]
pub struct Mover<'a> {
    parts: &'a RepairParts,
    stripes: &'a Stripes,
    layout: Arc<Layout>,
    /// Drives that failed during this plan: the next position does not try them again.
    failed: Mutex<BTreeSet<DriveId>>,
}

impl<'a> Mover<'a> {
    /// Reads the topology.
    pub async fn new(parts: &'a RepairParts, stripes: &'a Stripes) -> Result<Self, RepairError> {
        // Read for its own sake: from here on this node's rows are as new as the plan's.
        drop(parts.client.read().await?);
        Ok(Self { parts, stripes, layout: stripes.topology.layout()?, failed: Mutex::default() })
    }

    /// Rebuilds a stripe's missing positions, one after the other; what came of each.
    pub async fn rebuild(&self, rebuild: Rebuild) -> Vec<Result<u64, RepairError>> {
        let mut row = rebuild.row;
        let mut results = Vec::with_capacity(rebuild.missing.len());
        for &position in &rebuild.missing {
            let moved = self.move_position(rebuild.stripe, &row, position).await;
            results.push(moved.map(|(to, bytes)| {
                row.positions[usize::from(position)] = to;
                bytes
            }));
        }
        results
    }

    /// Rebuilds one position elsewhere: where it is now, and how many bytes that were.
    async fn move_position(
        &self,
        stripe: StripeId,
        row: &StripeRow,
        position: u8,
    ) -> Result<(PlacedChunk, u64), RepairError> {
        let target = self.target(stripe, row, position)?;
        let drives = &self.parts.drives;
        // While the ticket lives, nobody takes the new chunk for an orphan: its session may still commit it.
        let ticket = self.parts.client.begin_write();
        let to = PlacedChunk { drive: target, write: ticket.id() };
        let places = StripePlaces {
            id: stripe,
            shape: row.shape,
            positions: row
                .positions
                .iter()
                .map(|placed| ChunkPlace { drive: placed.drive, write: placed.write })
                .collect(),
        };
        let now = self.parts.clock.wall();
        let record = self
            .stripes
            .reader
            .chunk_anew(&places, position, ChunkSource::Others, to.write, now)
            .await
            .map_err(|error| RepairError::Undecodable { stripe, what: error.to_string() })?;
        let name = ChunkName { stripe, position, write: to.write };
        let head = record.head.clone();
        let store = drives.get(target)?;
        if let Err(error) = store.put(record).await {
            self.give_up_on(target);
            return Err(error.into());
        }
        match store.read_back(name).await {
            Ok(found) if *found == *head => {}
            Ok(_) | Err(_) => {
                self.give_up_on(target);
                return Err(RepairError::ReadBack(target));
            }
        }
        let from = row.positions[usize::from(position)];
        let proposal = Operation::MovePosition { stripe, position, from, to };
        match self.parts.client.propose(vec![proposal]).await?.into_iter().next() {
            Some(Outcome::Refused(refusal)) => Err(RepairError::Refused(refusal)),
            _ => Ok((to, u64::from(head.length()))),
        }
    }

    /// The ring's choice among drives that hold no other position of the stripe. The position's own drive may take it
    /// again, if the log calls it active: only the chunk was damaged then.
    fn target(&self, stripe: StripeId, row: &StripeRow, position: u8) -> Result<DriveId, RepairError> {
        let others: Vec<DriveId> =
            (0u8..).zip(&row.positions).filter(|(at, _)| *at != position).map(|(_, placed)| placed.drive).collect();
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let usable = |drive: DriveId| {
            let writable = self.parts.drives.get(drive).is_ok_and(|store| store.health().writable.is_ok());
            self.layout.is_active(drive) && writable && !failed.contains(&drive)
        };
        self.layout.ring.next(stripe, &others, &usable).ok_or(RepairError::NoDrive(stripe))
    }

    fn give_up_on(&self, drive: DriveId) {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).insert(drive);
    }
}
