//! The rows: one writer applies what the log says, any number of readers look at them as they are at an index.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cairn_core::{Entropy, LogIndex};
use cairn_journal::files::Files;

use crate::bounds::{EFFECTS_MAX, assert_row};
use crate::error::RowsError;
use crate::generation::{Generation, Graveyard};
use crate::overlay::{Overlays, Row};
use crate::run::cache::BlockCache;
use crate::run::copies::{Damage, DamageReports};
use crate::run::reader::Run;
use crate::run_set::{RunId, RunSet};
use crate::view::{Levels, View};

/// What rows are built on.
#[derive(Debug, Clone)]
pub struct RowsOptions {
    /// Where runs are.
    pub files: Arc<dyn Files>,
    /// Where overlays come from: sled, or memory in a simulation.
    pub overlays: Arc<dyn Overlays>,
    /// Where the names of runs come from.
    pub entropy: Arc<dyn Entropy>,
    /// How many bytes of blocks are kept in memory, for all runs together.
    pub cache_bytes: usize,
}

/// What readers see: replaced as one, under one lock, so that a view never pairs an index with levels that lack it.
#[derive(Debug)]
pub(crate) struct Published {
    pub index: LogIndex,
    pub levels: Arc<Levels>,
}

/// What an operator wants to know about rows, and what decides when to cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowsStats {
    /// The last index that was applied.
    pub applied: LogIndex,
    /// How many bytes of keys and values the active overlay holds.
    pub overlay_bytes: u64,
    /// How many versions of rows it holds.
    pub overlay_versions: u64,
    /// Whether a cut was begun and has not ended: its overlay is still read from.
    pub cut_unfinished: bool,
    /// How many runs there are.
    pub runs: usize,
    /// How many bytes one copy of each takes.
    pub run_bytes: u64,
    /// How many rows they have, removals and hidden ones among them.
    pub run_entries: u64,
    /// How many bytes of memory their footers and filters take.
    pub pinned_bytes: usize,
    /// How many bytes of blocks are cached.
    pub cached_bytes: usize,
}

/// What only the writer knows.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    /// Set while a log index is applied. Found set by the next one, it tells that a part of an index is in the overlay,
    /// where a later index would bring it to light.
    half_applied: bool,
}

pub(crate) struct Shared {
    pub options: RowsOptions,
    pub published: Mutex<Published>,
    /// Held while a log index is applied, and while the overlay is exchanged.
    pub writer: Mutex<Writer>,
    /// One cut or mending at a time.
    pub maintenance: Mutex<()>,
    /// One merge at a time.
    pub merging: AtomicBool,
    /// Set when an overlay was found to lie. Nothing more is applied on top of it.
    lies: AtomicBool,
    /// Runs whose files are being written: nobody removes them.
    pub building: Mutex<BTreeSet<RunId>>,
    pub cache: Arc<BlockCache>,
    pub reports: Arc<DamageReports>,
    pub graveyard: Arc<Graveyard>,
}

impl core::fmt::Debug for Shared {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Shared").field("published", &self.published).finish_non_exhaustive()
    }
}

/// Every lock here guards data that is whole whenever the lock is free, so a thread that panicked while it held one has
/// left nothing half done.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub fn fresh_generation(&self) -> Result<Arc<Generation>, RowsError> {
        let overlay = self.options.overlays.fresh()?;
        Ok(Arc::new(Generation::new(overlay, self.graveyard.clone())))
    }

    pub fn levels(&self) -> Arc<Levels> {
        lock(&self.published).levels.clone()
    }

    pub fn run_set(&self) -> RunSet {
        run_set_of(&self.levels().runs)
    }

    /// The overlay lies: nothing more is applied on top of it.
    pub fn stop(&self) {
        self.lies.store(true, Ordering::SeqCst);
    }

    /// Whether the overlay can no longer be believed. Waits for the writer.
    pub fn is_stopped(&self) -> bool {
        lock(&self.writer).half_applied || self.lies.load(Ordering::SeqCst)
    }

    /// Exchanges what readers see for what `change` makes of it. What it replaces is let go of behind the lock: it may
    /// close files.
    pub fn publish(&self, change: impl FnOnce(&Published) -> Levels) {
        let mut published = lock(&self.published);
        let levels = Arc::new(change(&published));
        let replaced = std::mem::replace(&mut published.levels, levels);
        drop(published);
        drop(replaced);
    }
}

pub(crate) fn run_set_of(runs: &[Arc<Run>]) -> RunSet {
    let index = runs.first().map_or(LogIndex(0), |run| run.name().index);
    RunSet::new(index, runs.iter().map(|run| *run.name()).collect()).expect("open runs follow each other")
}

