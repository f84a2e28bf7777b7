//! Placement is deterministic, balanced, spread, and moves little when the topology changes.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::ids::{SessionId, WriteId};

fn stripe(counter: u64) -> StripeId {
    StripeId(WriteId { session: SessionId(0x5eed), counter })
}

/// Ids as unlike each other as real ones are.
fn drive_id(number: u64) -> DriveId {
    DriveId((number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn drive(number: u64, node: u64, zone: &str, weight: u32) -> RingDrive {
    RingDrive { drive: drive_id(number), node: NodeId(node), zone: zone.to_owned(), weight }
}

fn machine(drives: u64) -> Ring {
    Ring::new((0..drives).map(|number| drive(number, 1, "", 100)))
}

fn any(_: DriveId) -> bool {
    true
}

#[test]
fn the_order_in_which_drives_are_named_does_not_matter() {
    let drives: Vec<RingDrive> = (0..20).map(|n| drive(n, n / 4, ["a", "b"][(n % 2) as usize], 1 + n as u32)).collect();
    let forward = Ring::new(drives.clone());
    let backward = Ring::new(drives.into_iter().rev());
    for counter in 0..500 {
        assert_eq!(forward.place(stripe(counter), 6, &any), backward.place(stripe(counter), 6, &any));
    }
}

#[test]
fn placement_is_the_same_in_every_release() {
    // What was placed stays where it is whatever the ring says, but an upgrade that made it say something else would
    // have rebalancing move everything.
    let ring = machine(6);
    let numbers = |counter| -> Vec<u64> {
        let placed = ring.place(stripe(counter), 6, &any).unwrap();
        placed.iter().map(|id| (0..6).find(|&n| drive_id(n) == *id).unwrap()).collect()
    };
    assert_eq!([numbers(0), numbers(1), numbers(2)], KNOWN);
}

const KNOWN: [[u64; 6]; 3] = [[2, 1, 3, 0, 4, 5], [5, 2, 1, 0, 4, 3], [1, 2, 5, 4, 0, 3]];

#[test]
fn shares_follow_the_weights() {
    for drives in (3..=16u64).chain((20..=100).step_by(10)) {
        let weighted = drives >= 40;
        let weight = |number: u64| if weighted { 100 + 50 * (number % 3) as u32 } else { 100 };
        let ring = Ring::new((0..drives).map(|number| drive(number, 1, "", weight(number))));
        let positions = (drives as usize / 2).clamp(1, 6);
        let stripes = 3_000 * drives / positions as u64;
        let mut taken = BTreeMap::new();
        for counter in 0..stripes {
            for id in ring.place(stripe(counter), positions, &any).unwrap() {
                *taken.entry(id).or_insert(0u64) += 1;
            }
        }
        let total: u64 = (0..drives).map(|number| u64::from(weight(number))).sum();
        for number in 0..drives {
            let fair = (stripes * positions as u64 * u64::from(weight(number))) as f64 / total as f64;
            let off = taken[&drive_id(number)] as f64 / fair - 1.0;
            assert!(off.abs() < 0.10, "drive {number} of {drives} is off its share by {:.1} %", off * 100.0);
        }
    }
}

/// The part of all positions that lie elsewhere on another ring.
fn moved(before: &Ring, after: &Ring, positions: usize) -> f64 {
    const STRIPES: u64 = 20_000;
    let mut moved = 0;
    for counter in 0..STRIPES {
        let before: BTreeSet<DriveId> = before.place(stripe(counter), positions, &any).unwrap().into_iter().collect();
        let after: BTreeSet<DriveId> = after.place(stripe(counter), positions, &any).unwrap().into_iter().collect();
        let exchanged = after.difference(&before).count();
        assert!(exchanged <= 1, "one drive more exchanges at most one of a stripe's drives");
        moved += exchanged;
    }
    moved as f64 / (STRIPES as usize * positions) as f64
}

#[test]
fn one_drive_more_or_less_moves_its_own_share() {
    for (drives, positions) in [(4, 3), (6, 6), (12, 6), (30, 12), (99, 6)] {
        let (smaller, larger) = (machine(drives), machine(drives + 1));
        for part in [moved(&smaller, &larger, positions), moved(&larger, &smaller, positions)] {
            assert!(part < 1.2 / drives as f64, "{drives} drives: {part}");
            assert!(part > 0.5 / drives as f64, "{drives} drives: the new one takes its share, not {part}");
        }
    }
}

#[test]
fn a_drive_on_a_node_of_many_moves_its_own_share() {
    let ring = |drives| Ring::new((0..drives).map(|n| drive(n, n % 8, ["a", "b", "c", "d"][n as usize % 4], 100)));
    let part = moved(&ring(40), &ring(41), 6);
    assert!(part < 1.2 / 40.0, "{part}");
}

fn most_on_one<K: Ord>(placed: &[DriveId], of: impl Fn(u64) -> K) -> usize {
    let mut counts = BTreeMap::new();
    for id in placed {
        let number = (0..).find(|&n| drive_id(n) == *id).unwrap();
        *counts.entry(of(number)).or_insert(0) += 1;
    }
    counts.into_values().max().unwrap_or(0)
}

#[test]
fn positions_spread_over_zones_then_nodes_then_drives() {
    let zone = |n: u64| n % 3;
    let node = |n: u64| n % 6;
    let names = ["a", "b", "c"];
    let ring = Ring::new((0..24).map(|n| drive(n, node(n), names[zone(n) as usize], 100)));
    for counter in 0..1_000 {
        let placed = ring.place(stripe(counter), 6, &any).unwrap();
        assert_eq!(placed.iter().collect::<BTreeSet<_>>().len(), 6, "distinct");
        assert_eq!(most_on_one(&placed, zone), 2);
        assert_eq!(most_on_one(&placed, node), 1);
        let placed = ring.place(stripe(counter), 12, &any).unwrap();
        assert_eq!((most_on_one(&placed, zone), most_on_one(&placed, node)), (4, 2));
    }
}

#[test]
fn a_topology_that_leaves_no_choice_is_used_all_the_same() {
    // One node with five drives, one with one: nothing else is possible for 4+2.
    let node = |n: u64| u64::from(n == 5);
    let ring = Ring::new((0..6).map(|n| drive(n, node(n), "", 100)));
    let placed = ring.place(stripe(1), 6, &any).unwrap();
    assert_eq!(placed.iter().collect::<BTreeSet<_>>().len(), 6);
    assert_eq!(most_on_one(&placed, node), 5);
    // With a choice the small node always has its part.
    for counter in 0..200 {
        assert_eq!(most_on_one(&ring.place(stripe(counter), 3, &any).unwrap(), node), 2);
    }
}

#[test]
fn drives_that_cannot_be_used_are_left_out() {
    let ring = machine(7);
    for counter in 0..200 {
        let down = drive_id(counter % 7);
        let placed = ring.place(stripe(counter), 6, &|id| id != down).unwrap();
        assert!(!placed.contains(&down));
        let healthy = ring.place(stripe(counter), 6, &any).unwrap();
        let kept = healthy.iter().filter(|id| placed.contains(id)).count();
        assert!(kept >= 5, "only what was on the lost drive goes elsewhere");
    }
    assert_eq!(
        ring.place(stripe(0), 6, &|id| id.0 > drive_id(2).0).unwrap_err().wanted,
        6,
        "too few drives are an error and not fewer positions"
    );
    assert!(Ring::new([]).place(stripe(0), 1, &any).is_err());
    assert!(Ring::new([drive(1, 1, "", 0)]).place(stripe(0), 1, &any).is_err(), "weight 0 takes nothing");
}

#[test]
fn a_substitute_keeps_the_spread() {
    let node = |n: u64| n / 2;
    let ring = Ring::new((0..8).map(|n| drive(n, node(n), "", 100)));
    for counter in 0..200 {
        let mut placed = ring.place(stripe(counter), 4, &any).unwrap();
        let failed = placed.swap_remove((counter % 4) as usize);
        let substitute = ring.next(stripe(counter), &placed, &|id| id != failed).unwrap();
        assert!(!placed.contains(&substitute) && substitute != failed);
        placed.push(substitute);
        assert_eq!(most_on_one(&placed, node), 1, "the failed drive's node has another drive, and it is taken");
    }
    let all: Vec<DriveId> = (0..8).map(drive_id).collect();
    assert_eq!(ring.next(stripe(0), &all, &any), None);
}
