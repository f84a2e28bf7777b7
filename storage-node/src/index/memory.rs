//! The index in memory: nothing to recover, nothing to distrust, some 90 bytes for each chunk. The twin for simulation,
//! and the default (`docs/adr/0006-drive.md` has the figures).

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use cairn_core::ChunkName;
use cairn_journal::Place;

use super::{ChunkIndex, IndexError};

/// Names and places in their binary forms: byte order is name order, and nothing is padded.
type Entries = BTreeMap<[u8; ChunkName::BYTES], [u8; Place::BYTES]>;

/// A map in memory.
#[derive(Default)]
pub struct MemoryIndex {
    entries: RwLock<Entries>,
}

impl fmt::Debug for MemoryIndex {
    /// Millions of entries are no help to anyone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryIndex({} chunks)", self.read().len())
    }
}

impl MemoryIndex {
    fn read(&self) -> RwLockReadGuard<'_, Entries> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn place(bytes: &[u8; Place::BYTES]) -> Place {
    Place::from_slice(bytes).expect("every entry was made by Place::to_bytes")
}

impl ChunkIndex for MemoryIndex {
    fn get(&self, name: &ChunkName) -> Result<Option<Place>, IndexError> {
        Ok(self.read().get(&name.to_bytes()).map(place))
    }

    fn insert(&self, name: &ChunkName, at: Place) -> Result<Option<Place>, IndexError> {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        Ok(entries.insert(name.to_bytes(), at.to_bytes()).as_ref().map(place))
    }

    fn remove(&self, name: &ChunkName) -> Result<Option<Place>, IndexError> {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        Ok(entries.remove(&name.to_bytes()).as_ref().map(place))
    }

    fn page(&self, after: Option<&ChunkName>, limit: usize) -> Result<Vec<(ChunkName, Place)>, IndexError> {
        let start = after.map_or(Bound::Unbounded, |name| Bound::Excluded(name.to_bytes()));
        let entries = self.read();
        let page = entries.range((start, Bound::Unbounded)).take(limit).map(|(name, at)| {
            (ChunkName::from_slice(name).expect("every key was made by ChunkName::to_bytes"), place(at))
        });
        Ok(page.collect())
    }

    fn count(&self) -> Result<u64, IndexError> {
        Ok(self.read().len() as u64)
    }
}
