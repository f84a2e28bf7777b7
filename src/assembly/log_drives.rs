//! Keeps the drives that the operation log lies on in agreement with what the log says of this node's drives, while the
//! process runs: one that was declared lost or removed leaves the roster, a fresh one joins it, and as many copies are made
//! as the profiles and the number of voters ask for. Runs of rows go where the log goes.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cairn_core::{DriveId, NodeId};
use cairn_journal::files::Files;
use cairn_machine::row::{Row, Table, table_end};
use cairn_machine::rows::profile::ProfileRow;
use cairn_machine::rows::topology::{DriveRow, DriveState};
use cairn_machine::{RowError, RowSource};
use cairn_metadata::{Client, MetadataNode, RunPlaces};
use cairn_oplog::{ChangeError, LogDrive, OpLog, RosterChange, copies_wanted};
use cairn_repair::census::drive_states;
use cairn_storage_node::DriveDir;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::assembly::core::Core;

/// How often the two are compared when nobody asks for it. A drive that is declared lost holds nothing up meanwhile.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Why the log does not lie on the drives that it should lie on. It is tried again.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// The rows cannot be read.
    #[error(transparent)]
    Rows(#[from] RowError),
    /// The log cannot change its roster now.
    #[error("the operation log keeps its roster: {0}")]
    Roster(#[from] ChangeError),
}

/// Where one drive's part of the log and runs of rows lie.
#[derive(Debug, Clone)]
struct Here {
    dir: PathBuf,
    runs: PathBuf,
}

/// The log's drives, kept as the log says.
#[derive(Debug)]
pub struct LogDrives {
    log: OpLog,
    metadata: MetadataNode,
    client: Client,
    node: NodeId,
    /// How many drives may be lost at least, whatever the profiles say. None where the process is alone.
    parity_least: Option<u8>,
    files: Arc<dyn Files>,
    here: Mutex<BTreeMap<DriveId, Here>>,
    wake: Notify,
}

/// What the roster should be made of.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    leaving: BTreeSet<DriveId>,
    staying: BTreeSet<DriveId>,
    copies: u8,
}

/// What the log knows, and what is so here.
#[derive(Debug, Clone, Copy)]
struct Known<'a> {
    node: NodeId,
    drives: &'a BTreeMap<DriveId, DriveRow>,
    parity: u8,
    voters: usize,
    here: &'a BTreeSet<DriveId>,
    /// Drives that the log has left.
    failed: &'a BTreeSet<DriveId>,
    alone: bool,
}

impl Wanted {
    fn of(known: Known<'_>) -> Self {
        let gone = |drive: &DriveId, row: &DriveRow| match row.state {
            DriveState::Removed => true,
            // A node that was given up and came back has drives that are lost until they are counted again.
            DriveState::Lost => known.alone || !known.here.contains(drive) || known.failed.contains(drive),
            _ => false,
        };
        let own = known.drives.iter().filter(|(_, row)| row.node == known.node);
        let (leaving, staying): (Vec<_>, Vec<_>) = own.partition(|(drive, row)| gone(drive, row));
        let leaving: BTreeSet<DriveId> = leaving.into_iter().map(|(drive, _)| *drive).collect();
        let staying = staying.into_iter().map(|(drive, _)| *drive).chain(known.here.iter().copied());
        let staying: BTreeSet<DriveId> = staying.filter(|drive| !leaving.contains(drive)).collect();
        let may_fail = u8::try_from(known.voters.saturating_sub(1) / 2).unwrap_or(u8::MAX);
        Self { copies: copies_wanted(known.parity, may_fail, staying.len()), leaving, staying }
    }
}

impl LogDrives {
    /// For the drives of these directories. `parity_least`: what a node of a cluster reckons with, whatever the profiles say.
    pub fn new(core: &Core, client: Client, files: Arc<dyn Files>, parity_least: Option<u8>) -> Self {
        Self {
            log: core.log.clone(),
            metadata: core.node.clone(),
            client,
            node: core.identity.node,
            parity_least,
            files,
            here: Mutex::default(),
            wake: Notify::new(),
        }
    }

    /// Another drive is here.
    pub fn add(&self, dir: &DriveDir) {
        let here = Here { dir: dir.path().to_owned(), runs: dir.runs() };
        self.here().insert(dir.identity().drive, here);
        self.wake.notify_one();
    }

