//! What readers reported, looked at again on the device: a flipped bit in memory is no loss, and neither is a drive that does
//! not answer.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cairn_core::{ChunkError, Drives, StripeId};
use cairn_machine::rows::stripe::StripeRow;
use cairn_machine::{Row, RowError, RowSource};

/// What came of the reports. Those that are in neither set were found sound, or name what is there no more.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Confirmed {
    /// Positions whose chunk is not there, or is there and wrong: lost.
    pub damaged: BTreeSet<(StripeId, u8)>,
    /// Positions whose drive could not say. Whether such a drive is lost is for the log to decide; rebuilding from it now what
    /// may be sound would move data because a drive was busy.
    pub unanswered: BTreeSet<(StripeId, u8)>,
}

/// Which of the reported positions are really wrong, as the device has them. A drive may take `patience` to say so.
pub async fn confirm(
    rows: &(impl RowSource + Sync),
    drives: &Drives,
    reported: &BTreeSet<(StripeId, u8)>,
    patience: Duration,
) -> Result<Confirmed, RowError> {
    let mut confirmed = Confirmed::default();
    for &(stripe, position) in reported {
        let Some(row) = StripeRow::get(rows, &stripe)? else { continue };
        let (Some(chunk), Some(placed)) = (row.chunk(stripe, position), row.positions.get(position as usize)) else {
            continue;
        };
        let read = match drives.get(placed.drive) {
            Ok(store) => tokio::time::timeout(patience, store.read_back(chunk)).await.unwrap_or_else(|_| {
                Err(ChunkError::Unavailable(placed.drive, Arc::from(format!("no answer within {patience:?}"))))
            }),
            Err(error) => Err(error),
        };
        match read {
            Ok(_) => {}
            Err(error @ (ChunkError::NotFound(..) | ChunkError::Damaged { .. })) => {
                tracing::warn!(%chunk, drive = %placed.drive, %error, "a reported chunk is damaged");
                confirmed.damaged.insert((stripe, position));
            }
            Err(
                error @ (ChunkError::Unavailable(..)
                | ChunkError::Busy(_)
                | ChunkError::Full(_)
                | ChunkError::ReadOnly(..)),
            ) => {
                tracing::debug!(%chunk, drive = %placed.drive, %error, "a reported chunk cannot be looked at");
                confirmed.unanswered.insert((stripe, position));
            }
        }
    }
    Ok(confirmed)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use cairn_core::chunk::ChunkHead;
    use cairn_core::{ChunkName, ChunkRecord, ChunkStore, DriveId, Geometry, StripeShape, WallTime};
    use cairn_erasure::testing::{DriveFault, MemoryDrives};
    use cairn_machine::MapRows;
    use cairn_machine::rows::stripe::PlacedChunk;

    use super::*;

    #[tokio::test]
    async fn only_what_is_gone_or_wrong_is_damage() {
        let drives = MemoryDrives::new(6);
        let stripe = StripeId(drives.fresh());
        let shape = StripeShape { geometry: Geometry::new(4, 2).unwrap(), chunk_bytes: 8192, block_bytes: 4096 };
        let mut positions = Vec::new();
        for (position, drive) in (0u8..).zip(&drives.each) {
            let name = ChunkName { stripe, position, write: drives.fresh() };
            let body = vec![Bytes::from(vec![position; 8192])];
            let head = Arc::new(ChunkHead::seal(name, shape.geometry, shape.block_bytes, WallTime(0), &body));
            drive.put(ChunkRecord { head, body }).await.unwrap();
            positions.push(PlacedChunk { drive: drive.drive(), write: name.write });
        }
        let row = StripeRow { shape, positions };
        let chunk = |position| row.chunk(stripe, position).unwrap();
        let mut rows = MapRows::default();
        rows.apply([(StripeRow::key(&stripe), Some(row.encode()))]);

        assert!(drives.drive(DriveId(2)).damage(chunk(1), 1));
        assert!(drives.drive(DriveId(3)).lose(chunk(2)));
        drives.drive(DriveId(4)).set_fault(DriveFault::Unavailable);
        drives.drive(DriveId(5)).set_fault(DriveFault::Busy);
        drives.drives.remove(DriveId(6));

        let nobody = StripeId(drives.fresh());
        let reported = (0..8).map(|position| (stripe, position)).chain([(nobody, 0)]).collect();
        let confirmed = confirm(&rows, &drives.drives, &reported, Duration::from_secs(5)).await.unwrap();
        let of = |positions: &[u8]| positions.iter().map(|position| (stripe, *position)).collect();
        assert_eq!(confirmed, Confirmed { damaged: of(&[1, 2]), unanswered: of(&[3, 4, 5]) });

        drives.drive(DriveId(4)).set_fault(None);
        let again = confirm(&rows, &drives.drives, &confirmed.unanswered, Duration::from_secs(5)).await.unwrap();
        assert_eq!(again, Confirmed { damaged: of(&[]), unanswered: of(&[4, 5]) }, "it answers, and is sound");
    }
}
