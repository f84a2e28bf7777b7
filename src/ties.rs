//! What ties this process to the other nodes: connections, who is alive, Raft's messages, drives across the network.
//!
//! ```text
//! listener: chunks of this node's drives | Raft's calls | gossip | enlisting
//! pool: to everybody who was heard of    -> RemoteDrive, RaftPeers, enlistment
//! ```
//!
//! - [`raft_calls`]: the metadata's way to its peers
//! - [`control`]: what else nodes ask of each other; [`enlistment`]: how a node gets its part in the log; [`telling`]: how safe
//!   the data is
//! - [`remote_drives`]: the drives of others among our own
//! - [`steward`]: who votes
//!
//! A process that is alone has none of this.

pub mod control;
pub mod enlistment;
pub mod raft_calls;
pub mod remote_drives;
pub mod steward;
pub mod telling;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use cairn_cluster::membership::gossip::{GossipMembership, GossipOptions, GossipService};
use cairn_cluster::membership::heartbeats::{HeartbeatMembership, HeartbeatOptions, Heartbeats};
use cairn_cluster::membership::{DriveSummary, Members};
use cairn_cluster::{
    ChunkService, ConnectionKey, Detection, Listener, ListenerOptions, Membership, Network, Pool, Profile, ServiceId,
    Services, Standing,
};
use cairn_core::{Clock, ClusterId, Drives, Entropy, NodeId};
use cairn_repair::{NodeStanding, Standings};
use cairn_storage_node::ClusterSecret;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::control::Control;
use self::enlistment::Enlisting;
use self::raft_calls::{RaftCalls, RaftPeers};
use self::telling::Telling;

/// How nodes hear of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hearing {
    /// By gossip.
    Gossip,
    /// Each from each, in the same order every time: for simulations.
    Heartbeats,
}

/// Who hears.
#[derive(Debug)]
enum Hearer {
    Gossip(GossipMembership),
    Heartbeats(HeartbeatMembership),
}

impl Hearer {
    fn membership(&self) -> &dyn Membership {
        match self {
            Self::Gossip(membership) => membership,
            Self::Heartbeats(membership) => membership,
        }
    }
}

/// What ties are made of.
#[derive(Debug)]
pub struct TiesOptions {
    /// How nodes hear of each other.
    pub hearing: Hearing,
    /// The cluster.
    pub cluster: ClusterId,
    /// This node.
    pub node: NodeId,
    /// Which start of it.
    pub generation: u64,
    /// Where it listens for other nodes.
    pub listen: SocketAddr,
    /// Where anybody of the cluster may be.
    pub seeds: Vec<SocketAddr>,
    /// When silence means what.
    pub detection: Detection,
    /// What it says of itself; its address is filled in.
    pub profile: Profile,
    /// Its own drives, which others may ask for.
    pub own_drives: Arc<Drives>,
}

/// The ties of a running process.
#[derive(Debug)]
pub struct Ties {
    /// Connections to others.
    pub pool: Arc<Pool>,
    /// Raft's way to others.
    pub peers: Arc<RaftPeers>,
    /// Raft's calls from others.
    pub raft: Arc<RaftCalls>,
    /// Nodes that ask for their part.
    pub enlisting: Arc<Enlisting>,
    /// Nodes that ask how safe the data is.
    pub telling: Arc<Telling>,
    /// Where anybody of the cluster may be, as the configuration says.
    pub seeds: Vec<SocketAddr>,
    /// Cancelled when this process stops.
    pub stop: CancellationToken,
    /// What runs in the background.
    pub tasks: TaskTracker,
    listener: Listener,
    hearer: Hearer,
    profile: Profile,
}

