//! Kill -9 in the midst of puts and deletes, over and over, on a real process that writes to a real disk.
//!
//! The process is this test once more, told by its environment to write and to say what was acknowledged. Whatever moment it
//! is killed at: what it said is there, what it deleted is not, and nothing that is there is torn.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use cairn_core::clock::SystemClock;
use cairn_core::entropy::SystemEntropy;
use cairn_core::{ChunkName, ChunkStore as _, Clock as _, ClusterId, DriveId, NodeId};
use cairn_journal::files::real::RealFiles;
use cairn_storage_node::conformance::{assert_holds, name, record};
use cairn_storage_node::{ClusterSecret, Drive, DriveDir, DriveOptions, Formation, Identity};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

const DIRECTORY: &str = "CAIRN_KILL_DIRECTORY";
const SEED: &str = "CAIRN_KILL_SEED";

/// Small segments, so that kills also meet sealing and rolling.
fn options() -> DriveOptions {
    DriveOptions { segment_bytes: Some(1 << 20), reserve_bytes: Some(0), ..DriveOptions::default() }
}

fn open(path: &Path) -> Arc<Drive> {
    let dir = DriveDir::open(RealFiles::shared(), path).unwrap();
    Drive::open(Arc::new(dir), &options(), SystemClock::start(), SystemEntropy::shared()).unwrap()
}

/// The length that belongs to a number, the same in both processes.
fn length(counter: u64) -> usize {
    match counter % 16 {
        0 => 300_000,
        1..4 => 40_000,
        _ => (counter * 997 % 9000) as usize,
    }
}

fn chunk(counter: u64) -> ChunkName {
    name(counter, (counter % 6) as u8)
}

/// What the child does, for ever; in any other process it does nothing.
#[test]
fn writer() {
    let Some(path) = std::env::var_os(DIRECTORY).map(PathBuf::from) else { return };
    let seed: u64 = std::env::var(SEED).unwrap().parse().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let drive = open(&path);
        // A line is written whole: a kill cuts between two, and what was said was true.
        let say = |line: String| std::io::stdout().write_all(line.as_bytes()).unwrap();
        let tasks: Vec<_> = (0..8u64)
            .map(|task| {
                let drive = drive.clone();
                tokio::spawn(async move {
                    let mut random = StdRng::seed_from_u64(seed * 8 + task);
                    let mut mine = Vec::new();
                    for turn in 0.. {
                        let counter = seed << 32 | turn << 3 | task;
                        say(format!("try {counter:x}\n"));
                        drive.put(record(chunk(counter), length(counter))).await.unwrap();
                        say(format!("put {counter:x}\n"));
                        mine.push(counter);
                        if random.random_bool(0.4) {
                            let gone = mine.swap_remove(random.random_range(0..mine.len()));
                            say(format!("trydel {gone:x}\n"));
                            assert!(drive.delete(chunk(gone)).await.unwrap());
                            say(format!("del {gone:x}\n"));
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stored,
    Deleted,
    Unknown,
}

/// How long a child may say nothing: it opens a small drive or waits for one sync.
const PATIENCE: Duration = Duration::from_secs(60);

/// Lets a child write until it has acknowledged so much, and kills it; adds what it said. Gives the number of its
/// acknowledgements.
fn live(path: &Path, seed: u64, until: usize, known: &mut BTreeMap<u64, Fate>) -> usize {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writer", "--nocapture", "--test-threads", "1"])
        .env(DIRECTORY, path)
        .env(SEED, seed.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (say, said) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| say.send(line).unwrap()));
    let mut acknowledged = 0;
    let mut hear = |line: &str| {
        let Some((what, counter)) = line.split_once(' ') else { return 0 };
        let Ok(counter) = u64::from_str_radix(counter, 16) else { return 0 };
        let fate = match what {
            "put" => Fate::Stored,
            "del" => Fate::Deleted,
            "try" | "trydel" => Fate::Unknown,
            _ => return 0,
        };
        known.insert(counter, fate);
        usize::from(fate != Fate::Unknown)
    };
    while acknowledged < until {
        match said.recv_timeout(PATIENCE) {
            Ok(line) => acknowledged += hear(&line),
            Err(error) => {
                child.kill().unwrap();
                panic!("the child says nothing more after {acknowledged} acknowledgements: {error}");
            }
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    acknowledged += said.iter().map(|line| hear(&line)).sum::<usize>();
    reader.join().unwrap();
    acknowledged
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let rounds = if std::env::var_os("CAIRN_LONG").is_some_and(|value| value == "1") { 200 } else { 20 };
    let seed = std::env::var("CAIRN_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("CAIRN_SEED={seed} chooses the same moments again, as far as a machine is the same twice");
    let mut random = StdRng::seed_from_u64(seed);
    let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = home.path().join("drive");
    let identity = Identity {
        cluster: ClusterId(1),
        node: NodeId(2),
        drive: DriveId(3),
        state: Formation::Formed,
        created: SystemClock::start().wall(),
        slot: None,
    };
    drop(DriveDir::format(RealFiles::shared(), &path, identity, &ClusterSecret::draw(&SystemEntropy)).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let mut known = BTreeMap::new();
    let mut acknowledged = 0;
    for round in 0..rounds {
        let until = random.random_range(0..300);
        acknowledged += live(&path, round, until, &mut known);
        runtime.block_on(async {
            let drive = open(&path);
            assert_eq!(drive.report().damaged, [], "round {round}");
            let listed = drive.list(None, usize::MAX).await.unwrap();
            let there: BTreeMap<ChunkName, ()> = listed.into_iter().map(|stat| (stat.name, ())).collect();
            for (&counter, fate) in &mut known {
                match (*fate, there.contains_key(&chunk(counter))) {
                    (Fate::Stored, false) => panic!("round {round}: {counter:x} was acknowledged and is lost"),
                    (Fate::Deleted, true) => panic!("round {round}: {counter:x} was deleted and is back"),
                    (_, true) => {
                        assert_holds(&*drive, &record(chunk(counter), length(counter))).await;
                        *fate = Fate::Stored;
                    }
                    (_, false) => *fate = Fate::Deleted,
                }
            }
            assert!(there.len() <= known.len(), "round {round}: nothing is there that nobody put");
            // So that verifying stays quick; every other round ends politely, the others like the child.
            let stored: Vec<u64> = known.iter().filter(|(_, fate)| **fate == Fate::Stored).map(|(&c, _)| c).collect();
            for &counter in stored.iter().rev().skip(40) {
                assert!(drive.delete(chunk(counter)).await.unwrap());
                known.insert(counter, Fate::Deleted);
            }
            if round % 2 == 0 {
                drive.close().await.unwrap();
            }
        });
    }
    println!("{acknowledged} acknowledgements were held against the drive");
}
