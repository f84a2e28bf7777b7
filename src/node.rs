//! `cairn node`: one member of a cluster, as its file says.

pub mod cluster_file;
pub mod config;
pub mod turning_away;

use std::convert::Infallible;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use cairn_cluster::Detection;
use cairn_cluster::network::tcp::TcpNetwork;
use cairn_core::clock::SystemClock;
use cairn_core::entropy::SystemEntropy;
use cairn_gateway::GatewayConfig;
use cairn_journal::Shell;
use cairn_journal::files::real::RealFiles;
use cairn_metadata::SessionPolicy;
use cairn_repair::RepairConfig;
use cairn_rows::{MemoryOverlays, Overlays, SledOverlays};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::net::unix::pipe;
use tokio::signal::unix::{SignalKind, signal};

use crate::ask::target::{RunningNode, nodes_path, tell_node};
use crate::assembly::member::{MemberOptions, Roles};
use crate::assembly::{Assembly, Parts};
use crate::cli::NodeArgs;
use crate::credentials::Credentials;
use crate::node::cluster_file::ClusterFile;
use crate::node::config::{NodeConfig, Patience, Role};
use crate::ties::{GOSSIP_EVERY, Hearing};
use crate::{metrics, say};

/// How long an address may stay in use, and how often that is looked at.
const ADDRESS_PATIENCE: Duration = Duration::from_secs(5);
const ADDRESS_REST: Duration = Duration::from_millis(50);

/// A grace time below this is somebody's who watches.
const HASTY: Duration = Duration::from_secs(60);

/// Where rows stand that are in no run yet: in memory, or, for who has little of that, in sled.
fn overlays(config: &NodeConfig) -> anyhow::Result<Arc<dyn Overlays>> {
    Ok(match &config.overlay {
        None => Arc::new(MemoryOverlays),
        Some(directory) => Arc::new(SledOverlays::discard_and_open(directory.clone())?),
    })
}

/// Runs until it is told to end.
pub async fn run(args: NodeArgs) -> anyhow::Result<()> {
    // From the first moment on: whoever started it may end it.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let config = NodeConfig::read(&args.config.context("a node needs its file: --config FILE")?)?;
    let cluster = ClusterFile::read(&config.cluster)?;
    let demanded = Credentials::from_environment()?;
    let listener = match config.s3.filter(|_| config.has(Role::Gateway)) {
        Some(address) => {
            let bound = bind(address).await;
            Some(bound.with_context(|| format!("cannot serve S3 on {address}"))?)
        }
        None => None,
    };
    let s3 = listener.as_ref().map(TcpListener::local_addr).transpose()?;
    let measured = match config.metrics {
        Some(address) => {
            let bound = bind(address).await;
            Some(bound.with_context(|| format!("cannot tell metrics on {address}"))?)
        }
        None => None,
    };
    let parts = Parts {
        files: Arc::new(RealFiles),
        overlays: overlays(&config)?,
        clock: SystemClock::start(),
        entropy: SystemEntropy::shared(),
        shell: Shell::Thread,
        history: config.history,
    };
    let gateway = GatewayConfig { signature_v2: config.signature_v2, ..GatewayConfig::default() };
    let options = member_options(&config, cluster, args.form, s3, demanded);
    let starting = Assembly::join(parts, options, repair_config(&config.patience), gateway);
    let mut input = std::pin::pin!(input_ends(args.until_input_ends));
    let assembly = tokio::select! {
        biased;
        _ = interrupt.recv() => return Ok(()),
        _ = terminate.recv() => return Ok(()),
        ended = &mut input => return Ok(ended?),
        assembly = starting => assembly?,
        never = turn_away(listener.as_ref()) => match never {},
    };
    let serving = listener.map(|listener| assembly.serve(listener));
    tell(&config, &assembly, s3)?;

    let ended: anyhow::Result<()> = tokio::select! {
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
        ended = input => ended.context("standard input"),
        failure = assembly.failed() => Err(failure.into()),
        never = metrics::listener::told(measured, assembly.metrics()) => match never {},
    };
    if let Some(serving) = serving {
        let cut = serving.stop().await;
        if cut > 0 {
            say::aside(format_args!("{cut} connections were cut: their requests took too long"));
        }
    }
    let stopped = assembly.stop().await;
    ended?;
    stopped
}

