//! Walking through an overlay as it was at an index, page by page, and jumping ahead in it.

use std::sync::Arc;

use bytes::Bytes;
use cairn_core::LogIndex;

use super::{OverlayError, Row};
use crate::generation::Generation;

/// The first page is short, because many walks end or jump soon; each further one is twice as long.
const PAGE_ROWS_MIN: usize = 2;
/// No page is longer: with rows of the usual size it takes some 50 KiB.
const PAGE_ROWS_MAX: usize = 256;

/// A place in an overlay: at a row, or behind the last one.
#[derive(Debug)]
pub struct OverlayCursor {
    generation: Arc<Generation>,
    at: LogIndex,
    to: Option<Bytes>,
    page: Vec<Row>,
    row: usize,
    page_rows: usize,
    /// Whether rows may follow the page.
    more: bool,
}

impl OverlayCursor {
    /// At the first row in the range, as of an index.
    pub fn seek_in(
        generation: Arc<Generation>,
        at: LogIndex,
        from: &[u8],
        to: Option<Bytes>,
    ) -> Result<Self, OverlayError> {
        let page = Vec::new();
        let mut cursor = Self { generation, at, to, page, row: 0, page_rows: PAGE_ROWS_MIN, more: true };
        cursor.fill(from)?;
        Ok(cursor)
    }

    fn fill(&mut self, from: &[u8]) -> Result<(), OverlayError> {
        self.page.clear();
        self.row = 0;
        let to = self.to.as_deref();
        self.generation.overlay().page(from, to, self.at, self.page_rows, &mut self.page)?;
        self.more = self.page.len() == self.page_rows;
        Ok(())
    }

    /// The key of the row that it stands at.
    pub fn key(&self) -> Option<&[u8]> {
        self.page.get(self.row).map(|(key, _)| key.as_ref())
    }

    /// The row that it stands at.
    pub fn row(&self) -> Option<Row> {
        self.page.get(self.row).cloned()
    }

    /// To the next row.
    pub fn advance(&mut self) -> Result<(), OverlayError> {
        self.row += 1;
        if self.row == self.page.len() && self.more {
            let (last, _) = self.page.last().expect("a page that may be followed by rows is full");
            // Nothing stands between a key and the same with a zero behind it.
            let next = [last.as_ref(), &[0]].concat();
            self.page_rows = (2 * self.page_rows).min(PAGE_ROWS_MAX);
            self.fill(&next)?;
        }
        Ok(())
    }

    /// Forward to the first row whose key is not less than `key`; never back.
    pub fn seek(&mut self, key: &[u8]) -> Result<(), OverlayError> {
        let ahead = self.page[self.row.min(self.page.len())..].partition_point(|(there, _)| there < key);
        self.row += ahead;
        if self.row >= self.page.len() && self.more {
            self.page_rows = PAGE_ROWS_MIN;
            self.fill(key)?;
        }
        Ok(())
    }
}
