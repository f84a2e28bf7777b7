//! The log is the truth: Raft over the operation log, the rows that it amounts to, and the client to both.
//!
//! ```text
//!            propose                    entry                 acknowledged, committed            effects
//! Client ─────────────> Proposer ───────────────> Raft ──────────────────────────────> Applier ──────────> Rows
//!    ^                  (gathers)                  │ operation log                         │                 │
//!    └──────────────── outcomes ───────────────────┼──────────────── <─────────────────────┘                 │
//!    ^                                             │ ReadIndex                                               │
//!    └──────────────── View ───────────────────────┴─────────────────────────────────────────────────────────┘
//!
//! On a node that does not lead, proposals and questions take one more step: Peers ~~~> MetadataNode::answer of the leader.
//! ```
//!
//! Where to look:
//! - [`MetadataNode`] (`node`): a running node, which votes or only follows the log; [`NodeConfig`] (`config`); [`MetadataStatus`] (`status`)
//! - [`Client`] (`client`): sessions, proposals, linearizable views; [`View`] (`view`), [`WriteTicket`] (`session`)
//! - [`Peers`] (`peers`): the way to other nodes, as a trait that carries bytes; `wire`: what the bytes look like
//! - `propose`: from many callers to one entry of the log, here or on the leader; `leader`: the way there
//! - `members`: who takes part, and how that changes; `receiving`: the runs that a leader sends to who lacks its log
//! - `raft`: the one room that knows openraft: its log store, its state machine, its network, what is kept as bytes
//! - `applier`, `applied`: one entry after the other becomes rows; what else is known at an index
//! - [`MetadataNode::read_log`] (`reading`): the log itself, for people; `refusals`: what of it had no effect; [`authorship`]: who asked
//! - `scrubbing`: reads runs back, now and then; `suspicion`: what a process leaves that could not read its rows
//! - `runs`: when a run is cut, and in which order things are said and removed; `history`: what is kept of the log
//! - `witnesses`: what the leader asks all members: the versions that they know, what their clocks say; `calendar`: what it makes of these
//! - `housekeeping`, `expiry`: the end of sessions whose process is gone
//! - `session`: request numbers, tickets and views of one session; `session::marks` decides what it may publish
//!
//! Decisions are pure and have files of their own (`calendar`, `expiry`, `history`, `session::marks`, `session::window`);
//! the tasks around them are started in one place (`tasks`), and hear of changes through `follow`. A failure of the log or the rows stops the node (`failure`):
//! nothing is acknowledged any more, and the next start goes on from what the log holds.
//!
//! Words:
//! - **proposal**: what one caller asks for in one request; **entry**: what the log carries: a batch of proposals
//! - **view**: the rows at one index; **ReadIndex**: an index that holds everything acknowledged until now
//! - **mark**: what the log says the runs are; **checkpoint**: a mark of the past, where the log can be cut
//! - **number**: of a session's request; **counter**: of a session's write
//!
//! - **member**: who is sent the log, under an id that is given once; **voter**: a member that is counted
//!
//! Deliberately not here: connections between nodes (bring a [`Peers`]), and deciding when a member is to be replaced.

mod applied;
mod applier;
pub mod authorship;
mod calendar;
mod client;
mod config;
mod error;
mod expiry;
mod failure;
mod follow;
mod history;
mod housekeeping;
mod leader;
mod members;
mod node;
mod peers;
mod propose;
pub mod query;
mod raft;
mod reading;
mod receiving;
mod refusals;
mod runs;
mod scrubbing;
mod session;
mod status;
mod suspicion;
mod tasks;
mod view;
mod wire;
mod witnesses;

#[cfg(test)]
mod tests;

pub use client::Client;
pub use config::{CutPolicy, HistoryPolicy, NodeConfig, RaftTimers, RunPlaces, SessionPolicy, Standing, Work};
pub use error::{ChangeError, Covered, NodeFailure, ProposeError, ReadError, StartError};
pub use node::MetadataNode;
pub use peers::{NoPeers, PeerCall, PeerError, Peers};
pub use raft::{FormatError, MemberStatus};
pub use reading::{LogContent, LogEntry, LogPage, LogReadError};
pub use refusals::Refused;
pub use session::WriteTicket;
pub use status::{MetadataStatus, Part};
pub use view::View;
pub use wire::BODY_BYTES_MAX;
