//! The census: all stripes, in the order of their ids, beside what each drive says it holds, in the same order. One
//! pass finds both what is missing and what is orphaned, with memory for one page of each.
//!
//! ```text
//! rows     stripe 1   stripe 2              stripe 5 ...
//! drive A  1/0/1      2/3/2      3/1/3      5/0/5          3/1/3 is named by no stripe: an orphan
//! drive B  1/1/1                            5/1/5          2/0/2 is named and not here: missing
//! ```
//!
//! The order of reading is what makes it true. The rows are read first, and the view is held until the end: what a
//! commit names was durable before the commit (invariant 4), so a later listing shows it, and nothing that the view
//! names is collected while the view is held (invariant 7). What is missing is missing. An orphan is only a suspicion:
//! its write may still be under way, and the state machine judges that when it is condemned.
//!
//! A drive that holds exactly what the rows name in a range says so with one hash; only where it does not agree are its
//! names read ([`inventory`]). So a census of a healthy cluster moves a few bytes for each thousand stripes and drive.
//!
//! All drives are asked side by side, each answer within a bounded time. What lies on a drive that does not answer is
//! *unknown*: it counts as at risk and not as missing, and nothing is rebuilt before the log says that the drive is lost.

mod inventory;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use cairn_core::units::GIB;
use cairn_core::{ChunkName, DriveId, Drives, Geometry, StripeId, WallTime, WriteId};
use cairn_machine::row::{Row, Table, table_end};
use cairn_machine::rows::garbage::{GarbageKey, GarbageRow};
use cairn_machine::rows::profile::{ProfileId, ProfileRow};
use cairn_machine::rows::stripe::{StripeLiveRow, StripeRow};
use cairn_machine::rows::topology::{DriveRow, DriveState};
use cairn_machine::{RowError, RowSource};
use futures::future::join_all;

use self::inventory::{Held, Holder, Range, last_name, names_by_drive};
use crate::config::RepairConfig;
use crate::error::RepairError;
use crate::meter::Redundancy;
use crate::plan::{Orphan, Plan, Reshape};
use crate::reshape::{Fitting, Judgement};
use crate::sightings::Sightings;

/// How many stripes or chunks are read at a time.
const PAGE: usize = 1024;

/// Re-encoding leaves so small a part of each drive free, though never more than [`RESERVE_BYTES_MAX`]: writers need room
/// while old chunks wait to be collected.
const RESERVE_PART: u64 = 50;

/// More than writers fill while garbage comes due.
const RESERVE_BYTES_MAX: u64 = GIB;

