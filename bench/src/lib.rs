//! A load generator for any S3 endpoint.
//!
//! ```text
//! plan --checked--> stage: bucket, objects --> workers, each with a connection --> tally --> report
//!                                                  |  payload, signature               progress beside
//!                                                  v
//!                                        any S3 endpoint            stage again: all that was made is removed
//! ```
//!
//! - [`plan`]: what a run is asked to do, and why some of that is refused; [`quantity`]: sizes and times as people type them
//! - [`payload`]: bodies made once, and the check that what comes back is what went up
//! - [`endpoint`], [`signature`], [`client`]: one request to a server and its answer
//! - [`stage`]: the bucket before and after
//! - [`worker`], [`draw`]: one of the clients, and which object comes next
//! - [`histogram`], [`tally`], [`report`]: what is counted and what is said of it
//! - [`run`]: all of it in order; [`progress`]: what is shown meanwhile
//!
//! What is deliberately not here: TLS, addresses with the bucket in the host's name, and any knowledge of Cairn.

pub mod client;
pub mod draw;
pub mod endpoint;
pub mod histogram;
pub mod payload;
pub mod plan;
pub mod progress;
pub mod quantity;
pub mod report;
pub mod run;
pub mod signature;
pub mod stage;
pub mod tally;
pub mod worker;
pub mod xml;

pub use plan::{Mix, Plan, PlanError, Workload};
pub use report::Report;
pub use run::{RunError, run};
