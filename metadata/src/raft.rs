//! The one room that knows openraft. Its version is pinned, and none of its types leave this module.
//!
//! ```text
//! entry -> Raft::write -> openraft -> LogStore -> operation log -> acknowledged -> committed
//!                                                                                     |
//!                outcomes <- reply, in the task that applied <- StateMachine <--------+
//!
//! openraft <- Raft::answer <- what other voters say        openraft -> Network -> what is said to them    (message)
//! ```

mod answer;
mod format;
mod install;
mod log_store;
mod members;
mod membership;
mod message;
mod network;
mod runtime;
mod snapshot;
mod state_machine;
mod type_config;
mod unwritten;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use cairn_core::{Entropy, LogIndex, NodeId};
use cairn_machine::Outcome;
use cairn_oplog::{OpLog, Recovered};
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ClientWriteError, InitializeError, LinearizableReadError, RaftError};
use openraft::raft::ClientWriteResult;
use openraft::{Config, ReadPolicy, SnapshotPolicy};
use tokio::time::Instant;

pub use format::FormatError;
pub(crate) use format::{
    AppliedState, CHECKPOINTS_MAX, Checkpoint, ENTRY_HEAD_BYTES, Kept, KeptEntry, KeptMembership, MEMBERS_MAX, Mark,
    Position, begin_entry, kept_entry,
};
pub(crate) use install::{Installer, Offer, OfferReply};
pub(crate) use log_store::OpenError;
pub(crate) use members::ChangeRefused;
pub use members::{MemberChange, MemberStatus};
pub(crate) use snapshot::NewestMark;

use crate::applier::Applier;
use crate::config::NodeConfig;
use crate::error::NodeFailure;
use crate::failure::Failure;
use crate::follow::{Receiver, follow};
use crate::tasks::Tasks;
use log_store::LogStore;
use network::Network;
use runtime::Runtime;
use state_machine::StateMachine;
use type_config::{EncodedBatch, Reply, TypeConfig, Voter};

/// How long a call with an offer of runs may take. Opening what has come and saying so in the log is part of the last one.
const INSTALL_CALL_MS: u64 = 20_000;

/// Called once with what came of a write, in the task that applied it. Dropped uncalled when Raft stops: then nobody
/// knows.
pub(crate) type WriteDone = Box<dyn FnOnce(Result<(LogIndex, Vec<Vec<Outcome>>), WriteError>) + Send>;

/// Why a write has no outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WriteError {
    /// Another voter leads, or none. With its number a request can be handed in again: it has one effect.
    #[error("this voter does not lead")]
    NotLeader,
    /// The leader has too many proposals waiting. It did not take this one.
    #[error("the leader has too much to do")]
    Busy,
    /// Some member does not know it: it needs this version of the function. The leader did not take it.
    #[error("not all members know version {0} of the state machine")]
    NotYet(u8),
}

/// Why a read index could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReadIndexError {
    /// Ask again when there is a leader.
    #[error("this voter does not lead")]
    NotLeader,
    /// Too few voters answered in time.
    #[error("{0}")]
    Unavailable(String),
    /// Raft has ended, and nothing will come of asking again.
    #[error("raft has stopped")]
    Stopped,
}

/// Who leads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Leadership {
    /// The leader, as far as this voter knows.
    pub(crate) leader: Option<u64>,
    /// The node that it runs on.
    pub(crate) node: Option<NodeId>,
    /// In which term.
    pub(crate) term: u64,
    /// How many members vote.
    pub(crate) voters: usize,
}

/// What Raft is built from.
pub(crate) struct Parts<'a> {
    pub(crate) config: &'a NodeConfig,
    pub(crate) log: OpLog,
    pub(crate) recovered: &'a Recovered,
    pub(crate) applier: Applier,
    pub(crate) newest: NewestMark,
    pub(crate) installer: Installer,
    pub(crate) failure: Failure,
    pub(crate) entropy: &'a dyn Entropy,
    pub(crate) tasks: &'a Tasks,
    /// Whether the log can only be read, and what this voter says to itself is kept in memory alone.
    pub(crate) forgetful: bool,
}

