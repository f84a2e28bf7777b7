//! Memory that requests may hold, counted before it is taken.
//!
//! A reservation is taken whole or waited for, first come, first served; nobody holds part of one. Nobody waits here
//! while holding memory of the same budget (invariant 14): a stream hands its reservation to the work that ends by
//! itself, and only then asks for the next one. Reading and writing have a budget each, so that neither starves the
//! other.

use std::sync::Arc;
use std::time::Duration;

use cairn_core::units::MIB;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A budget of bytes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct MemoryBudget {
    bytes: Arc<Semaphore>,
    total: u64,
    patience: Duration,
}

/// Bytes that were reserved. They go back when it is dropped.
#[derive(Debug)]
pub struct Reservation {
    _permit: OwnedSemaphorePermit,
}

/// Nothing became free for as long as a request is kept waiting. Nothing happened yet: the client may try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no memory became free in time")]
pub struct OutOfMemory;

/// The least that a budget has: one extent of the largest size with as much parity as data, twice.
pub const BUDGET_BYTES_MIN: u64 = 64 * MIB;

/// The most: what the counter below can hand out in one piece.
pub const BUDGET_BYTES_MAX: u64 = u32::MAX as u64;

impl MemoryBudget {
    /// A budget of so many bytes, within [`BUDGET_BYTES_MIN`] and [`BUDGET_BYTES_MAX`]. A request waits no longer than
    /// `patience`.
    pub fn new(total: u64, patience: Duration) -> Self {
        let total = total.clamp(BUDGET_BYTES_MIN, BUDGET_BYTES_MAX);
        Self { bytes: Arc::new(Semaphore::new(total as usize)), total, patience }
    }

    /// Reserves bytes, waiting behind those who came first. More than the whole budget is cut down to it, or it would
    /// never be there.
    pub async fn reserve(&self, bytes: u64) -> Result<Reservation, OutOfMemory> {
        let wanted = u32::try_from(bytes.min(self.total)).expect("a budget is at most what a u32 counts");
        if let Ok(permit) = Arc::clone(&self.bytes).try_acquire_many_owned(wanted) {
            return Ok(Reservation { _permit: permit });
        }
        let waiting = Arc::clone(&self.bytes).acquire_many_owned(wanted);
        match tokio::time::timeout(self.patience, waiting).await {
            Ok(permit) => Ok(Reservation { _permit: permit.expect("the semaphore is never closed") }),
            Err(_) => Err(OutOfMemory),
        }
    }

    /// How much is free at the moment: a hint, for choosing a size.
    pub fn free(&self) -> u64 {
        self.bytes.available_permits() as u64
    }

    /// A size between two bounds that leaves room for others: one of so many shares of what is free, in whole multiples
    /// of the smaller bound.
    pub fn share(&self, shares: u64, least: u64, most: u64) -> u64 {
        let share = self.free() / shares;
        (share - share % least).clamp(least, most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn reservations_are_whole_and_come_back() {
        let budget = MemoryBudget::new(64 * MIB, Duration::from_secs(1));
        let held = budget.reserve(40 * MIB).await.unwrap();
        assert_eq!(budget.reserve(30 * MIB).await.unwrap_err(), OutOfMemory);
        assert_eq!(budget.free(), 24 * MIB, "who gave up holds nothing");
        drop(held);
        drop(budget.reserve(1 << 40).await.unwrap());
        assert_eq!(budget.free(), 64 * MIB);
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_request_is_not_overtaken() {
        let budget = MemoryBudget::new(64 * MIB, Duration::from_secs(60));
        let first = budget.reserve(60 * MIB).await.unwrap();
        let large = tokio::spawn({
            let budget = budget.clone();
            async move { budget.reserve(50 * MIB).await.map(|_| ()) }
        });
        tokio::task::yield_now().await;
        let small = tokio::spawn({
            let budget = budget.clone();
            async move { budget.reserve(MIB).await.map(|_| ()) }
        });
        tokio::task::yield_now().await;
        assert!(!small.is_finished(), "the small one came later and waits its turn");
        drop(first);
        large.await.unwrap().unwrap();
        small.await.unwrap().unwrap();
    }

    #[test]
    fn a_share_shrinks_as_the_budget_fills() {
        let budget = MemoryBudget::new(256 * MIB, Duration::ZERO);
        assert_eq!(budget.share(8, MIB, 16 * MIB), 16 * MIB);
        let _held = Arc::clone(&budget.bytes).try_acquire_many_owned(200 << 20).unwrap();
        assert_eq!(budget.share(8, MIB, 16 * MIB), 7 * MIB);
        let _more = Arc::clone(&budget.bytes).try_acquire_many_owned(55 << 20).unwrap();
        assert_eq!(budget.share(8, MIB, 16 * MIB), MIB);
    }
}
