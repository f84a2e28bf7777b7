//! Moving what stands in the metadata into full stripes. Small writes commit their bytes with their operations; once there
//! are enough for a stripe they are coded, durable on their drives, and only then each extent's place is changed, by
//! compare-and-set: what died or was moved meanwhile is left alone.

use std::ops::ControlFlow;

use bytes::Bytes;
use cairn_core::ExtentId;
use cairn_core::units::{MIB, STRIPE_EXTENTS_MAX};
use cairn_machine::row::{Row, Table};
use cairn_machine::rows::extent::{ExtentPlace, ExtentRow};
use cairn_machine::rows::here::{HereLedgerRow, HereRow};
use cairn_machine::rows::profile::ProfileId;
use cairn_machine::{Operation, Outcome, RowError, RowSource};
use cairn_placement::{Packing, PendingExtent, Stripes};

use crate::census::{damaged, scan_table};
use crate::error::RepairError;

/// As many bytes make a stripe worth its chunks, however few extents they are.
const STRIPE_BYTES: u64 = 8 * MIB;

/// Packs one stripe's worth of what stands in the metadata, if there is that much; what is left waits for more. Returns how
/// many extents were moved: zero means that nothing is left to do now. Whoever calls again decides in between whether to go
/// on, so that a stop waits for one stripe and not for all of them.
pub async fn rewrite(stripes: &Stripes) -> Result<u64, RepairError> {
    // As it is here: whoever looks at an old picture finds that its extents were moved, and looks again later.
    let view = stripes.client.read_stale();
    if !fills_a_stripe(HereLedgerRow::get(&view, &())?) {
        return Ok(0);
    }
    let pending = gather(&view)?;
    drop(view);
    if pending.is_empty() {
        return Ok(0);
    }
    let placed = stripes.place(Packing::Packed, &pending).await?;
    let stripe = placed.stripe();
    let operations =
        placed.offsets().map(|(extent, offset)| Operation::MoveExtent { extent, from: None, stripe, offset }).collect();
    let outcomes = stripes.commit(&mut [placed], operations).await?;
    // None at all where everything was moved or deleted by others; this node will hear of it.
    Ok(outcomes.iter().filter(|outcome| **outcome == Outcome::Done).count() as u64)
}

fn fills_a_stripe(ledger: Option<HereLedgerRow>) -> bool {
    ledger.is_some_and(|ledger| ledger.extents >= STRIPE_EXTENTS_MAX as u64 || ledger.bytes >= STRIPE_BYTES)
}

/// The next stripe's worth, all of one profile.
fn gather(rows: &impl RowSource) -> Result<Vec<PendingExtent>, RowError> {
    let (mut pending, mut bytes): (Vec<PendingExtent>, u64) = (Vec::new(), 0);
    let mut profile: Option<ProfileId> = None;
    scan_table::<HereRow>(rows, Table::Here, &[Table::Here as u8], &mut |name, row| {
        let id = HereRow::parse_key(name)?;
        let (data, of) = bytes_of(rows, id)?;
        if *profile.get_or_insert(of) != of {
            return Ok(ControlFlow::Continue(()));
        }
        bytes += data.len() as u64;
        let HereRow { bucket, key, part, .. } = row;
        pending.push(PendingExtent { id: Some(id), bucket, key, part, offset: 0, data });
        let full = pending.len() == STRIPE_EXTENTS_MAX || bytes >= STRIPE_BYTES;
        Ok(if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(pending)
}

/// The bytes of an extent that stands here, and its profile. No block checksum covers them, so their own hash is what makes
/// them believed (invariant 2): damage must not be coded into a stripe that says it is sound.
fn bytes_of(rows: &impl RowSource, id: ExtentId) -> Result<(Bytes, ProfileId), RowError> {
    let key = ExtentRow::key(&id);
    let row = ExtentRow::get(rows, &id)?.ok_or_else(|| RowError::missing::<ExtentRow>(&key))?;
    let ExtentPlace::Here { bytes, hash } = row.place else {
        return Err(damaged(&key, "an extent in a stripe, said to stand here"));
    };
    if bytes.len() != row.length as usize || *blake3::hash(&bytes).as_bytes() != hash {
        return Err(damaged(&key, "its bytes do not match their hash"));
    }
    Ok((Bytes::from(Vec::from(bytes)), row.profile))
}
