//! Re-encoding: what lives in some stripes is read, coded together as one stripe of another geometry, read back from its
//! drives, and only then each extent's place is changed, by compare-and-set. An old stripe goes with its last living
//! extent, by the same operations that drop any other.
//!
//! ```text
//! stripe 1 |a|b|x|  \                                      MakeStripe 3
//! stripe 2 |c|x|     > stripe 3 |a|b|c|, durable, read back --> MoveExtent a, b (from 1), c (from 2)   one proposal
//!                   /                                      SettleStripe 3
//! ```
//!
//! What was overwritten or deleted meanwhile is refused by itself and stays dead; a crash before the proposal leaves
//! orphans, and one after it has nothing left to repeat.

use bytes::Bytes;
use cairn_core::StripeId;
use cairn_core::stripe::LARGE_BLOCK_BYTES;
use cairn_erasure::{ChunkPlace, StripePlaces, read_toc};
use cairn_machine::rows::extent::{ExtentPlace, ExtentRow};
use cairn_machine::rows::stripe::{StripeLiveRow, StripeRow};
use cairn_machine::{Operation, Outcome, Row, RowSource};
use cairn_placement::{Packing, PendingExtent, Placed, Stripes};
use futures::StreamExt;
use futures::future::try_join_all;

use crate::census::damaged;
use crate::error::RepairError;
use crate::plan::Reshape;

/// How many stripes of a batch are read at once.
const READS_AT_ONCE: usize = 8;

/// What came of a batch.
#[derive(Debug, Default)]
pub struct Reshaped {
    /// Stripes whose living extents are elsewhere now.
    pub stripes: u64,
    /// Extents that moved.
    pub extents: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What kept stripes of the batch where they are; each is planned again.
    pub failures: Vec<RepairError>,
}

/// Re-encodes the stripes of a batch, together.
pub async fn reshape(stripes: &Stripes, batch: &[Reshape]) -> Reshaped {
    let mut reshaped = Reshaped::default();
    if let Err(error) = try_reshape(stripes, batch, &mut reshaped).await {
        reshaped.failures.push(error);
    }
    reshaped
}

/// An extent on its way, and the stripe that it leaves.
struct Leaving {
    from: StripeId,
    extent: PendingExtent,
}

async fn try_reshape(stripes: &Stripes, batch: &[Reshape], reshaped: &mut Reshaped) -> Result<(), RepairError> {
    let Some(first) = batch.first() else { return Ok(()) };
    let view = stripes.client.read().await?;
    let mut leaving: Vec<Leaving> = Vec::new();
    let planned: Vec<StripeId> = batch.iter().map(|reshape| reshape.stripe).collect();
    let mut read = futures::stream::iter(planned).map(|stripe| gather(stripes, &view, stripe)).buffered(READS_AT_ONCE);
    while let Some(living) = read.next().await {
        match living {
            Ok(living) if !living.is_empty() => {
                reshaped.stripes += 1;
                leaving.extend(living);
            }
            // It has died since it was planned.
            Ok(_) => {}
            Err(error) => reshaped.failures.push(error),
        }
    }
    drop(read);
    // What was read is in memory now, and what is collected from here on is not missed.
    drop(view);
    if leaving.is_empty() {
        return Ok(());
    }
    let packing = match first.row.shape.block_bytes {
        LARGE_BLOCK_BYTES if leaving.len() == 1 => Packing::Large,
        _ => Packing::Packed,
    };
    let (from, pending): (Vec<StripeId>, Vec<PendingExtent>) =
        leaving.into_iter().map(|leaving| (leaving.from, leaving.extent)).unzip();
    let placed = match place(stripes, first, packing, &pending).await {
        Ok(placed) => placed,
        Err(error) => {
            reshaped.stripes = 0;
            return Err(error);
        }
    };
    let stripe = placed.stripe();
    let moves = from.into_iter().zip(placed.offsets());
    let operations =
        moves.map(|(from, (extent, offset))| Operation::MoveExtent { extent, from: Some(from), stripe, offset });
    let operations = operations.collect();
    let outcomes = stripes.commit(&mut [placed], operations).await.inspect_err(|_| reshaped.stripes = 0)?;
    for (pending, _) in pending.iter().zip(&outcomes).filter(|(_, outcome)| **outcome == Outcome::Done) {
        reshaped.extents += 1;
        reshaped.bytes += pending.data.len() as u64;
    }
    Ok(())
}

/// Durable on its drives, and read back from each (invariant 10).
async fn place(
    stripes: &Stripes,
    planned: &Reshape,
    packing: Packing,
    pending: &[PendingExtent],
) -> Result<Placed, RepairError> {
    let placed = stripes.place_in(planned.to, packing, pending).await?;
    try_join_all(placed.chunks().map(|(drive, chunk)| async move {
        match stripes.drives.get(drive)?.read_back(chunk).await {
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::warn!(%drive, %chunk, %error, "a re-encoded chunk does not read back");
                Err(RepairError::ReadBack(drive))
            }
        }
    }))
    .await?;
    Ok(placed)
}

/// What lives in a stripe, by these rows. The stripe's own table of contents names its extents; which of them live there
/// still, the rows say.
async fn gather(
    stripes: &Stripes,
    rows: &(impl RowSource + Sync),
    stripe: StripeId,
) -> Result<Vec<Leaving>, RepairError> {
    let Some(row) = StripeRow::get(rows, &stripe)? else { return Ok(Vec::new()) };
    let undecodable = |what: String| RepairError::Undecodable { stripe, what };
    let places = row.positions.iter().map(|placed| ChunkPlace { drive: placed.drive, write: placed.write }).collect();
    let places = StripePlaces { id: stripe, shape: row.shape, positions: places };
    let parts = stripes.reader.read(&places, 0..row.shape.data_bytes()).await;
    let data = whole(parts.map_err(|error| undecodable(error.to_string()))?);
    let toc = read_toc(stripe, &data).map_err(|error| undecodable(error.to_string()))?;
    let mut living = Vec::with_capacity(toc.len());
    for entry in toc {
        let Some(extent) = ExtentRow::get(rows, &entry.extent)? else { continue };
        let ExtentPlace::Stripe { stripe: now, offset } = extent.place else { continue };
        if now != stripe {
            continue;
        }
        if offset != entry.offset || u64::from(extent.length) != entry.length {
            let key = ExtentRow::key(&entry.extent);
            return Err(damaged(&key, "place: its stripe's table of contents says another one").into());
        }
        // The table was read from these bytes, and its entries lie before it.
        let range = usize::try_from(offset).ok().and_then(|from| Some(from..from.checked_add(extent.length as usize)?));
        let bytes = range.filter(|range| range.end <= data.len()).map(|range| data.slice(range));
        let Some(bytes) = bytes else {
            return Err(undecodable(format!("its table of contents puts {:?} outside", entry.extent)));
        };
        living.push(Leaving {
            from: stripe,
            extent: PendingExtent {
                id: Some(entry.extent),
                bucket: entry.bucket,
                key: entry.key,
                part: entry.part,
                offset: entry.object_offset,
                data: bytes,
            },
        });
    }
    let counted = StripeLiveRow::get(rows, &stripe)?.map_or(0, |live| live.extents as usize);
    if counted != living.len() {
        return Err(RepairError::Unnamed { stripe, counted, named: living.len() });
    }
    Ok(living)
}

fn whole(parts: Vec<Bytes>) -> Bytes {
    match <[Bytes; 1]>::try_from(parts) {
        Ok([whole]) => whole,
        Err(parts) => Bytes::from(parts.concat()),
    }
}
