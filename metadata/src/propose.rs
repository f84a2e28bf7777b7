//! From many callers to one entry of the log.
//!
//! ```text
//! propose --+                                        +--> outcomes
//! propose --+--> bounded queue --> one batch, one ---+--> outcomes      while entries are under way, the next gathers
//! propose --+                      entry             +--> outcomes
//! ```
//! A lone proposal waits for nobody. How many entries may be under way at a time is bounded, so that a crowd gathers
//! into few large entries instead of many small ones; see [`ENTRIES_UNDER_WAY_MAX`].

mod encoded;
mod gathering;

use std::sync::Arc;
use std::time::Duration;

use cairn_core::{Clock, LogIndex};
use cairn_machine::{Operation, Outcome, RequestId};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::applied::Applied;
use crate::calendar::Calendar;
use crate::error::ProposeError;
use crate::raft::{Leadership, Raft, WriteError};
use crate::session::Session;
use crate::session::window::Crowded;
use encoded::EncodedOperations;
use gathering::Gathering;

/// How many entries may be under way. With more, the device never waits for the state machine, but a crowd is split into
/// smaller entries, each with its own cost: measured, one entry at a time commits half as much again as two with 64
/// clients, and as much with 512. A second voter's round trips will be another matter.
const ENTRIES_UNDER_WAY_MAX: u32 = 1;

/// How many proposals may wait to be gathered. A session has at most 1,024 requests out, so this is some sessions' worth;
/// with the bound of a proposal it also bounds the memory.
const QUEUE_MAX: usize = 4096;

/// What comes of a proposal that was handed in.
type ProposalResult = Result<Answer, WriteError>;

/// The outcomes of a proposal, and where in the log they came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The entry that carried it.
    pub(crate) index: LogIndex,
    /// One for each operation. A repeated request has its first answer.
    pub(crate) outcomes: Vec<Outcome>,
}

/// A proposal that waits to be gathered.
#[derive(Debug)]
struct Waiting {
    /// Whose request it is; none for what needs no session.
    request: Option<(Arc<Session>, u64)>,
    /// What it asks for.
    operations: Arc<EncodedOperations>,
    /// Where the outcomes go.
    reply: oneshot::Sender<ProposalResult>,
}

/// Hands proposals in and waits for what comes of them. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Proposer {
    queue: mpsc::Sender<Waiting>,
    leadership: watch::Receiver<Leadership>,
    voter: u64,
    deadline: Duration,
}

/// The number of a request, given back when nobody waits for its answer any more.
#[derive(Debug)]
struct Number<'a> {
    session: &'a Arc<Session>,
    number: u64,
}

impl Drop for Number<'_> {
    fn drop(&mut self) {
        self.session.window().end(self.number);
    }
}

impl Proposer {
    /// A proposer, and the queue that [`gather`] empties.
    pub(crate) fn new(leadership: watch::Receiver<Leadership>, voter: u64, deadline: Duration) -> (Self, Queue) {
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        (Self { queue, leadership, voter, deadline }, Queue(waiting))
    }

    /// Proposes what needs no session: operations that have one effect however often they are applied.
    pub(crate) async fn without_session(&self, operations: &[Operation]) -> Result<Answer, ProposeError> {
        let operations = Arc::new(EncodedOperations::encode(operations)?);
        self.until_deadline(None, operations).await
    }

    /// Proposes as a request of a session, which has one effect.
    pub(crate) async fn in_session(
        &self,
        session: &Arc<Session>,
        operations: &[Operation],
    ) -> Result<Answer, ProposeError> {
        let operations = Arc::new(EncodedOperations::encode(operations)?);
        self.until_deadline(Some(session), operations).await
    }

    /// Proposes as a certain request of a session, as somebody does who has lost the first answer.
    #[cfg(test)]
    pub(crate) async fn as_request(
        &self,
        session: &Arc<Session>,
        number: u64,
        operations: &[Operation],
    ) -> Result<Answer, ProposeError> {
        let operations = Arc::new(EncodedOperations::encode(operations)?);
        let (reply, answer) = oneshot::channel();
        let waiting = Waiting { request: Some((session.clone(), number)), operations, reply };
        self.queue.send(waiting).await.expect("the node runs");
        Ok(answer.await.expect("the node runs").expect("the node leads"))
    }

