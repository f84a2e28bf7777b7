//! One machine: its disk, its clocks, and the node that is started on it again and again.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cairn::assembly::member::{MemberOptions, Roles};
use cairn::assembly::{Assembly, Parts};
use cairn::credentials::Credentials;
use cairn::history::History;
use cairn::ties::Hearing;
use cairn_cluster::Detection;
use cairn_cluster::network::simulated::SimulatedNetwork;
use cairn_core::ClusterId;
use cairn_core::entropy::SeededEntropy;
use cairn_gateway::GatewayConfig;
use cairn_journal::Shell;
use cairn_journal::files::faulty::{FaultPlan, FaultyFiles, Operation, Snapshot};
use cairn_metadata::{MetadataNode, SessionPolicy};
use cairn_repair::RepairConfig;
use cairn_rows::MemoryOverlays;
use cairn_storage_node::ClusterSecret;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::time::sleep;

use super::clock::MachineClock;
use super::power::{Power, PoweredFiles, PoweredNetwork};
use super::trace::Trace;
use crate::client::Client;

/// How long a machine that ended by itself takes to come back.
const REBOOT: Duration = Duration::from_secs(1);

/// How long what still runs on a machine without power may take to notice.
const LAST_BREATH: Duration = Duration::from_secs(60);

/// After so long a silent node is dead. In earnest these are minutes.
const GRACE: Duration = Duration::from_secs(6);

/// Where the one drive of each machine is.
const DRIVE: &str = "/drive";

/// What all machines have in common.
#[derive(Debug)]
pub struct Site {
    /// What decides everything.
    pub seed: u64,
    /// How many machines there are.
    pub machines: usize,
    /// What connects them.
    pub network: SimulatedNetwork,
    /// What happened.
    pub trace: Trace,
}

/// A node that runs.
#[derive(Debug, Clone)]
pub struct Running {
    /// Its gateway.
    pub s3: Client,
    /// The log, as an operator's tool speaks to it.
    pub log: cairn_metadata::Client,
    /// Its part in the log.
    pub metadata: MetadataNode,
    /// Its power.
    pub power: Power,
}

/// The machine.
pub struct Machine {
    /// Which.
    pub number: usize,
    /// Its clocks.
    pub clock: Arc<MachineClock>,
    site: Rc<Site>,
    disk: RefCell<FaultyFiles>,
    disks: Cell<u64>,
    lives: Cell<u64>,
    has_formed: Cell<bool>,
    power: RefCell<Power>,
    wanted: watch::Sender<bool>,
    running: watch::Sender<Option<Running>>,
}

/// How a life ended.
enum End {
    PowerCut,
    Failed(String),
    Stopped,
}

/// Where a machine is.
pub fn ip(number: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, u8::try_from(number + 1).unwrap()))
}

fn address(number: usize) -> SocketAddr {
    SocketAddr::new(ip(number), 7000)
}

/// A seed of its own for each thing that has a number.
fn own_seed(seed: u64, kind: &str, numbers: [u64; 2]) -> u64 {
    let digest = Sha256::digest(format!("{kind} {seed} {numbers:?}"));
    u64::from_be_bytes(digest[..8].try_into().expect("eight bytes"))
}

impl Machine {
    /// A machine that is switched off. Its disk holds what another one had, or nothing.
    pub fn new(number: usize, site: Rc<Site>, clock: Arc<MachineClock>, holds: Option<Snapshot>) -> Self {
        let (has_formed, off) = (holds.is_some(), Power::default());
        off.cut();
        let seed = own_seed(site.seed, "disk", [number as u64, 0]);
        let disk = FaultyFiles::from_snapshot(seed, FaultPlan::default(), holds.unwrap_or_default());
        Self {
            number,
            clock,
            site,
            disk: RefCell::new(disk),
            disks: Cell::new(1),
            lives: Cell::new(0),
            has_formed: Cell::new(has_formed),
            power: RefCell::new(off),
            wanted: watch::channel(false).0,
            running: watch::channel(None).0,
        }
    }

    /// The node on it, if it runs.
    pub fn running(&self) -> Option<Running> {
        self.running.borrow().clone()
    }

    /// Waits until the node on it runs.
    pub async fn runs(&self) -> Running {
        let mut running = self.running.subscribe();
        let running = running.wait_for(Option::is_some).await.expect("the machine is there").clone();
        running.expect("it was waited for")
    }

    /// The disk that is in it now.
    pub fn disk(&self) -> FaultyFiles {
        self.disk.borrow().clone()
    }

    /// Whether somebody wants it to run.
    pub fn is_wanted(&self) -> bool {
        *self.wanted.borrow()
    }

    /// Switches it on.
    pub fn start(&self) {
        self.wanted.send_replace(true);
    }

    /// Asks the node to end, and switches the machine off.
    pub fn stop(&self) {
        self.wanted.send_replace(false);
    }

    /// Cuts its power, now and in the midst of whatever is written next.
    pub fn cut(&self) {
        self.wanted.send_replace(false);
        if !self.power.borrow().is_gone() {
            self.disk().power_off_after(0);
            self.site.network.crash(ip(self.number));
            self.power.borrow().cut();
        }
    }

    /// Cuts its power in the midst of a write or a sync, after so many others.
    pub fn cut_after(&self, operations: u64) {
        let left = AtomicU64::new(operations);
        let (disk, power, network, at) =
            (self.disk(), self.power.borrow().clone(), self.site.network.clone(), ip(self.number));
        let wanted = self.wanted.clone();
        self.disk().before_each(move |operation, _| {
            if operation == Operation::Read || power.is_gone() {
                return;
            }
            if left.load(Ordering::Relaxed) > 0 {
                left.fetch_sub(1, Ordering::Relaxed);
                return;
            }
            wanted.send_replace(false);
            disk.power_off_after(0);
            network.crash(at);
            power.cut();
        });
    }

