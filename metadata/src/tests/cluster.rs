//! Several machines and the network between them, on simulated time, from a seed: messages are late or lost, nodes lose
//! each other, machines lose their power and come back.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use cairn_core::entropy::SeededEntropy;
use cairn_core::{ClusterId, DriveId, Entropy, NodeId};
use cairn_journal::files::faulty::{FaultPlan, FaultyFiles};
use cairn_machine::operation::NewDrive;
use cairn_machine::rows::session::SessionKind;
use cairn_machine::{FUNCTION_VERSION, Operation, Outcome};
use cairn_oplog::{LogDrive, LogIdentity, OpLog, Options, Shell, VoterId};
use cairn_rows::{MemoryOverlays, RowsOptions};
use futures::future::BoxFuture;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::world::{PausedClock, dir, form};
use crate::{
    Client, CutPolicy, HistoryPolicy, MetadataNode, NodeConfig, PeerCall, PeerError, Peers, Standing, StartError, Work,
};

const DRIVES: u64 = 3;
const COPIES: usize = 2;

pub(super) fn node_id(machine: usize) -> NodeId {
    NodeId(0xA0 + machine as u64)
}

/// What the network does to messages at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Weather {
    /// Of so many thousand messages, how many are lost.
    pub(super) lost: u32,
    /// How long one takes, at most.
    pub(super) late: Duration,
}

pub(super) const CALM: Weather = Weather { lost: 0, late: Duration::from_millis(2) };
pub(super) const STORM: Weather = Weather { lost: 100, late: Duration::from_millis(60) };

#[derive(Debug)]
struct State {
    nodes: BTreeMap<NodeId, MetadataNode>,
    /// Which part of a broken network a node is in.
    parts: BTreeMap<NodeId, u8>,
    weather: Weather,
    random: StdRng,
    calls: BTreeMap<PeerCall, u64>,
}

/// The network. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Net(Arc<Mutex<State>>);

/// One node's end of it.
#[derive(Debug)]
struct End {
    from: NodeId,
    net: Net,
}

impl Net {
    fn new(seed: u64) -> Self {
        let random = StdRng::seed_from_u64(seed ^ 0x006e_6574);
        let (nodes, parts) = (BTreeMap::new(), BTreeMap::new());
        Self(Arc::new(Mutex::new(State { nodes, parts, weather: CALM, random, calls: BTreeMap::new() })))
    }

    pub(super) fn weather(&self, weather: Weather) {
        self.0.lock().unwrap().weather = weather;
    }

    /// Those who are named hear each other alone; all others hear each other.
    pub(super) fn part(&self, apart: &[usize]) {
        self.0.lock().unwrap().parts = apart.iter().map(|&machine| (node_id(machine), 1)).collect();
    }

    pub(super) fn calls(&self) -> u64 {
        self.0.lock().unwrap().calls.values().sum()
    }

    pub(super) fn calls_of(&self, call: PeerCall) -> u64 {
        self.0.lock().unwrap().calls.get(&call).copied().unwrap_or(0)
    }

    /// How long a message takes, and whether it arrives.
    fn fate(&self, from: NodeId, to: NodeId) -> (Duration, bool) {
        let mut state = self.0.lock().unwrap();
        let late = u64::try_from(state.weather.late.as_millis()).unwrap();
        let late = state.random.random_range(0..=late);
        let lost = state.weather.lost;
        let lost = state.random.random_range(0..1000) < lost;
        let part = |node| state.parts.get(&node).copied().unwrap_or(0);
        (Duration::from_millis(late), !lost && part(from) == part(to))
    }

    fn node(&self, id: NodeId) -> Option<MetadataNode> {
        self.0.lock().unwrap().nodes.get(&id).cloned()
    }
}

