//! The roster changes while the log runs: a new epoch, written by the same rules as one at a start. What must be durable
//! before what:
//!
//! ```text
//! the new epoch, anywhere     needs  every group acknowledged on r drives of its roster, where a drive leaves or r grows
//! it on an old drive          needs  it on every drive that joins
//! its first group             needs  it on r drives of the old roster and r of its own, and no older group under way
//! a group acknowledged in it  needs  its first group on r drives: then no start misses the epoch
//! ```
//! Copies are made while writes go on. Only while the record is synced, twice in a row, nothing else is written: a pause as
//! long as three syncs. If it is not synced in time, the log goes on in the epoch that it has; as no group of the new one was
//! ever written, a start takes it for an attempt cut short, which it is.

use std::collections::BTreeSet;
use std::sync::Arc;

use cairn_core::{DriveId, EpochId};
use cairn_journal::{JournalError, JournalHandle, Shell};

use crate::drive_log::{DriveLog, LookError};
use crate::drive_set::{DRIVES_MAX, DriveSet};
use crate::epoch::EpochRecord;
use crate::error::{DriveFailure, OpLogError};
use crate::group::GroupNumber;
use crate::mending::{BATCH_GROUPS, copy, look_after};
use crate::oplog::{RunningDrive, Shared, carry_out};
use crate::options::LogDrive;
use crate::pipeline::{Effects, Members, Progress};
use crate::roster::{Choice, Quorum};
use crate::segments::SegmentUse;
use crate::start::epoch_append;

/// How many times the patience with one drive those have that must sync an epoch's record, while writes wait.
const PAUSE_PATIENCES: u32 = 3;

/// How often what came meanwhile is copied while writes go on.
const ROUNDS_WHILE_WRITING: u32 = 4;

/// How often everything is looked through before it is given up that all of it can be copied.
const COPY_PASSES: u32 = 8;

/// How the roster should change.
#[derive(Debug, Clone, Default)]
pub struct RosterChange {
    /// Drives that are here and may join, those to be taken first in front. Some may be in the roster already.
    pub here: Vec<LogDrive>,
    /// Drives that the log has declared lost or removed: what they held is copied, and they leave.
    pub leaving: BTreeSet<DriveId>,
    /// What [`crate::copies_wanted`] says now.
    pub copies_wanted: u8,
}

