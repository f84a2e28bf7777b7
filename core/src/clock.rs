//! The one door to time. Two kinds, never mixed: wall time is for people and protocols, elapsed time for waiting.

use core::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// A moment as a person would name it: milliseconds since 1970, UTC. Never orders two changes; the log does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode, Serialize, Deserialize)]
#[cbor(transparent)]
#[serde(transparent)]
pub struct WallTime(#[n(0)] pub u64);

impl WallTime {
    /// Milliseconds since 1970.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The same moment for the standard library.
    pub fn to_system(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.0)
    }
}

impl fmt::Debug for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

/// Time since some fixed moment of this process; only differences mean something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Elapsed(pub Duration);

impl Elapsed {
    /// How much later this is than another reading; zero when it is not later.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// Where time comes from. Waiting itself is tokio's, whose clock a simulation pauses.
pub trait Clock: Send + Sync + fmt::Debug + 'static {
    /// What a calendar says.
    fn wall(&self) -> WallTime;
    /// What a stopwatch says.
    fn elapsed(&self) -> Elapsed;
}

/// The machine's own clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock that starts now.
    pub fn start() -> Arc<Self> {
        Arc::new(Self { start: Instant::now() })
    }
}

impl Clock for SystemClock {
    fn wall(&self) -> WallTime {
        #[expect(clippy::disallowed_methods, reason = "this is the door")]
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        WallTime(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX))
    }

    fn elapsed(&self) -> Elapsed {
        Elapsed(self.start.elapsed())
    }
}

/// A clock that a test or a simulation moves by hand.
#[derive(Debug)]
pub struct ManualClock {
    wall_ms: AtomicU64,
    elapsed_ms: AtomicU64,
}

impl ManualClock {
    /// Stands at a moment until it is moved.
    pub fn at(wall: WallTime) -> Arc<Self> {
        Arc::new(Self { wall_ms: AtomicU64::new(wall.0), elapsed_ms: AtomicU64::new(0) })
    }

    /// Moves both kinds of time forward.
    pub fn advance(&self, by: Duration) {
        let ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.wall_ms.fetch_add(ms, Ordering::SeqCst);
        self.elapsed_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// Sets the calendar alone, as an operator or a broken time server would.
    pub fn set_wall(&self, wall: WallTime) {
        self.wall_ms.store(wall.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn wall(&self) -> WallTime {
        WallTime(self.wall_ms.load(Ordering::SeqCst))
    }

    fn elapsed(&self) -> Elapsed {
        Elapsed(Duration::from_millis(self.elapsed_ms.load(Ordering::SeqCst)))
    }
}
