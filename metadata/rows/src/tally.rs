//! A count and a sum of hashes over an overlay's entries: kept while they are applied, and again while a run is written
//! from them. When both agree, the run holds what was applied and nothing else.
//!
//! A sum does not depend on the order, so the writer's order (by index) and the reader's (by key) give the same one.

use bytes::Bytes;
use cairn_core::LogIndex;

/// How many entries there are, and the sum of their hashes modulo 2^128.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// How many entries.
    pub count: u64,
    /// The sum of their hashes.
    pub sum: u128,
}

impl Tally {
    /// Takes one entry in.
    pub fn add(&mut self, key: &[u8], index: LogIndex, value: Option<&Bytes>) {
        let mut hasher = blake3::Hasher::new();
        // Lengths go first, so that no two entries have the same bytes.
        let key_bytes = u32::try_from(key.len()).expect("a key has a bounded length");
        let mut head = [0; 13];
        head[..4].copy_from_slice(&key_bytes.to_be_bytes());
        head[4..12].copy_from_slice(&index.0.to_be_bytes());
        head[12] = u8::from(value.is_some());
        hasher.update(&head).update(key).update(value.map_or(&[], |value| value));
        let hash = hasher.finalize();
        let (kept, _) = hash.as_bytes().split_first_chunk::<16>().expect("a blake3 hash has 32 bytes");
        self.sum = self.sum.wrapping_add(u128::from_be_bytes(*kept));
        self.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(entries: &[(&str, u64, Option<&str>)]) -> Tally {
        let mut tally = Tally::default();
        for (key, index, value) in entries {
            let value = value.map(|value| Bytes::copy_from_slice(value.as_bytes()));
            tally.add(key.as_bytes(), LogIndex(*index), value.as_ref());
        }
        tally
    }

    #[test]
    fn order_does_not_matter_and_everything_else_does() {
        let all = tally(&[("a", 1, Some("x")), ("b", 2, None)]);
        assert_eq!(all, tally(&[("b", 2, None), ("a", 1, Some("x"))]));
        for other in [
            tally(&[("a", 1, Some("x"))]),
            tally(&[("a", 2, Some("x")), ("b", 2, None)]),
            tally(&[("a", 1, Some("y")), ("b", 2, None)]),
            tally(&[("a", 1, Some("x")), ("b", 2, Some(""))]),
            tally(&[("ax", 1, Some("")), ("b", 2, None)]),
        ] {
            assert_ne!(all, other);
        }
    }
}