impl Ties {
    /// Listens, and begins to hear of others.
    pub async fn start(
        options: TiesOptions,
        secret: &ClusterSecret,
        network: Arc<dyn Network>,
        (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>),
    ) -> anyhow::Result<Self> {
        let key = ConnectionKey::derive(secret.expose(), options.cluster);
        let pool = Pool::new(options.node, key.clone(), network.clone(), entropy.clone());
        let (raft, enlisting, telling) = (Arc::new(RaftCalls::default()), Enlisting::new(), Telling::new());
        let services = Services::default()
            .with(ServiceId::CHUNKS, ChunkService::new(options.own_drives, &*entropy))
            .with(ServiceId::RAFT, raft.clone())
            .with(ServiceId::CONTROL, Arc::new(Control { enlisting: enlisting.clone(), telling: telling.clone() }));
        let listening = |services| ListenerOptions { node: options.node, key, address: options.listen, services };
        let listen = async |services| {
            let listener = Listener::start(listening(services), &*network, entropy).await;
            listener.with_context(|| format!("cannot listen for other nodes on {}", options.listen))
        };
        let (listener, hearer, profile) = match options.hearing {
            Hearing::Gossip => {
                let (gossip, inbox) = GossipService::new();
                let listener = listen(services.with(ServiceId::MEMBERSHIP, gossip)).await?;
                let profile = Profile { address: listener.address(), ..options.profile };
                let gossip = GossipOptions {
                    cluster: options.cluster,
                    generation: options.generation,
                    address: listener.address(),
                    seeds: options.seeds.clone(),
                    detection: options.detection,
                    profile: profile.clone(),
                };
                let membership = GossipMembership::start(gossip, pool.clone(), inbox, clock).await?;
                (listener, Hearer::Gossip(membership), profile)
            }
            Hearing::Heartbeats => {
                let profile = Profile { address: options.listen, ..options.profile };
                let beating = HeartbeatOptions {
                    node: options.node,
                    generation: options.generation,
                    seeds: options.seeds.clone(),
                    detection: options.detection,
                    profile: profile.clone(),
                };
                let heartbeats = Heartbeats::new(beating, clock)?;
                let listener = listen(services.with(ServiceId::MEMBERSHIP, heartbeats.service())).await?;
                (listener, Hearer::Heartbeats(heartbeats.start(pool.clone())), profile)
            }
        };
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(remote_drives::keep_addresses(pool.clone(), hearer.membership().watch(), stop.clone()));
        let peers = RaftPeers::new(pool.clone());
        let seeds = options.seeds.into_iter().filter(|seed| *seed != listener.address()).collect();
        Ok(Self { pool, peers, raft, enlisting, telling, seeds, stop, tasks, listener, hearer, profile })
    }

    /// Who is alive, told at each change.
    pub fn members(&self) -> watch::Receiver<Arc<Members>> {
        self.hearer.membership().watch()
    }

    /// The same in the words of those who look after the drives. Told from now on, for as long as this process runs.
    pub fn standings(&self) -> watch::Receiver<Standings> {
        let mut members = self.members();
        let (told, standings) = watch::channel(standings_of(&members.borrow_and_update(), self.pool.node()));
        let (me, stop) = (self.pool.node(), self.stop.clone());
        self.tasks.spawn(async move {
            while let Some(Ok(())) = stop.run_until_cancelled(members.changed()).await {
                told.send_replace(standings_of(&members.borrow_and_update(), me));
            }
        });
        standings
    }

    /// What this node says of itself.
    pub fn profile(&self) -> Profile {
        self.profile.clone()
    }

    /// Everybody who may be asked: those that are alive, and then those that the configuration names.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let members = self.hearer.membership().members();
        let alive = members.with(Standing::Alive).filter_map(|member| Some(member.profile.as_ref()?.address));
        let mut addresses: Vec<SocketAddr> = alive.collect();
        for seed in &self.seeds {
            if !addresses.contains(seed) {
                addresses.push(*seed);
            }
        }
        addresses
    }

    /// Says under which id this node takes part.
    pub fn announce_member(&mut self, member: u64) -> anyhow::Result<()> {
        self.profile.member = Some(member);
        Ok(self.hearer.membership().announce(self.profile.clone())?)
    }

    /// Stops listening and asking. What answered through it must not be needed any more.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        if let Hearer::Gossip(membership) = self.hearer {
            membership.stop().await;
        }
        self.listener.stop().await;
    }
}

/// What is thought of everybody, this node among them.
fn standings_of(members: &Members, me: NodeId) -> Standings {
    let standing = |standing| match standing {
        Standing::Alive => NodeStanding::Alive,
        Standing::Suspect => NodeStanding::Suspect,
        Standing::Dead => NodeStanding::Dead,
    };
    let others = members.0.values().map(|member| (member.node, standing(member.standing)));
    others.chain([(me, NodeStanding::Alive)]).collect()
}

/// How drives say in gossip that they are.
pub fn summaries(drives: &Drives) -> Vec<DriveSummary> {
    let summary = |drive| {
        let health = drives.get(drive).ok()?.health();
        Some(DriveSummary { drive, writable: health.writable.is_ok(), available_bytes: health.available_bytes })
    };
    drives.ids().into_iter().filter_map(summary).collect()
}

/// How often a living node is heard of.
pub const GOSSIP_EVERY: Duration = Duration::from_millis(500);
