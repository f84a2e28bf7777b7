//! The way to other voters, as openraft wants it. Each call has its time, so that one who does not answer delays nobody:
//! the one that it is given, except where entries are sent, since openraft would give up on a disk that takes longer than
//! the time between two heartbeats, and send all of them again. Each says whom it means by id, so that a node that came back as another member answers for
//! itself alone. A request is never answered in another's name: who cannot be reached gives no vote, not even one before
//! the vote.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cairn_core::NodeId;
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::network::{Backoff, RPCOption, RPCTypes};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest, TransferLeaderResponse,
    VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, RaftNetworkFactory, RaftNetworkV2};

use super::format::KeptVote;
use super::install::{Offer, OfferReply};
use super::message::{AppendReply, Ballot, Candidacy, Handover, Heard, append_body};
use super::snapshot::RunSetSnapshot;
use super::type_config::{Snapshot, TypeConfig, Vote, Voter};
use crate::peers::{PeerCall, PeerError, Peers};
use crate::wire::Message;

/// How long nobody tries after a node could not be reached, at first; doubled each time.
const BACKOFF_MIN: Duration = Duration::from_millis(20);

/// And at most: a node that comes back is heard of within this time.
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// How long a member may take until entries are durable there, however few they are.
const APPEND_DEADLINE: Duration = Duration::from_secs(1);

/// And for each MiB of them.
const APPEND_DEADLINE_PER_MIB: Duration = Duration::from_secs(1);

/// How long a leader waits before it asks again how far a member is with its runs.
const ASK_AGAIN: Duration = Duration::from_millis(250);

/// Makes ways to members.
#[derive(Debug, Clone)]
pub(super) struct Network {
    /// The id of this member.
    pub(super) id: u64,
    /// The node that it runs on.
    pub(super) node: NodeId,
    pub(super) peers: Arc<dyn Peers>,
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = WayToMember;

    async fn new_client(&mut self, target: u64, node: &Voter) -> WayToMember {
        WayToMember { own: (self.id, self.node), target, node: *node, peers: self.peers.clone() }
    }
}

/// The way to one member.
#[derive(Debug)]
pub(super) struct WayToMember {
    own: (u64, NodeId),
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
        deadline: Duration,
    ) -> Result<R, RPCError<TypeConfig>> {
        let reply = self.peers.call(self.node.node, call, body, deadline);
        let reply = match tokio::time::timeout(deadline, reply).await {
            Ok(reply) => reply,
            Err(_) => return Err(Timeout { action, id: self.own.0, target: self.target, timeout: deadline }.into()),
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
        let (call, mut deadline) = match rpc.entries.is_empty() {
            true => (PeerCall::Heartbeat, option.hard_ttl()),
            false => (PeerCall::Append, APPEND_DEADLINE),
        };
        let body = append_body(self.target, rpc);
        if call == PeerCall::Append {
            let mib = u32::try_from(body.len() >> 20).unwrap_or(u32::MAX);
            deadline += APPEND_DEADLINE_PER_MIB.saturating_mul(mib);
        }
        let reply: AppendReply = self.call(call, body, RPCTypes::AppendEntries, deadline).await?;
        Ok(reply.into())
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let body = Candidacy::new(self.target, &rpc).to_body();
        let ballot: Ballot = self.call(PeerCall::Vote, body, RPCTypes::Vote, option.hard_ttl()).await?;
        Ok(ballot.into())
    }

    // The default grants, as if the peer had been asked and had agreed.
    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let body = Candidacy::new(self.target, &rpc).to_body();
        let ballot: Ballot = self.call(PeerCall::PreVote, body, RPCTypes::Vote, option.hard_ttl()).await?;
        Ok(ballot.into())
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let body = Offer::new(self.target, self.own, KeptVote::from(&vote), &snapshot.snapshot.0).to_body();
        let offering = async {
            loop {
                match self.call(PeerCall::Install, body.clone(), RPCTypes::InstallSnapshot, option.soft_ttl()).await? {
                    OfferReply::Installed(vote) => return Ok(SnapshotResponse::new(vote.into())),
                    OfferReply::Fetching(bytes) => {
                        tracing::debug!(target = self.target, bytes, "a member fetches the runs");
                        tokio::time::sleep(ASK_AGAIN).await;
                    }
                    OfferReply::Failed(reason) => {
                        let target = self.target;
                        return Err(
                            Unreachable::from_string(format!("voter {target} fetches no runs: {reason}")).into()
                        );
                    }
                }
            }
        };
        tokio::select! {
            biased;
            closed = cancel => Err(closed.into()),
            offered = offering => offered.map_err(|error: RPCError<TypeConfig>| match error {
                RPCError::Timeout(error) => error.into(),
                RPCError::Unreachable(error) => error.into(),
                RPCError::Network(error) => error.into(),
                RPCError::RemoteError(error) => match error.source {},
            }),
        }
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        let body = Handover::new(self.target, &req).to_body();
        let heard: Heard = self.call(PeerCall::Transfer, body, RPCTypes::TransferLeader, option.hard_ttl()).await?;
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
