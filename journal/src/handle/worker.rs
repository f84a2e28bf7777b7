//! The writer's side of the queue: gathers what is there, writes it as one group, answers everyone.

use std::collections::VecDeque;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cairn_core::clock::Elapsed;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::Shared;
use crate::error::JournalError;
use crate::journal::Journal;
use crate::place::Place;
use crate::record::Append;
use crate::writer::{GROUP_BYTES_MAX, GROUP_RECORDS_MAX};

/// How many controls are taken between two groups, so that a long list of deletes does not hold up appends.
const CONTROLS_MAX: usize = 32;

/// From so many answers on it is a crowd, whose return is worth looking out for.
const CROWD_MIN: usize = 16;

/// How long a crowd is looked out for at most, and how often. The second bound is for clocks that stand still.
const LOOKOUT_MAX: Duration = Duration::from_micros(200);
const LOOKS_MAX: usize = 1000;

/// What is done with the journal between two groups.
type Control = Box<dyn FnOnce(&mut Journal) + Send>;

pub(super) enum Command {
    Append { append: Append, done: Completion },
    Control { act: Control },
    Close { done: oneshot::Sender<Shared<()>> },
}

impl Command {
    pub fn append(
        append: Append,
        room: OwnedSemaphorePermit,
        done: impl FnOnce(Shared<Place>) + Send + 'static,
    ) -> Self {
        Self::Append { append, done: Completion { done: Some(Box::new(done)), _room: room } }
    }
}

/// Answers exactly once: if nobody completes it, dropping it says that the journal is closed.
pub(super) struct Completion {
    done: Option<Box<dyn FnOnce(Shared<Place>) + Send>>,
    _room: OwnedSemaphorePermit,
}

impl Completion {
    fn complete(mut self, result: Shared<Place>) {
        if let Some(done) = self.done.take() {
            done(result);
        }
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        if let Some(done) = self.done.take() {
            done(Err(Arc::new(JournalError::Closed)));
        }
    }
}

/// Those who were answered last. Most callers that wait for their answer come back with the next record, one after the
/// other; the first of them alone would cost the others a sync.
#[derive(Debug, Clone, Copy, Default)]
struct Crowd {
    /// How many there were.
    answered: usize,
    /// How long they had waited for the device.
    took: Duration,
}

impl Crowd {
    /// How long to look out for them: a fraction of what a sync more would cost.
    fn lookout(self) -> Duration {
        (self.took / 4).min(LOOKOUT_MAX)
    }

    /// Whether so many may go without the others.
    fn suffices(self, appends: usize) -> bool {
        appends == 0 || self.answered < CROWD_MIN || appends >= self.answered - self.answered / 8
    }
}

pub(super) struct Worker {
    journal: Journal,
    queue: UnboundedReceiver<Command>,
    room: Arc<Semaphore>,
    poisoned: Arc<OnceLock<Arc<str>>>,
    crowd: Crowd,
    /// Whether it has a thread of its own, which may look out for a crowd.
    patient: bool,
}

/// What was taken off the queue, to be done together.
#[derive(Default)]
struct Batch {
    appends: VecDeque<Append>,
    waiting: VecDeque<Completion>,
    controls: Vec<Control>,
    bytes: u64,
    closing: Option<oneshot::Sender<Shared<()>>>,
}

impl Batch {
    fn add(&mut self, command: Command) {
        match command {
            Command::Append { append, done } => {
                self.bytes += append.stored_bytes();
                self.appends.push_back(append);
                self.waiting.push_back(done);
            }
            Command::Control { act } => self.controls.push(act),
            Command::Close { done } => self.closing = Some(done),
        }
    }

    fn is_full(&self) -> bool {
        self.closing.is_some()
            || self.appends.len() >= GROUP_RECORDS_MAX
            || self.bytes >= GROUP_BYTES_MAX
            || self.controls.len() >= CONTROLS_MAX
    }
}

impl Worker {
    pub fn new(
        journal: Journal,
        queue: UnboundedReceiver<Command>,
        room: Arc<Semaphore>,
        poisoned: Arc<OnceLock<Arc<str>>>,
    ) -> Self {
        Self { journal, queue, room, poisoned, crowd: Crowd::default(), patient: false }
    }

