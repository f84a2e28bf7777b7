//! `cairn server`: real directories in any order and anywhere, killed under load, robbed of two of six and of everything
//! beside the drives; and what it refuses.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use cairn_harness::server::{Launch, Server};
use cairn_harness::{Answer, S3, Seed};
use rand::RngExt;
use rand::seq::SliceRandom;

use crate::workload::{BUCKET, Memory};
use crate::{CAIRN, long};

/// Within this time `cairn status` must show full redundancy again.
const PATIENCE: Duration = Duration::from_secs(90);

fn disks(home: &Path, numbers: std::ops::RangeInclusive<usize>) -> Vec<PathBuf> {
    numbers.map(|number| home.join(format!("disk-{number}"))).collect()
}

/// The keys of the bucket, as one page lists them.
async fn listed(s3: &S3) -> Vec<String> {
    let query = "list-type=2&max-keys=1000";
    let page = s3.request("GET", &format!("/{BUCKET}"), query, &[], Bytes::new()).await.ok();
    let page = String::from_utf8(page.to_vec()).unwrap();
    page.split("<Key>").skip(1).map(|rest| rest.split("</Key>").next().unwrap().to_owned()).collect()
}

/// Runs a command that must succeed; what it printed.
fn done(server: &Server, args: &[&str]) -> String {
    let (said, code) = server.ask(args);
    assert_eq!(code, 0, "{args:?}: {said}");
    said
}

