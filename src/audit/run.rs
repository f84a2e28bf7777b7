//! One audit of this process: begun, followed, done.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cairn_core::{Clock, DriveId, Drives, Elapsed};
use cairn_machine::audit::{Audit, Balance};
use cairn_machine::row::{Row, Table};
use cairn_machine::rows::topology::{DriveRow, DriveState};
use cairn_machine::{RowError, RowSource};
use cairn_metadata::{Client, ReadError, View};
use tokio::sync::watch;

use super::inventory::Comparison;
use super::{Begun, Bucket, Drive, Imbalance, Inventory, Progress, Report};

/// How many rows a step reads: some milliseconds of one core.
const STEP_ROWS: usize = 4096;

/// The longest rest behind a step: what a step takes on a machine that is busy says little.
const REST_MAX: Duration = Duration::from_millis(50);

/// The audits of one process: one at a time.
#[derive(Debug, Default)]
pub struct Audits {
    newest: Mutex<Option<Running>>,
}

#[derive(Debug, Clone)]
struct Running {
    id: u64,
    physical: bool,
    progress: watch::Receiver<Progress>,
}

impl Running {
    /// How it is doing. One whose task has ended without a word has failed.
    fn now(&self) -> Progress {
        // In this order: what a task says last, it says before it ends.
        let ended = self.progress.has_changed().is_err();
        let progress = self.progress.borrow().clone();
        if ended && !progress.is_over() {
            return Progress::Failed { reason: "it has ended without a word".to_owned() };
        }
        progress
    }
}

/// What an audit reads.
#[derive(Debug, Clone)]
pub struct Subjects {
    /// The rows.
    pub client: Client,
    /// The drives.
    pub drives: Arc<Drives>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// Why an audit broke off.
#[derive(Debug, thiserror::Error)]
enum AuditError {
    /// Rows cannot be read here.
    #[error(transparent)]
    Rows(#[from] RowError),
    /// No index that holds everything could be had.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Audits {
    /// Begins an audit, or joins the one that runs, if it does as much as is asked for. Refuses while another one runs.
    pub fn begin(&self, subjects: Subjects, physical: bool) -> Result<Begun, String> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = newest.as_ref().filter(|running| !running.now().is_over()) {
            return if running.physical || !physical {
                Ok(Begun { id: running.id, progress: running.now() })
            } else {
                Err("an audit of the rows alone is under way: ask again when it is over".into())
            };
        }
        let id = newest.as_ref().map_or(1, |running| running.id + 1);
        let (sender, progress) = watch::channel(Progress::Counting { rows: 0 });
        tokio::spawn(async move {
            let over = match carry_out(subjects, physical, &sender).await {
                Ok(report) => Progress::Done(Box::new(report)),
                Err(error) => Progress::Failed { reason: error.to_string() },
            };
            sender.send_replace(over);
        });
        let begun = Begun { id, progress: progress.borrow().clone() };
        *newest = Some(Running { id, physical, progress });
        Ok(begun)
    }

