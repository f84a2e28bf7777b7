//! Drives that leave and come back, and what becomes of the data meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use cairn_core::DriveId;
use cairn_erasure::testing::DriveFault;
use cairn_machine::rows::topology::DriveState::{Active, Lost};
use cairn_placement::Packing;
use cairn_repair::{NodeStanding, Redundancy};

use crate::world::{World, run};

const AWAY: Option<DriveFault> = Some(DriveFault::Unavailable);

/// Whether everything is as safe as promised, and all of it in one geometry.
fn all(geometry: &'static str) -> impl Fn(&World, &Redundancy) -> bool {
    move |world, found| {
        let safe = found.stripes_exposed == 0 && found.drives_unlisted == 0;
        safe && world.geometries().keys().eq([geometry]) && found.stripes == world.rows().len() as u64
    }
}

/// Nodes are killed, and stay so beyond the grace time. What follows is the daemon's.
fn kill(world: &World, nodes: &[u64]) {
    world.fault(nodes, AWAY);
    world.nodes(nodes, NodeStanding::Dead);
}

/// They are started again.
fn start(world: &World, nodes: &[u64]) {
    world.fault(nodes, None);
    world.nodes(nodes, NodeStanding::Alive);
}

#[test]
fn two_of_six_lost_become_two_and_two_which_survives_two_more_and_returns() {
    run(async |world| {
        world.fill().await;
        let daemon = world.daemon().await;
        let before = world.until(&daemon, "a first census", all("4+2")).await;
        assert_eq!((before.stripes, before.stripes_reshaped), (15, 0));

        kill(world, &[5, 6]);
        world.put(Packing::Packed, &[("meanwhile", 90_000)]).await;
        let found = world.until(&daemon, "two and two", all("2+2")).await;
        assert_eq!(found.stripes_by_margin, BTreeMap::from([(2, found.stripes)]), "it tolerates two again");
        assert_eq!(found.stripes_reshaped, found.stripes, "and says that it was reshaped");
        assert!(found.stripes < before.stripes, "small stripes were joined: {} of {}", found.stripes, before.stripes);
        assert_eq!((found.stripes_needing_a_drive, found.stripes_to_reshape), (0, 0));
        world.fault(&[1, 2], AWAY);
        world.read_all().await;
        world.fault(&[1, 2], None);

        start(world, &[5, 6]);
        let found = world.until(&daemon, "four and two again", all("4+2")).await;
        assert_eq!((world.state(5), world.state(6), found.stripes_reshaped), (Active, Active, 0));
        world.fault(&[1, 6], AWAY);
        world.read_all().await;
        world.fault(&[1, 6], None);
        assert_eq!(daemon.meter.progress().failures, 0, "{:?}", daemon.meter.progress());
        daemon.daemon.stop().await;
    });
}

#[test]
fn one_of_six_lost_becomes_three_and_two_and_one_of_five_back_is_rebuilt() {
    run(async |world| {
        world.fill().await;
        let daemon = world.daemon().await;
        kill(world, &[2]);
        world.until(&daemon, "three and two", all("3+2")).await;
        world.read_all().await;
        kill(world, &[4]);
        world.until(&daemon, "two and two", all("2+2")).await;
        start(world, &[2]);
        world.until(&daemon, "half the way back", all("3+2")).await;
        assert_eq!((world.state(2), world.state(4)), (Active, Lost));
        world.read_all().await;
        daemon.daemon.stop().await;
    });
}

