//! The drives of this process: opened, scrubbed, closed.
//!
//! One that cannot be opened is stood in for by a store that says why. Its chunks may be whole, so nobody calls it lost;
//! the others serve around it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cairn_core::{ChunkError, ChunkName, ChunkStore, DriveId, Drives};
use cairn_erasure::Faults as _;
use cairn_journal::Shell;
use cairn_repair::FaultQueue;
use cairn_storage_node::{DamageSink, Drive, DriveOptions, FailedDrive, OpenError, Scrub, ScrubConfig};

use crate::assembly::Parts;
use crate::assembly::core::{Failing, Rooms};
use crate::assembly::topology::Away;

/// What heads of chunks may take of memory, for each drive.
const HEAD_CACHE_BYTES: usize = 4 << 20;

/// How often it is looked whether a drive's files are still there.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The drives of this process.
#[derive(Debug)]
pub struct OwnDrives {
    open: Vec<Arc<Drive>>,
    failed: Vec<Arc<FailedDrive>>,
    scrubs: Vec<Scrub>,
    notices: Vec<String>,
}

/// More drives cannot be opened than may be: serving would answer most reads with an error. Nothing was changed on them;
/// mend what the reasons say, and start again.
#[derive(Debug, thiserror::Error)]
#[error("{} drives cannot be used, and at most {most} may be missing: {}", failed.len(), failed.join("; "))]
pub struct TooManyFailed {
    /// Where they are, and why.
    pub failed: Vec<String>,
    /// How many may.
    pub most: usize,
}

impl OwnDrives {
    /// Opens the chunk stores of every drive; at most so many of them may fail or be away.
    pub fn open(parts: &Parts, rooms: &Rooms, away: &[Away], failing_max: usize) -> Result<Self, TooManyFailed> {
        let options = options(parts);
        let mut own = Self { open: Vec::new(), failed: Vec::new(), scrubs: Vec::new(), notices: Vec::new() };
        let mut failed = Vec::new();
        for Failing { path, drive, why } in rooms.failing() {
            failed.push(format!("{}: {why}", path.display()));
            let Some(drive) = *drive else { continue };
            let error = OpenError::Directory { drive, why: why.clone() };
            own.failed.push(Arc::new(FailedDrive::new(drive, path, error)));
        }
        for Away { drive, label } in away {
            failed.push(format!("{label} (drive {drive}) is not here"));
            let error = OpenError::Directory { drive: *drive, why: "it is not here".to_owned() };
            own.failed.push(Arc::new(FailedDrive::new(*drive, Path::new(label), error)));
        }
        for dir in rooms.dirs() {
            match Drive::open(dir.clone(), &options, parts.clock.clone(), parts.entropy.clone()) {
                Ok(drive) => {
                    let lacks = drive.report().fitness.map_or_else(Vec::new, |fitness| fitness.lacks());
                    let path = dir.path().display();
                    own.notices.extend(lacks.into_iter().map(|lacks| format!("the filesystem of {path}: {lacks}")));
                    own.open.push(drive);
                }
                Err(error) => {
                    let drive = FailedDrive::new(dir.identity().drive, dir.path(), error);
                    failed.push(format!("{}: {}", dir.path().display(), drive.why()));
                    own.failed.push(Arc::new(drive));
                }
            }
        }
        if failed.len() > failing_max {
            return Err(TooManyFailed { failed, most: failing_max });
        }
        own.notices.extend(failed.into_iter().map(|failed| format!("a drive cannot be used: {failed}")));
        Ok(own)
    }

    /// The drives as others use them, those that failed among them.
    pub fn stores(&self) -> Arc<Drives> {
        let open = self.open.iter().map(|drive| drive.clone() as Arc<dyn ChunkStore>);
        Drives::new(open.chain(self.failed.iter().map(|drive| drive.clone() as Arc<dyn ChunkStore>)))
    }

    /// Those that are open.
    pub fn opened(&self) -> &[Arc<Drive>] {
        &self.open
    }

    /// What a person should know of them.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// How many there are, those that failed among them.
    pub fn count(&self) -> usize {
        self.open.len() + self.failed.len()
    }

    /// Has every drive read back what it holds, on a schedule, and tell repair what is not sound.
    pub fn start_scrubs(&mut self, parts: &Parts, faults: &Arc<FaultQueue>) {
        assert!(self.scrubs.is_empty(), "a drive is scrubbed once");
        self.scrubs.extend(self.open.iter().map(|drive| start_scrub(drive, parts, faults)));
        self.open.iter().for_each(|drive| look_after(drive, parts));
    }

    /// Closes every one, so that the next start has nothing to scan. One that cannot be closed keeps no other from it.
    pub async fn close(self) -> anyhow::Result<()> {
        close_drives(self.open, self.scrubs).await
    }
}

/// Closes drives, all of them, and says which could not be: they are recovered at the next start.
pub async fn close_drives(drives: Vec<Arc<Drive>>, scrubs: Vec<Scrub>) -> anyhow::Result<()> {
    for scrub in scrubs {
        scrub.stop().await;
    }
    let mut failed = Vec::new();
    for drive in drives {
        if let Err(error) = drive.close().await {
            failed.push(format!("{}: {error}", drive.dir().path().display()));
        }
    }
    anyhow::ensure!(failed.is_empty(), "drives could not be closed: {}", failed.join("; "));
    Ok(())
}

/// How drives are opened.
pub fn options(parts: &Parts) -> DriveOptions {
    DriveOptions { shell: parts.shell, head_cache_bytes: HEAD_CACHE_BYTES, ..DriveOptions::default() }
}

/// Has one drive read back what it holds, on a schedule, and tell repair what is not sound.
pub fn start_scrub(drive: &Arc<Drive>, parts: &Parts, faults: &Arc<FaultQueue>) -> Scrub {
    let sink = Arc::new(ToRepair(faults.clone()));
    Scrub::start(drive.clone(), ScrubConfig::default(), sink, parts.clock.clone())
}

/// Looks after one drive for as long as it is open. Simulated files do not vanish, and are not looked for.
pub fn look_after(drive: &Arc<Drive>, parts: &Parts) {
    if parts.shell == Shell::Thread {
        let drive = Arc::downgrade(drive);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                let Some(drive) = drive.upgrade() else { return };
                if !drive.look_after().await {
                    return;
                }
            }
        });
    }
}

/// What a scrub finds goes the way of what readers find.
#[derive(Debug)]
struct ToRepair(Arc<FaultQueue>);

impl DamageSink for ToRepair {
    fn damaged(&self, chunk: ChunkName, drive: DriveId, error: &ChunkError) {
        self.0.report(chunk.stripe, chunk.position, drive, error);
    }
}
