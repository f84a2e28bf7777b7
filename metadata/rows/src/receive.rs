//! Runs from one voter to another: sent in pieces of whole, checked blocks; written in as many copies as runs have, read
//! back, and only then taken as the rows.
//!
//! ```text
//! Rows::piece ~~~> Incoming::write -> Incoming::finish (synced, read back) -> Rows::open_set -> Rows::install
//! ```
//! A run's name has its hash, so it does not matter who sent it, or how often it took. While somebody holds [`Receiving`],
//! nobody removes files of runs that come: they must be there when a mark that names them is written.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use cairn_core::LogIndex;
use cairn_journal::files::Files;

use crate::error::{BadCopy, RowsError};
use crate::generation::Generation;
use crate::rows::{Rows, Shared, lock};
use crate::run::build::ReadBack;
use crate::run::copies::Copy;
use crate::run::format::RunRefusal;
use crate::run::reader::{Run, open_copy};
use crate::run_set::{RunId, RunRef, RunSet};
use crate::view::Levels;

/// After so many bytes a run that comes is synced, although nothing needs it yet: what is synced only at its end keeps the
/// device busy for as long as the whole takes.
const SYNC_BYTES: u64 = 8 << 20;

/// A part of a run's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Its bytes, which follow those of the piece before.
    pub bytes: Bytes,
    /// The block that the next piece begins with; none behind the last.
    pub next: Option<u32>,
}

impl Rows {
    /// The piece of a run that begins with a block, the first one with block 0: whole blocks, at least one, until there are
    /// so many bytes. `None` for a run that is not in the set any more, and for a block that it does not have.
    pub fn piece(&self, run: RunId, block: u32, bytes_max: usize) -> Result<Option<Piece>, RowsError> {
        let levels = self.shared.levels();
        let Some(run) = levels.runs.iter().find(|open| open.name().id == run) else { return Ok(None) };
        let (blocks, mut next) = (run.footer().blocks(), block as usize);
        if next >= blocks.max(1) {
            return Ok(None);
        }
        let mut bytes = BytesMut::new();
        if next == 0 {
            bytes.extend_from_slice(&run.header_bytes());
        }
        let begin = bytes.len();
        while next < blocks && (bytes.len() == begin || bytes.len() < bytes_max) {
            bytes.extend_from_slice(&run.block_uncached(next)?.into_bytes());
            next += 1;
        }
        if next == blocks {
            run.end_bytes().iter().for_each(|end| bytes.extend_from_slice(end));
        }
        let next = (next < blocks).then(|| u32::try_from(next).expect("a footer has fewer than 2^32 blocks"));
        Ok(Some(Piece { bytes: bytes.freeze(), next }))
    }

    /// Runs of these names are about to come: until this is dropped nobody removes their files. What came `before` is kept
    /// only where it has one of these names.
    pub fn receive(&self, names: &[RunRef], before: Option<Receiving>) -> Receiving {
        // Taken out first: what is left of it takes the same lock when it goes.
        let let_go = before.map(|mut before| std::mem::take(&mut before.ids)).unwrap_or_default();
        let mut building = lock(&self.shared.building);
        for id in &let_go {
            building.remove(id);
        }
        let ids = names.iter().map(|name| name.id).filter(|id| building.insert(*id)).collect();
        drop(building);
        Receiving { shared: self.shared.clone(), ids }
    }

    /// Opens the runs of a set that is to become the rows, each from every directory that has a sound copy. Readers notice
    /// nothing.
    pub fn open_set(&self, set: &RunSet, directories: &[PathBuf]) -> Result<OpenSet, RowsError> {
        let shared = &self.shared;
        let open = shared.levels();
        let mut runs = Vec::with_capacity(set.runs().len());
        for name in set.runs() {
            let run = match open.runs.iter().find(|run| run.name() == name) {
                Some(run) => run.clone(),
                None => {
                    let (cache, reports) = (shared.cache.clone(), shared.reports.clone());
                    Arc::new(Run::open(shared.options.files.as_ref(), *name, directories, cache, reports)?)
                }
            };
            runs.push(run);
        }
        Ok(OpenSet { index: set.index(), runs, active: shared.fresh_generation()? })
    }

