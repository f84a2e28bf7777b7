//! What a start finds on one drive: the input of the recovery decision, free of files and places.

use cairn_core::DriveId;

use crate::epoch::{EpochRecord, LogIdentity};
use crate::group::{GroupDigest, GroupName, GroupNumber};

/// A valid group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupFound {
    /// Its name.
    pub name: GroupName,
    /// The last group that had been acknowledged when it was formed.
    pub acknowledged: GroupNumber,
    /// The first group that is needed once it is acknowledged.
    pub floor: GroupNumber,
    /// What tells it from another group of the same name.
    pub digest: GroupDigest,
}

/// Everything valid on one drive that is here, and what it is known to have lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriveFinding {
    /// The drive.
    pub drive: DriveId,
    /// The epochs' records on it, in no order.
    pub epochs: Vec<EpochRecord>,
    /// The groups on it, in no order. One that was copied twice may stand twice.
    pub groups: Vec<GroupFound>,
    /// Groups that it had synced and that read back wrong. A tail that a crash tore is not among them: nobody was told
    /// that it is there.
    pub damaged: Vec<GroupName>,
    /// Whether it has lost records without knowing which. What it still holds counts; that it does not hold a group
    /// proves nothing.
    pub incomplete: bool,
}

impl DriveFinding {
    /// A drive with nothing on it.
    pub const fn empty(drive: DriveId) -> Self {
        Self { drive, epochs: Vec::new(), groups: Vec::new(), damaged: Vec::new(), incomplete: false }
    }

    /// Whether another cluster, node or voter keeps its log here.
    pub fn is_foreign(&self, identity: &LogIdentity) -> bool {
        self.epochs.iter().any(|epoch| epoch.identity != *identity)
    }

    /// Whether it never took part in this log, or has forgotten that it did. A drive takes an epoch's record before it
    /// takes any group, and keeps the newest one for as long as it keeps anything.
    pub fn is_blank(&self) -> bool {
        self.epochs.is_empty()
    }

    /// Whether "it is not here" may be believed of it.
    pub fn testifies(&self) -> bool {
        !self.is_blank() && !self.incomplete
    }
}
