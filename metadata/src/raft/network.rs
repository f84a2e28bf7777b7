//! The way to other voters, as openraft wants it. Each call honours the time that it is given, so that one who does not
//! answer delays nobody; each says whom it means by id, so that a node that came back as another member answers for
//! itself alone. A request is never answered in another's name: who cannot be reached gives no vote, not even one before
//! the vote.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::network::{Backoff, RPCOption, RPCTypes};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest, TransferLeaderResponse,
    VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, RaftNetworkFactory, RaftNetworkV2};

use super::message::{AppendReply, Ballot, Candidacy, Handover, Heard, append_body};
use super::snapshot::RunSetSnapshot;
use super::type_config::{Snapshot, TypeConfig, Vote, Voter};
use crate::peers::{PeerCall, PeerError, Peers};
use crate::wire::Message;

/// How long nobody tries after a node could not be reached, at first; doubled each time.
const BACKOFF_MIN: Duration = Duration::from_millis(20);

/// And at most: a node that comes back is heard of within this time.
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Makes ways to members.
#[derive(Debug, Clone)]
pub(super) struct Network {
    /// The id of this member.
    pub(super) id: u64,
    pub(super) peers: Arc<dyn Peers>,
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = WayToMember;

    async fn new_client(&mut self, target: u64, node: &Voter) -> WayToMember {
        WayToMember { id: self.id, target, node: *node, peers: self.peers.clone() }
    }
}

/// The way to one member.
#[derive(Debug)]
pub(super) struct WayToMember {
    id: u64,
    target: u64,
    node: Voter,
    peers: Arc<dyn Peers>,
}

impl WayToMember {
    async fn call<R: Message>(
        &self,
        call: PeerCall,
        body: Bytes,
        action: RPCTypes,
        option: &RPCOption,
    ) -> Result<R, RPCError<TypeConfig>> {
        let deadline = option.soft_ttl();
        let reply = self.peers.call(self.node.node, call, body, deadline);
        let reply = match tokio::time::timeout(deadline, reply).await {
            Ok(reply) => reply,
            Err(_) => return Err(Timeout { action, id: self.id, target: self.target, timeout: deadline }.into()),
        };
        let read = reply.and_then(|body| R::from_body(&body).map_err(|error| PeerError::Refused(error.to_string())));
        // Also one who refuses is left alone for a while: it will not change its mind in a moment.
        read.map_err(|error| {
            let (target, node) = (self.target, self.node.node);
            Unreachable::from_string(format!("voter {target} on node {node}: {error}")).into()
        })
    }
}

impl RaftNetworkV2<TypeConfig> for WayToMember {
    type SnapshotData = RunSetSnapshot;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        let body = append_body(self.target, rpc);
        let reply: AppendReply = self.call(PeerCall::Append, body, RPCTypes::AppendEntries, &option).await?;
        Ok(reply.into())
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let body = Candidacy::new(self.target, &rpc).to_body();
        let ballot: Ballot = self.call(PeerCall::Vote, body, RPCTypes::Vote, &option).await?;
        Ok(ballot.into())
    }

    // The default grants, as if the peer had been asked and had agreed.
    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let body = Candidacy::new(self.target, &rpc).to_body();
        let ballot: Ballot = self.call(PeerCall::PreVote, body, RPCTypes::Vote, &option).await?;
        Ok(ballot.into())
    }

    async fn full_snapshot(
        &mut self,
        _vote: Vote,
        _snapshot: Snapshot,
        _cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let (target, node) = (self.target, self.node.node);
        Err(Unreachable::from_string(format!("voter {target} on node {node} lacks log that is gone")).into())
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        let body = Handover::new(self.target, &req).to_body();
        let heard: Heard = self.call(PeerCall::Transfer, body, RPCTypes::TransferLeader, &option).await?;
        if !heard.accepted {
            tracing::info!(target = self.target, "a handover was declined; the next election decides");
        }
        Ok(Ok(()))
    }

    fn backoff(&self) -> Option<Backoff> {
        let doubled = |wait: &Duration| Some((*wait * 2).min(BACKOFF_MAX));
        Some(Backoff::new(std::iter::successors(Some(BACKOFF_MIN), doubled)))
    }
}