    /// Takes an open set as the rows, in place of everything. Its index must lie ahead. Not while a merge or a cut is under
    /// way; a cut that was begun is given up. Who reads an earlier view goes on reading it.
    ///
    /// On an error nothing has changed.
    pub fn install(&self, set: OpenSet) -> Result<(), RowsError> {
        let shared = &self.shared;
        let _maintenance = lock(&shared.maintenance);
        if shared.merging.load(Ordering::SeqCst) {
            return Err(RowsError::MergeUnderWay);
        }
        if shared.is_stopped() {
            return Err(RowsError::Stopped);
        }
        let OpenSet { index, runs, active } = set;
        let _writer = lock(&shared.writer);
        let mut published = lock(&shared.published);
        assert!(index > published.index, "rows at {} are not taken back to {index}", published.index);
        published.index = index;
        let replaced = std::mem::replace(&mut published.levels, Arc::new(Levels { active, frozen: None, runs }));
        drop(published);
        // It may close files.
        drop(replaced);
        Ok(())
    }
}

/// Runs that were opened to become the rows.
#[derive(Debug)]
pub struct OpenSet {
    index: LogIndex,
    runs: Vec<Arc<Run>>,
    active: Arc<Generation>,
}

/// Keeps the files of runs that come from being removed.
#[derive(Debug)]
pub struct Receiving {
    shared: Arc<Shared>,
    ids: Vec<RunId>,
}

impl Drop for Receiving {
    fn drop(&mut self) {
        let mut building = lock(&self.shared.building);
        for id in &self.ids {
            building.remove(id);
        }
    }
}

impl Receiving {
    /// Whether the run is open already, or every one of these directories has all of it, because it came before. Reads all
    /// of it then, and makes it durable: whoever wrote it may not have come that far.
    pub fn is_here(&self, name: &RunRef, directories: &[PathBuf]) -> bool {
        if self.shared.levels().runs.iter().any(|run| run.name() == name) {
            return true;
        }
        let files = self.shared.options.files.as_ref();
        directories.iter().all(|directory| {
            let path = directory.join(name.id.file_name());
            let Ok((file, _)) = open_copy(files, &path, name) else { return false };
            let whole = ReadBack::new(*name, vec![Copy { path, file: file.clone() }]).step(u64::MAX).is_ok();
            whole && file.sync_data().is_ok() && files.sync_dir(directory).is_ok()
        })
    }

    /// Begins to write a run into these directories. What stood there under its name goes.
    pub fn begin(&self, name: &RunRef, directories: &[PathBuf]) -> Result<Incoming, RowsError> {
        let files = self.shared.options.files.clone();
        let mut copies = Vec::with_capacity(directories.len());
        for directory in directories {
            let path = directory.join(name.id.file_name());
            let failed = |source| RowsError::Write { path: path.clone(), source };
            match files.remove(&path) {
                Err(source) if source.kind() != std::io::ErrorKind::NotFound => return Err(failed(source)),
                _ => {}
            }
            let file = files.create(&path).map_err(failed)?;
            copies.push(Copy { path, file });
        }
        Ok(Incoming { files, directories: directories.to_vec(), name: *name, copies, at: 0, synced: 0 })
    }
}

/// A run that is being written as it comes.
#[derive(Debug)]
pub struct Incoming {
    files: Arc<dyn Files>,
    directories: Vec<PathBuf>,
    name: RunRef,
    copies: Vec<Copy>,
    at: u64,
    synced: u64,
}

impl Incoming {
    /// Writes the next piece to every copy.
    pub fn write(&mut self, piece: &Bytes) -> Result<(), RowsError> {
        let end = self.at + piece.len() as u64;
        if end > self.name.file_bytes {
            let why = RunRefusal::Damaged("it is longer than its name says");
            return Err(RowsError::ReadBack(BadCopy { path: self.copies[0].path.clone(), why }));
        }
        for copy in &self.copies {
            let failed = |source| RowsError::Write { path: copy.path.clone(), source };
            copy.file.write_all_vectored_at(std::slice::from_ref(piece), self.at).map_err(failed)?;
        }
        self.at = end;
        if self.at - self.synced >= SYNC_BYTES {
            self.sync()?;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), RowsError> {
        for copy in &self.copies {
            copy.file.sync_data().map_err(|source| RowsError::Write { path: copy.path.clone(), source })?;
        }
        self.synced = self.at;
        Ok(())
    }

    /// All has come: makes every copy durable and reads it back, every byte.
    pub fn finish(mut self) -> Result<(), RowsError> {
        self.sync()?;
        for directory in &self.directories {
            let failed = |source| RowsError::Write { path: directory.clone(), source };
            self.files.sync_dir(directory).map_err(failed)?;
        }
        ReadBack::new(self.name, self.copies).step(u64::MAX).map(|_| ())
    }
}
