//! What must hold at every moment, looked at again and again while everything goes wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use cairn_core::{ChunkName, DriveId};
use cairn_machine::row::table_end;
use cairn_machine::rows::stripe::StripeRow;
use cairn_machine::rows::topology::DriveState;
use cairn_machine::{Row, RowSource, Table};
use cairn_metadata::View;
use cairn_repair::census::drive_states;

use super::machine::Running;

/// What was seen so far.
#[derive(Debug, Default)]
pub struct Watch {
    /// By index: the hash of all effects up to there. Rows are a function of the log.
    effects: BTreeMap<u64, [u8; 32]>,
    /// By term: who led.
    leaders: BTreeMap<u64, u64>,
    /// The newest rows that were looked at, and the chunks that they name.
    index: u64,
    chunks: BTreeSet<(DriveId, ChunkName)>,
    /// How often rows were looked at.
    pub looks: u64,
}

impl Watch {
    /// What a node says of itself agrees with what all others said.
    pub fn hear(&mut self, number: usize, running: &Running) {
        let status = running.metadata.status();
        let hash = *self.effects.entry(status.applied_index.0).or_insert(status.effects_hash);
        assert_eq!(
            hash, status.effects_hash,
            "invariant 3 (one history): at {:?} machine {number} has other rows than others had",
            status.applied_index
        );
        if status.leader == Some(status.voter) {
            let leader = *self.leaders.entry(status.term).or_insert(status.voter);
            assert_eq!(leader, status.voter, "invariant 3 (one leader): two members led in term {}", status.term);
        }
    }

    /// The rows of a node contradict no invariant, and nothing was committed to a drive that took nothing.
    pub fn look(&mut self, view: &View) {
        let found = cairn_machine::check::check(view).unwrap();
        assert!(found.is_empty(), "at {:?}: {found:#?}", view.index());
        let index = view.index().0;
        if index <= self.index {
            return;
        }
        let (drives, chunks) = (drive_states(view).unwrap(), chunks(view));
        for (drive, chunk) in chunks.difference(&self.chunks) {
            let row = &drives[drive];
            let closed = row.state != DriveState::Active && row.since.0 <= self.index;
            assert!(
                !closed,
                "invariant 6 (commits_go_to_active_drives): {chunk} was committed between {} and {index} to drive {drive}, \
                 which is {:?} since {:?}",
                self.index, row.state, row.since
            );
        }
        (self.index, self.chunks) = (index, chunks);
        self.looks += 1;
    }
}

fn chunks(view: &View) -> BTreeSet<(DriveId, ChunkName)> {
    let (table, mut found) = (Table::Stripe, BTreeSet::new());
    view.scan(&[table as u8], Some(&table_end(table)), &mut |key, value| {
        let row = StripeRow::decode(key, value).unwrap();
        let stripe = StripeRow::read_key(&key[1..]).unwrap();
        for (position, placed) in (0u8..).zip(&row.positions) {
            found.insert((placed.drive, ChunkName { stripe, position, write: placed.write }));
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    found
}
