//! A bounded cache of blocks, shared by all runs.
//!
//! It is split into shards, so that readers seldom meet, and each shard turns a clock hand: a block that was used since the
//! hand last passed stays, another goes. A scan brings its blocks in unused, so it cannot push out what lookups use.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, PoisonError};

use super::block::Block;
use crate::run_set::RunId;

/// Enough that two readers on two cores seldom want the same one.
const SHARDS: usize = 16;

/// How many bytes of blocks are kept unless the owner says otherwise.
pub const CACHE_BYTES_DEFAULT: usize = 16 * 1024 * 1024;

/// What a block takes beside its bytes: its slot and its place in the map.
const SLOT_BYTES: usize = 128;

type Name = (RunId, u32);

/// The names of runs are random and nobody outside chooses them, so mixing them with the block's number is enough.
#[derive(Debug, Default)]
struct NameHasher(u64);

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(byte.into());
        }
    }

    fn write_u64(&mut self, part: u64) {
        // An odd constant without a pattern, and the high bits brought down, which a map looks at last.
        self.0 = (self.0 ^ part).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 ^= self.0 >> 32;
    }

    fn write_u32(&mut self, part: u32) {
        self.write_u64(part.into());
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[derive(Debug)]
struct Slot {
    name: Name,
    block: Block,
    used: bool,
}

#[derive(Debug, Default)]
struct Shard {
    places: HashMap<Name, usize, BuildHasherDefault<NameHasher>>,
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    hand: usize,
    bytes: usize,
}

impl Shard {
    fn evict_one(&mut self) {
        loop {
            self.hand = (self.hand + 1) % self.slots.len();
            match &mut self.slots[self.hand] {
                Some(slot) if slot.used => slot.used = false,
                Some(slot) => {
                    self.bytes -= slot.block.block_bytes() + SLOT_BYTES;
                    self.places.remove(&slot.name);
                    self.slots[self.hand] = None;
                    self.free.push(self.hand);
                    return;
                }
                None => {}
            }
        }
    }
}

/// Blocks that were read lately.
#[derive(Debug)]
pub struct BlockCache {
    shards: Box<[Mutex<Shard>]>,
    shard_bytes: usize,
}

impl BlockCache {
    /// A cache of at most so many bytes.
    pub fn new(cache_bytes: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, shard_bytes: cache_bytes / SHARDS }
    }

    fn shard(&self, name: Name) -> &Mutex<Shard> {
        // Neighbouring blocks of one run go to different shards, so that a scan does not meet itself.
        &self.shards[(name.0.0 as usize).wrapping_add(name.1 as usize) % SHARDS]
    }

    /// A block, if it is here. Counts as a use.
    pub fn get(&self, run: RunId, block: u32) -> Option<Block> {
        let mut shard = self.shard((run, block)).lock().unwrap_or_else(PoisonError::into_inner);
        let place = *shard.places.get(&(run, block))?;
        let slot = shard.slots[place].as_mut().expect("the map names only slots that are taken");
        slot.used = true;
        Some(slot.block.clone())
    }

    /// Keeps a block. One that would fill more than a quarter of a shard is not kept: it would push out too many.
    pub fn insert(&self, run: RunId, number: u32, block: &Block) {
        let bytes = block.block_bytes() + SLOT_BYTES;
        if bytes > self.shard_bytes / 4 {
            return;
        }
        let name = (run, number);
        let mut shard = self.shard(name).lock().unwrap_or_else(PoisonError::into_inner);
        if shard.places.contains_key(&name) {
            return;
        }
        while shard.bytes + bytes > self.shard_bytes {
            shard.evict_one();
        }
        let slot = Some(Slot { name, block: block.clone(), used: false });
        let place = if let Some(place) = shard.free.pop() {
            shard.slots[place] = slot;
            place
        } else {
            shard.slots.push(slot);
            shard.slots.len() - 1
        };
        shard.places.insert(name, place);
        shard.bytes += bytes;
        assert!(shard.bytes <= self.shard_bytes, "a shard keeps to its bound");
    }

    /// How many bytes are kept.
    pub fn cached_bytes(&self) -> usize {
        let bytes = |shard: &Mutex<Shard>| shard.lock().unwrap_or_else(PoisonError::into_inner).bytes;
        self.shards.iter().map(bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::block::BlockBuilder;

    fn block(value_bytes: usize) -> Block {
        let mut builder = BlockBuilder::default();
        builder.add(b"key", Some(&vec![0; value_bytes]));
        Block::parse(builder.finish()).unwrap()
    }

    #[test]
    fn it_keeps_to_its_bound_and_keeps_what_is_used() {
        const BYTES: usize = 1024 * 1024;
        let cache = BlockCache::new(BYTES);
        cache.insert(RunId(1), 0, &block(4000));
        for number in 1..5000 {
            cache.insert(RunId(1), number, &block(4000));
            assert!(cache.get(RunId(1), 0).is_some(), "the block in use was pushed out at {number}");
        }
        assert!(cache.cached_bytes() <= BYTES && cache.cached_bytes() > BYTES / 2);
        assert!(cache.get(RunId(1), 1).is_none());
        assert!(cache.get(RunId(2), 4999).is_none());
    }

    #[test]
    fn a_block_of_great_size_is_not_kept() {
        let cache = BlockCache::new(1024 * 1024);
        cache.insert(RunId(1), 0, &block(100_000));
        assert_eq!(cache.cached_bytes(), 0);
    }
}
