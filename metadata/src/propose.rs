//! From many callers to one entry of the log.
//!
//! ```text
//! propose --+                                        +--> outcomes
//! propose --+--> bounded queue --> one batch, one ---+--> outcomes      while entries are under way, the next gathers
//! propose --+                      entry             +--> outcomes
//! ```
//! A node that does not lead sends what it has gathered to the one that does, where it is gathered once more. A proposal
//! that was sent and not answered is sent again under its number, so it has one effect, whoever leads by then.
//!
//! A lone proposal waits for nobody. How many entries may be under way at a time is bounded, so that a crowd gathers
//! into few large entries instead of many small ones; see [`ENTRIES_UNDER_WAY_MAX`].

mod encoded;
mod forward;
mod gathering;

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use cairn_core::{Clock, LogIndex};
use cairn_machine::{Operation, Outcome, Refusal, RequestId};
use minicbor::{Decode, Encode};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::applied::Applied;
use crate::calendar::Calendar;
use crate::config::NodeConfig;
use crate::error::{Covered, ProposeError};
use crate::leader::{Lead, LeaderWay, Pause};
use crate::peers::PeerError;
use crate::raft::WriteError;
use crate::session::Session;
use crate::session::window::Crowded;
use crate::tasks::Tasks;
use encoded::EncodedOperations;
use gathering::{Gathering, Versions};

/// How many entries may be under way. With more, the device never waits for the state machine, but a crowd is split into
/// smaller entries, each with its own cost: measured, one entry at a time commits half as much again as two with 64
/// clients, and as much with 512. A second voter's round trips will be another matter.
const ENTRIES_UNDER_WAY_MAX: u32 = 1;

/// How many bundles of proposals may be on their way to a leader elsewhere. While some are, the next gathers; more than one
/// so that the way there and back does not add to the wait of those who come behind.
const FORWARDS_UNDER_WAY_MAX: u32 = 4;

/// How many proposals may wait to be gathered. A session has at most 1,024 requests out, so this is some sessions' worth;
/// with the bound of a proposal it also bounds the memory.
const QUEUE_MAX: usize = 4096;

/// What comes of a proposal that was handed in.
type ProposalResult = Result<Answer, WriteError>;

/// The outcomes of a proposal, and where in the log they came about.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Answer {
    /// The entry that carried it.
    #[n(0)]
    pub(crate) index: LogIndex,
    /// One for each operation. A repeated request has its first answer.
    #[n(1)]
    pub(crate) outcomes: Vec<Outcome>,
}

/// A proposal that waits to be gathered.
#[derive(Debug)]
struct Waiting {
    /// Whose request it is.
    asker: Asker,
    /// What it asks for.
    operations: Arc<EncodedOperations>,
    /// Where the outcomes go.
    reply: oneshot::Sender<ProposalResult>,
}

/// Who asks.
#[derive(Debug)]
enum Asker {
    /// Somebody who needs no session.
    Anyone,
    /// A session of this process, under a number.
    Session(Arc<Session>, u64),
    /// A node that does not lead, for one of its own. It is never sent on: who leads decides, or says that it does not.
    Peer(Option<RequestId>),
}

impl Asker {
    /// The request, with what its session has been answered until now.
    fn request(&self) -> Option<RequestId> {
        match self {
            Self::Anyone => None,
            Self::Session(session, number) => Some(request_id(session, *number)),
            Self::Peer(request) => *request,
        }
    }
}

/// Hands proposals in and waits for what comes of them. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Proposer {
    queue: mpsc::Sender<Waiting>,
    way: LeaderWay,
    /// Why nothing can be written, where that is so.
    covered: Option<Arc<Covered>>,
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
    pub(crate) fn new(way: LeaderWay, covered: Option<Arc<Covered>>) -> (Self, Queue) {
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        (Self { queue, way, covered }, Queue(waiting))
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
        let waiting = Waiting { asker: Asker::Session(session.clone(), number), operations, reply };
        self.queue.send(waiting).await.expect("the node runs");
        Ok(answer.await.expect("the node runs").expect("the node leads"))
    }

    /// Takes what another node sends, and waits for what comes of it.
    pub(crate) async fn answer(&self, body: &Bytes) -> Result<Bytes, PeerError> {
        forward::answer(self, body).await
    }

    async fn until_deadline(
        &self,
        session: Option<&Arc<Session>>,
        operations: Arc<EncodedOperations>,
    ) -> Result<Answer, ProposeError> {
        if let Some(covered) = &self.covered {
            return Err(ProposeError::ReadOnly((**covered).clone()));
        }
        // Once it was handed in, it may happen: then a deadline says that nothing is known.
        let mut handed_in = false;
        let attempt = self.attempt(session, operations, &mut handed_in);
        match tokio::time::timeout(self.way.deadline, attempt).await {
            Ok(result) => result,
            Err(_) if handed_in => Err(ProposeError::Unavailable(format!("no answer within {:?}", self.way.deadline))),
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
        let mut pause = Pause::new(&self.way);
        loop {
            let asker =
                number.as_ref().map_or(Asker::Anyone, |number| Asker::Session(number.session.clone(), number.number));
            let (reply, answer) = oneshot::channel();
            let waiting = Waiting { asker, operations: operations.clone(), reply };
            // What was handed in before may still happen, whatever becomes of it now.
            let before = std::mem::replace(handed_in, true);
            match self.queue.try_send(waiting) {
                Ok(()) => {}
                Err(_) if before => return Err(ProposeError::Unavailable("the leader has changed".into())),
                Err(TrySendError::Full(_)) => return Err(ProposeError::Overloaded),
                Err(TrySendError::Closed(_)) => return Err(ProposeError::Closed),
            }
            match answer.await {
                // The first copy may have had its effect before the session ended.
                Ok(Ok(answer)) if before && answer.outcomes.iter().all(is_ended) => {
                    return Err(ProposeError::Unavailable("its session ended while it was under way".into()));
                }
                Ok(Ok(answer)) => return Ok(answer),
                // With the same number it has one effect, even if another leader commits what this one had written.
                Ok(Err(WriteError::NotLeader)) => {
                    if pause.wait().await.is_none() {
                        return Err(ProposeError::Unavailable("the metadata node has stopped".into()));
                    }
                }
                Ok(Err(WriteError::Busy)) if !before => return Err(ProposeError::Overloaded),
                Ok(Err(WriteError::NotYet(needs))) => return Err(ProposeError::NotYet { needs }),
                Ok(Err(WriteError::Busy)) => {
                    return Err(ProposeError::Unavailable("the leader has too much to do".into()));
                }
                Err(_) => return Err(ProposeError::Unavailable("the metadata node has stopped".into())),
            }
        }
    }
}

