//! `cairn dev`: one process, all roles, directories as drives; or, with `--processes`, a cluster on this machine.

pub mod directories;
pub mod processes;

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_core::clock::SystemClock;
use cairn_core::entropy::SystemEntropy;
use cairn_core::{Geometry, NodeId};
use cairn_gateway::GatewayConfig;
use cairn_journal::Files;
use cairn_journal::Shell;
use cairn_journal::files::real::RealFiles;
use cairn_repair::RepairConfig;
use cairn_rows::MemoryOverlays;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::ask::target::{RunningNode, nodes_path, write_nodes};
use crate::assembly::{Assembly, Parts};
use crate::cli::DevArgs;
use crate::credentials::Credentials;
use crate::show;

/// Below this a filesystem is too small to start on: each drive needs room for a segment of its journal, of the log, and
/// for runs.
const SPACE_PER_DRIVE_MIN: u64 = 128 << 20;

/// Below this a warning is due: it will not be long until writes are refused.
const SPACE_PER_DRIVE_SMALL: u64 = 1 << 30;

/// Why a server cannot be started, beside what its parts say.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// The address is taken, or not this machine's.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// The directory cannot be made or written to.
    #[error("{path}: {source}")]
    Directory {
        /// Which directory.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// There is no room to begin with.
    #[error("{path} has {available} left, and {drives} drives need at least {needed} to start")]
    NoSpace {
        /// Where.
        path: PathBuf,
        /// What there is.
        available: String,
        /// For how many drives.
        drives: u16,
        /// What they need.
        needed: String,
    },
}

/// Runs until it is told to end.
pub async fn run(args: DevArgs) -> anyhow::Result<()> {
    // A directory that was made for several processes goes on as that.
    match args.processes.or_else(|| processes::formed_with(&args.dir)) {
        Some(processes) => processes::run(args, processes).await,
        None => one_process(args).await,
    }
}

async fn one_process(args: DevArgs) -> anyhow::Result<()> {
    // From the first moment on: whoever reads the greeting may ask the server to end.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let files: Arc<dyn Files> = Arc::new(RealFiles);
    let demanded = Credentials::from_environment()?;
    // Everything that can be refused is refused before anything is made: first the directories, then the address.
    let plan = directories::plan(&*files, &args.dir, args.drives)?;
    let listen_error = |source| DevError::Listen { address: args.listen, source };
    let listener = TcpListener::bind(args.listen).await.map_err(listen_error)?;
    let address = listener.local_addr().map_err(listen_error)?;
    make_directory(&args.dir)?;
    let warnings = check_space(&*files, &args.dir, plan.of)?;

    let parts = Parts {
        files,
        overlays: Arc::new(MemoryOverlays),
        clock: SystemClock::start(),
        entropy: SystemEntropy::shared(),
        shell: Shell::Thread,
    };
    let gateway = GatewayConfig { signature_v2: !args.no_signature_v2, ..GatewayConfig::default() };
    let assembly = Assembly::start(parts, &args.dir, &plan, demanded, repair_config(), gateway).await?;
    if Credentials::read(&args.dir).ok().flatten().as_ref() != Some(assembly.credentials()) {
        assembly.credentials().write(&args.dir)?;
    }
    let serving = assembly.serve(listener);
    let endpoint = format!("http://{address}");
    write_nodes(&args.dir, &[this_process(assembly.node(), &endpoint)])
        .map_err(|source| DevError::Directory { path: nodes_path(&args.dir), source })?;
    greet(&args.dir, &endpoint, address, &assembly, &warnings);

    let ended = tokio::select! {
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
        failure = assembly.failed() => Err(failure),
    };
    eprintln!("cairn: letting running requests finish");
    let cut = serving.stop().await;
    if cut > 0 {
        eprintln!("cairn: {cut} connections were cut: their requests took too long");
    }
    let stopped = assembly.stop().await;
    // The file names running processes; there is none any more.
    if let Err(error) = std::fs::remove_file(nodes_path(&args.dir)) {
        tracing::warn!(%error, "nodes.json could not be removed");
    }
    ended?;
    stopped?;
    Ok(())
}

/// Somebody watches: data that no longer fits the drives is coded anew after seconds, not hours.
fn repair_config() -> RepairConfig {
    let seconds = RepairConfig::for_dev();
    RepairConfig {
        reshape_exposed_after: seconds.reshape_exposed_after,
        reshape_rest_after: seconds.reshape_rest_after,
        ..RepairConfig::default()
    }
}

fn make_directory(dir: &Path) -> Result<(), DevError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|source| DevError::Directory { path: dir.to_owned(), source })
}

fn check_space(files: &dyn Files, dir: &Path, drives: u16) -> Result<Vec<String>, DevError> {
    let space = files.space(dir).map_err(|source| DevError::Directory { path: dir.to_owned(), source })?;
    let needed = |each: u64| each * u64::from(drives);
    if space.available_bytes < needed(SPACE_PER_DRIVE_MIN) {
        return Err(DevError::NoSpace {
            path: dir.to_owned(),
            available: show::bytes(space.available_bytes),
            drives,
            needed: show::bytes(needed(SPACE_PER_DRIVE_MIN)),
        });
    }
    if space.available_bytes < needed(SPACE_PER_DRIVE_SMALL) {
        return Ok(vec![format!("only {} left on {}", show::bytes(space.available_bytes), dir.display())]);
    }
    Ok(Vec::new())
}

fn this_process(node: NodeId, endpoint: &str) -> RunningNode {
    RunningNode { id: node.to_string(), pid: std::process::id(), s3: endpoint.to_owned() }
}

fn greet(dir: &Path, endpoint: &str, address: SocketAddr, assembly: &Assembly, warnings: &[String]) {
    let (drives, standard): (usize, Geometry) = (assembly.drive_count(), assembly.standard());
    println!("Cairn {} serves S3 on {endpoint}", env!("CARGO_PKG_VERSION"));
    println!("  drives       {drives} directories below {}", dir.display());
    println!("  coding       {standard}: any {} of them may be lost", standard.m());
    let key = assembly.credentials();
    if std::io::stdout().is_terminal() {
        println!("  access key   {}", key.access_key);
        println!("  secret key   {}", key.secret_key);
    } else {
        println!("  credentials  {}", Credentials::path_in(dir).display());
    }
    for notice in assembly.notices().iter().chain(warnings) {
        println!("  note         {notice}");
    }
    if !address.ip().is_loopback() {
        println!(
            "  WARNING      {address} is not loopback and there is no TLS: whoever shares the network can read along"
        );
    }
    let json = |name: &str| {
        let path = Credentials::path_in(dir);
        format!("$(python3 -c 'import json; print(json.load(open(\"{}\"))[\"{name}\"])')", path.display())
    };
    println!();
    println!("export AWS_ACCESS_KEY_ID={} AWS_SECRET_ACCESS_KEY={}", json("access_key"), json("secret_key"));
    println!("aws --endpoint-url {endpoint} --region us-east-1 s3 mb s3://stones");
    println!("aws --endpoint-url {endpoint} --region us-east-1 s3 cp README.md s3://stones/");
    println!();
    println!("Ctrl-C stops it. `cairn status --dir {}` says whether the data is safe.", dir.display());
}
