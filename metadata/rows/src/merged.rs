//! Several sources of rows as one: in the order of keys, and for each key only what the newest source says.

use crate::error::RowsError;
use crate::overlay::Row;
use crate::overlay::cursor::OverlayCursor;
use crate::run::cursor::RunCursor;

/// One source of rows, in the order of their keys.
#[derive(Debug)]
pub enum Source {
    /// What is newer than the newest run.
    Overlay(OverlayCursor),
    /// A run.
    Run(RunCursor),
}

impl Source {
    fn key(&self) -> Option<&[u8]> {
        match self {
            Self::Overlay(cursor) => cursor.key(),
            Self::Run(cursor) => cursor.key(),
        }
    }

    fn row(&self) -> Option<Row> {
        match self {
            Self::Overlay(cursor) => cursor.row(),
            Self::Run(cursor) => cursor.row(),
        }
    }

    fn advance(&mut self) -> Result<(), RowsError> {
        match self {
            Self::Overlay(cursor) => cursor.advance().map_err(RowsError::Overlay),
            Self::Run(cursor) => cursor.advance(),
        }
    }

    fn seek(&mut self, key: &[u8]) -> Result<(), RowsError> {
        match self {
            Self::Overlay(cursor) => cursor.seek(key).map_err(RowsError::Overlay),
            Self::Run(cursor) => cursor.seek(key),
        }
    }
}

/// Sources from the newest to the oldest, merged.
///
/// Most rows in a row come from one source. So beside the leader (the source with the least key; of equals, the newest)
/// its rival is known (the least of the others): while the leader stays below the rival, nobody else is looked at.
#[derive(Debug)]
pub struct Merged {
    sources: Vec<Source>,
    leader: Option<usize>,
    rival: Option<usize>,
}

impl Merged {
    /// Sources, newest first.
    pub fn new(sources: Vec<Source>) -> Self {
        let mut merged = Self { sources, leader: None, rival: None };
        merged.settle();
        merged
    }

    /// Whether source `a` comes before source `b`; a source that has ended comes last.
    fn precedes(&self, a: usize, b: usize) -> bool {
        match (self.sources[a].key(), self.sources[b].key()) {
            (Some(x), Some(y)) => (x, a) < (y, b),
            (first, _) => first.is_some(),
        }
    }

    fn settle(&mut self) {
        (self.leader, self.rival) = (None, None);
        for source in 0..self.sources.len() {
            if self.leader.is_none_or(|leader| self.precedes(source, leader)) {
                (self.leader, self.rival) = (Some(source), self.leader);
            } else if self.rival.is_none_or(|rival| self.precedes(source, rival)) {
                self.rival = Some(source);
            }
        }
    }

    /// The key of the next row.
    pub fn key(&self) -> Option<&[u8]> {
        self.leader.and_then(|leader| self.sources[leader].key())
    }

    /// The next row, removals among them.
    pub fn next_row(&mut self) -> Result<Option<Row>, RowsError> {
        let Some(leader) = self.leader else { return Ok(None) };
        let Some(row) = self.sources[leader].row() else { return Ok(None) };
        self.sources[leader].advance()?;
        let rival_key = self.rival.and_then(|rival| self.sources[rival].key());
        if rival_key == Some(row.0.as_ref()) {
            // Older sources have the same key, and what they say is no longer so.
            for source in &mut self.sources {
                if source.key() == Some(row.0.as_ref()) {
                    source.advance()?;
                }
            }
            self.settle();
        } else if self.rival.is_some_and(|rival| self.precedes(rival, leader)) {
            self.settle();
        }
        Ok(Some(row))
    }

    /// Forward to the first row whose key is not less than `key`; never back.
    pub fn seek(&mut self, key: &[u8]) -> Result<(), RowsError> {
        for source in &mut self.sources {
            source.seek(key)?;
        }
        self.settle();
        Ok(())
    }
}
