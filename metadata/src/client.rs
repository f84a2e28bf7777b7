//! How everything outside this crate speaks to metadata: a session of its own, proposals, linearizable views. Where a key
//! lives is hidden, so that one group of voters can become many.

mod reads;
mod renewal;

use std::sync::{Arc, Mutex, PoisonError};

use cairn_core::{LogIndex, SessionId};
use cairn_machine::rows::session::{SessionKind, SessionRow};
use cairn_machine::{Operation, Outcome, Row};
use futures::future::BoxFuture;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::error::{Covered, ProposeError, ReadError};
use crate::node::Inner as Node;
use crate::propose::is_ended;
use crate::session::{Session, WriteTicket};
use crate::view::{RowsAt, View};
use reads::Reads;

/// A session with metadata, renewed in the background for as long as a clone of it lives. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    node: Arc<Node>,
    current: Mutex<Arc<Session>>,
    /// One registration at a time.
    registering: tokio::sync::Mutex<()>,
    reads: Reads,
    /// Cancelled when the client is closed or its last clone is dropped.
    ending: CancellationToken,
    ended: Mutex<Option<oneshot::Receiver<()>>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.ending.cancel();
    }
}

impl Client {
    pub(crate) async fn begin(node: Arc<Node>, kind: SessionKind) -> Result<Self, ProposeError> {
        // Where nothing can be written a session is known here alone: it commits nothing, and nothing is collected that it reads.
        let unwritten = node.covered.is_some();
        let session = match unwritten {
            true => Session::new(SessionId(node.entropy.next_u64()), kind, node.applied.index()),
            false => register(&node, kind).await?,
        };
        let (done, ended) = oneshot::channel();
        let client = Self {
            inner: Arc::new(Inner {
                node: node.clone(),
                current: Mutex::new(session),
                registering: tokio::sync::Mutex::default(),
                reads: Reads::default(),
                ending: CancellationToken::new(),
                ended: Mutex::new(Some(ended)),
            }),
        };
        if unwritten {
            return Ok(client);
        }
        let renewal = renewal::renew(Arc::downgrade(&client.inner), node.clone(), client.inner.ending.clone());
        node.tasks.spawn(async move {
            renewal.await;
            // Dropping it says as much as sending, so it does not matter whether somebody waits.
            done.send(()).unwrap_or_default();
        });
        Ok(client)
    }

    /// Proposes operations in one request: they are in one entry of the log, applied in order at one index, and each has
    /// an outcome of its own. Batched with the proposals of others.
    pub fn propose(&self, operations: Vec<Operation>) -> BoxFuture<'_, Result<Vec<Outcome>, ProposeError>> {
        Box::pin(async move {
            if operations.is_empty() {
                return Ok(Vec::new());
            }
            let session = self.inner.current();
            let answer = self.inner.node.proposer.in_session(&session, &operations).await?;
            if answer.outcomes.iter().all(is_ended) && self.inner.has_ended(&session, answer.index).await {
                self.inner.replace(&session).await?;
                return Err(ProposeError::SessionEnded(session.id()));
            }
            Ok(answer.outcomes)
        })
    }

    /// The rows as they are now: every write that was acknowledged before this was called is in them. Callers that ask
    /// at the same time share one question to the leader, and one view.
    pub fn read(&self) -> BoxFuture<'_, Result<View, ReadError>> {
        Box::pin(async move { reads::read(&self.inner).await })
    }

    /// The rows that this node has applied, however old they are. Only for those who say that stale is fine: status pages,
    /// planners.
    pub fn read_stale(&self) -> View {
        View::open(&self.inner.node.rows, &self.inner.current())
    }

    /// Why nothing can be proposed, where that is so for as long as the process runs.
    pub fn covered(&self) -> Option<&Covered> {
        self.inner.node.covered.as_deref()
    }

    /// The session that writes and reads are begun under now. It changes when the log has ended the one before.
    pub fn session(&self) -> SessionId {
        self.inner.current().id()
    }

    /// Leave to write, and the name of the attempt.
    pub fn begin_write(&self) -> WriteTicket {
        WriteTicket::begin(self.inner.current())
    }

    pub(crate) fn node(&self) -> &Node {
        &self.inner.node
    }

    #[cfg(test)]
    pub(crate) fn current(&self) -> Arc<Session> {
        self.inner.current()
    }

    /// Ends the session: its leases end, and whatever it wrote and did not commit is garbage from now on. Tickets and
    /// views that are still out are worth nothing after that.
    pub fn close(self) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            self.inner.ending.cancel();
            let ended = self.inner.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(ended) = ended {
                // An error says that the task has ended, too.
                ended.await.unwrap_or_default();
            }
        })
    }
}

impl Inner {
    fn current(&self) -> Arc<Session> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the log has ended a session. Asked after one of its requests was answered so, at an index.
    async fn has_ended(&self, session: &Session, answered: LogIndex) -> bool {
        if !self.node.has_applied(answered).await {
            return false;
        }
        match SessionRow::get(&RowsAt(self.node.rows.view()), &session.id()) {
            Ok(row) => row.is_none(),
            Err(error) => {
                tracing::error!(%error, session = %session.id(), "a session's row cannot be read");
                false
            }
        }
    }

    /// Begins another session in place of one that has ended, unless somebody has done so already.
    async fn replace(&self, ended: &Arc<Session>) -> Result<(), ProposeError> {
        let _turn = self.registering.lock().await;
        if self.current().id() != ended.id() {
            return Ok(());
        }
        tracing::warn!(session = %ended.id(), "the session had ended; another one begins");
        let session = register(&self.node, ended.kind()).await?;
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = session;
        Ok(())
    }
}

/// Registers a session. When the answer is lost the log may have one that nobody uses; it expires.
async fn register(node: &Node, kind: SessionKind) -> Result<Arc<Session>, ProposeError> {
    let id = SessionId(node.entropy.next_u64());
    node.own_session(id);
    let operation = Operation::RegisterSession { id, kind, node: node.config.node };
    let answer = node.proposer.without_session(&[operation]).await?;
    match answer.outcomes.as_slice() {
        // From here on its views are opened at or behind its registration, which another node may have applied first.
        [Outcome::Done] if node.has_applied(answer.index).await => Ok(Session::new(id, kind, answer.index)),
        [Outcome::Done] => Err(ProposeError::Unavailable("this node does not follow the log".into())),
        [Outcome::Refused(refusal)] => Err(ProposeError::Refused(refusal.clone())),
        other => panic!("registering a session has one outcome of two kinds, and not {other:?}"),
    }
}