/// The proposals that wait to be gathered.
#[derive(Debug)]
pub(crate) struct Queue(mpsc::Receiver<Waiting>);

/// What gathering needs.
pub(crate) struct Gatherer {
    pub(crate) way: LeaderWay,
    pub(crate) config: Arc<NodeConfig>,
    pub(crate) applied: Arc<Applied>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) calendar: Arc<Mutex<Calendar>>,
    pub(crate) tasks: Tasks,
}

impl Gatherer {
    /// The term in which this node leads and has applied all that was committed before: before that it knows neither what
    /// time it was, nor of which version entries are.
    async fn knows_the_log(&self) -> Option<u64> {
        let known = *self.way.raft.leadership().borrow();
        if known.leader != Some(self.way.raft.id()) {
            return None;
        }
        let index = self.way.raft.read_index().await.ok()?;
        self.applied.watch().wait_for(|applied| *applied >= index).await.ok()?;
        Some(known.term)
    }
}

/// Gathers proposals until it is told to stop; then it takes no more, and waits for those that are under way.
pub(crate) async fn gather(Queue(mut queue): Queue, gatherer: Gatherer) {
    let way = gatherer.way.clone();
    let Gatherer { config, applied, clock, tasks, .. } = &gatherer;
    let stopping = tasks.stopping();
    let writing = Arc::new(Semaphore::new(ENTRIES_UNDER_WAY_MAX as usize));
    let forwarding = Arc::new(Semaphore::new(FORWARDS_UNDER_WAY_MAX as usize));
    let mut knows_log_in = None;
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
        let under_way = if way.lead() == Lead::Here { &writing } else { &forwarding };
        // Waiting takes time in which the lead may change. An entry under way is answered then, so nobody waits for ever.
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
        match way.lead() {
            Lead::Here => {
                if knows_log_in != Some(way.raft.leadership().borrow().term) {
                    knows_log_in = tokio::select! {
                        biased;
                        () = stopping.cancelled() => None,
                        known = tokio::time::timeout(way.deadline, gatherer.knows_the_log()) => known.ok().flatten(),
                    };
                    if knows_log_in.is_none() {
                        gathering.turn_away();
                        continue;
                    }
                }
                let times = {
                    let alone = way.raft.leadership().borrow().voters <= 1;
                    let mut calendar = gatherer.calendar.lock().unwrap_or_else(PoisonError::into_inner);
                    calendar.assign((clock.wall(), clock.elapsed()), applied.times(), alone)
                };
                let versions = Versions { entries: applied.function(), known: config.function };
                let Some((entry, replies)) = gathering.finish(versions, times) else { continue };
                let done = move |result| {
                    replies.send(result);
                    drop(permit);
                };
                way.raft.write(entry, Box::new(done)).await;
            }
            Lead::There { member, node } => {
                let Some((body, replies)) = gathering.finish_for(member) else { continue };
                let way = way.clone();
                tasks.spawn(async move {
                    forward::send(&way, member, node, body, replies).await;
                    drop(permit);
                });
            }
            Lead::Nobody => gathering.turn_away(),
        }
    }
    // Without a majority nothing is answered before Raft ends, and who waits has a deadline of his own.
    let all = writing.acquire_many(ENTRIES_UNDER_WAY_MAX);
    if tokio::time::timeout(way.deadline, all).await.is_err() {
        tracing::warn!("the node is closed while an entry is under way: nobody knows what comes of it");
    }
}

/// Whether an operation was refused because its session is over.
pub(crate) fn is_ended(outcome: &Outcome) -> bool {
    *outcome == Outcome::Refused(Refusal::SessionEnded)
}

/// The number of a request, together with what its session has been answered until now.
fn request_id(session: &Session, number: u64) -> RequestId {
    RequestId { session: session.id(), number, lowest_unanswered: session.window().lowest_unanswered().min(number) }
}
