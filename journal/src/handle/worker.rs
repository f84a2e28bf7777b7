//! The writer's side of the queue: gathers what is there, writes it as one group, answers everyone.

use std::collections::VecDeque;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

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

pub(super) enum Command {
    Append { append: Append, done: Completion },
    Control { act: Box<dyn FnOnce(&mut Journal) + Send> },
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

pub(super) struct Worker {
    journal: Journal,
    queue: UnboundedReceiver<Command>,
    room: Arc<Semaphore>,
    poisoned: Arc<OnceLock<Arc<str>>>,
}

impl Worker {
    pub fn new(
        journal: Journal,
        queue: UnboundedReceiver<Command>,
        room: Arc<Semaphore>,
        poisoned: Arc<OnceLock<Arc<str>>>,
    ) -> Self {
        Self { journal, queue, room, poisoned }
    }

    pub fn run_blocking(mut self) {
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
        let (mut appends, mut waiting, mut controls) = (VecDeque::new(), VecDeque::new(), Vec::new());
        let (mut next, mut bytes, mut closing) = (Some(first), 0, None);
        while let Some(command) = next {
            match command {
                Command::Append { append, done } => {
                    bytes += append.stored_bytes();
                    appends.push_back(append);
                    waiting.push_back(done);
                }
                Command::Control { act } => controls.push(act),
                Command::Close { done } => {
                    closing = Some(done);
                    break;
                }
            }
            let full = appends.len() >= GROUP_RECORDS_MAX || bytes >= GROUP_BYTES_MAX || controls.len() >= CONTROLS_MAX;
            next = if full { None } else { self.queue.try_recv().ok() };
        }
        self.append(appends, waiting);
        for act in controls {
            act(&mut self.journal);
        }
        self.publish_poison();
        closing.map_or(ControlFlow::Continue(()), ControlFlow::Break)
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
