//! Power cuts anywhere, many lives in a row: what was acknowledged is there, what was not is there whole or not at all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::world::{World, gateway, value_of, write};
use crate::{Client, MetadataNode};

const WRITERS: u64 = 5;
const LIVES: usize = 6;

/// What the writers know: what was acknowledged last, and what was asked for last.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    acknowledged: u64,
    proposed: u64,
}

type Ledger = Arc<Mutex<BTreeMap<u64, Known>>>;

async fn work(client: Client, writer: u64, ledger: Ledger, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed ^ writer);
    loop {
        let value = {
            let mut ledger = ledger.lock().unwrap();
            let known = ledger.entry(writer).or_default();
            known.proposed += 1;
            known.proposed
        };
        // Two registers in one proposal: both change, or neither.
        let pair = vec![write(&format!("{writer}-left"), value), write(&format!("{writer}-right"), value)];
        match client.propose(pair).await {
            Ok(_) => ledger.lock().unwrap().get_mut(&writer).unwrap().acknowledged = value,
            // The power is off.
            Err(_) => return,
        }
        if random.random_ratio(1, 4) {
            tokio::time::sleep(Duration::from_millis(random.random_range(0..50))).await;
        }
    }
}

async fn check(node: &MetadataNode, ledger: &Ledger, seed: u64) {
    let client = gateway(node).await;
    let view = client.read().await.unwrap();
    for (writer, known) in ledger.lock().unwrap().iter_mut() {
        let left = value_of(&view, &format!("{writer}-left")).unwrap_or(0);
        let right = value_of(&view, &format!("{writer}-right")).unwrap_or(0);
        assert_eq!(left, right, "seed {seed}: half of a proposal");
        assert!(left >= known.acknowledged, "seed {seed}: writer {writer} was told {known:?} and finds {left}");
        assert!(left <= known.proposed, "seed {seed}: writer {writer} never wrote {left}");
        // What was found is found again from now on.
        known.acknowledged = left;
    }
    client.close().await;
}

/// Lives until the power goes; a start may be cut short, too.
fn lives(seed: u64) -> Vec<(u64, u64)> {
    let mut world = World::new(seed);
    let mut random = StdRng::seed_from_u64(seed);
    let ledger = Ledger::default();
    let mut trace = Vec::new();
    for _ in 0..LIVES {
        let cut_in_start = random.random_ratio(1, 3);
        if cut_in_start {
            world.files.power_off_after(random.random_range(1..60));
        }
        let changes = random.random_range(1..1500);
        world.live_and_crash(async |world| {
            let Ok(node) = world.start().await else { return };
            if !cut_in_start {
                check(&node, &ledger, seed).await;
                world.files.power_off_after(changes);
            }
            let Ok(client) = node.client(cairn_machine::rows::session::SessionKind::Gateway).await else { return };
            let writers = (0..WRITERS).map(|writer| work(client.clone(), writer, ledger.clone(), seed));
            futures::future::join_all(writers).await;
        });
    }
    world.live(async |world| {
        let node = world.start().await.unwrap_or_else(|error| panic!("seed {seed}: the last start fails: {error}"));
        check(&node, &ledger, seed).await;
        let status = node.status();
        node.close().await.unwrap();
        trace.push((status.applied_index.0, status.run_index.0));
        trace.push((u64::from_be_bytes(status.effects_hash[..8].try_into().unwrap()), world.files.changes()));
    });
    trace
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_comes_in_halves() {
    let first: u64 = std::env::var("CAIRN_SEED").map_or(1000, |seed| seed.parse().unwrap());
    for seed in first..first + 25 {
        let trace = std::panic::catch_unwind(|| lives(seed));
        assert!(trace.is_ok(), "CAIRN_SEED={seed} replays it");
    }
}

#[test]
fn the_same_seed_gives_the_same_lives() {
    assert_eq!(lives(77), lives(77));
}

/// Writes until a merge is done or the power goes. How often the disk was changed until then, and the last value that was
/// acknowledged.
async fn write_until_merged(world: &mut World, power_off_after: Option<u64>) -> (Option<u64>, u64) {
    let node = world.start().await.unwrap();
    let client = gateway(&node).await;
    if let Some(operations) = power_off_after {
        world.files.power_off_after(operations);
    }
    let before = world.files.changes();
    let (mut acknowledged, mut runs) = (0, 0);
    for value in 1..2000 {
        let Ok(_) = client.propose(vec![write(&format!("k{}", value % 90), value), write("last", value)]).await else {
            return (None, acknowledged);
        };
        acknowledged = value;
        let now = node.status().rows.runs;
        if now < runs {
            return (Some(world.files.changes() - before), acknowledged);
        }
        runs = now;
    }
    panic!("two thousand proposals and no merge");
}

#[test]
fn the_power_may_go_at_any_operation_around_a_merge() {
    const SEED: u64 = 50;
    let (merged, _) = World::new(SEED).live(async |world| write_until_merged(world, None).await);
    let merged = merged.expect("nothing cuts the power");
    // The merged run is written, marked, and what it replaces is removed.
    for operations in merged.saturating_sub(120)..merged + 5 {
        let mut world = World::new(SEED);
        let (_, acknowledged) = world.live_and_crash(async |world| write_until_merged(world, Some(operations)).await);
        world.live(async |world| {
            let node = world.start().await.unwrap_or_else(|error| panic!("power off after {operations}: {error}"));
            let last = value_of(&gateway(&node).await.read().await.unwrap(), "last").unwrap();
            assert!(last == acknowledged || last == acknowledged + 1, "after {operations}: {last}, {acknowledged}");
        });
    }
}
