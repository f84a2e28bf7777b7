//! What openraft is told about our types. Everything that is pinned to its version stays inside this module.

use core::fmt;

use bytes::Bytes;
use cairn_core::NodeId;
use cairn_machine::Outcome;
use openraft::impls::leader_id_std::LeaderId;
use openraft::impls::{BoxedErrorSource, InlineBatch};
use openraft::raft::responder::Responder;
use openraft::vote::RaftLeaderId;
use openraft::{EntryPayload, OptionalSend, RaftTypeConfig};

use super::format::Position;
use super::runtime::Runtime;
use super::snapshot::RunSetSnapshot;

/// The types of our Raft group: one leader a term, entries that carry encoded batches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TypeConfig;

impl RaftTypeConfig for TypeConfig {
    type D = EncodedBatch;
    type R = Answer;
    type NodeId = u64;
    type Node = Voter;
    type Term = u64;
    type LeaderId = LeaderId<u64, u64>;
    type Vote = openraft::Vote<Self::LeaderId>;
    type Payload = EntryPayload<EncodedBatch, u64, Voter>;
    type Entry = openraft::Entry<Leader, Self::Payload>;
    // Its seed comes from our entropy and is handed down from task to task, so that a simulation's elections are the
    // same each time. In production the seed is the operating system's.
    type AsyncRuntime = Runtime;
    type Responder<T>
        = Reply<T>
    where
        T: OptionalSend + 'static;
    type Batch<T>
        = InlineBatch<T>
    where
        T: OptionalSend + 'static;
    type ErrorSource = BoxedErrorSource;
}

/// A leader in the log: its term alone, since there is one a term.
type Leader = <LeaderId<u64, u64> as RaftLeaderId>::Committed;

pub(super) type LogId = openraft::LogId<Leader>;
pub(super) type Membership = openraft::Membership<u64, Voter>;
pub(super) type StoredMembership = openraft::StoredMembership<Leader, u64, Voter>;
pub(super) type SnapshotMeta = openraft::SnapshotMeta<Leader, u64, Voter>;
pub(super) type Snapshot = openraft::Snapshot<Leader, u64, Voter, RunSetSnapshot>;
pub(super) type Entry = <TypeConfig as RaftTypeConfig>::Entry;
pub(super) type Vote = <TypeConfig as RaftTypeConfig>::Vote;

impl From<LogId> for Position {
    fn from(id: LogId) -> Self {
        Self { term: id.leader_id.term, index: id.index }
    }
}

impl From<Position> for LogId {
    fn from(position: Position) -> Self {
        Self::new(Leader::from(position.term), position.index)
    }
}

/// An entry of the log as it is kept, with room in front for its head. The batch is encoded once, by the proposer, and
/// from there on shared: by the log's drives, by the cache that the state machine reads, by the network later.
#[derive(Clone, PartialEq, Eq)]
pub struct EncodedBatch(pub(super) Bytes);

impl fmt::Debug for EncodedBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "batch of {} bytes", self.0.len())
    }
}

impl fmt::Display for EncodedBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What the state machine answers to an entry: the outcomes of each of its proposals.
#[derive(Debug, Default)]
pub struct Answer(pub Vec<Vec<Outcome>>);

/// A member of the Raft group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Voter {
    /// The node that it runs on.
    pub node: NodeId,
}

/// Called with the result of a write, in the task that applied it: whoever waits is woken without another hop.
pub struct Reply<T>(pub(super) Box<dyn FnOnce(T) + Send>);

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").finish_non_exhaustive()
    }
}

impl<T> Responder<TypeConfig, T> for Reply<T>
where
    T: OptionalSend + 'static,
{
    fn on_complete(self, result: T) {
        (self.0)(result);
    }
}