    /// Puts an empty disk into a machine that is off.
    pub fn replace_disk(&self) {
        assert!(!self.is_wanted(), "the machine is off");
        self.disk().stop_faults();
        let number = self.disks.replace(self.disks.get() + 1);
        let seed = own_seed(self.site.seed, "disk", [self.number as u64, number]);
        self.disk.replace(FaultyFiles::new(seed, FaultPlan::default()));
    }

    /// The life of the machine: it runs while it is wanted, and comes back when it fails.
    pub async fn live(&self) {
        let mut wanted = self.wanted.subscribe();
        loop {
            wanted.wait_for(|wanted| *wanted).await.expect("the machine is there");
            let power = Power::default();
            self.power.replace(power.clone());
            let life = self.lives.replace(self.lives.get() + 1);
            let end = self.one_life(life, &power).await;
            self.running.send_replace(None);
            let told = match &end {
                End::PowerCut => "loses its power".to_owned(),
                End::Failed(why) => format!("fails: {why}"),
                End::Stopped => "has stopped".to_owned(),
            };
            self.site.trace.note(&format!("machine {} {told}", self.number));
            power.cut();
            if matches!(end, End::Stopped) {
                continue;
            }
            self.site.network.crash(ip(self.number));
            self.disk().crash();
            if matches!(end, End::Failed(_)) {
                sleep(REBOOT).await;
            }
        }
    }

    async fn one_life(&self, life: u64, power: &Power) -> End {
        let joining = Box::pin(Assembly::join(
            self.parts(life, power),
            self.options(power),
            RepairConfig { unheard_grace: GRACE, ..RepairConfig::for_dev() },
            GatewayConfig::default(),
        ));
        let assembly = tokio::select! {
            biased;
            () = power.gone() => return End::PowerCut,
            () = self.unwanted() => return End::PowerCut,
            joined = joining => match joined {
                Ok(assembly) => assembly,
                Err(error) => return End::Failed(format!("{error:#}")),
            }
        };
        self.has_formed.set(true);
        self.site.trace.note(&format!("machine {} serves", self.number));
        let s3 = Client { gateway: assembly.gateway().clone(), credentials: assembly.credentials().clone() };
        let (log, metadata) = (assembly.client().clone(), assembly.metadata().clone());
        self.running.send_replace(Some(Running { s3, log, metadata, power: power.clone() }));
        let end = tokio::select! {
            biased;
            () = power.gone() => End::PowerCut,
            failure = assembly.failed() => End::Failed(failure.to_string()),
            () = self.unwanted() => End::Stopped,
        };
        self.running.send_replace(None);
        if !matches!(end, End::Stopped) {
            power.cut();
            self.abandon(assembly);
            return end;
        }
        let stopping = Box::pin(assembly.stop());
        tokio::select! {
            biased;
            () = power.gone() => End::PowerCut,
            stopped = stopping => match stopped {
                Ok(()) => End::Stopped,
                Err(error) => End::Failed(format!("{error:#}")),
            }
        }
    }

    async fn unwanted(&self) {
        self.wanted.subscribe().wait_for(|wanted| !*wanted).await.expect("the machine is there");
    }

    /// What runs on a machine without power is told to end, so that it costs nothing any more.
    fn abandon(&self, assembly: Assembly) {
        tokio::spawn(async move { drop(tokio::time::timeout(LAST_BREATH, Box::pin(assembly.stop())).await) });
    }

    fn parts(&self, life: u64, power: &Power) -> Parts {
        let seed = own_seed(self.site.seed, "life", [self.number as u64, life]);
        Parts {
            files: Arc::new(PoweredFiles { files: self.disk(), power: power.clone() }),
            overlays: Arc::new(MemoryOverlays),
            clock: self.clock.clone(),
            entropy: SeededEntropy::new(seed),
            shell: Shell::Task,
            history: History::default(),
        }
    }

    fn options(&self, power: &Power) -> MemberOptions {
        let term = Duration::from_secs(12);
        MemberOptions {
            dirs: vec![PathBuf::from(DRIVE)],
            cluster: ClusterId(0xCA18),
            secret: ClusterSecret::from_bytes([7; 32]),
            // Whoever has lost its disk since must not begin again.
            form: self.number == 0 && !self.has_formed.get(),
            listen: address(self.number),
            seeds: (0..self.site.machines).map(address).collect(),
            s3: None,
            zone: String::new(),
            roles: Roles { storage: true, metadata: true, repair: true },
            detection: Detection::new(Duration::from_millis(500), GRACE),
            sessions: SessionPolicy { term, renew_at_least: term / 6, renew_at_most: term / 12 },
            hearing: Hearing::Heartbeats,
            network: Arc::new(PoweredNetwork {
                network: self.site.network.endpoint(ip(self.number)),
                power: power.clone(),
            }),
            demanded: Some(Credentials { access_key: "simulated".into(), secret_key: "simulated-secret".into() }),
        }
    }

    /// Changes what its disk does; the size stays.
    pub fn plan(&self, plan: FaultPlan) {
        self.disk().set_plan(plan);
    }

    /// How many bytes are on its disk.
    pub fn used_bytes(&self) -> u64 {
        use cairn_journal::Files as _;
        let space = self.disk().space(Path::new(DRIVE));
        space.map_or(0, |space| space.total_bytes - space.available_bytes)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // What happens before an operation knows its disk, and would keep it for ever.
        self.disk().stop_faults();
    }
}
