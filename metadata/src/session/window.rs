//! The numbers of a session's requests. The state machine keeps the outcomes of 1,024 of them, so a number that much
//! above the lowest unanswered one waits until that one is answered.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cairn_machine::rows::session::SESSION_SLOTS;
use tokio::sync::Semaphore;

/// Which numbers are given and which of them are answered. Pure.
#[derive(Debug, Default)]
struct Numbers {
    next: u64,
    /// Everything below it is answered.
    lowest: u64,
    /// What is answered above it.
    answered: BTreeSet<u64>,
}

impl Numbers {
    fn begin(&mut self) -> u64 {
        assert!(self.next < self.lowest + SESSION_SLOTS, "a permit stands for a free slot");
        let number = self.next;
        self.next += 1;
        number
    }

    /// How many slots that frees.
    fn end(&mut self, number: u64) -> usize {
        assert!(number >= self.lowest && number < self.next && self.answered.insert(number), "answered once");
        let before = self.lowest;
        while self.answered.remove(&self.lowest) {
            self.lowest += 1;
        }
        usize::try_from(self.lowest - before).expect("no more than there are slots")
    }
}

/// How many requests may wait for a number, beside those that have one: four windows. Who comes after that would wait
/// longer than it should.
const WAITING_MAX: usize = 4096;

/// The window of numbers, for many requests at a time.
#[derive(Debug)]
pub(crate) struct Window {
    numbers: Mutex<Numbers>,
    /// One permit for each number that may be given now.
    free: Semaphore,
    waiting: AtomicUsize,
}

/// Too many wait for a number. Nothing was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Crowded;

/// One that waits, counted for as long as it does.
struct Turn<'a>(&'a AtomicUsize);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for Window {
    fn default() -> Self {
        let slots = usize::try_from(SESSION_SLOTS).expect("some thousand");
        Self { numbers: Mutex::default(), free: Semaphore::new(slots), waiting: AtomicUsize::new(0) }
    }
}

impl Window {
    fn numbers(&self) -> MutexGuard<'_, Numbers> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next number, as soon as the window allows it; first come, first served.
    pub(crate) async fn begin(&self) -> Result<u64, Crowded> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let turn = Turn(&self.waiting);
        if before >= WAITING_MAX {
            return Err(Crowded);
        }
        let permit = self.free.acquire().await.expect("the window is never closed");
        permit.forget();
        drop(turn);
        Ok(self.numbers().begin())
    }

    /// Nobody waits for this number any more: it is answered, or its caller has gone. In that second case it may still
    /// be under way; it is then applied before a later number says that it is answered, or not at all.
    pub(crate) fn end(&self, number: u64) {
        let freed = self.numbers().end(number);
        self.free.add_permits(freed);
    }

    /// The lowest number that somebody waits for.
    pub(crate) fn lowest_unanswered(&self) -> u64 {
        self.numbers().lowest
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn the_window_moves_with_its_lowest_number() {
        let window = Window::default();
        for expected in 0..SESSION_SLOTS {
            assert_eq!(window.begin().now_or_never(), Some(Ok(expected)));
        }
        assert_eq!(window.begin().now_or_never(), None);
        window.end(1);
        assert_eq!(window.begin().now_or_never(), None, "0 is still unanswered");
        assert_eq!(window.lowest_unanswered(), 0);
        window.end(0);
        assert_eq!(window.lowest_unanswered(), 2);
        assert_eq!(window.begin().now_or_never(), Some(Ok(SESSION_SLOTS)));
        assert_eq!(window.begin().now_or_never(), Some(Ok(SESSION_SLOTS + 1)));
        assert_eq!(window.begin().now_or_never(), None);
    }

    #[test]
    fn waiting_is_bounded() {
        let window = Window::default();
        let slots = usize::try_from(SESSION_SLOTS).unwrap();
        let mut waiting: Vec<_> = (0..slots + WAITING_MAX).map(|_| Box::pin(window.begin())).collect();
        for (position, begin) in waiting.iter_mut().enumerate() {
            assert_eq!(begin.as_mut().now_or_never().is_some(), position < slots);
        }
        assert_eq!(window.begin().now_or_never(), Some(Err(Crowded)));
        waiting.pop();
        assert_eq!(window.begin().now_or_never(), None);
    }
}