/// Takes an address. One that is in use may be given back in a moment: by the process that was this node and has just been
/// killed, whose threads end one after the other.
async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let until = tokio::time::Instant::now() + ADDRESS_PATIENCE;
    loop {
        match TcpListener::bind(address).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tokio::time::Instant::now() < until => {
                tokio::time::sleep(ADDRESS_REST).await;
            }
            bound => return bound,
        }
    }
}

async fn turn_away(listener: Option<&TcpListener>) -> Infallible {
    match listener {
        Some(listener) => turning_away::turn_away(listener).await,
        None => std::future::pending().await,
    }
}

/// Ends when standard input does, if that is asked for; else never. Standard input must be a pipe then: a thread that reads
/// it would be waited for when the process wants to end.
async fn input_ends(asked: bool) -> io::Result<()> {
    if !asked {
        return std::future::pending().await;
    }
    let input = io::stdin().as_fd().try_clone_to_owned()?;
    let mut input = pipe::Receiver::from_owned_fd(input)?;
    while input.read(&mut [0; 64]).await? > 0 {}
    Ok(())
}

fn member_options(
    config: &NodeConfig,
    cluster: ClusterFile,
    form: bool,
    s3: Option<SocketAddr>,
    demanded: Option<Credentials>,
) -> MemberOptions {
    let roles = Roles {
        storage: config.has(Role::Storage),
        metadata: config.has(Role::Metadata),
        repair: config.has(Role::Repair),
    };
    MemberOptions {
        dirs: config.drives.clone(),
        cluster: cluster.cluster,
        secret: cluster.secret,
        form,
        listen: config.listen,
        seeds: config.seeds.clone(),
        s3,
        zone: config.zone.clone(),
        roles,
        detection: Detection::new(GOSSIP_EVERY, config.patience.grace()),
        sessions: session_policy(&config.patience),
        hearing: Hearing::Gossip,
        network: TcpNetwork::shared(),
        demanded,
    }
}

/// A session is renewed six times in its life, so that a lost renewal ends none.
fn session_policy(patience: &Patience) -> SessionPolicy {
    let term = Duration::from_secs(patience.session_seconds);
    let usual = SessionPolicy::default();
    SessionPolicy {
        term,
        renew_at_least: usual.renew_at_least.min(term / 6),
        renew_at_most: usual.renew_at_most.min(term / 12),
    }
}

/// Where a person waits for seconds, everything is looked at more often.
fn repair_config(patience: &Patience) -> RepairConfig {
    let usual = if patience.grace() < HASTY { RepairConfig::for_dev() } else { RepairConfig::default() };
    RepairConfig {
        unheard_grace: patience.grace(),
        reshape_exposed_after: Duration::from_secs(patience.reshape_exposed_seconds),
        reshape_rest_after: Duration::from_secs(patience.reshape_rest_seconds),
        ..usual
    }
}

/// Says that the node runs, to whoever started it.
fn tell(config: &NodeConfig, assembly: &Assembly, s3: Option<SocketAddr>) -> anyhow::Result<()> {
    let (node, endpoint) = (assembly.node(), s3.map(|address| format!("http://{address}")));
    if let Some(dir) = &config.told_in {
        let running =
            RunningNode { id: node.to_string(), pid: std::process::id(), s3: endpoint.clone().unwrap_or_default() };
        tell_node(dir, running).with_context(|| nodes_path(dir).display().to_string())?;
    }
    let serves = endpoint.map_or_else(|| "runs".to_owned(), |endpoint| format!("serves S3 on {endpoint}"));
    let mut out = std::io::stdout().lock();
    // Whoever started it may have gone; the node does not need him.
    let said = writeln!(out, "node {node} {serves}").and_then(|()| {
        assembly.notices().iter().try_for_each(|notice| writeln!(out, "  note  {notice}"))?;
        out.flush()
    });
    if let Err(error) = said {
        tracing::debug!(%error, "nobody reads what this node says");
    }
    Ok(())
}
