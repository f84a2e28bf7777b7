//! The daemon that keeps what was promised: it looks for what is lost, plans, checks and executes.
//!
//! ```text
//! standings of nodes ─> supervise ─> drives lost and back, by the log
//!
//! census (stripes merged with what the drives hold) ─┐
//! faults (what readers had to decode around)  ───────┼─> plan -> check -> execute -> meter
//! rows   (garbage that is due, manifests to retire) ─┘
//! ```
//!
//! - [`census`]: one pass over all stripes beside what each drive says it holds; finds what is missing and what is orphaned
//! - [`plan`]: what is to be done, as data; a plan runs twice without harm
//! - [`supervise`]: which drives are declared lost because their nodes are dead, and which come back
//! - [`lease`]: which daemon acts for all
//! - [`reshape`]: which stripes are to have the geometry that fits the drives, and when; [`sightings`]: for how long these have been
//!   as they are, should a calendar have been wrong
//! - [`execute`]: one file for each way to act: move a position, re-encode stripes, pack what stands in the metadata,
//!   collect garbage, abandon and retire manifests, condemn an orphan
//! - [`faults`]: what readers reported, bounded, between two passes; [`confirm`]: which of it is damage
//! - [`meter`]: how safe the data is at the moment, and how that is known
//! - [`daemon`]: the loop around it, on every node; whoever holds the lease acts, and all others wait for it to end
//! - [`config`]: every time and bound
//!
//! Nothing here decides that a drive is lost: it is proposed, and the log says so. And nothing here is trusted to be alone:
//! every change is a compare-and-set that the state machine judges, so two daemons could only waste each other's work.

pub mod census;
pub mod config;
pub mod confirm;
pub mod daemon;
pub mod error;
pub mod execute;
pub mod faults;
pub mod lease;
pub mod meter;
pub mod plan;
pub mod reshape;
pub mod sightings;
pub mod supervise;

pub use config::RepairConfig;
pub use daemon::RepairDaemon;
pub use error::RepairError;
pub use faults::FaultQueue;
pub use lease::{Leader, Leadership};
pub use meter::{Meter, Redundancy};
pub use supervise::{NodeStanding, Standings};
