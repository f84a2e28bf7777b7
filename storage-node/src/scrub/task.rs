//! The loop: wait until a pass is due, read the drive back chunk by chunk at its pace, tell what is not sound.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cairn_core::chunk_store::ChunkStat;
use cairn_core::{ChunkError, ChunkName, ChunkStore as _, Clock};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{DamageSink, Pace, Position, ScrubConfig, ScrubProgress};
use crate::drive::Drive;

/// Names asked for at a time.
const PAGE: usize = 256;

/// How often a chunk that the device cannot read is asked for in all: one failure may be an accident.
const ATTEMPTS: usize = 2;

/// How long to wait when the drive cannot list what it holds: it has failed, and others will say so.
const FAILED_REST: Duration = Duration::from_secs(600);

/// A drive's scrub, running until it is stopped or dropped.
#[derive(Debug)]
pub struct Scrub {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

struct Loop {
    drive: Arc<Drive>,
    config: ScrubConfig,
    sink: Arc<dyn DamageSink>,
    clock: Arc<dyn Clock>,
    stop: watch::Receiver<bool>,
    progress: Arc<Mutex<ScrubProgress>>,
}

/// Why a pass ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Everything was read.
    Done,
    /// The drive cannot say what it holds.
    Failed,
    /// Somebody wants it to stop.
    Stopped,
}

impl Scrub {
    /// Starts it, inside a tokio runtime. How far it is is in the drive's [statistics](crate::DriveStats).
    pub fn start(drive: Arc<Drive>, config: ScrubConfig, sink: Arc<dyn DamageSink>, clock: Arc<dyn Clock>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let progress = drive.scrub_progress();
        let looped = Loop { drive, config, sink, clock, stop: stopped, progress };
        Self { stop, task: tokio::spawn(looped.run()) }
    }

    /// Stops after the chunk under way and notes the position.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "a scrub did not end by itself");
        }
    }
}

impl Loop {
    async fn run(mut self) {
        let mut position = match self.drive.load_scrub_position().await {
            Ok(position) => position,
            Err(error) => {
                tracing::warn!(drive = %self.drive.drive(), %error, "the scrub begins anew");
                Position::default()
            }
        };
        loop {
            self.publish(&position);
            let rest = self.config.rest(&position, self.clock.wall());
            if !self.wait(rest).await {
                return;
            }
            if position.finished || position.began.is_none() {
                position = Position { pass: position.pass + 1, began: Some(self.clock.wall()), ..Position::default() };
            }
            let end = self.pass(&mut position).await;
            if end == End::Done {
                position = Position { finished: true, after: None, ..position };
                tracing::info!(drive = %self.drive.drive(), ?position, "a scrub's pass is done");
            }
            self.note(&position).await;
            match end {
                End::Done => {}
                End::Failed if self.wait(FAILED_REST).await => {}
                End::Failed | End::Stopped => return,
            }
        }
    }

    async fn pass(&mut self, position: &mut Position) -> End {
        let rate = self.config.bytes_per_second(self.drive.health().live_bytes);
        let mut pace = Pace::from(self.clock.elapsed().0);
        let mut noted = self.clock.elapsed();
        loop {
            let page = match self.drive.list(position.after, PAGE).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::warn!(drive = %self.drive.drive(), %error, "a scrub cannot go on for now");
                    return End::Failed;
                }
            };
            for stat in &page {
                if !self.read_back(stat, position).await {
                    position.damaged += 1;
                }
                position.after = Some(stat.name);
                position.chunks += 1;
                position.bytes += stat.stored_bytes;
                self.publish(position);
                let wait = pace.after(stat.stored_bytes, rate, self.clock.elapsed().0);
                if !self.wait(wait).await {
                    return End::Stopped;
                }
                if self.clock.elapsed().since(noted) >= self.config.note_every {
                    noted = self.clock.elapsed();
                    self.note(position).await;
                }
            }
            if page.len() < PAGE {
                return End::Done;
            }
        }
    }

    /// Whether a chunk is sound, or gone. What is neither was told.
    async fn read_back(&self, stat: &ChunkStat, position: &Position) -> bool {
        let mut attempt = 1;
        let error = loop {
            match self.drive.read_back(stat.name).await {
                // Deleted since it was listed.
                Ok(_) | Err(ChunkError::NotFound(..)) => return true,
                Err(ChunkError::Busy(_)) => return true,
                Err(ChunkError::Unavailable(_, why)) if attempt == ATTEMPTS => break self.unreadable(stat.name, &why),
                Err(ChunkError::Unavailable(..)) => attempt += 1,
                Err(error) => break error,
            }
        };
        tracing::warn!(pass = position.pass, %error, "the scrub found damage");
        self.sink.damaged(stat.name, self.drive.drive(), &error);
        false
    }

    /// A place that the device does not read is as good as damaged: it has to be read from other drives.
    fn unreadable(&self, chunk: ChunkName, why: &str) -> ChunkError {
        ChunkError::Damaged { chunk, drive: self.drive.drive(), what: format!("it cannot be read: {why}") }
    }

    /// Waits, and says whether to go on.
    async fn wait(&mut self, long: Duration) -> bool {
        if *self.stop.borrow() {
            return false;
        }
        if long.is_zero() {
            return true;
        }
        tokio::select! {
            biased;
            // Also when the handle was dropped.
            _ = self.stop.changed() => false,
            () = tokio::time::sleep(long) => true,
        }
    }

    async fn note(&self, position: &Position) {
        if let Err(error) = self.drive.store_scrub_position(*position).await {
            // The next start reads some chunks twice; the drive's own writes will say what is wrong with it.
            tracing::warn!(drive = %self.drive.drive(), %error, "the scrub's position was not noted");
        }
    }

    fn publish(&self, position: &Position) {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = *position;
    }
}