/// The Raft group, seen from this voter. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Raft {
    voter: Voter,
    id: u64,
    raft: openraft::Raft<TypeConfig, StateMachine>,
    leadership: Receiver<Leadership>,
    /// When a leader's message was taken last.
    leader_heard: Arc<Mutex<Option<Instant>>>,
}

impl std::fmt::Debug for Raft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Raft").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Raft does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RaftStartError {
    /// What lies in the log cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Raft refuses it.
    #[error("{0}")]
    Raft(String),
}

impl Raft {
    /// Starts on what was found. Entries that are known to be committed are applied before this returns; the rest once
    /// a leader is there.
    pub(crate) async fn start(parts: Parts<'_>) -> Result<Self, RaftStartError> {
        let Parts { config, log, recovered, applier, newest, installer, failure, entropy, tasks, forgetful } = parts;
        let store = LogStore::open(log, recovered, failure.clone(), tasks.clone(), forgetful).await?;
        let state_machine = StateMachine::new(applier, newest, installer, failure.clone());
        let raft_config = raft_config(config).map_err(|error| RaftStartError::Raft(error.to_string()))?;
        // Every task that openraft starts inherits its randomness from here.
        let seed = entropy.next_u64();
        let network = Network { id: config.voter, node: config.node, peers: config.peers.clone() };
        let start = openraft::Raft::new(config.voter, Arc::new(raft_config), network, store, state_machine);
        let start = Runtime::seeded(seed, start);
        let raft = Box::pin(start).await.map_err(|error| RaftStartError::Raft(error.to_string()))?;
        let leadership = follow_leadership(&raft, failure, tasks);
        let started = Self {
            voter: Voter { node: config.node },
            id: config.voter,
            raft,
            leadership,
            leader_heard: Arc::default(),
        };
        started.elect_alone().await.map_err(RaftStartError::Raft)?;
        Ok(started)
    }

    /// A voter that is alone needs not wait to hear of others before it takes the lead.
    async fn elect_alone(&self) -> Result<(), String> {
        let voters = |state: &openraft::RaftState<TypeConfig>| -> Vec<u64> {
            state.membership_state.effective().voter_ids().collect()
        };
        let voters = self.raft.with_raft_state(voters).await.map_err(|error| error.to_string())?;
        if voters == [self.id] {
            self.raft.trigger().elect(false).await.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Whether a membership was ever written here.
    pub(crate) async fn is_initialized(&self) -> Result<bool, String> {
        self.raft.is_initialized().await.map_err(|error| error.to_string())
    }

    /// Writes the first membership: this voter alone. Doing it again changes nothing.
    pub(crate) async fn initialize(&self) -> Result<(), String> {
        match self.raft.initialize(BTreeMap::from([(self.id, self.voter)])).await {
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => {}
            Err(error) => return Err(error.to_string()),
        }
        self.elect_alone().await
    }

    /// Proposes an entry. `done` hears what came of it.
    pub(crate) async fn write(&self, entry: Bytes, done: WriteDone) {
        let reply = Reply(Box::new(move |result: ClientWriteResult<TypeConfig>| {
            done(match result {
                Ok(response) => Ok((LogIndex(response.log_id.index), response.data.0)),
                // Whether a discarded entry was committed by another leader is not known; neither is it needed, since
                // a request that is handed in again has one effect.
                Err(ClientWriteError::ForwardToLeader(_) | ClientWriteError::LogEntryDiscarded(_)) => {
                    Err(WriteError::NotLeader)
                }
                Err(error) => {
                    tracing::error!(%error, "a batch was answered as only a change of members can be");
                    Err(WriteError::NotLeader)
                }
            });
        }));
        if let Err(error) = self.raft.client_write_ff(EncodedBatch(entry), Some(reply)).await {
            // The reply was dropped with the message, so everyone who waits has heard that nothing is known.
            tracing::debug!(%error, "an entry was proposed to a node that has stopped");
        }
    }

    /// An index that contains everything that was acknowledged before this was asked: ReadIndex. It may not be applied
    /// yet.
    pub(crate) async fn read_index(&self) -> Result<LogIndex, ReadIndexError> {
        match self.raft.get_read_linearizer(ReadPolicy::ReadIndex).await {
            Ok(linearizer) => Ok(LogIndex(linearizer.read_log_id().index())),
            Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(_))) => Err(ReadIndexError::NotLeader),
            Err(RaftError::Fatal(_)) => Err(ReadIndexError::Stopped),
            Err(error) => Err(ReadIndexError::Unavailable(error.to_string())),
        }
    }

