//! The running node: Raft over the operation log, rows behind it, and the tasks that keep both.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cairn_core::{Clock, Entropy, LogIndex, SessionId, WallTime};
use cairn_machine::rows::cluster::ClusterRow;
use cairn_machine::rows::session::SessionKind;
use cairn_machine::{Operation, Outcome, Refusal, Row};
use cairn_oplog::{OpLog, Recovered};
use cairn_rows::{Rows, RowsOptions, RunSet};
use futures::future::BoxFuture;

use crate::applied::Applied;
use crate::applier::{Applier, entries_of, too_new};
use crate::calendar::Calendar;
use crate::client::Client;
use crate::config::{NodeConfig, RunPlaces, Standing};
use crate::error::{ChangeError, Covered, NodeFailure, ProposeError, StartError};
use crate::failure::Failure;
use crate::follow::{self, follow};
use crate::housekeeping::{keep_house, sweep_until_done};
use crate::leader::LeaderWay;
use crate::peers::{PeerCall, PeerError};
use crate::propose::{Gatherer, Proposer, gather};
use crate::raft::{AppliedState, Installer, Kept, Mark, NewestMark, OpenError, Parts, Raft, RaftStartError};
use crate::receiving::{Receiver, answer_offer, answer_piece};
use crate::runs::{Keeper, KeeperReport};
use crate::scrubbing::Scrubber;
use crate::status::MetadataStatus;
use crate::suspicion::Suspicion;
use crate::tasks::Tasks;
use crate::view::RowsAt;
use crate::witnesses::{self, ask_members};

/// A running node: a voter, or a member that follows the log. Cheap to clone; close it once.
#[derive(Debug, Clone)]
pub struct MetadataNode {
    pub(crate) inner: Arc<Inner>,
}

/// What a node and its clients share.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) config: Arc<NodeConfig>,
    pub(crate) raft: Raft,
    pub(crate) leader: LeaderWay,
    pub(crate) rows: Rows,
    pub(crate) applied: Arc<Applied>,
    pub(crate) proposer: Proposer,
    pub(crate) receiver: Receiver,
    pub(crate) failure: Failure,
    pub(crate) tasks: Tasks,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) calendar: Arc<Mutex<Calendar>>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) log: OpLog,
    newest: NewestMark,
    keeper: Arc<KeeperReport>,
    run_places: follow::Sender<RunPlaces>,
    /// The sessions that this process has begun, whatever became of them: 8 bytes for each start of a client.
    own_sessions: Mutex<BTreeSet<SessionId>>,
    swept: follow::Receiver<bool>,
    /// Why nothing can be written, where that is so.
    pub(crate) covered: Option<Arc<Covered>>,
}

impl Inner {
    /// A session of this process: never swept as a predecessor's. Said before it is proposed.
    pub(crate) fn own_session(&self, id: SessionId) {
        self.own_sessions.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
    }

    /// Waits until the rows here contain an index. Whether they do: a node that has failed or hears nothing stays behind.
    pub(crate) async fn has_applied(&self, index: LogIndex) -> bool {
        let mut applied = self.applied.watch();
        tokio::select! {
            biased;
            applied = applied.wait_for(|applied| *applied >= index) => applied.is_ok(),
            _ = self.failure.happened() => false,
            () = tokio::time::sleep(self.config.deadline) => false,
        }
    }

