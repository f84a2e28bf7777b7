//! What readers had to decode around, on its way to the daemon.
//!
//! Bounded: a drive that fails every read would otherwise fill memory with the same news. What does not fit is found by
//! the next census.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use cairn_core::{ChunkError, DriveId, StripeId};
use cairn_erasure::Faults;
use tokio::sync::Notify;

/// The most reports that wait. At some 40 bytes each, a few hundred KiB.
pub(crate) const WAITING_MAX: usize = 8 * 1024;

/// Reports that wait for the daemon. Shared by everyone who reads.
#[derive(Debug, Default)]
pub struct FaultQueue {
    waiting: Mutex<BTreeSet<(StripeId, u8)>>,
    arrived: Notify,
}

impl FaultQueue {
    /// Takes what waits.
    pub fn take(&self) -> BTreeSet<(StripeId, u8)> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many reports wait.
    pub fn waiting(&self) -> usize {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Returns once something was reported since the last call.
    pub async fn arrived(&self) {
        self.arrived.notified().await;
    }
}

impl Faults for FaultQueue {
    fn report(&self, stripe: StripeId, position: u8, drive: DriveId, error: &ChunkError) {
        // A drive that is busy or unreachable for the moment has lost nothing yet: the log decides when it has.
        let lasting = matches!(error, ChunkError::NotFound(..) | ChunkError::Damaged { .. });
        tracing::debug!(%stripe, position, %drive, %error, lasting, "a reader decoded around a chunk");
        if !lasting {
            return;
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < WAITING_MAX && waiting.insert((stripe, position)) {
            drop(waiting);
            self.arrived.notify_one();
        }
    }
}
