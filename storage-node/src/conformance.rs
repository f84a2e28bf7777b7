//! What every chunk store must do, near or far. One suite: whoever implements [`ChunkStore`] runs [`all`] over its own.
//!
//! The functions panic where a store is wrong; each takes a store that holds nothing yet. They draw nothing and wait for
//! nothing but the store, so they run in a simulation as well as on a disk.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use cairn_core::chunk_store::{ChunkStat, RangeDigester};
use cairn_core::{
    ChunkError, ChunkHead, ChunkName, ChunkRecord, ChunkStore, Geometry, SessionId, StripeId, WallTime, WriteId,
};
use futures::FutureExt as _;
use futures::future::join_all;

/// Runs the whole suite, each part on a fresh store.
pub async fn all<Make, Made>(make: Make)
where
    Make: Fn() -> Made,
    Made: Future<Output = Arc<dyn ChunkStore>>,
{
    reads_give_what_was_put(&*make().await).await;
    missing_chunks_are_said_to_be_missing(&*make().await).await;
    a_range_behind_the_end_is_refused(&*make().await).await;
    putting_again_changes_nothing(&*make().await).await;
    equal_puts_at_once_store_one_chunk(&*make().await).await;
    attempts_live_side_by_side(&*make().await).await;
    a_listing_is_ordered_and_paged(&*make().await).await;
    the_books_balance(&*make().await).await;
    a_crowd_is_served(&*make().await).await;
    a_caller_that_leaves_breaks_nothing(&*make().await).await;
}

/// The name of a first attempt: position `position` of the stripe that `counter` names.
pub fn name(counter: u64, position: u8) -> ChunkName {
    let write = WriteId { session: SessionId(0xC0FFEE), counter };
    ChunkName { stripe: StripeId(write), position, write }
}

/// Bytes that differ from place to place and from chunk to chunk.
pub fn bytes(name: &ChunkName, length: usize) -> Bytes {
    let mut content = vec![0; length];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&name.to_bytes());
    hasher.finalize_xof().fill(&mut content);
    Bytes::from(content)
}

/// A whole chunk of [`bytes`], with blocks of 4 KiB, in a stripe of 4+2.
pub fn record(name: ChunkName, length: usize) -> ChunkRecord {
    record_with(name, length, 4096)
}

/// As [`record`], with blocks of another size.
pub fn record_with(name: ChunkName, length: usize, block_bytes: u32) -> ChunkRecord {
    let geometry = Geometry::new(4, 2).expect("4+2 is a geometry");
    let body = bytes(&name, length);
    // In two parts that end inside a block, as a stripe's writer may hand them over.
    let body = vec![body.slice(..length / 3), body.slice(length / 3..)];
    ChunkRecord { head: Arc::new(ChunkHead::seal(name, geometry, block_bytes, WallTime(77), &body)), body }
}

async fn put(store: &dyn ChunkStore, record: &ChunkRecord) {
    let name = record.head.name();
    store.put(record.clone()).await.unwrap_or_else(|error| panic!("{name} was not stored: {error}"));
}

/// Asserts that a chunk reads back equal, whole and from the device.
pub async fn assert_holds(store: &dyn ChunkStore, record: &ChunkRecord) {
    let (name, length) = (*record.head.name(), record.head.length());
    let slice = store.get(name, 0..length).await.unwrap_or_else(|error| panic!("{name} cannot be read: {error}"));
    assert_eq!(slice.head(), &record.head, "{name}: the head");
    let read = slice.verified(&name).unwrap_or_else(|bad| panic!("{bad}"));
    assert_eq!(read, record.body.concat(), "{name}: the bytes");
    let head = store.read_back(name).await.unwrap_or_else(|error| panic!("{name} cannot be read back: {error}"));
    assert_eq!(head, record.head, "{name}: the head as the device has it");
}

/// Lengths around the blocks' ends, ranges around them too, blocks of both sizes, and heads.
pub async fn reads_give_what_was_put(store: &dyn ChunkStore) {
    let lengths = [0, 1, 64, 4095, 4096, 4097, 8192, 20_000, 65_536, 1_000_001, 3 << 20];
    for (counter, length) in lengths.into_iter().enumerate() {
        for (position, block) in [(0, 4096), (1, 65_536)] {
            let record = record_with(name(counter as u64, position), length, block);
            put(store, &record).await;
            assert_holds(store, &record).await;
            let name = *record.head.name();
            let head = store.head(name).await.unwrap_or_else(|error| panic!("{name} has no head: {error}"));
            assert_eq!(head, record.head);
            let (whole, end) = (bytes(&name, length), length as u32);
            for start in [0, 1, end / 3, end / 2, end.saturating_sub(1), end] {
                for wanted in [0, 1, 100, 4096, 5000, 70_000] {
                    let start = start.min(end);
                    let range = start..end.min(start + wanted);
                    let slice = store.get(name, range.clone()).await;
                    let slice = slice.unwrap_or_else(|error| panic!("{name} {range:?}: {error}"));
                    let read = slice.verified(&name).unwrap_or_else(|bad| panic!("{range:?}: {bad}"));
                    assert_eq!(read, whole.slice(range.start as usize..range.end as usize), "{name} {range:?}");
                }
            }
        }
    }
}

