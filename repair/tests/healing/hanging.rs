//! A drive that answers nothing, not even with an error, holds up nobody else.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use cairn_core::chunk_store::{ChunkStat, DriveHealth};
use cairn_core::{ChunkError, ChunkHead, ChunkName, ChunkRecord, ChunkSlice, ChunkStore, DriveId};
use cairn_erasure::testing::DriveFault;
use cairn_machine::rows::topology::DriveState::{Active, Lost};
use futures::FutureExt;
use futures::future::{BoxFuture, pending};

use crate::world::run;

/// Takes every call and returns none.
#[derive(Debug)]
struct Hanging(DriveId);

impl ChunkStore for Hanging {
    fn drive(&self) -> DriveId {
        self.0
    }

    fn put(&self, _: ChunkRecord) -> BoxFuture<'_, Result<(), ChunkError>> {
        pending().boxed()
    }

    fn get(&self, _: ChunkName, _: Range<u32>) -> BoxFuture<'_, Result<ChunkSlice, ChunkError>> {
        pending().boxed()
    }

    fn head(&self, _: ChunkName) -> BoxFuture<'_, Result<Arc<ChunkHead>, ChunkError>> {
        pending().boxed()
    }

    fn read_back(&self, _: ChunkName) -> BoxFuture<'_, Result<Arc<ChunkHead>, ChunkError>> {
        pending().boxed()
    }

    fn delete(&self, _: ChunkName) -> BoxFuture<'_, Result<bool, ChunkError>> {
        pending().boxed()
    }

    fn list(&self, _: Option<ChunkName>, _: usize) -> BoxFuture<'_, Result<Vec<ChunkStat>, ChunkError>> {
        pending().boxed()
    }

    fn health(&self) -> DriveHealth {
        DriveHealth {
            writable: Err(Arc::from("suspect")),
            chunks: 0,
            live_bytes: 0,
            allocated_bytes: 0,
            available_bytes: 0,
            total_bytes: 0,
            errors: 0,
        }
    }
}

#[test]
fn a_drive_that_hangs_holds_up_no_pass() {
    run(async |world| {
        world.fill().await;
        let sound = world.drives.drives.remove(DriveId(3)).unwrap();
        world.drives.drives.insert(Arc::new(Hanging(DriveId(3))));
        let daemon = world.daemon().await;
        let found = world.until(&daemon, "a census without it", |_, found| found.drives_unlisted == 1).await;
        assert_eq!((found.stripes, found.positions_unreachable, found.positions_missing), (15, 15, 0));
        let passes = daemon.meter.progress().passes;
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(daemon.meter.progress().passes >= passes + 3, "{:?}", daemon.meter.progress());
        // Another one loses a chunk, which is rebuilt although one drive hangs: its own drive takes it again.
        let (id, row) = world.rows().pop_first().unwrap();
        let at = row.positions.iter().position(|placed| placed.drive != DriveId(3)).unwrap();
        assert!(world.drives.drive(row.positions[at].drive).lose(row.chunk(id, at as u8).unwrap()));
        world.drives.drives.remove(DriveId(3));
        world
            .until(&daemon, "a rebuilt chunk", |world, found| found.positions_missing == 0 && world.rows()[&id] != row)
            .await;
        // It was lost for the log before it answers again: the probe has an end as well.
        world.drives.drives.insert(Arc::new(Hanging(DriveId(3))));
        world.declare(&[3], Active, Lost).await;
        world.drives.drive(DriveId(3)).set_fault(DriveFault::Unavailable);
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(world.state(3), Lost);
        world.drives.drive(DriveId(3)).set_fault(None);
        world.drives.drives.insert(sound);
        world.until(&daemon, "all well", |world, found| found.stripes_exposed == 0 && world.state(3) == Active).await;
        world.read_all().await;
        daemon.daemon.stop().await;
    });
}