    pub(crate) fn own_sessions(&self) -> BTreeSet<SessionId> {
        self.own_sessions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl MetadataNode {
    /// Starts a node on its operation log: opens the runs that the newest mark names, applies the log behind them as
    /// far as it is known to be committed, and takes up its part in Raft. Inside a tokio runtime; it is ready when
    /// [`Self::ready`] says so. The log must take entries of somewhat more than 1 MiB: with segments of 4 MiB it does.
    pub fn start(
        config: NodeConfig,
        log: OpLog,
        recovered: Recovered,
        rows: RowsOptions,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> BoxFuture<'static, Result<Self, StartError>> {
        Box::pin(Self::begin(config, log, recovered, rows, clock, entropy))
    }

    async fn begin(
        config: NodeConfig,
        log: OpLog,
        recovered: Recovered,
        rows: RowsOptions,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, StartError> {
        config.check();
        let covered = recovered.report.read_only.then(|| {
            let copies = recovered.report.epoch.quorum.copies_len();
            Arc::new(Covered { copies, missing: recovered.report.missing.clone() })
        });
        if covered.is_some() && !config.serve_covered {
            return Err(StartError::ReadOnly { missing: recovered.report.missing });
        }
        let empty = recovered.vote.is_none() && recovered.last_index.is_none() && recovered.mark.is_none();
        if config.standing == Standing::Member && empty {
            return Err(StartError::Forgotten { member: config.voter });
        }
        let config = Arc::new(config);
        let mark = recovered.mark.as_ref().map(|payload| Mark::from_bytes(payload)).transpose()?;
        let suspicion = Suspicion::new(rows.files.clone(), config.run_directories.clone());
        let rows = open_rows(rows, mark.as_ref(), &config)?;
        if suspicion.is_there() {
            // The process before could not read something. What it was is found here, and not in the midst of an entry.
            let all = rows.clone();
            let read = config.work.run(move || all.read_whole()).await;
            read.map_err(|error| StartError::Rows(error.into()))?;
            suspicion.lift();
        }
        let state = mark.as_ref().map_or_else(AppliedState::default, |mark| mark.applied.clone());
        let entries = entries_of(&RowsAt(rows.view()), &config).map_err(|error| StartError::Rows(error.into()))?;
        if entries > config.function {
            let index = state.last.map_or(LogIndex(0), |last| LogIndex(last.index));
            return Err(StartError::Stopped(too_new(index, entries, config.function)));
        }
        let applied = Arc::new(Applied::new(state, config.cut, entries));
        let (failure, tasks, newest) = (Failure::noting(suspicion), Tasks::new(), NewestMark::new(mark));
        let turn = Arc::new(tokio::sync::Mutex::new(()));
        let installer = Installer {
            config: config.clone(),
            rows: rows.clone(),
            applied: applied.clone(),
            log: log.clone(),
            newest: newest.clone(),
            turn: turn.clone(),
        };
        let parts = Parts {
            config: &config,
            log: log.clone(),
            recovered: &recovered,
            applier: Applier::new(rows.clone(), applied.clone(), config.clone()),
            newest: newest.clone(),
            installer,
            failure: failure.clone(),
            entropy: &*entropy,
            tasks: &tasks,
            forgetful: covered.is_some(),
        };
        let raft = Raft::start(parts).await.map_err(|error| start_error(error, &failure))?;
        let leader = LeaderWay {
            raft: raft.clone(),
            peers: config.peers.clone(),
            entropy: entropy.clone(),
            deadline: config.deadline,
        };
        let (proposer, queue) = Proposer::new(leader.clone(), covered.clone());
        let stopping = tasks.stopping();
        let calendar = Arc::new(Mutex::new(Calendar::default()));
        let gatherer = Gatherer {
            way: leader.clone(),
            config: config.clone(),
            applied: applied.clone(),
            clock: clock.clone(),
            calendar: calendar.clone(),
            tasks: tasks.clone(),
        };
        tasks.spawn(gather(queue, gatherer));
        let (run_places, places) = follow(config.run_places());
        let keeper = Keeper {
            places,
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
            turn,
        };
        let report = keeper.report.clone();
        let scrubber = Scrubber {
            config: config.clone(),
            rows: rows.clone(),
            raft: raft.clone(),
            failure: failure.clone(),
            report: report.clone(),
            places: run_places.subscribe(),
            stopping: tasks.stopping(),
        };
        // Where nothing can be written there is nothing to keep, and sessions that were left over stay so.
        let (swept_sender, swept) = follow(covered.is_some());
        if covered.is_none() {
            tasks.spawn(keeper.run());
            tasks.spawn(scrubber.run());
        }
        let inner = Arc::new(Inner {
            config,
            raft,
            leader,
            rows,
            applied,
            proposer,
            receiver: Receiver::default(),
            failure,
            tasks: tasks.clone(),
            clock,
            calendar,
            entropy,
            log,
            newest,
            keeper: report,
            run_places,
            own_sessions: Mutex::default(),
            swept,
            covered,
        });
        if inner.covered.is_none() {
            tasks.spawn(sweep_until_done(inner.clone(), swept_sender));
            tasks.spawn(keep_house(inner.clone()));
            tasks.spawn(ask_members(inner.clone()));
        }
        Ok(Self { inner })
    }

    /// Forms a cluster of this voter alone: the first membership and the first operation. Doing it again for the same
    /// cluster changes nothing, so a formation that was cut short is simply repeated.
    pub fn form(&self, form: Operation) -> BoxFuture<'_, Result<(), ProposeError>> {
        Box::pin(async move {
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
        })
    }

    /// Waits until there is a leader, everything that was committed is applied, and the sessions that this node had
    /// before are ended. Says so where the cluster was never formed, or not to the end: then form it. Without a majority,
    /// and for a newcomer that nobody sends the log to, it waits for as long as the caller does.
    pub fn ready(&self) -> BoxFuture<'_, Result<(), StartError>> {
        Box::pin(async move {
            let inner = &self.inner;
            let ready = async {
                let waits = inner.config.standing == Standing::Newcomer;
                if !waits && !inner.raft.is_initialized().await.map_err(StartError::Raft)? {
                    return Err(StartError::NotFormed);
                }
                let index = inner.leader.until_read_index().await.ok_or_else(ended)?;
                inner.applied.watch().wait_for(|applied| *applied >= index).await.map_err(|_| ended())?;
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
        })
    }

    /// Begins a session, which is renewed in the background for as long as the client lives.
    pub fn client(&self, kind: SessionKind) -> BoxFuture<'_, Result<Client, ProposeError>> {
        Box::pin(async move { Client::begin(self.inner.clone(), kind).await })
    }

    /// Why nothing can be written, where that is so: it serves reads, and a start with more drives is the way on.
    pub fn covered(&self) -> Option<&Covered> {
        self.inner.covered.as_deref()
    }

    /// Runs lie elsewhere from now on: what is there is copied in the background.
    pub fn set_run_places(&self, places: RunPlaces) {
        assert!(places.copies > 0 && places.copies <= places.directories.len(), "a run's copies lie in as many places");
        self.inner.run_places.change(|now| std::mem::replace(now, places.clone()) != places);
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
            members: inner.raft.members(),
            heard: inner.raft.heard(),
            leader_heard: inner.raft.leader_heard(),
            function: inner.applied.function(),
            unsure: Duration::from_millis(state.time.0.saturating_sub(state.sure_time().0)),
            effects_hash: state.effects_hash,
            run_error: inner.keeper.last_error(),
            failure: inner.failure.cause(),
        }
    }

