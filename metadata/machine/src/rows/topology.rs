//! Nodes and drives: what there is to place on, and what the log says of it.

use cairn_core::{DriveId, LogIndex, NodeId, WallTime};
use minicbor::{Decode, Encode};

use crate::row::{Row, Table, cbor_row};

/// A member of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct NodeRow {
    /// What fails together above the node; empty where nobody said.
    #[n(0)]
    pub zone: String,
    /// When it joined.
    #[n(1)]
    pub joined: WallTime,
    /// The id under which it votes: the index at which it became a voter; none for a node that does not.
    #[n(2)]
    pub voter: Option<u64>,
}

impl Row for NodeRow {
    const TABLE: Table = Table::Node;
    type Key = NodeId;

    fn write_key(key: &NodeId, out: &mut Vec<u8>) {
        out.extend_from_slice(&key.to_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<NodeId> {
        Some(NodeId::from_bytes(bytes.try_into().ok()?))
    }

    fn weight(&self) -> usize {
        48 + self.zone.len()
    }

    cbor_row!();
}

/// What the log says of a drive. Gossip may make a gateway avoid a drive; only this makes its data move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum DriveState {
    /// Takes new data.
    #[n(0)]
    Active,
    /// Takes none, and what it holds is moved away.
    #[n(1)]
    Draining,
    /// Gone with what it held; its positions are rebuilt elsewhere. Should it turn out to be there after all, it may become
    /// active again, with what is not rebuilt yet.
    #[n(2)]
    Lost,
    /// Holds nothing any more and never comes back. Only the ledger's zero lets a drive get here (invariant 6).
    #[n(3)]
    Removed,
}

/// A drive.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct DriveRow {
    /// Whose it is.
    #[n(0)]
    pub node: NodeId,
    /// How much of the ring it gets; capacity in GiB, at least 1.
    #[n(1)]
    pub weight: u32,
    /// What may be done with it.
    #[n(2)]
    pub state: DriveState,
    /// Where in the log the state was last changed.
    #[n(3)]
    pub since: LogIndex,
    /// When that was.
    #[n(4)]
    pub changed: WallTime,
    /// What a person calls it: its directory when it was registered. Never used to find it.
    #[n(5)]
    pub label: String,
}

impl Row for DriveRow {
    const TABLE: Table = Table::Drive;
    type Key = DriveId;

    fn write_key(key: &DriveId, out: &mut Vec<u8>) {
        out.extend_from_slice(&key.to_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<DriveId> {
        Some(DriveId::from_bytes(bytes.try_into().ok()?))
    }

    fn weight(&self) -> usize {
        64 + self.label.len()
    }

    cbor_row!();
}

/// What a drive holds, by the log's count. Kept by the same operations that change it (invariant 11).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
pub struct DriveLedgerRow {
    /// Positions of stripes that name this drive.
    #[n(0)]
    pub chunks: u64,
    /// The bytes of those chunks.
    #[n(1)]
    pub bytes: u64,
    /// Garbage not yet collected here.
    #[n(2)]
    pub garbage_chunks: u64,
    /// The bytes of that garbage.
    #[n(3)]
    pub garbage_bytes: u64,
}

impl Row for DriveLedgerRow {
    const TABLE: Table = Table::DriveLedger;
    type Key = DriveId;

    fn write_key(key: &DriveId, out: &mut Vec<u8>) {
        out.extend_from_slice(&key.to_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<DriveId> {
        Some(DriveId::from_bytes(bytes.try_into().ok()?))
    }

    cbor_row!();
}

/// A member of the log, by its id: up to where its rows stand in runs that were read back on r drives. Whether it votes
/// stands in the row of its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct VoterRow {
    /// Everything up to here is in runs, as it has reported while it voted.
    #[n(0)]
    pub run_index: LogIndex,
    /// The node that was admitted under this id; none for the first voter, which was there before anybody was admitted.
    #[n(1)]
    pub node: Option<NodeId>,
}

impl Row for VoterRow {
    const TABLE: Table = Table::Voter;
    type Key = u64;

    fn write_key(key: &u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&key.to_be_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<u64> {
        Some(u64::from_be_bytes(bytes.try_into().ok()?))
    }

    cbor_row!();
}
