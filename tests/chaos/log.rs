//! The log as people read it, and the ledger recomputed, on real processes: who did what is told, followed and kept across a
//! kill; after chaos everything balances; what a drive has lost is found and named.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use cairn_harness::server::{Launch, Server};
use cairn_harness::{Cluster, Seed, seed};
use rand::RngExt;

use crate::CAIRN;
use crate::workload::{BUCKET, Memory};

/// How long a follower may take to print what was just written, on cores that others use too.
const PRINTED_WITHIN: Duration = Duration::from_secs(20);

type Change = serde_json::Value;

fn changes(server: &Server, args: &[&str]) -> Vec<Change> {
    let (text, code) = server.ask(&[&["log", "tail", "--json"], args].concat());
    assert_eq!(code, 0, "{text}");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn audit(server: &Server, args: &[&str]) -> (serde_json::Value, i32) {
    let (text, code) = server.ask(&[&["audit", "--json"], args].concat());
    (serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")), code)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_says_who_changed_what_and_follows() {
    let home = tempfile::tempdir().unwrap();
    let server = Launch::dev(CAIRN, &home.path().join("data")).start();
    let (s3, key) = (server.s3(), server.credentials().access_key);
    s3.make_bucket(BUCKET).await.ok();
    s3.make_bucket("another").await.ok();
    s3.put(BUCKET, "small", Bytes::from_static(b"one")).await.ok();
    s3.put("another", "elsewhere", Bytes::from_static(b"two")).await.ok();
    // Large enough for a stripe, and committed by a task of its own.
    s3.put(BUCKET, "large", Bytes::from(vec![7; 3 << 20])).await.ok();
    let twice = s3.request("PUT", &format!("/{BUCKET}/small"), "", &[("if-none-match", "*")], Bytes::new()).await;
    assert_eq!(twice.status(), Some(412));
    s3.delete(BUCKET, "small").await.ok();

    let found = changes(&server, &["--from", "0", "--bucket", BUCKET]);
    let said: Vec<(&str, &str, &str)> = found
        .iter()
        .map(|change| {
            assert_eq!(change["key"].as_str(), Some(&*key), "{change:#}");
            assert_eq!(change["bucket"].as_str(), Some(BUCKET), "{change:#}");
            assert!(change["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{change:#}");
            let text = |name: &str| change[name].as_str().unwrap_or_default();
            (text("what"), text("object"), text("outcome"))
        })
        .collect();
    let expected = [
        ("CreateBucket", "", "done"),
        ("PutObject", "small", "done"),
        ("PutObject", "large", "done"),
        ("PutObject", "small", "refused"),
        ("DeleteObject", "small", "done"),
    ];
    assert_eq!(said, expected);
    let all = changes(&server, &["--from", "0"]);
    let indexes: Vec<u64> = all.iter().map(|change| change["index"].as_u64().unwrap()).collect();
    assert!(indexes.is_sorted() && indexes[0] == 0, "{indexes:?}");
    assert!(all.iter().any(|change| change["what"] == "RegisterSession" && change["key"].is_null()));

    // A follower hears of what comes, and of nothing else.
    let mut follower = Command::new(CAIRN);
    follower.args(["log", "tail", "--follow", "--json", "--bucket", "another"]).arg("--dir").arg(server.dir());
    let mut follower = follower.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let (sender, receiver) = mpsc::channel::<String>();
    std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
    let next = |what: &str| {
        let line = receiver.recv_timeout(PRINTED_WITHIN).unwrap_or_else(|error| panic!("{what}: {error}"));
        serde_json::from_str::<Change>(&line).unwrap()
    };
    assert_eq!(next("the bucket")["what"], "CreateBucket");
    assert_eq!(next("what was there")["object"], "elsewhere");
    s3.put(BUCKET, "not for it", Bytes::from_static(b"x")).await.ok();
    s3.put("another", "new", Bytes::from_static(b"x")).await.ok();
    assert_eq!(next("what is new")["object"], "new");
    follower.kill().unwrap();
    follower.wait().unwrap();

    // It is the log that says so: a kill changes nothing of it.
    let server = server.kill().start();
    let again = changes(&server, &["--from", "0", "--bucket", BUCKET]);
    // What a session did is known for as long as it lives, and this one has ended.
    let lasting = |mut change: Change| {
        change["role"].take();
        change
    };
    let again: Vec<Change> = again.into_iter().filter(|change| change["object"] != "not for it").map(lasting).collect();
    assert_eq!(again, found.into_iter().map(lasting).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ledger_balances_after_kills_and_what_drives_have_lost_is_named() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    let mut generator = Seed::take("audits").generator();
    let mut launch = Launch::dev(CAIRN, &dir);
    let mut memory = Memory::default();
    for round in 0..4 {
        let server = launch.start();
        let s3 = server.s3();
        if round == 0 {
            s3.make_bucket(BUCKET).await.ok();
        }
        let patience = Duration::from_millis(generator.random_range(200..900));
        let killer = tokio::spawn(async move {
            tokio::time::sleep(patience).await;
            server.kill()
        });
        memory.write(&s3, &mut generator, 8, 10_000).await;
        launch = killer.await.unwrap();
    }
    let server = launch.start();
    memory.verify(&server.s3()).await;
    server.wait_until_redundant(Duration::from_secs(60));
    // While others write, too: an audit is of one index.
    let s3 = server.s3();
    let audited = tokio::task::spawn_blocking({
        let server = std::sync::Arc::new(server);
        move || {
            let found = audit(&server, &["--physical"]);
            (server, found)
        }
    });
    memory.write(&s3, &mut generator, 4, 30).await;
    let (server, (report, code)) = audited.await.unwrap();
    assert_eq!((report["balanced"].as_bool(), code), (Some(true), 0), "{report:#}");
    assert_eq!(report["drives"].as_array().map(Vec::len), Some(6));
    let (report, code) = audit(&server, &[]);
    assert_eq!((report["balanced"].as_bool(), code), (Some(true), 0), "{report:#}");
    let bucket = &report["buckets"][0];
    assert_eq!(bucket["name"], BUCKET);
    assert_eq!(bucket["objects"].as_u64(), Some(memory.acknowledged() as u64), "exactly what was acknowledged");

    // Three of six drives lose what they hold of a large object: it cannot be rebuilt, so the audit finds it gone.
    s3.put(BUCKET, "large", seed::bytes(&mut generator, 8 << 20)).await.ok();
    let server = std::sync::Arc::into_inner(server).unwrap();
    let (launch, _) = server.stop();
    for number in 1..=3 {
        for file in fs::read_dir(dir.join(format!("drive-{number}/chunks"))).unwrap() {
            fs::remove_file(file.unwrap().path()).unwrap();
        }
    }
    let server = launch.start();
    let (report, code) = audit(&server, &["--physical"]);
    assert_eq!((report["balanced"].as_bool(), code), (Some(false), 3), "{report:#}");
    let missing = |drive: &serde_json::Value| drive["inventory"]["missing"].as_u64().unwrap();
    let short = report["drives"].as_array().unwrap().iter().filter(|drive| missing(drive) > 0).count();
    assert_eq!(short, 3, "{report:#}");
    let named = report["imbalances"].as_array().unwrap();
    assert!(named.iter().any(|imbalance| imbalance["of"].as_str().is_some_and(|of| of.starts_with("chunk "))));
    // The rows are as they were.
    assert_eq!(audit(&server, &[]).1, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lead_is_handed_over_and_the_ledger_of_a_cluster_balances() {
    let home = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(CAIRN, &home.path().join("data"), 3);
    let mut generator = Seed::take("a cluster's audit").generator();
    let mut memory = Memory::default();
    cluster.s3(&cluster.nodes()[0]).make_bucket(BUCKET).await.ok();
    let everyone = |status: &serde_json::Value| {
        status["nodes"].as_array().is_some_and(|nodes| nodes.iter().all(|node| node["votes"] == true))
    };
    cluster.wait_until("all vote", Duration::from_secs(120), everyone);
    let through: Vec<_> = cluster.nodes().iter().map(|node| cluster.s3(node)).collect();
    memory.write_through(&through, &mut generator, 6, 20).await;
    let members = |text: &str| -> serde_json::Value { serde_json::from_str(text).unwrap() };
    let (text, code) = cluster.ask(&["raft", "status", "--json"]);
    assert_eq!(code, 0, "{text}");
    let status = members(&text);
    assert_eq!(status["leader"], status["member"], "the leader is found and asked: {status:#}");
    let voters: Vec<u64> =
        status["members"].as_array().unwrap().iter().map(|m| m["member"].as_u64().unwrap()).collect();
    assert_eq!(voters.len(), 3);
    let to = voters.into_iter().find(|voter| Some(*voter) != status["leader"].as_u64()).unwrap();
    let (text, code) = cluster.ask(&["raft", "transfer", &to.to_string(), "--json"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(members(&text)["leader"].as_u64(), Some(to));
    let (_, code) = cluster.ask(&["raft", "transfer", "424242"]);
    assert_eq!(code, 1, "nobody has this id");
    // Its vote would be given back at once, so it is not taken; and who votes is given no second one.
    for (command, expected) in [("remove", 1), ("add", 0)] {
        let (text, code) = cluster.ask(&["raft", command, &to.to_string()]);
        assert_eq!(code, expected, "{command}: {text}");
    }
    memory.write_through(&through, &mut generator, 6, 10).await;
    let (text, code) = cluster.ask(&["audit", "--physical", "--json"]);
    assert_eq!(code, 0, "{text}");
    // Any node answers for the log, and says whose request it was, whichever node took it.
    let (text, code) = cluster.ask(&["log", "tail", "--from", "0", "--json", "--bucket", BUCKET]);
    assert_eq!(code, 0, "{text}");
    let lines: Vec<Change> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.len() > 20 && lines.iter().all(|change| change["key"].is_string()), "{text}");
    assert!(cluster.stop().success());
}
