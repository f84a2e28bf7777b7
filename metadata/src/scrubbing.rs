//! Reads all runs back, over and over and slowly, and has copies that are not what was written replaced by sound ones.
//!
//! ```text
//! run after run -> every byte of every copy -> a bad copy? -> written anew from the others
//!                                                |
//!                 bad everywhere: alone, said and gone on; among others, the node stops, and takes its rows from them
//! ```

use std::sync::Arc;
use std::time::Duration;

use cairn_rows::{Rows, RowsError, RunId};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::{NodeConfig, RunPlaces};
use crate::error::NodeFailure;
use crate::failure::Failure;
use crate::follow::Receiver;
use crate::raft::Raft;
use crate::runs::KeeperReport;

/// How long a start leaves the disks alone.
const FIRST_AFTER: Duration = Duration::from_secs(60);

/// How much is read at a time.
const STEP_BYTES: u64 = 1 << 20;

/// How long the disks rest behind each step: some 50 MiB a second are read at most.
const REST: Duration = Duration::from_millis(20);

/// What reading back needs.
pub(crate) struct Scrubber {
    pub(crate) config: Arc<NodeConfig>,
    pub(crate) rows: Rows,
    pub(crate) raft: Raft,
    pub(crate) failure: Failure,
    pub(crate) report: Arc<KeeperReport>,
    /// Where runs should lie.
    pub(crate) places: Receiver<RunPlaces>,
    pub(crate) stopping: CancellationToken,
}

impl Scrubber {
    /// Until the node is closed.
    pub(crate) async fn run(self) {
        let stopping = self.stopping.clone();
        tokio::select! {
            biased;
            () = stopping.cancelled() => {}
            _ = self.failure.happened() => {}
            () = self.round_after_round() => {}
        }
    }

    async fn round_after_round(&self) {
        tokio::time::sleep(FIRST_AFTER.min(self.config.scrub_every)).await;
        loop {
            let began = Instant::now();
            let mut unreadable = None;
            for run in self.rows.run_set().runs() {
                if let Err(error) = self.scrub(run.id).await {
                    unreadable = Some(error);
                }
            }
            self.report.set_damage(unreadable.as_ref().map(RowsError::to_string));
            if let Some(error) = unreadable
                && self.raft.leadership().borrow().voters > 1
            {
                // Others have the rows: better without this node for a while than with a hole in them.
                let index = self.rows.applied().0;
                self.failure.fail(NodeFailure::Rows { index, reason: error.to_string() });
            }
            tokio::time::sleep_until(began + self.config.scrub_every).await;
        }
    }

    /// Reads one run back and has it mended. An error says that it could not be.
    async fn scrub(&self, run: RunId) -> Result<(), RowsError> {
        let Some(mut scrub) = self.rows.begin_scrub(run) else { return Ok(()) };
        loop {
            let (back, step) = self
                .config
                .work
                .run(move || {
                    let step = scrub.step(STEP_BYTES);
                    (scrub, step)
                })
                .await;
            scrub = back;
            match step {
                Ok(true) => return Ok(()),
                Ok(false) => tokio::time::sleep(REST).await,
                Err(error) => {
                    tracing::warn!(%run, %error, "a copy of a run is not what was written");
                    let rows = self.rows.clone();
                    // Where runs lie now: drives come and go while the node runs.
                    let RunPlaces { directories, copies } = self.places.borrow().clone();
                    let directories: Vec<_> = directories.into_iter().take(copies).collect();
                    self.config.work.run(move || rows.mend(run, &directories)).await?;
                    return Ok(());
                }
            }
        }
    }
}
