//! What a start found: the report, what the records amount to, and the records themselves, in order.

use std::collections::VecDeque;

use bytes::Bytes;
use cairn_core::{DriveId, EpochId};

use crate::epoch::EpochRecord;
use crate::error::{DriveFailure, OpLogError};
use crate::group::GroupNumber;
use crate::oplog::OpLog;
use crate::record::LogRecord;
use crate::recover::{Kept, KeptGroup};
use crate::start::Started;

/// What a start did, for people and for the one who keeps the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartReport {
    /// The epoch that goes on; where the log can only be read, the one that was found.
    pub epoch: EpochRecord,
    /// Whether nothing can be acknowledged, because too few drives are here.
    pub read_only: bool,
    /// The drives of the roster that are not here or fail.
    pub missing: Vec<DriveId>,
    /// Drives that carry another cluster's, node's or voter's log. They were left alone.
    pub foreign: Vec<DriveId>,
    /// The first group that is needed.
    pub floor: GroupNumber,
    /// The last group that was kept.
    pub last: GroupNumber,
    /// How many groups had to be copied to another drive.
    pub copied: usize,
}

impl StartReport {
    pub(crate) fn of(started: &Started, present: &[DriveId]) -> Self {
        let fails = |drive: DriveId| started.failed.iter().any(|failure| failure.drive == drive);
        Self {
            epoch: started.epoch.clone(),
            read_only: started.read_only,
            missing: started.epoch.missing(|drive| present.contains(&drive) && !fails(drive)),
            foreign: started.foreign.clone(),
            floor: started.kept.floor,
            last: started.kept.last,
            copied: started.copied,
        }
    }

    /// The new epoch's name.
    pub const fn epoch_id(&self) -> EpochId {
        self.epoch.id
    }
}

/// What the log held when it was opened.
#[derive(Debug)]
pub struct Recovered {
    log: OpLog,
    groups: std::vec::IntoIter<KeptGroup>,
    records: VecDeque<LogRecord>,
    /// What the start did.
    pub report: StartReport,
    /// Drives that were handed in and fail.
    pub failed: Vec<DriveFailure>,
    /// The first entry that stands.
    pub first_index: Option<u64>,
    /// The last entry that stands. Read it by [`OpLog::read`].
    pub last_index: Option<u64>,
    /// The index that the next append must begin with; `None` where any will do.
    pub next_index: Option<u64>,
    /// The last index that was purged, and what was said about it.
    pub purged: Option<(u64, Bytes)>,
    /// The newest vote.
    pub vote: Option<Bytes>,
    /// What was last known to be committed.
    pub committed: Option<Bytes>,
    /// The newest mark.
    pub mark: Option<Bytes>,
}

impl Recovered {
    pub(crate) fn new(log: &OpLog, kept: Kept, report: StartReport, failed: Vec<DriveFailure>) -> Self {
        let pipeline = log.shared.pipeline();
        let contents = &pipeline.contents;
        let recovered = Self {
            log: log.clone(),
            groups: kept.groups.into_iter(),
            records: VecDeque::new(),
            report,
            failed,
            first_index: contents.first_index(),
            last_index: contents.last_index(),
            next_index: contents.next_index(),
            purged: contents.purged().map(|(index, payload)| (index, payload.clone())),
            vote: contents.vote().cloned(),
            committed: contents.committed().cloned(),
            mark: contents.mark().cloned(),
        };
        drop(pipeline);
        recovered
    }

    /// The next record that was kept, in the order in which they were written: also those whose entries were truncated,
    /// overwritten or purged since, as far as their group is still needed. To be read before the log is purged.
    ///
    /// Fails with [`OpLogError::Unreadable`]: then stop, or get the group from a peer. It is never passed over.
    pub async fn next(&mut self) -> Result<Option<LogRecord>, OpLogError> {
        loop {
            if let Some(record) = self.records.pop_front() {
                return Ok(Some(record));
            }
            let Some(group) = self.groups.next() else { return Ok(None) };
            let stored = crate::reading::read_kept(&self.log.shared, group.name).await?;
            let records = stored.head.records.iter().enumerate();
            self.records = records.map(|(ordinal, record)| record.join(&stored.body_of(ordinal))).collect();
        }
    }
}
