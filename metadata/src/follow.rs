//! A value that many follow. Who waits for a change is woken in the order in which the waits began, so that a simulation
//! is the same from the same seed: tokio's `watch` spreads those who wait over eight lists by a draw of its own.

use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use tokio::sync::Notify;

/// A value, and what is needed to follow it.
pub(crate) fn follow<T>(now: T) -> (Sender<T>, Receiver<T>) {
    let sender = Sender::new(now);
    let receiver = sender.subscribe();
    (sender, receiver)
}

/// Nobody changes the value any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended;

struct Shared<T> {
    value: RwLock<Value<T>>,
    changed: Notify,
    senders: AtomicUsize,
    receivers: AtomicUsize,
}

struct Value<T> {
    /// Grows by one with each change.
    version: u64,
    now: T,
}

impl<T> Shared<T> {
    fn read(&self) -> RwLockReadGuard<'_, Value<T>> {
        self.value.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The value as it is. Nobody changes it while this lives, so it is not kept.
pub struct Ref<'a, T>(RwLockReadGuard<'a, Value<T>>);

impl<T> Deref for Ref<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.now
    }
}

impl<T: fmt::Debug> fmt::Debug for Ref<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.now.fmt(f)
    }
}

/// Changes the value.
pub struct Sender<T>(Arc<Shared<T>>);

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.senders.fetch_add(1, Ordering::Relaxed);
        Self(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.0.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.changed.notify_waiters();
        }
    }
}

impl<T> Sender<T> {
    pub(crate) fn new(now: T) -> Self {
        Self(Arc::new(Shared {
            value: RwLock::new(Value { version: 0, now }),
            changed: Notify::new(),
            senders: AtomicUsize::new(1),
            receivers: AtomicUsize::new(0),
        }))
    }

    /// Follows the value from now on.
    pub(crate) fn subscribe(&self) -> Receiver<T> {
        self.0.receivers.fetch_add(1, Ordering::Relaxed);
        Receiver { seen: self.0.read().version, shared: self.0.clone() }
    }

    /// The value as it is.
    pub(crate) fn borrow(&self) -> Ref<'_, T> {
        Ref(self.0.read())
    }

    /// Whether somebody follows it.
    pub(crate) fn is_followed(&self) -> bool {
        self.0.receivers.load(Ordering::Acquire) > 0
    }

    /// Puts another value in its place.
    pub(crate) fn replace(&self, now: T) {
        self.change(|value| {
            *value = now;
            true
        });
    }

    /// Changes the value in its place. Those who follow hear of it if `change` says so.
    pub(crate) fn change(&self, change: impl FnOnce(&mut T) -> bool) -> bool {
        let mut value = self.0.value.write().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut value.now);
        if changed {
            value.version += 1;
        }
        drop(value);
        if changed {
            self.0.changed.notify_waiters();
        }
        changed
    }
}

/// Follows the value.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    seen: u64,
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("seen", &self.seen).finish_non_exhaustive()
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.shared.receivers.fetch_add(1, Ordering::Relaxed);
        Self { shared: self.shared.clone(), seen: self.seen }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.receivers.fetch_sub(1, Ordering::AcqRel);
    }
}

impl<T> Receiver<T> {
    /// The value as it is.
    pub(crate) fn borrow(&self) -> Ref<'_, T> {
        Ref(self.shared.read())
    }

    /// The value as it is, which [`Self::changed`] does not tell again.
    pub(crate) fn borrow_and_update(&mut self) -> Ref<'_, T> {
        let value = self.shared.read();
        self.seen = value.version;
        Ref(value)
    }

    /// What is there now is not told again.
    pub(crate) fn mark_seen(&mut self) {
        self.seen = self.shared.read().version;
    }

    /// Waits until there is a value that was not seen here yet.
    pub(crate) async fn changed(&mut self) -> Result<(), Ended> {
        loop {
            // From here on no change goes by unheard, whether or not somebody waits already.
            let changed = self.shared.changed.notified();
            let version = self.shared.read().version;
            if version != self.seen {
                self.seen = version;
                return Ok(());
            }
            if self.shared.senders.load(Ordering::Acquire) == 0 {
                return Err(Ended);
            }
            changed.await;
        }
    }

    /// Waits for a value that is as wanted.
    pub(crate) async fn wait_for(&mut self, wanted: impl Fn(&T) -> bool) -> Result<T, Ended>
    where
        T: Copy,
    {
        loop {
            {
                let now = self.borrow_and_update();
                if wanted(&now) {
                    return Ok(*now);
                }
            }
            self.changed().await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn who_follows_hears_of_the_newest_value_once() {
        let (sender, mut receiver) = follow(1);
        assert_eq!(*receiver.borrow(), 1);
        sender.replace(2);
        sender.replace(3);
        receiver.changed().await.unwrap();
        assert_eq!(*receiver.borrow(), 3);
        assert!(!sender.change(|_| false));
        let mut later = sender.clone().subscribe();
        sender.replace(4);
        later.mark_seen();
        receiver.changed().await.unwrap();
        drop(sender);
        assert_eq!(receiver.changed().await, Err(Ended));
        assert_eq!(later.changed().await, Err(Ended));
        assert_eq!(receiver.wait_for(|value| *value == 4).await, Ok(4));
        assert_eq!(receiver.wait_for(|value| *value == 5).await, Err(Ended));
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_are_woken_in_the_order_in_which_they_came() {
        let sender = Sender::new(0);
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for number in 0..100 {
            let (mut receiver, order) = (sender.subscribe(), order.clone());
            tasks.push(tokio::spawn(async move {
                receiver.wait_for(|value| *value == 2).await.unwrap();
                order.lock().unwrap().push(number);
            }));
        }
        assert!(sender.is_followed());
        // All of them wait, in the order in which they were started.
        tokio::time::sleep(Duration::from_millis(1)).await;
        sender.replace(1);
        tokio::time::sleep(Duration::from_millis(1)).await;
        sender.replace(2);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), (0..100).collect::<Vec<_>>());
        assert!(!sender.is_followed());
    }
}
