//! Removing the files of runs that nothing needs any more, and putting sound copies where they are missing.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_journal::files::Files;

use crate::error::{BadCopy, RowsError};
use crate::rows::{Rows, lock};
use crate::run::build::{ReadBack, copy_run};
use crate::run::copies::Copy;
use crate::run::format::RunRefusal;
use crate::run::reader::{Run, open_copy};
use crate::run_set::{RunId, RunSet};
use crate::scrub::readable;

/// What was removed, and where that was not possible.
#[derive(Debug, Default)]
pub struct Retired {
    /// How many files were removed.
    pub removed: usize,
    /// Directories and files that failed. What is left there does no harm; it takes room until the next time.
    pub failed: Vec<(PathBuf, io::Error)>,
}

/// What became of a run's copies.
#[derive(Debug, Default)]
pub struct Mended {
    /// How many copies were whole.
    pub sound: usize,
    /// Copies that were written anew.
    pub written: Vec<PathBuf>,
}

impl Rows {
    /// Removes the files of every run in these directories that is named neither by `acknowledged` nor by the set as it is
    /// now. `acknowledged` is what the newest mark names of which the log has said that it is durable: removing more than
    /// that would leave a start with a mark whose runs are gone.
    ///
    /// Views that still read a removed run go on reading it. Files that are no runs are left alone.
    pub fn retire(&self, acknowledged: &RunSet, directories: &[PathBuf]) -> Retired {
        let mut retired = Retired::default();
        for directory in directories {
            if let Err((path, error)) = self.retire_in(acknowledged, directory, &mut retired.removed) {
                tracing::warn!(path = %path.display(), %error, "a run that is not needed could not be removed");
                retired.failed.push((path, error));
            }
        }
        retired
    }

    fn retire_in(
        &self,
        acknowledged: &RunSet,
        directory: &Path,
        removed: &mut usize,
    ) -> Result<(), (PathBuf, io::Error)> {
        let files = self.shared.options.files.as_ref();
        let here = |error| (directory.to_owned(), error);
        // In this order: a file that is listed was begun before; if it is no longer being written by now, it is in the set
        // that is looked at after that.
        let listed: Vec<RunId> = files
            .list(directory)
            .map_err(here)?
            .iter()
            .filter_map(|entry| RunId::from_file_name(&entry.name))
            .collect();
        let building: BTreeSet<RunId> = lock(&self.shared.building).clone();
        let current = self.run_set();
        let before = *removed;
        for id in listed {
            if building.contains(&id) || current.names(id) || acknowledged.names(id) {
                continue;
            }
            let path = directory.join(id.file_name());
            files.remove(&path).map_err(|error| (path, error))?;
            *removed += 1;
        }
        if *removed > before { files.sync_dir(directory).map_err(here) } else { Ok(()) }
    }

    /// The runs that are open in fewer than so many copies: a directory was lost, or a copy was refused. To be mended.
    pub fn short_of(&self, copies: usize) -> Vec<RunId> {
        let levels = self.shared.levels();
        levels.runs.iter().filter(|run| run.copies().all().len() < copies).map(|run| run.name().id).collect()
    }

    /// Reads every byte of a run's copies in these directories, and writes a copy anew wherever it is missing or not what
    /// it should be. Copies in other directories are left out from then on. For a thread that may block.
    ///
    /// Does nothing for a run that is no longer in the set.
    pub fn mend(&self, run: RunId, directories: &[PathBuf]) -> Result<Mended, RowsError> {
        let _maintenance = lock(&self.shared.maintenance);
        let levels = self.shared.levels();
        let Some(run) = levels.runs.iter().find(|open| open.name().id == run) else { return Ok(Mended::default()) };
        let files = &self.shared.options.files;
        let mut mended = Mended::default();
        let mut copies = Vec::with_capacity(directories.len());
        // A bad copy goes only where a whole one can be written in its place.
        let mut known_readable = false;
        for directory in directories {
            let path = directory.join(run.name().id.file_name());
            match check_whole(files.as_ref(), &path, run) {
                Ok(copy) => {
                    mended.sound += 1;
                    copies.push(copy);
                }
                Err(bad) => {
                    if !known_readable {
                        readable(run)?;
                        known_readable = true;
                    }
                    tracing::info!(run = %run.name().id, copy = %bad, "a copy of a run is written anew");
                    copies.push(rewrite(files, directory, &bad, run)?);
                    mended.written.push(path);
                }
            }
        }
        run.copies().replace(copies);
        Ok(mended)
    }
}

fn check_whole(files: &dyn Files, path: &Path, run: &Arc<Run>) -> Result<Copy, BadCopy> {
    let bad = |why| BadCopy { path: path.to_owned(), why };
    let (file, _) = open_copy(files, path, run.name()).map_err(bad)?;
    let copy = Copy { path: path.to_owned(), file };
    match ReadBack::new(*run.name(), vec![copy.clone()]).step(u64::MAX) {
        Ok(_) => Ok(copy),
        Err(RowsError::ReadBack(bad)) => Err(bad),
        Err(_) => unreachable!("reading back fails in one way only"),
    }
}

fn rewrite(files: &Arc<dyn Files>, directory: &Path, bad: &BadCopy, run: &Arc<Run>) -> Result<Copy, RowsError> {
    let failed = |source| RowsError::Write { path: bad.path.clone(), source };
    if !matches!(bad.why, RunRefusal::Missing) {
        files.remove(&bad.path).map_err(failed)?;
    }
    copy_run(files.as_ref(), directory, &bad.path, run)
}
