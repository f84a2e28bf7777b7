//! From nodes that fell silent to drives that the log calls lost, and back.
//!
//! ```text
//! standings of nodes (a hint) + rows --> judge (pure) --> SetDriveState --> the log decides (invariant 6)
//!                                          |
//!                                          +--> held: too much is silent at once, and a person must look
//! ```
//!
//! A drive is declared lost when its node is dead, which means silent for longer than the grace time. When more failure
//! domains are silent at once than any stripe survives, nothing is declared: it is more likely a switch than as many
//! machines, and moving data would not bring back what cannot be read. A lost drive whose node is alive and that
//! answers is active again; the census then finds what is no longer wanted there.
//!
//! Only the holder of the lease proposes. All others watch as well, so that the next one need not begin from nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cairn_core::{Clock, DriveId, Drives, Elapsed, Geometry, NodeId};
use cairn_machine::row::Table;
use cairn_machine::rows::topology::{DriveRow, DriveState, NodeRow};
use cairn_machine::{Operation, Outcome, Row, RowError, RowSource};
use cairn_metadata::Client;
use futures::future::join_all;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::census::{drive_states, scan_table, standard};
use crate::config::RepairConfig;
use crate::error::RepairError;
use crate::lease;
use crate::meter::Meter;

/// What is thought of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeStanding {
    /// It is heard of.
    Alive,
    /// It was not heard of for a while: what is on it is read and written around, and nothing moves.
    Suspect,
    /// It was not heard of for longer than the grace time.
    Dead,
}

/// What is thought of each node that was ever heard of. This process's own node need not be among them.
pub type Standings = BTreeMap<NodeId, NodeStanding>;

/// A drive's state that is to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// Which drive.
    pub drive: DriveId,
    /// What it is.
    pub from: DriveState,
    /// What it is to be.
    pub to: DriveState,
}

/// Why nothing is declared lost although nodes are dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// More failure domains are silent at once than a stripe survives.
    TooManySilent {
        /// Their nodes.
        nodes: Vec<NodeId>,
        /// How many domains these are.
        domains: usize,
        /// How many may be.
        most: usize,
    },
    /// The drives that would remain are too few to hold anything anew.
    TooFewLeft {
        /// How many would.
        left: usize,
        /// How many it takes.
        least: usize,
    },
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManySilent { nodes, domains, most } => {
                let nodes: Vec<String> = nodes.iter().map(NodeId::to_string).collect();
                write!(
                    f,
                    "{domains} nodes or zones are silent at once, and data survives the loss of {most}: none is declared lost \
                     before some of them answer or a person decides ({})",
                    nodes.join(", ")
                )
            }
            Self::TooFewLeft { left, least } => {
                write!(f, "no drive is declared lost: {left} would remain, and it takes {least} to hold anything")
            }
        }
    }
}

/// What is to be proposed, and what is held back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Changes of drives' states.
    pub changes: Vec<Change>,
    /// Why some are missing.
    pub held: Option<Held>,
}

/// What a judgement is made from.
#[derive(Debug)]
pub struct Picture<'a> {
    /// What is thought of every node that has a drive.
    pub standings: &'a Standings,
    /// The zones of nodes.
    pub zones: &'a BTreeMap<NodeId, String>,
    /// The drives.
    pub drives: &'a BTreeMap<DriveId, DriveRow>,
    /// Lost drives that answered when they were asked.
    pub answering: &'a BTreeSet<DriveId>,
    /// What STANDARD asks for: its m says how many losses data survives.
    pub standard: Geometry,
}

