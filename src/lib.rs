//! `cairn`: the command line, and the only place where the roles are wired together.
//!
//! ```text
//! cli -> dev    -> dev/directories (a plan) -> assembly (drives, log, rows, gateway, repair) -> admin (status)
//!     -> server -> server/directories --------> the same; alone (serves until it is told to end)
//!     -> node   -> node/config ---------------> assembly/member, ties (other nodes)
//!     -> ask    -> a running server's admin API -> show
//! ```
//!
//! - [`cli`]: what can be typed
//! - [`dev`]: the one-process server: directories, printing, signals
//! - [`server`]: one machine, for production; [`alone`]: what both have in common; [`doctor`]: what makes it less safe than it looks
//! - [`node`]: one member of a cluster, by its file
//! - [`assembly`]: the roles of one process, started in order and stopped in reverse; [`ties`]: what ties it to other nodes
//! - [`admin`]: what a running server answers to `cairn status` and others; [`status`]: the answer itself
//! - [`ask`]: asking a running server; [`show`]: what a person sees; [`say`]: what a server says meanwhile
//! - [`audit`]: whether the ledger balances; [`raft`]: the members of the log
//! - [`log`]: the log for people, who asked for what; [`history`]: how much of it is kept; [`calendar`]: how moments are written
//! - [`metrics`]: what Prometheus is told
//! - [`bucket`]: what buckets hold
//! - [`bench`]: a load on any S3 server, which the crate `cairn-bench` makes
//! - [`credentials`]: the root key

pub mod admin;
pub mod alone;
pub mod ask;
pub mod assembly;
pub mod audit;
pub mod bench;
pub mod bucket;
pub mod calendar;
pub mod cli;
pub mod credentials;
pub mod dev;
pub mod doctor;
pub mod history;
pub mod log;
pub mod metrics;
pub mod node;
pub mod raft;
pub mod say;
pub mod server;
pub mod show;
pub mod status;
pub mod ties;
