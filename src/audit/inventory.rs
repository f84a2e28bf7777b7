//! What drives hold, beside what the rows at one index name there.
//!
//! The rows are read first and their view is held, so what they name was durable before and is not collected meanwhile
//! (invariants 4 and 7): what is missing is missing. What no row names may have been written since; it is looked for once
//! more in newer rows. A range of names that agrees costs a drive one hash; only where it does not agree are names read.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::time::Duration;

use cairn_core::chunk_store::RangeDigester;
use cairn_core::{ChunkError, ChunkName, ChunkStore, DriveId, Drives, StripeId, WriteId};
use cairn_machine::row::{Row, Table, table_end};
use cairn_machine::rows::garbage::GarbageRow;
use cairn_machine::rows::stripe::StripeRow;
use cairn_machine::{RowError, RowSource};
use futures::future::join_all;

use super::{Imbalance, Inventory};

/// How many stripes are compared at a time, and chunks listed.
const PAGE: usize = 1024;

/// How long a drive may take for one answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many chunks that no row names are looked for once more, and how many that are missing are told by name.
const NAMES_MAX: usize = 10_000;

/// Drives that are compared.
#[derive(Debug)]
pub(super) struct Comparison<'a> {
    drives: &'a Drives,
    found: BTreeMap<DriveId, Inventory>,
    garbage: BTreeSet<(DriveId, ChunkName)>,
    unnamed: BTreeSet<(DriveId, ChunkName)>,
    missing: Vec<(DriveId, ChunkName)>,
    after: Option<StripeId>,
}

/// Names behind one, up to and including another; from the beginning and to the end without them.
#[derive(Debug, Clone, Copy)]
struct Range {
    after: Option<ChunkName>,
    until: Option<ChunkName>,
}

impl<'a> Comparison<'a> {
    /// Begins to compare these drives.
    pub(super) fn begin(
        rows: &impl RowSource,
        drives: &'a Drives,
        which: impl Iterator<Item = DriveId>,
    ) -> Result<Self, RowError> {
        Ok(Self {
            drives,
            found: which.map(|drive| (drive, Inventory::default())).collect(),
            garbage: garbage(rows)?,
            unnamed: BTreeSet::new(),
            missing: Vec::new(),
            after: None,
        })
    }

    /// Compares the chunks of the next stripes; how many, and whether there are more.
    pub(super) async fn step(&mut self, rows: &impl RowSource) -> Result<(usize, bool), RowError> {
        let page = stripes(rows, self.after)?;
        let last = page.last().map(|(id, _)| *id);
        let until = last.filter(|_| page.len() == PAGE);
        let range = Range { after: self.after.map(last_name), until: until.map(last_name) };
        let mut named: BTreeMap<DriveId, BTreeSet<ChunkName>> = BTreeMap::new();
        for (stripe, row) in &page {
            for (position, placed) in (0u8..).zip(&row.positions) {
                let name = ChunkName { stripe: *stripe, position, write: placed.write };
                named.entry(placed.drive).or_default().insert(name);
            }
        }
        let asked = self.found.iter().filter(|(_, inventory)| inventory.problem.is_none()).map(|(&drive, _)| {
            let expected = named.remove(&drive).unwrap_or_default();
            let drives = self.drives;
            async move {
                let count = expected.len() as u64;
                (drive, count, compare(drives, drive, range, expected).await)
            }
        });
        for (drive, expected, answer) in join_all(asked.collect::<Vec<_>>()).await {
            let inventory = self.found.entry(drive).or_default();
            match answer {
                Ok((missing, others)) => {
                    inventory.present += expected - missing.len() as u64;
                    inventory.missing += missing.len() as u64;
                    let room = NAMES_MAX.saturating_sub(self.missing.len());
                    self.missing.extend(missing.into_iter().take(room).map(|name| (drive, name)));
                    for name in others {
                        if self.garbage.contains(&(drive, name)) {
                            inventory.garbage += 1;
                        } else {
                            inventory.unnamed += 1;
                            if self.unnamed.len() < NAMES_MAX {
                                self.unnamed.insert((drive, name));
                            }
                        }
                    }
                }
                Err(error) => inventory.problem = Some(error.to_string()),
            }
        }
        self.after = last;
        Ok((page.len(), until.is_some()))
    }

