//! Several machines, the network between them, and clients of all of them.
//!
//! ```text
//! from a formed cluster, or from nothing: faults, one after the other | clients at work | a watch on every node
//!   -> the faults stop -> all serve again, in time -> all is redundant again, in time -> what was seen has an order
//! ```
//!
//! - [`machine`]: a disk, clocks, and the lives of a node; [`power`] and [`clock`] are what it has of its own
//! - [`accidents`]: stories that are told and not drawn
//! - [`faults`]: what goes wrong; [`workload`]: what is asked for; [`watch`]: what must hold meanwhile

pub mod accidents;
mod clock;
mod faults;
mod machine;
mod power;
mod trace;
mod watch;
mod workload;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::future::Future;
use std::rc::Rc;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use cairn_cluster::network::simulated::{Faults, SimulatedNetwork};
use cairn_journal::files::faulty::{FaultPlan, Snapshot};
use cairn_machine::rows::topology::{DriveRow, DriveState};
use cairn_machine::{Operation, Outcome};
use cairn_repair::census::drive_states;
use futures::future::{Either, join_all, select};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use tokio::time::{Instant, sleep, timeout};

use crate::panics;
use clock::MachineClock;
use faults::{Kind, Mix};
use machine::{Machine, Running, Site, ip};
use trace::Trace;
use watch::Watch;
use workload::{BUCKET, Workload};

/// Clients at a time.
const CLIENTS: u64 = 4;

/// How long the nodes may take to form a cluster in which as many vote as should, on a network that is only slow.
const FORMING: Duration = Duration::from_secs(120);

/// How long they may take until all serve after the last fault.
const SERVING: Duration = Duration::from_secs(60);

/// How long the data may take to be fully redundant again after that.
const HEALING: Duration = Duration::from_secs(180);

/// How often it is looked whether something has come about.
const LOOK: Duration = Duration::from_millis(250);

/// How long clients go on after the last fault.
const AFTERWARDS: Duration = Duration::from_secs(5);

/// Machines whose disk is lost in one life. More are lost only where everything was redundant in between.
const LOST_DISKS_MAX: usize = 1;

/// Runs the simulation of a seed and returns what happened, line by line.
pub fn simulate(seed: u64) -> Vec<String> {
    tell_if_asked();
    let machines = if seed.is_multiple_of(4) { 6 } else { 5 };
    let formed = (!seed.is_multiple_of(10)).then(|| formed(machines));
    run(seed, machines, formed, async |world| world.go_through_faults().await).0
}

/// The disks of a cluster that was formed without faults and stopped. It is the same for all seeds, and made once.
fn formed(machines: usize) -> Vec<Snapshot> {
    static FORMED: [OnceLock<Mutex<Vec<Snapshot>>>; 2] = [const { OnceLock::new() }; 2];
    let formed = FORMED[usize::from(machines == 6)].get_or_init(|| {
        let (_, disks) = run(0, machines, None, async |world| world.only_form().await);
        Mutex::new(disks)
    });
    formed.lock().unwrap().clone()
}

/// With `RUST_LOG` everything that the nodes say is told.
fn tell_if_asked() {
    static TOLD: OnceLock<()> = OnceLock::new();
    if std::env::var_os("RUST_LOG").is_some() {
        TOLD.get_or_init(|| {
            let filter = tracing_subscriber::EnvFilter::from_default_env();
            tracing_subscriber::fmt().with_env_filter(filter).without_time().with_writer(std::io::stderr).init();
        });
    }
}

/// Runs a story on machines of its own. What happened, and what is on the disks in the end.
fn run(
    seed: u64,
    machines: usize,
    disks: Option<Vec<Snapshot>>,
    story: impl AsyncFnOnce(&World),
) -> (Vec<String>, Vec<Snapshot>) {
    panics::watch();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let ended = runtime.block_on(async {
        let world = World::new(seed, machines, disks);
        let lives = join_all(world.machines.iter().map(|machine| machine.live()));
        let story = Box::pin(async {
            story(&world).await;
            assert!(panics::first().is_empty(), "a task has panicked: {}", panics::first());
        });
        match select(story, Box::pin(lives)).await {
            Either::Left(_) => {}
            Either::Right(_) => panic!("the life of a machine never ends"),
        }
        let disks = world.machines.iter().map(|machine| machine.disk().snapshot()).collect();
        (world.site.trace.take(), disks)
    });
    drop(runtime);
    ended
}

