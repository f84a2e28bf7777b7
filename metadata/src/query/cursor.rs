//! A place in a table that moves forward, row by row or in leaps: what listings are made of.
//!
//! Rows come in pages. The first page behind a leap is short and each further one twice as long, so that a listing that
//! leaps from prefix to prefix reads little that it does not need, and one that does not leaps soon reads in bulk.

use core::ops::ControlFlow;
use std::collections::VecDeque;

use bytes::Bytes;
use cairn_machine::row::{Table, prefix_end};
use cairn_machine::{RowError, RowSource};

const PAGE_FIRST: usize = 2;
const PAGE_MAX: usize = 256;

/// A place in a table.
pub(super) struct Cursor<'a, S: ?Sized> {
    rows: &'a S,
    /// Where the next page begins, included; none behind the end.
    from: Option<Vec<u8>>,
    /// Where the rows of interest end, excluded.
    end: Option<Vec<u8>>,
    page: VecDeque<(Vec<u8>, Bytes)>,
    page_rows: usize,
}

impl<'a, S: RowSource + ?Sized> Cursor<'a, S> {
    /// Before the first row whose key begins with `prefix`.
    pub(super) fn new(rows: &'a S, table: Table, prefix: &[u8]) -> Self {
        assert_eq!(prefix.first(), Some(&(table as u8)), "a cursor stays inside its table");
        let (from, end) = (Some(prefix.to_vec()), prefix_end(prefix));
        Self { rows, from, end, page: VecDeque::new(), page_rows: PAGE_FIRST }
    }

    /// Leaps forward to the first row at `key` or behind. Never goes back.
    pub(super) fn seek(&mut self, key: Option<&[u8]>) {
        let Some(key) = key else {
            self.page.clear();
            self.from = None;
            return;
        };
        while self.page.front().is_some_and(|(front, _)| front.as_slice() < key) {
            self.page.pop_front();
        }
        if self.page.is_empty() && self.from.as_deref().is_some_and(|from| from < key) {
            self.from = Some(key.to_vec());
            self.page_rows = PAGE_FIRST;
        }
    }

    /// The row here, not yet taken.
    pub(super) fn peek(&mut self) -> Result<Option<&(Vec<u8>, Bytes)>, RowError> {
        if self.page.is_empty() {
            self.fill()?;
        }
        Ok(self.page.front())
    }

    /// Takes the row here.
    pub(super) fn next(&mut self) -> Result<Option<(Vec<u8>, Bytes)>, RowError> {
        if self.page.is_empty() {
            self.fill()?;
        }
        Ok(self.page.pop_front())
    }

    fn fill(&mut self) -> Result<(), RowError> {
        let Some(from) = self.from.take() else { return Ok(()) };
        let (page, limit) = (&mut self.page, self.page_rows);
        self.rows.scan(&from, self.end.as_deref(), &mut |key, value| {
            page.push_back((key.to_vec(), value.clone()));
            if page.len() == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if self.page.len() == limit {
            self.from = self.page.back().map(|(key, _)| after(key));
        }
        self.page_rows = (limit * 2).min(PAGE_MAX);
        Ok(())
    }
}

/// The smallest key that is greater.
pub(super) fn after(key: &[u8]) -> Vec<u8> {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next
}

/// The common prefix that a key is shown as, where it is: up to the first delimiter behind the prefix.
pub(super) fn common_prefix<'k>(key: &'k str, prefix: &str, delimiter: Option<&str>) -> Option<&'k str> {
    let delimiter = delimiter.filter(|delimiter| !delimiter.is_empty())?;
    let at = key.get(prefix.len()..)?.find(delimiter)?;
    Some(&key[..prefix.len() + at + delimiter.len()])
}

/// How many rows one page of a listing may pass over, shown or not: delete markers and old versions are not shown, and a
/// bucket may have millions of them in a row.
pub(super) const PASSED_MAX: usize = 16 * 1024;

/// The first bytes of the keys of a bucket's rows, with more of a key behind.
pub(super) fn bucket_key(table: Table, bucket: cairn_core::BucketId, key: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(9 + key.len());
    bytes.push(table as u8);
    bytes.extend_from_slice(&bucket.to_bytes());
    bytes.extend_from_slice(key.as_bytes());
    bytes
}
