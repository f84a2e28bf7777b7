//! Entries in memory: all that are under way, and the recent ones as far as the bound goes.

use std::collections::BTreeMap;

use bytes::Bytes;

/// What an entry costs beside its bytes, so that many small ones are bounded too.
const ENTRY_OVERHEAD_BYTES: usize = 64;

/// Entries by index.
#[derive(Debug)]
pub(crate) struct EntryCache {
    entries: BTreeMap<u64, Bytes>,
    bytes: usize,
    bytes_max: usize,
}

impl EntryCache {
    pub const fn new(bytes_max: usize) -> Self {
        Self { entries: BTreeMap::new(), bytes: 0, bytes_max }
    }

    pub fn insert(&mut self, index: u64, entry: Bytes) {
        self.bytes += cost(&entry);
        if let Some(before) = self.entries.insert(index, entry) {
            self.bytes -= cost(&before);
        }
    }

    pub fn get(&self, index: u64) -> Option<&Bytes> {
        self.entries.get(&index)
    }

    /// Entries from this index on are gone.
    pub fn truncate(&mut self, from_index: u64) {
        let gone = self.entries.split_off(&from_index);
        self.bytes -= gone.values().map(cost).sum::<usize>();
    }

    /// Entries up to this index are gone.
    pub fn purge(&mut self, up_to_index: u64) {
        while self.entries.first_key_value().is_some_and(|(&first, _)| first <= up_to_index) {
            self.pop_first();
        }
    }

    /// Keeps to the bound, oldest first. Those from an index on are under way, and stay whatever they cost: what waits
    /// and what is under way have bounds of their own.
    pub fn evict(&mut self, under_way_from: u64) {
        while self.bytes > self.bytes_max
            && self.entries.first_key_value().is_some_and(|(&first, _)| first < under_way_from)
        {
            self.pop_first();
        }
    }

    fn pop_first(&mut self) {
        if let Some((_, entry)) = self.entries.pop_first() {
            self.bytes -= cost(&entry);
        }
    }

    pub const fn bytes(&self) -> usize {
        self.bytes
    }
}

fn cost(entry: &Bytes) -> usize {
    entry.len() + ENTRY_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_to_its_bound_but_never_drops_what_is_under_way() {
        let mut cache = EntryCache::new(3 * (ENTRY_OVERHEAD_BYTES + 10));
        for index in 0..6 {
            cache.insert(index, Bytes::from(vec![index as u8; 10]));
        }
        cache.evict(2);
        assert!(cache.get(1).is_none() && cache.get(2).is_some());
        cache.evict(6);
        assert!(cache.get(2).is_none() && cache.get(3).is_some());
        cache.insert(3, Bytes::from_static(b"other"));
        cache.truncate(4);
        assert_eq!(cache.bytes(), ENTRY_OVERHEAD_BYTES + 5);
        cache.purge(3);
        assert_eq!(cache.bytes(), 0);
    }
}