#[test]
fn suspicion_moves_nothing_and_is_said() {
    run(async |world| {
        world.fill().await;
        let daemon = world.daemon().await;
        world.until(&daemon, "a first census", all("4+2")).await;
        let rows = world.rows();
        world.fault(&[3, 4], AWAY);
        world.nodes(&[3, 4], NodeStanding::Suspect);
        let found = world.until(&daemon, "news of it", |_, found| found.drives_unlisted == 2).await;
        assert_eq!(found.positions_unreachable, 2 * found.stripes);
        assert_eq!((found.positions_missing, found.stripes_exposed, found.stripes_lost), (0, found.stripes, 0));
        assert_eq!(found.stripes_by_margin, BTreeMap::from([(0, found.stripes)]), "at risk, so nobody counts on them");
        // Writes go on in what fits.
        world.put(Packing::Packed, &[("meanwhile", 200_000)]).await;
        tokio::time::sleep(Duration::from_secs(900)).await;
        let after = world.rows();
        assert!(rows.iter().all(|(id, row)| after.get(id) == Some(row)), "nothing was moved");
        assert_eq!(world.geometries()["2+2"], 1);
        world.read_all().await;
        start(world, &[3, 4]);
        world.until(&daemon, "all well", all("4+2")).await;
        assert_eq!((world.state(3), world.state(4)), (Active, Active));
        daemon.daemon.stop().await;
    });
}

#[test]
fn when_three_of_six_vanish_nothing_is_declared_and_it_is_said_why() {
    run(async |world| {
        world.fill().await;
        let daemon = world.daemon().await;
        world.until(&daemon, "a first census", all("4+2")).await;
        let rows = world.rows();
        kill(world, &[2, 3, 4]);
        let found = world.until(&daemon, "what is out of reach", |_, found| found.drives_unlisted == 3).await;
        assert_eq!((found.stripes_lost, found.stripes_unreachable), (0, rows.len() as u64));
        tokio::time::sleep(Duration::from_secs(900)).await;
        let held = daemon.meter.progress().held.unwrap();
        assert!(held.contains("3 nodes or zones are silent at once"), "{held}");
        assert_eq!((world.state(2), world.state(3), world.state(4)), (Active, Active, Active));
        assert_eq!(world.rows(), rows);
        // It was a switch.
        start(world, &[2, 3, 4]);
        world.until(&daemon, "all well", all("4+2")).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(daemon.meter.progress().held, None);
        assert_eq!(world.rows(), rows, "a node that comes back costs nothing but a census");
        world.read_all().await;
        daemon.daemon.stop().await;
    });
}

#[test]
fn what_fits_nowhere_waits_for_a_drive_and_is_rebuilt_when_it_comes() {
    run(async |world| {
        world.fill().await;
        let daemon = world.daemon().await;
        kill(world, &[3, 4]);
        world.until(&daemon, "two and two", all("2+2")).await;
        world.fault(&[5, 6], AWAY);
        world.declare(&[5, 6], Active, Lost).await;
        daemon.daemon.wake();
        let all_wait = |_: &World, found: &Redundancy| found.stripes_needing_a_drive == found.stripes;
        let found = world.until(&daemon, "the need of a drive", all_wait).await;
        assert_eq!(found.stripes_by_margin, BTreeMap::from([(0, found.stripes)]));
        world.read_all().await;
        // Its chunks are there still; the fourth position of each stripe has no drive.
        start(world, &[5]);
        world.until(&daemon, "one and two", all("1+2")).await;
        world.read_all().await;
        daemon.daemon.stop().await;
    });
}

#[test]
fn what_a_drive_held_before_it_was_lost_is_collected_when_it_is_back() {
    run(async |world| {
        world.fill().await;
        let daemon = world.daemon().await;
        kill(world, &[5, 6]);
        world.until(&daemon, "two and two", all("2+2")).await;
        let held = world.drives.drive(DriveId(5)).names().len();
        assert_eq!(held, 15, "it was away when its chunks became garbage");
        start(world, &[5, 6]);
        world.until(&daemon, "four and two", all("4+2")).await;
        let clean = |world: &World| {
            let named = world.rows().len();
            world.drives.each.iter().all(|drive| drive.names().len() == named)
        };
        let began = tokio::time::Instant::now();
        while !clean(world) {
            assert!(began.elapsed() < Duration::from_secs(3600), "nobody collects what is left");
            // A run holds what was deleted once it is cut, and it is cut when garbage is ten minutes old.
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
        world.read_all().await;
        daemon.daemon.stop().await;
    });
}