/// Keeps a run's files from being removed while it is written.
#[derive(Debug)]
pub(crate) struct Building {
    shared: Arc<Shared>,
    pub id: RunId,
}

impl Building {
    /// Takes a name that was never used.
    pub fn begin(shared: &Arc<Shared>) -> Self {
        let id = RunId(shared.options.entropy.next_u64());
        assert!(lock(&shared.building).insert(id), "64 random bits do not come twice");
        Self { shared: shared.clone(), id }
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        lock(&self.shared.building).remove(&self.id);
    }
}

/// The rows of one voter. Cheap to clone: clones are the same rows.
#[derive(Debug, Clone)]
pub struct Rows {
    pub(crate) shared: Arc<Shared>,
}

impl Rows {
    /// Opens the runs that a mark in the log names, each from every directory that has a sound copy, and begins an empty
    /// overlay. The caller then applies the log from the index behind the set's.
    pub fn open(options: RowsOptions, set: &RunSet, directories: &[PathBuf]) -> Result<Self, RowsError> {
        let cache = Arc::new(BlockCache::new(options.cache_bytes));
        let reports = Arc::new(DamageReports::default());
        let mut runs = Vec::with_capacity(set.runs().len());
        for name in set.runs() {
            let run = Run::open(options.files.as_ref(), *name, directories, cache.clone(), reports.clone())?;
            runs.push(Arc::new(run));
        }
        let graveyard = Arc::new(Graveyard::default());
        let active = Arc::new(Generation::new(options.overlays.fresh()?, graveyard.clone()));
        let levels = Arc::new(Levels { active, frozen: None, runs });
        let shared = Shared {
            options,
            published: Mutex::new(Published { index: set.index(), levels }),
            writer: Mutex::default(),
            maintenance: Mutex::default(),
            merging: AtomicBool::new(false),
            lies: AtomicBool::new(false),
            building: Mutex::default(),
            cache,
            reports,
            graveyard,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Applies everything that one log index changed: readers see all of it or nothing. A row comes once among the
    /// effects, and indexes grow; an index without effects may be left out.
    pub fn apply(&self, index: LogIndex, effects: &[Row]) -> Result<(), RowsError> {
        assert!(effects.len() <= EFFECTS_MAX, "{} effects of one log index", effects.len());
        let mut writer = lock(&self.shared.writer);
        if writer.half_applied || self.shared.lies.load(Ordering::SeqCst) {
            return Err(RowsError::Stopped);
        }
        let active = {
            let published = lock(&self.shared.published);
            assert!(index > published.index, "index {index} is applied after {}", published.index);
            published.levels.active.clone()
        };
        for (key, value) in effects {
            assert_row(key, value.as_deref());
        }
        writer.half_applied = true;
        active.apply(index, effects)?;
        writer.half_applied = false;
        lock(&self.shared.published).index = index;
        Ok(())
    }

    /// The last index that was applied.
    pub fn applied(&self) -> LogIndex {
        lock(&self.shared.published).index
    }

    /// The rows as they are now.
    pub fn view(&self) -> View {
        let published = lock(&self.shared.published);
        View::new(published.index, published.levels.clone())
    }

    /// The runs as they are now. A mark that names them may be written at any time; until one is acknowledged, the runs
    /// of the one before it stay.
    pub fn run_set(&self) -> RunSet {
        self.shared.run_set()
    }

    /// Damage that reads went around since this was last asked. [`Self::mend`] puts sound copies in its place.
    pub fn take_damage(&self) -> Vec<Damage> {
        self.shared.reports.take()
    }

    /// How many bytes of keys and values were applied since the last cut: compare it with
    /// [`CUT_BYTES`](crate::CUT_BYTES) after each change.
    pub fn overlay_bytes(&self) -> u64 {
        let active = self.shared.levels().active.clone();
        active.content().content_bytes
    }

    /// How much there is.
    pub fn stats(&self) -> RowsStats {
        let (applied, levels) = {
            let published = lock(&self.shared.published);
            (published.index, published.levels.clone())
        };
        let content = levels.active.content();
        RowsStats {
            applied,
            overlay_bytes: content.content_bytes,
            overlay_versions: content.tally.count,
            cut_unfinished: levels.frozen.is_some(),
            runs: levels.runs.len(),
            run_bytes: levels.runs.iter().map(|run| run.name().file_bytes).sum(),
            run_entries: levels.runs.iter().map(|run| run.name().entries).sum(),
            pinned_bytes: levels.runs.iter().map(|run| run.footer().memory_bytes()).sum(),
            cached_bytes: self.shared.cache.cached_bytes(),
        }
    }
}