/// What a command printed, whatever came of it.
fn done_or_not(server: &Server, args: &[&str]) -> String {
    server.ask(args).0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_two_of_six_disks_and_all_beside_them_may_go() {
    let mut generator = Seed::take("two of six disks").generator();
    let mut pairs: Vec<(usize, usize)> = (0..6).flat_map(|a| (a + 1..6).map(move |b| (a, b))).collect();
    pairs.shuffle(&mut generator);
    if !long() {
        pairs.truncate(3);
    }
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state");
    let mut drives = disks(home.path(), 1..=6);
    let server = Launch::server(CAIRN, &state, &drives).args(&["--form"]).start();
    server.s3().make_bucket(BUCKET).await.ok();
    server.stop();
    let mut memory = Memory::default();
    let mut made = 6;
    for (a, b) in pairs {
        let server = Launch::server(CAIRN, &state, &drives).start();
        let s3 = server.s3();
        let patience = Duration::from_millis(generator.random_range(800..2000));
        let killer = tokio::spawn(async move {
            tokio::time::sleep(patience).await;
            server.kill()
        });
        memory.write(&s3, &mut generator, 8, 10_000).await;
        killer.await.unwrap();

        // Two drives and everything that is not a drive; the others under other names, in another order.
        fs::remove_dir_all(&state).unwrap();
        let mut left = Vec::new();
        for (position, path) in drives.drain(..).enumerate() {
            if position == a || position == b {
                fs::remove_dir_all(path).unwrap();
            } else {
                made += 1;
                let moved = home.path().join(format!("moved-{made}"));
                fs::rename(path, &moved).unwrap();
                left.push(moved);
            }
        }
        left.shuffle(&mut generator);
        let server = Launch::server(CAIRN, &state, &left).start();
        memory.verify(&server.s3()).await;
        assert_eq!(listed(&server.s3()).await, memory.keys());
        let (_, code) = server.ask(&["status"]);
        assert_eq!(code, 3, "two drives are missing, and it is said");

        // A person says whose places the fresh ones take.
        let status: serde_json::Value = serde_json::from_str(&server.ask(&["status", "--json"]).0).unwrap();
        let away = status["drives"].as_array().unwrap().iter().filter(|drive| drive["problem"].is_string());
        let away: Vec<String> = away.map(|drive| drive["id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(away.len(), 2, "{status}");
        for old in &away {
            made += 1;
            let fresh = home.path().join(format!("fresh-{made}"));
            fs::create_dir(&fresh).unwrap();
            let said = done(&server, &["drive", "replace", old, fresh.to_str().unwrap()]);
            assert!(said.contains(old.as_str()), "{said}");
            left.push(fresh);
        }
        // Data and log lie on the fresh ones without a start.
        let took = server.wait_until_redundant(PATIENCE);
        eprintln!("places {a} and {b}: fully redundant after {took:?}, {} objects", memory.acknowledged());
        let status: serde_json::Value = serde_json::from_str(&server.ask(&["status", "--json"]).0).unwrap();
        assert_eq!(status["metadata"]["survives_drives"], 2, "{status}");
        let roster = status["metadata"]["roster"].as_array().unwrap();
        assert!(roster.len() == 6 && away.iter().all(|old| !roster.contains(&old.as_str().into())), "{status}");
        memory.verify(&server.s3()).await;
        server.kill();
        drives = left;
    }
    assert!(memory.acknowledged() > 20, "the test wrote too little to mean anything");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_disk_takes_a_place_while_clients_write() {
    let mut generator = Seed::take("a fresh disk").generator();
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state");
    let mut drives = disks(home.path(), 1..=6);
    let server = Launch::server(CAIRN, &state, &drives).args(&["--form"]).start();
    server.s3().make_bucket(BUCKET).await.ok();
    let mut memory = Memory::default();
    memory.write(&server.s3(), &mut generator, 4, 30).await;
    let fresh = home.path().join("disk-7");
    let refused = server.ask(&["drive", "replace", "disk-3", fresh.to_str().unwrap()]);
    assert_ne!(refused.1, 0, "a drive that is well is not given up");
    server.stop();

    // It vanishes under the running server, which syncs to files without a name from then on, and says so in a moment.
    let server = Launch::server(CAIRN, &state, &drives).start();
    fs::remove_dir_all(&drives[2]).unwrap();
    let begun = std::time::Instant::now();
    while !done_or_not(&server, &["status"]).contains("disk-3: takes no writes") {
        assert!(begun.elapsed() < Duration::from_secs(20), "it is not noticed");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    server.stop();
    let server = Launch::server(CAIRN, &state, &drives).start();
    let refused = server.ask(&["drive", "replace", "disk-3", fresh.to_str().unwrap()]);
    assert_ne!(refused.1, 0, "a directory that is not there may be a disk that is not mounted");
    fs::create_dir(&fresh).unwrap();
    let s3 = server.s3();
    let writes = memory.write(&s3, &mut generator, 4, 30);
    let (_, said) = tokio::join!(writes, async {
        tokio::task::block_in_place(|| done(&server, &["drive", "replace", "disk-3", fresh.to_str().unwrap()]))
    });
    assert!(said.contains("disk-7") && said.contains("disk-3"), "{said}");
    let drives_of = |server: &Server| {
        let status: serde_json::Value = serde_json::from_str(&server.ask(&["status", "--json"]).0).unwrap();
        status["drives"].as_array().unwrap().iter().find(|drive| drive["label"] == "disk-7").cloned().unwrap()
    };
    assert_eq!(drives_of(&server)["state"], "active");
    server.stop();
    drives[2] = fresh;
    let server = Launch::server(CAIRN, &state, &drives).start();
    server.wait_until_redundant(PATIENCE);
    memory.verify(&server.s3()).await;
    let (said, code) = server.ask(&["doctor"]);
    assert_eq!(code, 0, "advice is no failure: {said}");
    assert!(said.contains("share one device"), "{said}");
}

/// One line, a non-zero exit code, and the words that say what is wrong.
fn refused(launch: &Launch, words: &[&str]) -> String {
    let (status, said) = launch.start_refused();
    assert!(!status.success(), "it started");
    for word in words {
        assert!(said.contains(word), "{word:?} is missing in: {said}");
    }
    let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("cairn: ")).collect();
    assert_eq!(lines.len(), 1, "one line says it: {said}");
    lines[0].to_owned()
}

fn copied(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

#[test]
fn what_is_not_this_machines_is_refused_in_one_line() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    let drives = disks(home.path(), 1..=4);
    let server = |drives: &[PathBuf]| Launch::server(CAIRN, &at("state"), drives);
    refused(&server(&drives), &["disk-1", "--form"]);
    assert!(!drives[0].exists(), "a refused start makes no directory");
    server(&drives).args(&["--form"]).start().stop();
    refused(&server(&drives).args(&["--form"]), &["without --form"]);

    let other = disks(&at("other"), 1..=3);
    Launch::server(CAIRN, &at("other-state"), &other).args(&["--form"]).start().stop();
    let with = |more: PathBuf| server(&[&drives[..], &[more]].concat());
    refused(&with(other[0].clone()), &["disk-1", "different clusters"]);
    copied(&drives[1], &at("copy"));
    refused(&with(at("copy")), &["disk-2", "copy"]);
    std::os::unix::fs::symlink(&drives[0], at("link")).unwrap();
    refused(&with(at("link")), &["link", "one directory"]);
    fs::create_dir(at("foreign")).unwrap();
    fs::write(at("foreign").join("holiday.jpg"), b"mine").unwrap();
    refused(&with(at("foreign")), &["foreign", "holiday.jpg"]);
    assert_eq!(fs::read(at("foreign").join("holiday.jpg")).unwrap(), b"mine");
    fs::create_dir(at("empty")).unwrap();
    refused(&server(&[at("empty")]), &["empty", "mounted"]);

    let running = server(&drives).start();
    refused(&Launch::server(CAIRN, &at("second"), &drives), &["in use"]);
    running.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_missing_disks_are_named_with_what_going_on_would_cost() {
    let mut generator = Seed::take("three of six disks").generator();
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state");
    let drives = disks(home.path(), 1..=6);
    let server = Launch::server(CAIRN, &state, &drives).args(&["--form"]).start();
    server.s3().make_bucket(BUCKET).await.ok();
    let mut memory = Memory::default();
    memory.write(&server.s3(), &mut generator, 4, 20).await;
    server.stop();
    let said = refused(&Launch::server(CAIRN, &state, &drives[..3]), &["missing", "--accept-loss", "lost"]);
    let names = said.split("--without ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    assert_eq!(names.split(',').count(), 3, "{said}");
    // Nothing was changed: with all of them it goes on.
    let server = Launch::server(CAIRN, &state, &drives).start();
    memory.verify(&server.s3()).await;
    server.stop();
    // Who has read it and says it gets a machine that goes on, and drives that can never join it again.
    let server = Launch::server(CAIRN, &state, &drives[..3]).args(&["--without", &names, "--accept-loss"]).start();
    let (text, _) = server.ask(&["status"]);
    assert!(text.contains("disk-1"), "{text}");
    server.stop();
    refused(&Launch::server(CAIRN, &state, &drives), &["disk-"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_disks_of_which_one_is_gone_go_on_by_a_word() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state");
    let drives = disks(home.path(), 1..=2);
    let server = Launch::server(CAIRN, &state, &drives).args(&["--form"]).start();
    let s3 = server.s3();
    s3.make_bucket(BUCKET).await.ok();
    s3.put(BUCKET, "kept", Bytes::from_static(b"on both")).await.ok();
    server.stop();
    // One of two: all of it is there, and an acknowledgement would need both.
    let server = Launch::server(CAIRN, &state, &drives[..1]).start();
    let s3 = server.s3();
    assert_eq!(s3.get(BUCKET, "kept").await.ok(), Bytes::from_static(b"on both"));
    assert_eq!(listed(&s3).await, ["kept"]);
    let refused = s3.put(BUCKET, "new", Bytes::from_static(b"on one")).await;
    let Answer::Said(status, why) = refused else { panic!("{refused:?}") };
    let why = String::from_utf8(why.to_vec()).unwrap();
    assert!(status == 503 && why.contains("nothing can be written"), "the reason is told: {status} {why}");
    let (said_status, code) = server.ask(&["status"]);
    assert!(code == 3 && said_status.contains("nothing can be written"), "{said_status}");
    let fresh = home.path().join("disk-3");
    fs::create_dir(&fresh).unwrap();
    let (said, code) = server.ask(&["drive", "replace", "disk-2", fresh.to_str().unwrap()]);
    assert!(code != 0 && fs::read_dir(&fresh).unwrap().next().is_none(), "nothing was made of it: {said}");
    let missing = said_status.split("missing are ").nth(1).unwrap();
    let names: String = missing.chars().take_while(char::is_ascii_hexdigit).collect();
    server.stop();
    let server = Launch::server(CAIRN, &state, &drives[..1]).args(&["--without", &names]).start();
    let s3 = server.s3();
    assert_eq!(s3.get(BUCKET, "kept").await.ok(), Bytes::from_static(b"on both"));
    done(&server, &["drive", "add", fresh.to_str().unwrap()]);
    server.wait_until_redundant(PATIENCE);
    s3.put(BUCKET, "new", Bytes::from_static(b"on two again")).await.ok();
    server.stop();
}

/// A process of its own, ended when this is dropped.
struct Node(std::process::Child);

impl Node {
    fn start(config: &Path) -> Self {
        let command =
            Command::new(CAIRN).arg("node").arg("--config").arg(config).stdout(std::process::Stdio::null()).spawn();
        Self(command.expect("the program starts"))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        self.0.wait().expect("a killed child ends");
    }
}

/// Ports that nobody listens on a moment from now.
fn free_ports(count: usize) -> Vec<u16> {
    let taken: Vec<_> = (0..count).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    taken.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

/// Asks a node until it is as it should be.
async fn until_node(what: &str, mut ready: impl AsyncFnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !ready().await {
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_becomes_the_first_node_of_a_cluster_with_everything_on_it() {
    let mut generator = Seed::take("from one machine to a cluster").generator();
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    let drives = disks(home.path(), 1..=3);
    let server = Launch::server(CAIRN, &at("state"), &drives).args(&["--form"]).start();
    server.s3().make_bucket(BUCKET).await.ok();
    let mut memory = Memory::default();
    memory.write(&server.s3(), &mut generator, 4, 30).await;
    let key = server.credentials();
    let ports = free_ports(4);
    let address = |port: u16| format!("127.0.0.1:{port}");
    let init = || {
        let mut command = Command::new(CAIRN);
        command.args(["init", "--listen", &address(ports[0]), "--s3", &address(ports[1]), "--out"]).arg(at("etc"));
        command.arg("--from-server").args(&drives).output().unwrap()
    };
    assert!(!init().status.success(), "the machine still runs");
    server.stop();
    let made = init();
    assert!(made.status.success(), "{made:?}");
    refused(&Launch::server(CAIRN, &at("state"), &drives), &["cairn node"]);

    let first = Node::start(&at("etc/node.toml"));
    let s3 = S3::new(&format!("http://{}", address(ports[1])), key.clone());
    until_node("it serves", async || s3.get(BUCKET, &memory.keys()[0]).await.happened()).await;
    memory.verify(&s3).await;
    assert_eq!(listed(&s3).await, memory.keys());
    memory.write(&s3, &mut generator, 4, 20).await;

    // Another machine joins it.
    let text = format!(
        "cluster = 'cluster.json'\ndrives = ['{}']\nlisten = '{}'\nseeds = ['{}']\ns3 = '{}'\n",
        at("other-disk").display(),
        address(ports[2]),
        address(ports[0]),
        address(ports[3])
    );
    fs::write(at("etc/other.toml"), text).unwrap();
    let other = Node::start(&at("etc/other.toml"));
    let there = S3::new(&format!("http://{}", address(ports[3])), key);
    until_node("the other one serves", async || there.get(BUCKET, &memory.keys()[0]).await.happened()).await;
    memory.verify(&there).await;
    assert_eq!(listed(&there).await, memory.keys());
    drop((other, first));
    // And once more, by itself: its place in the cluster is on its drives.
    let first = Node::start(&at("etc/node.toml"));
    until_node("it serves again", async || s3.get(BUCKET, &memory.keys()[0]).await.happened()).await;
    memory.verify(&s3).await;
    assert!(!init().status.success(), "its drives are a node's");
    drop(first);
}