    async fn until_deadline(
        &self,
        session: Option<&Arc<Session>>,
        operations: Arc<EncodedOperations>,
    ) -> Result<Answer, ProposeError> {
        // Once it was handed in, it may happen: then a deadline says that nothing is known.
        let mut handed_in = false;
        let attempt = self.attempt(session, operations, &mut handed_in);
        match tokio::time::timeout(self.deadline, attempt).await {
            Ok(result) => result,
            Err(_) if handed_in => Err(ProposeError::Unavailable(format!("no answer within {:?}", self.deadline))),
            Err(_) => Err(ProposeError::Overloaded),
        }
    }

    async fn attempt(
        &self,
        session: Option<&Arc<Session>>,
        operations: Arc<EncodedOperations>,
        handed_in: &mut bool,
    ) -> Result<Answer, ProposeError> {
        let number = match session {
            Some(session) => {
                let number = session.window().begin().await.map_err(|Crowded| ProposeError::Overloaded)?;
                Some(Number { session, number })
            }
            None => None,
        };
        let mut leadership = self.leadership.clone();
        loop {
            let request = number.as_ref().map(|number| (number.session.clone(), number.number));
            let (reply, answer) = oneshot::channel();
            let waiting = Waiting { request, operations: operations.clone(), reply };
            match self.queue.try_send(waiting) {
                Ok(()) => *handed_in = true,
                Err(_) if *handed_in => return Err(ProposeError::Unavailable("the leader has changed".into())),
                Err(TrySendError::Full(_)) => return Err(ProposeError::Overloaded),
                Err(TrySendError::Closed(_)) => return Err(ProposeError::Closed),
            }
            match answer.await {
                Ok(Ok(answer)) => return Ok(answer),
                // With the same number it has one effect, even if another leader commits what this one had written.
                Ok(Err(WriteError::NotLeader)) => {
                    let leads = |known: &Leadership| known.leader == Some(self.voter);
                    if leadership.wait_for(leads).await.is_err() {
                        return Err(ProposeError::Unavailable("the metadata node has stopped".into()));
                    }
                }
                Err(_) => return Err(ProposeError::Unavailable("the metadata node has stopped".into())),
            }
        }
    }
}

/// The proposals that wait to be gathered.
#[derive(Debug)]
pub(crate) struct Queue(mpsc::Receiver<Waiting>);

/// Gathers proposals until it is told to stop; then it takes no more, and waits for those that are under way.
pub(crate) async fn gather(
    Queue(mut queue): Queue,
    raft: Raft,
    applied: Arc<Applied>,
    clock: Arc<dyn Clock>,
    stopping: CancellationToken,
) {
    let under_way = Arc::new(Semaphore::new(ENTRIES_UNDER_WAY_MAX as usize));
    let mut calendar = Calendar::default();
    let mut left_over = None;
    loop {
        let next = match left_over.take() {
            Some(waiting) => Some(waiting),
            None => tokio::select! {
                biased;
                next = queue.recv() => next,
                () = stopping.cancelled(), if !queue.is_closed() => {
                    queue.close();
                    continue;
                }
            },
        };
        let Some(first) = next else { break };
        let permit = under_way.clone().acquire_owned().await.expect("the semaphore is never closed");
        let mut gathering = Gathering::default();
        gathering.add(first);
        while let Ok(waiting) = queue.try_recv() {
            if !gathering.has_room_for(&waiting) {
                left_over = Some(waiting);
                break;
            }
            gathering.add(waiting);
        }
        let time = calendar.assign(clock.wall(), applied.time());
        let Some((entry, replies)) = gathering.finish(time) else { continue };
        let done = move |result| {
            replies.send(result);
            drop(permit);
        };
        raft.write(entry, Box::new(done)).await;
    }
    let all = under_way.acquire_many(ENTRIES_UNDER_WAY_MAX).await;
    drop(all.expect("the semaphore is never closed"));
}

/// The number of a request, together with what its session has been answered until now.
fn request_id(session: &Session, number: u64) -> RequestId {
    RequestId { session: session.id(), number, lowest_unanswered: session.window().lowest_unanswered().min(number) }
}
