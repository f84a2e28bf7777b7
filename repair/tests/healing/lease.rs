//! One daemon acts, all others follow.

use std::time::Duration;

use cairn_erasure::testing::DriveFault;
use cairn_machine::rows::topology::DriveState::Active;
use cairn_placement::Packing;
use cairn_repair::{Leadership, NodeStanding, Redundancy};

use crate::world::{NODE, run};

#[test]
fn without_the_lease_nothing_is_done_and_nothing_is_known() {
    run(async |world| {
        world.fill().await;
        let first = world.daemon().await;
        world.until(&first, "a first census", |_, found| found.stripes_exposed == 0).await;
        let second = world.daemon().await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(first.meter.leadership(), Leadership::Leading);
        let Leadership::Following(leader) = second.meter.leadership() else { panic!("{:?}", second.meter) };
        assert_eq!(leader.node, NODE);
        assert_eq!(second.meter.redundancy(), Redundancy::default(), "what it does not count it does not tell");
        assert_eq!(second.meter.progress().passes, 0);

        // Its own wake changes nothing; the leader's end does.
        second.daemon.wake();
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(second.meter.progress().passes, 0);
        first.daemon.stop().await;
        let found = world.until(&second, "a census by the next one", |_, found| found.stripes_exposed == 0).await;
        assert_eq!(second.meter.leadership(), Leadership::Leading);
        assert_eq!(found.stripes, 15);
        second.daemon.stop().await;
    });
}

#[test]
fn the_next_one_goes_on_where_the_last_one_ended() {
    run(async |world| {
        world.fill().await;
        let first = world.daemon().await;
        world.until(&first, "a first census", |_, found| found.stripes_exposed == 0).await;
        let second = world.daemon().await;
        world.fault(&[2, 6], Some(DriveFault::Unavailable));
        world.nodes(&[2, 6], NodeStanding::Dead);
        while world.state(6) == Active {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        world.put(Packing::Packed, &[("meanwhile", 5000)]).await;
        tokio::time::sleep(Duration::from_secs(8)).await;
        assert_eq!(world.geometries()["4+2"], 15);
        first.daemon.stop().await;
        // The ten seconds are counted by the log, so a new leader does not begin them again.
        let began = tokio::time::Instant::now();
        let found = world.until(&second, "two and two", |world, found| {
            found.stripes_exposed == 0 && world.geometries().keys().eq(["2+2"])
        });
        let found = found.await;
        assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
        assert_eq!(found.stripes_reshaped, found.stripes);
        world.read_all().await;
        second.daemon.stop().await;
    });
}
