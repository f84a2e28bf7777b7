//! Where a version's bytes are: from a range of the object to ranges of stripes, a bounded number at a time.

use core::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use cairn_core::StripeId;
use cairn_machine::row::Row;
use cairn_machine::rows::extent::{ExtentPlace, ExtentRow};
use cairn_machine::rows::manifest::{ManifestId, ManifestPageRow, ManifestPartsRow, ManifestRow};
use cairn_machine::rows::object::{Content, ExtentRange};
use cairn_machine::rows::stripe::StripeRow;
use cairn_machine::{RowError, RowSource};

/// A run of an object's bytes that lies in one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocatedRange {
    /// Where in the object it begins.
    pub object_offset: u64,
    /// How many bytes; never zero.
    pub length: u32,
    /// Where they are.
    pub place: LocatedPlace,
}

/// Where bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocatedPlace {
    /// Here: exactly the bytes of the range.
    Here(Bytes),
    /// In a stripe.
    Stripe {
        /// Which one.
        id: StripeId,
        /// Its shape and where its chunks are. Ranges of one stripe that follow each other share it.
        row: Arc<StripeRow>,
        /// Where in the stripe's data the range begins.
        offset: u64,
    },
}

/// The places of a range of an object, in order, at most so many. They begin where the range does and leave no gap; what
/// does not fit the limit is asked for again, from where the last one ends. A range behind the object's end is cut.
pub fn locate<S: RowSource + ?Sized>(
    rows: &S,
    content: &Content,
    range: Range<u64>,
    limit: usize,
) -> Result<Vec<LocatedRange>, RowError> {
    let mut places = Places { rows, range, limit, found: Vec::new(), stripe: None };
    if places.range.is_empty() {
        return Ok(places.found);
    }
    places.add_content(0, content)?;
    Ok(places.found)
}

/// The page that holds something: the last one that is `before` it, or the first one.
pub(super) fn page_of<R: Row<Key = (ManifestId, u32)>, S: RowSource + ?Sized>(
    rows: &S,
    manifest: ManifestId,
    pages: u32,
    before: impl Fn(&R) -> bool,
) -> Result<(u32, R), RowError> {
    let (mut low, mut high) = (0, pages);
    let mut page = must::<R, S>(rows, &(manifest, 0))?;
    // Page `low` is before it, page `high` behind.
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        let candidate = must::<R, S>(rows, &(manifest, middle))?;
        if before(&candidate) {
            (low, page) = (middle, candidate);
        } else {
            high = middle;
        }
    }
    Ok((low, page))
}

struct Places<'a, S: ?Sized> {
    rows: &'a S,
    range: Range<u64>,
    limit: usize,
    found: Vec<LocatedRange>,
    stripe: Option<(StripeId, Arc<StripeRow>)>,
}

impl<S: RowSource + ?Sized> Places<'_, S> {
    /// Adds what lies in this content, which begins at `at`. False once nothing more is wanted.
    fn add_content(&mut self, at: u64, content: &Content) -> Result<bool, RowError> {
        let manifest = match content {
            Content::Ranges(ranges) => return self.add(at, ranges),
            Content::Manifest(manifest) => *manifest,
        };
        let head = must::<ManifestRow, S>(self.rows, &manifest)?;
        let wanted = self.range.start.saturating_sub(at);
        if wanted >= head.bytes {
            return Ok(true);
        }
        if head.parts.is_some() {
            return self.add_parts(at, manifest, head.pages, wanted);
        }
        let begins = |page: &ManifestPageRow| page.offset <= wanted;
        let (mut number, mut page) = page_of(self.rows, manifest, head.pages, begins)?;
        while self.add(at + page.offset, &page.ranges)? {
            number += 1;
            if number == head.pages {
                return Ok(true);
            }
            page = must::<ManifestPageRow, S>(self.rows, &(manifest, number))?;
        }
        Ok(false)
    }

    /// Adds what lies in the parts of a manifest, from the page on that holds the byte that is wanted.
    fn add_parts(&mut self, at: u64, manifest: ManifestId, pages: u32, wanted: u64) -> Result<bool, RowError> {
        let begins = |page: &ManifestPartsRow| page.offset <= wanted;
        let (mut number, mut page) = page_of(self.rows, manifest, pages, begins)?;
        loop {
            let mut begin = at + page.offset;
            for part in &page.parts {
                if begin + part.size > self.range.start && !self.add_content(begin, &part.content)? {
                    return Ok(false);
                }
                begin += part.size;
            }
            number += 1;
            if number == pages {
                return Ok(true);
            }
            page = must::<ManifestPartsRow, S>(self.rows, &(manifest, number))?;
        }
    }

    /// Adds what lies in these extents, the first of which begins at `at`. False once nothing more is wanted.
    fn add(&mut self, mut at: u64, ranges: &[ExtentRange]) -> Result<bool, RowError> {
        for range in ranges {
            let end = at + u64::from(range.length);
            if at >= self.range.end || self.found.len() == self.limit {
                return Ok(false);
            }
            let (from, to) = (at.max(self.range.start), end.min(self.range.end));
            if from < to {
                let skipped = u32::try_from(from - at).expect("shorter than the range");
                let length = u32::try_from(to - from).expect("shorter than the range");
                let place = self.place(range, skipped, length)?;
                self.found.push(LocatedRange { object_offset: from, length, place });
            }
            at = end;
        }
        Ok(at < self.range.end && self.found.len() < self.limit)
    }

    fn place(&mut self, range: &ExtentRange, skipped: u32, length: u32) -> Result<LocatedPlace, RowError> {
        let extent = must::<ExtentRow, S>(self.rows, &range.extent)?;
        let damaged = |what: &str| RowError::Damaged { key: format!("{:?}", range.extent), what: what.into() };
        let start = range.offset.checked_add(skipped).ok_or_else(|| damaged("a range behind every extent"))?;
        if start.checked_add(length).is_none_or(|end| end > extent.length) {
            return Err(damaged("a range outside its extent"));
        }
        match extent.place {
            ExtentPlace::Here { bytes, hash } => {
                let bytes = Bytes::from(Vec::from(bytes));
                // No block checksum covers these bytes, so their own hash is what makes them believed (invariant 2).
                if bytes.len() != extent.length as usize || *blake3::hash(&bytes).as_bytes() != hash {
                    return Err(damaged("its bytes do not match their hash"));
                }
                Ok(LocatedPlace::Here(bytes.slice(start as usize..(start + length) as usize)))
            }
            ExtentPlace::Stripe { stripe, offset } => {
                let row = match &self.stripe {
                    Some((id, row)) if *id == stripe => Arc::clone(row),
                    _ => Arc::new(must::<StripeRow, S>(self.rows, &stripe)?),
                };
                self.stripe = Some((stripe, Arc::clone(&row)));
                Ok(LocatedPlace::Stripe { id: stripe, row, offset: offset + u64::from(start) })
            }
        }
    }
}

pub(super) fn must<R: Row, S: RowSource + ?Sized>(rows: &S, key: &R::Key) -> Result<R, RowError> {
    R::get(rows, key)?.ok_or_else(|| RowError::missing::<R>(&R::key(key)))
}
