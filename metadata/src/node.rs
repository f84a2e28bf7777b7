//! The running voter: Raft over the operation log, rows behind it, and the tasks that keep both.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use cairn_core::{Clock, Entropy, LogIndex, SessionId};
use cairn_machine::rows::cluster::ClusterRow;
use cairn_machine::rows::session::SessionKind;
use cairn_machine::{Operation, Outcome, Refusal, Row};
use cairn_oplog::{OpLog, Recovered};
use cairn_rows::{Rows, RowsOptions, RunSet};
use tokio::sync::watch;

use crate::applied::Applied;
use crate::applier::Applier;
use crate::client::Client;
use crate::config::NodeConfig;
use crate::error::{NodeFailure, ProposeError, StartError};
use crate::failure::Failure;
use crate::housekeeping::keep_house;
use crate::propose::{Proposer, gather};
use crate::raft::{AppliedState, Kept, Mark, NewestMark, OpenError, Parts, Raft, RaftStartError, ReadIndexError};
use crate::runs::{Keeper, KeeperReport};
use crate::status::MetadataStatus;
use crate::tasks::Tasks;
use crate::view::RowsAt;

/// A running voter. Cheap to clone; close it once.
#[derive(Debug, Clone)]
pub struct MetadataNode {
    pub(crate) inner: Arc<Inner>,
}

/// What a node and its clients share.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) config: Arc<NodeConfig>,
    pub(crate) raft: Raft,
    pub(crate) rows: Rows,
    pub(crate) applied: Arc<Applied>,
    pub(crate) proposer: Proposer,
    pub(crate) failure: Failure,
    pub(crate) tasks: Tasks,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    log: OpLog,
    newest: NewestMark,
    keeper: Arc<KeeperReport>,
    /// The sessions that this process has begun, whatever became of them: 8 bytes for each start of a client.
    own_sessions: Mutex<BTreeSet<SessionId>>,
    swept: watch::Receiver<bool>,
}

impl Inner {
    /// A session of this process: never swept as a predecessor's. Said before it is proposed.
    pub(crate) fn own_session(&self, id: SessionId) {
        self.own_sessions.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
    }

