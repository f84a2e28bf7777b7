//! Members come and go: the rows say who was admitted and whose runs count, Raft's memberships say who decides. Each step
//! may be repeated, and is, until it is known to have happened.
//!
//! ```text
//! admit   rows: an id           -> Raft: is sent the log
//! seat    rows: its runs count  -> Raft: caught up, votes
//! unseat                           Raft: votes no more, is sent the log
//! dismiss Raft: takes part no more -> rows: counts no more
//! ```
//! In this order those whose runs count are never fewer than those who vote, so garbage waits rather too long than too
//! short.

use cairn_core::NodeId;
use cairn_machine::{Operation, Outcome, Refusal};
use futures::future::BoxFuture;

use crate::client::Client;
use crate::error::{ChangeError, ProposeError};
use crate::node::Inner as Node;
use crate::raft::{ChangeRefused, MemberChange};

impl Client {
    /// Gives a node an id under which it takes part in the log, and has it sent the log. It is known by
    /// [`Operation::RegisterNode`] already; it may be started under its id afterwards. Asking again gives another id.
    pub fn admit(&self, node: NodeId) -> BoxFuture<'_, Result<u64, ChangeError>> {
        Box::pin(async move {
            let member = match self.one(Operation::AdmitMember { node }).await? {
                Outcome::Admitted { member } => member,
                other => return Err(unexpected(&other)),
            };
            change(self.node(), MemberChange::Learn { member, node }).await?;
            Ok(member)
        })
    }

    /// Gives a member a vote, once it has caught up. Another member of the same node loses its own: that is how a node that
    /// has lost its log takes its place again.
    pub fn seat(&self, member: u64) -> BoxFuture<'_, Result<(), ChangeError>> {
        Box::pin(async move {
            match self.one(Operation::SeatVoter { voter: member }).await? {
                Outcome::Done => change(self.node(), MemberChange::Seat { member }).await,
                other => Err(unexpected(&other)),
            }
        })
    }

    /// Takes a member's vote and leaves it the log. Its runs go on counting, as those of one that may be given its vote
    /// back.
    pub fn unseat(&self, member: u64) -> BoxFuture<'_, Result<(), ChangeError>> {
        Box::pin(change(self.node(), MemberChange::Unseat { member }))
    }

    /// Takes a member out, voting or not. To be asked of another node, as long as there is one: a member that takes part no
    /// more does not learn what becomes of its proposals.
    pub fn dismiss(&self, member: u64) -> BoxFuture<'_, Result<(), ChangeError>> {
        Box::pin(async move {
            change(self.node(), MemberChange::Leave { member }).await?;
            match self.one(Operation::DismissMember { member }).await? {
                // It was dismissed before.
                Outcome::Done | Outcome::Refused(Refusal::Unknown { .. }) => Ok(()),
                other => Err(unexpected(&other)),
            }
        })
    }

    async fn one(&self, operation: Operation) -> Result<Outcome, ProposeError> {
        let mut outcomes = self.propose(vec![operation]).await?;
        assert_eq!(outcomes.len(), 1, "one operation has one outcome");
        Ok(outcomes.remove(0))
    }
}

fn unexpected(outcome: &Outcome) -> ChangeError {
    match outcome {
        Outcome::Refused(refusal) => ChangeError::Refused(refusal.to_string()),
        other => ChangeError::Refused(format!("answered {other:?}")),
    }
}

/// Has the leader make a change, whoever leads, within the deadline.
async fn change(node: &Node, change: MemberChange) -> Result<(), ChangeError> {
    let attempt = async {
        let mut pause = crate::leader::Pause::new(&node.leader);
        loop {
            match node.leader.change_members(change).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(ChangeRefused::Refused(reason))) => return Err(ChangeError::Refused(reason)),
                Ok(Err(ChangeRefused::NotLeader)) => {}
                Err(error) => tracing::debug!(%error, "a change of members is asked for again"),
            }
            if pause.wait().await.is_none() {
                return Err(ChangeError::Unavailable("the metadata node has stopped".into()));
            }
        }
    };
    let deadline = node.config.deadline;
    let late = || ChangeError::Unavailable(format!("nothing within {deadline:?}"));
    tokio::time::timeout(deadline, attempt).await.unwrap_or_else(|_| Err(late()))
}
