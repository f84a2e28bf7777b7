//! A block: the unit of reading, of checksum and of cache in a run. Rows in the order of their keys, with a table of
//! where each begins, so that a row is found by halving and handed out without a copy.
//!
//! ```text
//! count u32 | where each row begins, u32 each | rows: key length u16, value length u32, key, value
//! ```

use bytes::{BufMut, Bytes};

use crate::bounds::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use crate::overlay::Row;

/// A block is closed once it has so many bytes. A lookup in the kernel's cache pays for reading and hashing one block,
/// a run's footer for each block's name: see ADR 0004 for what was measured.
pub const BLOCK_BYTES_TARGET: usize = 4 * 1024;

/// The longest block: a row of the greatest size behind rows that did not quite fill it.
pub const BLOCK_BYTES_MAX: usize = BLOCK_BYTES_TARGET + KEY_BYTES_MAX + VALUE_BYTES_MAX + 2 * ROW_OVERHEAD_BYTES;

const ROW_HEAD_BYTES: usize = 6;
/// What a row takes beside key and value: its head and its place in the table.
const ROW_OVERHEAD_BYTES: usize = ROW_HEAD_BYTES + 4;
/// The value length of a row that says that there is no such row.
const REMOVED: u32 = u32::MAX;

/// Gathers rows until they are a block.
#[derive(Debug, Default)]
pub struct BlockBuilder {
    places: Vec<u32>,
    rows: Vec<u8>,
}

impl BlockBuilder {
    /// Appends a row. Its key is greater than the last one's; the run's writer asserts it.
    pub fn add(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.places.push(u32::try_from(self.rows.len()).expect("a block is closed long before that"));
        self.rows.put_u16(u16::try_from(key.len()).expect("the writer checked the key's length"));
        let value_bytes = value.map_or(REMOVED, |value| u32::try_from(value.len()).expect("the writer checked it"));
        self.rows.put_u32(value_bytes);
        self.rows.put_slice(key);
        self.rows.put_slice(value.unwrap_or_default());
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// How many bytes the block would have.
    pub fn block_bytes(&self) -> usize {
        4 + 4 * self.places.len() + self.rows.len()
    }

    /// The block, and an empty builder again.
    pub fn finish(&mut self) -> Bytes {
        assert!(!self.is_empty(), "a block has at least one row");
        let mut block = Vec::with_capacity(self.block_bytes());
        block.put_u32(self.places.len() as u32);
        let rows_at = (4 + 4 * self.places.len()) as u32;
        for place in self.places.drain(..) {
            block.put_u32(rows_at + place);
        }
        block.append(&mut self.rows);
        assert!(block.len() <= BLOCK_BYTES_MAX, "a block of {} bytes", block.len());
        Bytes::from(block)
    }
}

/// A block whose structure was checked once, so that reading rows from it cannot fail. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Block {
    bytes: Bytes,
    rows: usize,
}

/// Where a row lies in its block.
struct RowPlace {
    key: core::ops::Range<usize>,
    value: Option<core::ops::Range<usize>>,
}

impl Block {
    /// Checks the structure: rows one behind the other without gaps, keys that grow. What is wrong, otherwise.
    pub fn parse(bytes: Bytes) -> Result<Self, &'static str> {
        let count = bytes.first_chunk::<4>().ok_or("a block without a head")?;
        let rows = u32::from_be_bytes(*count) as usize;
        if rows == 0 || rows > bytes.len() / ROW_OVERHEAD_BYTES {
            return Err("a block with an impossible number of rows");
        }
        let block = Self { bytes, rows };
        let mut expected = 4 + 4 * rows;
        let mut last_key: &[u8] = &[];
        for number in 0..rows {
            if block.u32_at(4 + 4 * number) as usize != expected || expected + ROW_HEAD_BYTES > block.bytes.len() {
                return Err("a row that is not where it should be");
            }
            let place = block.place(number);
            let end = place.value.as_ref().map_or(place.key.end, |value| value.end);
            if place.key.is_empty() || place.key.len() > KEY_BYTES_MAX {
                return Err("a key of impossible length");
            }
            if place.value.is_some_and(|value| value.len() > VALUE_BYTES_MAX) || end > block.bytes.len() {
                return Err("a value of impossible length");
            }
            let key = &block.bytes[place.key];
            if key <= last_key {
                return Err("keys that do not grow");
            }
            last_key = key;
            expected = end;
        }
        if expected != block.bytes.len() {
            return Err("bytes behind the last row");
        }
        Ok(block)
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many bytes.
    pub fn block_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes that it was parsed from.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// A row's key.
    pub fn key(&self, number: usize) -> &[u8] {
        &self.bytes[self.place(number).key]
    }

