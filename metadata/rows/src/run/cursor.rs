//! Walking through a run in the order of its keys, and jumping ahead in it.

use std::sync::Arc;

use super::block::Block;
use super::reader::Run;
use crate::error::RowsError;
use crate::overlay::Row;

/// Whether blocks that are read stay for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Somebody may come back soon.
    Cached,
    /// The run is read once from end to end.
    Once,
}

/// A place in a run: at a row, or behind the last one.
#[derive(Debug)]
pub struct RunCursor {
    run: Arc<Run>,
    reading: Reading,
    /// The block and its number; `None` behind the last row.
    at: Option<(Block, usize)>,
    row: usize,
}

impl RunCursor {
    /// At the first row whose key is not less than `from`.
    pub fn seek_in(run: Arc<Run>, from: &[u8], reading: Reading) -> Result<Self, RowsError> {
        let mut cursor = Self { run, reading, at: None, row: 0 };
        if let Some(number) = cursor.run.footer().block_for(from) {
            cursor.enter(number)?;
            cursor.settle(from)?;
        }
        Ok(cursor)
    }

    fn enter(&mut self, number: usize) -> Result<(), RowsError> {
        self.row = 0;
        self.at = None;
        if number < self.run.footer().blocks() {
            let block = match self.reading {
                Reading::Cached => self.run.block(number)?,
                Reading::Once => self.run.block_uncached(number)?,
            };
            self.at = Some((block, number));
        }
        Ok(())
    }

    /// Finds a key in the block that holds it if any does; it may also be the first of the next block.
    fn settle(&mut self, key: &[u8]) -> Result<(), RowsError> {
        let Some((block, number)) = &self.at else { return Ok(()) };
        self.row = block.lower_bound(key);
        if self.row == block.rows() {
            let next = number + 1;
            self.enter(next)?;
        }
        Ok(())
    }

    /// The key of the row that it stands at.
    pub fn key(&self) -> Option<&[u8]> {
        self.at.as_ref().map(|(block, _)| block.key(self.row))
    }

    /// The row that it stands at.
    pub fn row(&self) -> Option<Row> {
        self.at.as_ref().map(|(block, _)| block.row(self.row))
    }

    /// To the next row.
    pub fn advance(&mut self) -> Result<(), RowsError> {
        if let Some((block, number)) = &self.at {
            self.row += 1;
            if self.row == block.rows() {
                let next = number + 1;
                self.enter(next)?;
            }
        }
        Ok(())
    }

    /// Forward to the first row whose key is not less than `key`; never back. Costs one block, however far it is.
    pub fn seek(&mut self, key: &[u8]) -> Result<(), RowsError> {
        let Some((block, number)) = &self.at else { return Ok(()) };
        if block.key(self.row) >= key {
            return Ok(());
        }
        let target = self.run.footer().block_for(key).expect("a run with a row has a block");
        assert!(target >= *number, "a greater key stands in the same block or a later one");
        if target > *number {
            self.enter(target)?;
        }
        self.settle(key)
    }
}
