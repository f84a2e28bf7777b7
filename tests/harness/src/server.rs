//! A server as a process of its own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use cairn::credentials::Credentials;
use rustix::process::{Pid, Signal, kill_process};

use crate::s3::S3;

/// How long a start may take before the test gives up on it. Far more than a start takes, because two cores are shared.
const START_PATIENCE: Duration = Duration::from_secs(180);

/// How long a server may take to end after it was asked.
const STOP_PATIENCE: Duration = Duration::from_secs(60);

/// How a server is started.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The program: `env!("CARGO_BIN_EXE_cairn")`.
    pub program: PathBuf,
    /// Its directory; of `cairn server`, the one for its state.
    pub dir: PathBuf,
    /// The drives of `cairn server`; none for `cairn dev`.
    pub drives: Option<Vec<PathBuf>>,
    /// More arguments.
    pub args: Vec<String>,
    /// More environment.
    pub env: Vec<(String, String)>,
}

impl Launch {
    /// `cairn dev` on a directory.
    pub fn dev(program: &str, dir: &Path) -> Self {
        Self { program: program.into(), dir: dir.to_owned(), drives: None, args: Vec::new(), env: Vec::new() }
    }

    /// `cairn server` on some drives.
    pub fn server(program: &str, state: &Path, drives: &[PathBuf]) -> Self {
        Self { drives: Some(drives.to_vec()), ..Self::dev(program, state) }
    }

    /// With more arguments.
    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|&arg| arg.to_owned()));
        self
    }

    /// With a variable set.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        match &self.drives {
            None => command.arg("dev").arg("--dir").arg(&self.dir),
            Some(drives) => command.arg("server").args(drives).arg("--state").arg(&self.dir),
        };
        command.args(["--listen", "127.0.0.1:0"]).args(&self.args);
        command.env_remove("CAIRN_ROOT_ACCESS_KEY").env_remove("CAIRN_ROOT_SECRET_KEY");
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts it and waits until it serves.
    pub fn start(&self) -> Server {
        let mut child = self
            .command()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the program starts");
        let lines = BufReader::new(child.stdout.take().expect("its output is piped")).lines();
        let (sender, receiver) = mpsc::channel();
        // The pipe is read to its end, so that the server never waits for a full one.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some(at) = line.find("http://") {
                    let endpoint = line[at..].split_whitespace().next().unwrap_or_default().to_owned();
                    // The first address is waited for, others only by who wants them; nobody has to hear.
                    drop(sender.send(endpoint));
                }
            }
        });
        let mut server = Server {
            child,
            endpoint: String::new(),
            addresses: Mutex::new(receiver),
            launch: self.clone(),
            started: Instant::now(),
            took: Duration::ZERO,
        };
        let first = server.next_address(START_PATIENCE);
        match first {
            Ok(endpoint) => server.endpoint = endpoint,
            Err(error) => panic!("the server did not come up: {error}; it ended with {:?}", server.child.try_wait()),
        }
        server.took = server.started.elapsed();
        server
    }

    /// Starts it, expecting that it refuses: its exit status and what it said.
    pub fn start_refused(&self) -> (ExitStatus, String) {
        let output = self.command().stdin(Stdio::null()).output().expect("the program starts");
        (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// A server that runs. Ended, by its pid, when this is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    endpoint: String,
    /// The addresses that it prints, as they come.
    addresses: Mutex<mpsc::Receiver<String>>,
    launch: Launch,
    started: Instant,
    took: Duration,
}

impl Server {
    /// Where it serves S3.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    fn next_address(&self, patience: Duration) -> Result<String, mpsc::RecvTimeoutError> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(patience)
    }

    /// Where it tells metrics, if it was started so. To be asked once.
    pub fn metrics(&self) -> String {
        self.next_address(STOP_PATIENCE).expect("the address of the metrics is printed behind the endpoint")
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.launch.dir
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How long it took from the start of the process to the printed address.
    pub fn took_to_start(&self) -> Duration {
        self.took
    }

    /// Its root key.
    pub fn credentials(&self) -> Credentials {
        Credentials::read(self.dir()).expect("the file is sound").expect("a server writes its credentials")
    }

    /// A client of it.
    pub fn s3(&self) -> S3 {
        S3::new(&self.endpoint, self.credentials())
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id() as i32).expect("a child has a pid");
        kill_process(pid, signal).expect("the child has not been waited for, so its pid is still its own");
    }

    /// Power goes, as far as the process can tell.
    pub fn kill(mut self) -> Launch {
        self.signal(Signal::KILL);
        self.child.wait().expect("a killed child ends");
        self.launch.clone()
    }

    /// The program that it runs.
    pub fn program(&self) -> &Path {
        &self.launch.program
    }

    /// Asks it to end, and waits until it has.
    pub fn stop(mut self) -> (Launch, ExitStatus) {
        let status = self.end();
        (self.launch.clone(), status)
    }

    /// The same, for who keeps it in something else.
    pub(crate) fn end(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        let asked = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            assert!(asked.elapsed() < STOP_PATIENCE, "the server does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Runs `cairn` with a command against it; standard output and the exit code.
    pub fn ask(&self, args: &[&str]) -> (String, i32) {
        let output = Command::new(&self.launch.program)
            .args(args)
            .arg("--dir")
            .arg(self.dir())
            .output()
            .expect("the program starts");
        (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code().unwrap_or(-1))
    }

    /// Waits until `cairn status` says that the data is fully redundant; how long that took.
    pub fn wait_until_redundant(&self, patience: Duration) -> Duration {
        let began = Instant::now();
        loop {
            let (text, _) = self.ask(&["status", "--json"]);
            let status: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            if status["fully_redundant"] == serde_json::Value::Bool(true) {
                return began.elapsed();
            }
            assert!(began.elapsed() < patience, "not fully redundant within {patience:?}: {text}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(Signal::KILL);
            // The child is dead or about to be; nothing is left to do about a failed wait in a test that is over.
            drop(self.child.wait());
        }
    }
}
