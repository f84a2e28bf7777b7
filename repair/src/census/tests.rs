//! A census of drives that hold almost what the rows name, beside a count by hand.

use std::ops::Range as Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cairn_core::chunk_store::{ChunkStat, DriveHealth, RangeDigest, RangeDigester};
use cairn_core::entropy::SeededEntropy;
use cairn_core::{
    ChunkError, ChunkHead, ChunkRecord, ChunkSlice, ChunkStore, Entropy as _, LogIndex, NodeId, SessionId, StripeShape,
};
use cairn_machine::MapRows;
use cairn_machine::rows::stripe::PlacedChunk;
use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::*;

const DRIVES: u64 = 5;

/// More than two pages, and a page that is not full.
const STRIPES: u64 = 2 * PAGE as u64 + 300;

/// Names and nothing behind them; counts how often they were asked for.
#[derive(Debug)]
struct Names {
    drive: DriveId,
    names: BTreeSet<ChunkName>,
    pages: AtomicUsize,
    silent: bool,
}

impl Names {
    fn refuse<T: Send + 'static>(&self) -> BoxFuture<'_, Result<T, ChunkError>> {
        async { Err(ChunkError::Unavailable(self.drive, Arc::from("names only"))) }.boxed()
    }

    fn page(&self, after: Option<ChunkName>, limit: usize) -> Vec<ChunkStat> {
        let behind = self.names.iter().filter(|name| after.is_none_or(|after| **name > after));
        behind.take(limit).map(|&name| ChunkStat { name, stored_bytes: 4096 }).collect()
    }
}

impl ChunkStore for Names {
    fn drive(&self) -> DriveId {
        self.drive
    }
    fn put(&self, _: ChunkRecord) -> BoxFuture<'_, Result<(), ChunkError>> {
        self.refuse()
    }
    fn get(&self, _: ChunkName, _: Bytes<u32>) -> BoxFuture<'_, Result<ChunkSlice, ChunkError>> {
        self.refuse()
    }
    fn head(&self, _: ChunkName) -> BoxFuture<'_, Result<Arc<ChunkHead>, ChunkError>> {
        self.refuse()
    }
    fn read_back(&self, _: ChunkName) -> BoxFuture<'_, Result<Arc<ChunkHead>, ChunkError>> {
        self.refuse()
    }
    fn delete(&self, _: ChunkName) -> BoxFuture<'_, Result<bool, ChunkError>> {
        self.refuse()
    }
    fn list(&self, after: Option<ChunkName>, limit: usize) -> BoxFuture<'_, Result<Vec<ChunkStat>, ChunkError>> {
        if self.silent {
            return self.refuse();
        }
        self.pages.fetch_add(1, Ordering::Relaxed);
        let page = self.page(after, limit);
        async { Ok(page) }.boxed()
    }
    fn digest(
        &self,
        after: Option<ChunkName>,
        until: Option<ChunkName>,
    ) -> BoxFuture<'_, Result<RangeDigest, ChunkError>> {
        if self.silent {
            return self.refuse();
        }
        let mut digester = RangeDigester::default();
        let inside = |name: &&ChunkName| after.is_none_or(|a| **name > a) && until.is_none_or(|u| **name <= u);
        self.names.iter().filter(inside).for_each(|name| digester.add(name));
        async move { Ok(digester.finish()) }.boxed()
    }
    fn health(&self) -> DriveHealth {
        DriveHealth {
            writable: Ok(()),
            chunks: self.names.len() as u64,
            live_bytes: 0,
            allocated_bytes: 0,
            available_bytes: 0,
            total_bytes: 0,
            errors: 0,
        }
    }
}

fn write(counter: u64) -> WriteId {
    WriteId { session: SessionId(counter % 3), counter }
}

/// Stripes of 2+1 on five drives, and what each drive should hold.
fn world() -> (MapRows, Vec<Names>) {
    let mut rows = MapRows::default();
    let mut drives: Vec<Names> = (0..DRIVES)
        .map(|drive| Names { drive: DriveId(drive), names: BTreeSet::new(), pages: AtomicUsize::new(0), silent: false })
        .collect();
    let profile = ProfileRow { class: "STANDARD".to_owned(), geometry: Geometry::new(2, 1).unwrap() };
    rows.0.insert(ProfileRow::key(&ProfileId::STANDARD), profile.encode());
    for drive in 0..DRIVES {
        let row = DriveRow {
            node: NodeId(1),
            weight: 1,
            state: DriveState::Active,
            since: LogIndex(1),
            changed: WallTime(1),
            label: format!("drive-{drive}"),
        };
        rows.0.insert(DriveRow::key(&DriveId(drive)), row.encode());
    }
    for counter in 0..STRIPES {
        let stripe = StripeId(write(counter));
        let shape = StripeShape { geometry: Geometry::new(2, 1).unwrap(), chunk_bytes: 64, block_bytes: 4096 };
        let positions: Vec<PlacedChunk> = (0..3)
            .map(|position| PlacedChunk { drive: DriveId((counter + position) % DRIVES), write: write(counter) })
            .collect();
        for (position, placed) in (0u8..).zip(&positions) {
            drives[placed.drive.0 as usize].names.insert(ChunkName { stripe, position, write: placed.write });
        }
        rows.0.insert(StripeRow::key(&stripe), StripeRow { shape, positions }.encode());
    }
    (rows, drives)
}

