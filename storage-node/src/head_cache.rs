//! The heads of chunks that were read or written lately, so that a hot small read costs one read of one block.
//!
//! Two generations instead of a list: what is found in the old one moves to the young one; when the young one is full
//! it becomes the old one, and what nobody asked for since is dropped with the old. As good as least-recently-used
//! here, with a hash map as the only moving part.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use cairn_core::{ChunkHead, ChunkName};
use cairn_journal::Place;

/// Independent parts, so that readers on many threads seldom meet.
const SHARDS: usize = 16;

/// What an entry costs beside its hashes: name, place, the head's fixed fields and the map's own.
const ENTRY_BYTES: usize = 256;

/// Where a chunk lies, and its head.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) place: Place,
    pub(crate) head: Arc<ChunkHead>,
}

impl Known {
    fn bytes(&self) -> usize {
        ENTRY_BYTES + self.head.hashes().len()
    }
}

/// A bounded memory of chunk heads.
#[derive(Debug)]
pub(crate) struct HeadCache {
    shards: Vec<Mutex<Shard>>,
}

#[derive(Debug, Default)]
struct Shard {
    young: HashMap<ChunkName, Known>,
    old: HashMap<ChunkName, Known>,
    young_bytes: usize,
    /// Half of what the shard may hold: each generation has as much.
    young_bytes_max: usize,
}

impl HeadCache {
    /// Holds at most so many bytes.
    pub(crate) fn new(bytes_max: usize) -> Self {
        let young_bytes_max = bytes_max / SHARDS / 2;
        let shards = (0..SHARDS).map(|_| Mutex::new(Shard { young_bytes_max, ..Shard::default() })).collect();
        Self { shards }
    }

    pub(crate) fn get(&self, name: &ChunkName) -> Option<Known> {
        self.shard(name).get(name)
    }

    pub(crate) fn insert(&self, name: ChunkName, known: Known) {
        self.shard(&name).insert(name, known);
    }

    pub(crate) fn remove(&self, name: &ChunkName) {
        let mut shard = self.shard(name);
        if let Some(known) = shard.young.remove(name) {
            shard.young_bytes -= known.bytes();
        }
        shard.old.remove(name);
    }

    fn shard(&self, name: &ChunkName) -> std::sync::MutexGuard<'_, Shard> {
        // A session's counters are dense, so this spreads evenly; and it is the same in every run, so that what a
        // simulation reads from its disk does not depend on a hasher's seed.
        let at = (name.write.counter ^ name.stripe.0.counter.rotate_left(32)) % SHARDS as u64;
        self.shards[at as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    fn get(&mut self, name: &ChunkName) -> Option<Known> {
        if let Some(known) = self.young.get(name) {
            return Some(known.clone());
        }
        let known = self.old.remove(name)?;
        self.insert(*name, known.clone());
        Some(known)
    }

    fn insert(&mut self, name: ChunkName, known: Known) {
        let bytes = known.bytes();
        if bytes > self.young_bytes_max {
            return;
        }
        if self.young_bytes + bytes > self.young_bytes_max {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.old.remove(&name);
        if let Some(replaced) = self.young.insert(name, known) {
            self.young_bytes -= replaced.bytes();
        }
        self.young_bytes += bytes;
        assert!(self.young_bytes <= self.young_bytes_max);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use cairn_core::{Geometry, SessionId, StripeId, WallTime, WriteId};

    use super::*;

    fn entry(counter: u64, body_bytes: usize) -> (ChunkName, Known) {
        let write = WriteId { session: SessionId(1), counter };
        let name = ChunkName { stripe: StripeId(write), position: 0, write };
        let geometry = Geometry::new(1, 0).unwrap();
        let head = ChunkHead::seal(name, geometry, 4096, WallTime(1), &[Bytes::from(vec![0; body_bytes])]);
        let place = Place { segment: 1, offset: counter * 4096, length: 4096 };
        (name, Known { place, head: Arc::new(head) })
    }

    #[test]
    fn what_is_asked_for_stays_and_the_rest_is_bounded() {
        let cache = HeadCache::new(64 * 1024);
        let (hot, known) = entry(0, 100);
        cache.insert(hot, known);
        for counter in 1..10_000 {
            let (name, known) = entry(counter, 9_000);
            cache.insert(name, known);
            assert_eq!(cache.get(&hot).unwrap().place.offset, 0, "asked for all the time");
        }
        let bytes: usize = cache
            .shards
            .iter()
            .map(|shard| shard.lock().unwrap())
            .map(|shard| shard.young.values().chain(shard.old.values()).map(Known::bytes).sum::<usize>())
            .sum();
        assert!(bytes <= 64 * 1024, "{bytes}");
        assert!(cache.get(&entry(9_999, 0).0).is_some());
        assert!(cache.get(&entry(1, 0).0).is_none());
        cache.remove(&hot);
        assert!(cache.get(&hot).is_none());
    }
}