fn assert_not_found<T: std::fmt::Debug>(answer: Result<T, ChunkError>, name: ChunkName, store: &dyn ChunkStore) {
    match answer {
        Err(ChunkError::NotFound(chunk, drive)) => {
            assert_eq!(chunk, name);
            assert_eq!(drive, store.drive());
        }
        other => panic!("{name} should not be found: {other:?}"),
    }
}

/// Before it was put, after it was deleted, and beside its neighbours; and it may come again.
pub async fn missing_chunks_are_said_to_be_missing(store: &dyn ChunkStore) {
    let here = record(name(1, 0), 10_000);
    for round in 0..2 {
        let chunk = name(1, 0);
        assert_not_found(store.get(chunk, 0..1).await, chunk, store);
        assert_not_found(store.head(chunk).await, chunk, store);
        assert_not_found(store.read_back(chunk).await, chunk, store);
        assert!(!store.delete(chunk).await.unwrap_or_else(|e| panic!("{e}")), "round {round}: nothing to delete");
        put(store, &here).await;
        assert_not_found(store.get(name(1, 1), 0..1).await, name(1, 1), store);
        assert_holds(store, &here).await;
        assert!(store.delete(chunk).await.unwrap_or_else(|e| panic!("{e}")), "round {round}: it was there");
    }
    assert_eq!(listed(store, None, 10).await, []);
}

/// Whoever asks knows the length, so this is a chunk that is not what its stripe's row says.
pub async fn a_range_behind_the_end_is_refused(store: &dyn ChunkStore) {
    let here = record(name(1, 0), 5000);
    put(store, &here).await;
    for range in [0..5001, 4999..5001, 5001..5001, 6000..7000, 0..u32::MAX] {
        match store.get(name(1, 0), range.clone()).await {
            Err(ChunkError::Damaged { chunk, drive, .. }) => {
                assert_eq!(chunk, name(1, 0));
                assert_eq!(drive, store.drive());
            }
            other => panic!("{range:?} of a chunk of 5000 bytes: {other:?}"),
        }
    }
    assert_holds(store, &here).await;
}

/// A retry after a lost answer.
pub async fn putting_again_changes_nothing(store: &dyn ChunkStore) {
    let here = record(name(1, 0), 5000);
    put(store, &here).await;
    let before = (listed(store, None, 10).await, store.health());
    put(store, &here).await;
    assert_eq!(listed(store, None, 10).await, before.0);
    let health = store.health();
    assert_eq!((health.chunks, health.live_bytes), (1, before.1.live_bytes));
    assert_holds(store, &here).await;
}

/// A retry that overtakes the first attempt.
pub async fn equal_puts_at_once_store_one_chunk(store: &dyn ChunkStore) {
    let here = record(name(1, 0), 5000);
    for answer in join_all((0..8).map(|_| store.put(here.clone()))).await {
        answer.unwrap_or_else(|error| panic!("a put of eight equal ones: {error}"));
    }
    assert_eq!(listed(store, None, 10).await.len(), 1);
    assert_eq!(store.health().chunks, 1);
    assert_holds(store, &here).await;
}

/// Invariant 5: two attempts at one position are two chunks, and a delete names one of them.
pub async fn attempts_live_side_by_side(store: &dyn ChunkStore) {
    let first = record(name(1, 3), 6000);
    let again = ChunkName { write: WriteId { session: SessionId(9), counter: 5 }, ..name(1, 3) };
    let second = record(again, 7000);
    put(store, &first).await;
    put(store, &second).await;
    assert_holds(store, &first).await;
    assert_holds(store, &second).await;
    assert!(store.delete(name(1, 3)).await.unwrap_or_else(|error| panic!("{error}")));
    assert_not_found(store.get(name(1, 3), 0..1).await, name(1, 3), store);
    assert_holds(store, &second).await;
}

async fn listed(store: &dyn ChunkStore, after: Option<ChunkName>, limit: usize) -> Vec<ChunkStat> {
    let page = store.list(after, limit).await.unwrap_or_else(|error| panic!("a page of the listing: {error}"));
    assert!(page.len() <= limit, "a page is no longer than was asked for");
    page
}

