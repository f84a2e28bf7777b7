//! Stripes: made when their chunks are durable, settled at the end of their proposal, moved position by position, and
//! dropped with their last living extent.
//!
//! ```text
//!             MakeStripe                  SettleStripe, something lives
//! (absent) ----------------> open ------------------------------------------> settled
//!                             |                                                  |
//!                             | SettleStripe, nothing lives                      | the last extent dies or moves away
//!                             v                                                  v
//!                    chunks become garbage, the row goes, and the writes are spent while they could still be committed
//! ```
//!
//! All stripes of a proposal are judged before the first is made: when one has to be placed anew, none of the others is
//! made and dropped in vain, and the same proposal can come again with only those positions changed.

use std::collections::BTreeSet;

use cairn_core::chunk::CHUNK_BYTES_MAX;
use cairn_core::stripe::CHUNK_ALIGNMENT;
use cairn_core::units::STRIPE_EXTENTS_MAX;
use cairn_core::{ChunkName, DriveId, StripeId, StripeShape, WriteId};

use crate::apply::context::Context;
use crate::apply::garbage::{bury, spend};
use crate::apply::session::judge_write;
use crate::apply::transaction::{Stop, Transaction, malformed};
use crate::operation::Operation;
use crate::outcome::{Outcome, Refusal};
use crate::rows::spent::SpentWriteRow;
use crate::rows::stripe::{PlacedChunk, StripeLiveRow, StripeRow};
use crate::rows::topology::{DriveLedgerRow, DriveRow, DriveState};
use crate::source::RowSource;

pub(crate) fn make<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &mut Context<'_>,
    id: StripeId,
    shape: StripeShape,
    positions: &[PlacedChunk],
) -> Result<Outcome, Stop> {
    if !context.settles_later(id) {
        return Err(malformed("no SettleStripe follows"));
    }
    judge(rows, id, shape, positions)?;
    if !all_stand(rows, context)? {
        return Err(Refusal::Depends.into());
    }
    for placed in positions {
        change_ledger(rows, placed.drive, |ledger| {
            ledger.chunks += 1;
            ledger.bytes += u64::from(shape.chunk_bytes);
        })?;
    }
    rows.put(&id, StripeRow { shape, positions: positions.to_vec() })?;
    rows.put(&id, StripeLiveRow { extents: 0, bytes: 0 })?;
    context.open(id, shape);
    Ok(Outcome::Done)
}

/// Whether every stripe of the proposal can be made. Looked at once, by the first of them.
fn all_stand<S: RowSource + ?Sized>(rows: &mut Transaction<'_, S>, context: &mut Context<'_>) -> Result<bool, Stop> {
    if let Some(stand) = context.stripes_judged {
        return Ok(stand);
    }
    let mut stand = true;
    for operation in &context.proposal.operations[context.position + 1..] {
        if let Operation::MakeStripe { id, shape, positions } = operation {
            match judge(rows, *id, *shape, positions) {
                Ok(()) => {}
                Err(Stop::Refused(_)) => {
                    stand = false;
                    break;
                }
                Err(stop) => return Err(stop),
            }
        }
    }
    context.stripes_judged = Some(stand);
    Ok(stand)
}

/// Invariant 6: what is committed lies on drives that the log calls active, by a session that may still commit it.
fn judge<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    id: StripeId,
    shape: StripeShape,
    positions: &[PlacedChunk],
) -> Result<(), Stop> {
    if positions.len() != shape.geometry.positions() {
        return Err(malformed("the positions are not the geometry's"));
    }
    let aligned = shape.chunk_bytes > 0 && shape.chunk_bytes.is_multiple_of(CHUNK_ALIGNMENT);
    if !aligned
        || shape.chunk_bytes > CHUNK_BYTES_MAX
        || !shape.block_bytes.is_power_of_two()
        || shape.block_bytes < 512
    {
        return Err(malformed("the lengths are no stripe's"));
    }
    let drives: BTreeSet<DriveId> = positions.iter().map(|placed| placed.drive).collect();
    if drives.len() != positions.len() {
        return Err(malformed("two positions on one drive"));
    }
    if rows.get::<StripeRow>(&id)?.is_some() {
        return Err(malformed("the stripe exists"));
    }
    let mut judged = id.0;
    judge_fresh(rows, id.0)?;
    for placed in positions {
        if placed.write != judged {
            judged = placed.write;
            judge_fresh(rows, judged)?;
        }
    }
    let mut anew = Vec::new();
    for (position, placed) in (0u8..).zip(positions) {
        if !takes_data(rows, placed.drive)? {
            anew.push(position);
        }
    }
    if anew.is_empty() { Ok(()) } else { Err(Refusal::PlaceAnew { positions: anew }.into()) }
}

