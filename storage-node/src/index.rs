//! Where each chunk lies: chunk name to place in the journal.
//!
//! Never the only copy (invariant 8): the journal's segments say the same, and at every start the index is brought into
//! agreement with them before anything is served. Two implementations pass the same tests: [`MemoryIndex`], which is
//! filled anew at each start, and [`SledIndex`], which bounds memory and is reconciled.

mod generation;
mod memory;
mod sled;

use core::fmt::Debug;

use cairn_core::ChunkName;
use cairn_journal::Place;

pub(crate) use self::generation::{next_generation, open_generation};
pub use self::memory::MemoryIndex;
pub use self::sled::SledIndex;

/// The index failed. It is no truth: throw it away and build it again from the journal.
#[derive(Debug, thiserror::Error)]
#[error("the chunk index failed: {what}")]
pub struct IndexError {
    /// What the implementation said.
    pub what: String,
}

/// Chunk name to place. Calls return in microseconds and may be made from an async task.
pub trait ChunkIndex: Send + Sync + Debug {
    /// Where a chunk lies.
    fn get(&self, name: &ChunkName) -> Result<Option<Place>, IndexError>;

    /// Notes where a chunk lies. Where it lay before, if it was known.
    fn insert(&self, name: &ChunkName, place: Place) -> Result<Option<Place>, IndexError>;

    /// Forgets a chunk. Where it lay, if it was known.
    fn remove(&self, name: &ChunkName) -> Result<Option<Place>, IndexError>;

    /// Chunks in order of their names, behind `after`, at most `limit`.
    fn page(&self, after: Option<&ChunkName>, limit: usize) -> Result<Vec<(ChunkName, Place)>, IndexError>;

    /// How many chunks it knows, counted one by one: what a reconciliation believes.
    fn count(&self) -> Result<u64, IndexError>;
}

#[cfg(test)]
mod tests;
