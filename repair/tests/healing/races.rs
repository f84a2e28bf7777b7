//! Re-encoding while objects are written over and deleted, and re-encoding that is cut off anywhere.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use cairn_core::{Geometry, WallTime};
use cairn_erasure::testing::DriveFault;
use cairn_machine::rows::topology::DriveState::{Active, Lost};
use cairn_placement::{Packing, Stripes};
use cairn_repair::RepairConfig;
use cairn_repair::census::{self, Scope};
use cairn_repair::execute::reshape::reshape;
use cairn_repair::plan::{Plan, Reshape, batches, check};
use cairn_repair::sightings::Sightings;

use crate::world::{World, run};

/// What a daemon would plan an hour from now.
async fn plan(world: &World) -> Plan {
    let view = world.client.read().await.unwrap();
    let config = RepairConfig::for_dev();
    let now = WallTime(world.clock.wall().0 + 3_600_000);
    let (damaged, sightings) = (BTreeSet::new(), Sightings::default());
    let scope = Scope { drives: &world.drives.drives, damaged: &damaged, now, sightings: &sightings, config: &config };
    let plan = census::take(&view, scope).await.unwrap().plan;
    check(&plan).unwrap();
    plan
}

async fn two_are_lost(world: &mut World) -> Vec<Vec<Reshape>> {
    world.fill().await;
    world.fault(&[2, 3], Some(DriveFault::Unavailable));
    world.declare(&[2, 3], Active, Lost).await;
    let plan = plan(world).await;
    assert_eq!((plan.reshapes.len(), plan.rebuilds.len()), (15, 0));
    batches(plan.reshapes)
}

/// Goes on until nothing is left to be re-encoded.
async fn finish(world: &World) {
    let two_and_two: Geometry = "2+2".parse().unwrap();
    for batch in batches(plan(world).await.reshapes) {
        let done = reshape(&world.stripes, &batch).await;
        assert!(done.failures.is_empty(), "{:?}", done.failures);
    }
    assert!(world.rows().values().all(|row| row.shape.geometry == two_and_two), "{:?}", world.geometries());
    world.read_all().await;
    world.audit();
}

/// How many times a re-encoding is polled before something happens to it: about as often as it waits for anything.
const MOMENTS: usize = 24;

/// Polls a future so often; what came of it, if it is done by then.
async fn advance<F: Future>(mut future: Pin<&mut F>, polls: usize) -> Option<F::Output> {
    let mut left = polls;
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

async fn reshape_all(stripes: &Stripes, plan: &[Vec<Reshape>]) {
    for batch in plan {
        let done = reshape(stripes, batch).await;
        assert!(done.failures.is_empty(), "{:?}", done.failures);
    }
}

#[test]
fn what_is_written_over_or_deleted_meanwhile_stays_so() {
    let mut overtaken = 0;
    for moment in (0..MOMENTS).step_by(3) {
        run(async |world| {
            let plan = two_are_lost(world).await;
            let stripes = &another(world);
            let mut reshaping = pin!(reshape_all(stripes, &plan));
            let ended = advance(reshaping.as_mut(), moment).await.is_some();
            world.delete("small-0").await;
            world.put(Packing::Packed, &[("small-1", 3), ("small-7", 70_000), ("small-59", 10)]).await;
            for key in ["small-20", "small-21", "small-22", "small-23", "small-24", "large-1"] {
                world.delete(key).await;
            }
            world.put(Packing::Large, &[("large-0", 1_200_000)]).await;
            if !ended {
                overtaken += 1;
                reshaping.await;
            }
            world.read_all().await;
            world.audit();
            finish(world).await;
        });
    }
    assert!(overtaken > 1, "it was overtaken in the middle");
}

/// A second maker of stripes, as the daemon is beside a gateway.
fn another(world: &World) -> Stripes {
    let Stripes { client, pool, drives, reader, clock, .. } = &world.stripes;
    Stripes::new(client.clone(), drives.clone(), pool.clone(), reader.clone(), clock.clone())
}

#[test]
fn what_is_cut_off_anywhere_is_done_again_without_harm() {
    let mut cut_off = 0;
    for moment in (0..MOMENTS).step_by(3) {
        run(async |world| {
            let plan = two_are_lost(world).await;
            {
                // Dropped where it stands, as by a kill.
                let reshaping = pin!(reshape_all(&world.stripes, &plan));
                cut_off += usize::from(advance(reshaping, moment).await.is_none());
            }
            // Whatever was proposed before the end may still be on its way.
            tokio::time::sleep(Duration::from_secs(1)).await;
            world.read_all().await;
            world.audit();
            finish(world).await;
            // The plan of before names stripes that are gone.
            for batch in &plan {
                let done = reshape(&world.stripes, batch).await;
                assert_eq!((done.stripes, done.extents, done.failures.len()), (0, 0, 0));
            }
            world.read_all().await;
        });
    }
    assert!(cut_off > 1, "it was cut off in the middle");
}

#[test]
fn what_cannot_be_placed_stays_where_it_is() {
    run(async |world| {
        let plan = two_are_lost(world).await;
        let before = world.rows();
        world.fault(&[1], Some(DriveFault::Full));
        for batch in &plan {
            let done = reshape(&world.stripes, batch).await;
            assert_eq!((done.stripes, done.extents, done.failures.len()), (0, 0, 1), "{done:?}");
        }
        assert_eq!(world.rows(), before);
        world.fault(&[1], Some(DriveFault::LosesReplies));
        for batch in &plan {
            assert_eq!(reshape(&world.stripes, batch).await.failures.len(), 1, "nobody said that it is durable");
        }
        assert_eq!(world.rows(), before);
        world.fault(&[1], None);
        finish(world).await;
    });
}

#[test]
fn one_stripe_that_cannot_be_read_keeps_no_other() {
    run(async |world| {
        let plan = two_are_lost(world).await;
        let planned: Vec<&Reshape> = plan.iter().flatten().collect();
        let (stripe, row) = (planned[4].stripe, &planned[4].row);
        // One chunk more than it survives, on whatever drive still answers.
        let answering = |drive: u64| drive != 2 && drive != 3;
        let (position, placed) = (0u8..).zip(&row.positions).find(|(_, placed)| answering(placed.drive.0)).unwrap();
        assert!(world.drives.drive(placed.drive).lose(row.chunk(stripe, position).unwrap()));
        let mut failures = 0;
        for batch in &plan {
            failures += reshape(&world.stripes, batch).await.failures.len();
        }
        assert_eq!(failures, 1);
        assert_eq!(world.geometries()["4+2"], 1, "it waits for the drives that hold the rest");
        world.fault(&[2, 3], None);
        finish_after_return(world).await;
    });
}

/// The drives are back and active again, and the one stripe that was left is sound enough.
async fn finish_after_return(world: &World) {
    world.declare(&[2, 3], Lost, Active).await;
    world.read_all().await;
}
