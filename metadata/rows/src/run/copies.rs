//! The copies of a run: the same bytes in several directories. A read that one copy cannot serve is served by the next,
//! and what was wrong is remembered for whoever mends it.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use cairn_journal::files::File;

use super::format::RunRefusal;
use crate::error::BadCopy;
use crate::run_set::RunId;

/// How many reports are kept until they are taken. A copy that is bad is bad in many places; the first ones tell.
const REPORTS_MAX: usize = 64;

/// One copy of a run.
#[derive(Debug, Clone)]
pub struct Copy {
    /// Its file's name.
    pub path: PathBuf,
    /// Its file.
    pub file: Arc<dyn File>,
}

/// Damage that reads went around.
#[derive(Debug)]
pub struct Damage {
    /// Which run.
    pub run: RunId,
    /// Which block; `None` where the whole copy was refused.
    pub block: Option<usize>,
    /// Which copy, and what is wrong with it.
    pub copy: BadCopy,
}

/// Where damage is gathered until someone takes it.
#[derive(Debug, Default)]
pub struct DamageReports {
    reports: Mutex<VecDeque<Damage>>,
}

impl DamageReports {
    /// Notes damage. Beyond the bound the oldest report gives way: it was logged.
    pub fn report(&self, damage: Damage) {
        tracing::warn!(run = %damage.run, block = ?damage.block, copy = %damage.copy, "a copy of a run is damaged");
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        if reports.len() == REPORTS_MAX {
            reports.pop_front();
        }
        reports.push_back(damage);
    }

    /// Takes what was reported since the last time.
    pub fn take(&self) -> Vec<Damage> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }
}

/// All copies of one run, and which of them reads begin with.
#[derive(Debug)]
pub struct Copies {
    all: RwLock<Arc<[Copy]>>,
    preferred: AtomicUsize,
}

impl Copies {
    /// At least one copy.
    pub fn new(all: Vec<Copy>) -> Self {
        assert!(!all.is_empty(), "a run that is open has a copy");
        Self { all: RwLock::new(all.into()), preferred: AtomicUsize::new(0) }
    }

    /// As they are now.
    pub fn all(&self) -> Arc<[Copy]> {
        self.all.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes over a set of copies that was checked or written anew.
    pub fn replace(&self, all: Vec<Copy>) {
        assert!(!all.is_empty(), "a run that is open has a copy");
        *self.all.write().unwrap_or_else(PoisonError::into_inner) = all.into();
        self.preferred.store(0, Ordering::Relaxed);
    }

    /// Reads from the first copy whose bytes pass `read`. The ones that failed come back beside its result: all of them,
    /// where none passed.
    pub fn read<T>(&self, mut read: impl FnMut(&dyn File) -> Result<T, RunRefusal>) -> (Option<T>, Vec<BadCopy>) {
        let all = self.all();
        let first = self.preferred.load(Ordering::Relaxed);
        let mut bad = Vec::new();
        for attempt in 0..all.len() {
            let number = (first + attempt) % all.len();
            let copy = &all[number];
            match read(copy.file.as_ref()) {
                Ok(value) => {
                    if attempt > 0 {
                        // A device that fails answers slowly: do not ask it first again.
                        self.preferred.store(number, Ordering::Relaxed);
                    }
                    return (Some(value), bad);
                }
                Err(why) => bad.push(BadCopy { path: copy.path.clone(), why }),
            }
        }
        (None, bad)
    }
}
