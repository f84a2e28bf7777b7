//! Bloom filters: a no that is certain, a yes that is a maybe, for a few bits per key.
//!
//! A key's bits all stand in one line of 512, so that a question touches one cache line. At ten bits per key one
//! question in some hundred is answered with a needless maybe. A filter in memory is filled while it is asked; a filter
//! in a run is bytes of its footer.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

/// A line of a filter, in bytes.
const LINE_BYTES: usize = 64;
/// How many bits of its line a key sets.
const BITS_PER_KEY_SET: usize = 6;
/// How many bits of filter a key gets.
const BITS_PER_KEY: usize = 10;

/// The most bytes of filter in one run: 50 million keys at full sharpness; beyond that it becomes blunt, not larger.
pub const FILTER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What a filter looks at instead of a key. Computed once for a lookup, however many filters are asked.
#[derive(Debug, Clone, Copy)]
pub struct KeyHash {
    line: u64,
    bits: u64,
}

impl KeyHash {
    /// The hash that is part of the run format: the first 16 bytes of the key's blake3.
    pub fn of(key: &[u8]) -> Self {
        let hash = blake3::hash(key);
        let half = |at: usize| {
            let mut half = [0; 8];
            half.copy_from_slice(&hash.as_bytes()[at..at + 8]);
            u64::from_be_bytes(half)
        };
        Self { line: half(0), bits: half(8) }
    }

    /// Which of so many lines.
    fn line(self, lines: usize) -> usize {
        ((u128::from(self.line) * lines as u128) >> 64) as usize
    }

    /// Which bits of the line, each below 512.
    fn bits(self) -> impl Iterator<Item = usize> {
        (0..BITS_PER_KEY_SET).map(move |at| (self.bits >> (9 * at)) as usize & 511)
    }
}

/// A filter as it stands in a run.
#[derive(Debug, Clone)]
pub struct Filter {
    lines: Bytes,
}

impl Filter {
    /// Takes over bytes of a footer. `None` where they are no whole number of lines, or none at all.
    pub fn from_bytes(lines: Bytes) -> Option<Self> {
        let whole = !lines.is_empty() && lines.len().is_multiple_of(LINE_BYTES) && lines.len() <= FILTER_BYTES_MAX;
        whole.then_some(Self { lines })
    }

    /// Whether a key may have been added.
    pub fn may_contain(&self, key: KeyHash) -> bool {
        let line = key.line(self.lines.len() / LINE_BYTES) * LINE_BYTES;
        key.bits().all(|bit| self.lines[line + bit / 8] & (1 << (bit % 8)) != 0)
    }
}

/// A filter that a run's writer fills.
#[derive(Debug)]
pub struct FilterBuilder {
    lines: Vec<u8>,
}

impl FilterBuilder {
    /// Room for so many keys.
    pub fn for_keys(keys: u64) -> Self {
        let bits = keys.saturating_mul(BITS_PER_KEY as u64);
        let bytes = usize::try_from(bits / 8).unwrap_or(usize::MAX).clamp(1, FILTER_BYTES_MAX);
        Self { lines: vec![0; bytes.next_multiple_of(LINE_BYTES)] }
    }

    /// Adds a key.
    pub fn add(&mut self, key: KeyHash) {
        let line = key.line(self.lines.len() / LINE_BYTES) * LINE_BYTES;
        for bit in key.bits() {
            self.lines[line + bit / 8] |= 1 << (bit % 8);
        }
    }

    /// The filter's bytes.
    pub fn finish(self) -> Vec<u8> {
        self.lines
    }
}

/// A filter over an overlay: one writer adds while any number of readers ask.
///
/// Bits are set without an order of their own. A reader learns of a log index from the same lock that the writer released
/// after it had set that index's bits, so it never misses a bit that it needs.
#[derive(Debug)]
pub struct SharedFilter {
    words: Box<[AtomicU64]>,
}

impl SharedFilter {
    const WORDS_PER_LINE: usize = LINE_BYTES / 8;

    /// Room for so many keys.
    pub fn for_keys(keys: usize) -> Self {
        let words = (keys * BITS_PER_KEY).div_ceil(64).next_multiple_of(Self::WORDS_PER_LINE);
        Self { words: (0..words.max(Self::WORDS_PER_LINE)).map(|_| AtomicU64::new(0)).collect() }
    }

    fn line(&self, key: KeyHash) -> &[AtomicU64] {
        let line = key.line(self.words.len() / Self::WORDS_PER_LINE) * Self::WORDS_PER_LINE;
        &self.words[line..line + Self::WORDS_PER_LINE]
    }

    /// Adds a key.
    pub fn add(&self, key: KeyHash) {
        let line = self.line(key);
        for bit in key.bits() {
            line[bit / 64].fetch_or(1 << (bit % 64), Ordering::Relaxed);
        }
    }

    /// Whether a key may have been added.
    pub fn may_contain(&self, key: KeyHash) -> bool {
        let line = self.line(key);
        key.bits().all(|bit| line[bit / 64].load(Ordering::Relaxed) & (1 << (bit % 64)) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(number: u32) -> KeyHash {
        KeyHash::of(&number.to_be_bytes())
    }

    #[test]
    fn what_was_added_is_never_denied_and_little_else_is_claimed() {
        const KEYS: u32 = 20_000;
        let mut builder = FilterBuilder::for_keys(KEYS.into());
        let shared = SharedFilter::for_keys(KEYS as usize);
        for number in 0..KEYS {
            builder.add(hash(number));
            shared.add(hash(number));
        }
        let filter = Filter::from_bytes(Bytes::from(builder.finish())).unwrap();
        assert!((0..KEYS).all(|number| filter.may_contain(hash(number)) && shared.may_contain(hash(number))));
        let others = KEYS..2 * KEYS;
        let claimed = others.clone().filter(|&number| filter.may_contain(hash(number))).count();
        let claimed_shared = others.filter(|&number| shared.may_contain(hash(number))).count();
        for claimed in [claimed, claimed_shared] {
            assert!(claimed < KEYS as usize / 40, "{claimed} of {KEYS} keys that were never added are claimed");
        }
    }

    #[test]
    fn a_filter_has_a_whole_number_of_lines_and_a_bound() {
        for wrong in [0, 63, 65, FILTER_BYTES_MAX + LINE_BYTES] {
            assert!(Filter::from_bytes(Bytes::from(vec![0; wrong])).is_none(), "{wrong}");
        }
        assert_eq!(FilterBuilder::for_keys(0).finish().len(), LINE_BYTES);
        assert_eq!(FilterBuilder::for_keys(u64::MAX).finish().len(), FILTER_BYTES_MAX);
    }
}