    pub fn run_blocking(mut self) {
        self.patient = true;
        while let Some(first) = self.queue.blocking_recv() {
            match self.serve(first) {
                ControlFlow::Continue(()) => {}
                ControlFlow::Break(done) => return self.close(done),
            }
        }
    }

    pub async fn run(mut self) {
        while let Some(first) = self.queue.recv().await {
            match self.serve(first) {
                ControlFlow::Continue(()) => {}
                ControlFlow::Break(done) => return self.close(done),
            }
        }
    }

    /// Takes what is queued, up to one group's worth, and does it: appends first, since somebody waits for each. An
    /// order between appends and controls has no meaning: a control names places, and those are known only after.
    fn serve(&mut self, first: Command) -> ControlFlow<oneshot::Sender<Shared<()>>> {
        let mut batch = Batch::default();
        batch.add(first);
        self.drain(&mut batch);
        if self.patient && !self.crowd.suffices(batch.appends.len()) {
            self.look_out(&mut batch);
        }
        let Batch { appends, waiting, controls, closing, .. } = batch;
        if !appends.is_empty() {
            let (answered, began) = (appends.len(), self.now());
            self.append(appends, waiting);
            self.crowd = Crowd { answered, took: self.now().since(began) };
        }
        for act in controls {
            act(&mut self.journal);
        }
        self.publish_poison();
        closing.map_or(ControlFlow::Continue(()), ControlFlow::Break)
    }

    fn drain(&mut self, batch: &mut Batch) {
        while !batch.is_full()
            && let Ok(command) = self.queue.try_recv()
        {
            batch.add(command);
        }
    }

    /// Lets others run until most of the last crowd are back, for a moment at most.
    fn look_out(&mut self, batch: &mut Batch) {
        let (began, lookout) = (self.now(), self.crowd.lookout());
        for _ in 0..LOOKS_MAX {
            std::thread::yield_now();
            self.drain(batch);
            let enough = batch.is_full() || self.crowd.suffices(batch.appends.len());
            if enough || self.now().since(began) >= lookout {
                break;
            }
        }
    }

    fn now(&self) -> Elapsed {
        self.journal.writer.clock().elapsed()
    }

    fn append(&mut self, mut appends: VecDeque<Append>, mut waiting: VecDeque<Completion>) {
        while !appends.is_empty() {
            match self.journal.writer.append_some(&mut appends) {
                Ok(places) => {
                    assert!(places.len() <= waiting.len(), "every append has somebody waiting");
                    let answered = waiting.drain(..places.len());
                    answered.zip(places).for_each(|(done, place)| done.complete(Ok(place)));
                }
                Err(error) => {
                    // Published before the answers, so that whoever gets one finds the cause.
                    self.publish_poison();
                    let error = Arc::new(error);
                    return waiting.into_iter().for_each(|done| done.complete(Err(error.clone())));
                }
            }
        }
        assert!(waiting.is_empty(), "everybody was answered");
    }

    fn publish_poison(&self) {
        if let Some(cause) = self.journal.poisoned() {
            self.poisoned.get_or_init(|| cause.clone());
        }
    }

    /// The queue is closed before the mark is written, so that nothing can be written behind it. Commands that are
    /// still queued are dropped, and with that answered.
    fn close(mut self, done: oneshot::Sender<Shared<()>>) {
        self.room.close();
        self.queue.close();
        let result = self.journal.close().map_err(Arc::new);
        // An asker that went away needs no answer.
        drop(done.send(result));
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("journal", &self.journal).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_of_a_crowd_are_looked_out_for_and_a_few_are_not() {
        let crowd = |answered| Crowd { answered, took: Duration::from_micros(400) };
        assert!(!crowd(64).suffices(1) && !crowd(64).suffices(55));
        assert!(crowd(64).suffices(56) && crowd(64).suffices(500));
        assert!((1..CROWD_MIN).all(|few| crowd(few).suffices(1)), "a lone append waits for nobody");
        assert!(crowd(64).suffices(0), "a control alone is not held up");
        assert_eq!(crowd(64).lookout(), Duration::from_micros(100), "a fraction of what a sync more costs");
        assert_eq!(Crowd { answered: 64, took: Duration::from_secs(1) }.lookout(), LOOKOUT_MAX);
    }
}
