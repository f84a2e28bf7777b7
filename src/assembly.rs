//! The roles of one process, started in order and stopped in reverse.
//!
//! ```text
//! directories (locked) -> drives -> operation log -> rows and Raft -> [form | declare lost] -> repair -> gateway
//! ```
//!
//! A start that finds drives missing declares them lost in the log, registers the fresh ones, and then begins the log
//! once more without the lost ones on its roster: a drive leaves the roster only after the log has said so.

pub mod core;
pub mod root_key;
pub mod topology;

use std::path::Path;
use std::sync::Arc;

use cairn_core::{Clock, Drives, Entropy, Geometry, NodeId};
use cairn_erasure::CodingPool;
use cairn_gateway::{Gateway, GatewayConfig, Surroundings};
use cairn_journal::{Files, Shell};
use cairn_machine::rows::session::SessionKind;
use cairn_metadata::{Client, NodeFailure};
use cairn_oplog::Orders;
use cairn_repair::daemon::RepairParts;
use cairn_repair::{FaultQueue, Meter, RepairConfig, RepairDaemon};
use cairn_rows::Overlays;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::core::Core;
use crate::admin::Admin;
use crate::credentials::Credentials;
use crate::dev::directories::Plan;

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

/// A running process with every role.
#[derive(Debug)]
pub struct Assembly {
    core: Core,
    repair: RepairDaemon,
    client: Client,
    gateway: Gateway,
    meter: Meter,
    credentials: Credentials,
    notices: Vec<String>,
    standard: Geometry,
}

impl Assembly {
    /// Starts every role on what the plan says. What the plan does not allow has been refused before.
    pub async fn start(
        parts: Parts,
        dir: &Path,
        plan: &Plan,
        demanded: Option<Credentials>,
        repair: RepairConfig,
        gateway: GatewayConfig,
    ) -> anyhow::Result<Self> {
        let rooms = core::Rooms::open(&parts, dir, plan)?;
        let mut core = Core::start(&parts, &rooms, plan.formed, Orders::default()).await?;
        let credentials = root_key::settle(&parts, &core, &rooms, demanded).await?;
        let client = core.node.client(SessionKind::Gateway).await?;
        let changes = topology::settle(&client, &rooms).await?;
        rooms.mark_formed()?;
        let mut client = client;
        let gone = core.roster_without(&changes.lost);
        if !gone.is_empty() {
            client.close().await;
            core.stop_metadata().await?;
            let orders = Orders { replaced: gone, ..Orders::default() };
            core = Core::start(&parts, &rooms, true, orders).await?;
            client = core.node.client(SessionKind::Gateway).await?;
        }
        let drives = Drives::new(core.open_drives(&parts, &rooms)?);
        let (faults, meter) = (Arc::new(FaultQueue::default()), Meter::default());
        let daemon = RepairDaemon::start(
            RepairParts {
                client: core.node.client(SessionKind::Repair).await?,
                drives: drives.clone(),
                pool: parts.pool(),
                faults: faults.clone(),
                meter: meter.clone(),
                clock: parts.clock.clone(),
                standings: None,
            },
            repair,
        );
        let admin = Admin {
            client: client.clone(),
            node: core.node.clone(),
            drives: drives.clone(),
            meter: meter.clone(),
            faults: faults.clone(),
        };
        let surroundings = Surroundings {
            cluster: rooms.cluster(),
            node: rooms.node(),
            secret: *rooms.secret().expose(),
            client: client.clone(),
            drives,
            pool: parts.pool(),
            faults,
            admin: Arc::new(admin),
            clock: parts.clock.clone(),
            entropy: parts.entropy.clone(),
        };
        let gateway = Gateway::new(gateway, surroundings)?;
        let standard = topology::standard(&client).await?;
        Ok(Self { core, repair: daemon, client, gateway, meter, credentials, notices: changes.notices, standard })
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

    /// What the repair daemon found and did.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// The metadata, under the gateway's session.
    pub fn client(&self) -> &Client {
        &self.client
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

    /// How many drives there are.
    pub fn drive_count(&self) -> usize {
        self.core.drive_count()
    }

    /// Waits until something fails that only a restart mends.
    pub async fn failed(&self) -> NodeFailure {
        self.core.node.failed().await
    }

    /// Stops every role, in reverse, each after what it had begun.
    pub async fn stop(self) -> anyhow::Result<()> {
        let Self { core, repair, client, gateway, .. } = self;
        repair.stop().await;
        drop(gateway);
        client.close().await;
        core.stop().await
    }
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
