//! Membership by gossip: chitchat spreads heartbeats and profiles, the [roster](super::roster) judges them.
//!
//! chitchat's messages travel as calls over authenticated connections (`gossip/transport.rs`). Its own failure detector
//! only chooses whom it talks to. It draws peers with a generator of its own, so simulations take
//! [`heartbeats`](super::heartbeats) instead.

mod transport;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cairn_core::{Clock, ClusterId, NodeId};
use chitchat::{Chitchat, ChitchatConfig, ChitchatHandle, ChitchatId, FailureDetectorConfig, spawn_chitchat};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{Detection, Members, Membership, Profile, ProfileTooLong, Roster};
use crate::client::pool::Pool;
use transport::PoolTransport;
pub use transport::{GossipService, Inbox};

/// Under this key a node tells its profile, as hexadecimal of its encoding: chitchat's values are text.
const PROFILE_KEY: &str = "profile";

/// Gossip could not begin. The reason is chitchat's, in words; the process cannot be a member.
#[derive(Debug, thiserror::Error)]
pub enum GossipError {
    /// The profile is too long.
    #[error(transparent)]
    Profile(#[from] ProfileTooLong),
    /// chitchat did not start.
    #[error("gossip did not begin: {0}")]
    Start(String),
}

/// How gossip is run.
#[derive(Debug, Clone)]
pub struct GossipOptions {
    /// The cluster. Its connections already belong to it alone; chitchat asks once more.
    pub cluster: ClusterId,
    /// Which start of this node: greater at each, or others will not believe that it lives again. Not a time: a clock
    /// that was set back would make a node that nobody believes in.
    pub generation: u64,
    /// Where others reach our listener. Stands in the profile too.
    pub address: SocketAddr,
    /// Where anybody of the cluster may be. One that answers is enough.
    pub seeds: Vec<SocketAddr>,
    /// When silence means what; also how often to gossip.
    pub detection: Detection,
    /// What to say of ourselves.
    pub profile: Profile,
}

/// Membership by gossip. Ends when it is dropped; [`Self::stop`] waits for the end.
pub struct GossipMembership {
    node: NodeId,
    members: watch::Receiver<Arc<Members>>,
    profile: watch::Sender<Profile>,
    stopping: CancellationToken,
    watching: tokio::task::JoinHandle<()>,
}

impl fmt::Debug for GossipMembership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GossipMembership").field("node", &self.node).finish_non_exhaustive()
    }
}

impl GossipMembership {
    /// Begins. The [`GossipService`] that `inbox` belongs to must stand behind the listener at `options.address`.
    pub async fn start(
        options: GossipOptions,
        pool: Arc<Pool>,
        inbox: Inbox,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, GossipError> {
        let node = pool.node();
        let profile = encoded(&options.profile)?;
        let GossipOptions { cluster, generation, address, seeds, detection, .. } = options;
        let config = ChitchatConfig {
            chitchat_id: ChitchatId::new(node.to_string(), generation, address),
            cluster_id: cluster.to_string(),
            gossip_interval: detection.interval,
            listen_addr: address,
            seed_nodes: seeds.iter().filter(|seed| **seed != address).map(ToString::to_string).collect(),
            failure_detector_config: FailureDetectorConfig {
                phi_threshold: f64::from(detection.phi),
                sampling_window_size: 100,
                max_interval: detection.silence_max(),
                initial_interval: detection.interval,
                dead_node_grace_period: detection.forget,
            },
            marked_for_deletion_grace_period: detection.forget,
            catchup_callback: None,
            extra_liveness_predicate: None,
        };
        let transport = PoolTransport::new(pool, address, inbox, detection.interval);
        let initial = vec![(PROFILE_KEY.to_owned(), profile)];
        let chitchat = spawn_chitchat(config, initial, &transport).await;
        let chitchat = chitchat.map_err(|error| GossipError::Start(error.to_string()))?;
        let (published, members) = watch::channel(Arc::default());
        let (profile, announced) = watch::channel(options.profile);
        let stopping = CancellationToken::new();
        let watcher = Watcher { chitchat, roster: Roster::new(node, detection), announced, published, clock };
        let watching = tokio::spawn(watcher.run(detection.interval / 2, stopping.clone()));
        Ok(Self { node, members, profile, stopping, watching })
    }

    /// Says nothing more and hears nothing more.
    pub async fn stop(mut self) {
        self.stopping.cancel();
        if let Err(error) = (&mut self.watching).await {
            tracing::error!(%error, "the task that watches the members failed");
        }
    }
}

impl Drop for GossipMembership {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

impl Membership for GossipMembership {
    fn node(&self) -> NodeId {
        self.node
    }

    fn members(&self) -> Arc<Members> {
        self.members.borrow().clone()
    }

    fn watch(&self) -> watch::Receiver<Arc<Members>> {
        self.members.clone()
    }

    fn announce(&self, profile: Profile) -> Result<(), ProfileTooLong> {
        encoded(&profile)?;
        self.profile.send_replace(profile);
        Ok(())
    }
}

fn encoded(profile: &Profile) -> Result<String, ProfileTooLong> {
    let bytes = profile.encode()?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn decoded(text: &str) -> Option<Profile> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let pair = |pair: &[u8]| Some(digit(pair[0])? << 4 | digit(pair[1])?);
    if !text.len().is_multiple_of(2) || text.len() > 2 * super::PROFILE_BYTES_MAX {
        return None;
    }
    let bytes: Option<Vec<u8>> = text.as_bytes().chunks_exact(2).map(pair).collect();
    Profile::decode(&bytes?)
}

/// Looks at what chitchat knows, a few times for each heartbeat, and judges it.
struct Watcher {
    chitchat: ChitchatHandle,
    roster: Roster,
    announced: watch::Receiver<Profile>,
    published: watch::Sender<Arc<Members>>,
    clock: Arc<dyn Clock>,
}

impl Watcher {
    async fn run(mut self, every: Duration, stopping: CancellationToken) {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stopping.run_until_cancelled(ticks.tick()).await.is_some() {
            let chitchat = self.chitchat.chitchat();
            let mut chitchat = chitchat.lock().await;
            self.look(&mut chitchat);
        }
        if let Err(error) = self.chitchat.shutdown().await {
            tracing::warn!(%error, "gossip had ended before it was stopped");
        }
    }

    fn look(&mut self, chitchat: &mut Chitchat) {
        if self.announced.has_changed().unwrap_or(false) {
            let profile = encoded(&self.announced.borrow_and_update());
            chitchat.self_node_state().set(PROFILE_KEY, profile.expect("its length was checked when it was announced"));
        }
        let now = self.clock.elapsed();
        for (id, state) in chitchat.node_states() {
            let Ok(node) = id.node_id.parse() else {
                tracing::warn!(id = &*id.node_id, "gossip of something that is no node");
                continue;
            };
            let profile = state.get(PROFILE_KEY).and_then(decoded);
            self.roster.heard(node, id.generation_id, state.heartbeat().into(), profile, now);
        }
        if let Some(members) = self.roster.tick(now) {
            self.published.send_replace(Arc::new(members));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_travel_as_text() {
        let profile = Profile::at("127.0.0.1:1".parse().unwrap());
        let text = encoded(&profile).unwrap();
        assert_eq!(decoded(&text), Some(profile));
        for bad in [&text[1..], "zz", "", "é0"] {
            assert_eq!(decoded(bad), None, "{bad}");
        }
    }
}
