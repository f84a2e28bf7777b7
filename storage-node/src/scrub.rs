//! Scrub: reads everything back from the device, on a schedule, before somebody needs it and finds it rotten.
//!
//! ```text
//! position (durable) -> page of names -> read back, block by block -> sound, or told to whoever repairs
//!        ^                                        |
//!        +---- every few minutes, and at the end -+      paced: a pass takes half of its period at most
//! ```
//!
//! A pass goes through the chunks in the order of their names. What is put behind it meanwhile is met by the next pass;
//! what is deleted is passed over. A restart goes on where the last position was noted, so at worst some minutes of
//! reading are done twice.
//!
//! - this file: the pure part: when a pass is due, and how fast it may go
//! - `position`: what a restart finds; `task`: the loop around it

mod position;
mod task;

use std::fmt::Debug;
use std::time::Duration;

use cairn_core::units::MIB;
use cairn_core::{ChunkError, ChunkName, DriveId, WallTime};

pub(crate) use self::position::Position;
pub use self::task::Scrub;

/// Who is told of damage. Repair is one; it looks for itself before it believes it.
pub trait DamageSink: Send + Sync + Debug + 'static {
    /// A chunk is not sound on this drive, or cannot be read there: [`ChunkError::Damaged`]. Must return at once.
    fn damaged(&self, chunk: ChunkName, drive: DriveId, error: &ChunkError);
}

/// How a drive is scrubbed.
#[derive(Debug, Clone)]
pub struct ScrubConfig {
    /// From the beginning of one pass to that of the next.
    pub period: Duration,
    /// The least that is read in a second, so that a small drive is through soon.
    pub bytes_per_second_min: u64,
    /// The most, whatever the period asks for: the drive is there for others.
    pub bytes_per_second_max: u64,
    /// How often the position is made durable while a pass runs.
    pub note_every: Duration,
}

impl Default for ScrubConfig {
    fn default() -> Self {
        Self {
            period: Duration::from_secs(14 * 24 * 3600),
            bytes_per_second_min: MIB,
            bytes_per_second_max: 64 * MIB,
            note_every: Duration::from_secs(300),
        }
    }
}

impl ScrubConfig {
    /// How fast a pass over so many bytes goes: through in half of its period, within the bounds.
    pub fn bytes_per_second(&self, live_bytes: u64) -> u64 {
        let half = (self.period.as_secs() / 2).max(1);
        let least = self.bytes_per_second_min.max(1);
        (live_bytes / half).clamp(least, self.bytes_per_second_max.max(least))
    }

    /// How long until the next pass may begin. A pass that was begun goes on at once. A calendar that was set back does
    /// not put a pass off by more than a period.
    pub(crate) fn rest(&self, position: &Position, now: WallTime) -> Duration {
        let (Some(began), None) = (position.began, position.after) else { return Duration::ZERO };
        if !position.finished {
            return Duration::ZERO;
        }
        let period_ms = u64::try_from(self.period.as_millis()).unwrap_or(u64::MAX);
        let passed_ms = now.0.saturating_sub(began.0);
        Duration::from_millis(period_ms.saturating_sub(passed_ms))
    }
}

/// Keeps a pass to its pace. What a read took counts, so a slow device is not waited for twice.
#[derive(Debug)]
pub(crate) struct Pace {
    /// When what was read so far should have been read, at this pace.
    due: Duration,
}

impl Pace {
    pub(crate) fn from(now: Duration) -> Self {
        Self { due: now }
    }

    /// How long to wait after reading so many bytes.
    pub(crate) fn after(&mut self, bytes: u64, bytes_per_second: u64, now: Duration) -> Duration {
        assert!(bytes_per_second > 0, "a pass goes on");
        // Time that was lost is not made up for by reading faster than the pace.
        self.due = self.due.max(now.saturating_sub(BEHIND_MAX)) + took(bytes, bytes_per_second);
        self.due.saturating_sub(now)
    }
}

/// So much of a delay may be caught up with.
const BEHIND_MAX: Duration = Duration::from_secs(1);

fn took(bytes: u64, bytes_per_second: u64) -> Duration {
    let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(bytes_per_second);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// How far a scrub is and what it found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScrubProgress {
    /// The number of the pass under way, or of the last one; the first is 1, and 0 means that none was begun yet.
    pub pass: u64,
    /// When it began.
    pub began: Option<WallTime>,
    /// Whether it came to the end.
    pub finished: bool,
    /// Up to where it is; none at the beginning and the end.
    pub after: Option<ChunkName>,
    /// Chunks read back in this pass.
    pub chunks: u64,
    /// What they take.
    pub bytes: u64,
    /// Chunks of this pass that were not sound or could not be read.
    pub damaged: u64,
}

#[cfg(test)]
mod tests;
