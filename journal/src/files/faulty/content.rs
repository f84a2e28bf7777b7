//! The bytes of one file, sparse, and the changes that make them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::ranges::Ranges;

pub(super) const PAGE_BYTES: u64 = 4096;

type Page = [u8; PAGE_BYTES as usize];

/// One change, as it travels to the device.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Write { offset: u64, bytes: Bytes },
    Allocate { length: u64 },
    Truncate { length: u64 },
    Punch { offset: u64, length: u64 },
}

/// Cheap to clone: pages are shared until one of the two is changed.
#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    pub length: u64,
    pages: BTreeMap<u64, Arc<Page>>,
    /// The pages that take room, written or only promised.
    pub allocated: Ranges,
}

impl Content {
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Write { offset, bytes } => self.write(*offset, bytes),
            Change::Allocate { length } => {
                self.length = self.length.max(*length);
                self.allocated.insert(0..length.div_ceil(PAGE_BYTES));
            }
            Change::Truncate { length } => {
                if *length < self.length {
                    self.clear(*length..self.length.next_multiple_of(PAGE_BYTES));
                }
                self.length = *length;
            }
            Change::Punch { offset, length } => {
                let end = offset.saturating_add(*length).min(self.length.next_multiple_of(PAGE_BYTES));
                if *offset < end {
                    self.clear(*offset..end);
                }
            }
        }
    }

    /// Fills the buffer; what was never written reads zero. The caller has checked the length.
    pub fn read(&self, buffer: &mut [u8], offset: u64) {
        buffer.fill(0);
        let end = offset + buffer.len() as u64;
        for (number, page) in self.pages.range(offset / PAGE_BYTES..end.div_ceil(PAGE_BYTES)) {
            let page_at = number * PAGE_BYTES;
            let (start, stop) = (page_at.max(offset), (page_at + PAGE_BYTES).min(end));
            let source = &page[(start - page_at) as usize..(stop - page_at) as usize];
            buffer[(start - offset) as usize..(stop - offset) as usize].copy_from_slice(source);
        }
    }

    /// How much more room a change would take, in pages.
    pub fn pages_needed(&self, change: &Change) -> u64 {
        match change {
            Change::Write { offset, bytes } => self.allocated.missing(pages(*offset..offset + bytes.len() as u64)),
            Change::Allocate { length } => self.allocated.missing(0..length.div_ceil(PAGE_BYTES)),
            Change::Truncate { .. } | Change::Punch { .. } => 0,
        }
    }

    pub fn next_data(&self, offset: u64) -> Option<u64> {
        let (number, _) = self.pages.range(offset / PAGE_BYTES..).next()?;
        let data = (number * PAGE_BYTES).max(offset);
        (data < self.length).then_some(data)
    }

    pub fn flip_bit(&mut self, offset: u64, bit: u8) {
        let mut byte = [0];
        self.read(&mut byte, offset);
        byte[0] ^= 1 << (bit % 8);
        self.write(offset, &byte);
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len() as u64;
        self.length = self.length.max(end);
        for number in pages(offset..end) {
            let page_at = number * PAGE_BYTES;
            let (start, stop) = (page_at.max(offset), (page_at + PAGE_BYTES).min(end));
            let page = Arc::make_mut(self.pages.entry(number).or_insert_with(|| Arc::new([0; PAGE_BYTES as usize])));
            page[(start - page_at) as usize..(stop - page_at) as usize]
                .copy_from_slice(&bytes[(start - offset) as usize..(stop - offset) as usize]);
        }
        self.allocated.insert(pages(offset..end));
    }

    /// Zeros a range; pages that lie in it whole are given back.
    fn clear(&mut self, range: Range<u64>) {
        let whole = range.start.div_ceil(PAGE_BYTES)..range.end / PAGE_BYTES;
        for number in pages(range.clone()).filter(|number| !whole.contains(number)) {
            if let Some(page) = self.pages.get_mut(&number) {
                let page_at = number * PAGE_BYTES;
                let (start, stop) = (page_at.max(range.start), (page_at + PAGE_BYTES).min(range.end));
                Arc::make_mut(page)[(start - page_at) as usize..(stop - page_at) as usize].fill(0);
            }
        }
        if whole.start < whole.end {
            let gone: Vec<u64> = self.pages.range(whole.clone()).map(|(&number, _)| number).collect();
            for number in gone {
                self.pages.remove(&number);
            }
            self.allocated.remove(whole);
        }
    }
}

/// The pages that a range of bytes touches.
pub(super) fn pages(range: Range<u64>) -> Range<u64> {
    if range.is_empty() { 0..0 } else { range.start / PAGE_BYTES..range.end.div_ceil(PAGE_BYTES) }
}
