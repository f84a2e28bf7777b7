//! How a node is run. The defaults are production's; tests and simulations make everything small.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cairn_core::NodeId;
use cairn_core::units::{GIB, MIB};
use cairn_machine::FUNCTION_VERSION;

use crate::applied::Pressure;
use crate::peers::{NoPeers, Peers};

/// How a node is run.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// Which node this is.
    pub node: NodeId,
    /// The id under which it takes part in the log.
    pub voter: u64,
    /// What it knows of its own past under that id.
    pub standing: Standing,
    /// The way to the other nodes.
    pub peers: Arc<dyn Peers>,
    /// Whether a log that can only be read is served for reading. Only for a process that is alone: it elects itself without
    /// a vote that anybody remembers.
    pub serve_covered: bool,
    /// Where runs may lie: a directory on each of the node's drives, which exist. More than there are copies, so that
    /// another can take the place of one that fails.
    pub run_directories: Vec<PathBuf>,
    /// How many copies there are of each run: as many as of the log.
    pub run_copies: usize,
    /// How many bytes of a run are fetched at once from a leader: a piece waits in memory, and goes over the same network as
    /// the log.
    pub piece_bytes: usize,
    /// When a run is cut.
    pub cut: CutPolicy,
    /// How much of the log is kept behind the newest run.
    pub history: HistoryPolicy,
    /// How often all runs are read back, to find copies that have rotted.
    pub scrub_every: Duration,
    /// How sessions are kept alive.
    pub sessions: SessionPolicy,
    /// Raft's timers.
    pub timers: RaftTimers,
    /// How long a proposal or a read waits before it answers that nothing is known.
    pub deadline: Duration,
    /// Who does what blocks.
    pub work: Work,
    /// The latest version of the state machine's function that it takes part in. As long as one member is behind, entries are of
    /// that one's: so an upgrade can be held back, and a test has an older release.
    pub function: u8,
}

impl NodeConfig {
    /// The defaults of production, for a node that founds a cluster or goes on alone.
    pub fn new(node: NodeId, voter: u64, run_directories: Vec<PathBuf>, run_copies: usize) -> Self {
        Self {
            node,
            voter,
            standing: Standing::Founder,
            peers: Arc::new(NoPeers),
            serve_covered: false,
            run_directories,
            run_copies,
            piece_bytes: MIB as usize,
            cut: CutPolicy::default(),
            history: HistoryPolicy::default(),
            scrub_every: Duration::from_secs(24 * 3600),
            sessions: SessionPolicy::default(),
            timers: RaftTimers::default(),
            deadline: Duration::from_secs(10),
            work: Work::Threads,
            function: FUNCTION_VERSION,
        }
    }

    pub(crate) fn run_places(&self) -> RunPlaces {
        RunPlaces { directories: self.run_directories.clone(), copies: self.run_copies }
    }

    pub(crate) fn check(&self) {
        assert!(self.run_copies > 0, "a run has a copy at least");
        assert!(self.run_copies <= self.run_directories.len(), "a run's copies lie in as many directories");
        assert!(self.piece_bytes > 0, "a piece has a byte at least");
        assert!((1..=FUNCTION_VERSION).contains(&self.function), "a version that this release knows");
        let sessions = self.sessions;
        assert!(sessions.renew_at_most <= sessions.renew_at_least, "a session may be renewed when it must");
        assert!(sessions.renew_at_least < sessions.term, "a session that is renewed lives");
    }
}

/// Where runs lie, which may change while a node runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunPlaces {
    /// A directory on each of the node's drives, which exist.
    pub directories: Vec<PathBuf>,
    /// How many copies there are of each run.
    pub copies: usize,
}

/// What a node knows of its own past when it starts. What it has promised under its id stands in its log; a log that is
/// empty where it cannot be has been lost, and whoever went on with it would promise the opposite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The first voter: an empty log means that the cluster is still to be formed.
    Founder,
    /// Its id was given to it just now, and nothing was ever written under it: it waits to be sent the log.
    Newcomer,
    /// It has taken part under its id: an empty log refuses the start.
    Member,
}

/// Who does what blocks: writing and merging runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// A thread of tokio's blocking pool: for real disks.
    Threads,
    /// The task itself: for simulations, where nothing blocks and every order must come again.
    Inline,
}

impl Work {
    /// Does something that blocks.
    pub(crate) async fn run<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> T {
        match self {
            Self::Inline => work(),
            Self::Threads => match tokio::task::spawn_blocking(work).await {
                Ok(done) => done,
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(cancelled) => panic!("work that blocks is only cancelled with its runtime: {cancelled}"),
                },
            },
        }
    }
}

/// When a run is cut.
#[derive(Debug, Clone, Copy)]
pub struct CutPolicy {
    /// When the overlay has grown to this.
    pub overlay_bytes: u64,
    /// When a start would have to apply this many bytes of entries again: rows that are written over and over do not
    /// make the overlay grow, but the log.
    pub log_bytes: u64,
    /// When garbage has waited this long to be in a run.
    pub garbage_age: Duration,
}

impl Default for CutPolicy {
    fn default() -> Self {
        Self { overlay_bytes: 64 * MIB, log_bytes: 512 * MIB, garbage_age: Duration::from_secs(600) }
    }
}

impl CutPolicy {
    /// Whether size alone speaks for a cut.
    pub(crate) fn is_due(&self, pressure: &Pressure) -> bool {
        pressure.overlay_bytes >= self.overlay_bytes || pressure.log_bytes >= self.log_bytes
    }
}

/// How much of the log is kept behind the newest run, for audit and for looking back. Whatever is more goes, at the next
/// cut.
#[derive(Debug, Clone, Copy)]
pub struct HistoryPolicy {
    /// How old, by the time that the leader is sure of.
    pub age: Duration,
    /// How many bytes of entries: some twentieth of a drive.
    pub bytes: u64,
}

impl Default for HistoryPolicy {
    fn default() -> Self {
        Self { age: Duration::from_secs(7 * 24 * 3600), bytes: GIB }
    }
}

/// How sessions are kept alive and ended.
#[derive(Debug, Clone, Copy)]
pub struct SessionPolicy {
    /// How long a session lives that is not renewed, by the leader's own stopwatch.
    pub term: Duration,
    /// A session is renewed at least this often.
    pub renew_at_least: Duration,
    /// And at most this often, when it has something to say that others wait for.
    pub renew_at_most: Duration,
}

impl Default for SessionPolicy {
    fn default() -> Self {
        Self {
            term: Duration::from_secs(60),
            renew_at_least: Duration::from_secs(10),
            renew_at_most: Duration::from_secs(3),
        }
    }
}

/// Raft's timers, in milliseconds. A group of one voter needs none of them: it elects itself as soon as it starts.
#[derive(Debug, Clone, Copy)]
pub struct RaftTimers {
    /// How often a leader is heard of.
    pub heartbeat_ms: u64,
    /// A voter stands for election when the leader was silent for the longer of these times and for one more that it draws
    /// between the two. A round of an election may take the shorter one, in which votes must become durable.
    pub election_ms_min: u64,
    /// See there.
    pub election_ms_max: u64,
}

impl Default for RaftTimers {
    fn default() -> Self {
        // Somebody stands 1.7 to 2 s after the last word of a leader, and leads a moment later: within 3 s also where a busy
        // disk takes its time. Half a dozen heartbeats have to be lost before that happens without need.
        Self { heartbeat_ms: 250, election_ms_min: 700, election_ms_max: 1_000 }
    }
}
