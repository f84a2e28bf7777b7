//! `cairn dev --processes N`: a cluster of real node processes on this machine, one drive each. This process only starts
//! them, tells where they are, and ends them.
//!
//! ```text
//! DIR/cluster.json      which cluster, and its secret     DIR/nodes.json      who runs: id, pid, address
//! DIR/credentials.json  the root key                      DIR/node-1/node.toml, drive-1/, overlay/ ...
//! ```
//! Each node writes itself into `nodes.json` when it serves, so that the file is true after a restart by hand, too.

mod layout;

use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use cairn_core::clock::SystemClock;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::signal::unix::{SignalKind, signal};

use crate::admin::STATUS_PATH;
use crate::ask::target::{RunningNode, nodes_path, read_nodes, write_nodes};
use crate::ask::{self, Target};
use crate::cli::DevArgs;
use crate::credentials::Credentials;
use crate::dev::processes::layout::{Layout, NodePlace};
use crate::say;
use crate::status::Status;

pub use layout::{LayoutError, formed_with};

/// How long the nodes may take until all of them serve. They elect, are sent the log and answer each other; two cores may
/// have other things to do.
const START_PATIENCE: Duration = Duration::from_secs(120);

/// How long it is waited, once they serve, until as many vote as can.
const VOTERS_PATIENCE: Duration = Duration::from_secs(60);

/// How long a node may take to end before it is made to.
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// How often it is looked whether a process that is nobody's child here has ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A node process that was started here.
struct Running {
    number: u16,
    child: Child,
    /// When this is dropped the node ends, however this process ended.
    _input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

/// Runs until it is told to end, or every node has.
pub async fn run(args: DevArgs, processes: u16) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let layout = Layout::settle(&args.dir, processes, args.listen, (!args.no_signature_v2, args.history))?;
    let mut ended = tokio::select! {
        biased;
        _ = interrupt.recv() => return Ok(()),
        _ = terminate.recv() => return Ok(()),
        started = start(&args.dir, &layout) => started?,
    };
    loop {
        tokio::select! {
            biased;
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            Some((number, status)) = ended.next() => {
                let place = layout.node(number);
                let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                say::line(format_args!("node-{number} has ended ({how}); start it again with:\n  {}", place.command()));
            }
        }
    }
    say::aside("ending the nodes");
    stop(&args.dir, &layout).await
}

/// Children that were started, each until it has ended.
type Ended = FuturesUnordered<BoxFuture<'static, (u16, io::Result<ExitStatus>)>>;

async fn start(dir: &Path, layout: &Layout) -> anyhow::Result<Ended> {
    write_nodes(dir, &[]).with_context(|| nodes_path(dir).display().to_string())?;
    let mut running = Vec::new();
    for place in layout.nodes() {
        running.push(spawn(place, layout)?);
    }
    // All at once: none of them serves before a majority is there.
    let serving = running.iter_mut().map(serves);
    let all = futures::future::try_join_all(serving);
    tokio::time::timeout(START_PATIENCE, all).await.context("not every node serves yet: see what they say above")??;
    let status = wait_for_voters(dir).await?;
    say::line(greeting(dir, layout, &read_nodes(dir)?, &status));
    let ended = Ended::new();
    for node in running {
        ended.push(Box::pin(follow(node)));
    }
    Ok(ended)
}

fn spawn(place: &NodePlace, layout: &Layout) -> anyhow::Result<Running> {
    let program = std::env::current_exe().context("this program's own path")?;
    let mut command = Command::new(program);
    command.arg("node").arg("--config").arg(&place.config).arg("--until-input-ends");
    if layout.forms(place) {
        command.arg("--form");
        command.env("CAIRN_ROOT_ACCESS_KEY", &layout.credentials().access_key);
        command.env("CAIRN_ROOT_SECRET_KEY", &layout.credentials().secret_key);
    }
    // In a group of its own: Ctrl-C is for this process, which ends the others in order.
    command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().with_context(|| format!("node-{} could not be started", place.number))?;
    let input = child.stdin.take().context("a node's input is piped")?;
    let lines = BufReader::new(child.stdout.take().context("a node's output is piped")?).lines();
    Ok(Running { number: place.number, child, _input: input, lines })
}

/// Waits until a node says that it serves.
async fn serves(node: &mut Running) -> anyhow::Result<()> {
    match node.lines.next_line().await {
        Ok(Some(_)) => Ok(()),
        Ok(None) | Err(_) => {
            let status = node.child.wait().await?;
            anyhow::bail!("node-{} did not start: it ended with {status}", node.number)
        }
    }
}

/// Reads what a node says until it has ended, so that it never waits for a full pipe.
async fn follow(mut node: Running) -> (u16, io::Result<ExitStatus>) {
    while let Ok(Some(line)) = node.lines.next_line().await {
        say::line(format_args!("node-{}: {line}", node.number));
    }
    (node.number, node.child.wait().await)
}

