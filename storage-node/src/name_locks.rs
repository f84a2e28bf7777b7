//! One thing at a time for each chunk's name: a second put of the same chunk waits for the first instead of appending a
//! twin, and a delete never races the put that it undoes.
//!
//! The lock is handed over inside a message. When the one who waited has gone away meanwhile, dropping the message
//! drops the guard in it, which hands it on: nothing is ever locked by nobody.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use cairn_core::ChunkName;
use tokio::sync::oneshot;

type Waiters = std::collections::VecDeque<oneshot::Sender<NameGuard>>;

/// The names that are being worked on, and who waits for them. Bounded by the calls under way.
#[derive(Debug, Clone, Default)]
pub(crate) struct NameLocks(Arc<Mutex<HashMap<ChunkName, Waiters>>>);

/// Holds one name until it is dropped.
#[derive(Debug)]
pub(crate) struct NameGuard {
    locks: NameLocks,
    name: ChunkName,
}

impl NameLocks {
    /// Waits for whoever holds the name. First come, first served.
    pub(crate) async fn lock(&self, name: ChunkName) -> NameGuard {
        let turn = {
            let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match held.entry(name) {
                std::collections::hash_map::Entry::Vacant(free) => {
                    free.insert(Waiters::new());
                    None
                }
                std::collections::hash_map::Entry::Occupied(mut taken) => {
                    let (send, turn) = oneshot::channel();
                    taken.get_mut().push_back(send);
                    Some(turn)
                }
            }
        };
        match turn {
            None => NameGuard { locks: self.clone(), name },
            Some(turn) => turn.await.expect("a guard hands itself to every waiter before the entry goes"),
        }
    }
}

impl Drop for NameGuard {
    fn drop(&mut self) {
        let next = {
            let mut held = self.locks.0.lock().unwrap_or_else(PoisonError::into_inner);
            let waiters = held.get_mut(&self.name).expect("a held name has an entry");
            let next = waiters.pop_front();
            if next.is_none() {
                held.remove(&self.name);
            }
            next
        };
        if let Some(next) = next {
            // A waiter that gave up leaves the new guard in the returned error, and dropping that comes back here.
            drop(next.send(NameGuard { locks: self.locks.clone(), name: self.name }));
        }
    }
}

#[cfg(test)]
mod tests {
    use cairn_core::{SessionId, StripeId, WriteId};
    use futures::FutureExt as _;

    use super::*;

    fn name(counter: u64) -> ChunkName {
        let write = WriteId { session: SessionId(1), counter };
        ChunkName { stripe: StripeId(write), position: 0, write }
    }

    #[test]
    fn a_name_is_held_once_and_handed_on_past_those_who_left() {
        let locks = NameLocks::default();
        let first = locks.lock(name(1)).now_or_never().unwrap();
        assert!(locks.lock(name(2)).now_or_never().is_some(), "another name is free");
        let mut gone = Box::pin(locks.lock(name(1)));
        let mut waiting = Box::pin(locks.lock(name(1)));
        assert!((&mut gone).now_or_never().is_none());
        assert!((&mut waiting).now_or_never().is_none());
        drop(gone);
        drop(first);
        let second = waiting.now_or_never().expect("the one who left is passed over");
        drop(second);
        assert!(locks.0.lock().unwrap().is_empty(), "nothing is left behind");
    }

    #[test]
    fn a_waiter_that_leaves_after_it_was_handed_the_lock_hands_it_on() {
        let locks = NameLocks::default();
        let first = locks.lock(name(1)).now_or_never().unwrap();
        let mut handed = Box::pin(locks.lock(name(1)));
        assert!((&mut handed).now_or_never().is_none());
        drop(first);
        drop(handed);
        assert!(locks.lock(name(1)).now_or_never().is_some());
    }
}