    /// What each drive holds, and what it should hold and does not. `newer` knows what was committed meanwhile.
    pub(super) fn finish(
        mut self,
        newer: &impl RowSource,
    ) -> Result<(BTreeMap<DriveId, Inventory>, Vec<Imbalance>), RowError> {
        let garbage = garbage(newer)?;
        for (drive, name) in &self.unnamed {
            let row = StripeRow::get(newer, &name.stripe)?;
            let placed = row.and_then(|row| row.positions.get(usize::from(name.position)).copied());
            let named = placed.is_some_and(|placed| (placed.drive, placed.write) == (*drive, name.write));
            if named || garbage.contains(&(*drive, *name)) {
                self.found.entry(*drive).or_default().unnamed -= 1;
            }
        }
        let told = self.missing.iter().map(|(drive, name)| Imbalance {
            of: format!("chunk {name}"),
            kept: format!("on drive {drive}"),
            counted: "not there".to_owned(),
        });
        let told = told.collect();
        Ok((self.found, told))
    }
}

/// What of the names is not there, and what else is.
async fn compare(
    drives: &Drives,
    drive: DriveId,
    range: Range,
    mut expected: BTreeSet<ChunkName>,
) -> Result<(BTreeSet<ChunkName>, Vec<ChunkName>), ChunkError> {
    let store = drives.get(drive)?;
    let mut digester = RangeDigester::default();
    expected.iter().for_each(|name| digester.add(name));
    if within(&*store, store.digest(range.after, range.until)).await? == digester.finish() {
        return Ok((BTreeSet::new(), Vec::new()));
    }
    let (mut others, mut after) = (Vec::new(), range.after);
    loop {
        let page = within(&*store, store.list(after, PAGE)).await?;
        let inside = page.iter().take_while(|stat| range.until.is_none_or(|until| stat.name <= until));
        others.extend(inside.map(|stat| stat.name).filter(|name| !expected.remove(name)));
        after = page.last().map(|stat| stat.name);
        if page.len() < PAGE || range.until.is_some_and(|until| after > Some(until)) {
            return Ok((expected, others));
        }
    }
}

async fn within<T>(
    store: &dyn ChunkStore,
    answer: impl Future<Output = Result<T, ChunkError>>,
) -> Result<T, ChunkError> {
    let late = |_| Err(ChunkError::Unavailable(store.drive(), "it takes too long for an answer".into()));
    tokio::time::timeout(PATIENCE, answer).await.unwrap_or_else(late)
}

fn stripes(rows: &impl RowSource, after: Option<StripeId>) -> Result<Vec<(StripeId, StripeRow)>, RowError> {
    let from = match after {
        Some(after) => [&StripeRow::key(&after)[..], &[0]].concat(),
        None => vec![Table::Stripe as u8],
    };
    let (mut page, mut failure) = (Vec::new(), None);
    rows.scan(&from, Some(&table_end(Table::Stripe)), &mut |key, value| {
        let row = StripeRow::parse_key(key).and_then(|id| Ok((id, StripeRow::decode(key, value)?)));
        match row {
            Ok(row) => page.push(row),
            Err(error) => failure = Some(error),
        }
        if failure.is_some() || page.len() == PAGE { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    failure.map_or(Ok(page), Err)
}

/// Held in memory whole: it is bounded by what one collection interval deletes.
fn garbage(rows: &impl RowSource) -> Result<BTreeSet<(DriveId, ChunkName)>, RowError> {
    let mut names = BTreeSet::new();
    GarbageRow::scan(rows, &[Table::Garbage as u8], |key, row| {
        names.insert((row.drive, key.chunk));
        ControlFlow::Continue(())
    })?;
    Ok(names)
}

/// The greatest name that a chunk of a stripe could have.
fn last_name(stripe: StripeId) -> ChunkName {
    ChunkName { stripe, position: u8::MAX, write: WriteId::from_bytes([u8::MAX; WriteId::BYTES]) }
}
