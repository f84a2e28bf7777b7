//! Sessions and leases.
//!
//! ```text
//! (absent) --RegisterSession--> alive --RenewSession--> alive
//!                                 |
//!                                 +--EndSession, by itself-----------------------------> (absent, for ever)
//!                                 +--EndSession, from outside, naming the last renewal-> (absent, for ever)
//! ```
//!
//! A lease is released with the session that holds it, and in no other way: no time stamp ends anything.

use cairn_core::{LogIndex, NodeId, SessionId, WriteId};

use crate::apply::context::Context;
use crate::apply::transaction::{Stop, Transaction, malformed, unknown};
use crate::outcome::{Outcome, Refusal};
use crate::row::{Row, Table};
use crate::rows::session::{Lease, LeaseRow, SESSION_SLOTS, SessionKind, SessionRow, SlotRow};
use crate::rows::spent::SpentWriteRow;
use crate::rows::topology::NodeRow;
use crate::source::RowSource;

/// How many spent writes go in one step. Between two renewals a session leaves a handful; the next one takes the rest.
const SPENT_STEP: usize = 1024;

pub(crate) fn register<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &Context<'_>,
    id: SessionId,
    kind: SessionKind,
    node: NodeId,
) -> Result<Outcome, Stop> {
    if rows.get::<NodeRow>(&node)?.is_none() {
        return Err(unknown("node"));
    }
    if let Some(row) = rows.get::<SessionRow>(&id)? {
        return if row.kind == kind && row.node == node {
            Ok(Outcome::Done)
        } else {
            Err(malformed("the session's id is taken"))
        };
    }
    let row = SessionRow {
        kind,
        node,
        registered: context.index,
        renewed: context.index,
        commits_from: 0,
        // It reads nothing before it has been told that it exists.
        reads_from: context.index,
        answered_below: 0,
    };
    rows.put(&id, row)?;
    Ok(Outcome::Done)
}

pub(crate) fn renew<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &Context<'_>,
    id: SessionId,
    commits_from: u64,
    reads_from: LogIndex,
) -> Result<Outcome, Stop> {
    let row = rows.get::<SessionRow>(&id)?.ok_or(Refusal::SessionEnded)?;
    if reads_from > context.index {
        return Err(malformed("a session that has read the future"));
    }
    let commits_from = row.commits_from.max(commits_from);
    let reads_from = row.reads_from.max(reads_from);
    rows.put(&id, SessionRow { renewed: context.index, commits_from, reads_from, ..(*row).clone() })?;
    drop_spent(rows, id, commits_from, SPENT_STEP)?;
    Ok(Outcome::Done)
}

pub(crate) fn end<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &Context<'_>,
    id: SessionId,
    last_renewal: Option<LogIndex>,
) -> Result<Outcome, Stop> {
    let row = rows.get::<SessionRow>(&id)?.ok_or(Refusal::SessionEnded)?;
    match last_renewal {
        Some(seen) if seen != row.renewed => return Err(Refusal::Changed.into()),
        Some(_) => {}
        None if context.session == Some(id) => {}
        None => return Err(malformed("only the session itself ends without naming its last renewal")),
    }
    rows.remove::<SessionRow>(&id)?;
    let slots_max = usize::try_from(SESSION_SLOTS).expect("1,024 fits");
    for key in rows.keys::<SlotRow>(&prefix(Table::Slot, id), slots_max)? {
        rows.remove_at::<SlotRow>(&key)?;
    }
    // Nothing of an ended session can be committed, so these say nothing any more. More than one step of them are left
    // only by a session that lost a thousand stripes between two renewals; what remains is inert.
    drop_spent(rows, id, u64::MAX, SPENT_STEP)?;
    if let Some(lease) = rows.get::<LeaseRow>(&Lease::Repair)?
        && lease.holder == id
    {
        rows.remove::<LeaseRow>(&Lease::Repair)?;
    }
    Ok(Outcome::Done)
}

pub(crate) fn take_lease<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &Context<'_>,
    lease: Lease,
    session: SessionId,
) -> Result<Outcome, Stop> {
    alive(rows, session)?;
    match rows.get::<LeaseRow>(&lease)? {
        Some(row) if row.holder == session => Ok(Outcome::Done),
        Some(_) => Err(Refusal::LeaseHeld.into()),
        None => {
            rows.put(&lease, LeaseRow { holder: session, since: context.index })?;
            Ok(Outcome::Done)
        }
    }
}

/// Refuses what an ended session asks for.
pub(crate) fn alive<S: RowSource + ?Sized>(rows: &mut Transaction<'_, S>, id: SessionId) -> Result<(), Stop> {
    rows.get::<SessionRow>(&id)?.map(|_| ()).ok_or_else(|| Refusal::SessionEnded.into())
}

/// Refuses a write that its session can no longer commit (invariant 6).
pub(crate) fn judge_write<S: RowSource + ?Sized>(rows: &mut Transaction<'_, S>, write: WriteId) -> Result<(), Stop> {
    let row = rows.get::<SessionRow>(&write.session)?.ok_or(Refusal::SessionEnded)?;
    if write.counter < row.commits_from { Err(Refusal::StaleWrite.into()) } else { Ok(()) }
}

/// Whether a session could still commit a write: what keeps a chunk from being condemned (invariant 7).
pub(crate) fn could_commit<S: RowSource + ?Sized>(rows: &mut Transaction<'_, S>, write: WriteId) -> Result<bool, Stop> {
    let row = rows.get::<SessionRow>(&write.session)?;
    Ok(row.is_some_and(|row| write.counter >= row.commits_from))
}

fn drop_spent<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    id: SessionId,
    below: u64,
    step: usize,
) -> Result<(), Stop> {
    for (key, _) in rows.first::<SpentWriteRow>(&prefix(Table::SpentWrite, id), step)? {
        let write = SpentWriteRow::parse_key(&key)?;
        if write.counter >= below {
            break;
        }
        rows.remove_at::<SpentWriteRow>(&key)?;
    }
    Ok(())
}

fn prefix(table: Table, id: SessionId) -> [u8; 9] {
    let mut prefix = [0; 9];
    prefix[0] = table as u8;
    prefix[1..].copy_from_slice(&id.to_bytes());
    prefix
}
