//! `cairn raft`: who takes part in the log, how far each is, and who leads.
//!
//! ```text
//! GET  /.cairn/v1/raft                 -> a member's own view; the leader's says how far the others are
//! POST /.cairn/v1/raft?lead=MEMBER     -> the leader hands the lead over, and waits until it has happened
//!                     ?add=MEMBER      -> a member that follows the log is given a vote, once it has caught up
//!                     ?remove=MEMBER   -> a member takes part no more, and its id stands for nobody from now on
//!                     ?believe=clock   -> locks end by the clock of the one machine that votes
//! ```
//! Whoever leads sees to it by itself that as many vote as the data needs (`ties/steward.rs`), so a vote that is taken from a
//! node which may vote is given back. What is pinned is in the node's own file: one without the role `metadata` is never given a
//! vote. So a member is removed only when its node is without that role, or gone; anything else is refused, and said.

pub mod command;

use std::time::Duration;

use cairn_cluster::Standing;
use cairn_core::NodeId;
use cairn_metadata::{ChangeError, Client, MetadataNode};
use serde::{Deserialize, Serialize};

use crate::admin::Outlook;

/// Where the members are asked for.
pub const RAFT_PATH: &str = "/.cairn/v1/raft";

/// How long a change of lead may take: some elections.
const LEAD_PATIENCE: Duration = Duration::from_secs(10);

/// The log, as one member sees it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RaftStatus {
    /// The id of the member that answers.
    pub member: u64,
    /// Who leads, as far as it knows.
    pub leader: Option<u64>,
    /// In which term.
    pub term: u64,
    /// The last entry of its log.
    pub last_index: u64,
    /// The last entry that is in its rows.
    pub applied_index: u64,
    /// Everything up to here is in runs.
    pub run_index: u64,
    /// The log begins behind this entry.
    pub purged_index: u64,
    /// The version of the state machine that entries are of. It rises when all members know a later one.
    pub function: u8,
    /// By how many milliseconds the time that locks end by is behind the date.
    pub unsure_ms: u64,
    /// A hash over all changes of rows until the applied entry: members at the same entry have the same.
    pub effects_hash: String,
    /// All members that it knows.
    pub members: Vec<Member>,
}

/// One member.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Member {
    /// Its id, which is never given again.
    pub member: u64,
    /// Its node.
    pub node: String,
    /// `leads`, `votes` or `follows`.
    pub part: String,
    /// Up to where its log is known to be the leader's; only the leader knows.
    pub matched_index: Option<u64>,
    /// How many entries it lacks.
    pub lag: Option<u64>,
    /// How many milliseconds ago it answered the leader last; only the leader knows.
    pub heard_ms_ago: Option<u64>,
}

impl RaftStatus {
    /// Whether the member that answered leads.
    pub fn leads(&self) -> bool {
        self.leader == Some(self.member)
    }
}

/// What a member sees.
pub fn look(node: &MetadataNode) -> RaftStatus {
    let status = node.status();
    let member = |known: &cairn_metadata::MemberStatus| Member {
        member: known.member,
        node: known.node.to_string(),
        part: match (status.leader == Some(known.member), known.votes) {
            (true, _) => "leads",
            (false, true) => "votes",
            (false, false) => "follows",
        }
        .to_owned(),
        matched_index: known.matched.map(|index| index.0),
        lag: status.lag(known.member),
        heard_ms_ago: status.heard.get(&known.member).and_then(|ago| u64::try_from(ago.as_millis()).ok()),
    };
    RaftStatus {
        member: status.voter,
        leader: status.leader,
        term: status.term,
        last_index: status.last_index.0,
        applied_index: status.applied_index.0,
        run_index: status.run_index.0,
        purged_index: status.purged_index.0,
        function: status.function,
        unsure_ms: u64::try_from(status.unsure.as_millis()).unwrap_or(u64::MAX),
        effects_hash: hex::encode(status.effects_hash),
        members: status.members.iter().map(member).collect(),
    }
}

/// What is to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// This voter is to lead.
    Lead(u64),
    /// This member is to vote.
    Add(u64),
    /// This member is to take part no more.
    Remove(u64),
    /// The clock of the voter that is alone is right.
    BelieveClock,
}

impl Change {
    /// As a query.
    pub fn to_query(self) -> String {
        match self {
            Self::Lead(member) => format!("lead={member}"),
            Self::Add(member) => format!("add={member}"),
            Self::Remove(member) => format!("remove={member}"),
            Self::BelieveClock => "believe=clock".to_owned(),
        }
    }

    /// The inverse of [`Self::to_query`]; none for what makes no sense.
    pub fn from_query(query: &str) -> Option<Self> {
        if query == "believe=clock" {
            return Some(Self::BelieveClock);
        }
        let (name, member) = query.split_once('=')?;
        let member = member.parse().ok()?;
        match name {
            "lead" => Some(Self::Lead(member)),
            "add" => Some(Self::Add(member)),
            "remove" => Some(Self::Remove(member)),
            _ => None,
        }
    }
}

/// Makes a change.
pub async fn change(
    node: &MetadataNode,
    client: &Client,
    outlook: Option<&Outlook>,
    change: Change,
) -> Result<RaftStatus, ChangeError> {
    match change {
        Change::Lead(member) => node.hand_lead(member, LEAD_PATIENCE).await?,
        Change::Add(member) => client.seat(member).await?,
        Change::BelieveClock => drop(node.believe_clock()?),
        Change::Remove(member) => {
            let status = node.status();
            if member == status.voter {
                return Err(ChangeError::Refused("it is the member that was asked: ask another node".into()));
            }
            if let Some(known) = status.members.iter().find(|known| known.member == member)
                && may_come_back(outlook, known.node)
            {
                return Err(ChangeError::Refused(format!(
                    "node {} is alive and may vote, so it would be given a vote again: take the role `metadata` out of its \
                     file and start it again first",
                    known.node
                )));
            }
            client.dismiss(member).await?;
        }
    }
    Ok(look(node))
}

/// Whether a node would be given a vote again as soon as it had lost it.
fn may_come_back(outlook: Option<&Outlook>, node: NodeId) -> bool {
    let Some(outlook) = outlook else { return true };
    let heard = outlook.members.borrow();
    let member = heard.0.get(&node).filter(|member| member.standing != Standing::Dead);
    member.is_some_and(|member| member.profile.as_ref().is_none_or(|profile| profile.may_vote))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_come_back() {
        for change in [Change::Lead(1), Change::Add(u64::MAX), Change::Remove(0), Change::BelieveClock] {
            assert_eq!(Change::from_query(&change.to_query()), Some(change));
        }
        for senseless in ["", "lead", "lead=", "believe=me", "lead=-1", "seat=1", "add=1&remove=2"] {
            assert_eq!(Change::from_query(senseless), None, "{senseless}");
        }
    }
}