/// Waits until as many nodes vote as can, and says how everything is.
async fn wait_for_voters(dir: &Path) -> anyhow::Result<Status> {
    let clock = SystemClock::start();
    let credentials = Credentials::read(dir)?.context("the root key was written before the nodes were started")?;
    let nodes = read_nodes(dir)?;
    let target = |node: &RunningNode| Target { endpoint: node.s3.clone(), credentials: credentials.clone() };
    let targets: Vec<Target> = nodes.iter().map(target).collect();
    let until = tokio::time::Instant::now() + VOTERS_PATIENCE;
    loop {
        let status: Status = serde_json::from_slice(&ask::any(&targets, STATUS_PATH, &*clock).await?)?;
        let wanted = status.metadata.voters_wanted;
        if status.metadata.voters >= wanted || tokio::time::Instant::now() >= until {
            return Ok(status);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn greeting(dir: &Path, layout: &Layout, nodes: &[RunningNode], status: &Status) -> String {
    let mut lines = vec![format!(
        "Cairn {}: {} node processes serve S3 (data is {}, {} of the nodes vote)",
        env!("CARGO_PKG_VERSION"),
        nodes.len(),
        status.standard,
        status.metadata.voters
    )];
    lines.push(format!("{:<9}{:<18}{:>9}   {:<24}START IT AGAIN WITH", "NODE", "ID", "PID", "S3"));
    for place in layout.nodes() {
        let endpoint = format!("http://{}", place.s3);
        let Some(node) = nodes.iter().find(|node| node.s3 == endpoint) else { continue };
        let name = format!("node-{}", place.number);
        lines.push(format!("{name:<9}{:<18}{:>9}   {:<24}{}", node.id, node.pid, node.s3, place.command()));
    }
    let key = Credentials::path_in(dir);
    let json =
        |name: &str| format!("$(python3 -c 'import json; print(json.load(open(\"{}\"))[\"{name}\"])')", key.display());
    lines.push(String::new());
    lines.push(format!("export AWS_ACCESS_KEY_ID={} AWS_SECRET_ACCESS_KEY={}", json("access_key"), json("secret_key")));
    lines.push(format!("aws --endpoint-url http://{} --region us-east-1 s3 mb s3://stones", layout.node(1).s3));
    lines.push(String::new());
    lines.push(format!("The same table is in {}. Ctrl-C ends all of them.", nodes_path(dir).display()));
    lines.push(format!("`cairn status --dir {}` says whether the data is safe.", dir.display()));
    lines.join("\n")
}

/// Ends every node of the directory: those started here, and those that a person started again.
async fn stop(dir: &Path, layout: &Layout) -> anyhow::Result<()> {
    let mut pids: Vec<Pid> = Vec::new();
    for node in read_nodes(dir)? {
        pids.extend(own_process(node.pid, layout));
    }
    signal_all(&pids, Signal::TERM);
    let until = tokio::time::Instant::now() + STOP_PATIENCE;
    while pids.iter().any(|pid| !has_ended(pid.as_raw_nonzero().get().unsigned_abs())) {
        if tokio::time::Instant::now() >= until {
            say::aside("some nodes do not end by themselves and are killed");
            signal_all(&pids, Signal::KILL);
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    // The file names running processes; there is none any more.
    std::fs::remove_file(nodes_path(dir)).with_context(|| nodes_path(dir).display().to_string())
}

fn signal_all(pids: &[Pid], signal: Signal) {
    for &pid in pids {
        // It may end by itself in this very moment.
        if let Err(error) = kill_process(pid, signal) {
            tracing::debug!(%error, ?pid, "a node had ended before it was told to");
        }
    }
}

/// Whether a process has ended and given everything back that it held, its addresses among it. One that was not waited for
/// yet still has its number.
pub fn has_ended(pid: u32) -> bool {
    // The state stands behind the name, which is in brackets and may hold any bytes.
    let state = std::fs::read(format!("/proc/{pid}/stat")).ok().and_then(|stat| {
        let behind = stat.iter().rposition(|&byte| byte == b')')?;
        stat.get(behind + 2).copied()
    });
    state.is_none_or(|state| matches!(state, b'Z' | b'X'))
}

/// The process with this number, if it is a node of this directory: numbers are used again, and somebody else's process is
/// not ours to end. A process that has ended and was not waited for has no command line.
fn own_process(pid: u32, layout: &Layout) -> Option<Pid> {
    let line = std::fs::read(PathBuf::from(format!("/proc/{pid}/cmdline"))).ok()?;
    let ours = line.split(|&byte| byte == 0).any(|argument| {
        let argument: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(argument);
        layout
            .nodes()
            .iter()
            .any(|place| std::path::absolute(Path::new(argument)).is_ok_and(|path| path == place.config))
    });
    if !ours {
        return None;
    }
    Pid::from_raw(i32::try_from(pid).ok()?)
}