    /// A row, sharing the block's memory.
    pub fn row(&self, number: usize) -> Row {
        let place = self.place(number);
        (self.bytes.slice(place.key), place.value.map(|value| self.bytes.slice(value)))
    }

    /// The number of the first row whose key is not less than `key`; the number of rows where there is none.
    pub fn lower_bound(&self, key: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.rows);
        while low < high {
            let middle = low.midpoint(high);
            if self.key(middle) < key { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// A row's value: `None` where the block has no such row, `Some(None)` where it says that the row was removed.
    pub fn get(&self, key: &[u8]) -> Option<Option<Bytes>> {
        let number = self.lower_bound(key);
        (number < self.rows && self.key(number) == key).then(|| self.row(number).1)
    }

    fn u32_at(&self, at: usize) -> u32 {
        let bytes = self.bytes[at..].first_chunk::<4>().expect("the caller knows the block's length");
        u32::from_be_bytes(*bytes)
    }

    fn place(&self, number: usize) -> RowPlace {
        assert!(number < self.rows, "row {number} of a block of {}", self.rows);
        let at = self.u32_at(4 + 4 * number) as usize;
        let key_bytes = usize::from(u16::from_be_bytes([self.bytes[at], self.bytes[at + 1]]));
        let value_bytes = self.u32_at(at + 2);
        let key = at + ROW_HEAD_BYTES..at + ROW_HEAD_BYTES + key_bytes;
        let value = (value_bytes != REMOVED).then(|| key.end..key.end + value_bytes as usize);
        RowPlace { key, value }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn build(rows: &BTreeMap<Vec<u8>, Option<Vec<u8>>>) -> Bytes {
        let mut builder = BlockBuilder::default();
        for (key, value) in rows {
            builder.add(key, value.as_deref());
        }
        let expected = builder.block_bytes();
        let block = builder.finish();
        assert_eq!(block.len(), expected);
        assert!(builder.is_empty());
        block
    }

    fn some_rows() -> impl Strategy<Value = BTreeMap<Vec<u8>, Option<Vec<u8>>>> {
        let key = prop::collection::vec(any::<u8>(), 1..12);
        let value = prop::option::of(prop::collection::vec(any::<u8>(), 0..20));
        prop::collection::btree_map(key, value, 1..40)
    }

    proptest! {
        #[test]
        fn rows_come_out_as_they_went_in(rows in some_rows(), probe in prop::collection::vec(any::<u8>(), 1..12)) {
            let block = Block::parse(build(&rows)).unwrap();
            let found: Vec<_> = (0..block.rows()).map(|number| block.row(number)).collect();
            let expected: Vec<_> =
                rows.iter().map(|(k, v)| (Bytes::from(k.clone()), v.clone().map(Bytes::from))).collect();
            prop_assert_eq!(found, expected);
            prop_assert_eq!(block.get(&probe), rows.get(&probe).map(|v| v.clone().map(Bytes::from)));
            prop_assert_eq!(block.lower_bound(&probe), rows.range(..probe.clone()).count());
        }

        #[test]
        fn damaged_bytes_never_panic(rows in some_rows(), at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
            let whole = build(&rows);
            let mut damaged = whole.to_vec();
            damaged[at.index(whole.len())] = byte;
            if let Ok(block) = Block::parse(Bytes::from(damaged)) {
                for number in 0..block.rows() {
                    let _ = block.row(number);
                }
            }
            prop_assert!(Block::parse(whole.slice(..cut.index(whole.len()))).is_err());
            let mut longer = whole.to_vec();
            longer.push(byte);
            prop_assert!(Block::parse(Bytes::from(longer)).is_err());
        }
    }
}
