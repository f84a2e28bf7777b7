//! The numbers of a session's requests. The state machine keeps the outcomes of 1,024 of them, so a number that much
//! above the lowest unanswered one waits until that one is answered.

use std::collections::BTreeSet;
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

/// The window of numbers, for many requests at a time.
#[derive(Debug)]
pub(crate) struct Window {
    numbers: Mutex<Numbers>,
    /// One permit for each number that may be given now.
    free: Semaphore,
}

impl Default for Window {
    fn default() -> Self {
        let slots = usize::try_from(SESSION_SLOTS).expect("some thousand");
        Self { numbers: Mutex::default(), free: Semaphore::new(slots) }
    }
}

impl Window {
    fn numbers(&self) -> MutexGuard<'_, Numbers> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next number, as soon as the window allows it; first come, first served.
    pub(crate) async fn begin(&self) -> u64 {
        let permit = self.free.acquire().await.expect("the window is never closed");
        permit.forget();
        self.numbers().begin()
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
            assert_eq!(window.begin().now_or_never(), Some(expected));
        }
        assert_eq!(window.begin().now_or_never(), None);
        window.end(1);
        assert_eq!(window.begin().now_or_never(), None, "0 is still unanswered");
        assert_eq!(window.lowest_unanswered(), 0);
        window.end(0);
        assert_eq!(window.lowest_unanswered(), 2);
        assert_eq!(window.begin().now_or_never(), Some(SESSION_SLOTS));
        assert_eq!(window.begin().now_or_never(), Some(SESSION_SLOTS + 1));
        assert_eq!(window.begin().now_or_never(), None);
    }
}
