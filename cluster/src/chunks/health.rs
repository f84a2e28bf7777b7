//! A drive's health on both ends of the wire: numbered where it is reported, the newest kept where it arrives.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use cairn_core::chunk_store::DriveHealth;
use cairn_core::{ChunkStore, DriveId};

use super::wire::HealthReport;

/// Numbers reports of the drives of one process.
#[derive(Debug)]
pub(super) struct Reporter {
    process: u64,
    numbers: Mutex<BTreeMap<DriveId, u64>>,
}

impl Reporter {
    /// `process` is drawn at each start.
    pub(super) fn new(process: u64) -> Self {
        Self { process, numbers: Mutex::default() }
    }

    /// How the drive is now. Asked under the lock, so that a greater number is never an older state.
    pub(super) fn report(&self, drive: &dyn ChunkStore) -> HealthReport {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let number = numbers.entry(drive.drive()).or_default();
        *number += 1;
        HealthReport { process: self.process, number: *number, health: drive.health() }
    }
}

/// What is known of a remote drive.
#[derive(Debug)]
pub(super) struct Known {
    newest: Option<HealthReport>,
    /// Why it cannot be asked, while it cannot.
    silent: Option<Arc<str>>,
}

impl Default for Known {
    fn default() -> Self {
        Self { newest: None, silent: Some(Arc::from("not heard of yet")) }
    }
}

impl Known {
    /// A report came.
    pub(super) fn heard(&mut self, report: HealthReport) {
        self.silent = None;
        let overtaken = self
            .newest
            .as_ref()
            .is_some_and(|newest| newest.process == report.process && newest.number > report.number);
        if !overtaken {
            self.newest = Some(report);
        }
    }

    /// The node answered, whatever it said.
    pub(super) fn answered(&mut self) {
        if self.newest.is_some() {
            self.silent = None;
        }
    }

    /// The node could not be asked.
    pub(super) fn missed(&mut self, why: Arc<str>) {
        self.silent = Some(why);
    }

    /// The newest figures; a drive that cannot be asked takes no writes.
    pub(super) fn health(&self) -> DriveHealth {
        let known = self.newest.as_ref().map_or(
            DriveHealth {
                writable: Ok(()),
                chunks: 0,
                live_bytes: 0,
                allocated_bytes: 0,
                available_bytes: 0,
                total_bytes: 0,
                errors: 0,
            },
            |newest| newest.health.clone(),
        );
        match &self.silent {
            Some(why) => DriveHealth { writable: Err(why.clone()), ..known },
            None => known,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(process: u64, number: u64) -> HealthReport {
        let health = DriveHealth {
            writable: Ok(()),
            chunks: number,
            live_bytes: 0,
            allocated_bytes: 0,
            available_bytes: 0,
            total_bytes: 0,
            errors: 0,
        };
        HealthReport { process, number, health }
    }

    #[test]
    fn an_overtaken_report_does_not_stand_for_the_newest() {
        let mut known = Known::default();
        assert!(known.health().writable.is_err(), "nothing is written to a drive that nobody has heard of");
        known.heard(report(1, 5));
        known.heard(report(1, 3));
        assert_eq!(known.health(), report(1, 5).health);
        known.heard(report(2, 1));
        assert_eq!(known.health().chunks, 1, "another process counts anew");
    }

    #[test]
    fn a_silent_drive_takes_no_writes_and_keeps_its_figures() {
        let mut known = Known::default();
        known.heard(report(1, 5));
        known.missed(Arc::from("gone"));
        assert_eq!(known.health(), DriveHealth { writable: Err(Arc::from("gone")), ..report(1, 5).health });
        known.answered();
        assert_eq!(known.health(), report(1, 5).health);
    }
}
