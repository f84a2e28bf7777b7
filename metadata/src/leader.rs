//! The way to the leader, from any node: to itself where it leads, else over the network. A question that is under way
//! when the lead changes is given up at once: what it asked for is asked again, of the next one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cairn_core::{Entropy, LogIndex, NodeId};
use minicbor::{Decode, Encode};

use crate::follow::Receiver;
use crate::peers::{PeerCall, PeerError, Peers};
use crate::raft::{ChangeRefused, Leadership, MemberChange, Raft, ReadIndexError};
use crate::wire::Message;

/// How long nobody asks again after there was no leader, or one that no longer leads; doubled each time.
const PAUSE_MIN: Duration = Duration::from_millis(5);

/// And at most.
const PAUSE_MAX: Duration = Duration::from_millis(400);

/// The way to the leader. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct LeaderWay {
    pub(crate) raft: Raft,
    pub(crate) peers: Arc<dyn Peers>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) deadline: Duration,
}

/// Who leads, as seen from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lead {
    /// This node.
    Here,
    /// Another one.
    There {
        /// The member.
        member: u64,
        /// Where it runs.
        node: NodeId,
    },
    /// Nobody that is known.
    Nobody,
}

/// The question for an index that holds everything that was acknowledged before it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(crate) struct IndexQuestion {
    /// The member that is meant.
    #[n(0)]
    pub(crate) to: u64,
}

