//! One machine: its disk, its clock, and the lives of the server on it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cairn::assembly::{Assembly, Parts};
use cairn::dev::directories;
use cairn::history::History;
use cairn_core::entropy::SeededEntropy;
use cairn_core::{Clock, Elapsed, Entropy, WallTime};
use cairn_gateway::GatewayConfig;
use cairn_harness::seed;
use cairn_journal::files::faulty::{FaultPlan, FaultyFiles};
use cairn_journal::{Files, Shell};
use cairn_repair::RepairConfig;
use cairn_rows::MemoryOverlays;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use crate::client::{Client, Ending};
use crate::model::Model;

/// The bucket that everything goes to.
const BUCKET: &str = "simulated";

/// Requests that each of the clients sends in one life.
const REQUESTS: usize = 40;

/// Clients at a time.
const CLIENTS: usize = 3;

/// One of so many requests is a whole upload in parts.
const UPLOADS_ONE_IN: u32 = 50;

/// The least that a part may have which is not the last one.
const PART_BYTES: usize = 5 << 20;

/// How long the data may take to be fully redundant again, in simulated time.
const HEALING: Duration = Duration::from_secs(120);

/// A clock that follows tokio's, which a simulation pauses.
#[derive(Debug)]
struct SimulatedClock {
    start: tokio::time::Instant,
    wall: WallTime,
}

impl Clock for SimulatedClock {
    fn wall(&self) -> WallTime {
        WallTime(self.wall.0 + self.start.elapsed().as_millis() as u64)
    }

    fn elapsed(&self) -> Elapsed {
        Elapsed(self.start.elapsed())
    }
}

/// What outlives a life.
pub struct World {
    /// Decides what happens.
    pub chance: StdRng,
    /// The disk.
    pub files: FaultyFiles,
    /// What happened so far.
    pub trace: Vec<String>,
    entropy: Arc<dyn Entropy>,
    model: Model,
    wall: WallTime,
    has_bucket: bool,
    /// Whether everything was fully redundant when it was last looked at, and no drive was lost since.
    whole: bool,
}

impl World {
    /// A machine that was never started.
    pub fn new(seed: u64) -> Self {
        Self {
            chance: StdRng::seed_from_u64(seed),
            files: FaultyFiles::new(seed, FaultPlan::default()),
            trace: Vec::new(),
            entropy: SeededEntropy::new(seed),
            model: Model::default(),
            wall: WallTime(1_700_000_000_000),
            has_bucket: false,
            whole: false,
        }
    }

    /// Adds a line to what happened.
    pub fn note(&mut self, line: String) {
        if std::env::var_os("CAIRN_SEED").is_some() {
            eprintln!("{line}");
        }
        self.trace.push(line);
    }

