//! The roles of one process, started in order and stopped in reverse.
//!
//! ```text
//! directories (locked) -> drives -> operation log -> rows and Raft -> [form | declare lost] -> repair -> gateway
//!                           |                          ^
//!                           +-> ties to other nodes -> part in the log        (a node of a cluster)
//! ```
//!
//! A start that finds drives missing declares them lost in the log if it was told so, and registers the fresh ones. Then the
//! log's roster changes, as it does while the process runs: a drive leaves it only after the log has said so.
//!
//! - [`core`]: directories, the log on them, the metadata behind it; [`root_key`], [`topology`]: what the log is told at a start
//! - [`own_drives`]: the drives of this process; [`newcomers`]: those that it takes in while it runs; [`log_drives`]: which of
//!   them the operation log lies on
//! - [`part`]: under which id a node takes part in the log; [`member`]: the start of a node of a cluster

pub mod core;
pub mod log_drives;
pub mod member;
pub mod newcomers;
pub mod own_drives;
pub mod part;
pub mod root_key;
pub mod topology;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cairn_core::{Clock, Drives, Entropy, Geometry, NodeId};
use cairn_erasure::CodingPool;
use cairn_gateway::{Gateway, GatewayConfig, Surroundings};
use cairn_journal::{Files, Shell};
use cairn_machine::rows::session::SessionKind;
use cairn_metadata::{Client, MetadataNode, NodeFailure};
use cairn_oplog::Orders;
use cairn_repair::daemon::RepairParts;
use cairn_repair::{FaultQueue, Meter, RepairConfig, RepairDaemon};
use cairn_rows::Overlays;
use futures::future::BoxFuture;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::core::{Core, Rooms, Seat};
use self::log_drives::LogDrives;
use self::newcomers::Newcomers;
use self::own_drives::OwnDrives;
use self::topology::Absent;
use crate::admin::{Admin, Outlook};
use crate::credentials::Credentials;
use crate::dev::directories::Plan;
use crate::history::History;
use crate::metrics::Metrics;
use crate::ties::Ties;

/// How long a node of a cluster tries to take its leave before it goes without.
const FAREWELL_PATIENCE: Duration = Duration::from_secs(2);

/// What an assembly is made on: the machine's own in production, simulated ones in a simulation.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The filesystem.
    pub files: Arc<dyn Files>,
    /// Where overlays of rows come from.
    pub overlays: Arc<dyn Overlays>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Threads, or tasks in a simulation.
    pub shell: Shell,
    /// How much of the log is kept.
    pub history: History,
}

impl Parts {
    /// Where coding runs.
    fn pool(&self) -> CodingPool {
        match self.shell {
            Shell::Thread => CodingPool::per_core(),
            Shell::Task => CodingPool::inline(),
        }
    }
}

/// What a process that is alone is told about its drives.
#[derive(Debug, Clone)]
pub struct Beginning {
    /// Whether the cluster exists, so that an empty log would be a lost one.
    pub formed: bool,
    /// What becomes of drives that the log knows and that are not here.
    pub absent: Absent,
    /// What a person has said about drives that never come back.
    pub orders: Orders,
}

/// A running process with its roles.
#[derive(Debug)]
pub struct Assembly {
    core: Core,
    own: OwnDrives,
    keeping: Option<Keeping>,
    ties: Option<Ties>,
    repair: Option<RepairDaemon>,
    client: Client,
    gateway: Gateway,
    admin: Arc<Admin>,
    newcomers: Option<Arc<Newcomers>>,
    meter: Meter,
    credentials: Credentials,
    notices: Vec<String>,
    standard: Geometry,
}

/// The task that keeps the log on the drives that it should lie on.
#[derive(Debug)]
struct Keeping {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Keeping {
    fn start(log_drives: Arc<LogDrives>) -> Self {
        let stop = CancellationToken::new();
        Self { task: tokio::spawn(log_drives.keep(stop.clone())), stop }
    }

    async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "whoever kept the log's drives did not end by itself");
        }
    }
}

/// What the roles of a process stand on, once the log is ready.
struct Ground {
    core: Core,
    own: OwnDrives,
    log_drives: Arc<LogDrives>,
    /// All drives that can be reached, its own among them.
    drives: Arc<Drives>,
    ties: Option<Ties>,
    /// Who else there is, where there can be anybody.
    outlook: Option<Outlook>,
    client: Client,
    credentials: Credentials,
    notices: Vec<String>,
}