/// All of it.
struct World {
    site: Rc<Site>,
    machines: Vec<Rc<Machine>>,
    chance: RefCell<StdRng>,
    workload: Workload,
    watch: RefCell<Watch>,
    /// When clients go home.
    until: Cell<Option<Instant>>,
    lost_disks: Cell<usize>,
    /// Machines whose disks have failed since they were last started.
    mistrusted: RefCell<BTreeSet<usize>>,
}

impl World {
    fn new(seed: u64, machines: usize, disks: Option<Vec<Snapshot>>) -> Self {
        let mut chance = StdRng::seed_from_u64(seed);
        let network = SimulatedNetwork::new(chance.random());
        let site = Rc::new(Site { seed, machines, network, trace: Trace::begin() });
        let mut disks: Vec<Option<Snapshot>> = match disks {
            Some(disks) => disks.into_iter().map(Some).collect(),
            None => vec![None; machines],
        };
        let machine = |number: usize| {
            let clock = MachineClock::new(chance.random_range(-60_000..60_000), chance.random_range(-200..200));
            Rc::new(Machine::new(number, site.clone(), clock, disks[number].take()))
        };
        let machines = (0..machines).map(machine).collect();
        let (workload, watch) = (Workload::default(), RefCell::default());
        let (until, lost_disks, mistrusted) = (Cell::new(None), Cell::new(0), RefCell::default());
        Self { site, machines, chance: RefCell::new(chance), workload, watch, until, lost_disks, mistrusted }
    }

    fn note(&self, line: &str) {
        self.site.trace.note(line);
    }

