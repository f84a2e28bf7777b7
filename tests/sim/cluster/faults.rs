//! What goes wrong: a mix that each seed draws, and one fault after the other from it.

use std::time::Duration;

use cairn_cluster::network::simulated::Faults;
use cairn_journal::files::faulty::FaultPlan;
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// One kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Messages are late, streams break, bits flip.
    Weather,
    /// The machines fall into two parts, or some hear each other one way only.
    Partition,
    /// A machine loses its power, at once or in the midst of a write.
    PowerCut,
    /// All machines do.
    Blackout,
    /// A node is ended and started again, as an administrator does.
    Restart,
    /// Reads, writes and syncs of a disk fail.
    DiskErrors,
    /// A disk is full.
    FullDisk,
    /// Somebody sets a calendar.
    ClockJump,
    /// A disk is gone; its machine comes back with an empty one.
    LostDisk,
    /// An operator has a drive take nothing new for a while.
    Draining,
}

const KINDS: [Kind; 10] = [
    Kind::Weather,
    Kind::Partition,
    Kind::PowerCut,
    Kind::Blackout,
    Kind::Restart,
    Kind::DiskErrors,
    Kind::FullDisk,
    Kind::ClockJump,
    Kind::LostDisk,
    Kind::Draining,
];

/// What one seed has to go through.
#[derive(Debug, Clone)]
pub struct Mix {
    /// The kinds of faults.
    pub kinds: Vec<Kind>,
    /// How many of them.
    pub faults: usize,
    /// The longest time between two.
    pub pause: Duration,
}

impl Mix {
    /// Some of all kinds: a world in which everything happens all the time tests little of each.
    pub fn draw(chance: &mut StdRng) -> Self {
        let count = chance.random_range(2..6);
        let kinds: Vec<Kind> = KINDS.sample(chance, count).copied().collect();
        let pause = *[400, 1_500, 4_000].choose(chance).unwrap();
        Self { kinds, faults: chance.random_range(5..14), pause: Duration::from_millis(pause) }
    }

    /// The next fault.
    pub fn next(&self, chance: &mut StdRng) -> (Duration, Kind) {
        let pause = self.pause.mul_f64(chance.random());
        (pause, *self.kinds.choose(chance).unwrap())
    }
}

/// What the network does from now on.
pub fn weather(chance: &mut StdRng) -> Faults {
    let late = *[0, 2, 30, 150].choose(chance).unwrap();
    Faults {
        delay: Duration::ZERO..=Duration::from_millis(late),
        cut_one_in: *[0, 0, 30, 5].choose(chance).unwrap(),
        cut_bytes_max: *[2_000, 100_000].choose(chance).unwrap(),
        flip_one_in: *[0, 0, 3_000].choose(chance).unwrap(),
    }
}

/// What a disk does from now on.
pub fn disk_errors(chance: &mut StdRng) -> FaultPlan {
    let mut some = |most: f64| if chance.random_ratio(1, 2) { chance.random::<f64>() * most } else { 0.0 };
    FaultPlan { read_error: some(0.05), write_error: some(0.02), sync_error: some(0.02), ..FaultPlan::default() }
}
