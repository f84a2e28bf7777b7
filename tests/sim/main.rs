//! The system on simulated disks, networks and clocks: the same parts, the same decisions, no threads. A seed decides
//! everything; a failing one is printed and replayed with `CAIRN_SEED`.
//!
//! - [`world`]: one machine, its lives and its crashes; [`model`] knows what it may hold
//! - [`cluster`]: several machines, the network between them, and clients of all of them
//! - [`client`]: speaks S3 without a socket

#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod client;
mod cluster;
mod model;
mod panics;
mod seeds;
mod world;

use rand::RngExt;

use seeds::{Seeds, on_own_stack};
use world::World;

/// Lives of one simulation: starts that end in a crash or a stop.
const LIVES: u32 = 6;

/// Runs a whole simulation of one machine and returns what happened, line by line.
fn simulate(seed: u64) -> Vec<String> {
    let mut world = World::new(seed);
    for life in 0..LIVES {
        world.note(format!("life {life}"));
        let crash_after = world.chance.random_range(20..4000u64);
        let ends_well = world.chance.random_ratio(1, 4);
        if !ends_well {
            world.files.power_off_after(crash_after);
        }
        world.live(true);
        if !ends_well {
            world.files.crash();
        }
        world.files.stop_faults();
        if world.chance.random_ratio(1, 3) {
            world.lose_drives();
        }
    }
    world.note("the last life".to_owned());
    world.live(false);
    world.trace
}

/// The same seed twice: what happened has to be the same, line by line.
fn must_repeat(seed: u64, simulate: impl Fn(u64) -> Vec<String>) {
    let (first, second) = (simulate(seed), simulate(seed));
    for (line, (a, b)) in first.iter().zip(&second).enumerate() {
        assert_eq!(a, b, "seed {seed}, line {line}");
    }
    assert_eq!(first.len(), second.len());
}

#[test]
fn what_was_acknowledged_survives_every_seed() {
    Seeds { test: "what_was_acknowledged", few: 12, many: 500 }.run(simulate);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    [7, 8].into_iter().for_each(|seed| must_repeat(seed, simulate));
}

#[test]
fn a_leader_whose_calendar_was_ten_years_ahead_leaves_no_trace_but_dates() {
    on_own_stack(cluster::accidents::a_leader_ten_years_ahead);
}

#[test]
fn two_minutes_without_a_quorum_end_no_session() {
    on_own_stack(cluster::accidents::two_minutes_without_a_quorum);
}

#[test]
fn a_cluster_keeps_what_it_acknowledged() {
    Seeds { test: "a_cluster_keeps", few: 200, many: 5_000 }.run(cluster::simulate);
}

#[test]
fn the_same_seed_gives_the_same_cluster() {
    [3, 4].into_iter().for_each(|seed| must_repeat(seed, cluster::simulate));
}
