//! The operation log of one voter, on the voter's own drives: r copies of everything, so that nothing outside the drives
//! is precious.
//!
//! The log is one sequence of groups. Records that arrive together (entries, truncations, votes, marks) are one group; a
//! group goes to r drives of the roster at once and is acknowledged when all of these have synced it and every group
//! before it has been acknowledged. Which drives those are is nobody's state: a start looks at all of them.
//!
//! ```text
//! append -> pipeline -> group -> r drives' journals -> acknowledged in order -> answered     (pipeline, flight, oplog)
//! read   -> memory, else any drive that holds the group                                      (cache, reading)
//! lapse  -> late or failing drive -> other drives at once, copies anew in the background     (pace, flight, mending)
//! change -> copies -> no group for a moment -> new epoch -> its first group                  (changing, pipeline/change)
//! start  -> findings -> decision -> copies -> new epoch -> its first group -> the records    (recover, start, recovered)
//! ```
//!
//! Where to look:
//! - [`recover`]: what a start makes of what it finds, pure; with [`roster`], [`finding`], [`refusal`] and `lineage`
//! - [`epoch`], [`group`], [`record`]: what lies on drives; `docs/formats/oplog.md` has the tables
//! - `start`: what must be durable before what, while starting; `pipeline` and [`flight`]: while running
//! - [`contents`]: what the records amount to
//! - [`OpLog`]: what the log's keeper calls
//!
//! Words:
//! - **roster**: the drives that take part; **copies** (r): how many of them sync a group before it is acknowledged
//! - **epoch**: one start, or one change while running, on one roster. Its record names all epochs before it and how much of each counts
//! - **proven**: an epoch of which a group was found; one without is an attempt cut short, or looks like one
//! - **durable end**: the last group that had been acknowledged when a group was formed; each group names it
//! - **floor**: the first group that is still needed; what is below it was purged
//! - **void**: a group that no history holds any more, wherever it turns up
//! - **blank**: a drive without any record of this log; one of a roster that is blank has forgotten what it held

mod cache;
mod changing;
pub mod contents;
mod drive_log;
pub mod drive_set;
pub mod epoch;
mod error;
pub mod finding;
pub mod flight;
pub mod group;
mod lineage;
mod mending;
mod oplog;
mod options;
mod pace;
mod pipeline;
mod reading;
pub mod record;
pub mod recover;
mod recovered;
pub mod refusal;
pub mod roster;
mod segments;
mod start;
mod stats;

#[cfg(test)]
mod tests;

pub use cairn_journal::Shell;
pub use changing::{ChangeError, RosterChange};
pub use epoch::{EpochRecord, LogIdentity, VoterId};
pub use error::{DriveFailure, OpLogError};
pub use group::{GroupName, GroupNumber};
pub use oplog::{Completion, OpLog};
pub use options::{LogDrive, Options};
pub use record::LogRecord;
pub use recover::Orders;
pub use recovered::{Recovered, StartReport};
pub use refusal::Refusal;
pub use roster::{Quorum, copies_wanted};
pub use stats::Stats;
