//! What clients saw while nodes were killed and paused under them: one order of everything explains it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cairn_harness::cluster::Node;
use cairn_harness::history::{Answer as Seen, Ask, History};
use cairn_harness::s3::Answer;
use cairn_harness::{Cluster, S3, Seed};
use futures::future::join_all;
use md5::{Digest, Md5};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rustix::process::Signal;

use crate::workload::BUCKET;
use crate::{CAIRN, long};

/// How many nodes; two of them may be away at a time.
const NODES: usize = 5;

/// How many clients, each with one request at a time.
const CLIENTS: u64 = 6;

/// How many keys they contend for. Few, so that conditions fail as often as they hold; other ones in each round, so that what
/// was left unknown in one does not burden the next.
const KEYS: usize = 4;

/// What is shared by the clients and whoever takes nodes away from them.
struct Stage {
    history: History,
    /// The nodes that are neither killed nor paused at the moment.
    standing: Mutex<Vec<S3>>,
    round: AtomicU64,
    over: AtomicBool,
}

impl Stage {
    fn any(&self, generator: &mut StdRng) -> S3 {
        let standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        standing.choose(generator).unwrap().clone()
    }

    fn stand(&self, nodes: Vec<S3>) {
        *self.standing.lock().unwrap_or_else(PoisonError::into_inner) = nodes;
    }
}

fn tag(body: &[u8]) -> String {
    hex::encode(Md5::digest(body))
}

/// One client's requests until it is over.
async fn client(stage: &Stage, number: u64, mut generator: StdRng) {
    let mut known: Option<String> = None;
    while !stage.over.load(Ordering::Relaxed) {
        let round = stage.round.load(Ordering::Relaxed);
        let key = format!("{round}/{}", generator.random_range(0..KEYS));
        let body = Bytes::from(format!("{number} {}", generator.random::<u64>()));
        let ask = match generator.random_range(0..10) {
            0..4 => Ask::Get,
            4..6 => Ask::Put(tag(&body)),
            6 => Ask::Create(tag(&body)),
            7..9 => Ask::Replace { expected: known.clone().unwrap_or_else(|| tag(b"never")), new: tag(&body) },
            _ => Ask::Delete,
        };
        let s3 = stage.any(&mut generator);
        let begun = stage.history.begin(number, &key, ask.clone());
        let answer = send(&s3, &key, &ask, body).await;
        if let Seen::Found(found) = &answer {
            known.clone_from(found);
        }
        stage.history.end(begun, answer);
        tokio::time::sleep(Duration::from_millis(generator.random_range(0..30))).await;
    }
}

async fn send(s3: &S3, key: &str, ask: &Ask, body: Bytes) -> Seen {
    let path = format!("/{BUCKET}/{key}");
    let put = async |headers: &[(&str, &str)]| s3.request("PUT", &path, "", headers, body.clone()).await;
    let answer = match ask {
        Ask::Get => s3.get(BUCKET, key).await,
        Ask::Put(_) => put(&[]).await,
        Ask::Create(_) => put(&[("if-none-match", "*")]).await,
        Ask::Replace { expected, .. } => put(&[("if-match", &format!("\"{expected}\""))]).await,
        Ask::Delete => s3.delete(BUCKET, key).await,
    };
    match (ask, answer) {
        (Ask::Get, Answer::Said(status, body)) if status.is_success() => Seen::Found(Some(tag(&body))),
        (Ask::Get, Answer::Said(status, _)) if status.as_u16() == 404 => Seen::Found(None),
        (_, Answer::Said(status, _)) if status.is_success() => Seen::Done,
        (Ask::Create(_) | Ask::Replace { .. }, Answer::Said(status, _)) if [404, 412].contains(&status.as_u16()) => {
            Seen::Differs
        }
        // Another write to the key was under way: it took no effect, and S3 says so.
        (_, Answer::Said(status, _)) if status.as_u16() == 409 => Seen::Refused,
        (_, Answer::Said(status, _)) if status.is_server_error() => Seen::Unknown,
        (_, Answer::Unknown(_)) => Seen::Unknown,
        (ask, answer) => panic!("{ask:?} of {key} was answered {answer:?}"),
    }
}

/// Takes one or two nodes away and gives them back, round after round.
async fn take_away(stage: &Stage, cluster: &mut Cluster, rounds: usize, generator: &mut StdRng) {
    for _ in 0..rounds {
        let nodes = cluster.nodes();
        let count = generator.random_range(1..=2);
        let mut chosen: Vec<Node> = nodes.sample(generator, count).cloned().collect();
        if generator.random_ratio(1, 2) {
            // The leader of the log has most to lose.
            let leader = cluster.leader();
            if !chosen.contains(&leader) {
                chosen[0] = leader;
            }
        }
        let (killed, paused): (Vec<Node>, Vec<Node>) = chosen.into_iter().partition(|_| generator.random_ratio(1, 2));
        println!("killed {killed:?}, paused {paused:?}");
        for node in &killed {
            cluster.kill(node);
        }
        paused.iter().for_each(|node| cluster.signal(node, Signal::STOP));
        let left = nodes.iter().filter(|node| !killed.contains(node) && !paused.contains(node));
        stage.stand(left.map(|node| cluster.s3(node)).collect());
        tokio::time::sleep(Duration::from_millis(generator.random_range(500..5000))).await;
        paused.iter().for_each(|node| cluster.signal(node, Signal::CONT));
        if !killed.is_empty() {
            tokio::task::block_in_place(|| cluster.restart_all(&killed));
        }
        stage.stand(cluster.nodes().iter().map(|node| cluster.s3(node)).collect());
        tokio::time::sleep(Duration::from_millis(generator.random_range(500..2000))).await;
        stage.round.fetch_add(1, Ordering::Relaxed);
    }
    stage.over.store(true, Ordering::Relaxed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_order_explains_what_clients_saw() {
    let rounds = if long() { 60 } else { 4 };
    let home = tempfile::tempdir().unwrap();
    let mut generator = Seed::take("history").generator();
    let mut cluster = Cluster::start(CAIRN, &home.path().join("data"), NODES);
    cluster.s3(&cluster.nodes()[0]).make_bucket(BUCKET).await.ok();
    let standing = cluster.nodes().iter().map(|node| cluster.s3(node)).collect();
    let stage = Stage {
        history: History::new(),
        standing: Mutex::new(standing),
        round: AtomicU64::new(0),
        over: AtomicBool::new(false),
    };
    let clients: Vec<_> =
        (0..CLIENTS).map(|number| client(&stage, number, StdRng::seed_from_u64(generator.random()))).collect();
    tokio::join!(join_all(clients), take_away(&stage, &mut cluster, rounds, &mut generator));
    println!("{} operations on {} keys", stage.history.len(), stage.history.keys().len());
    assert!(stage.history.len() > 100 * rounds, "too little was asked to mean anything");
    if let Err(violation) = stage.history.check() {
        panic!("{violation}");
    }
    // Whatever was refused, repeated and left unknown: every count is what there is, and every chunk that is named is there.
    let redundant = |status: &serde_json::Value| status["fully_redundant"] == true;
    cluster.wait_until("everything is redundant", Duration::from_secs(120), redundant);
    let (report, code) = tokio::task::block_in_place(|| cluster.ask(&["audit", "--physical", "--json"]));
    assert_eq!(code, 0, "{report}");
    assert!(cluster.stop().success());
}
