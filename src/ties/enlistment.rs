//! How a node gets its part in the log: it asks any node of the cluster, which has the log make it known, and gives it an
//! id. A node that comes back asks whether its id still stands for it.
//!
//! ```text
//! node: my id, if I have one; my drives --> any node --> RegisterNode, AdmitMember --> the id to start under
//! ```

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cairn_cluster::service::{Declined, Failure, Reply, Request};
use cairn_cluster::{Call, Class, Pool, ServiceId, Target};
use cairn_core::{DriveId, NodeId};
use cairn_machine::operation::NewDrive;
use cairn_machine::rows::topology::{DriveRow, DriveState, VoterRow};
use cairn_machine::{Operation, Outcome, Row};
use cairn_metadata::Client;
use cairn_repair::census::drive_states;
use minicbor::{Decode, Encode};

use crate::ties::control::ENLIST;

/// How long one node is given to answer: an id is an entry of the log and a change of its members.
const PATIENCE: Duration = Duration::from_secs(12);

/// The longest question: a node with dozens of drives, each with a name.
const QUESTION_BYTES_MAX: usize = 64 * 1024;

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Question {
    /// Who asks.
    #[n(0)]
    pub node: NodeId,
    /// The id that it has, if it has one.
    #[n(1)]
    pub member: Option<u64>,
    /// What fails together with it.
    #[n(2)]
    pub zone: String,
    /// Its drives; none for a node that stores nothing.
    #[n(3)]
    pub drives: Vec<NewDrive>,
}

/// What it is told.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
enum Told {
    /// The id that stands for it.
    #[n(0)]
    Member(#[n(0)] u64),
    /// The log cannot be asked at the moment.
    #[n(1)]
    Unavailable(#[n(0)] String),
    /// It is not taken in.
    #[n(2)]
    Refused(#[n(0)] String),
}

/// Why a node has no part in the log.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EnlistError {
    /// Nobody who could say is there. Ask again.
    #[error("no node of the cluster could say which part this node has: {0}")]
    Unavailable(String),
    /// The cluster does not take it in. A person has to look.
    #[error("the cluster does not take this node in: {0}")]
    Refused(String),
}

/// Asks each address once, until one knows. The answer stands in the log.
pub async fn ask(pool: &Pool, addresses: &[SocketAddr], question: &Question) -> Result<u64, EnlistError> {
    let question = minicbor::to_vec(question).expect("encoding into memory does not fail");
    let mut last = EnlistError::Unavailable("nobody is there to be asked".to_owned());
    for &address in addresses {
        let call = Call::new(ServiceId::CONTROL, ENLIST, question.clone());
        let told = match pool.call(Target::At(address), Class::Control, call, PATIENCE).await {
            Ok(answer) => minicbor::decode(&answer.head).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        last = match told {
            Ok(Told::Member(member)) => return Ok(member),
            Ok(Told::Refused(reason)) => return Err(EnlistError::Refused(reason)),
            Ok(Told::Unavailable(reason)) | Err(reason) => EnlistError::Unavailable(format!("{address}: {reason}")),
        };
    }
    Err(last)
}

/// The answering end. It is behind the listener before there is a log to ask.
#[derive(Debug, Default)]
pub struct Enlisting(OnceLock<Client>);

impl Enlisting {
    /// One that nobody serves yet.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// From now on it is answered, under this session.
    pub fn serve(&self, client: Client) {
        assert!(self.0.set(client).is_ok(), "one process has one client for this");
    }

    /// Answers one question.
    pub async fn answer(&self, request: Request) -> Result<Reply, Failure> {
        let client = self.0.get().ok_or(Declined::NotReady)?;
        if request.head.len() > QUESTION_BYTES_MAX {
            return Err(Declined::NotUnderstood.into());
        }
        let question: Question = minicbor::decode(&request.head).map_err(|_| Declined::NotUnderstood)?;
        // A node speaks for itself alone: who it is was proven.
        if question.node != request.from {
            return Err(Declined::NotUnderstood.into());
        }
        let told = enlist(client, question).await.unwrap_or_else(Told::Unavailable);
        Ok(Reply::head(minicbor::to_vec(&told).expect("encoding into memory does not fail")))
    }
}

async fn enlist(client: &Client, question: Question) -> Result<Told, String> {
    let Question { node, member, zone, drives } = question;
    let view = client.read().await.map_err(|error| error.to_string())?;
    let known = drive_states(&view).map_err(|error| error.to_string())?;
    let stands = match member {
        Some(member) => VoterRow::get(&view, &member).map_err(|error| error.to_string())?.is_some(),
        None => false,
    };
    drop(view);
    if let Some(reason) = drives.iter().find_map(|drive| cannot_come(node, drive.id, known.get(&drive.id)?)) {
        return Ok(Told::Refused(reason));
    }
    // Drives that were declared lost while the node was away come back by those who look after all drives.
    let drives = drives.into_iter().filter(|drive| !known.contains_key(&drive.id)).collect();
    let register = Operation::RegisterNode { node, zone, drives };
    match client.propose(vec![register]).await.map_err(|error| error.to_string())?.first() {
        Some(Outcome::Done) => {}
        Some(Outcome::Refused(refusal)) => return Ok(Told::Refused(refusal.to_string())),
        other => return Err(format!("registering a node was answered {other:?}")),
    }
    match member.filter(|_| stands) {
        Some(member) => Ok(Told::Member(member)),
        None => client.admit(node).await.map(Told::Member).map_err(|error| error.to_string()),
    }
}

/// Why a drive cannot be this node's, if it cannot.
fn cannot_come(node: NodeId, drive: DriveId, row: &DriveRow) -> Option<String> {
    if row.node != node {
        return Some(format!("drive {drive} belongs to node {}", row.node));
    }
    (row.state == DriveState::Removed)
        .then(|| format!("drive {drive} was removed from the cluster: give the node an empty one"))
}

#[cfg(test)]
mod tests {
    use cairn_core::{LogIndex, WallTime};

    use super::*;

    #[test]
    fn a_drive_comes_back_to_its_node_unless_it_was_removed() {
        let row = |node, state| DriveRow {
            node: NodeId(node),
            weight: 1,
            state,
            since: LogIndex(1),
            changed: WallTime(0),
            label: String::new(),
        };
        for state in [DriveState::Active, DriveState::Draining, DriveState::Lost] {
            assert_eq!(cannot_come(NodeId(1), DriveId(7), &row(1, state)), None, "{state:?}");
        }
        assert!(cannot_come(NodeId(1), DriveId(7), &row(1, DriveState::Removed)).is_some());
        assert!(cannot_come(NodeId(2), DriveId(7), &row(1, DriveState::Active)).is_some());
    }
}
