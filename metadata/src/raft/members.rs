//! Who takes part, and how that changes: one change at a time, through a joint membership where voters change, so that no
//! two majorities of before and after can decide apart from each other.
//!
//! ```text
//! (admitted, an id) --Learn--> learner, is sent the log --Seat, once caught up--> voter --Leave--> (nobody)
//!                                       ^-----------------Unseat------------------+
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;
use std::time::Duration;

use cairn_core::{LogIndex, NodeId};
use minicbor::{Decode, Encode};
use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use openraft_rt::Instant as _;

use super::type_config::Voter;
use super::{MEMBERS_MAX, Raft};

/// A change of who takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum MemberChange {
    /// A new member is sent the log, and does not vote.
    #[n(0)]
    Learn {
        /// The id that it was admitted under.
        #[n(0)]
        member: u64,
        /// Where it runs.
        #[n(1)]
        node: NodeId,
    },
    /// A member votes from now on, in place of any other member of its node. It must have caught up.
    #[n(1)]
    Seat {
        /// Which one.
        #[n(0)]
        member: u64,
    },
    /// A member is sent the log as before, and votes no more.
    #[n(3)]
    Unseat {
        /// Which one.
        #[n(0)]
        member: u64,
    },
    /// A member takes part no more. A leader that leaves hands the lead over.
    #[n(2)]
    Leave {
        /// Which one.
        #[n(0)]
        member: u64,
    },
}

/// A member, as a voter sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberStatus {
    /// The id that it was admitted under.
    pub member: u64,
    /// Where it runs.
    pub node: NodeId,
    /// Whether it votes.
    pub votes: bool,
    /// Up to where its log is known to be the leader's. Only the leader knows.
    pub matched: Option<LogIndex>,
}

/// Why members are as they were, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, thiserror::Error)]
pub(crate) enum ChangeRefused {
    /// Ask the leader.
    #[n(0)]
    #[error("this voter does not lead")]
    NotLeader,
    /// It cannot be done, or not now: another change is under way, the member is unknown, it has not caught up.
    #[n(1)]
    #[error("{0}")]
    Refused(#[n(0)] String),
}

impl Raft {
    /// All members of the newest membership that this voter has.
    pub(crate) fn members(&self) -> Vec<MemberStatus> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let voters: BTreeSet<u64> = metrics.membership_config.voter_ids().collect();
        let matched = |id: &u64| metrics.replication.as_ref()?.get(id)?.as_ref().map(|last| LogIndex(last.index));
        let member = |(id, voter): (&u64, &Voter)| MemberStatus {
            member: *id,
            node: voter.node,
            votes: voters.contains(id),
            matched: matched(id),
        };
        metrics.membership_config.nodes().map(member).collect()
    }

    /// How long ago each other member last answered this one, if it leads.
    pub(crate) fn heard(&self) -> BTreeMap<u64, Duration> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let others = metrics.heartbeat.iter().flatten().filter(|(member, _)| **member != self.id);
        others.filter_map(|(member, heard)| Some((*member, heard.as_ref()?.elapsed()))).collect()
    }

    /// How long ago the leader was heard of, if this member does not lead.
    pub(crate) fn leader_heard(&self) -> Option<Duration> {
        let heard = *self.leader_heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.filter(|_| !self.leads()).map(|heard| heard.elapsed())
    }

    /// Makes a change, if this voter leads. Making it again changes nothing. `patience` is how long a member may take to
    /// catch up.
    pub(crate) async fn change_members(&self, change: MemberChange, patience: Duration) -> Result<(), ChangeRefused> {
        let members = self.members();
        let known = |id: u64| members.iter().find(|status| status.member == id);
        // Whoever gives up a vote alone is still sent the log.
        let retain = matches!(change, MemberChange::Unseat { .. });
        let change = match change {
            MemberChange::Learn { member, .. } if known(member).is_some() => return Ok(()),
            MemberChange::Learn { .. } if members.len() >= MEMBERS_MAX => {
                return Err(ChangeRefused::Refused(format!("there are {MEMBERS_MAX} members")));
            }
            MemberChange::Learn { member, node } => ChangeMembers::AddNodes(BTreeMap::from([(member, Voter { node })])),
            MemberChange::Seat { member } => {
                let status = known(member).ok_or_else(|| unknown(member))?;
                let replaced: BTreeSet<u64> = members
                    .iter()
                    .filter(|other| other.node == status.node && other.votes && other.member != member)
                    .map(|other| other.member)
                    .collect();
                if status.votes && replaced.is_empty() {
                    return Ok(());
                }
                if member != self.id {
                    self.caught_up(member, patience).await?;
                }
                ChangeMembers::Batch(vec![
                    ChangeMembers::AddVoterIds(BTreeSet::from([member])),
                    ChangeMembers::RemoveVoters(replaced),
                ])
            }
            MemberChange::Unseat { member } => match known(member) {
                Some(status) if status.votes => ChangeMembers::RemoveVoters(BTreeSet::from([member])),
                Some(_) => return Ok(()),
                None => return Err(unknown(member)),
            },
            MemberChange::Leave { member } => match known(member) {
                None => return Ok(()),
                Some(status) if status.votes => ChangeMembers::RemoveVoters(BTreeSet::from([member])),
                Some(_) => ChangeMembers::RemoveNodes(BTreeSet::from([member])),
            },
        };
        match self.raft.change_membership(change, retain).await {
            Ok(_) => Ok(()),
            Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(error))) => Err(match error {
                ChangeMembershipError::InProgress(_) => ChangeRefused::Refused("another change is under way".into()),
                other => ChangeRefused::Refused(other.to_string()),
            }),
            Err(RaftError::APIError(ClientWriteError::PreconditionFailed(error))) => {
                Err(ChangeRefused::Refused(error.to_string()))
            }
            Err(RaftError::APIError(_)) => Err(ChangeRefused::NotLeader),
            Err(RaftError::Fatal(error)) => Err(ChangeRefused::Refused(error.to_string())),
        }
    }

    /// Hands the lead to another voter. What comes of it shows in who leads.
    pub(crate) async fn transfer(&self, to: u64) -> Result<(), String> {
        self.raft.trigger().transfer_leader(to).await.map_err(|error| error.to_string())
    }

    /// Waits until a member has what the log holds now. A voter that lags would be counted on before it can be.
    async fn caught_up(&self, member: u64, patience: Duration) -> Result<(), ChangeRefused> {
        let wanted = self.last_index();
        let mut metrics = self.raft.metrics();
        let caught_up = async {
            loop {
                {
                    let now = metrics.borrow_watched();
                    let replication = now.replication.as_ref().ok_or(ChangeRefused::NotLeader)?;
                    let matched = replication.get(&member).ok_or_else(|| unknown(member))?;
                    if matched.as_ref().map(|last| last.index) >= wanted {
                        return Ok(());
                    }
                }
                metrics.changed().await.map_err(|_| ChangeRefused::Refused("raft has stopped".into()))?;
            }
        };
        let late = || ChangeRefused::Refused(format!("member {member} has not caught up within {patience:?}"));
        tokio::time::timeout(patience, caught_up).await.unwrap_or_else(|_| Err(late()))
    }
}

fn unknown(member: u64) -> ChangeRefused {
    ChangeRefused::Refused(format!("there is no member {member}"))
}
