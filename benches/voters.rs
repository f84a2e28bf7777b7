//! Commits with three voters, over real connections on loopback and real files: one process, each voter with a log of two
//! copies, as three voters and two parity chunks have.
//!
//! ```text
//! cargo bench -p cairn --bench voters
//! CAIRN_BENCH_DIR=/mnt/disk cargo bench ...
//! ```

#[path = "../metadata/benches/node/mod.rs"]
#[expect(dead_code, reason = "one voter is started by other benches")]
mod node;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cairn::ties::raft_calls::{RaftCalls, RaftPeers};
use cairn_cluster::network::tcp::TcpNetwork;
use cairn_cluster::{ConnectionKey, Listener, ListenerOptions, Pool, ServiceId, Services};
use cairn_core::clock::SystemClock;
use cairn_core::entropy::SystemEntropy;
use cairn_core::{BucketId, ClusterId, DriveId, ExtentId, NodeId};
use cairn_journal::files::real::RealFiles;
use cairn_machine::operation::{NewDrive, NewExtent, NewPlace};
use cairn_machine::rows::session::SessionKind;
use cairn_machine::{Operation, Outcome};
use cairn_metadata::{Client, MetadataNode, NodeConfig, Standing, StartError};
use cairn_oplog::{LogDrive, LogIdentity, OpLog, Options, Shell, VoterId};
use cairn_rows::{MemoryOverlays, RowsOptions};

/// What one of three may lose while two parity chunks are what the data has.
const COPIES: usize = 2;

const VOTERS: u64 = 3;

const ROUND: Duration = Duration::from_secs(4);

