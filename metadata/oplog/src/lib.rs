//! The operation log on a voter's own drives, r copies of everything.
mod cache;
pub mod contents;
mod drive_log;
pub mod drive_set;
pub mod epoch;
mod error;
pub mod finding;
pub mod flight;
pub mod group;
mod lineage;
mod oplog;
mod options;
mod pipeline;
mod reading;
pub mod record;
pub mod recover;
mod recovered;
pub mod refusal;
pub mod roster;
mod start;

#[cfg(test)]
mod tests;

pub use cairn_journal::Shell;
pub use epoch::{EpochRecord, LogIdentity, VoterId};
pub use error::{DriveFailure, OpLogError};
pub use group::{GroupName, GroupNumber};
pub use oplog::{Completion, OpLog, Stats};
pub use options::{LogDrive, Options};
pub use record::LogRecord;
pub use recover::Orders;
pub use recovered::{Recovered, StartReport};
pub use refusal::Refusal;
pub use roster::{Quorum, copies_wanted};