/// What follows from a picture.
pub fn judge(picture: &Picture<'_>) -> Verdict {
    let standing = |node: NodeId| picture.standings.get(&node).copied().unwrap_or(NodeStanding::Suspect);
    let counted = |row: &DriveRow| matches!(row.state, DriveState::Active | DriveState::Draining);
    let mut verdict = Verdict::default();
    for (&drive, row) in picture.drives {
        let back = row.state == DriveState::Lost && standing(row.node) == NodeStanding::Alive;
        if back && picture.answering.contains(&drive) {
            verdict.changes.push(Change { drive, from: row.state, to: DriveState::Active });
        }
    }
    let dead: Vec<Change> = (picture.drives.iter())
        .filter(|(_, row)| counted(row) && standing(row.node) == NodeStanding::Dead)
        .map(|(&drive, row)| Change { drive, from: row.state, to: DriveState::Lost })
        .collect();
    if dead.is_empty() {
        return verdict;
    }
    // Those that are only suspect count as well: they may have fallen silent in the same moment.
    let silent: BTreeSet<NodeId> = (picture.drives.values())
        .filter(|row| counted(row) && standing(row.node) != NodeStanding::Alive)
        .map(|row| row.node)
        .collect();
    let domains = domains(&silent, picture);
    let most = picture.standard.m();
    let active = |row: &DriveRow| row.state == DriveState::Active;
    let lost: BTreeSet<DriveId> = dead.iter().map(|change| change.drive).collect();
    let left = picture.drives.iter().filter(|(drive, row)| active(row) && !lost.contains(drive)).count();
    let least = most + 1;
    if domains > most {
        verdict.held = Some(Held::TooManySilent { nodes: silent.into_iter().collect(), domains, most });
    } else if left < least {
        verdict.held = Some(Held::TooFewLeft { left, least });
    } else {
        verdict.changes.extend(dead);
    }
    verdict
}

/// How many things failed for these nodes to be silent: zones where there are several, nodes where there are not.
fn domains(silent: &BTreeSet<NodeId>, picture: &Picture<'_>) -> usize {
    let zone = |node: &NodeId| picture.zones.get(node).map_or("", String::as_str);
    let zones: BTreeSet<&str> = picture.drives.values().map(|row| zone(&row.node)).collect();
    if zones.len() <= 1 {
        return silent.len();
    }
    // Nodes of which nobody said in which zone they are stand for themselves.
    let named: BTreeSet<&str> = silent.iter().map(zone).filter(|zone| !zone.is_empty()).collect();
    named.len() + silent.iter().filter(|node| zone(node).is_empty()).count()
}

/// What is thought of every node that has a drive: what was heard, and for a node that nobody has heard of since this
/// daemon began to watch, how long that is.
fn complete(
    heard: &Standings,
    drives: &BTreeMap<DriveId, DriveRow>,
    own: NodeId,
    watched: Duration,
    grace: Duration,
) -> Standings {
    let unheard = if watched < grace { NodeStanding::Suspect } else { NodeStanding::Dead };
    let of = |node: NodeId| match heard.get(&node) {
        _ if node == own => NodeStanding::Alive,
        Some(&standing) => standing,
        None => unheard,
    };
    drives.values().map(|row| (row.node, of(row.node))).collect()
}

/// The shell around [`judge`].
#[derive(Debug)]
pub(crate) struct Supervision {
    pub(crate) client: Client,
    pub(crate) drives: Arc<Drives>,
    pub(crate) heard: watch::Receiver<Standings>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) meter: Meter,
    pub(crate) config: RepairConfig,
    /// Told when a state has changed, or a node has come back: repair looks again.
    pub(crate) wake: Arc<Notify>,
    pub(crate) stop: CancellationToken,
}