    /// Follows who leads.
    pub(crate) fn leadership(&self) -> Receiver<Leadership> {
        self.leadership.clone()
    }

    /// The id under which this node takes part.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Whether this voter leads, as far as it knows.
    pub(crate) fn leads(&self) -> bool {
        self.leadership.borrow().leader == Some(self.id)
    }

    /// Raft learns of the newest mark, and then does without the log up to an index.
    pub(crate) async fn purge(&self, up_to: Position) -> Result<(), String> {
        let trigger = self.raft.trigger();
        trigger.snapshot().await.map_err(|error| error.to_string())?;
        let mut snapshot = self.raft.watch_snapshot_progress();
        let enough = Some(type_config::LogId::from(up_to));
        snapshot.wait_until_ge(&enough).await.map_err(|error| error.to_string())?;
        trigger.purge_log(up_to.index).await.map_err(|error| error.to_string())
    }

    /// The last entry of the log, as far as Raft has said.
    pub(crate) fn last_index(&self) -> Option<u64> {
        self.raft.data_metrics().borrow_watched().last_log.map(|id| id.index)
    }

    /// The last entry that the log does without.
    pub(crate) fn purged_index(&self) -> Option<u64> {
        self.raft.data_metrics().borrow_watched().purged.map(|id| id.index)
    }

    /// Stops Raft. What it had queued in the log is still written.
    pub(crate) async fn shutdown(&self) -> Result<(), String> {
        self.raft.shutdown().await.map_err(|error| error.to_string())
    }
}

fn raft_config(config: &NodeConfig) -> Result<Config, openraft::ConfigError> {
    let timers = config.timers;
    Config {
        cluster_name: "cairn".into(),
        heartbeat_interval: timers.heartbeat_ms,
        election_timeout_min: timers.election_ms_min,
        election_timeout_max: timers.election_ms_max,
        // The keeper of the runs decides when one is cut, and how much of the log stays as history behind it.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX,
        enable_pre_vote: Some(true),
        // A voter that lost its log must never be caught up under its old id.
        allow_log_reversion: Some(false),
        // Of one call: a member that fetches runs answers at once how far it is.
        install_snapshot_timeout: INSTALL_CALL_MS,
        // A restarted leader is elected again: only the entry that a new leader commits shows what was committed before.
        enable_leader_restore: Some(false),
        ..Config::default()
    }
    .validate()
}

/// Tells who leads, and fails the node when Raft stops by itself.
fn follow_leadership(
    raft: &openraft::Raft<TypeConfig, StateMachine>,
    failure: Failure,
    tasks: &Tasks,
) -> Receiver<Leadership> {
    let (sender, receiver) = follow(Leadership::default());
    let mut metrics = raft.server_metrics();
    let stopping = tasks.stopping();
    tasks.spawn(async move {
        loop {
            let now = {
                let metrics = metrics.borrow_and_update();
                let leader = metrics.current_leader;
                let member = leader.and_then(|id| metrics.membership_config.get_node(&id));
                let voters = metrics.membership_config.voter_ids().count();
                let term = metrics.vote.leader_id.term;
                Leadership { leader, node: member.map(|voter| voter.node), term, voters }
            };
            sender.change(|known| {
                let changed = *known != now;
                *known = now;
                changed
            });
            tokio::select! {
                biased;
                () = stopping.cancelled() => return,
                changed = metrics.changed() => if changed.is_err() {
                    failure.fail(NodeFailure::Raft("its task has ended".into()));
                    return;
                },
            }
        }
    });
    receiver
}