    /// How an audit is doing: when it is over, or after so long. None for one that nobody knows.
    pub async fn follow(&self, id: u64, wait: Duration) -> Option<Begun> {
        let running = self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut running = running.filter(|running| running.id == id)?;
        // Either way it is said how far it is.
        drop(tokio::time::timeout(wait, running.progress.wait_for(Progress::is_over)).await);
        Some(Begun { id, progress: running.now() })
    }
}

async fn carry_out(
    subjects: Subjects,
    physical: bool,
    progress: &watch::Sender<Progress>,
) -> Result<Report, AuditError> {
    let Subjects { client, drives, clock } = subjects;
    let began = clock.elapsed();
    let view = client.read().await?;
    let states = states(&view)?;
    let balance = count(&view, &*clock, progress).await?;
    let (mut inventories, mut missing) = (Default::default(), Vec::new());
    if physical {
        let holding = states.iter().filter(|(_, row)| matches!(row.state, DriveState::Active | DriveState::Draining));
        let mut comparison = Comparison::begin(&view, &drives, holding.map(|(id, _)| *id))?;
        let mut compared = 0;
        loop {
            let step = clock.elapsed();
            let (stripes, more) = comparison.step(&view).await?;
            compared += stripes as u64;
            progress.send_replace(Progress::Comparing { stripes: compared });
            if !more {
                break;
            }
            rest(&*clock, step).await;
        }
        (inventories, missing) = comparison.finish(&client.read().await?)?;
    }
    let mut report = report(balance, &states, view.index().0);
    for (drive, (id, _)) in report.drives.iter_mut().zip(&states) {
        drive.inventory = inventories.remove(id);
    }
    report.imbalances.extend(missing);
    let sound = |inventory: &Inventory| inventory.missing == 0 && inventory.problem.is_none();
    let drives_agree = report.drives.iter().all(|drive| drive.inventory.as_ref().is_none_or(sound));
    report.balanced = report.imbalances.is_empty() && !report.more && drives_agree;
    report.physical = physical;
    report.took_ms = u64::try_from(clock.elapsed().since(began).as_millis()).unwrap_or(u64::MAX);
    Ok(report)
}

async fn count(view: &View, clock: &dyn Clock, progress: &watch::Sender<Progress>) -> Result<Balance, AuditError> {
    let mut audit = Audit::default();
    loop {
        let step = clock.elapsed();
        let rows = view.clone();
        // Runs are read from files: not on a thread that others wait for.
        let read = tokio::task::spawn_blocking(move || {
            let over = audit.step(&rows, STEP_ROWS);
            (audit, over)
        });
        let over;
        (audit, over) = match read.await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The process ends.
                Err(cancelled) => return Err(RowError::Storage(Box::new(cancelled)).into()),
            },
        };
        if over? {
            return Ok(audit.finish());
        }
        progress.send_replace(Progress::Counting { rows: audit.rows() });
        rest(clock, step).await;
    }
}

/// As long as the step took: an audit takes half of a core at most.
async fn rest(clock: &dyn Clock, step: Elapsed) {
    tokio::time::sleep(clock.elapsed().since(step).min(REST_MAX)).await;
}

fn states(rows: &impl RowSource) -> Result<Vec<(DriveId, DriveRow)>, RowError> {
    let mut states = Vec::new();
    DriveRow::scan(rows, &[Table::Drive as u8], |id, row| {
        states.push((id, row));
        std::ops::ControlFlow::Continue(())
    })?;
    Ok(states)
}

fn report(balance: Balance, states: &[(DriveId, DriveRow)], index: u64) -> Report {
    let buckets = balance.buckets.into_iter().map(|(id, (name, ledger))| Bucket {
        name: name.map_or_else(|| id.to_string(), |name| name.to_string()),
        objects: ledger.objects,
        versions: ledger.versions,
        bytes: ledger.bytes,
    });
    let drives = states.iter().map(|(id, row)| {
        let ledger = balance.drives.get(id).copied().unwrap_or_default();
        Drive {
            id: id.to_string(),
            label: row.label.clone(),
            state: format!("{:?}", row.state).to_lowercase(),
            chunks: ledger.chunks,
            bytes: ledger.bytes,
            garbage_chunks: ledger.garbage_chunks,
            garbage_bytes: ledger.garbage_bytes,
            inventory: None,
        }
    });
    let told = |imbalance: cairn_machine::audit::Imbalance| {
        let cairn_machine::audit::Imbalance { of, kept, counted } = imbalance;
        Imbalance { of, kept, counted }
    };
    Report {
        index,
        rows: balance.rows,
        stripes: balance.stripes,
        extents: balance.extents,
        extents_in_metadata: balance.here.extents,
        bytes_in_metadata: balance.here.bytes,
        buckets: buckets.collect(),
        drives: drives.collect(),
        imbalances: balance.imbalances.into_iter().map(told).collect(),
        more: balance.more,
        ..Report::default()
    }
}