/// Why the roster did not change. The log goes on as before, unless it has stopped.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ChangeError {
    /// The log takes nothing more.
    #[error(transparent)]
    Log(#[from] OpLogError),
    /// Too few drives of the present roster are well, or of the new one. Where drives never come back, an operator says so at
    /// a start; else wait for them.
    #[error("{what}: {healthy} drives are well and {copies} are needed")]
    TooFewDrives {
        /// Of which roster.
        what: &'static str,
        /// How many are well.
        healthy: usize,
        /// How many are needed.
        copies: usize,
    },
    /// A drive that should join fails. Leave it out.
    #[error("{0}")]
    Drive(DriveFailure),
    /// A drive that should join carries another log, or another history of this one. Leave it out.
    #[error("drive {drive} carries another log, or another history of this one")]
    Foreign {
        /// Which.
        drive: DriveId,
    },
    /// More drives than the log can keep apart, or epochs than it can name. A restart begins to count anew.
    #[error("the roster has changed too often since the start: {0}")]
    TooMany(&'static str),
    /// Not everything could be copied. The log says which groups; try again when the drives are well.
    #[error("not all of the log could be copied to the drives of the new roster")]
    NotCopied,
    /// Too few drives synced the new epoch's record in time. Try again.
    #[error("epoch {epoch} was not synced by enough drives in time")]
    NotSynced {
        /// The epoch.
        epoch: EpochId,
    },
}

/// What is to be done.
struct Plan {
    quorum: Quorum,
    /// Members that were not in the roster before.
    joining: Vec<LogDrive>,
    /// Whether everything must be seen on the new roster's drives first.
    everything: bool,
}

/// See [`crate::OpLog::change_roster`].
pub(crate) async fn change(
    shared: &Arc<Shared>,
    change: RosterChange,
) -> Result<Option<Arc<EpochRecord>>, ChangeError> {
    let _one = shared.changing().lock().await;
    let Some(plan) = plan(shared, &change)? else { return Ok(None) };
    tracing::info!(roster = ?plan.quorum.roster, copies = plan.quorum.copies, "the log's roster changes");
    let mut joining = DriveSet::EMPTY;
    for drive in plan.joining {
        joining.insert(admit(shared, drive).await?);
    }
    let members = |shared: &Shared| Members {
        drives: shared.pipeline().members_of(&plan.quorum, joining),
        copies: plan.quorum.copies_len(),
    };
    if plan.everything {
        copy_most(shared, || members(shared)).await?;
    }
    // Segments are not given back meanwhile: that may write the record of the epoch that it knew.
    let _reclaims = shared.reclaiming().lock().await;
    let pause = Pause::begin(shared);
    shared.until(|pipeline| pipeline.is_still() || pipeline.stopped().is_some()).await;
    if plan.everything {
        // What was written since the last look.
        copy_all(shared, || members(shared)).await?;
    }
    check(shared, &plan.quorum, joining)?;
    let attempt = shared.pipeline().attempt(plan.quorum.clone());
    let epoch = attempt.ok_or(ChangeError::TooMany("epochs that were not begun"))?;
    write(shared, &epoch, joining, joining, false).await?;
    let others = {
        let pipeline = shared.pipeline();
        pipeline.flight.healthy().iter().copied().filter(|drive| !joining.contains(*drive)).collect()
    };
    write(shared, &epoch, others, DriveSet::EMPTY, true).await?;
    let first = pause.switch();
    shared.until(|pipeline| pipeline.flight.acknowledged() >= first || pipeline.stopped().is_some()).await;
    running(shared)?;
    Ok(Some(epoch))
}

/// What the roster should be; none where it is that already.
fn plan(shared: &Shared, change: &RosterChange) -> Result<Option<Plan>, ChangeError> {
    running(shared)?;
    let (base, healthy) = {
        let pipeline = shared.pipeline();
        (pipeline.epoch.quorum.clone(), pipeline.flight.healthy().to_vec())
    };
    let healthy = healthy.into_iter().map(|drive| shared.drive(drive).id);
    // One that failed here fails until the next start.
    let fails = |drive: DriveId| shared.find(drive).is_some_and(|(_, running)| running.is_poisoned());
    let fresh = |drive: &&LogDrive| !base.contains(drive.id) && !fails(drive.id);
    let living: Vec<DriveId> = healthy.chain(change.here.iter().filter(fresh).map(|drive| drive.id)).collect();
    let none = BTreeSet::new();
    let choice =
        Choice { living: &living, failing: &none, leaving: &change.leaving, copies_wanted: change.copies_wanted };
    let too_few = ChangeError::TooFewDrives { what: "of the new roster", healthy: 0, copies: 1 };
    let quorum = choice.quorum(Some(&base), EpochId(shared.entropy().next_u64())).ok_or(too_few)?;
    if quorum.roster == base.roster && quorum.copies == base.copies {
        return Ok(None);
    }
    let joins = |drive: &&LogDrive| quorum.contains(drive.id) && !base.contains(drive.id);
    let joining: Vec<LogDrive> = change.here.iter().filter(joins).cloned().collect();
    Ok(Some(Plan { everything: !quorum.inherits(&base), quorum, joining }))
}

/// Refuses where the log takes nothing more.
fn running(shared: &Shared) -> Result<(), ChangeError> {
    let pipeline = shared.pipeline();
    match pipeline.stopped() {
        Some(stopped) => Err(stopped.clone().into()),
        None if pipeline.closing => Err(OpLogError::Closed.into()),
        None => Ok(()),
    }
}

/// Refuses where an epoch could not be begun.
fn check(shared: &Shared, quorum: &Quorum, joining: DriveSet) -> Result<(), ChangeError> {
    running(shared)?;
    let pipeline = shared.pipeline();
    let base = &pipeline.epoch.quorum;
    for (what, quorum, joining) in
        [("of the present roster", base, DriveSet::EMPTY), ("of the new roster", quorum, joining)]
    {
        if !pipeline.can_hold(quorum, joining) {
            let healthy = pipeline.members_of(quorum, joining).len();
            return Err(ChangeError::TooFewDrives { what, healthy, copies: quorum.copies_len() });
        }
    }
    Ok(())
}

/// Opens the log of a drive that is to join, made where there is none. Nothing is written to it yet.
async fn admit(shared: &Arc<Shared>, drive: LogDrive) -> Result<usize, ChangeError> {
    let id = drive.id;
    if let Some((position, running)) = shared.find(id)
        && running.handle().is_some()
    {
        return Ok(position);
    }
    if shared.drives_len() >= DRIVES_MAX {
        return Err(ChangeError::TooMany("drives"));
    }
    let (options, entropy) = (shared.options().clone(), shared.entropy().clone());
    let look = move || {
        let (mut log, finding) = DriveLog::look(drive, &options, &entropy)?;
        log.begin().map_err(LookError::Failed)?;
        Ok((log, finding))
    };
    let looked = match shared.shell() {
        Shell::Task => look(),
        Shell::Thread => match tokio::task::spawn_blocking(look).await {
            Ok(looked) => looked,
            // The runtime is shutting down, or the look has failed and said so.
            Err(_) => return Err(OpLogError::Closed.into()),
        },
    };
    let (log, finding) = looked.map_err(|error| match error {
        LookError::Failed(source) => ChangeError::Drive(DriveFailure { drive: id, source }),
        LookError::Fatal(error) => error.into(),
    })?;
    let epoch = shared.pipeline().epoch.clone();
    let known = |found: &EpochRecord| found.id == epoch.id || epoch.descends_from(found.id);
    if finding.is_foreign(&epoch.identity) || !finding.epochs.iter().all(known) {
        return Err(ChangeError::Foreign { drive: id });
    }
    let (dir, (_, journal, places)) = (log.dir(), log.into_parts());
    let journal = journal.expect("it was made where there was none");
    // What it held before is void or lies elsewhere too: nothing of it is counted on, and its segments may go.
    let highest = places.highest(|name| epoch.counts(name));
    let newest = highest.keys().copied().max().unwrap_or(0);
    let reader = Some(journal.reader().clone());
    let handle = JournalHandle::start(journal, shared.shell(), &format!("log-{id}"), JournalHandle::QUEUE_BYTES);
    let handle = handle.map_err(|source| ChangeError::Drive(DriveFailure { drive: id, source: Arc::new(source) }))?;
    let position =
        shared.admit(RunningDrive::new(id, reader, Some(handle)), dir, SegmentUse { highest, newest, epoch: None });
    tokio::spawn(look_after(Arc::downgrade(shared), position));
    Ok(position)
}

/// Copies, while writes go on, what had been acknowledged when this began, and what came meanwhile a few times over: each round
/// is shorter than the one before, and what the last one leaves is copied while nothing else is written.
async fn copy_most(shared: &Arc<Shared>, members: impl Fn() -> Members) -> Result<(), ChangeError> {
    for _ in 0..ROUNDS_WHILE_WRITING {
        let last = shared.pipeline().flight.acknowledged();
        copy_up_to(shared, last, &members).await?;
    }
    Ok(())
}

/// Copies until every acknowledged group lies on enough of the members.
async fn copy_all(shared: &Arc<Shared>, members: impl Fn() -> Members) -> Result<(), ChangeError> {
    for _ in 0..COPY_PASSES {
        let last = shared.pipeline().flight.acknowledged();
        copy_up_to(shared, last, &members).await?;
        let members = members();
        if shared.pipeline().lies_on(members) {
            return Ok(());
        }
    }
    Err(ChangeError::NotCopied)
}

/// One copy more of each group that needs it, up to one.
async fn copy_up_to(
    shared: &Arc<Shared>,
    last: GroupNumber,
    members: &impl Fn() -> Members,
) -> Result<(), ChangeError> {
    let mut behind = GroupNumber::ZERO;
    while behind < last {
        running(shared)?;
        let members = members();
        let mut lacking = shared.pipeline().lacking(members, behind, BATCH_GROUPS, shared.clock().elapsed());
        lacking.retain(|short| short.name.number <= last);
        if lacking.is_empty() {
            break;
        }
        behind = copy(shared, lacking).await;
    }
    Ok(())
}

/// Has drives sync the epoch's record, and waits until those that join have it and, where the others are asked, its quorums.
async fn write(
    shared: &Arc<Shared>,
    epoch: &Arc<EpochRecord>,
    to: DriveSet,
    joining: DriveSet,
    quorums: bool,
) -> Result<(), ChangeError> {
    {
        let mut pipeline = shared.pipeline();
        to.iter().for_each(|position| pipeline.asks(position));
    }
    for position in to.iter() {
        let running = shared.drive(position);
        let handle = running.handle().expect("only running drives are asked");
        let (called, id) = (shared.clone(), epoch.id);
        let answered = move |result| {
            let mut effects = Effects::default();
            called.pipeline().took(position, id, result, called.clock().elapsed(), &mut effects);
            carry_out(&called, effects);
            called.progressed();
        };
        if let Err(error) = handle.submit(epoch_append(epoch), answered.clone()) {
            answered(Err(Arc::new(error)));
        }
    }
    // Those that are slow may be used later; those that are needed are waited for longer.
    let patience = shared.patience().late;
    let all =
        shared.until(|pipeline| matches!(pipeline.progress(joining, quorums), Progress::Written | Progress::Failed));
    if tokio::time::timeout(patience, all).await.is_err() {
        let enough = shared.until(|pipeline| pipeline.progress(joining, quorums) != Progress::UnderWay);
        // Where it is too late the progress says so.
        tokio::time::timeout(patience * PAUSE_PATIENCES, enough).await.unwrap_or_default();
    }
    if let Progress::Written | Progress::Enough = shared.pipeline().progress(joining, quorums) {
        return Ok(());
    }
    running(shared)?;
    for position in joining.iter() {
        let running = shared.drive(position);
        if let Some(why) = running.handle().and_then(JournalHandle::poisoned) {
            let source = Arc::new(JournalError::Poisoned(why));
            return Err(ChangeError::Drive(DriveFailure { drive: running.id, source }));
        }
    }
    Err(ChangeError::NotSynced { epoch: epoch.id })
}

/// No group is formed while it lives. Dropped, whatever the reason, the log goes on in the epoch that it has.
struct Pause<'a>(&'a Arc<Shared>);

impl<'a> Pause<'a> {
    fn begin(shared: &'a Arc<Shared>) -> Self {
        shared.pipeline().pause();
        Self(shared)
    }

    /// Ends it with the epoch that was written; the number of its first group.
    fn switch(self) -> GroupNumber {
        let mut effects = Effects::default();
        let first = self.0.pipeline().switch(self.0.clock().elapsed(), &mut effects);
        carry_out(self.0, effects);
        first
    }
}

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        let mut effects = Effects::default();
        self.0.pipeline().resume(self.0.clock().elapsed(), &mut effects);
        carry_out(self.0, effects);
    }
}