async fn listed_in_pages(store: &dyn ChunkStore, limit: usize) -> Vec<ChunkStat> {
    let mut chunks: Vec<ChunkStat> = Vec::new();
    loop {
        let page = listed(store, chunks.last().map(|last| last.name), limit).await;
        chunks.extend(&page);
        if page.len() < limit {
            return chunks;
        }
    }
}

/// In order of names, whatever order they came in; pages join without a seam.
pub async fn a_listing_is_ordered_and_paged(store: &dyn ChunkStore) {
    let mut names: Vec<ChunkName> = (0..40).map(|i| name((i * 17) % 40, (i % 6) as u8)).collect();
    for name in &names {
        put(store, &record(*name, 100)).await;
    }
    names.sort();
    for limit in [1, 7, 40, 41] {
        let found: Vec<ChunkName> = listed_in_pages(store, limit).await.into_iter().map(|stat| stat.name).collect();
        assert_eq!(found, names, "in pages of {limit}");
    }
    for (from, to) in [(0, 40), (0, 7), (7, 8), (7, 7), (12, 40)] {
        let mut expected = RangeDigester::default();
        names[from..to].iter().for_each(|name| expected.add(name));
        let after = from.checked_sub(1).map(|before| names[before]);
        let until = if to == 40 { None } else { Some(names[to - 1]) };
        let found = store.digest(after, until).await.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(found, expected.finish(), "of {from}..{to}");
    }
    // What a page begins behind need not be there any more.
    assert!(store.delete(names[5]).await.unwrap_or_else(|error| panic!("{error}")));
    assert_eq!(listed(store, Some(names[5]), 1).await[0].name, names[6]);
    assert_eq!(listed(store, Some(names[39]), 10).await, []);
}

/// Health, listing and what was put agree, through puts and deletes.
pub async fn the_books_balance(store: &dyn ChunkStore) {
    let check = async |chunks: u64, bytes_min: u64| {
        let (health, stats) = (store.health(), listed_in_pages(store, 100).await);
        assert_eq!(health.writable, Ok(()));
        assert_eq!(health.errors, 0);
        assert_eq!((health.chunks, stats.len() as u64), (chunks, chunks));
        assert_eq!(health.live_bytes, stats.iter().map(|stat| stat.stored_bytes).sum::<u64>());
        assert!(health.live_bytes >= bytes_min, "{} bytes hold {bytes_min}", health.live_bytes);
        assert!(health.allocated_bytes >= health.live_bytes);
        assert!(health.available_bytes <= health.total_bytes);
    };
    check(0, 0).await;
    let lengths = |i: u64| (i * 997) as usize;
    for i in 0..30 {
        put(store, &record(name(i, 0), lengths(i))).await;
    }
    check(30, (0..30).map(|i| lengths(i) as u64).sum()).await;
    for i in (0..30).step_by(2) {
        assert!(store.delete(name(i, 0)).await.unwrap_or_else(|error| panic!("{error}")));
    }
    check(15, (1..30).step_by(2).map(|i| lengths(i) as u64).sum()).await;
    for i in 0..30 {
        store.delete(name(i, 0)).await.unwrap_or_else(|error| panic!("{error}"));
    }
    check(0, 0).await;
    assert_eq!(store.health().live_bytes, 0);
}

/// Many at once, of all sizes: everything that was acknowledged is there.
pub async fn a_crowd_is_served(store: &dyn ChunkStore) {
    let records: Vec<ChunkRecord> = (0..200).map(|i| record(name(i, (i % 6) as u8), (i * i) as usize)).collect();
    join_all(records.iter().map(|record| put(store, record))).await;
    join_all(records.iter().map(|record| assert_holds(store, record))).await;
    let (gone, kept) = records.split_at(100);
    let deletes = join_all(gone.iter().map(|record| store.delete(*record.head.name()))).await;
    assert!(deletes.iter().all(|answer| matches!(answer, Ok(true))), "{deletes:?}");
    join_all(kept.iter().map(|record| assert_holds(store, record))).await;
    assert_eq!(listed_in_pages(store, 30).await.len(), 100);
}

/// A put whose caller goes away may or may not have happened. Either way the name is usable, and stands there once.
pub async fn a_caller_that_leaves_breaks_nothing(store: &dyn ChunkStore) {
    let records: Vec<ChunkRecord> = (0..20).map(|i| record(name(i, 0), 3000)).collect();
    for record in &records {
        let mut left = store.put(record.clone());
        // Polled once, so that it is under way, and dropped.
        drop((&mut left).now_or_never());
        drop(left);
        put(store, record).await;
    }
    for record in &records {
        assert_holds(store, record).await;
    }
    assert_eq!(listed_in_pages(store, 7).await.len(), records.len());
    assert_eq!(store.health().chunks, records.len() as u64);
}
