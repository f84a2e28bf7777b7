//! The clocks of one machine: a calendar that somebody may set, and a stopwatch that runs a little fast or slow.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use cairn_core::{Clock, Elapsed, WallTime};
use tokio::time::Instant;

/// When the story begins, by a calendar that is right.
const BEGIN_MS: i64 = 1_700_000_000_000;

/// Both clocks. They follow tokio's, which a simulation pauses.
#[derive(Debug)]
pub struct MachineClock {
    start: Instant,
    /// How far the calendar is off.
    off_ms: AtomicI64,
    /// How far the stopwatch is off, in millionths.
    drift: i64,
}

impl MachineClock {
    /// Clocks that are off by so much.
    pub fn new(off_ms: i64, drift: i64) -> Arc<Self> {
        Arc::new(Self { start: Instant::now(), off_ms: AtomicI64::new(off_ms), drift })
    }

    /// Somebody sets the calendar.
    pub fn jump(&self, by_ms: i64) {
        self.off_ms.fetch_add(by_ms, Ordering::Relaxed);
    }

    fn nanos(&self) -> i64 {
        let nanos = i64::try_from(self.start.elapsed().as_nanos()).unwrap();
        nanos + nanos / 1_000_000 * self.drift
    }
}

impl Clock for MachineClock {
    fn wall(&self) -> WallTime {
        let ms = BEGIN_MS + self.nanos() / 1_000_000 + self.off_ms.load(Ordering::Relaxed);
        WallTime(u64::try_from(ms).unwrap())
    }

    fn elapsed(&self) -> Elapsed {
        Elapsed(Duration::from_nanos(u64::try_from(self.nanos()).unwrap()))
    }
}
