//! Carries the recovery decision out. What must be durable before what:
//!
//! ```text
//! the new epoch, anywhere     needs  everything kept on r drives of its roster
//! it on an old drive          needs  it on every drive that joins
//! its first group             needs  it on r drives of each old roster that counts, and of its own
//! the log is open             needs  its first group on r drives: then no later start can miss the epoch
//! ```
//! A drive that fails on the way is left out, and the decision is made again without it: with what was copied so far, and
//! with whatever attempt now lies about. All calls block.

use std::collections::BTreeSet;
use std::sync::Arc;

use cairn_core::{DriveId, Entropy, EpochId};
use cairn_journal::{Append, JournalError, Shell};

use crate::drive_log::{DriveLog, LookError, StoredGroup};
use crate::drive_set::DriveSet;
use crate::epoch::{EpochRecord, LogIdentity};
use crate::error::{DriveFailure, OpLogError};
use crate::finding::{DriveFinding, GroupFound};
use crate::group::{GroupDigest, GroupHead, GroupName, StoredName};
use crate::options::{LogDrive, Options};
use crate::recover::{Decision, GroupCopy, Kept, Setting, StartPlan, decide};

/// How many bytes of copies are written to a drive at once.
const COPY_BYTES_MAX: usize = 8 << 20;

/// A log that has started, or can be read.
#[derive(Debug)]
pub(crate) struct Started {
    pub drives: Vec<DriveLog>,
    pub kept: Kept,
    /// The epoch that goes on, or the one that can only be read.
    pub epoch: EpochRecord,
    /// The drives that took the epoch; none where it can only be read.
    pub took: DriveSet,
    pub foreign: Vec<DriveId>,
    pub failed: Vec<DriveFailure>,
    pub copied: usize,
    pub read_only: bool,
}

/// Looks at all drives, decides, and carries the plan out.
pub(crate) fn start(
    drives: Vec<LogDrive>,
    identity: LogIdentity,
    options: &Options,
    entropy: &Arc<dyn Entropy>,
    shell: Shell,
) -> Result<Started, OpLogError> {
    let mut starter = Starter::look(drives, options, entropy, shell)?;
    // Each round leaves a drive out or finds a group damaged that was believed, so it ends; the bound is for the case that
    // drives rot faster than they are read.
    let rounds = 64 + starter.logs.len();
    let mut epoch = EpochId(0);
    for _ in 0..rounds {
        epoch = EpochId(entropy.next_u64());
        let setting = Setting {
            identity,
            formed: options.formed,
            failing: starter.failed.iter().map(|failure| failure.drive).collect(),
            copies_wanted: options.copies_wanted,
            new_epoch: epoch,
            orders: options.orders.clone(),
        };
        match decide(&starter.findings, &setting) {
            Decision::Refuse(refusal) => return Err(OpLogError::Refused { refusal, failed: starter.failed }),
            Decision::CoveredReadOnly(covered) => {
                return Ok(starter.finish(&identity, covered.kept, covered.base, DriveSet::EMPTY));
            }
            Decision::Start(plan) => {
                if let Some(took) = starter.carry_out(&plan)? {
                    let StartPlan { kept, epoch, .. } = *plan;
                    return Ok(starter.finish(&identity, kept, epoch, took));
                }
            }
        }
    }
    Err(OpLogError::NotStarted { epoch, failed: starter.failed })
}

struct Starter {
    logs: Vec<DriveLog>,
    findings: Vec<DriveFinding>,
    failed: Vec<DriveFailure>,
    copied: usize,
    parallel: bool,
}

impl Starter {
    fn look(
        drives: Vec<LogDrive>,
        options: &Options,
        entropy: &Arc<dyn Entropy>,
        shell: Shell,
    ) -> Result<Self, OpLogError> {
        let parallel = shell == Shell::Thread;
        let ids: Vec<DriveId> = drives.iter().map(|drive| drive.id).collect();
        let looked = each(drives, parallel, |drive| DriveLog::look(drive, options, entropy));
        let mut starter = Self { logs: Vec::new(), findings: Vec::new(), failed: Vec::new(), copied: 0, parallel };
        for (drive, looked) in ids.into_iter().zip(looked) {
            match looked {
                Ok((log, finding)) => {
                    starter.logs.push(log);
                    starter.findings.push(finding);
                }
                Err(LookError::Failed(source)) => starter.note_failure(drive, source),
                Err(LookError::Fatal(error)) => return Err(error),
            }
        }
        Ok(starter)
    }

