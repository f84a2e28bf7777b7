//! A process that is a whole machine, from the moment that its roles run: serves until it is told to end, and ends in order.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::ask::target::{RunningNode, nodes_path, write_nodes};
use crate::assembly::Assembly;
use crate::credentials::Credentials;
use crate::{metrics, say};

/// Why a process cannot take its place, beside what its parts say.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
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
}

/// What tells a process to end. Listened for from its first moment: whoever reads the greeting may ask it to end.
#[derive(Debug)]
pub struct Ending {
    interrupt: Signal,
    terminate: Signal,
}

impl Ending {
    /// Listens from now on.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits until somebody asks.
    pub async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Where a process serves and what it tells about itself.
#[derive(Debug)]
pub struct Place {
    /// Takes connections.
    pub listener: TcpListener,
    /// Its address.
    pub address: SocketAddr,
    /// Where metrics are told, and under which address, if anywhere.
    pub metrics: Option<(TcpListener, SocketAddr)>,
    /// The directory that the root key and the address are written to.
    pub state: PathBuf,
}

impl Place {
    /// Takes an address for S3, and another one for metrics where they are to be told.
    pub async fn take(listen: SocketAddr, metrics: Option<SocketAddr>, state: &Path) -> Result<Self, PlaceError> {
        let (listener, address) = bind(listen).await?;
        let metrics = match metrics {
            Some(metrics) => Some(bind(metrics).await?),
            None => None,
        };
        Ok(Self { listener, address, metrics, state: state.to_owned() })
    }

    /// Makes its directory, for its owner alone.
    pub fn make_directory(&self) -> Result<(), PlaceError> {
        use std::os::unix::fs::DirBuilderExt;
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.state);
        made.map_err(|source| PlaceError::Directory { path: self.state.clone(), source })
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), PlaceError> {
    let failed = |source| PlaceError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let taken = listener.local_addr().map_err(failed)?;
    Ok((listener, taken))
}

/// Serves until it is told to end, or fails in a way that only a restart mends. `drives` says where they are.
pub async fn serve(
    assembly: Assembly,
    place: Place,
    mut ending: Ending,
    drives: &str,
    warnings: &[String],
) -> anyhow::Result<()> {
    let Place { listener, address, metrics, state } = place;
    if Credentials::read(&state).ok().flatten().as_ref() != Some(assembly.credentials()) {
        assembly.credentials().write(&state)?;
    }
    let serving = assembly.serve(listener);
    let endpoint = format!("http://{address}");
    let here = RunningNode { id: assembly.node().to_string(), pid: std::process::id(), s3: endpoint.clone() };
    write_nodes(&state, &[here]).map_err(|source| PlaceError::Directory { path: nodes_path(&state), source })?;
    let measured = metrics.as_ref().map(|(_, address)| *address);
    greet(&Greeting { state: &state, endpoint: &endpoint, address, measured, drives }, &assembly, warnings);
    let telling = metrics::listener::told(metrics.map(|(listener, _)| listener), assembly.metrics());

    let ended = tokio::select! {
        () = ending.asked() => Ok(()),
        failure = assembly.failed() => Err(failure),
        never = telling => match never {},
    };
    say::aside("letting running requests finish");
    let cut = serving.stop().await;
    if cut > 0 {
        say::aside(format_args!("{cut} connections were cut: their requests took too long"));
    }
    let stopped = assembly.stop().await;
    // The file names running processes; there is none any more.
    if let Err(error) = std::fs::remove_file(nodes_path(&state)) {
        tracing::warn!(%error, "nodes.json could not be removed");
    }
    ended?;
    stopped
}

/// Where things are that a person is told of.
struct Greeting<'a> {
    state: &'a Path,
    endpoint: &'a str,
    address: SocketAddr,
    measured: Option<SocketAddr>,
    drives: &'a str,
}

fn greet(greeting: &Greeting<'_>, assembly: &Assembly, warnings: &[String]) {
    let &Greeting { state, endpoint, address, measured, drives } = greeting;
    let standard = assembly.standard();
    say::line(format_args!("Cairn {} serves S3 on {endpoint}", env!("CARGO_PKG_VERSION")));
    say::line(format_args!("  drives       {} {drives}", assembly.drive_count()));
    say::line(format_args!("  coding       {standard}: any {} of them may be lost", standard.m()));
    if let Some(measured) = measured {
        say::line(format_args!("  metrics      http://{measured}/metrics"));
    }
    let key = assembly.credentials();
    if std::io::stdout().is_terminal() {
        say::line(format_args!("  access key   {}", key.access_key));
        say::line(format_args!("  secret key   {}", key.secret_key));
    } else {
        say::line(format_args!("  credentials  {}", Credentials::path_in(state).display()));
    }
    for notice in assembly.notices().iter().chain(warnings) {
        say::line(format_args!("  note         {notice}"));
    }
    if !address.ip().is_loopback() {
        say::line(format_args!(
            "  WARNING      {address} is not loopback and there is no TLS: whoever shares the network can read along"
        ));
    }
    let json = |name: &str| {
        let path = Credentials::path_in(state);
        format!("$(python3 -c 'import json; print(json.load(open(\"{}\"))[\"{name}\"])')", path.display())
    };
    say::line("");
    say::line(format_args!(
        "export AWS_ACCESS_KEY_ID={} AWS_SECRET_ACCESS_KEY={}",
        json("access_key"),
        json("secret_key")
    ));
    say::line(format_args!("aws --endpoint-url {endpoint} --region us-east-1 s3 mb s3://stones"));
    say::line(format_args!("aws --endpoint-url {endpoint} --region us-east-1 s3 cp README.md s3://stones/"));
    say::line("");
    say::line(format_args!("Ctrl-C stops it. `cairn status --dir {}` says whether the data is safe.", state.display()));
}