impl Message for IndexQuestion {
    const WHAT: &'static str = "question for an index";
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) enum IndexAnswer {
    /// The index.
    #[n(0)]
    Index(#[n(0)] LogIndex),
    /// It does not lead.
    #[n(1)]
    NotLeader,
    /// Too few voters answered it.
    #[n(2)]
    Unavailable(#[n(0)] String),
}

impl Message for IndexAnswer {
    const WHAT: &'static str = "index";
}

/// The request to change members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(crate) struct ChangeRequest {
    /// The member that is meant.
    #[n(0)]
    pub(crate) to: u64,
    /// The change.
    #[n(1)]
    pub(crate) change: MemberChange,
}

impl Message for ChangeRequest {
    const WHAT: &'static str = "change of members";
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct ChangeAnswer {
    /// Why not, where it did not.
    #[n(0)]
    pub(crate) refused: Option<ChangeRefused>,
}

impl Message for ChangeAnswer {
    const WHAT: &'static str = "reply to a change of members";
}

impl LeaderWay {
    /// Who leads.
    pub(crate) fn lead(&self) -> Lead {
        let known = *self.raft.leadership().borrow();
        match (known.leader, known.node) {
            (Some(leader), _) if leader == self.raft.id() => Lead::Here,
            (Some(member), Some(node)) => Lead::There { member, node },
            _ => Lead::Nobody,
        }
    }

    /// Calls another node that leads. Given up when it is no longer known to lead.
    pub(crate) async fn call(
        &self,
        member: u64,
        node: NodeId,
        call: PeerCall,
        body: Bytes,
    ) -> Result<Bytes, PeerError> {
        let mut leadership = self.raft.leadership();
        let reply = self.peers.call(node, call, body, self.deadline);
        tokio::select! {
            biased;
            reply = tokio::time::timeout(self.deadline, reply) => {
                reply.unwrap_or_else(|_| Err(PeerError::Unreachable(format!("nothing within {:?}", self.deadline))))
            }
            _ = leadership.wait_for(|known| known.leader != Some(member)) => {
                Err(PeerError::Unreachable(format!("member {member} no longer leads")))
            }
        }
    }

    /// Asks the leader, once, for an index that holds everything that was acknowledged before.
    pub(crate) async fn read_index(&self) -> Result<LogIndex, ReadIndexError> {
        match self.lead() {
            Lead::Here => self.raft.read_index().await,
            Lead::Nobody => Err(ReadIndexError::NotLeader),
            Lead::There { member, node } => {
                let body = IndexQuestion { to: member }.to_body();
                let reply = self.call(member, node, PeerCall::ReadIndex, body).await;
                match reply.map(|body| IndexAnswer::from_body(&body)) {
                    Ok(Ok(IndexAnswer::Index(index))) => Ok(index),
                    Ok(Ok(IndexAnswer::NotLeader)) => Err(ReadIndexError::NotLeader),
                    Ok(Ok(IndexAnswer::Unavailable(reason))) => Err(ReadIndexError::Unavailable(reason)),
                    Ok(Err(error)) => Err(ReadIndexError::Unavailable(error.to_string())),
                    Err(error) => Err(ReadIndexError::Unavailable(error.to_string())),
                }
            }
        }
    }

    /// Asks until a leader answers. The caller bounds the time. None when Raft has ended.
    pub(crate) async fn until_read_index(&self) -> Option<LogIndex> {
        let mut pause = Pause::new(self);
        loop {
            match self.read_index().await {
                Ok(index) => return Some(index),
                Err(ReadIndexError::Stopped) => return None,
                Err(error) => tracing::debug!(%error, "the leader was asked for an index"),
            }
            pause.wait().await?;
        }
    }

    /// Has the leader change members, once.
    pub(crate) async fn change_members(&self, change: MemberChange) -> Result<Result<(), ChangeRefused>, PeerError> {
        match self.lead() {
            Lead::Here => Ok(self.raft.change_members(change, self.deadline / 2).await),
            Lead::Nobody => Ok(Err(ChangeRefused::NotLeader)),
            Lead::There { member, node } => {
                let body = ChangeRequest { to: member, change }.to_body();
                let reply = self.call(member, node, PeerCall::Members, body).await?;
                let answer = ChangeAnswer::from_body(&reply);
                let answer = answer.map_err(|error| PeerError::Unreachable(error.to_string()))?;
                Ok(answer.refused.map_or(Ok(()), Err))
            }
        }
    }

    /// Answers another node's question.
    pub(crate) async fn answer_read_index(&self, body: &Bytes) -> Result<Bytes, PeerError> {
        let question = IndexQuestion::from_body(body).map_err(|error| PeerError::Refused(error.to_string()))?;
        self.raft.check_meant(question.to)?;
        let answer = match tokio::time::timeout(self.deadline, self.raft.read_index()).await {
            Ok(Ok(index)) => IndexAnswer::Index(index),
            Ok(Err(ReadIndexError::NotLeader)) => IndexAnswer::NotLeader,
            Ok(Err(error)) => IndexAnswer::Unavailable(error.to_string()),
            Err(_) => IndexAnswer::Unavailable(format!("no majority within {:?}", self.deadline)),
        };
        Ok(answer.to_body())
    }

    /// Changes members on behalf of another node.
    pub(crate) async fn answer_change(&self, body: &Bytes) -> Result<Bytes, PeerError> {
        let request = ChangeRequest::from_body(body).map_err(|error| PeerError::Refused(error.to_string()))?;
        self.raft.check_meant(request.to)?;
        let change = self.raft.change_members(request.change, self.deadline / 2);
        let refused = match tokio::time::timeout(self.deadline, change).await {
            Ok(result) => result.err(),
            Err(_) => return Err(PeerError::Unreachable(format!("no majority within {:?}", self.deadline))),
        };
        Ok(ChangeAnswer { refused }.to_body())
    }
}

/// Waits between two questions: until somebody else leads, or for a moment that grows.
#[derive(Debug)]
pub(crate) struct Pause {
    leadership: Receiver<Leadership>,
    entropy: Arc<dyn Entropy>,
    next: Duration,
}

impl Pause {
    /// A first wait is short.
    pub(crate) fn new(way: &LeaderWay) -> Self {
        let mut leadership = way.raft.leadership();
        leadership.mark_seen();
        Self { leadership, entropy: way.entropy.clone(), next: PAUSE_MIN }
    }

    /// Waits until there is a leader to ask, for the first time or again. None when Raft has ended.
    pub(crate) async fn wait(&mut self) -> Option<()> {
        // Between half of it and all of it, so that those who were turned away together do not come back together.
        let half = u64::try_from(self.next.as_millis()).unwrap_or(u64::MAX) / 2;
        let wait = Duration::from_millis(half + self.entropy.next_u64() % (half + 1));
        self.next = (self.next * 2).min(PAUSE_MAX);
        match tokio::time::timeout(wait, self.leadership.changed()).await {
            Ok(Ok(())) | Err(_) => {}
            Ok(Err(_)) => return None,
        }
        self.leadership.wait_for(|known| known.leader.is_some()).await.ok()?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_and_answers_come_back() {
        let question = IndexQuestion { to: 7 };
        assert_eq!(IndexQuestion::from_body(&question.to_body()).unwrap(), question);
        for answer in [
            IndexAnswer::Index(LogIndex(1 << 40)),
            IndexAnswer::NotLeader,
            IndexAnswer::Unavailable("no majority".into()),
        ] {
            assert_eq!(IndexAnswer::from_body(&answer.to_body()).unwrap(), answer);
        }
        for change in [
            MemberChange::Learn { member: 9, node: NodeId(4) },
            MemberChange::Seat { member: 9 },
            MemberChange::Leave { member: 9 },
            MemberChange::Unseat { member: 9 },
        ] {
            let request = ChangeRequest { to: 7, change };
            assert_eq!(ChangeRequest::from_body(&request.to_body()).unwrap(), request);
        }
        for refused in [None, Some(ChangeRefused::NotLeader), Some(ChangeRefused::Refused("no".into()))] {
            let answer = ChangeAnswer { refused };
            assert_eq!(ChangeAnswer::from_body(&answer.to_body()).unwrap(), answer);
        }
    }
}
