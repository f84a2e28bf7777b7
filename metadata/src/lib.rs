//! The log is the truth: Raft over the operation log, the rows that it amounts to, and the client to both.
//!
//! ```text
//!            propose                    entry                 acknowledged, committed            effects
//! Client ─────────────> Proposer ───────────────> Raft ──────────────────────────────> Applier ──────────> Rows
//!    ^                  (gathers)                  │ operation log                         │                 │
//!    └──────────────── outcomes ───────────────────┼──────────────── <─────────────────────┘                 │
//!    ^                                             │ ReadIndex                                               │
//!    └──────────────── View ───────────────────────┴─────────────────────────────────────────────────────────┘
//! ```
//!
//! Where to look:
//! - [`MetadataNode`] (`node`): a running voter; [`NodeConfig`] (`config`); [`MetadataStatus`] (`status`)
//! - [`Client`] (`client`): sessions, proposals, linearizable views; [`View`] (`view`), [`WriteTicket`] (`session`)
//! - `propose`: from many callers to one entry of the log
//! - `raft`: the one room that knows openraft: its log store, its state machine, what is kept as bytes
//! - `applier`, `applied`: one entry after the other becomes rows; what else is known at an index
//! - `runs`: when a run is cut, and in which order things are said and removed; `history`: what is kept of the log
//! - `housekeeping`, `expiry`: the end of sessions whose process is gone
//! - `session`: request numbers, tickets and views of one session; `session::marks` decides what it may publish
//!
//! Decisions are pure and have files of their own (`calendar`, `expiry`, `history`, `session::marks`, `session::window`);
//! the tasks around them are started in one place (`tasks`). A failure of the log or the rows stops the node (`failure`):
//! nothing is acknowledged any more, and the next start goes on from what the log holds.
//!
//! Words:
//! - **proposal**: what one caller asks for in one request; **entry**: what the log carries: a batch of proposals
//! - **view**: the rows at one index; **ReadIndex**: an index that holds everything acknowledged until now
//! - **mark**: what the log says the runs are; **checkpoint**: a mark of the past, where the log can be cut
//! - **number**: of a session's request; **counter**: of a session's write
//!
//! Deliberately not here: a network (one voter; an unknown peer cannot be reached, and says so), and sending runs to
//! voters that are new.

mod applied;
mod applier;
mod calendar;
mod client;
mod config;
mod error;
mod expiry;
mod failure;
mod history;
mod housekeeping;
mod node;
mod propose;
pub mod query;
mod raft;
mod runs;
mod session;
mod status;
mod tasks;
mod view;

#[cfg(test)]
mod tests;

pub use client::Client;
pub use config::{CutPolicy, HistoryPolicy, NodeConfig, RaftTimers, SessionPolicy, Work};
pub use error::{NodeFailure, ProposeError, ReadError, StartError};
pub use node::MetadataNode;
pub use raft::FormatError;
pub use session::WriteTicket;
pub use status::MetadataStatus;
pub use view::View;