/// A write that its session may commit, and that was not used up before.
fn judge_fresh<S: RowSource + ?Sized>(rows: &mut Transaction<'_, S>, write: WriteId) -> Result<(), Stop> {
    judge_write(rows, write)?;
    match rows.get::<SpentWriteRow>(&write)? {
        Some(_) => Err(Refusal::StaleWrite.into()),
        None => Ok(()),
    }
}

fn takes_data<S: RowSource + ?Sized>(rows: &mut Transaction<'_, S>, drive: DriveId) -> Result<bool, Stop> {
    Ok(rows.get::<DriveRow>(&drive)?.is_some_and(|row| row.state == DriveState::Active))
}

pub(crate) fn settle<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &Context<'_>,
    id: StripeId,
) -> Result<Outcome, Stop> {
    context.open_stripe(id)?;
    if rows.must::<StripeLiveRow>(&id)?.extents == 0 {
        drop_stripe(rows, context, id)?;
    }
    Ok(Outcome::Done)
}

/// The stripe goes, and its chunks become garbage.
fn drop_stripe<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &Context<'_>,
    id: StripeId,
) -> Result<(), Stop> {
    let row = rows.must::<StripeRow>(&id)?;
    rows.remove::<StripeRow>(&id)?;
    rows.remove::<StripeLiveRow>(&id)?;
    for (position, placed) in (0u8..).zip(&row.positions) {
        let chunk = ChunkName { stripe: id, position, write: placed.write };
        bury(rows, context, chunk, placed.drive, row.shape.chunk_bytes)?;
    }
    spend(rows, id.0)
}

/// One extent more lives in a stripe that takes extents.
pub(crate) fn gain<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    id: StripeId,
    length: u32,
) -> Result<(), Stop> {
    let live = rows.must::<StripeLiveRow>(&id)?;
    if live.extents as usize >= STRIPE_EXTENTS_MAX {
        return Err(malformed("more extents than a stripe holds"));
    }
    rows.put(&id, StripeLiveRow { extents: live.extents + 1, bytes: live.bytes + u64::from(length) })
}

/// One extent less lives in a stripe. With the last one it goes, unless it still waits to be settled.
pub(crate) fn lose<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &Context<'_>,
    id: StripeId,
    length: u32,
) -> Result<(), Stop> {
    let live = rows.must::<StripeLiveRow>(&id)?;
    let extents = live.extents.checked_sub(1).expect("invariant 11: a stripe counts every extent that lives in it");
    let bytes = live.bytes.checked_sub(u64::from(length)).expect("invariant 11: and every byte of them");
    if extents == 0 && !context.is_open(id) {
        assert_eq!(bytes, 0, "invariant 11: a stripe without living extents has no living bytes");
        return drop_stripe(rows, context, id);
    }
    rows.put(&id, StripeLiveRow { extents, bytes })
}

/// Changes what a drive's ledger says.
pub(crate) fn change_ledger<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    drive: DriveId,
    change: impl FnOnce(&mut DriveLedgerRow),
) -> Result<(), Stop> {
    let mut ledger = *rows.must::<DriveLedgerRow>(&drive)?;
    change(&mut ledger);
    rows.put(&drive, ledger)
}

pub(crate) fn move_position<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &Context<'_>,
    id: StripeId,
    position: u8,
    from: PlacedChunk,
    to: PlacedChunk,
) -> Result<Outcome, Stop> {
    let row = rows.get::<StripeRow>(&id)?.ok_or(Refusal::Changed)?;
    let now = *row.positions.get(position as usize).ok_or_else(|| malformed("the stripe has no such position"))?;
    if now != from {
        return Err(Refusal::Changed.into());
    }
    if to.write == from.write {
        return Err(malformed("a position that is placed anew takes a new write id"));
    }
    judge_fresh(rows, to.write)?;
    let taken = (0u8..).zip(&row.positions).any(|(other, placed)| other != position && placed.drive == to.drive);
    if taken {
        return Err(malformed("two positions on one drive"));
    }
    if !takes_data(rows, to.drive)? {
        return Err(Refusal::PlaceAnew { positions: vec![position] }.into());
    }
    let mut positions = row.positions.clone();
    positions[position as usize] = to;
    rows.put(&id, StripeRow { shape: row.shape, positions })?;
    change_ledger(rows, to.drive, |ledger| {
        ledger.chunks += 1;
        ledger.bytes += u64::from(row.shape.chunk_bytes);
    })?;
    let old = ChunkName { stripe: id, position, write: from.write };
    bury(rows, context, old, from.drive, row.shape.chunk_bytes)?;
    Ok(Outcome::Done)
}
