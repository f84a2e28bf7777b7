//! Membership by heartbeats from each node to each: the twin of [`gossip`](super::gossip) for simulations.
//!
//! It runs over the same connections and the same [roster](super::roster), and draws nothing: under a simulated clock and
//! network a seed decides everything. Each answer tells whom the other knows, so one seed is enough to find all. It costs
//! as many messages as there are pairs of nodes, which is why a large cluster gossips.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cairn_core::{Clock, NodeId};
use futures::FutureExt as _;
use futures::future::{BoxFuture, join_all};
use minicbor::{Decode, Encode};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{Detection, Members, Membership, Profile, ProfileTooLong, Roster};
use crate::call::{Call, Target};
use crate::class::Class;
use crate::client::pool::Pool;
use crate::service::{Declined, Failure, Method, Reply, Request, Service, ServiceId};

/// A heartbeat; the answer is one too.
const HEARTBEAT: Method = Method(2);

/// Nodes that one heartbeat tells of.
const TOLD_MAX: usize = 256;

/// What each end says.
#[derive(Debug, Encode, Decode)]
struct Beat {
    #[n(0)]
    generation: u64,
    #[n(1)]
    number: u64,
    #[n(2)]
    profile: Profile,
    /// Where others are, in the words of their profiles.
    #[n(3)]
    others: Vec<Other>,
}

#[derive(Debug, Encode, Decode)]
struct Other {
    #[n(0)]
    node: NodeId,
    #[n(1)]
    generation: u64,
    #[n(2)]
    profile: Profile,
}

/// How heartbeats are run.
#[derive(Debug, Clone)]
pub struct HeartbeatOptions {
    /// This node.
    pub node: NodeId,
    /// Which start of it: greater at each.
    pub generation: u64,
    /// Where anybody of the cluster may be.
    pub seeds: Vec<SocketAddr>,
    /// When silence means what; also how often to beat.
    pub detection: Detection,
    /// What to say of ourselves.
    pub profile: Profile,
}

/// What the service and the beating task share.
struct Shared {
    node: NodeId,
    generation: u64,
    state: Mutex<State>,
    published: watch::Sender<Arc<Members>>,
    clock: Arc<dyn Clock>,
}

struct State {
    roster: Roster,
    number: u64,
    profile: Profile,
}

/// Takes heartbeats from others. Stands behind the listener under [`ServiceId::MEMBERSHIP`].
pub struct HeartbeatService(Arc<Shared>);

impl fmt::Debug for HeartbeatService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeartbeatService").field("node", &self.0.node).finish_non_exhaustive()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next heartbeat, for anybody.
    fn beat(&self) -> Vec<u8> {
        let mut state = self.state();
        state.number += 1;
        let others = state.roster.members().0.into_values();
        let others = others.filter_map(|member| {
            let (node, generation) = (member.node, member.generation);
            member.profile.map(|profile| Other { node, generation, profile })
        });
        let beat = Beat {
            generation: self.generation,
            number: state.number,
            profile: state.profile.clone(),
            others: others.take(TOLD_MAX).collect(),
        };
        minicbor::to_vec(beat).expect("encoding into memory does not fail")
    }

    fn heard(&self, from: NodeId, bytes: &[u8]) -> Result<(), minicbor::decode::Error> {
        let beat: Beat = minicbor::decode(bytes)?;
        let now = self.clock.elapsed();
        let mut state = self.state();
        state.roster.heard(from, beat.generation, beat.number, Some(beat.profile), now);
        for other in beat.others.into_iter().take(TOLD_MAX) {
            // Told by another: it makes a node known, and never alive.
            if !state.roster.members().0.contains_key(&other.node) {
                state.roster.heard(other.node, other.generation, 0, Some(other.profile), now);
            }
        }
        Ok(())
    }

    fn tick(&self) {
        let members = self.state().roster.tick(self.clock.elapsed());
        if let Some(members) = members {
            self.published.send_replace(Arc::new(members));
        }
    }
}