    fn note_failure(&mut self, drive: DriveId, source: Arc<JournalError>) {
        tracing::warn!(%drive, error = %source, "the log leaves a drive that fails");
        self.failed.push(DriveFailure { drive, source });
    }

    /// Leaves drives out, so that the next decision is made without them.
    fn leave(&mut self, failures: Vec<(usize, Arc<JournalError>)>) {
        let positions: BTreeSet<usize> = failures.iter().map(|(position, _)| *position).collect();
        for (position, source) in failures {
            self.note_failure(self.findings[position].drive, source);
        }
        for position in positions.into_iter().rev() {
            self.logs.remove(position);
            self.findings.remove(position);
        }
    }

    /// `None`: something came to light that changes the decision. An error once it is too late for that.
    fn carry_out(&mut self, plan: &StartPlan) -> Result<Option<DriveSet>, OpLogError> {
        if !self.copy(&plan.copies) {
            return Ok(None);
        }
        let Some(took) = self.write_epoch(plan)? else { return Ok(None) };
        self.write_first_group(&plan.epoch, took)?;
        Ok(Some(took))
    }

    fn copy(&mut self, copies: &[GroupCopy]) -> bool {
        let targets: BTreeSet<usize> = copies.iter().map(|copy| copy.to).collect();
        for target in targets {
            let mut batch: Vec<StoredGroup> = Vec::new();
            let mut bytes = 0;
            for copy in copies.iter().filter(|copy| copy.to == target) {
                let Some(group) = self.read(copy.name, copy.from) else { return false };
                bytes += group.body.len() + group.head_bytes.len();
                batch.push(group);
                if bytes >= COPY_BYTES_MAX {
                    bytes = 0;
                    if !self.write_copies(target, std::mem::take(&mut batch)) {
                        return false;
                    }
                }
            }
            if !self.write_copies(target, batch) {
                return false;
            }
        }
        true
    }

    fn write_copies(&mut self, target: usize, batch: Vec<StoredGroup>) -> bool {
        if batch.is_empty() {
            return true;
        }
        let records = batch.iter().map(|group| (StoredName::Group(group.head.name()), group.to_append())).collect();
        if let Err(source) = self.logs[target].append(records) {
            self.leave(vec![(target, source)]);
            return false;
        }
        self.copied += batch.len();
        for group in batch {
            let StoredGroup { head, head_bytes, .. } = group;
            let name = head.name();
            self.findings[target].groups.push(GroupFound {
                name,
                acknowledged: head.acknowledged,
                floor: head.floor,
                digest: GroupDigest::of(&head_bytes),
            });
            self.findings[target].damaged.retain(|damaged| *damaged != name);
        }
        true
    }

    /// Reads a group from whichever drive has it whole. Those that have not are known to be damaged from then on; `None`
    /// where it was the last.
    fn read(&mut self, name: GroupName, from: DriveSet) -> Option<StoredGroup> {
        for position in from.iter() {
            match self.logs[position].read_group(name) {
                Ok(group) => return Some(group),
                Err(detail) => {
                    let finding = &mut self.findings[position];
                    tracing::warn!(drive = %finding.drive, %name, detail, "a group of the log is damaged");
                    finding.groups.retain(|group| group.name != name);
                    finding.damaged.push(name);
                }
            }
        }
        None
    }

    /// Joining drives first, all of them or another plan; then all others that any quorum asks, as many as will.
    fn write_epoch(&mut self, plan: &StartPlan) -> Result<Option<DriveSet>, OpLogError> {
        let quorums = || plan.epoch.witnesses.iter().chain([&plan.epoch.quorum]);
        let asked: DriveSet = (0..self.logs.len())
            .filter(|&position| quorums().any(|quorum| quorum.contains(self.findings[position].drive)))
            .collect();
        let mut took = DriveSet::EMPTY;
        let failures = self.write_epoch_to(&plan.epoch, plan.joining, &mut took);
        if !failures.is_empty() {
            self.leave(failures);
            return Ok(None);
        }
        let others = asked.iter().filter(|&position| !plan.joining.contains(position)).collect();
        for (position, source) in self.write_epoch_to(&plan.epoch, others, &mut took) {
            self.note_failure(self.findings[position].drive, source);
        }
        let taken: BTreeSet<DriveId> = took.iter().map(|position| self.findings[position].drive).collect();
        if quorums().all(|quorum| quorum.holds(|drive| taken.contains(&drive))) {
            return Ok(Some(took));
        }
        Err(OpLogError::NotStarted { epoch: plan.epoch.id, failed: self.failed.clone() })
    }

