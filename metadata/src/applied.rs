//! What is applied: the rows, and beside them what a start must know to go on behind them. Both change together, under
//! one lock, so that a cut finds them at the same index.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use cairn_core::LogIndex;
use cairn_machine::{Outcome, Table};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::calendar::Times;
use crate::config::CutPolicy;
use crate::follow::{Receiver, Sender};
use crate::raft::{AppliedState, KeptMembership, Position};
use crate::refusals::{Refusals, Refused};

/// What is applied at the moment. One task changes it; everyone may look.
#[derive(Debug)]
pub(crate) struct Applied {
    inner: Mutex<Inner>,
    index: Sender<LogIndex>,
    policy: CutPolicy,
    /// The version of the state machine's function that entries are of.
    function: AtomicU8,
    /// Told when a cut has become due, or when its time has become known.
    cut_wanted: Notify,
}

#[derive(Debug)]
struct Inner {
    state: AppliedState,
    pressure: Pressure,
    refusals: Refusals,
    /// How often other rows have taken the place of these.
    replaced: u64,
}

/// What speaks for cutting a run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pressure {
    /// Bytes of rows that were written since the last run: the overlay keeps every version.
    pub(crate) overlay_bytes: u64,
    /// Bytes of entries since the last run: a start applies them again.
    pub(crate) log_bytes: u64,
    /// Since when there has been garbage that no run contains: it cannot be collected before one does.
    pub(crate) garbage_since: Option<Instant>,
}

/// A row that changed; none for one that went.
pub(crate) type Effect = (Bytes, Option<Bytes>);

/// What applying one entry did.
pub(crate) struct Step<'a> {
    /// The entry.
    pub(crate) position: Position,
    /// How long it is.
    pub(crate) entry_bytes: usize,
    /// The rows that it changed.
    pub(crate) effects: &'a [Effect],
    /// The times of its batch.
    pub(crate) times: Option<Times>,
    /// The membership that it brought.
    pub(crate) membership: Option<KeptMembership>,
    /// What came of its operations.
    pub(crate) outcomes: &'a [Vec<Outcome>],
}