impl Service for HeartbeatService {
    fn answer(&self, request: Request) -> BoxFuture<'_, Result<Reply, Failure>> {
        let answer = || {
            if request.method != HEARTBEAT {
                return Err(Declined::NoMethod);
            }
            self.0.heard(request.from, &request.head).map_err(|_| Declined::NotUnderstood)?;
            Ok(Reply::head(self.0.beat()))
        };
        std::future::ready(answer().map_err(Failure::from)).boxed()
    }
}

/// Membership by heartbeats. Ends when it is dropped.
pub struct HeartbeatMembership {
    shared: Arc<Shared>,
    stopping: CancellationToken,
}

impl fmt::Debug for HeartbeatMembership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeartbeatMembership").field("node", &self.shared.node).finish_non_exhaustive()
    }
}

/// Everything before the listener exists.
#[derive(Debug)]
pub struct Heartbeats {
    options: HeartbeatOptions,
    service: Arc<HeartbeatService>,
}

impl Heartbeats {
    /// The service is made first, because the listener needs it.
    pub fn new(options: HeartbeatOptions, clock: Arc<dyn Clock>) -> Result<Self, ProfileTooLong> {
        options.profile.encode()?;
        let roster = Roster::new(options.node, options.detection);
        let state = Mutex::new(State { roster, number: 0, profile: options.profile.clone() });
        let published = watch::channel(Arc::default()).0;
        let shared = Shared { node: options.node, generation: options.generation, state, published, clock };
        Ok(Self { options, service: Arc::new(HeartbeatService(Arc::new(shared))) })
    }

    /// What stands behind the listener.
    pub fn service(&self) -> Arc<HeartbeatService> {
        self.service.clone()
    }

    /// Begins to beat.
    pub fn start(self, pool: Arc<Pool>) -> HeartbeatMembership {
        let shared = self.service.0.clone();
        let stopping = CancellationToken::new();
        let beating = beat(shared.clone(), pool, self.options.seeds, self.options.detection.interval);
        let stop = stopping.clone();
        tokio::spawn(async move { stop.run_until_cancelled(beating).await });
        HeartbeatMembership { shared, stopping }
    }
}

/// Each interval: one heartbeat to each node that is known, and to each seed that is none of them.
async fn beat(shared: Arc<Shared>, pool: Arc<Pool>, seeds: Vec<SocketAddr>, every: Duration) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        shared.tick();
        let members = shared.state().roster.members();
        let known: BTreeMap<SocketAddr, NodeId> =
            members.0.values().filter_map(|member| Some((member.profile.as_ref()?.address, member.node))).collect();
        let own = shared.state().profile.address;
        let unknown = seeds.iter().filter(|seed| **seed != own && !known.contains_key(seed)).map(|seed| (*seed, None));
        let targets = known.iter().map(|(address, node)| (*address, Some(*node))).chain(unknown);
        let calls: Vec<_> = targets
            .map(|(address, node)| {
                let (shared, pool) = (shared.clone(), pool.clone());
                async move {
                    let call = Call::new(ServiceId::MEMBERSHIP, HEARTBEAT, shared.beat());
                    match pool.call(Target::At(address), Class::Control, call, every).await {
                        Ok(answer) if node.is_none_or(|node| node == answer.from) => {
                            if let Err(error) = shared.heard(answer.from, &answer.head) {
                                tracing::warn!(from = %answer.from, %error, "a heartbeat that makes no sense");
                            }
                        }
                        Ok(answer) => tracing::debug!(%address, found = %answer.from, "another node lives there now"),
                        Err(error) => tracing::debug!(%address, %error, "a heartbeat did not arrive"),
                    }
                }
            })
            .collect();
        join_all(calls).await;
        shared.tick();
    }
}

impl Drop for HeartbeatMembership {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

impl Membership for HeartbeatMembership {
    fn node(&self) -> NodeId {
        self.shared.node
    }

    fn members(&self) -> Arc<Members> {
        self.shared.published.borrow().clone()
    }

    fn watch(&self) -> watch::Receiver<Arc<Members>> {
        self.shared.published.subscribe()
    }

    fn announce(&self, profile: Profile) -> Result<(), ProfileTooLong> {
        profile.encode()?;
        self.shared.state().profile = profile;
        Ok(())
    }
}
