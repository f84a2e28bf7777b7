//! A line in front of something scarce, and it has an end: who would have to stand behind too many others is sent away.
//!
//! A drive that hangs would otherwise gather everyone who ever asked it, each with the bytes that he brought.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

/// Permits, and how many callers may wait for some.
#[derive(Debug)]
pub(crate) struct Line {
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    waiting_max: usize,
}

/// Why there is no permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLong;

/// One who waits; leaves the line when dropped, also when whoever asked goes away.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Line {
    pub(crate) fn new(permits: usize, waiting_max: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(permits)), waiting: AtomicUsize::new(0), waiting_max }
    }

    /// So many permits at once: nobody holds some and waits for more. First come, first served.
    pub(crate) async fn enter(&self, permits: u32) -> Result<OwnedSemaphorePermit, TooLong> {
        match self.permits.clone().try_acquire_many_owned(permits) {
            Ok(permit) => return Ok(permit),
            Err(TryAcquireError::NoPermits) => {}
            Err(TryAcquireError::Closed) => unreachable!("nobody closes a line"),
        }
        let waiting = Waiting(&self.waiting);
        if self.waiting.fetch_add(1, Ordering::SeqCst) >= self.waiting_max {
            return Err(TooLong);
        }
        let permit = self.permits.clone().acquire_many_owned(permits).await.expect("nobody closes a line");
        drop(waiting);
        Ok(permit)
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Permits that nobody has.
    pub(crate) fn free(&self) -> usize {
        self.permits.available_permits()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn a_line_has_an_end_and_who_leaves_makes_room() {
        let line = Line::new(2, 2);
        let held = line.enter(2).now_or_never().unwrap().unwrap();
        let mut first = Box::pin(line.enter(1));
        let mut second = Box::pin(line.enter(2));
        assert!((&mut first).now_or_never().is_none());
        assert!((&mut second).now_or_never().is_none());
        assert_eq!((line.waiting(), line.free()), (2, 0));
        assert_eq!(line.enter(1).now_or_never().unwrap().unwrap_err(), TooLong);
        assert_eq!(line.waiting(), 2, "who was sent away does not count");
        drop(first);
        assert_eq!(line.waiting(), 1);
        let mut third = Box::pin(line.enter(1));
        assert!((&mut third).now_or_never().is_none());
        drop(held);
        let second = second.now_or_never().expect("first come, first served").unwrap();
        assert!((&mut third).now_or_never().is_none());
        drop(second);
        drop(third.now_or_never().unwrap().unwrap());
        assert_eq!((line.waiting(), line.free()), (0, 2));
    }
}