impl Assembly {
    /// Starts every role of a process that is alone, on what the plan says. What the plan does not allow has been refused
    /// before. Drives that are missing are declared lost.
    pub fn start<'a>(
        parts: Parts,
        dir: &'a Path,
        plan: &'a Plan,
        demanded: Option<Credentials>,
        repair: RepairConfig,
        gateway: GatewayConfig,
    ) -> BoxFuture<'a, anyhow::Result<Self>> {
        Box::pin(Self::start_alone(parts, dir, plan, demanded, repair, gateway))
    }

    async fn start_alone(
        parts: Parts,
        dir: &Path,
        plan: &Plan,
        demanded: Option<Credentials>,
        repair: RepairConfig,
        gateway: GatewayConfig,
    ) -> anyhow::Result<Self> {
        let rooms = Rooms::open(&parts, dir, plan)?;
        let beginning = Beginning { formed: plan.formed, absent: Absent::WrittenOff, orders: Orders::default() };
        Self::alone(parts, rooms, beginning, demanded, repair, gateway).await
    }

    /// Starts every role of a process that is alone, on directories that are open.
    pub async fn alone(
        parts: Parts,
        rooms: Rooms,
        beginning: Beginning,
        demanded: Option<Credentials>,
        repair: RepairConfig,
        gateway: GatewayConfig,
    ) -> anyhow::Result<Self> {
        let seat = Seat::alone(&rooms, beginning.formed);
        let core = Core::start(&parts, &rooms, seat, beginning.orders.clone()).await?;
        let credentials = root_key::settle(&parts, &core, &rooms, demanded).await?;
        let client = core.node.client(SessionKind::Gateway).await?;
        let changes = topology::settle(&client, &rooms, &beginning).await?;
        rooms.mark_formed()?;
        let log_drives = log_drives(&parts, &rooms, &core, &client, None);
        let mut notices = changes.notices;
        match core.node.covered() {
            Some(covered) => notices.push(format!("reads are served, and {covered}")),
            None => notices.extend(log_drives.settle().await.err().map(|error| error.to_string())),
        }
        let most = if beginning.orders.accept_loss {
            usize::from(rooms.of())
        } else {
            Geometry::standard_for(usize::from(rooms.of())).m()
        };
        let own = OwnDrives::open(&parts, &rooms, &changes.absent, most)?;
        let drives = own.stores();
        let ground = Ground { core, own, log_drives, drives, ties: None, outlook: None, client, credentials, notices };
        Self::roles(&parts, &rooms, ground, Some(repair), gateway).await
    }

    /// Starts what stands on the log: repair, where it is wanted, and what serves S3.
    async fn roles(
        parts: &Parts,
        rooms: &Rooms,
        ground: Ground,
        repair: Option<RepairConfig>,
        gateway: GatewayConfig,
    ) -> anyhow::Result<Self> {
        let Ground { core, mut own, log_drives, drives, ties, outlook, client, credentials, mut notices } = ground;
        notices.extend(own.notices().iter().cloned());
        let (faults, meter) = (Arc::new(FaultQueue::default()), Meter::default());
        own.start_scrubs(parts, &faults);
        let standings = ties.as_ref().map(Ties::standings);
        // Where nothing can be written nothing can be mended.
        let writable = core.node.covered().is_none();
        let daemon = match repair.filter(|_| writable) {
            Some(config) => {
                let repairing = RepairParts {
                    client: core.node.client(SessionKind::Repair).await?,
                    drives: drives.clone(),
                    pool: parts.pool(),
                    faults: faults.clone(),
                    meter: meter.clone(),
                    clock: parts.clock.clone(),
                    standings,
                };
                Some(RepairDaemon::start(repairing, config))
            }
            None => None,
        };
        let newcomers = ties.is_none().then(|| {
            Arc::new(Newcomers::new(parts, rooms, client.clone(), drives.clone(), faults.clone(), log_drives.clone()))
        });
        let admin = Arc::new(Admin {
            newcomers: newcomers.clone(),
            client: client.clone(),
            node: core.node.clone(),
            drives: drives.clone(),
            open: own.opened().to_vec(),
            meter: meter.clone(),
            faults: faults.clone(),
            clock: parts.clock.clone(),
            audits: Default::default(),
            outlook,
        });
        if let Some(ties) = &ties {
            ties.telling.serve(admin.clone());
        }
        let surroundings = Surroundings {
            cluster: rooms.cluster(),
            node: rooms.node(),
            secret: *rooms.secret().expose(),
            client: client.clone(),
            drives,
            pool: parts.pool(),
            faults,
            admin: admin.clone(),
            clock: parts.clock.clone(),
            entropy: parts.entropy.clone(),
        };
        let gateway = Gateway::new(gateway, surroundings)?;
        let standard = topology::standard(&client).await?;
        let keeping = writable.then(|| Keeping::start(log_drives));
        Ok(Self {
            core,
            own,
            keeping,
            ties,
            repair: daemon,
            client,
            gateway,
            admin,
            newcomers,
            meter,
            credentials,
            notices,
            standard,
        })
    }

    /// Serves S3 on a socket, in the background.
    pub fn serve(&self, listener: TcpListener) -> Serving {
        let (gateway, stop) = (self.gateway.clone(), CancellationToken::new());
        let stopped = stop.clone().cancelled_owned();
        Serving { stop, task: tokio::spawn(async move { gateway.serve(listener, stopped).await }) }
    }

    /// What serves S3.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// What Prometheus is told of this process.
    pub fn metrics(&self) -> Metrics {
        Metrics::new(self.admin.clone(), self.gateway.clone())
    }

    /// What the repair daemon found and did.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// The metadata, under the gateway's session.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The log and the rows of this process: how they are doing.
    pub fn metadata(&self) -> &MetadataNode {
        &self.core.node
    }

    /// Which node this is.
    pub fn node(&self) -> NodeId {
        self.core.identity.node
    }

    /// The root key.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// What a person should know of this start.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// What STANDARD is.
    pub fn standard(&self) -> Geometry {
        self.standard
    }

    /// How many drives this process has.
    pub fn drive_count(&self) -> usize {
        self.own.count()
    }

    /// Waits until something fails that only a restart mends.
    pub async fn failed(&self) -> NodeFailure {
        self.core.node.failed().await
    }

    /// Stops every role, in reverse, each after what it had begun.
    pub async fn stop(self) -> anyhow::Result<()> {
        let Self { core, own, keeping, ties, repair, client, gateway, admin, newcomers, .. } = self;
        drop((gateway, admin));
        if let Some(keeping) = keeping {
            keeping.stop().await;
        }
        let ending = async {
            if let Some(repair) = repair {
                repair.stop().await;
            }
            client.close().await;
        };
        if ties.is_none() {
            ending.await;
        } else if tokio::time::timeout(FAREWELL_PATIENCE, ending).await.is_err() {
            // Sessions end in the log, which needs a majority; where all nodes stop at once there is none in the end.
            tracing::info!("nobody takes this node's leave: its sessions end by themselves");
        }
        let stopped = core.stop().await;
        // Until here others could be asked, and could ask.
        if let Some(ties) = ties {
            ties.stop().await;
        }
        if let Some(newcomers) = newcomers {
            newcomers.close().await?;
        }
        own.close().await?;
        stopped
    }
}

/// The log's drives among those of a process.
fn log_drives(parts: &Parts, rooms: &Rooms, core: &Core, client: &Client, parity_least: Option<u8>) -> Arc<LogDrives> {
    let log_drives = LogDrives::new(core, client.clone(), parts.files.clone(), parity_least);
    rooms.dirs().iter().for_each(|dir| log_drives.add(dir));
    Arc::new(log_drives)
}

/// A gateway that serves in the background.
#[derive(Debug)]
pub struct Serving {
    stop: CancellationToken,
    task: JoinHandle<usize>,
}

impl Serving {
    /// Takes no more connections and lets running requests finish, within the gateway's bound; how many were cut.
    pub async fn stop(self) -> usize {
        self.stop.cancel();
        self.task.await.unwrap_or_else(|error| {
            tracing::error!(%error, "the gateway did not end by itself");
            0
        })
    }
}
