//! Where the state machine reads rows from: real rows in production, a map in simulation.

use core::ops::ControlFlow;
use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use crate::row::{Row, hex};

/// Rows could not be read. The state machine stops where it is: an entry applied on half-read rows would diverge.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// The storage below failed.
    #[error("rows cannot be read: {0}")]
    Storage(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A row is there and makes no sense.
    #[error("row {key} is damaged: {what}")]
    Damaged {
        /// The row's key, in hexadecimal.
        key: String,
        /// What was found.
        what: String,
    },
}

impl RowError {
    /// For a row that another one says is there.
    pub fn missing<R: Row>(key: &[u8]) -> Self {
        Self::Damaged { key: hex(key), what: format!("this row of {:?} is missing", R::TABLE) }
    }
}

/// Rows at one index of the log.
pub trait RowSource {
    /// The value of a row.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, RowError>;

    /// Visits rows in order of their keys, from `from` (included) up to `to` (excluded; `None` is the end of all rows),
    /// until the visitor breaks.
    fn scan(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &Bytes) -> ControlFlow<()>,
    ) -> Result<(), RowError>;
}

/// Rows in a map: for tests and for the simulation, with the same order as everywhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MapRows(pub BTreeMap<Bytes, Bytes>);

impl MapRows {
    /// Takes over what an entry changed.
    pub fn apply(&mut self, effects: impl IntoIterator<Item = (Bytes, Option<Bytes>)>) {
        for (key, value) in effects {
            match value {
                Some(value) => self.0.insert(key, value),
                None => self.0.remove(&key),
            };
        }
    }
}

impl RowSource for MapRows {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, RowError> {
        Ok(self.0.get(key).cloned())
    }

    fn scan(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &Bytes) -> ControlFlow<()>,
    ) -> Result<(), RowError> {
        if to.is_some_and(|to| to <= from) {
            return Ok(());
        }
        let upper = to.map_or(Bound::Unbounded, Bound::Excluded);
        for (key, value) in self.0.range::<[u8], _>((Bound::Included(from), upper)) {
            if visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }
}
