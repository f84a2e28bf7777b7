//! Reading runs back, so that a copy which rots is found while others are sound, and so that rows in which something was found
//! unreadable are not believed before all of them have been read.

use std::sync::Arc;

use crate::error::RowsError;
use crate::rows::Rows;
use crate::run::build::ReadBack;
use crate::run::reader::Run;
use crate::run_set::RunId;

/// A run that is being read back: every byte of every copy, from the device.
#[derive(Debug)]
pub struct Scrub {
    /// Keeps the files from being given back while they are read, whatever becomes of the set.
    _run: Arc<Run>,
    reading: ReadBack,
}

impl Scrub {
    /// Reads some `budget_bytes` further, for a thread that may block. Whether everything was read and is as it was
    /// written. An error names the copy that is not: have the run mended.
    pub fn step(&mut self, budget_bytes: u64) -> Result<bool, RowsError> {
        Ok(self.reading.step(budget_bytes)?.is_some())
    }
}

impl Rows {
    /// Begins to read a run back. None for a run that is no longer in the set.
    pub fn begin_scrub(&self, run: RunId) -> Option<Scrub> {
        let levels = self.shared.levels();
        let run = levels.runs.iter().find(|open| open.name().id == run)?.clone();
        let reading = ReadBack::new(*run.name(), run.copies().all().to_vec());
        Some(Scrub { _run: run, reading })
    }

    /// Reads every block of every run from whichever copy has it. An error names one that no copy has. For a thread that may
    /// block.
    pub fn read_whole(&self) -> Result<(), RowsError> {
        let levels = self.shared.levels();
        levels.runs.iter().try_for_each(|run| readable(run))
    }
}

/// Whether each block of a run can be read from some copy.
pub(crate) fn readable(run: &Run) -> Result<(), RowsError> {
    (0..run.footer().blocks()).try_for_each(|block| run.block_uncached(block).map(drop))
}
