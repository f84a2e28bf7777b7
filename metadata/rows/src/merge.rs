//! Carrying a merge out, in steps whose length the caller chooses. Neither readers nor the writer notice until the merged
//! run takes the place of those that it was made from.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use crate::error::RowsError;
use crate::merge_plan::{MergePlan, check};
use crate::merged::{Merged, Source};
use crate::rows::{Building, Rows, Shared};
use crate::run::build::{ReadBack, RunBuilder};
use crate::run::cursor::{Reading, RunCursor};
use crate::run::format::Header;
use crate::run::reader::Run;
use crate::run_set::RunRef;
use crate::view::Levels;

/// How far a merge is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergeProgress {
    /// It goes on with another step.
    More {
        /// How many bytes were read and written, or read back, so far.
        done_bytes: u64,
        /// How many it will be at most.
        total_bytes: u64,
    },
    /// The merged run has taken the place of its inputs. A new mark should name the set.
    Done(RunRef),
}

#[derive(Debug)]
enum Stage {
    Writing(Merged, RunBuilder),
    ReadingBack(ReadBack),
    /// Done, or failed: a merge that failed is begun again from its plan.
    Over,
}

/// One merge at a time: taken when it begins, given back when it is dropped.
#[derive(Debug)]
struct MergeTurn(Arc<Shared>);

impl Drop for MergeTurn {
    fn drop(&mut self) {
        self.0.merging.store(false, Ordering::SeqCst);
    }
}

/// A merge under way. Dropped before it is done, it has changed nothing; [`Rows::retire`] removes its files.
#[derive(Debug)]
pub struct Merge {
    turn: MergeTurn,
    building: Building,
    plan: MergePlan,
    copies: u64,
    stage: Stage,
    done_bytes: u64,
}

impl Rows {
    /// Begins a merge, into as many copies as there are directories. Only one is under way at a time.
    pub fn begin_merge(&self, plan: MergePlan, directories: &[PathBuf]) -> Result<Merge, RowsError> {
        if self.shared.merging.swap(true, Ordering::SeqCst) {
            return Err(RowsError::MergeUnderWay);
        }
        let turn = MergeTurn(self.shared.clone());
        // Only merges take runs away, so what fits now fits until this merge is over.
        let levels = self.shared.levels();
        check(&plan, &self.run_set())?;
        let mut sources = Vec::with_capacity(plan.inputs.len());
        for run in levels.runs.iter().filter(|run| plan.inputs.contains(&run.name().id)) {
            sources.push(Source::Run(RunCursor::seek_in(run.clone(), &[], Reading::Once)?));
        }
        assert_eq!(sources.len(), plan.inputs.len(), "the plan was checked against these runs");
        let building = Building::begin(&self.shared);
        let header = Header { id: building.id, after: plan.after, index: plan.index };
        let files = self.shared.options.files.clone();
        let builder = RunBuilder::create(files, directories, header, plan.input_entries)?;
        let stage = Stage::Writing(Merged::new(sources), builder);
        Ok(Merge { turn, building, plan, copies: directories.len() as u64, stage, done_bytes: 0 })
    }
}

impl Merge {
    /// Does some `budget_bytes` of work: rows read and written, or bytes read back. After an error the merge is over; begin
    /// it again, into other directories where one could not be written.
    pub fn step(&mut self, budget_bytes: u64) -> Result<MergeProgress, RowsError> {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Writing(mut merged, mut builder) => {
                let mut worked_bytes = 0;
                while worked_bytes < budget_bytes {
                    let Some((key, value)) = merged.next_row()? else {
                        self.done_bytes = self.plan.input_bytes;
                        self.stage = Stage::ReadingBack(builder.finish()?);
                        return Ok(self.progress());
                    };
                    worked_bytes += (key.len() + value.as_ref().map_or(0, Bytes::len)) as u64;
                    if value.is_some() || !self.plan.drops_removals {
                        builder.add(&key, value.as_ref())?;
                    }
                }
                self.done_bytes = (self.done_bytes + worked_bytes).min(self.plan.input_bytes);
                self.stage = Stage::Writing(merged, builder);
                Ok(self.progress())
            }
            Stage::ReadingBack(mut read_back) => {
                let Some(footer) = read_back.step(budget_bytes)? else {
                    self.done_bytes += budget_bytes;
                    self.stage = Stage::ReadingBack(read_back);
                    return Ok(self.progress());
                };
                let shared = &self.turn.0;
                let (name, copies) = read_back.into_parts();
                assert_eq!(name.id, self.building.id, "the run that was read back is the one that was written");
                let run = Run::from_parts(name, footer, copies, shared.cache.clone(), shared.reports.clone());
                publish(shared, &self.plan, run);
                Ok(MergeProgress::Done(name))
            }
            Stage::Over => Err(RowsError::MergeOver),
        }
    }

    fn progress(&self) -> MergeProgress {
        let total_bytes = self.plan.input_bytes * (1 + self.copies);
        MergeProgress::More { done_bytes: self.done_bytes.min(total_bytes), total_bytes }
    }
}

fn publish(shared: &Shared, plan: &MergePlan, run: Run) {
    shared.publish(|published| {
        let old = &published.levels;
        let start = old.runs.iter().position(|run| run.name().id == plan.inputs[0]);
        let start = start.expect("only merges take runs away, and this is the only one");
        let end = start + plan.inputs.len();
        let same = old.runs[start..end].iter().zip(&plan.inputs).all(|(run, id)| run.name().id == *id);
        assert!(same, "a cut adds runs in front and nowhere else");
        let mut runs = old.runs.clone();
        runs.splice(start..end, [Arc::new(run)]);
        Levels { active: old.active.clone(), frozen: old.frozen.clone(), runs }
    });
}
