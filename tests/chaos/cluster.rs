//! A cluster of real node processes: any two are killed, and nobody who was told "done" was told wrong.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cairn_harness::cluster::Node;
use cairn_harness::{Cluster, S3, Seed};
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rustix::process::Signal;

use crate::workload::{BUCKET, Memory};
use crate::{CAIRN, long};

/// How many nodes.
const NODES: usize = 6;

/// How long writes may stand still after nodes were lost: suspicion and an election.
const STANDSTILL: Duration = Duration::from_secs(10);

/// How long the data may take to be fully redundant after nodes were lost, or came back.
const HEALING: Duration = Duration::from_secs(120);

/// Two nodes, the leader of the log one of them.
fn pair(cluster: &Cluster, generator: &mut StdRng) -> (Vec<Node>, Vec<Node>) {
    let leader = cluster.leader();
    let others: Vec<Node> = cluster.nodes().into_iter().filter(|node| *node != leader).collect();
    let other = others.choose(generator).unwrap().clone();
    let left = others.into_iter().filter(|node| *node != other).collect();
    (vec![leader, other], left)
}

/// Writes through each of these until one write is acknowledged; the longest that one took.
async fn writes_go_on(through: &[S3]) -> Duration {
    let began = Instant::now();
    for (number, s3) in through.iter().enumerate() {
        while !s3.put(BUCKET, &format!("again/{number}"), Bytes::from_static(b"on")).await.happened() {
            assert!(began.elapsed() < STANDSTILL * 6, "nothing can be written through node {number} of those left");
        }
    }
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_two_nodes_may_be_killed_while_clients_write() {
    let rounds = if long() { 10 } else { 1 };
    let home = tempfile::tempdir().unwrap();
    let mut generator = Seed::take("two nodes").generator();
    let mut cluster = Cluster::start(CAIRN, &home.path().join("data"), NODES);
    cluster.s3(&cluster.nodes()[0]).make_bucket(BUCKET).await.ok();
    let mut memory = Memory::default();
    for _ in 0..rounds {
        let (killed, left) = pair(&cluster, &mut generator);
        let through: Vec<S3> = left.iter().map(|node| cluster.s3(node)).collect();
        let delay = Duration::from_millis(generator.random_range(200..1500));
        let (clients, writes) = (through.clone(), memory.write_through(&through, &mut generator, 8, 150));
        let killing = async {
            tokio::time::sleep(delay).await;
            for node in &killed {
                cluster.kill(node);
            }
            writes_go_on(&clients).await
        };
        let (acknowledged, standstill) = tokio::join!(writes, killing);
        println!("killed {killed:?}: writes stood still for {standstill:?}, {acknowledged} were acknowledged");
        assert!(standstill < STANDSTILL, "writes stood still for {standstill:?}");
        memory.verify(through.choose(&mut generator).unwrap()).await;
        let took = cluster.wait_until("fully redundant", HEALING, |status| status["fully_redundant"] == true);
        println!("fully redundant without them after {took:?}: {}", cluster.status()["data"]);
        for s3 in &through {
            memory.verify(s3).await;
        }
        for node in &killed {
            cluster.restart(node);
        }
        let took = cluster.wait_until("back to what was promised", HEALING, |status| {
            status["fully_redundant"] == true
                && status["nodes"].as_array().is_some_and(|nodes| nodes.iter().all(|node| node["standing"] == "alive"))
                && status["drives"]
                    .as_array()
                    .is_some_and(|drives| drives.iter().all(|drive| drive["state"] == "active"))
                && status["data"]["stripes_reshaped"] == 0
        });
        println!("as it was after {took:?}");
        for node in cluster.nodes() {
            memory.verify(&cluster.s3(&node)).await;
        }
    }
    assert!(memory.acknowledged() > 0);
    assert!(cluster.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paused_nodes_hold_nobody_up_and_no_majority_is_said_in_time() {
    let home = tempfile::tempdir().unwrap();
    let mut generator = Seed::take("paused nodes").generator();
    let cluster = Cluster::start(CAIRN, &home.path().join("data"), NODES);
    cluster.s3(&cluster.nodes()[0]).make_bucket(BUCKET).await.ok();
    let (paused, left) = pair(&cluster, &mut generator);
    let through: Vec<S3> = left.iter().map(|node| cluster.s3(node)).collect();
    paused.iter().for_each(|node| cluster.signal(node, Signal::STOP));
    let standstill = writes_go_on(&through).await;
    println!("paused {paused:?}: writes stood still for {standstill:?}");
    assert!(standstill < STANDSTILL, "writes stood still for {standstill:?}");
    // Two more, and nobody has a majority: said within the deadline of the log, never a hang, and nothing is lost by it.
    left[..2].iter().for_each(|node| cluster.signal(node, Signal::STOP));
    let asked = Instant::now();
    let answer = through[2].put(BUCKET, "minority", Bytes::from_static(b"no")).await;
    assert_eq!(answer.status(), Some(503), "{answer:?}");
    assert!(asked.elapsed() < Duration::from_secs(15), "said after {:?}", asked.elapsed());
    paused.iter().chain(&left[..2]).for_each(|node| cluster.signal(node, Signal::CONT));
    writes_go_on(&cluster.nodes().iter().map(|node| cluster.s3(node)).collect::<Vec<_>>()).await;
    assert!(cluster.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_comes_back_from_power_lost_at_once_and_a_node_that_lost_everything_joins_anew() {
    let home = tempfile::tempdir().unwrap();
    let mut generator = Seed::take("all nodes").generator();
    let mut cluster = Cluster::start(CAIRN, &home.path().join("data"), 4);
    cluster.s3(&cluster.nodes()[0]).make_bucket(BUCKET).await.ok();
    let mut memory = Memory::default();
    let through: Vec<S3> = cluster.nodes().iter().map(|node| cluster.s3(node)).collect();
    memory.write_through(&through, &mut generator, 4, 60).await;
    let nodes = cluster.nodes();
    nodes.iter().for_each(|node| cluster.kill(node));
    // The last one comes back with an empty disk: it must be another node, and no vote under the old id.
    let gone = &nodes[3];
    let dir = home.path().join("data").join("node-4");
    std::fs::remove_dir_all(dir.join("drive-4")).unwrap();
    let launches: Vec<Node> = cluster.restart_all(&nodes);
    assert_eq!(
        launches.iter().filter(|node| nodes.iter().any(|before| before.id == node.id)).count(),
        3,
        "{launches:?}"
    );
    assert!(launches.iter().all(|node| node.id != gone.id));
    for node in &launches {
        memory.verify(&cluster.s3(node)).await;
    }
    assert!(memory.acknowledged() > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_that_lost_its_log_comes_back_under_another_id() {
    let home = tempfile::tempdir().unwrap();
    let mut generator = Seed::take("a lost log").generator();
    let mut cluster = Cluster::start(CAIRN, &home.path().join("data"), 3);
    cluster.s3(&cluster.nodes()[0]).make_bucket(BUCKET).await.ok();
    let mut memory = Memory::default();
    let through: Vec<S3> = cluster.nodes().iter().map(|node| cluster.s3(node)).collect();
    memory.write_through(&through, &mut generator, 4, 40).await;
    let members = |status: &serde_json::Value| -> BTreeMap<String, u64> {
        let nodes = status["nodes"].as_array().cloned().unwrap_or_default();
        let member = |node: serde_json::Value| Some((node["id"].as_str()?.to_owned(), node["member"].as_u64()?));
        nodes.into_iter().filter_map(member).collect()
    };
    cluster.wait_until("three voters", HEALING, |status| status["metadata"]["voters"] == 3);
    let before = members(&cluster.status());
    let victim = cluster.leader();
    cluster.kill(&victim);
    let drive = home.path().join("data").join(format!("node-{0}/drive-{0}", victim.number));
    for room in ["log", "runs"] {
        for entry in std::fs::read_dir(drive.join(room)).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }
    let back = cluster.restart(&victim);
    assert_eq!(back.id, victim.id, "it is the same node: its drive and its chunks are there");
    cluster.wait_until("three voters under ids of which one is new", HEALING, |status| {
        let now = members(status);
        let kept = now.iter().filter(|(node, member)| before.get(*node) == Some(member)).count();
        status["metadata"]["voters"] == 3 && now.len() == 3 && kept == 2 && now[&victim.id] > before[&victim.id]
    });
    for node in cluster.nodes() {
        memory.verify(&cluster.s3(&node)).await;
    }
    assert!(memory.acknowledged() > 0);
    assert!(cluster.stop().success());
}
