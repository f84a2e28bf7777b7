//! Cutting a run: what the overlay holds becomes a run at one index, and an empty overlay goes on.
//!
//! ```text
//! active --(exchanged for an empty one)--> frozen --(written, synced, read back)--> run
//! ```
//!
//! The writer waits for the exchange only. A cut that fails leaves the frozen overlay where it is, still read from; the
//! next cut writes that one.

use std::path::PathBuf;
use std::sync::Arc;

use cairn_core::LogIndex;

use crate::error::RowsError;
use crate::generation::Generation;
use crate::overlay::Version;
use crate::rows::{Building, Rows, Shared, lock};
use crate::run::build::RunBuilder;
use crate::run::format::Header;
use crate::run::reader::Run;
use crate::run_set::{RUNS_MAX, RunRef};
use crate::tally::Tally;
use crate::view::{Frozen, Levels};

/// When an overlay holds so many bytes, it is time to cut. It bounds the memory that an overlay takes (in sled some three
/// times this), and what a start has to apply again.
pub const CUT_BYTES: u64 = 64 * 1024 * 1024;

/// How many versions are taken from the overlay at once.
const VERSIONS_AT_ONCE: usize = 512;

impl Rows {
    /// Only the exchange: from now on an empty overlay takes what is applied, and the next [`Rows::cut`] writes what was
    /// applied until now. Says up to which index that is, the earlier one where a cut that failed has left an overlay;
    /// `None` where nothing was applied. For a caller who must know more about that index than rows say: it calls this
    /// while it applies nothing. Not while a cut is under way.
    pub fn freeze(&self) -> Result<Option<LogIndex>, RowsError> {
        Ok(freeze(&self.shared)?.map(|frozen| frozen.index))
    }

    /// Writes everything that was applied since the last cut as a new run into each of the directories, which exist and
    /// are on as many drives. `None` where nothing was applied.
    ///
    /// On an error nothing has changed for readers or for the set of runs; files of the attempt may be left behind, and
    /// [`Rows::retire`] removes them. Takes as long as writing takes: for a thread that may block.
    pub fn cut(&self, directories: &[PathBuf]) -> Result<Option<RunRef>, RowsError> {
        let _maintenance = lock(&self.shared.maintenance);
        self.shared.graveyard.empty();
        if self.shared.is_stopped() {
            return Err(RowsError::Stopped);
        }
        let levels = self.shared.levels();
        if levels.runs.len() == RUNS_MAX {
            return Err(RowsError::TooManyRuns);
        }
        let Some(frozen) = freeze(&self.shared)? else { return Ok(None) };
        let after = levels.runs.first().map_or(LogIndex(0), |run| run.name().index);
        let building = Building::begin(&self.shared);
        let header = Header { id: building.id, after, index: frozen.index };
        let run = write(&self.shared, &frozen.generation, header, directories)?;
        let name = *run.name();
        publish(&self.shared, run);
        drop((building, levels, frozen));
        self.shared.graveyard.empty();
        Ok(Some(name))
    }
}

/// Exchanges the overlay for an empty one, unless an earlier cut has left one that still waits to be written.
fn freeze(shared: &Shared) -> Result<Option<Frozen>, RowsError> {
    let levels = shared.levels();
    if levels.frozen.is_some() {
        return Ok(levels.frozen.clone());
    }
    let base = levels.runs.first().map_or(LogIndex(0), |run| run.name().index);
    if lock(&shared.published).index == base {
        return Ok(None);
    }
    // Opened before the writer has to wait.
    let fresh = shared.fresh_generation()?;
    // The lock keeps an index from being spread over two overlays.
    let _writer = lock(&shared.writer);
    shared.publish(|published| {
        let frozen = Frozen { generation: published.levels.active.clone(), index: published.index };
        Levels { active: fresh, frozen: Some(frozen), runs: published.levels.runs.clone() }
    });
    Ok(shared.levels().frozen.clone())
}

fn write(shared: &Shared, from: &Generation, header: Header, directories: &[PathBuf]) -> Result<Run, RowsError> {
    let applied = from.content().tally;
    let files = shared.options.files.clone();
    let mut builder = RunBuilder::create(files, directories, header, applied.count)?;
    let mut found = Tally::default();
    let mut page: Vec<Version> = Vec::with_capacity(VERSIONS_AT_ONCE);
    let mut last: Option<Version> = None;
    loop {
        page.clear();
        let after = last.as_ref().map(|version| (version.key.as_ref(), version.index));
        from.overlay().versions(after, VERSIONS_AT_ONCE, &mut page)?;
        let more = page.len() == VERSIONS_AT_ONCE;
        for version in page.drain(..) {
            // What comes back is compared as a whole at the end; what would break the file's order is found here.
            let key_is_new = last.as_ref().is_none_or(|last| last.key != version.key);
            if last.as_ref().is_some_and(|last| last.key > version.key) || version.index > header.index {
                shared.stop();
                return Err(RowsError::OverlayDiverged { applied, found });
            }
            found.add(&version.key, version.index, version.value.as_ref());
            if key_is_new {
                builder.add(&version.key, version.value.as_ref())?;
            }
            last = Some(version);
        }
        if !more {
            break;
        }
    }
    if found != applied {
        shared.stop();
        return Err(RowsError::OverlayDiverged { applied, found });
    }
    let mut read_back = builder.finish()?;
    let footer = read_back.step(u64::MAX)?.expect("without a bound it reads to the end");
    let (name, copies) = read_back.into_parts();
    Ok(Run::from_parts(name, footer, copies, shared.cache.clone(), shared.reports.clone()))
}

fn publish(shared: &Shared, run: Run) {
    shared.publish(|published| {
        let old = &published.levels;
        assert_eq!(
            old.frozen.as_ref().map(|frozen| frozen.index),
            Some(run.name().index),
            "the overlay that the run was cut from is the one that it replaces"
        );
        let mut runs = Vec::with_capacity(old.runs.len() + 1);
        runs.push(Arc::new(run));
        runs.extend(old.runs.iter().cloned());
        Levels { active: old.active.clone(), frozen: None, runs }
    });
}
