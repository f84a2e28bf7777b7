//! The way to other voters. A group of one voter has no peer, so whoever is asked for cannot be reached, and says so; a
//! request is never answered in another's name. Raft treats an unreachable peer as what it is: it counts no vote and no
//! acknowledgement from there, and asks again later.

use std::future::Future;

use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse};
use openraft::{OptionalSend, RaftNetworkFactory, RaftNetworkV2};

use super::snapshot::RunSetSnapshot;
use super::type_config::{Snapshot, TypeConfig, Vote, Voter};

/// Makes connections to peers, of which there are none.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct NoPeers;

impl RaftNetworkFactory<TypeConfig> for NoPeers {
    type Network = NoConnection;

    async fn new_client(&mut self, target: u64, node: &Voter) -> NoConnection {
        NoConnection { target, node: *node }
    }
}

/// What stands for a connection to a peer that cannot be reached.
#[derive(Debug)]
pub(super) struct NoConnection {
    target: u64,
    node: Voter,
}

impl NoConnection {
    fn unreachable(&self) -> Unreachable<TypeConfig> {
        Unreachable::from_string(format!("there is no way to voter {} on node {}", self.target, self.node.node))
    }
}

impl RaftNetworkV2<TypeConfig> for NoConnection {
    type SnapshotData = RunSetSnapshot;

    async fn append_entries(
        &mut self,
        _rpc: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        Err(self.unreachable().into())
    }

    async fn vote(
        &mut self,
        _rpc: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        Err(self.unreachable().into())
    }

    // The default grants, as if the peer had been asked and had agreed.
    async fn pre_vote(
        &mut self,
        _rpc: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        Err(self.unreachable().into())
    }

    async fn full_snapshot(
        &mut self,
        _vote: Vote,
        _snapshot: Snapshot,
        _cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        Err(self.unreachable().into())
    }
}