impl Supervision {
    /// Watches until the daemon stops.
    pub(crate) async fn run(mut self) {
        let began = self.clock.elapsed();
        let mut alive = BTreeSet::new();
        let mut look = tokio::time::interval(self.config.supervise_interval);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                changed = self.heard.changed() => if changed.is_err() {
                    tracing::info!("the membership has ended, and supervision with it");
                    return;
                },
                _ = look.tick() => {}
            }
            let heard = self.heard.borrow_and_update().clone();
            let now = heard.iter().filter(|(_, standing)| **standing == NodeStanding::Alive).map(|(&node, _)| node);
            let before = std::mem::replace(&mut alive, now.collect());
            if alive.difference(&before).next().is_some() {
                // What could not be listed before can be now.
                self.wake.notify_one();
            }
            if let Err(error) = self.look(&heard, began).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "nodes could not be judged");
                self.meter.failed(&error);
                look.reset_after(self.config.retry_delay);
            }
        }
    }

    async fn look(&self, heard: &Standings, began: Elapsed) -> Result<(), RepairError> {
        if !lease::holds(&self.client)? {
            self.meter.update(|progress| progress.held = None);
            return Ok(());
        }
        // Nothing is asked of the log while a look at this node's own rows finds nothing to do.
        let view = self.client.read_stale();
        let (_, verdict) = self.judge_rows(&view, heard, began).await?;
        drop(view);
        self.meter.update(|progress| progress.held = verdict.held.as_ref().map(Held::to_string));
        if verdict.changes.is_empty() {
            return Ok(());
        }
        let view = self.client.read().await?;
        let (leads, verdict) = self.judge_rows(&view, heard, began).await?;
        drop(view);
        if !leads || verdict.changes.is_empty() {
            return Ok(());
        }
        let propose = |change: &Change| {
            let Change { drive, from, to } = *change;
            Operation::SetDriveState { drive, from, to }
        };
        let outcomes = self.client.propose(verdict.changes.iter().map(propose).collect()).await?;
        for (change, outcome) in verdict.changes.iter().zip(&outcomes) {
            match outcome {
                Outcome::Done => {
                    tracing::warn!(drive = %change.drive, from = ?change.from, to = ?change.to, "a drive's state has changed")
                }
                // Somebody else changed it meanwhile; the next look sees to what.
                other => tracing::info!(drive = %change.drive, ?other, "a drive's state was not changed"),
            }
        }
        if outcomes.contains(&Outcome::Done) {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Whether these rows still let this daemon lead, and what follows from them.
    async fn judge_rows(
        &self,
        rows: &(impl RowSource + Sync),
        heard: &Standings,
        began: Elapsed,
    ) -> Result<(bool, Verdict), RepairError> {
        let Some(leader) = lease::leader(rows)?.filter(|leader| leader.session == self.client.session()) else {
            return Ok((false, Verdict::default()));
        };
        let drives = drive_states(rows)?;
        let watched = self.clock.elapsed().since(began);
        let standings = complete(heard, &drives, leader.node, watched, self.config.unheard_grace);
        let standard = standard(rows)?;
        let zones = zones(rows)?;
        let answering = self.answering(&drives, &standings).await;
        let picture =
            Picture { standings: &standings, zones: &zones, drives: &drives, answering: &answering, standard };
        Ok((true, judge(&picture)))
    }

    /// Which lost drives of living nodes answer. A listing is asked for, because health may be what was heard last.
    async fn answering(&self, drives: &BTreeMap<DriveId, DriveRow>, standings: &Standings) -> BTreeSet<DriveId> {
        let back =
            |row: &DriveRow| row.state == DriveState::Lost && standings.get(&row.node) == Some(&NodeStanding::Alive);
        let asked = drives.iter().filter(|(_, row)| back(row)).map(|(&drive, _)| async move {
            let store = self.drives.get(drive).ok()?;
            let listed = tokio::time::timeout(self.config.drive_patience, store.list(None, 1)).await;
            listed.is_ok_and(|page| page.is_ok()).then_some(drive)
        });
        join_all(asked).await.into_iter().flatten().collect()
    }
}

fn zones(rows: &impl RowSource) -> Result<BTreeMap<NodeId, String>, RowError> {
    let mut zones = BTreeMap::new();
    scan_table::<NodeRow>(rows, Table::Node, &[Table::Node as u8], &mut |key, row| {
        zones.insert(NodeRow::parse_key(key)?, row.zone);
        Ok(std::ops::ControlFlow::Continue(()))
    })?;
    Ok(zones)
}

#[cfg(test)]
mod tests;