    /// Answers what another node asks. Bodies and replies have at most [`BODY_BYTES_MAX`](crate::BODY_BYTES_MAX) bytes; what
    /// makes no sense, or is meant for another member, is refused. May take as long as a caller waits: ask many at a time.
    pub fn answer(&self, call: PeerCall, body: Bytes) -> BoxFuture<'_, Result<Bytes, PeerError>> {
        Box::pin(async move {
            let inner = &self.inner;
            if let Some(cause) = inner.failure.cause() {
                return Err(PeerError::Refused(cause.to_string()));
            }
            match call {
                PeerCall::Append | PeerCall::Heartbeat => inner.raft.answer_append(&body).await,
                PeerCall::Vote => inner.raft.answer_vote(&body, false).await,
                PeerCall::PreVote => inner.raft.answer_vote(&body, true).await,
                PeerCall::Transfer => inner.raft.answer_transfer(&body).await,
                PeerCall::Propose => inner.proposer.answer(&body).await,
                PeerCall::ReadIndex => inner.leader.answer_read_index(&body).await,
                PeerCall::Members => inner.leader.answer_change(&body).await,
                PeerCall::Install => answer_offer(inner, &body).await,
                PeerCall::Run => answer_piece(inner, &body).await,
                PeerCall::About => witnesses::answer(inner, &body),
            }
        })
    }

    /// Hands the lead to another voter, if this node has it. Who leads then is decided by an election, in which that one has
    /// the first word; the status shows it.
    pub fn transfer_lead(&self, to: u64) -> BoxFuture<'_, Result<(), ChangeError>> {
        Box::pin(async move { self.inner.raft.transfer(to).await.map_err(ChangeError::Unavailable) })
    }

    /// The same, and waits until that one leads. Refuses where this node does not lead, or that one does not vote.
    pub async fn hand_lead(&self, to: u64, patience: Duration) -> Result<(), ChangeError> {
        let raft = &self.inner.raft;
        if !raft.leads() {
            return Err(ChangeError::Refused("this member does not lead".into()));
        }
        if !raft.members().iter().any(|status| status.member == to && status.votes) {
            return Err(ChangeError::Refused(format!("member {to} does not vote")));
        }
        if to == raft.id() {
            return Ok(());
        }
        self.transfer_lead(to).await?;
        let mut leadership = raft.leadership();
        match tokio::time::timeout(patience, leadership.wait_for(|known| known.leader == Some(to))).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(ChangeError::Unavailable("the metadata node has stopped".into())),
            Err(_) => Err(ChangeError::Unavailable(format!("member {to} does not lead within {patience:?}"))),
        }
    }

    /// Takes this machine's clock for right, because its operator says that it is: locks end by it from now on. Only where this
    /// node votes alone: of several, a majority's clocks decide, and nobody needs to say it.
    pub fn believe_clock(&self) -> Result<WallTime, ChangeError> {
        let inner = &self.inner;
        if !inner.raft.leads() {
            return Err(ChangeError::Refused("this member does not lead".into()));
        }
        if inner.raft.members().iter().filter(|member| member.votes).count() > 1 {
            return Err(ChangeError::Refused("several vote: the clocks of a majority decide".into()));
        }
        let wall = inner.clock.wall();
        inner.calendar.lock().unwrap_or_else(PoisonError::into_inner).agree(wall, inner.clock.elapsed());
        Ok(wall)
    }

    /// Waits until the node fails. A process whose node has failed should end: a restart is the way on.
    pub fn failed(&self) -> BoxFuture<'_, NodeFailure> {
        Box::pin(async move { self.inner.failure.happened().await })
    }

    /// Takes no more proposals, waits for those under way, and closes the log so that the next start finds nothing in
    /// flight. Close the clients first: sessions that are still open are ended by the next start.
    pub fn close(self) -> BoxFuture<'static, Result<(), NodeFailure>> {
        Box::pin(async move {
            let inner = &self.inner;
            inner.tasks.stop().await;
            let raft = inner.raft.shutdown().await.map_err(NodeFailure::Raft);
            let log = inner.log.close().await.map_err(|error| NodeFailure::Log(error.to_string()));
            // Whatever failed first is the cause of the rest.
            inner.failure.cause().map_or(Ok(()), Err)?;
            raft.and(log)
        })
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
