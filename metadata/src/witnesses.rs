//! What the leader asks all members, now and then: which version of the state machine's function they know, and what their
//! clocks say. From the first follows when entries may be of a later version, from the second by what locks end.
//!
//! ```text
//! leader --About--> every member --(version, clock)--> all know a later version?   RaiseFunction
//!                                                      a majority's clocks agree?  the calendar follows them
//! ```
//! A member that runs an older release, or is away, holds the version back until it is back, or dismissed. Nobody is asked
//! before an entry is written: a member of an older release that comes later stops at the first entry that it does not know.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cairn_core::WallTime;
use cairn_machine::Operation;
use futures::future::join_all;
use minicbor::{Decode, Encode};

use crate::calendar;
use crate::node::Inner as Node;
use crate::peers::{PeerCall, PeerError};
use crate::raft::MemberStatus;
use crate::wire::Message;

/// How often the leader asks.
const ASK_EVERY: Duration = Duration::from_secs(10);

/// How long it waits for an answer. What a clock said longer ago than that is no use.
const PATIENCE: Duration = Duration::from_secs(2);

/// The question for what a member says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
struct Question {
    /// The member that is meant.
    #[n(0)]
    to: u64,
}

impl Message for Question {
    const WHAT: &'static str = "question about a member";
}

/// What it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
struct About {
    /// The latest version of the function that it applies entries of.
    #[n(0)]
    function: u8,
    /// What its clock says.
    #[n(1)]
    wall: WallTime,
}

impl Message for About {
    const WHAT: &'static str = "answer about a member";
}

impl About {
    fn this(node: &Node) -> Self {
        Self { function: node.config.function, wall: node.clock.wall() }
    }
}

/// Answers another member.
pub(crate) fn answer(node: &Node, body: &Bytes) -> Result<Bytes, PeerError> {
    let question = Question::from_body(body).map_err(|error| PeerError::Refused(error.to_string()))?;
    node.raft.check_meant(question.to)?;
    Ok(About::this(node).to_body())
}

/// Asks, whenever this node leads.
pub(crate) async fn ask_members(node: Arc<Node>) {
    let stopping = node.tasks.stopping();
    let mut leadership = node.raft.leadership();
    loop {
        let leads = |known: &crate::raft::Leadership| known.leader == Some(node.config.voter);
        tokio::select! {
            biased;
            () = stopping.cancelled() => return,
            known = leadership.wait_for(leads) => if known.is_err() { return },
        }
        while node.raft.leads() {
            tokio::select! {
                biased;
                () = stopping.cancelled() => return,
                () = ask(&node) => {}
            }
            tokio::select! {
                biased;
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(ASK_EVERY) => {}
                changed = leadership.changed() => if changed.is_err() { return },
            }
        }
    }
}

async fn ask(node: &Node) {
    let members = node.raft.members();
    let answers = join_all(members.iter().map(|member| about(node, member))).await;
    let voters = members.iter().filter(|member| member.votes).count();
    let said = members.iter().zip(&answers);
    let clocks = said.filter(|(member, _)| member.votes).filter_map(|(_, about)| Some(about.as_ref()?.wall)).collect();
    // Alone, its own word would be the majority's.
    if let Some(time) = calendar::agreed(clocks, voters).filter(|_| voters > 1) {
        node.calendar.lock().unwrap_or_else(PoisonError::into_inner).agree(time, node.clock.elapsed());
    }
    let known = answers.iter().map(|about| about.as_ref().map(|about| about.function)).min().flatten();
    if let Some(to) = known.filter(|known| *known > node.applied.function()) {
        match node.proposer.without_session(&[Operation::RaiseFunction { to }]).await {
            Ok(_) => {
                tracing::info!(to, "all members know this version of the state machine: entries are of it from now on")
            }
            Err(error) => tracing::info!(%error, "the version was not raised; it will be tried again"),
        }
    }
}

/// What a member says; none where it does not answer in time, or does not understand.
async fn about(node: &Node, member: &MemberStatus) -> Option<About> {
    if member.member == node.config.voter {
        return Some(About::this(node));
    }
    let question = Question { to: member.member }.to_body();
    let answer = node.config.peers.call(member.node, PeerCall::About, question, PATIENCE);
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(Ok(body)) => About::from_body(&body).ok(),
        Ok(Err(_)) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_and_answers_come_back() {
        let question = Question { to: 7 };
        assert_eq!(Question::from_body(&question.to_body()).unwrap(), question);
        let about = About { function: 5, wall: WallTime(1_700_000_000_000) };
        assert_eq!(About::from_body(&about.to_body()).unwrap(), about);
        assert!(About::from_body(&question.to_body()).is_err());
    }
}
