//! Extents: they come with a write, are shared by counting, move between places, and die with their last reference.

use std::rc::Rc;

use cairn_core::geometry::POSITIONS_MAX;
use cairn_core::units::EXTENT_BYTES_MAX;
use cairn_core::{ExtentId, StripeId, StripeShape};

use crate::apply::context::Context;
use crate::apply::here::Owner;
use crate::apply::session::judge_write;
use crate::apply::transaction::{Stop, Transaction, malformed};
use crate::apply::{here, stripe};
use crate::operation::{NewExtent, NewPlace};
use crate::outcome::{Outcome, Refusal};
use crate::row::Row;
use crate::rows::extent::{ExtentPlace, ExtentRow, HERE_BYTES_MAX};
use crate::rows::object::ExtentRange;
use crate::rows::profile::ProfileId;
use crate::source::RowSource;

/// The rows that one range may touch when it is released: its extent, its stripe with what lives there, and for each
/// position garbage, ledger, and spent write with its session.
const RELEASE_ROWS_MAX: usize = 3 + 4 * POSITIONS_MAX + 2;

/// The bytes that one range may read and write when it is released. Bytes that stand in the extent's row are read, and
/// written again where something else still refers to them.
const RELEASE_BYTES_MAX: usize = 2 * HERE_BYTES_MAX as usize + RELEASE_ROWS_MAX * 192;

/// Rows that whoever releases in steps needs for itself: what names the ranges, and where it stands.
const SPARE_ROWS: usize = 8;

/// Takes over the extents of a write, each with one reference. Returns the ranges that name them, and their bytes. Without
/// an owner none may stand here.
pub(crate) fn add<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &Context<'_>,
    extents: &[NewExtent],
    profile: ProfileId,
    owner: Option<Owner<'_>>,
) -> Result<(Vec<ExtentRange>, u64), Stop> {
    let mut ranges = Vec::with_capacity(extents.len());
    let mut bytes = 0;
    for new in extents {
        if new.length == 0 || u64::from(new.length) > EXTENT_BYTES_MAX {
            return Err(malformed("the extent is empty or too long"));
        }
        let place = match &new.place {
            NewPlace::Here(here) => {
                if here.len() != new.length as usize || new.length > HERE_BYTES_MAX {
                    return Err(malformed("the bytes here are not as many as said, or too many"));
                }
                ExtentPlace::Here { bytes: here.clone(), hash: *blake3::hash(here).as_bytes() }
            }
            NewPlace::Stripe { stripe, offset } => {
                let shape = context.open_stripe(*stripe)?;
                inside(shape, *offset, new.length)?;
                ExtentPlace::Stripe { stripe: *stripe, offset: *offset }
            }
        };
        judge_write(rows, new.id.write)?;
        let key = ExtentRow::key(&new.id);
        if rows.get_at::<ExtentRow>(&key)?.is_some() {
            return Err(malformed("the extent exists"));
        }
        match (&place, owner) {
            (ExtentPlace::Stripe { stripe, .. }, _) => stripe::gain(rows, *stripe, new.length)?,
            (ExtentPlace::Here { .. }, Some(owner)) => here::add(rows, new.id, new.length, owner)?,
            (ExtentPlace::Here { .. }, None) => return Err(malformed("a manifest's extents lie in stripes")),
        }
        rows.put_at(&key, ExtentRow { place, length: new.length, references: 1, profile })?;
        ranges.push(ExtentRange { extent: new.id, offset: 0, length: new.length });
        bytes += u64::from(new.length);
    }
    Ok((ranges, bytes))
}

fn inside(shape: StripeShape, offset: u64, length: u32) -> Result<(), Stop> {
    match offset.checked_add(u64::from(length)) {
        Some(end) if end <= shape.data_bytes() => Ok(()),
        _ => Err(malformed("the extent lies outside its stripe")),
    }
}

/// One range more names each of these extents.
pub(crate) fn share<S: RowSource + ?Sized>(rows: &mut Transaction<'_, S>, ranges: &[ExtentRange]) -> Result<(), Stop> {
    for range in ranges {
        let row = rows.must::<ExtentRow>(&range.extent)?;
        let references = row.references.checked_add(1).ok_or(Refusal::TooLarge)?;
        rows.put(&range.extent, ExtentRow { references, ..(*row).clone() })?;
    }
    Ok(())
}

/// How many bytes stand in the rows of these extents. Each change of a reference writes them again.
pub(crate) fn bytes_here<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    ranges: &[ExtentRange],
) -> Result<u64, Stop> {
    let mut bytes = 0;
    for range in ranges {
        let row = rows.must::<ExtentRow>(&range.extent)?;
        if let ExtentPlace::Here { .. } = row.place {
            bytes += u64::from(row.length);
        }
    }
    Ok(bytes)
}

/// Whether this operation may release one thing more and keep so many bytes for itself.
pub(crate) fn may_release<S: RowSource + ?Sized>(rows: &Transaction<'_, S>, spare_bytes: usize) -> bool {
    rows.has_room(RELEASE_ROWS_MAX + SPARE_ROWS, RELEASE_BYTES_MAX + spare_bytes)
}

/// Releases as many of these ranges as the operation has room for. Returns how many.
pub(crate) fn release_some<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &Context<'_>,
    ranges: &[ExtentRange],
    spare_bytes: usize,
) -> Result<usize, Stop> {
    let mut done = 0;
    while done < ranges.len() && may_release(rows, spare_bytes) {
        release(rows, context, &ranges[done])?;
        done += 1;
    }
    Ok(done)
}

/// A range that named an extent is gone. With the last one the extent dies, and its stripe loses it.
pub(crate) fn release<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &Context<'_>,
    range: &ExtentRange,
) -> Result<(), Stop> {
    let row: Rc<ExtentRow> = rows.must::<ExtentRow>(&range.extent)?;
    let references = row.references.checked_sub(1).expect("invariant 11: an extent counts every range that names it");
    if references > 0 {
        return rows.put(&range.extent, ExtentRow { references, ..(*row).clone() });
    }
    rows.remove::<ExtentRow>(&range.extent)?;
    match row.place {
        ExtentPlace::Stripe { stripe, .. } => stripe::lose(rows, context, stripe, row.length),
        ExtentPlace::Here { .. } => here::remove(rows, range.extent, row.length),
    }
}

/// What a rewrite commits. The extent keeps its name, so nothing that refers to it changes.
pub(crate) fn move_to<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &Context<'_>,
    extent: ExtentId,
    from: Option<StripeId>,
    to: StripeId,
    offset: u64,
) -> Result<Outcome, Stop> {
    let shape = context.open_stripe(to)?;
    let row = rows.get::<ExtentRow>(&extent)?.ok_or(Refusal::Changed)?;
    let now = match row.place {
        ExtentPlace::Here { .. } => None,
        ExtentPlace::Stripe { stripe, .. } => Some(stripe),
    };
    if now != from {
        return Err(Refusal::Changed.into());
    }
    if now == Some(to) {
        return Err(malformed("the extent is there already"));
    }
    inside(shape, offset, row.length)?;
    stripe::gain(rows, to, row.length)?;
    let place = ExtentPlace::Stripe { stripe: to, offset };
    let moved = ExtentRow { place, length: row.length, references: row.references, profile: row.profile };
    rows.put(&extent, moved)?;
    match now {
        Some(old) => stripe::lose(rows, context, old, row.length)?,
        None => here::remove(rows, extent, row.length)?,
    }
    Ok(Outcome::Done)
}
