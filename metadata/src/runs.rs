//! The keeper of the runs: when a run is cut, what the log says about it, and what may be removed after that.
//!
//! ```text
//! freeze the overlay -> write the run on r drives, read it back -> mark in the log -> acknowledged
//!                                                                                       |
//!                       log in front of the history goes <- report to all <- old runs go +
//! ```
//! Nothing is removed before the log has acknowledged the mark that replaces it, so a crash at any point leaves a mark
//! whose runs and log are there. A run that no acknowledged mark names is a file without meaning; it goes with the next
//! cleaning up.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cairn_core::LogIndex;
use cairn_machine::rows::topology::VoterRow;
use cairn_machine::{Operation, Row};
use cairn_oplog::{LogRecord, OpLog, OpLogError};
use cairn_rows::{MergePolicy, MergeProgress, Retired, Rows, RowsError, RunId, RunSet, merge_plan};
use tokio::sync::Mutex as TurnMutex;
use tokio_util::sync::CancellationToken;

use crate::applied::Applied;
use crate::config::{NodeConfig, RunPlaces};
use crate::error::NodeFailure;
use crate::failure::Failure;
use crate::follow::Receiver;
use crate::history;
use crate::propose::Proposer;
use crate::raft::{AppliedState, Kept, Mark, NewestMark, Position, Raft};
use crate::view::RowsAt;

/// How long the keeper waits before it tries again what failed: a full or failing drive does not change in a moment.
const RETRY: Duration = Duration::from_secs(10);

/// How much of a merge is done at a time, so that closing the node does not wait for all of it.
const MERGE_STEP_BYTES: u64 = 4 << 20;

/// Why there is no new set of runs.
#[derive(Debug, thiserror::Error)]
enum KeepError {
    /// Try again, with other directories in front.
    #[error(transparent)]
    Again(RowsError),
    /// The rows cannot be believed any more: the node stops, and a start fills the overlay from the log.
    #[error(transparent)]
    Rows(RowsError),
    /// The log has failed, and with it the node.
    #[error("the operation log: {0}")]
    Log(OpLogError),
    /// The node is being closed.
    #[error("the node is being closed")]
    Closing,
}

impl From<RowsError> for KeepError {
    fn from(error: RowsError) -> Self {
        match error {
            RowsError::Write { .. }
            | RowsError::ReadBack(_)
            | RowsError::TooManyRuns
            | RowsError::MergeUnderWay
            | RowsError::MergeOver
            | RowsError::UnfitPlan(_) => Self::Again(error),
            RowsError::Overlay(_)
            | RowsError::OverlayDiverged { .. }
            | RowsError::Stopped
            | RowsError::RunUnavailable { .. }
            | RowsError::BlockUnavailable { .. } => Self::Rows(error),
        }
    }
}

/// What the keeper tells those who ask.
#[derive(Debug, Default)]
pub(crate) struct KeeperReport {
    last_error: Mutex<Option<String>>,
    /// What reading back has found that no copy has.
    damage: Mutex<Option<String>>,
}

impl KeeperReport {
    /// What went wrong the last time, if it has not succeeded since.
    pub(crate) fn last_error(&self) -> Option<String> {
        let of = |error: &Mutex<Option<String>>| error.lock().unwrap_or_else(PoisonError::into_inner).clone();
        of(&self.damage).or_else(|| of(&self.last_error))
    }

    /// What the last round of reading back has found that could not be mended.
    pub(crate) fn set_damage(&self, damage: Option<String>) {
        *self.damage.lock().unwrap_or_else(PoisonError::into_inner) = damage;
    }

    fn set(&self, error: Option<String>) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }
}

/// Cuts, marks, merges, reports and cleans up.
pub(crate) struct Keeper {
    pub(crate) config: Arc<NodeConfig>,
    pub(crate) rows: Rows,
    pub(crate) applied: Arc<Applied>,
    pub(crate) log: OpLog,
    pub(crate) newest: NewestMark,
    pub(crate) raft: Raft,
    pub(crate) proposer: Proposer,
    pub(crate) failure: Failure,
    pub(crate) report: Arc<KeeperReport>,
    pub(crate) stopping: CancellationToken,
    /// The directories, in the order in which they are chosen: one that failed goes to the end.
    pub(crate) directories: Vec<PathBuf>,
    /// Where runs should lie, when drives come and go.
    pub(crate) places: Receiver<RunPlaces>,
    /// What was applied when the overlay was frozen, until the run is there, and how often the rows had been replaced by
    /// then: a leader's runs may take their place meanwhile.
    pub(crate) frozen: Option<(u64, AppliedState)>,
    /// Held while the set of runs changes, until the log has acknowledged the mark. Never while Raft is waited for, which
    /// may wait for this.
    pub(crate) turn: Arc<TurnMutex<()>>,
}

