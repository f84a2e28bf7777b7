//! What can go wrong with rows, and what the caller does about it.

use std::path::PathBuf;

use crate::merge_plan::UnfitPlan;
use crate::overlay::OverlayError;
use crate::run::format::RunRefusal;
use crate::run_set::{RUNS_MAX, RunId};
use crate::tally::Tally;

/// A copy of a run that was not what it should be.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", path.display())]
pub struct BadCopy {
    /// Which file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: RunRefusal,
}

/// Why rows could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    /// The overlay failed. Open the rows again and apply the log behind the last run once more; nothing is lost.
    #[error(transparent)]
    Overlay(#[from] OverlayError),
    /// What the overlay returns is not what was put into it. As [`Self::Overlay`]; no run was written from it.
    #[error("the overlay does not hold what was applied: {applied:?} applied, {found:?} found")]
    OverlayDiverged {
        /// What was applied.
        applied: Tally,
        /// What the overlay returned.
        found: Tally,
    },
    /// An earlier change was applied in part. As [`Self::Overlay`].
    #[error("an earlier change could not be applied whole; the rows must be opened again")]
    Stopped,
    /// No directory has a copy of a run that the set names. Fetch it from a peer, bring back a directory, or stop.
    #[error("{run:?} is in none of the directories: {}", list(tried))]
    RunUnavailable {
        /// Which run.
        run: RunId,
        /// Every place that was looked at.
        tried: Vec<BadCopy>,
    },
    /// A block is damaged in every copy of its run. Fetch the run from a peer, or stop; the rows in it cannot be guessed.
    #[error("block {block} of {run:?} is damaged in every copy: {}", list(tried))]
    BlockUnavailable {
        /// Which run.
        run: RunId,
        /// Which block.
        block: usize,
        /// Every copy, and what is wrong with it.
        tried: Vec<BadCopy>,
    },
    /// A run could not be written in a directory. Nothing has changed; cut or merge again, into other directories.
    #[error("{}: a run could not be written: {source}", path.display())]
    Write {
        /// Which file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There are as many runs as a set can name. Merge first.
    #[error("there are {RUNS_MAX} runs; merge some first")]
    TooManyRuns,
    /// A merge is under way. Finish or drop it first.
    #[error("a merge is under way")]
    MergeUnderWay,
    /// This merge is done or has failed. Plan again.
    #[error("the merge is over")]
    MergeOver,
    /// The plan does not fit the runs as they are now. Plan again.
    #[error(transparent)]
    UnfitPlan(#[from] UnfitPlan),
    /// A run was written and synced, and the device returned something else. As [`Self::Write`]; report the drive.
    #[error("a run was written and not read back: {0}")]
    ReadBack(#[source] BadCopy),
}

fn list(tried: &[BadCopy]) -> String {
    let places: Vec<_> = tried.iter().map(BadCopy::to_string).collect();
    if places.is_empty() { "no directory was given".to_owned() } else { places.join("; ") }
}
