//! Why the log does not start. Each reason names the drives, so that a person knows what to plug in; nothing has been
//! changed on any of them.

use core::fmt;

use cairn_core::{DriveId, EpochId};

use crate::group::{GroupName, GroupNumber};

/// Why the log does not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No drive was handed in that could carry the log: bring one.
    #[error("there is no drive that the operation log could lie on")]
    NoDrives,
    /// More drives than a start weighs: hand in those of the roster and some spare ones.
    #[error("{found} drives were handed in, a start weighs at most {max}")]
    TooManyDrives {
        /// How many were handed in.
        found: usize,
        /// How many may be.
        max: usize,
    },
    /// The same drive twice: an error of the caller's, or a drive copied whole.
    #[error("drive {drive} was found twice: one of the two directories is a copy of the other")]
    SameDriveTwice {
        /// The drive.
        drive: DriveId,
    },
    /// The drives say that this log was formed, but none of those here knows it: bring the drives that carry it.
    #[error("the operation log was formed, but none of the drives here carries it: {}", Names(drives))]
    LogLost {
        /// The drives that are here.
        drives: Vec<DriveId>,
    },
    /// Acknowledged groups may lie on the missing drives alone: bring some of them back.
    #[error(
        "epoch {epoch} of the operation log needs more of its drives: missing are {}, and at most {missing_max} may be",
        Names(missing)
    )]
    TooManyMissing {
        /// The epoch.
        epoch: EpochId,
        /// Its drives that are not here, or have lost what they held.
        missing: Vec<DriveId>,
        /// How many of them may be missing.
        missing_max: usize,
    },
    /// A first start needs the drives that it was given: two logs formed on different drives would not know of each other.
    /// Bring the failing ones back, or give the log others.
    #[error("the operation log is not formed while drives fail: {}, and at most {missing_max} may", Names(missing))]
    NotFormed {
        /// The drives that fail.
        missing: Vec<DriveId>,
        /// How many of them may.
        missing_max: usize,
    },
    /// Starts were cut short on more different rosters than one epoch can answer for: an operator takes the log's
    /// directories of drives away that hold none but such attempts.
    #[error("{found} starts of the operation log were cut short on different rosters, at most {max} can be made good")]
    TooManyAttempts {
        /// How many rosters.
        found: usize,
        /// How many there may be.
        max: usize,
    },
    /// The log went on twice from one point. An operator decides which of the two is given up.
    #[error("the operation log has {} histories, and only an operator can say which one stands: {}", epochs.len(), Histories(epochs))]
    TwoHistories {
        /// The end of each history, and the drives that carry it.
        epochs: Vec<(EpochId, Vec<DriveId>)>,
    },
    /// Groups of an epoch that no record found here knows. Take the drives' log directories away by hand if it is stale.
    #[error("groups of epoch {epoch} lie on {}, and no record of that epoch is left", Names(drives))]
    UnknownEpoch {
        /// The epoch.
        epoch: EpochId,
        /// The drives with its groups.
        drives: Vec<DriveId>,
    },
    /// Two drives hold different bytes under one name. That cannot happen by a crash; one of the drives lies.
    #[error("{what} differs between drives: {}", Names(drives))]
    Conflict {
        /// The name of what differs.
        what: String,
        /// The drives that hold it.
        drives: Vec<DriveId>,
    },
    /// A group that had been acknowledged is nowhere: bring a drive that holds it.
    #[error(
        "group {number} of the operation log is missing, although everything up to {durable} was acknowledged; drives not here: {}; drives where it is damaged: {}",
        Names(missing),
        Names(damaged)
    )]
    Hole {
        /// The missing group.
        number: GroupNumber,
        /// The durable end that some group names.
        durable: GroupNumber,
        /// Drives of the roster that are not here.
        missing: Vec<DriveId>,
        /// Drives that once held it.
        damaged: Vec<DriveId>,
    },
    /// A group that may have been acknowledged is damaged wherever it was found: bring another drive that holds it.
    #[error(
        "{name} may have been acknowledged and is damaged on {}; drives not here: {}",
        Names(damaged),
        Names(missing)
    )]
    Damaged {
        /// The group.
        name: GroupName,
        /// The drives that hold it damaged.
        damaged: Vec<DriveId>,
        /// Drives of the roster that are not here.
        missing: Vec<DriveId>,
    },
}

struct Names<'a>(&'a [DriveId]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (position, drive) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{drive}")?;
        }
        Ok(())
    }
}

struct Histories<'a>(&'a [(EpochId, Vec<DriveId>)]);

impl fmt::Display for Histories<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (epoch, drives)) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str("; ")?;
            }
            write!(f, "epoch {epoch} on {}", Names(drives))?;
        }
        Ok(())
    }
}
