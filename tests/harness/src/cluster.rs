//! A cluster of real node processes: `cairn dev --processes N`, whose nodes are killed, paused and started again one by one.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cairn::ask::target::{RunningNode, read_nodes};
use cairn::dev::processes::has_ended;
use rustix::process::{Pid, Signal, kill_process};

use crate::s3::S3;
use crate::server::{Launch, Server};

/// How long a node that was started again may take until it serves. It is sent what it missed; two cores are shared.
const RESTART_PATIENCE: Duration = Duration::from_secs(90);

/// How often a file or an answer is looked at that others change.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A running cluster. Every process that was started for it is ended, by its pid, when this is dropped.
#[derive(Debug)]
pub struct Cluster {
    server: Server,
    again: Vec<Child>,
}

/// One of its nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Counted from 1.
    pub number: usize,
    /// Its id.
    pub id: String,
    /// Its process.
    pub pid: u32,
    /// Where it serves S3.
    pub s3: String,
}

impl Cluster {
    /// Starts so many nodes below a directory and waits until all of them serve.
    pub fn start(program: &str, dir: &std::path::Path, processes: usize) -> Self {
        let launch = Launch::dev(program, dir).args(&["--processes", &processes.to_string()]);
        Self { server: launch.start(), again: Vec::new() }
    }

    /// Its nodes, as its file has them now.
    pub fn nodes(&self) -> Vec<Node> {
        let nodes = read_nodes(self.server.dir()).expect("nodes.json is sound");
        let node = |(at, node): (usize, RunningNode)| Node { number: at + 1, id: node.id, pid: node.pid, s3: node.s3 };
        nodes.into_iter().enumerate().map(node).collect()
    }

    /// A client of one node.
    pub fn s3(&self, node: &Node) -> S3 {
        S3::new(&node.s3, self.server.credentials())
    }

    /// Sends a signal to a node.
    pub fn signal(&self, node: &Node, signal: Signal) {
        let pid = i32::try_from(node.pid).ok().and_then(Pid::from_raw).expect("a process has a number");
        kill_process(pid, signal).expect("the node runs");
    }

    /// Power goes, for one node.
    pub fn kill(&mut self, node: &Node) {
        self.signal(node, Signal::KILL);
        // The others are their parent's, which waits for them.
        let began = Instant::now();
        while !has_ended(node.pid) {
            assert!(began.elapsed() < RESTART_PATIENCE, "{node:?} does not die");
            std::thread::sleep(Duration::from_millis(5));
        }
        // Ours are waited for, so that their numbers stay theirs until then.
        for child in &mut self.again {
            if child.id() == node.pid {
                child.wait().expect("a killed child ends");
            }
        }
    }

    /// Starts a node again, with the command that is printed for people, and waits until it has told where it serves.
    pub fn restart(&mut self, node: &Node) -> Node {
        self.restart_all(std::slice::from_ref(node)).remove(0)
    }

    /// Starts several again at once, as after a power cut: none of them serves before a majority is there.
    pub fn restart_all(&mut self, nodes: &[Node]) -> Vec<Node> {
        let pids: Vec<u32> = nodes.iter().map(|node| self.launch(node)).collect();
        let began = Instant::now();
        loop {
            let running = self.nodes();
            let found = pids.iter().map(|pid| running.iter().find(|found| found.pid == *pid).cloned());
            if let Some(found) = found.collect() {
                return found;
            }
            assert!(began.elapsed() < RESTART_PATIENCE, "{nodes:?} do not serve again: {running:?}");
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn launch(&mut self, node: &Node) -> u32 {
        let config: PathBuf = self.server.dir().join(format!("node-{}", node.number)).join("node.toml");
        let mut command = Command::new(self.server.program());
        command.arg("node").arg("--config").arg(config).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().expect("the program starts");
        let pid = child.id();
        self.again.push(child);
        pid
    }

    /// What `cairn status --json` says: whoever answers first.
    pub fn status(&self) -> serde_json::Value {
        let (text, _) = self.server.ask(&["status", "--json"]);
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Runs `cairn` with a command against whoever of them answers; standard output and the exit code.
    pub fn ask(&self, args: &[&str]) -> (String, i32) {
        self.server.ask(args)
    }

    /// The node that leads the log.
    pub fn leader(&self) -> Node {
        let began = Instant::now();
        loop {
            let status = self.status();
            let leads = status["nodes"].as_array().and_then(|nodes| nodes.iter().find(|node| node["leads"] == true));
            if let Some(leader) = leads
                && let Some(found) = self.nodes().into_iter().find(|node| Some(&*node.id) == leader["id"].as_str())
            {
                return found;
            }
            assert!(began.elapsed() < RESTART_PATIENCE, "nobody leads: {status}");
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until the status fulfils something; how long that took.
    pub fn wait_until(&self, what: &str, patience: Duration, fulfils: impl Fn(&serde_json::Value) -> bool) -> Duration {
        let began = Instant::now();
        loop {
            let status = self.status();
            if fulfils(&status) {
                return began.elapsed();
            }
            assert!(began.elapsed() < patience, "not {what} within {patience:?}: {status:#}");
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Asks all of it to end, and waits until it has: the exit status of the process that was started first.
    pub fn stop(mut self) -> std::process::ExitStatus {
        let again = std::mem::take(&mut self.again);
        // Somebody has to take the exit statuses of those started here: their parent waits until they are gone.
        let waiting = again.into_iter().map(|mut child| std::thread::spawn(move || child.wait()));
        let waiting: Vec<_> = waiting.collect();
        let status = self.server.end();
        for thread in waiting {
            drop(thread.join());
        }
        status
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in &mut self.again {
            if matches!(child.try_wait(), Ok(None)) {
                // Paused ones end as well.
                drop(child.kill());
                drop(child.wait());
            }
        }
    }
}