impl Applied {
    /// What the newest mark says is in the runs.
    pub(crate) fn new(state: AppliedState, policy: CutPolicy, function: u8) -> Self {
        let index = state.last.map_or(LogIndex(0), |last| LogIndex(last.index));
        let inner = Inner { state, pressure: Pressure::default(), refusals: Refusals::behind(index), replaced: 0 };
        let function = AtomicU8::new(function);
        Self { inner: Mutex::new(inner), index: Sender::new(index), policy, function, cut_wanted: Notify::new() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is applied, as a copy.
    pub(crate) fn state(&self) -> AppliedState {
        self.inner().state.clone()
    }

    /// The times of the last batch.
    pub(crate) fn times(&self) -> Times {
        let inner = self.inner();
        Times { date: inner.state.time, sure: inner.state.sure_time() }
    }

    /// The version of the state machine's function that entries are of.
    pub(crate) fn function(&self) -> u8 {
        self.function.load(Ordering::Acquire)
    }

    /// The rows say that entries are of another version from here on.
    pub(crate) fn raised(&self, function: u8) {
        self.function.store(function, Ordering::Release);
    }

    /// Where the rows are.
    pub(crate) fn index(&self) -> LogIndex {
        *self.index.borrow()
    }

    /// What of an entry was refused; none where that is not known.
    pub(crate) fn refused(&self, index: LogIndex) -> Option<Refused> {
        self.inner().refusals.of(index)
    }

    /// Follows where the rows are.
    pub(crate) fn watch(&self) -> Receiver<LogIndex> {
        self.index.subscribe()
    }

    /// Runs `change`, which changes the rows, and takes over what it did; nobody cuts between the two.
    pub(crate) fn advance<'a, E>(&self, change: impl FnOnce() -> Result<Step<'a>, E>) -> Result<(), E> {
        let mut inner = self.inner();
        let step = change()?;
        let index = LogIndex(step.position.index);
        inner.state.take(&step);
        inner.refusals.take(index, step.outcomes);
        let was_due = self.policy.is_due(&inner.pressure);
        let had_garbage = inner.pressure.garbage_since.is_some();
        inner.pressure.take(&step);
        if (!was_due && self.policy.is_due(&inner.pressure)) || (!had_garbage && inner.pressure.garbage_since.is_some())
        {
            self.cut_wanted.notify_one();
        }
        drop(inner);
        self.index.replace(index);
        Ok(())
    }

    /// Runs `install`, which takes other rows in place of these, and takes over what is known at their index. What was begun
    /// before, a cut for instance, is of the rows before.
    pub(crate) fn replace<E>(&self, state: AppliedState, install: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let mut inner = self.inner();
        let index = LogIndex(state.last.map_or(0, |last| last.index));
        install()?;
        assert!(inner.state.last < state.last, "rows are not taken back");
        inner.state = state;
        inner.pressure = Pressure::default();
        inner.refusals = Refusals::behind(index);
        inner.replaced += 1;
        drop(inner);
        self.index.replace(index);
        Ok(())
    }

    /// How often other rows have taken the place of these.
    pub(crate) fn replaced(&self) -> u64 {
        self.inner().replaced
    }

    /// Runs `begin` while nothing is applied, and gives it what is applied. What comes later speaks for the next cut.
    pub(crate) fn cut<T>(&self, begin: impl FnOnce(&AppliedState) -> T) -> T {
        let mut inner = self.inner();
        let begun = begin(&inner.state);
        inner.pressure = Pressure::default();
        begun
    }

    /// What speaks for a cut now.
    pub(crate) fn pressure(&self) -> Pressure {
        self.inner().pressure
    }

    /// Waits until a cut is due.
    pub(crate) async fn cut_due(&self) {
        loop {
            let wanted = self.cut_wanted.notified();
            let pressure = self.pressure();
            if self.policy.is_due(&pressure) {
                return;
            }
            match pressure.garbage_since.and_then(|since| since.checked_add(self.policy.garbage_age)) {
                Some(due) => {
                    tokio::select! {
                        biased;
                        () = tokio::time::sleep_until(due) => return,
                        () = wanted => {}
                    }
                }
                None => wanted.await,
            }
        }
    }
}

impl AppliedState {
    fn take(&mut self, step: &Step<'_>) {
        let before = self.last.map_or(0, |last| last.index + 1);
        assert!(step.position.index >= before, "entries are applied in order: {:?} behind {before}", step.position);
        self.last = Some(step.position);
        let times = step.times.unwrap_or_default();
        let sure = self.sure_time().max(times.sure);
        self.time = self.time.max(times.date);
        self.sure = (sure != self.time).then_some(sure);
        self.log_bytes += step.entry_bytes as u64;
        if let Some(membership) = &step.membership {
            self.membership = Some((step.position, membership.clone()));
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.effects_hash);
        hasher.update(&step.position.index.to_be_bytes());
        for (key, value) in step.effects {
            let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("rows are bounded").to_be_bytes();
            hasher.update(&length(key));
            hasher.update(key);
            match value {
                Some(value) => hasher.update(&[1]).update(&length(value)).update(value),
                None => hasher.update(&[0]),
            };
        }
        self.effects_hash = *hasher.finalize().as_bytes();
    }
}

impl Pressure {
    fn take(&mut self, step: &Step<'_>) {
        let row_bytes = |(key, value): &Effect| key.len() + value.as_ref().map_or(0, Bytes::len);
        self.overlay_bytes += step.effects.iter().map(row_bytes).sum::<usize>() as u64;
        self.log_bytes += step.entry_bytes as u64;
        let garbage = |(key, value): &Effect| value.is_some() && key.first() == Some(&(Table::Garbage as u8));
        if self.garbage_since.is_none() && step.effects.iter().any(garbage) {
            self.garbage_since = Some(Instant::now());
        }
    }
}