impl Keeper {
    /// Keeps the runs until the node is closed.
    pub(crate) async fn run(mut self) {
        self.begin().await;
        loop {
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => return,
                () = self.applied.cut_due() => {}
                changed = self.places.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.move_in().await;
                    continue;
                }
            }
            loop {
                let result = self.renew().await;
                self.report.set(result.as_ref().err().map(KeepError::to_string));
                match result {
                    Ok(()) => break,
                    Err(KeepError::Again(error)) => {
                        tracing::error!(%error, "no run could be cut; it will be tried again");
                        self.pass_over(&error);
                        if self.wait(RETRY).await.is_err() {
                            return;
                        }
                    }
                    Err(KeepError::Rows(error)) => {
                        let index = self.applied.index().0;
                        self.failure.fail(NodeFailure::Rows { index, reason: error.to_string() });
                        return;
                    }
                    Err(KeepError::Log(error)) => {
                        self.failure.fail(NodeFailure::Log(error.to_string()));
                        return;
                    }
                    Err(KeepError::Closing) => return,
                }
            }
        }
    }

    /// What a crash may have left undone: files that the newest mark does not name, copies that are missing, a run that
    /// was not reported.
    async fn begin(&mut self) {
        let set = self.rows.run_set();
        self.retire(set).await;
        self.mend().await;
        let Some(mark) = self.newest.get() else { return };
        let Some(last) = mark.applied.last else { return };
        let reported = VoterRow::get(&RowsAt(self.rows.view()), &self.config.voter);
        let behind = |row: VoterRow| row.run_index < LogIndex(last.index);
        match reported {
            Ok(row) if row.is_none_or(behind) => self.say_run(LogIndex(last.index)).await,
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "it is not known which run was reported last"),
        }
    }

    /// A new run, and what follows from it.
    async fn renew(&mut self) -> Result<(), KeepError> {
        let turn = self.turn.clone();
        let turn = turn.lock().await;
        let now = self.applied.replaced();
        let state = match self.frozen.take().filter(|(replaced, _)| *replaced == now) {
            Some((_, state)) => state,
            None => {
                let rows = &self.rows;
                let frozen = self.applied.cut(|state| rows.freeze().map(|at| at.map(|index| (index, state.clone()))));
                let Some((index, state)) = frozen? else { return Ok(()) };
                assert_eq!(state.last.map(|last| last.index), Some(index.0), "frozen where it was applied");
                state
            }
        };
        let (rows, directories) = (self.rows.clone(), self.chosen());
        if let Err(error) = self.blocking(move || rows.cut(&directories)).await {
            self.frozen = Some((now, state));
            return Err(error.into());
        }
        let purge_up_to = self.mark(&state).await?;
        drop(turn);
        self.purge(purge_up_to).await;
        if let Some(last) = state.last {
            self.say_run(LogIndex(last.index)).await;
        }
        let turn = self.turn.clone();
        let turn = turn.lock().await;
        // Runs that came from a leader meanwhile have a mark of their own.
        if self.applied.replaced() == now && self.merge().await? {
            let purge_up_to = self.mark(&state).await?;
            drop(turn);
            self.purge(purge_up_to).await;
        }
        self.mend().await;
        Ok(())
    }

    /// Says in the log what the runs are, and then removes what that replaces. Up to where the log may go.
    async fn mark(&mut self, state: &AppliedState) -> Result<Option<Position>, KeepError> {
        let set = self.rows.run_set();
        assert_eq!(state.last.map(|last| last.index), Some(set.index().0), "a mark names the rows at its index");
        let before = self.newest.get();
        let checkpoints = before.as_ref().map_or(&[][..], |mark| &mark.checkpoints);
        let plan = history::plan(checkpoints, state, self.config.history);
        let purge_up_to = plan.purge_up_to();
        let mark = Mark { run_set: set.encode().into(), applied: state.clone(), checkpoints: plan.checkpoints };
        let record = LogRecord::Mark { payload: mark.to_bytes() };
        let acknowledged = self.log.append(vec![record]).map_err(KeepError::Log)?;
        acknowledged.await.map_err(KeepError::Log)?;
        self.newest.set(Arc::new(mark));
        self.retire(set).await;
        Ok(purge_up_to)
    }

    async fn purge(&self, up_to: Option<Position>) {
        if let Some(position) = up_to
            && let Err(reason) = self.raft.purge(position).await
        {
            // Raft has stopped; the next start purges with its next run.
            tracing::warn!(%reason, "the log was not cut");
        }
    }

    /// Merges what is due. Whether there was anything.
    async fn merge(&mut self) -> Result<bool, KeepError> {
        let mut merged = false;
        while let Some(plan) = merge_plan::plan(&self.rows.run_set(), &MergePolicy::default()) {
            let mut merge = self.rows.begin_merge(plan, &self.chosen())?;
            loop {
                if self.stopping.is_cancelled() {
                    return Err(KeepError::Closing);
                }
                let (back, progress) = self
                    .blocking(move || {
                        let progress = merge.step(MERGE_STEP_BYTES);
                        (merge, progress)
                    })
                    .await;
                merge = back;
                if let MergeProgress::Done(_) = progress? {
                    break;
                }
            }
            merged = true;
        }
        Ok(merged)
    }

    /// Removes the files that neither the acknowledged set nor the present one names.
    async fn retire(&mut self, acknowledged: RunSet) {
        let (rows, directories) = (self.rows.clone(), self.directories.clone());
        let retired: Retired = self.blocking(move || rows.retire(&acknowledged, &directories)).await;
        if retired.removed > 0 {
            tracing::debug!(removed = retired.removed, "runs that nothing names were removed");
        }
    }

    /// Runs lie in other directories from now on: each is read back where it is, and copied to where it should be too.
    async fn move_in(&mut self) {
        let places = self.places.borrow_and_update().clone();
        let turn = self.turn.clone();
        let _turn = turn.lock().await;
        self.directories.retain(|directory| places.directories.contains(directory));
        let fresh = places.directories.into_iter().filter(|place| !self.directories.contains(place));
        let fresh: Vec<PathBuf> = fresh.collect();
        self.directories.extend(fresh);
        let runs: Vec<_> = self.rows.run_set().runs().iter().map(|run| run.id).collect();
        self.mend_these(runs).await;
    }

    /// Writes sound copies in place of those that were found damaged or missing.
    async fn mend(&mut self) {
        let mut damaged: Vec<_> = self.rows.take_damage().into_iter().map(|damage| damage.run).collect();
        damaged.extend(self.rows.short_of(self.copies()));
        damaged.sort_unstable();
        damaged.dedup();
        self.mend_these(damaged).await;
    }

    async fn mend_these(&mut self, runs: Vec<RunId>) {
        for run in runs {
            let (rows, directories) = (self.rows.clone(), self.chosen());
            if let Err(error) = self.blocking(move || rows.mend(run, &directories)).await {
                tracing::error!(%run, %error, "a run has fewer sound copies than it should");
                self.pass_over(&error);
            }
        }
    }

    /// Tells everyone that this voter's rows stand in runs up to an index: garbage before it can go.
    async fn say_run(&mut self, index: LogIndex) {
        let report = Operation::ReportRun { voter: self.config.voter, index };
        loop {
            match self.proposer.without_session(std::slice::from_ref(&report)).await {
                Ok(_) => return,
                Err(error) => {
                    tracing::warn!(%error, %index, "a run could not be reported; it will be tried again");
                    if self.wait(RETRY).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// The directories that a run goes to: as many as it has copies.
    fn chosen(&self) -> Vec<PathBuf> {
        self.directories.iter().take(self.copies()).cloned().collect()
    }

    /// How many copies a run has.
    fn copies(&self) -> usize {
        self.places.borrow().copies
    }

    /// A directory that failed is chosen last from now on.
    fn pass_over(&mut self, error: &RowsError) {
        let path = match error {
            RowsError::Write { path, .. } => path,
            RowsError::ReadBack(bad) => &bad.path,
            _ => return,
        };
        let failed = |directory: &PathBuf| path.starts_with(directory);
        let (last, mut first): (Vec<_>, Vec<_>) = self.directories.drain(..).partition(failed);
        first.extend(last);
        self.directories = first;
    }

    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        self.config.work.run(work).await
    }

    async fn wait(&self, time: Duration) -> Result<(), KeepError> {
        tokio::select! {
            biased;
            () = self.stopping.cancelled() => Err(KeepError::Closing),
            () = tokio::time::sleep(time) => Ok(()),
        }
    }
}