fn run(rows: &MapRows, drives: &Drives) -> Census {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (damaged, sightings, config) = (BTreeSet::new(), Sightings::default(), RepairConfig::default());
    let scope = Scope { drives, damaged: &damaged, now: WallTime(1), sightings: &sightings, config: &config };
    runtime.block_on(take(rows, scope)).unwrap()
}

fn count(rows: &MapRows, drives: Vec<Names>) -> Census {
    let stores = drives.into_iter().map(|drive| Arc::new(drive) as Arc<dyn ChunkStore>);
    let drives = Drives::new(stores);
    run(rows, &drives)
}

#[test]
fn of_drives_that_agree_no_name_is_read() {
    let (rows, drives) = world();
    let stores: Vec<Arc<Names>> = drives.into_iter().map(Arc::new).collect();
    let set = Drives::new(stores.iter().map(|store| store.clone() as Arc<dyn ChunkStore>));
    let census = run(&rows, &set);
    assert_eq!(census.plan, Plan::default());
    let found = census.redundancy;
    assert_eq!((found.stripes, found.stripes_exposed, found.positions_missing), (STRIPES, 0, 0));
    assert_eq!((found.ranges_compared, found.ranges_listed), (3 * DRIVES, 0));
    assert!(stores.iter().all(|store| store.pages.load(Ordering::Relaxed) == 0), "a hash each was enough");
}

#[test]
fn what_differs_is_found_wherever_it_is() {
    let seed = std::env::var("CAIRN_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    println!("CAIRN_SEED={seed} replays this");
    let random = SeededEntropy::new(seed);
    for _ in 0..20 {
        let (rows, mut drives) = world();
        let (mut missing, mut orphans) = (BTreeSet::new(), BTreeSet::new());
        // The first and the last name of all are where a range may be one off.
        for drive in &mut drives {
            for _ in 0..random.next_u64() % 4 {
                let at = match random.next_u64() % 4 {
                    0 => 0,
                    1 => drive.names.len() - 1,
                    _ => (random.next_u64() % drive.names.len() as u64) as usize,
                };
                let name = *drive.names.iter().nth(at).unwrap();
                drive.names.remove(&name);
                missing.insert((name.stripe, name.position));
            }
            for _ in 0..random.next_u64() % 4 {
                let stray = write(random.next_u64() % (STRIPES + 500));
                let name = ChunkName { stripe: StripeId(stray), position: 0, write: write(STRIPES + 1000) };
                drive.names.insert(name);
                orphans.insert((drive.drive, name));
            }
        }
        let census = count(&rows, drives);
        let found: BTreeSet<(StripeId, u8)> = census
            .plan
            .rebuilds
            .iter()
            .flat_map(|rebuild| rebuild.missing.iter().map(|&position| (rebuild.stripe, position)))
            .collect();
        // Stripes that lost more than they survive are counted, and there is nothing to plan for them.
        let lost = |stripe: &StripeId| missing.iter().filter(|(other, _)| other == stripe).count() > 1;
        let mended: BTreeSet<(StripeId, u8)> = missing.iter().filter(|(stripe, _)| !lost(stripe)).copied().collect();
        assert_eq!(found, mended, "seed {seed}");
        assert_eq!(census.redundancy.positions_missing, missing.len() as u64, "seed {seed}");
        let condemned: BTreeSet<(DriveId, ChunkName)> =
            census.plan.orphans.iter().map(|orphan| (orphan.drive, orphan.chunk)).collect();
        assert_eq!(condemned, orphans, "seed {seed}");
    }
}

#[test]
fn a_drive_that_cannot_say_is_left_to_the_log() {
    let (rows, mut drives) = world();
    drives[2].silent = true;
    let census = count(&rows, drives);
    assert_eq!(census.plan, Plan::default());
    assert_eq!(census.redundancy.drives_unlisted, 1);
    assert_eq!(census.redundancy.ranges_compared, 3 * (DRIVES - 1));
    assert_eq!(census.redundancy.positions_missing, 0, "unknown is not missing");
}