impl Peers for End {
    fn call(
        &self,
        to: NodeId,
        call: PeerCall,
        body: Bytes,
        deadline: Duration,
    ) -> BoxFuture<'static, Result<Bytes, PeerError>> {
        let (from, net) = (self.from, self.net.clone());
        let lost = |what: &str| PeerError::Unreachable(format!("{what} was lost"));
        Box::pin(async move {
            let begin = Instant::now();
            // What is still running on a machine that has lost its power reaches nobody.
            net.node(from).ok_or_else(|| lost("the way"))?;
            *net.0.lock().unwrap().calls.entry(call).or_default() += 1;
            let (late, arrives) = net.fate(from, to);
            tokio::time::sleep(late).await;
            if !arrives {
                tokio::time::sleep_until(begin + deadline).await;
                return Err(lost("a call"));
            }
            let node = net.node(to).ok_or_else(|| lost("the way"))?;
            let (reply, answer) = oneshot::channel();
            let asked = node.clone();
            // What has arrived is done, whether or not somebody still waits.
            node.inner.tasks.spawn(async move { drop(reply.send(asked.answer(call, body).await)) });
            drop(node);
            let answer = match tokio::time::timeout_at(begin + deadline, answer).await {
                Ok(Ok(answer)) => answer?,
                Ok(Err(_)) | Err(_) => return Err(lost("an answer")),
            };
            let (late, arrives) = net.fate(to, from);
            tokio::time::sleep(late).await;
            if !arrives {
                tokio::time::sleep_until(begin + deadline).await;
                return Err(lost("a reply"));
            }
            Ok(answer)
        })
    }
}

/// A machine: its disk, and the node on it while it runs.
pub(super) struct Machine {
    pub(super) files: FaultyFiles,
    pub(super) member: u64,
    pub(super) standing: Standing,
    pub(super) running: Option<MetadataNode>,
    /// Which release runs on it.
    pub(super) function: u8,
    /// By how many milliseconds its clock was set ahead.
    pub(super) clock_ahead: Arc<AtomicU64>,
    lives: u64,
}

pub(super) struct Cluster {
    pub(super) seed: u64,
    pub(super) net: Net,
    pub(super) machines: Vec<Machine>,
    pub(super) history_bytes: u64,
    /// Which release runs on machines that are added.
    pub(super) function: u8,
    /// How often runs are read back.
    pub(super) scrub_every: Duration,
    forgetful: bool,
    entropy: Arc<SeededEntropy>,
}

fn blank_disk(seed: u64) -> FaultyFiles {
    let files = FaultyFiles::new(seed, FaultPlan::default());
    for drive in 0..DRIVES {
        files.shared().create_dir_all(&dir(drive).join("runs")).unwrap();
        files.shared().sync_dir(&dir(drive)).unwrap();
        files.shared().sync_dir(&PathBuf::from("/")).unwrap();
    }
    files
}

impl Cluster {
    /// Runs a test of a seed on simulated time.
    pub(super) fn run<T>(seed: u64, body: impl AsyncFnOnce(&mut Self) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let mut cluster = Self {
            seed,
            net: Net::new(seed),
            machines: Vec::new(),
            history_bytes: 1 << 30,
            function: FUNCTION_VERSION,
            scrub_every: Duration::from_secs(24 * 3600),
            forgetful: false,
            entropy: SeededEntropy::new(seed),
        };
        runtime.block_on(body(&mut cluster))
    }

    /// A machine with blank drives.
    pub(super) fn add_machine(&mut self) -> usize {
        let files = blank_disk(self.seed + self.machines.len() as u64);
        let machine = Machine {
            files,
            member: 0,
            standing: Standing::Founder,
            running: None,
            function: self.function,
            clock_ahead: Arc::default(),
            lives: 0,
        };
        self.machines.push(machine);
        self.machines.len() - 1
    }

    /// Starts the node of a machine. It may not be ready.
    pub(super) async fn start(&mut self, number: usize) -> Result<MetadataNode, StartError> {
        let node = node_id(number);
        let (history_bytes, forgetful, scrub_every) = (self.history_bytes, self.forgetful, self.scrub_every);
        let machine = &mut self.machines[number];
        assert!(machine.running.is_none(), "machine {number} runs");
        machine.lives += 1;
        let files = machine.files.shared();
        let wall = 1_000_000 + machine.lives * 1_000_000 + number as u64 * 77_000;
        let clock = Arc::new(PausedClock { start: Instant::now(), wall, ahead: machine.clock_ahead.clone() });
        let drives = (0..DRIVES).map(|n| LogDrive { id: DriveId(n), dir: dir(n), files: files.clone() }).collect();
        let identity = LogIdentity { cluster: ClusterId(7), node, voter: VoterId(machine.member) };
        let mut options = Options::new(clock.clone());
        options.formed = machine.standing == Standing::Member && !forgetful;
        options.copies_wanted = COPIES as u8;
        options.segment_bytes = 8 << 20;
        let entropy: Arc<dyn Entropy> = self.entropy.clone();
        let (log, recovered) = OpLog::open(drives, identity, options, entropy.clone(), Shell::Task)
            .await
            .map_err(|error| StartError::Log(error.into()))?;
        let rows =
            RowsOptions { files, overlays: Arc::new(MemoryOverlays), entropy: entropy.clone(), cache_bytes: 1 << 20 };
        let directories = (0..DRIVES).map(|drive| dir(drive).join("runs")).collect();
        let mut config = NodeConfig::new(node, machine.member, directories, COPIES);
        config.work = Work::Inline;
        config.standing = machine.standing;
        config.peers = Arc::new(End { from: node, net: self.net.clone() });
        config.cut = CutPolicy { overlay_bytes: 16 << 10, log_bytes: 32 << 10, garbage_age: Duration::from_secs(600) };
        config.history = HistoryPolicy { age: Duration::from_secs(3600), bytes: history_bytes };
        config.deadline = Duration::from_secs(5);
        config.piece_bytes = 1;
        config.function = machine.function;
        config.scrub_every = scrub_every;
        let started = MetadataNode::start(config, log, recovered, rows, clock, entropy).await?;
        machine.running = Some(started.clone());
        self.net.0.lock().unwrap().nodes.insert(node, started.clone());
        Ok(started)
    }

