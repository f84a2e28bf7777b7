//! Garbage: the one road to deletion (invariant 7).
//!
//! ```text
//! named by a stripe --the last reference goes, or the position moves--> garbage row, keyed by the index of that
//! orphan on a drive --Condemn-----------------------------------------> garbage row, keyed by the index of that
//!
//! garbage row --due: every session reads from its index on, and a majority of voters have it in a run-->
//!   a drive deletes the chunk (a lost drive has nothing to delete) --Collected--> gone
//! ```
//!
//! A view at an index sees everything up to it, so a session that reads from the garbage's own index on cannot reach the
//! chunk any more. The run matters because a voter that falls back to its last run and loses its log must not find a
//! stripe there whose chunks were deleted on the strength of what came later.

use core::ops::ControlFlow;

use cairn_core::{ChunkName, DriveId, LogIndex, WriteId};

use crate::apply::context::Context;
use crate::apply::session::could_commit;
use crate::apply::stripe::change_ledger;
use crate::apply::transaction::{Stop, Transaction, unknown};
use crate::operation::OPERATION_ROWS_MAX;
use crate::outcome::{Outcome, Refusal};
use crate::row::{Row, Table};
use crate::rows::garbage::{GarbageKey, GarbageRow};
use crate::rows::session::SessionRow;
use crate::rows::spent::SpentWriteRow;
use crate::rows::stripe::StripeRow;
use crate::rows::topology::{DriveLedgerRow, DriveRow, NodeRow, VoterRow};
use crate::source::{RowError, RowSource};

/// A chunk that a stripe named becomes garbage, and the ledger moves it from one column to the other.
pub(crate) fn bury<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &Context<'_>,
    chunk: ChunkName,
    drive: DriveId,
    bytes: u32,
) -> Result<(), Stop> {
    rows.put(&GarbageKey { index: context.index, chunk }, GarbageRow { drive, bytes })?;
    change_ledger(rows, drive, |ledger| {
        take(&mut ledger.chunks, 1);
        take(&mut ledger.bytes, u64::from(bytes));
        ledger.garbage_chunks += 1;
        ledger.garbage_bytes += u64::from(bytes);
    })?;
    spend(rows, chunk.write)
}

/// A write whose chunks are garbage is used up: should its session still be able to commit it, it is told that it is not.
pub(crate) fn spend<S: RowSource + ?Sized>(rows: &mut Transaction<'_, S>, write: WriteId) -> Result<(), Stop> {
    if could_commit(rows, write)? { rows.put(&write, SpentWriteRow {}) } else { Ok(()) }
}

pub(crate) fn condemn<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &Context<'_>,
    chunk: ChunkName,
    drive: DriveId,
) -> Result<Outcome, Stop> {
    if rows.get::<DriveRow>(&drive)?.is_none() {
        return Err(unknown("drive"));
    }
    let stripe = rows.get::<StripeRow>(&chunk.stripe)?;
    if stripe.is_some_and(|row| row.chunk(chunk.stripe, chunk.position) == Some(chunk)) {
        return Err(Refusal::Changed.into());
    }
    if could_commit(rows, chunk.write)? {
        return Err(Refusal::NotDue { until: context.index }.into());
    }
    let key = GarbageKey { index: context.index, chunk };
    if rows.get::<GarbageRow>(&key)?.is_none() {
        // The ledger never counted the orphan's bytes, so they are not taken off it when it is collected either.
        rows.put(&key, GarbageRow { drive, bytes: 0 })?;
        change_ledger(rows, drive, |ledger| ledger.garbage_chunks += 1)?;
    }
    Ok(Outcome::Done)
}

pub(crate) fn collected<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    garbage: &[GarbageKey],
) -> Result<Outcome, Stop> {
    let until = due_inside(rows)?;
    for key in garbage {
        if key.index >= until {
            return Err(Refusal::NotDue { until: key.index }.into());
        }
        // A row that is gone was collected before: two collectors, or one that was interrupted.
        let Some(row) = rows.get::<GarbageRow>(key)? else { continue };
        rows.remove::<GarbageRow>(key)?;
        change_ledger(rows, row.drive, |ledger: &mut DriveLedgerRow| {
            take(&mut ledger.garbage_chunks, 1);
            take(&mut ledger.garbage_bytes, u64::from(row.bytes));
        })?;
    }
    Ok(Outcome::Done)
}

fn take(count: &mut u64, by: u64) {
    *count = count.checked_sub(by).expect("invariant 11: a ledger counts everything that is taken off it");
}

/// Garbage below this index is due: judged from rows alone, so that every voter says the same.
pub fn due_until(rows: &(impl RowSource + ?Sized)) -> Result<LogIndex, RowError> {
    let mut due = Due::default();
    SessionRow::scan(rows, &[Table::Session as u8], |_, row| {
        due.session(&row);
        ControlFlow::Continue(())
    })?;
    let mut voters = Vec::new();
    NodeRow::scan(rows, &[Table::Node as u8], |_, row| {
        voters.extend(row.voter);
        ControlFlow::Continue(())
    })?;
    for voter in voters {
        due.voter(VoterRow::get(rows, &voter)?.as_ref());
    }
    Ok(due.until())
}

/// [`due_until`] as the operations of an entry see it.
fn due_inside<S: RowSource + ?Sized>(rows: &mut Transaction<'_, S>) -> Result<LogIndex, Stop> {
    let mut due = Due::default();
    for (_, row) in rows.first::<SessionRow>(&[Table::Session as u8], OPERATION_ROWS_MAX)? {
        due.session(&row);
    }
    for (_, node) in rows.first::<NodeRow>(&[Table::Node as u8], OPERATION_ROWS_MAX)? {
        if let Some(voter) = node.voter {
            let row = rows.get::<VoterRow>(&voter)?;
            due.voter(row.as_deref());
        }
    }
    Ok(due.until())
}

/// What decides when garbage is due.
#[derive(Debug, Default)]
struct Due {
    reads_from: Option<LogIndex>,
    runs: Vec<LogIndex>,
}

impl Due {
    fn session(&mut self, row: &SessionRow) {
        self.reads_from = Some(self.reads_from.map_or(row.reads_from, |lowest| lowest.min(row.reads_from)));
    }

    fn voter(&mut self, row: Option<&VoterRow>) {
        self.runs.push(row.map_or(LogIndex(0), |row| row.run_index));
    }

    /// The first index that is not due.
    fn until(mut self) -> LogIndex {
        self.runs.sort_unstable();
        // The middle one, rounded down: it and all above it are a majority.
        let Some(majority) = self.runs.len().checked_sub(1).map(|last| self.runs[last / 2]) else {
            return LogIndex(0);
        };
        let passed = self.reads_from.map_or(majority, |lowest| lowest.min(majority));
        LogIndex(passed.0 + 1)
    }
}
