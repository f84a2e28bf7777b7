//! Which extents hold a range of something's bytes: what a copy of a range refers to.
//!
//! The rows that are looked at are bounded: a search halves the pages, and the pages behind it are as many as hold the
//! extents that are allowed.

use core::ops::Range;

use crate::apply::transaction::{Stop, Tabled, Transaction};
use crate::outcome::Refusal;
use crate::rows::manifest::{ManifestId, ManifestPageRow, ManifestPartsRow, ManifestRow};
use crate::rows::object::{Content, ExtentRange};
use crate::source::RowSource;

/// The extents of these bytes, in order. More than `most` are refused; what a copy needs more for goes in steps.
pub(crate) fn of<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    content: &Content,
    range: Range<u64>,
    most: usize,
) -> Result<Vec<ExtentRange>, Stop> {
    let bytes = range.end - range.start;
    let mut found = Found { range, ranges: Vec::new(), most };
    found.in_content(rows, content, 0)?;
    let covered: u64 = found.ranges.iter().map(|range| u64::from(range.length)).sum();
    assert_eq!(covered, bytes, "invariant 4: what is said to have these bytes has them");
    Ok(found.ranges)
}

struct Found {
    range: Range<u64>,
    ranges: Vec<ExtentRange>,
    most: usize,
}

impl Found {
    /// Adds what of this content, which begins at `at`, lies in the range.
    fn in_content<S: RowSource + ?Sized>(
        &mut self,
        rows: &mut Transaction<'_, S>,
        content: &Content,
        at: u64,
    ) -> Result<(), Stop> {
        match content {
            Content::Ranges(ranges) => self.in_ranges(ranges, at),
            Content::Manifest(id) => {
                let head = rows.must::<ManifestRow>(id)?;
                let wanted = self.range.start.saturating_sub(at);
                if head.parts.is_some() {
                    self.in_parts(rows, *id, head.pages, wanted, at)
                } else {
                    self.in_pages(rows, *id, head.pages, wanted, at)
                }
            }
        }
    }

    fn in_pages<S: RowSource + ?Sized>(
        &mut self,
        rows: &mut Transaction<'_, S>,
        id: ManifestId,
        pages: u32,
        wanted: u64,
        at: u64,
    ) -> Result<(), Stop> {
        let first = page_of(rows, id, pages, wanted, |page: &ManifestPageRow| page.offset)?;
        for number in first..pages {
            let page = rows.must::<ManifestPageRow>(&(id, number))?;
            if at + page.offset >= self.range.end {
                break;
            }
            self.in_ranges(&page.ranges, at + page.offset)?;
        }
        Ok(())
    }

    fn in_parts<S: RowSource + ?Sized>(
        &mut self,
        rows: &mut Transaction<'_, S>,
        id: ManifestId,
        pages: u32,
        wanted: u64,
        at: u64,
    ) -> Result<(), Stop> {
        let first = page_of(rows, id, pages, wanted, |page: &ManifestPartsRow| page.offset)?;
        for number in first..pages {
            let page = rows.must::<ManifestPartsRow>(&(id, number))?;
            let mut begin = at + page.offset;
            for part in &page.parts {
                if begin >= self.range.end {
                    return Ok(());
                }
                if begin + part.size > self.range.start {
                    self.in_content(rows, &part.content, begin)?;
                }
                begin += part.size;
            }
        }
        Ok(())
    }

    fn in_ranges(&mut self, ranges: &[ExtentRange], mut at: u64) -> Result<(), Stop> {
        for range in ranges {
            let end = at + u64::from(range.length);
            let (from, to) = (at.max(self.range.start), end.min(self.range.end));
            if from < to {
                if self.ranges.len() == self.most {
                    return Err(Refusal::TooLarge.into());
                }
                let short = |length: u64| u32::try_from(length).expect("shorter than the extent");
                self.ranges.push(ExtentRange {
                    extent: range.extent,
                    offset: range.offset + short(from - at),
                    length: short(to - from),
                });
            }
            at = end;
        }
        Ok(())
    }
}

/// The page that holds a byte: the last one that begins at or before it.
fn page_of<R: Tabled<Key = (ManifestId, u32)>, S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    id: ManifestId,
    pages: u32,
    at: u64,
    offset: impl Fn(&R) -> u64,
) -> Result<u32, Stop> {
    let (mut low, mut high) = (0, pages);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if offset(&*rows.must::<R>(&(id, middle))?) <= at { low = middle } else { high = middle }
    }
    Ok(low)
}