    fn draw<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        draw(&mut self.chance.borrow_mut())
    }

    /// Waits until something has come about; panics when it takes too long.
    async fn within<T>(&self, longest: Duration, what: &str, done: impl Future<Output = T>) -> T {
        match timeout(longest, done).await {
            Ok(done) => done,
            Err(_) => panic!("not within {longest:?}: {what}"),
        }
    }

    async fn only_form(&self) {
        self.form().await;
        self.machines.iter().for_each(|machine| machine.stop());
        while self.machines.iter().any(|machine| machine.running().is_some()) {
            sleep(LOOK).await;
        }
        // What stops last says goodbye to nobody, and takes its time.
        sleep(Duration::from_secs(30)).await;
    }

    /// Starts all machines and waits until they are a cluster with a bucket.
    async fn form(&self) {
        self.machines.iter().for_each(|machine| machine.start());
        self.within(FORMING, "a cluster forms", async {
            let geometry = if self.machines.len() == 6 { "4+2" } else { "2+2" };
            loop {
                let running = join_all(self.machines.iter().map(|machine| machine.runs())).await;
                let status = self.status(&running[0]).await;
                if status.is_some_and(|status| status["metadata"]["voters"] == 5 && status["standard"] == geometry) {
                    break;
                }
                sleep(LOOK).await;
            }
            loop {
                let running = self.machines[0].runs().await;
                let (status, _) = running.s3.send("PUT", &format!("/{BUCKET}"), "", Bytes::new()).await;
                if status == 200 || status == 409 {
                    break;
                }
                sleep(LOOK).await;
            }
        })
        .await;
        self.note("a cluster was formed");
    }

    /// What a node answers to `cairn status`; nothing where it cannot.
    async fn status(&self, running: &Running) -> Option<serde_json::Value> {
        let (status, body) = running.s3.send("GET", cairn::admin::STATUS_PATH, "", Bytes::new()).await;
        if status == 200 { Some(serde_json::from_slice(&body).unwrap()) } else { None }
    }

    async fn go_through_faults(&self) {
        let mix = self.draw(Mix::draw);
        self.note(&format!("{mix:?}"));
        if self.site.seed.is_multiple_of(10) {
            let late = Duration::from_millis(self.draw(|chance| chance.random_range(0..40)));
            self.site.network.set_faults(Faults { delay: Duration::ZERO..=late, ..Faults::default() });
            self.form().await;
        }
        let faults = async {
            for _ in 0..mix.faults {
                let (pause, kind) = self.draw(|chance| mix.next(chance));
                sleep(pause).await;
                self.fault(kind).await;
                assert!(panics::first().is_empty(), "a task has panicked: {}", panics::first());
            }
            self.stop_faults().await;
        };
        self.at_work(faults).await;
    }

    /// All machines run, clients are at work and everything is watched while a story is told. In the end everything that must
    /// hold is looked at.
    async fn at_work(&self, told: impl Future<Output = ()>) {
        self.machines.iter().for_each(|machine| machine.start());
        let customers = (0..CLIENTS).map(|number| {
            let chance = StdRng::seed_from_u64(self.draw(|chance| chance.random()));
            self.workload.customer(number, &self.machines, chance, &self.until, &self.site.trace)
        });
        let customers = join_all(customers);
        let story = async {
            self.within(SERVING, "all serve at first", self.all_serve()).await;
            told.await;
            let began = Instant::now();
            self.within(SERVING, "all serve after the faults", self.all_serve()).await;
            self.note(&format!("all serve after {:?}", began.elapsed()));
            self.until.set(Some(Instant::now() + AFTERWARDS));
        };
        let watching = Box::pin(self.keep_watch());
        match select(Box::pin(async { futures::join!(story, customers) }), watching).await {
            Either::Left(_) => {}
            Either::Right(_) => panic!("the watch never ends"),
        }
        self.check_the_end().await;
    }

    /// What must hold at every moment.
    async fn keep_watch(&self) {
        let mut turn = 0;
        loop {
            sleep(LOOK).await;
            turn += 1;
            self.look(turn);
        }
    }

    fn look(&self, turn: usize) {
        let mut watch = self.watch.borrow_mut();
        for machine in &self.machines {
            if let Some(running) = machine.running() {
                watch.hear(machine.number, &running);
            }
        }
        if let Some(running) = self.machines[turn % self.machines.len()].running() {
            watch.look(&running.log.read_stale());
        }
    }

    /// Every machine runs a node, and every node reads through the log.
    async fn all_serve(&self) {
        let serves = async |machine: &Machine| {
            loop {
                let running = machine.runs().await;
                if running.log.read().await.is_ok() {
                    return;
                }
                sleep(LOOK).await;
            }
        };
        join_all(self.machines.iter().map(|machine| serves(machine))).await;
    }

    fn some_machine(&self) -> &Rc<Machine> {
        let number = self.draw(|chance| chance.random_range(0..self.machines.len()));
        &self.machines[number]
    }

    async fn fault(&self, kind: Kind) {
        let network = &self.site.network;
        match kind {
            Kind::Weather => {
                let weather = self.draw(faults::weather);
                self.note(&format!("weather: {weather:?}"));
                network.set_faults(weather);
            }
            Kind::Partition => self.partition(),
            Kind::PowerCut => {
                let off = self.machines.iter().filter(|machine| !machine.is_wanted()).count();
                let machine = self.some_machine();
                if !machine.is_wanted() {
                    self.note(&format!("machine {} gets its power back", machine.number));
                    machine.start();
                } else if off < 2 {
                    let later = self.draw(|chance| chance.random_range(0..60));
                    self.note(&format!("machine {} is to lose its power after {later} writes", machine.number));
                    if later == 0 { machine.cut() } else { machine.cut_after(later) }
                }
            }
            Kind::Blackout => {
                self.note("a blackout");
                self.machines.iter().for_each(|machine| machine.cut());
                sleep(Duration::from_millis(self.draw(|chance| chance.random_range(1..3_000)))).await;
                for machine in &self.machines {
                    sleep(Duration::from_millis(self.draw(|chance| chance.random_range(0..800)))).await;
                    machine.start();
                }
            }
            Kind::Restart => {
                let machine = self.some_machine();
                self.note(&format!("machine {} is restarted", machine.number));
                machine.stop();
                sleep(Duration::from_millis(self.draw(|chance| chance.random_range(0..4_000)))).await;
                machine.start();
            }
            Kind::DiskErrors => {
                let machine = self.some_machine();
                let plan = self.draw(faults::disk_errors);
                self.note(&format!("the disk of machine {}: {plan:?}", machine.number));
                self.mistrusted.borrow_mut().insert(machine.number);
                machine.plan(plan);
            }
            Kind::FullDisk => {
                let machine = self.some_machine();
                let left = self.draw(|chance| chance.random_range(0..20 << 20));
                self.note(&format!("the disk of machine {} has {left} bytes left", machine.number));
                self.mistrusted.borrow_mut().insert(machine.number);
                machine.plan(FaultPlan { capacity_bytes: machine.used_bytes() + left, ..FaultPlan::default() });
            }
            Kind::ClockJump => {
                let by = *self.draw(|chance| {
                    [-86_400_000, -3_600_000, -5_000, 5_000, 3_600_000, 86_400_000_i64].choose(chance).unwrap()
                });
                let machine = self.some_machine();
                self.note(&format!("the calendar of machine {} is set by {by} ms", machine.number));
                machine.clock.jump(by);
            }
            Kind::LostDisk => self.lose_a_disk().await,
            Kind::Draining => self.drain().await,
        }
    }

    /// Some are parted from the rest, one does not hear another, or all hear each other again.
    fn partition(&self) {
        let (network, count) = (&self.site.network, self.machines.len());
        network.heal();
        match self.draw(|chance| chance.random_range(0..4)) {
            0 => self.note("everyone hears everyone"),
            1 => {
                let (from, to) = self.draw(|chance| (chance.random_range(0..count), chance.random_range(1..count)));
                let to = (from + to) % count;
                self.note(&format!("machine {to} does not hear machine {from}"));
                network.block(ip(from), ip(to));
            }
            _ => {
                let apart: Vec<usize> = self.draw(|chance| {
                    let some = chance.random_range(1..=count / 2);
                    let all: Vec<usize> = (0..count).collect();
                    all.sample(chance, some).copied().collect()
                });
                self.note(&format!("machines {apart:?} are parted from the rest"));
                for &one in &apart {
                    for other in (0..count).filter(|other| !apart.contains(other)) {
                        network.part(ip(one), ip(other));
                    }
                }
            }
        }
    }

    /// A machine comes back with an empty disk. Two losses are what data and log survive; here it is one at a time.
    async fn lose_a_disk(&self) {
        if self.lost_disks.get() == LOST_DISKS_MAX {
            return;
        }
        self.lost_disks.set(self.lost_disks.get() + 1);
        let machine = self.some_machine();
        self.note(&format!("machine {} loses its disk", machine.number));
        machine.cut();
        // Its life has to end before another disk can be put in.
        sleep(Duration::from_millis(1)).await;
        machine.replace_disk();
        sleep(Duration::from_millis(self.draw(|chance| chance.random_range(0..9_000)))).await;
        machine.start();
    }

    /// A drive takes nothing new, or may again.
    async fn drain(&self) {
        let Some(running) = self.some_machine().running() else { return };
        let drives: Vec<_> = drive_states(&running.log.read_stale()).unwrap().into_iter().collect();
        let Some((drive, row)) = self.draw(|chance| drives.choose(chance).cloned()) else { return };
        let to = match row.state {
            DriveState::Active => DriveState::Draining,
            DriveState::Draining => DriveState::Active,
            DriveState::Lost | DriveState::Removed => return,
        };
        let change = Operation::SetDriveState { drive, from: row.state, to };
        let answered = timeout(Duration::from_secs(2), running.log.propose(vec![change])).await;
        self.note(&format!("drive {drive} is to be {to:?}: {}", matches!(answered, Ok(Ok(_)))));
    }

    /// Everything that can be mended is.
    async fn stop_faults(&self) {
        self.note("the faults stop");
        self.site.network.set_faults(Faults::default());
        self.site.network.heal();
        for machine in &self.machines {
            let disk = machine.disk();
            disk.stop_faults();
            disk.set_plan(FaultPlan::default());
        }
        // A disk that has failed is not trusted before its machine was restarted; that is somebody's to do.
        let mistrusted = self.mistrusted.take();
        mistrusted.iter().for_each(|&number| self.machines[number].cut());
        sleep(LOOK).await;
        self.machines.iter().for_each(|machine| machine.start());
    }

    /// What must hold in the end.
    async fn check_the_end(&self) {
        let answered = self.workload.answered();
        self.note(&format!("{answered} of {} were answered", self.workload.history.len()));
        self.within(SERVING, "drives take data again", self.fill()).await;
        for machine in &self.machines {
            let running = machine.runs().await;
            let all = self.workload.read_all(CLIENTS, &running).await;
            assert!(all, "machine {} does not read everything although nothing is wrong", machine.number);
        }
        if let Err(violation) = self.workload.history.check() {
            panic!("invariant 3 (per key the history is linearizable): {violation}");
        }
        let began = Instant::now();
        let last = RefCell::new(String::new());
        let now = self.machines[0].runs().await.metadata.status().applied_index.0;
        let whole = timeout(HEALING, self.all_whole(now, &last)).await;
        assert!(whole.is_ok(), "not fully redundant within {HEALING:?}: {}", last.borrow());
        self.note(&format!("fully redundant after {:?}", began.elapsed()));
        self.within(SERVING, "all have the same rows", self.same_rows()).await;
        (0..self.machines.len()).for_each(|turn| self.look(turn));
        assert!(self.workload.read_all(CLIENTS, &self.machines[0].runs().await).await, "reads fail in the end");
        if let Err(violation) = self.workload.history.check() {
            panic!("invariant 3 (per key the history is linearizable): {violation}");
        }
    }

    /// Drives that were to take nothing may take data again.
    async fn fill(&self) {
        let draining = |(_, row): &(_, DriveRow)| row.state == DriveState::Draining;
        loop {
            let running = self.machines[0].runs().await;
            let Ok(view) = running.log.read().await else { continue };
            let drives: Vec<_> = drive_states(&view).unwrap().into_iter().filter(draining).collect();
            drop(view);
            if drives.is_empty() {
                return;
            }
            let active = |(drive, row): &(_, DriveRow)| Operation::SetDriveState {
                drive: *drive,
                from: row.state,
                to: DriveState::Active,
            };
            let outcomes = running.log.propose(drives.iter().map(active).collect()).await;
            if outcomes.is_ok_and(|outcomes| outcomes.iter().all(|outcome| *outcome == Outcome::Done)) {
                return;
            }
            sleep(LOOK).await;
        }
    }

    /// Every node says that all is well, as of this index of the log or a later one.
    async fn all_whole(&self, index: u64, last: &RefCell<String>) {
        loop {
            let mut whole = true;
            for machine in &self.machines {
                let status = self.status(&machine.runs().await).await;
                let sound = status.as_ref().is_some_and(|status| {
                    let metadata = &status["metadata"];
                    let counted = status["data"]["as_of_index"].as_u64().is_some_and(|counted| counted >= index);
                    counted && status["fully_redundant"] == true && metadata["voters"] == metadata["voters_wanted"]
                });
                if !sound {
                    let status = status.unwrap_or_default();
                    last.replace(format!(
                        "machine {}: {} {} {} {}",
                        machine.number, status["reasons"], status["data"], status["metadata"], status["repair"]
                    ));
                    whole = false;
                    break;
                }
            }
            if whole {
                return;
            }
            sleep(LOOK).await;
        }
    }

    /// All nodes have applied the same, and have the same rows.
    async fn same_rows(&self) {
        loop {
            let mut applied = Vec::new();
            for machine in &self.machines {
                applied.push(machine.runs().await.metadata.status().applied_index);
            }
            if applied.iter().all(|index| *index == applied[0]) {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}
