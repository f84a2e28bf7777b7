//! The drives of other nodes, kept as the log and the membership have them: each drive that the log knows stands among the
//! drives of this process, reached at the address that its node last told, and nobody waits for a node that is thought to
//! be gone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cairn_cluster::{Members, Pool, RemoteDrive, Standing};
use cairn_core::{DriveId, Drives, NodeId};
use cairn_machine::rows::topology::{DriveRow, DriveState};
use cairn_metadata::Client;
use cairn_repair::census::drive_states;
use futures::future::join_all;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;

/// How often the drives are asked how they are.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long one look waits for the slowest; who answers later is heard all the same the next time.
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);

/// What is kept in agreement.
#[derive(Debug)]
pub struct RemoteDrives {
    /// The connections.
    pub pool: Arc<Pool>,
    /// All drives of this process, its own among them.
    pub drives: Arc<Drives>,
    /// The log.
    pub client: Client,
    /// Who is alive.
    pub members: watch::Receiver<Arc<Members>>,
}

impl RemoteDrives {
    /// Keeps them until it is told to stop. The first look is over when `ready` says so.
    pub async fn keep(mut self, ready: watch::Sender<bool>, stop: CancellationToken) {
        let mut known = BTreeMap::new();
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                changed = self.members.changed() => if changed.is_err() { return },
                _ = ticks.tick() => {}
            }
            let members = self.members.borrow_and_update().clone();
            match drive_states(&self.client.read_stale()) {
                Ok(rows) => self.follow(&rows, &mut known),
                Err(error) => tracing::error!(%error, "the drives of the cluster cannot be read"),
            }
            self.look(&known, &members).await;
            ready.send_replace(true);
        }
    }

    /// Adds what is new in the log and takes away what it has removed.
    fn follow(&self, rows: &BTreeMap<DriveId, DriveRow>, known: &mut BTreeMap<DriveId, Arc<RemoteDrive>>) {
        known.retain(|drive, _| {
            let stays = rows.get(drive).is_some_and(|row| row.state != DriveState::Removed);
            if !stays {
                self.drives.remove(*drive);
            }
            stays
        });
        let elsewhere = |row: &DriveRow| row.node != self.pool.node() && row.state != DriveState::Removed;
        for (&drive, row) in rows.iter().filter(|(_, row)| elsewhere(row)) {
            if known.get(&drive).is_none_or(|remote| remote.node() != row.node) {
                let remote = RemoteDrive::new(self.pool.clone(), row.node, drive);
                self.drives.insert(remote.clone());
                known.insert(drive, remote);
            }
        }
    }

    /// Asks those of living nodes how they are, and gives up on the others.
    async fn look(&self, known: &BTreeMap<DriveId, Arc<RemoteDrive>>, members: &Members) {
        let mut asked = Vec::new();
        for remote in known.values() {
            match members.standing(remote.node()) {
                Standing::Alive => {
                    remote.trust();
                    asked.push(remote.refresh());
                }
                standing => remote.distrust(Arc::from(format!("node {} is {standing}", remote.node()))),
            }
        }
        // What went wrong stands in each drive's health.
        if timeout(ANSWER_PATIENCE, join_all(asked)).await.is_err() {
            tracing::debug!("not every drive said in time how it is");
        }
    }
}

/// Lets the pool know where everybody is.
fn meet(pool: &Pool, members: &Members) {
    for member in members.with(Standing::Alive) {
        if let Some(profile) = &member.profile
            && pool.address(member.node) != Some(profile.address)
        {
            pool.set_address(member.node, profile.address);
        }
    }
}

/// Addresses of everybody who is heard of, without asking the log: Raft needs them before there is one to ask.
pub async fn keep_addresses(pool: Arc<Pool>, mut members: watch::Receiver<Arc<Members>>, stop: CancellationToken) {
    let mut standing: BTreeMap<NodeId, (Standing, u64)> = BTreeMap::new();
    loop {
        let now = members.borrow_and_update().clone();
        for member in now.0.values() {
            let is = (member.standing, member.generation);
            // Whoever is heard of again is not kept waiting for the end of a rest.
            if standing.insert(member.node, is) != Some(is)
                && member.standing == Standing::Alive
                && let Some(profile) = &member.profile
            {
                pool.set_address(member.node, profile.address);
            }
        }
        meet(&pool, &now);
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            changed = members.changed() => if changed.is_err() { return },
        }
    }
}