/// What the log says of every drive.
pub fn drive_states(rows: &impl RowSource) -> Result<BTreeMap<DriveId, DriveRow>, RowError> {
    let mut drives = BTreeMap::new();
    scan_table::<DriveRow>(rows, Table::Drive, &[Table::Drive as u8], &mut |key, row| {
        let id: [u8; 8] = key[1..].try_into().map_err(|_| damaged(key, "key of a drive"))?;
        drives.insert(DriveId::from_bytes(id), row);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(drives)
}

/// What a pass found.
#[derive(Debug, Default)]
pub struct Census {
    /// How safe the data is.
    pub redundancy: Redundancy,
    /// What is to be done about it.
    pub plan: Plan,
}

/// Where and how a census looks.
#[derive(Debug)]
pub struct Scope<'a> {
    /// The drives.
    pub drives: &'a Drives,
    /// Positions that readers found wrong although the drive lists them.
    pub damaged: &'a BTreeSet<(StripeId, u8)>,
    /// What the calendar says.
    pub now: WallTime,
    /// For how long drives were seen to be as they are.
    pub sightings: &'a Sightings,
    /// How long a drive may take for one page, and stripes may be what does not fit.
    pub config: &'a RepairConfig,
}

/// Reads everything once.
pub async fn take(rows: &(impl RowSource + Sync), scope: Scope<'_>) -> Result<Census, RepairError> {
    let Scope { drives, damaged, now, sightings, config } = scope;
    let standard = standard(rows)?;
    let mut states = drive_states(rows)?;
    for (&drive, row) in &mut states {
        row.changed = sightings.changed(drive, row, now);
    }
    let mut holders: BTreeMap<DriveId, Holder> = states
        .iter()
        .filter(|(_, row)| matches!(row.state, DriveState::Active | DriveState::Draining))
        .map(|(&id, _)| (id, Holder::Answers))
        .collect();
    let garbage = garbage_names(rows)?;
    let mut census = Census::default();
    let (mut after, mut fitting): (Option<StripeId>, Option<Fitting>) = (None, None);
    loop {
        let page = stripe_page(rows, after)?;
        let last = page.last().map(|(id, _)| *id);
        let until = (page.len() == PAGE).then_some(last).flatten();
        let patience = config.drive_patience;
        let range = Range { after: after.map(last_name), until: until.map(last_name) };
        let mut named = names_by_drive(&page);
        let looked = holders.iter_mut().map(|(&drive, holder)| {
            let expected = named.remove(&drive).unwrap_or_default();
            async move { (drive, holder.look(drives, drive, range, expected, patience).await) }
        });
        let held: BTreeMap<DriveId, Held> = join_all(looked).await.into_iter().collect();
        for held in held.values() {
            census.redundancy.ranges_compared += u64::from(!matches!(held, Held::Unknown));
            census.redundancy.ranges_listed += u64::from(matches!(held, Held::Otherwise { .. }));
        }
        // After the first page: a drive of another node that has just answered is known to be there.
        let fitting = fitting.get_or_insert_with(|| {
            let takes = |drive| drives.get(drive).is_ok_and(|store| store.health().writable.is_ok());
            Fitting::new(standard, &states, takes, now, config)
        });
        for (id, row) in &page {
            let (mut missing, mut unreachable) = (Vec::new(), 0);
            for (position, placed) in (0u8..).zip(&row.positions) {
                let name = ChunkName { stripe: *id, position, write: placed.write };
                match held.get(&placed.drive) {
                    // A drive that does not answer is left to the log: it says when the drive is lost.
                    Some(Held::Unknown) => unreachable += 1,
                    Some(held) if held.has(&name) && !damaged.contains(&(*id, position)) => {}
                    _ => missing.push(position),
                }
            }
            census.plan_for(rows, fitting, *id, row, &missing, unreachable)?;
        }
        for (drive, held) in held {
            let Held::Otherwise { unnamed, .. } = held else { continue };
            for chunk in unnamed.into_iter().filter(|chunk| !garbage.contains(&(drive, *chunk))) {
                census.redundancy.orphans_suspected += 1;
                census.plan.condemn(Orphan { chunk, drive });
            }
        }
        if until.is_none() {
            break;
        }
        after = last;
    }
    census.redundancy.drives_unlisted = holders.values().filter(|holder| **holder == Holder::Silent).count() as u64;
    census.plan.order();
    if census.redundancy.drives_unlisted > 0 {
        // A drive that does not answer is back soon, or declared lost soon. What fits until then is not worth moving data.
        census.plan.reshapes.clear();
    }
    let room = fitting.map_or(0, |fitting| room(drives, fitting.usable()));
    let left = census.plan.keep_within(room);
    census.redundancy.stripes_needing_a_drive += left.iter().filter(|reshape| reshape.is_exposed()).count() as u64;
    Ok(census)
}

impl Census {
    /// Counts a stripe, and plans what follows for it.
    fn plan_for(
        &mut self,
        rows: &impl RowSource,
        fitting: &Fitting,
        id: StripeId,
        row: &StripeRow,
        missing: &[u8],
        unreachable: usize,
    ) -> Result<(), RowError> {
        let geometry = row.shape.geometry;
        let Self { redundancy, plan } = self;
        redundancy.count(geometry.m(), missing.len(), unreachable);
        if missing.is_empty() && unreachable == 0 && fitting.is_reshaped(geometry) {
            redundancy.stripes_reshaped += 1;
        }
        let judgement = fitting.judge(row, missing, unreachable);
        match judgement {
            Judgement::Keep => {}
            Judgement::Rebuild => plan.rebuild(id, row, missing),
            Judgement::Reshape(to) => {
                redundancy.stripes_to_reshape += 1;
                let live = StripeLiveRow::get(rows, &id)?;
                let live = live.ok_or_else(|| RowError::missing::<StripeLiveRow>(&StripeLiveRow::key(&id)))?;
                let margin = (geometry.m() - missing.len() - unreachable) as u8;
                let StripeLiveRow { extents, bytes } = live;
                plan.reshape(Reshape { stripe: id, row: row.clone(), margin, extents, bytes, to });
            }
            Judgement::Later { after, rebuild } => {
                redundancy.stripes_to_reshape += 1;
                plan.reshape_in(after);
                plan.rebuild(id, row, if rebuild { missing } else { &[] });
            }
            Judgement::NeedsDrive { rebuild } => {
                redundancy.stripes_needing_a_drive += 1;
                plan.rebuild(id, row, if rebuild { missing } else { &[] });
            }
        }
        Ok(())
    }
}

/// How many bytes a plan may add before anything is given back: what the drive with the least room has above its reserve.
/// That is careful where each drive has its own filesystem, and right where all share one; a plan that is cut short goes on
/// when garbage was collected.
fn room(drives: &Drives, usable: &BTreeSet<DriveId>) -> u64 {
    let left = |drive: &DriveId| {
        let health = drives.get(*drive).ok()?.health();
        let reserve = (health.total_bytes / RESERVE_PART).min(RESERVE_BYTES_MAX);
        Some(health.available_bytes.saturating_sub(reserve))
    };
    usable.iter().filter_map(left).min().unwrap_or(0)
}

/// What STANDARD asks for.
pub(crate) fn standard(rows: &impl RowSource) -> Result<Geometry, RowError> {
    let row = ProfileRow::get(rows, &ProfileId::STANDARD)?;
    let row = row.ok_or_else(|| RowError::missing::<ProfileRow>(&ProfileRow::key(&ProfileId::STANDARD)))?;
    Ok(row.geometry)
}

/// The least stripe id greater than this one.
fn after_stripe(StripeId(write): StripeId) -> StripeId {
    let next = u128::from_be_bytes(write.to_bytes()).saturating_add(1);
    StripeId(WriteId::from_bytes(next.to_be_bytes()))
}

fn stripe_page(rows: &impl RowSource, after: Option<StripeId>) -> Result<Vec<(StripeId, StripeRow)>, RowError> {
    let from = match after {
        Some(after) => StripeRow::key(&after_stripe(after)).to_vec(),
        None => vec![Table::Stripe as u8],
    };
    let mut page = Vec::new();
    scan_table::<StripeRow>(rows, Table::Stripe, &from, &mut |key, row| {
        let id: [u8; 16] = key[1..].try_into().map_err(|_| damaged(key, "key of a stripe"))?;
        page.push((StripeId(WriteId::from_bytes(id)), row));
        Ok(if page.len() == PAGE { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(page)
}

/// What is garbage already is no orphan. Held in memory whole: it is bounded by what one collection interval deletes.
fn garbage_names(rows: &impl RowSource) -> Result<BTreeSet<(DriveId, ChunkName)>, RowError> {
    let mut names = BTreeSet::new();
    scan_table::<GarbageRow>(rows, Table::Garbage, &[Table::Garbage as u8], &mut |key, row| {
        let garbage = GarbageKey::from_slice(&key[1..]).ok_or_else(|| damaged(key, "key of garbage"))?;
        names.insert((row.drive, garbage.chunk));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(names)
}

type VisitRow<'a, R> = &'a mut dyn FnMut(&[u8], R) -> Result<ControlFlow<()>, RowError>;

/// Visits the rows of a table from a key on, decoded.
pub(crate) fn scan_table<R: Row>(
    rows: &impl RowSource,
    table: Table,
    from: &[u8],
    visit: VisitRow<'_, R>,
) -> Result<(), RowError> {
    let mut failed = None;
    rows.scan(from, Some(&table_end(table)), &mut |key, value| match R::decode(key, value)
        .and_then(|row| visit(key, row))
    {
        Ok(flow) => flow,
        Err(error) => {
            failed = Some(error);
            ControlFlow::Break(())
        }
    })?;
    failed.map_or(Ok(()), Err)
}

pub(crate) fn damaged(key: &[u8], what: &str) -> RowError {
    RowError::Damaged { key: format!("{key:02x?}"), what: format!("malformed {what}") }
}

#[cfg(test)]
mod tests;
