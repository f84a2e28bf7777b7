//! How far a drive is to be trusted: faults counted, and the one-way step to read-only.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use cairn_core::DriveId;

/// A drive's faults since it was opened.
#[derive(Debug)]
pub(crate) struct Condition {
    drive: DriveId,
    errors: AtomicU64,
    faults: AtomicU64,
    faults_max: u64,
    /// Set once: a drive that failed a write has shown that its word is not good, and only opening it again, which
    /// reads what the device really has, makes it one that can be asked.
    read_only: OnceLock<Arc<str>>,
}

impl Condition {
    pub(crate) fn new(drive: DriveId, faults_max: u64) -> Self {
        Self { drive, errors: AtomicU64::new(0), faults: AtomicU64::new(0), faults_max, read_only: OnceLock::new() }
    }

    /// Whether writes are taken, and if not, why.
    pub(crate) fn writable(&self) -> Result<(), Arc<str>> {
        self.read_only.get().map_or(Ok(()), |why| Err(why.clone()))
    }

    /// Reads and writes that failed.
    pub(crate) fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// The device failed a read or a punch. A few may be one bad place; many are a dying drive, and nothing more should
    /// be entrusted to it.
    pub(crate) fn fault(&self, error: &(dyn std::error::Error + 'static)) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        let failed = self.faults.fetch_add(1, Ordering::Relaxed) + 1;
        tracing::warn!(drive = %self.drive, failed, error, "the device failed");
        if failed >= self.faults_max {
            self.refuse_writes(format!("{failed} reads or punches failed, the last one with: {error}"));
        }
    }

    /// A write or a sync failed, or the index did: nothing more is taken.
    pub(crate) fn write_failed(&self, error: &(dyn std::error::Error + 'static)) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        self.refuse_writes(error.to_string());
    }

    fn refuse_writes(&self, why: String) {
        // The first reason stands; whatever fails after it is most likely its consequence.
        if self.read_only.set(Arc::from(why.as_str())).is_ok() {
            tracing::error!(drive = %self.drive, why, "the drive is read-only from now on");
        }
    }
}