    fn here(&self) -> MutexGuard<'_, BTreeMap<DriveId, Here>> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings the log's roster into agreement with its rows. Whether something changed.
    pub async fn settle(&self) -> Result<bool, SettleError> {
        let here = self.here().clone();
        let ids: BTreeSet<DriveId> = here.keys().copied().collect();
        let failed: BTreeSet<DriveId> = self.log.stats().failed.into_iter().collect();
        let wanted = {
            let view = self.client.read_stale();
            Wanted::of(Known {
                node: self.node,
                drives: &drive_states(&view)?,
                parity: parity(&view)?.max(self.parity_least.unwrap_or(0)),
                voters: self.metadata.status().members.iter().filter(|member| member.votes).count(),
                here: &ids,
                failed: &failed,
                alone: self.parity_least.is_none(),
            })
        };
        let Wanted { leaving, staying, copies } = wanted;
        let staying: BTreeMap<DriveId, Here> = here.into_iter().filter(|(drive, _)| staying.contains(drive)).collect();
        let drive = |(&id, here): (&DriveId, &Here)| LogDrive { id, dir: here.dir.clone(), files: self.files.clone() };
        let change = RosterChange { here: staying.iter().map(drive).collect(), leaving, copies_wanted: copies };
        let changed = self.log.change_roster(change).await?.is_some();
        // Those that the log writes to come first; a run goes to as many as the log does.
        let quorum = self.log.stats().epoch.quorum.clone();
        let (first, last): (Vec<_>, Vec<_>) = staying.into_iter().partition(|(drive, _)| quorum.contains(*drive));
        let directories: Vec<PathBuf> = first.into_iter().chain(last).map(|(_, here)| here.runs).collect();
        let copies = quorum.copies_len().min(directories.len());
        if copies > 0 {
            self.metadata.set_run_places(RunPlaces { directories, copies });
        }
        Ok(changed)
    }

    /// Does so for as long as the process runs.
    pub async fn keep(self: Arc<Self>, stop: CancellationToken) {
        let mut said = String::new();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.wake.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let settled = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                settled = self.settle() => settled,
            };
            match settled {
                Ok(_) => said.clear(),
                Err(error) => {
                    let now = error.to_string();
                    if now != said {
                        tracing::warn!(%error, "the drives of the operation log are not what they should be");
                        said = now;
                    }
                }
            }
        }
    }
}

/// The most drives that any profile survives the loss of.
fn parity(rows: &impl RowSource) -> Result<u8, RowError> {
    let table = Table::Profile;
    let (mut most, mut failed) = (0, None);
    rows.scan(&[table as u8], Some(&table_end(table)), &mut |key, value| match ProfileRow::decode(key, value) {
        Ok(row) => {
            most = most.max(u8::try_from(row.geometry.m()).unwrap_or(u8::MAX));
            ControlFlow::Continue(())
        }
        Err(error) => {
            failed = Some(error);
            ControlFlow::Break(())
        }
    })?;
    failed.map_or(Ok(most), Err)
}

#[cfg(test)]
mod tests {
    use cairn_core::{LogIndex, WallTime};

    use super::*;

    fn drives(states: &[(u64, DriveState)]) -> BTreeMap<DriveId, DriveRow> {
        let row = |state| DriveRow {
            node: NodeId(1),
            weight: 1,
            state,
            since: LogIndex(0),
            changed: WallTime(0),
            label: String::new(),
        };
        states.iter().map(|&(id, state)| (DriveId(id), row(state))).collect()
    }

    fn ids(ids: &[u64]) -> BTreeSet<DriveId> {
        ids.iter().map(|&id| DriveId(id)).collect()
    }

    #[test]
    fn lost_drives_leave_and_a_node_that_was_given_up_keeps_its_own() {
        let rows = drives(&[
            (1, DriveState::Active),
            (2, DriveState::Lost),
            (3, DriveState::Removed),
            (4, DriveState::Active),
        ]);
        let (here, failed) = (ids(&[1, 2, 3, 5]), ids(&[]));
        let known =
            Known { node: NodeId(1), drives: &rows, parity: 2, voters: 1, here: &here, failed: &failed, alone: true };
        let wanted = Wanted { leaving: ids(&[2, 3]), staying: ids(&[1, 4, 5]), copies: 3 };
        assert_eq!(Wanted::of(known), wanted, "drive 4 is away, and nobody called it lost");
        let wanted = Wanted { leaving: ids(&[3]), staying: ids(&[1, 2, 4, 5]), copies: 2 };
        assert_eq!(Wanted::of(Known { alone: false, voters: 3, ..known }), wanted);
        let failed = ids(&[2]);
        assert_eq!(Wanted::of(Known { alone: false, failed: &failed, ..known }).leaving, ids(&[2, 3]));
        assert_eq!(
            Wanted::of(Known { node: NodeId(9), ..known }).leaving,
            ids(&[]),
            "another node's are its own affair"
        );
    }
}
