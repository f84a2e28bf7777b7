//! The daemon that keeps what was promised: it looks for what is lost, plans, checks and executes.
//!
//! ```text
//! census (stripes merged with what the drives hold) ─┐
//! faults (what readers had to decode around)  ───────┼─> plan -> check -> execute -> meter
//! rows   (garbage that is due, manifests to retire) ─┘
//! ```
//!
//! - [`census`]: one pass over all stripes beside what each drive says it holds; finds what is missing and what is orphaned
//! - [`plan`]: what is to be done, as data; a plan runs twice without harm
//! - [`execute`]: one file for each way to act: move a position, rewrite what
//!   stands in the metadata, collect garbage, retire a manifest, condemn an orphan
//! - [`faults`]: what readers reported, bounded, between two passes
//! - [`meter`]: how safe the data is at the moment, and how that is known
//! - [`daemon`]: the loop around it; holds the lease, so that one daemon acts at a time
//!
//! Nothing here decides that a drive is lost: the log says so, by an operation. And nothing here is trusted to be alone:
//! every change is a compare-and-set that the state machine judges, so two daemons could only waste each other's work.

pub mod census;
pub mod daemon;
pub mod error;
pub mod execute;
pub mod faults;
pub mod meter;
pub mod plan;

pub use daemon::{RepairConfig, RepairDaemon};
pub use error::RepairError;
pub use faults::FaultQueue;
pub use meter::{Meter, Redundancy};