    fn write_epoch_to(
        &mut self,
        epoch: &EpochRecord,
        to: DriveSet,
        took: &mut DriveSet,
    ) -> Vec<(usize, Arc<JournalError>)> {
        let record = epoch_append(epoch);
        let logs: Vec<(usize, &mut DriveLog)> =
            self.logs.iter_mut().enumerate().filter(|(position, _)| to.contains(*position)).collect();
        let results = each(logs, self.parallel, |(position, log)| {
            (position, log.append(vec![(StoredName::Epoch(epoch.id), record.clone())]))
        });
        let mut failures = Vec::new();
        for (position, result) in results {
            match result {
                Ok(()) => {
                    took.insert(position);
                    self.findings[position].epochs.push(epoch.clone());
                }
                Err(source) => failures.push((position, source)),
            }
        }
        failures
    }

    /// The empty group that proves the epoch.
    fn write_first_group(&mut self, epoch: &EpochRecord, took: DriveSet) -> Result<(), OpLogError> {
        let head = GroupHead {
            epoch: epoch.id,
            number: epoch.kept.next(),
            acknowledged: epoch.kept,
            floor: epoch.floor,
            records: Vec::new(),
        };
        let name = StoredName::Group(head.name());
        let record = Append::new(name.encode(), head.encode(), Vec::new());
        let mut members = took.iter().filter(|&position| epoch.quorum.contains(self.findings[position].drive));
        let mut synced = 0;
        while synced < epoch.quorum.copies_len() {
            let wanted: DriveSet = members.by_ref().take(epoch.quorum.copies_len() - synced).collect();
            if wanted.is_empty() {
                return Err(OpLogError::NotStarted { epoch: epoch.id, failed: self.failed.clone() });
            }
            let logs: Vec<(usize, &mut DriveLog)> =
                self.logs.iter_mut().enumerate().filter(|(position, _)| wanted.contains(*position)).collect();
            let results =
                each(logs, self.parallel, |(position, log)| (position, log.append(vec![(name, record.clone())])));
            for (position, result) in results {
                match result {
                    Ok(()) => synced += 1,
                    Err(source) => {
                        let drive = self.findings[position].drive;
                        tracing::warn!(%drive, error = %source, "the log leaves a drive that fails");
                        self.failed.push(DriveFailure { drive, source });
                    }
                }
            }
        }
        Ok(())
    }

    fn finish(self, identity: &LogIdentity, kept: Kept, epoch: EpochRecord, took: DriveSet) -> Started {
        let foreign =
            self.findings.iter().filter(|finding| finding.is_foreign(identity)).map(|finding| finding.drive).collect();
        let failing = |position: usize| self.failed.iter().any(|f| f.drive == self.findings[position].drive);
        let took_and_lives = took.iter().filter(|&position| !failing(position)).collect();
        Started {
            took: took_and_lives,
            drives: self.logs,
            kept,
            read_only: took.is_empty(),
            epoch,
            foreign,
            failed: self.failed,
            copied: self.copied,
        }
    }
}

/// An epoch's record as the journals take it: all of it under the journal's own checksum.
pub(crate) fn epoch_append(epoch: &EpochRecord) -> Append {
    Append::new(StoredName::Epoch(epoch.id).encode(), epoch.encode().into(), Vec::new())
}

/// Does one thing to each drive: on threads where disks block, one after the other where a simulation wants it so.
fn each<I: Send, T: Send>(items: Vec<I>, parallel: bool, act: impl Fn(I) -> T + Sync) -> Vec<T> {
    if !parallel || items.len() < 2 {
        return items.into_iter().map(act).collect();
    }
    let act = &act;
    std::thread::scope(|scope| {
        let threads: Vec<_> = items.into_iter().map(|item| scope.spawn(move || act(item))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|p| std::panic::resume_unwind(p))).collect()
    })
}