    /// Starts a machine whose disk is blank as a member, and does not tell its log that there should be one. Whether the
    /// node itself refuses.
    pub(super) async fn start_forgetful(&mut self, number: usize) -> bool {
        self.forgetful = true;
        let started = self.start(number).await;
        self.forgetful = false;
        matches!(started, Err(StartError::Forgotten { member }) if member == self.machines[number].member)
    }

    pub(super) fn node(&self, number: usize) -> MetadataNode {
        self.machines[number].running.clone().unwrap_or_else(|| panic!("seed {}: {number} is down", self.seed))
    }

    /// Machine 0 forms a cluster; the others join it and vote.
    pub(super) async fn form(&mut self, voters: usize) -> Client {
        let first = self.add_machine();
        self.machines[first].member = super::world::VOTER;
        let node = self.start(first).await.unwrap();
        assert!(matches!(node.ready().await, Err(StartError::NotFormed)));
        node.form(form()).await.unwrap();
        node.ready().await.unwrap();
        self.machines[first].standing = Standing::Member;
        let client = node.client(SessionKind::Gateway).await.unwrap();
        for _ in 1..voters {
            let machine = self.join(&client).await;
            client.seat(self.machines[machine].member).await.unwrap();
        }
        client
    }

    /// Another machine is admitted and follows the log.
    pub(super) async fn join(&mut self, client: &Client) -> usize {
        let machine = self.add_machine();
        let drives = vec![NewDrive { id: DriveId(100 + machine as u64), weight: 1, label: String::new() }];
        let register = Operation::RegisterNode { node: node_id(machine), zone: String::new(), drives };
        assert_eq!(client.propose(vec![register]).await.unwrap(), [Outcome::Done]);
        self.rejoin(client, machine).await;
        machine
    }

    /// A machine with a blank disk is admitted under a new id.
    pub(super) async fn rejoin(&mut self, client: &Client, machine: usize) {
        self.machines[machine].member = client.admit(node_id(machine)).await.unwrap();
        self.machines[machine].standing = Standing::Newcomer;
        let node = self.start(machine).await.unwrap();
        super::world::within(self.seed, "a newcomer", node.ready()).await.unwrap();
        self.machines[machine].standing = Standing::Member;
    }

    /// The machine loses its power.
    pub(super) async fn kill(&mut self, number: usize) {
        let Some(node) = self.machines[number].running.take() else { return };
        self.net.0.lock().unwrap().nodes.remove(&node_id(number));
        // From here on nothing that is still running on it reaches its disk.
        self.machines[number].files.power_off_after(0);
        node.inner.tasks.stopping().cancel();
        drop(node.inner.raft.shutdown().await);
        super::world::within(self.seed, "a power cut", node.inner.tasks.stop()).await;
        self.machines[number].files.crash();
    }

    /// The machine is replaced by one with blank drives.
    pub(super) fn wipe(&mut self, number: usize) {
        assert!(self.machines[number].running.is_none());
        self.machines[number].files = blank_disk(self.seed + 1000 + number as u64);
    }

    /// The machine that leads, once there is one that the others agree on.
    pub(super) async fn leader(&self) -> usize {
        super::world::within(self.seed, "a leader", async {
            loop {
                let running = || self.machines.iter().enumerate().filter_map(|(n, m)| Some((n, m.running.clone()?)));
                for (number, node) in running() {
                    let status = node.status();
                    if status.leader == Some(status.voter) && node.inner.leader.read_index().await.is_ok() {
                        return number;
                    }
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await
    }
}