    pub(crate) fn own_sessions(&self) -> BTreeSet<SessionId> {
        self.own_sessions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl MetadataNode {
    /// Starts a voter on its operation log: opens the runs that the newest mark names, applies the log behind them as
    /// far as it is known to be committed, and takes up its part in Raft. Inside a tokio runtime; it is ready when
    /// [`Self::ready`] says so. The log must take entries of somewhat more than 1 MiB: with segments of 4 MiB it does.
    pub async fn start(
        config: NodeConfig,
        log: OpLog,
        recovered: Recovered,
        rows: RowsOptions,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, StartError> {
        config.check();
        if recovered.report.read_only {
            return Err(StartError::ReadOnly { missing: recovered.report.missing });
        }
        let config = Arc::new(config);
        let mark = recovered.mark.as_ref().map(|payload| Mark::from_bytes(payload)).transpose()?;
        let rows = open_rows(rows, mark.as_ref(), &config)?;
        let state = mark.as_ref().map_or_else(AppliedState::default, |mark| mark.applied.clone());
        let applied = Arc::new(Applied::new(state, config.cut));
        let (failure, tasks, newest) = (Failure::default(), Tasks::new(), NewestMark::new(mark));
        let parts = Parts {
            config: &config,
            log: log.clone(),
            recovered: &recovered,
            applier: Applier::new(rows.clone(), applied.clone()),
            newest: newest.clone(),
            failure: failure.clone(),
            entropy: &*entropy,
            tasks: &tasks,
        };
        let raft = Raft::start(parts).await.map_err(|error| start_error(error, &failure))?;
        let (proposer, queue) = Proposer::new(raft.leadership(), config.voter, config.deadline);
        let stopping = tasks.stopping();
        tasks.spawn(gather(queue, raft.clone(), applied.clone(), clock.clone(), stopping.clone()));
        let keeper = Keeper {
            config: config.clone(),
            rows: rows.clone(),
            applied: applied.clone(),
            log: log.clone(),
            newest: newest.clone(),
            raft: raft.clone(),
            proposer: proposer.clone(),
            failure: failure.clone(),
            report: Arc::default(),
            stopping,
            directories: config.run_directories.clone(),
            frozen: None,
        };
        let report = keeper.report.clone();
        tasks.spawn(keeper.run());
        let (swept_sender, swept) = watch::channel(false);
        let inner = Arc::new(Inner {
            config,
            raft,
            rows,
            applied,
            proposer,
            failure,
            tasks: tasks.clone(),
            clock,
            entropy,
            log,
            newest,
            keeper: report,
            own_sessions: Mutex::default(),
            swept,
        });
        tasks.spawn(keep_house(inner.clone(), swept_sender));
        Ok(Self { inner })
    }

    /// Forms a cluster of this voter alone: the first membership and the first operation. Doing it again for the same
    /// cluster changes nothing, so a formation that was cut short is simply repeated.
    pub async fn form(&self, form: Operation) -> Result<(), ProposeError> {
        let Operation::Form { cluster, voter, .. } = &form else {
            panic!("a cluster is formed by Form, not by {form:?}");
        };
        let (cluster, voter) = (*cluster, *voter);
        assert_eq!(voter, self.inner.config.voter, "the first voter is the one that forms");
        self.inner.raft.initialize().await.map_err(ProposeError::Unavailable)?;
        let answer = self.inner.proposer.without_session(&[form]).await?;
        match answer.outcomes.as_slice() {
            [Outcome::Done] => Ok(()),
            [Outcome::Refused(Refusal::AlreadyFormed)] => {
                let row = ClusterRow::get(&RowsAt(self.inner.rows.view()), &());
                match row.map_err(|error| ProposeError::Unavailable(error.to_string()))? {
                    Some(row) if row.id == cluster => Ok(()),
                    _ => Err(ProposeError::Refused(Refusal::AlreadyFormed)),
                }
            }
            [Outcome::Refused(refusal)] => Err(ProposeError::Refused(refusal.clone())),
            other => panic!("forming has one outcome of two kinds, and not {other:?}"),
        }
    }

    /// Waits until there is a leader, everything that was committed is applied, and the sessions that this node had
    /// before are ended. Says so where the cluster was never formed, or not to the end: then form it.
    pub async fn ready(&self) -> Result<(), StartError> {
        let inner = &self.inner;
        let ready = async {
            if !inner.raft.is_initialized().await.map_err(StartError::Raft)? {
                return Err(StartError::NotFormed);
            }
            let mut leadership = inner.raft.leadership();
            loop {
                leadership.wait_for(|known| known.leader.is_some()).await.map_err(|_| ended())?;
                match inner.raft.read_index().await {
                    Ok(index) => {
                        inner.applied.watch().wait_for(|applied| *applied >= index).await.map_err(|_| ended())?;
                        break;
                    }
                    Err(ReadIndexError::NotLeader) => {
                        leadership.changed().await.map_err(|_| ended())?;
                    }
                    Err(ReadIndexError::Unavailable(reason)) => return Err(StartError::Raft(reason)),
                }
            }
            inner.swept.clone().wait_for(|swept| *swept).await.map_err(|_| ended())?;
            // A formation may have been cut short between the first membership and the first operation.
            let formed = ClusterRow::get(&RowsAt(inner.rows.view()), &());
            let formed = formed.map_err(|error| StartError::Rows(error.into()))?;
            formed.map(|_| ()).ok_or(StartError::NotFormed)
        };
        tokio::select! {
            biased;
            failure = inner.failure.happened() => Err(failure.into()),
            // A failure is the cause of whatever else went wrong.
            ready = ready => ready.map_err(|error| inner.failure.cause().map_or(error, StartError::Stopped)),
        }
    }

    /// Begins a session, which is renewed in the background for as long as the client lives.
    pub async fn client(&self, kind: SessionKind) -> Result<Client, ProposeError> {
        Client::begin(self.inner.clone(), kind).await
    }

    /// How it is doing.
    pub fn status(&self) -> MetadataStatus {
        let inner = &self.inner;
        let leadership = *inner.raft.leadership().borrow();
        let state = inner.applied.state();
        let index = |index: Option<u64>| LogIndex(index.unwrap_or(0));
        MetadataStatus {
            voter: inner.config.voter,
            leader: leadership.leader,
            term: leadership.term,
            last_index: index(inner.raft.last_index()),
            applied_index: index(state.last.map(|last| last.index)),
            run_index: index(inner.newest.get().and_then(|mark| mark.applied.last).map(|last| last.index)),
            purged_index: index(inner.raft.purged_index()),
            rows: inner.rows.stats(),
            log: inner.log.stats(),
            effects_hash: state.effects_hash,
            run_error: inner.keeper.last_error(),
            failure: inner.failure.cause(),
        }
    }

    /// Waits until the node fails. A process whose node has failed should end: a restart is the way on.
    pub async fn failed(&self) -> NodeFailure {
        self.inner.failure.happened().await
    }

    /// Takes no more proposals, waits for those under way, and closes the log so that the next start finds nothing in
    /// flight. Close the clients first: sessions that are still open are ended by the next start.
    pub async fn close(self) -> Result<(), NodeFailure> {
        let inner = &self.inner;
        inner.tasks.stop().await;
        let raft = inner.raft.shutdown().await.map_err(NodeFailure::Raft);
        let log = inner.log.close().await.map_err(|error| NodeFailure::Log(error.to_string()));
        // Whatever failed first is the cause of the rest.
        inner.failure.cause().map_or(Ok(()), Err)?;
        raft.and(log)
    }
}

fn ended() -> StartError {
    StartError::Raft("it has ended".into())
}

fn open_rows(options: RowsOptions, mark: Option<&Mark>, config: &NodeConfig) -> Result<Rows, StartError> {
    let set = match mark {
        Some(mark) => RunSet::decode(&mark.run_set).map_err(|error| StartError::Rows(error.into()))?,
        None => RunSet::empty(),
    };
    if let Some(mark) = mark {
        assert_eq!(mark.applied.last.map(|last| last.index), Some(set.index().0), "a mark names the rows at its index");
    }
    Rows::open(options, &set, &config.run_directories).map_err(|error| StartError::Rows(error.into()))
}

fn start_error(error: RaftStartError, failure: &Failure) -> StartError {
    if let Some(cause) = failure.cause() {
        return StartError::Stopped(cause);
    }
    match error {
        RaftStartError::Open(OpenError::Format(error)) => StartError::Format(error),
        RaftStartError::Open(OpenError::Read(error)) => StartError::Log(error.into()),
        RaftStartError::Raft(reason) => StartError::Raft(reason),
    }
}