fn main() {
    let parent = std::env::var_os("CAIRN_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let dir = tempfile::Builder::new().prefix("cairn-voters").tempdir_in(parent).expect("a directory to work in");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    println!("{VOTERS} voters, {COPIES} copies of the log each, in {}", dir.path().display());
    runtime.block_on(measure(dir.path()));
}

/// One voter and its end of the connections.
struct Voter {
    node: MetadataNode,
    calls: Arc<RaftCalls>,
    _listener: Listener,
}

async fn measure(dir: &Path) {
    let (voters, clients) = form(dir).await;
    let bucket = node::bucket(&clients[0], "bench").await;
    for (what, clients) in [("all on the leader", &clients[..1]), ("on all three nodes", &clients[..])] {
        for count in [1, 8, 64, 512] {
            crowd(&voters, clients, bucket, count, what).await;
        }
    }
    for client in clients {
        client.close().await;
    }
    for voter in voters {
        voter.calls.close();
        voter.node.close().await.expect("it closes");
    }
}

/// Three voters, the first of which leads, and a client on each.
async fn form(dir: &Path) -> (Vec<Voter>, Vec<Client>) {
    let (mut pools, mut ends) = (Vec::new(), Vec::new());
    let key = ConnectionKey::derive(&[7; 32], ClusterId(1));
    for number in 1..=VOTERS {
        let calls = Arc::new(RaftCalls::default());
        let options = ListenerOptions {
            node: NodeId(number),
            key: key.clone(),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            services: Services::default().with(ServiceId::RAFT, calls.clone()),
        };
        let listener = Listener::start(options, &TcpNetwork, SystemEntropy::shared()).await.expect("it listens");
        pools.push(Pool::new(NodeId(number), key.clone(), TcpNetwork::shared(), SystemEntropy::shared()));
        ends.push((calls, listener));
    }
    for pool in &pools {
        for (number, (_, listener)) in (1..).zip(&ends) {
            pool.set_address(NodeId(number), listener.address());
        }
    }
    let (mut voters, mut clients) = (Vec::<Voter>::new(), Vec::<Client>::new());
    for (number, ((calls, listener), pool)) in (1..).zip(ends.into_iter().zip(pools)) {
        let member = match clients.first() {
            None => 1,
            Some(client) => {
                let drives = vec![NewDrive { id: DriveId(100 + number), weight: 1, label: String::new() }];
                let register = Operation::RegisterNode { node: NodeId(number), zone: String::new(), drives };
                client.propose(vec![register]).await.expect("an answer");
                client.admit(NodeId(number)).await.expect("a member")
            }
        };
        let node = start(&dir.join(format!("n{number}")), number, member, RaftPeers::new(pool)).await;
        calls.serve(node.clone());
        if let Err(StartError::NotFormed) = node.ready().await {
            node.form(node::form(NodeId(number), member)).await.expect("it forms");
            node.ready().await.expect("it is ready");
        }
        if let Some(client) = clients.first() {
            client.seat(member).await.expect("it votes");
        }
        clients.push(node.client(SessionKind::Gateway).await.expect("a session"));
        voters.push(Voter { node, calls, _listener: listener });
    }
    (voters, clients)
}

async fn start(dir: &Path, number: u64, member: u64, peers: Arc<RaftPeers>) -> MetadataNode {
    let clock = SystemClock::start();
    let (entropy, files) = (SystemEntropy::shared(), RealFiles::shared());
    let dirs: Vec<_> = (0..COPIES).map(|n| dir.join(format!("d{n}"))).collect();
    for dir in &dirs {
        std::fs::create_dir_all(dir.join("runs")).expect("a directory");
    }
    let drives = (0..).zip(&dirs);
    let drives = drives.map(|(n, dir)| LogDrive { id: DriveId(n), dir: dir.clone(), files: files.clone() }).collect();
    let identity = LogIdentity { cluster: ClusterId(1), node: NodeId(number), voter: VoterId(member) };
    let mut options = Options::new(clock.clone());
    options.copies_wanted = COPIES as u8;
    let opened = OpLog::open(drives, identity, options, entropy.clone(), Shell::Thread).await;
    let (log, recovered) = opened.expect("the log opens");
    let overlays = Arc::new(MemoryOverlays);
    let rows = RowsOptions { files, overlays, entropy: entropy.clone(), cache_bytes: 16 << 20 };
    let runs = dirs.iter().map(|dir| dir.join("runs")).collect();
    let mut config = NodeConfig::new(NodeId(number), member, runs, COPIES);
    config.cut.overlay_bytes = node::OVERLAY_BYTES;
    config.peers = peers;
    config.standing = if number == 1 { Standing::Founder } else { Standing::Newcomer };
    MetadataNode::start(config, log, recovered, rows, clock, entropy).await.expect("the node starts")
}

async fn put(client: &Client, bucket: BucketId, key: &str) {
    let id = ExtentId { write: client.begin_write().id(), ordinal: 0 };
    let extent = NewExtent { id, length: 64, place: NewPlace::Here(vec![7; 64].into()) };
    let outcomes = client.propose(vec![node::put(bucket, key, extent, client.session())]).await.expect("an answer");
    assert!(matches!(outcomes[..], [Outcome::Put { .. }]), "{outcomes:?}");
}

async fn crowd(voters: &[Voter], clients: &[Client], bucket: BucketId, count: u64, what: &str) {
    let stop = Arc::new(AtomicBool::new(false));
    let before: Vec<_> = voters.iter().map(|voter| voter.node.status()).collect();
    let began = Instant::now();
    let tasks: Vec<_> = (0..count)
        .map(|n| {
            let client = clients[n as usize % clients.len()].clone();
            let (stop, what) = (stop.clone(), what.len());
            tokio::spawn(async move {
                let mut times = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    put(&client, bucket, &format!("{what}/{count}/{n}/{}", times.len())).await;
                    times.push(began.elapsed());
                }
                times
            })
        })
        .collect();
    tokio::time::sleep(ROUND).await;
    stop.store(true, Ordering::Relaxed);
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.expect("a client"));
    }
    let took = began.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    let groups: Vec<String> = voters
        .iter()
        .zip(&before)
        .map(|(voter, before)| (voter.node.status().log.groups - before.log.groups) as f64 / times.len() as f64)
        .map(|groups| format!("{groups:.4}"))
        .collect();
    let (rate, entries) = (times.len() as f64 / took, voters[0].node.status().last_index.0 - before[0].last_index.0);
    println!(
        "{count:>4} clients {what}: {rate:>8.0} commits/s, {:.1} an entry, syncs of each copy a commit {}, p50 {:.2?}, p99 {:.2?}",
        times.len() as f64 / entries as f64,
        groups.join(" "),
        at(0.5),
        at(0.99)
    );
}