    fn dir() -> &'static Path {
        Path::new("/data")
    }

    /// Starts the server, checks everything, works it until it ends. Without faults it is then healed and checked again.
    pub fn live(&mut self, faults: bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let clock = Arc::new(SimulatedClock { start: tokio::time::Instant::now(), wall: self.wall });
            match self.start(clock.clone()).await {
                Ok(assembly) => self.work(assembly, faults).await,
                // The power went during the start: the next one finds what it left.
                Err(error) if faults => self.note(format!("no start: {error:#}")),
                Err(error) => panic!("the server does not start on a sound disk: {error:#}"),
            }
            self.wall = WallTime(clock.wall().0 + 1000);
        });
        // Dropping the runtime drops every task where it stands, as a kill does.
    }

    async fn start(&self, clock: Arc<dyn Clock>) -> anyhow::Result<Assembly> {
        let plan = directories::plan(&self.files, Self::dir(), Some(6))?;
        let parts = Parts {
            files: self.files.shared(),
            overlays: Arc::new(MemoryOverlays),
            clock,
            entropy: self.entropy.clone(),
            shell: Shell::Task,
            history: History::default(),
        };
        Assembly::start(parts, Self::dir(), &plan, None, RepairConfig::default(), GatewayConfig::default()).await
    }

    async fn work(&mut self, assembly: Assembly, faults: bool) {
        let client = Client { gateway: assembly.gateway().clone(), credentials: assembly.credentials().clone() };
        if !self.has_bucket {
            let (status, _) = client.send("PUT", &format!("/{BUCKET}"), "", Bytes::new()).await;
            self.note(format!("bucket: {status}"));
            // 409: an earlier life made it and was cut off before it could say so.
            self.has_bucket = status == 200 || status == 409;
            if !self.has_bucket {
                return;
            }
        }
        if !self.check(&client).await {
            assert!(faults, "reads fail on a sound disk");
            return;
        }
        self.write(&client).await;
        self.whole = self.heals(&assembly).await;
        if faults {
            drop(client);
            if self.chance.random_ratio(1, 2) {
                let stopped = assembly.stop().await;
                self.note(format!("stopped: {}", stopped.is_ok()));
            }
            return;
        }
        assert!(self.whole, "not healed within {HEALING:?} on a sound disk: {:?}", assembly.meter());
        assert!(self.check(&client).await, "reads fail on a healed disk");
        self.audit(&assembly).await;
        drop(client);
        assembly.stop().await.unwrap();
    }

    /// Reads every key that was ever written, and lists. False when the server is not able to any more.
    async fn check(&mut self, client: &Client) -> bool {
        for key in self.model.keys() {
            let (status, body) = client.send("GET", &format!("/{BUCKET}/{key}"), "", Bytes::new()).await;
            match status {
                200 => self.model.read(&key, Some(body)),
                404 => self.model.read(&key, None),
                other => {
                    self.note(format!("reads end with {other}"));
                    return false;
                }
            }
        }
        let (status, body) = client.send("GET", &format!("/{BUCKET}"), "list-type=2", Bytes::new()).await;
        if status != 200 {
            return false;
        }
        let text = String::from_utf8_lossy(&body).into_owned();
        let listed: Vec<&str> = text.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next()).collect();
        assert_eq!(listed, self.model.present(), "a listing sees every acknowledged write");
        true
    }

    async fn write(&mut self, client: &Client) {
        let jobs = (0..CLIENTS).map(|number| {
            let mut own = StdRng::seed_from_u64(self.chance.random());
            async move {
                let mut told = Vec::new();
                for _ in 0..REQUESTS {
                    let key = format!("c{number}-{}", own.random_range(0..8));
                    if own.random_ratio(1, UPLOADS_ONE_IN) {
                        let parts =
                            [PART_BYTES, own.random_range(1..70_000)].map(|length| seed::bytes(&mut own, length));
                        let ends = if own.random_ratio(1, 4) { Ending::Abort } else { Ending::Complete };
                        let (status, decided) = client.upload(&format!("/{BUCKET}/{key}"), &parts, ends).await;
                        let wrote = decided.then(|| Some(Bytes::from(parts.concat())));
                        told.push((key, wrote, status, status == 200));
                        if status >= 500 {
                            break;
                        }
                        continue;
                    }
                    let body = own.random_ratio(4, 5).then(|| {
                        let length = *[0, 1, 700, 4096, 70_000, 1_300_000].choose(&mut own).unwrap();
                        seed::bytes(&mut own, length)
                    });
                    let method = if body.is_some() { "PUT" } else { "DELETE" };
                    let path = format!("/{BUCKET}/{key}");
                    let (status, _) = client.send(method, &path, "", body.clone().unwrap_or_default()).await;
                    let acknowledged = status == 200 || status == 204;
                    told.push((key, Some(body), status, acknowledged));
                    if status >= 500 {
                        break;
                    }
                }
                told
            }
        });
        let told = futures::future::join_all(jobs).await;
        for (key, wrote, status, acknowledged) in told.into_iter().flatten() {
            let length = wrote.as_ref().map(|body| body.as_ref().map(Bytes::len));
            self.trace.push(format!("{key} {length:?} -> {status}"));
            // What was never asked for cannot be there.
            if let Some(body) = wrote {
                self.model.wrote(&key, body, acknowledged);
            }
        }
    }

    /// Liveness: once the faults have stopped, redundancy comes back within a bound. While they have not, it may not; the
    /// power may be off already.
    async fn heals(&mut self, assembly: &Assembly) -> bool {
        let began = tokio::time::Instant::now();
        while began.elapsed() < HEALING {
            let found = assembly.meter().redundancy();
            if found.as_of_index.is_some() && found.stripes_exposed == 0 && found.drives_unlisted == 0 {
                self.note(format!("{} stripes are whole", found.stripes));
                return true;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.note(format!("not healed: {:?}", assembly.meter().redundancy()));
        false
    }

    /// The rows agree with each other: every invariant that can be checked from rows alone.
    async fn audit(&mut self, assembly: &Assembly) {
        let view = assembly.client().read().await.unwrap();
        let findings = cairn_machine::check::check(&view).unwrap();
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// Two drives are gone before the next start, if all that was lost before has been rebuilt: losing more than m drives
    /// loses data, and is no fault of the server.
    pub fn lose_drives(&mut self) {
        if !std::mem::take(&mut self.whole) {
            return;
        }
        let lost: Vec<u16> = [1, 2, 3, 4, 5, 6].sample(&mut self.chance, 2).copied().collect();
        for &number in &lost {
            self.remove(&directories::path(Self::dir(), number));
        }
        self.note(format!("lost drives {lost:?}"));
    }

    fn remove(&self, path: &Path) {
        let Ok(entries) = self.files.list(path) else { return };
        for entry in entries {
            let inside = path.join(&entry.name);
            if entry.is_dir {
                self.remove(&inside);
            } else {
                self.files.remove(&inside).unwrap();
            }
        }
        self.files.sync_dir(path).unwrap();
    }
}
