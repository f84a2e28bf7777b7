//! What this voter answers to others. A message names the member that it is for: one that was meant for another id, or for
//! this node's id before it lost its log, is refused.

use std::sync::PoisonError;

use bytes::Bytes;
use openraft::errors::RaftError;
use tokio::time::Instant;

use super::Raft;
use super::message::{AppendReply, Ballot, Candidacy, Handover, Heard, read_append};
use crate::peers::PeerError;
use crate::wire::{Message, WireError};

impl Raft {
    /// Takes entries, or hears that the leader is there. Answered when they are durable.
    pub(crate) async fn answer_append(&self, body: &Bytes) -> Result<Bytes, PeerError> {
        let (to, request) = read_append(body).map_err(refused)?;
        self.check_meant(to)?;
        let response = self.raft.append_entries(request).await.map_err(stopped)?;
        let reply = AppendReply::from(response);
        if !matches!(reply, AppendReply::HigherVote(_)) {
            *self.leader_heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
        Ok(reply.to_body())
    }

    /// Gives its vote, or does not. Who has never heard of the group gives none: an id under which nothing was ever
    /// promised is worth nothing to a candidate, and the same bytes may come from a node that has forgotten.
    pub(crate) async fn answer_vote(&self, body: &Bytes, before_the_vote: bool) -> Result<Bytes, PeerError> {
        let candidacy = Candidacy::from_body(body).map_err(refused)?;
        self.check_meant(candidacy.to)?;
        if !self.is_initialized().await.map_err(PeerError::Refused)? {
            return Err(PeerError::Refused("it has no log to vote with".into()));
        }
        let request = candidacy.request();
        let response = if before_the_vote { self.raft.pre_vote(request).await } else { self.raft.vote(request).await };
        Ok(Ballot::from(response.map_err(stopped)?).to_body())
    }

    /// Hears who is to lead next.
    pub(crate) async fn answer_transfer(&self, body: &Bytes) -> Result<Bytes, PeerError> {
        let handover = Handover::from_body(body).map_err(refused)?;
        self.check_meant(handover.to)?;
        let answer = self.raft.handle_transfer_leader(handover.request()).await;
        let accepted = answer.map_err(|error| PeerError::Refused(error.to_string()))?.is_ok();
        Ok(Heard { accepted }.to_body())
    }

    /// Refuses what is meant for another member.
    pub(crate) fn check_meant(&self, to: u64) -> Result<(), PeerError> {
        if to == self.id {
            Ok(())
        } else {
            Err(PeerError::Refused(format!("member {to} was meant, this is {}", self.id)))
        }
    }
}

fn refused(error: WireError) -> PeerError {
    PeerError::Refused(error.to_string())
}

fn stopped<E: std::error::Error>(error: RaftError<super::type_config::TypeConfig, E>) -> PeerError {
    PeerError::Refused(error.to_string())
}
