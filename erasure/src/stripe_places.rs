//! Where a stripe is: what its row says, as the reader and the writer need it.

use cairn_core::chunk::ChunkName;
use cairn_core::stripe::StripeShape;
use cairn_core::{ChunkError, DriveId, StripeId, WriteId};

/// Where one position is: on which drive, by which attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkPlace {
    /// Which drive.
    pub drive: DriveId,
    /// Which attempt at the position.
    pub write: WriteId,
}

/// A stripe and where its chunks are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StripePlaces {
    /// Its name.
    pub id: StripeId,
    /// Its geometry and lengths.
    pub shape: StripeShape,
    /// The place of each position, data first. As many as the geometry has.
    pub positions: Vec<ChunkPlace>,
}

impl StripePlaces {
    /// The name of the chunk at a position.
    pub fn chunk(&self, position: u8) -> ChunkName {
        ChunkName { stripe: self.id, position, write: self.positions[position as usize].write }
    }

    pub(crate) fn check(&self) {
        assert_eq!(self.positions.len(), self.shape.geometry.positions(), "{} has a place for each position", self.id);
    }
}

/// What went wrong at one position.
#[derive(Debug, Clone, thiserror::Error)]
#[error("position {position}: {error}")]
pub struct PositionFault {
    /// Which position of the stripe.
    pub position: u8,
    /// On which drive.
    pub drive: DriveId,
    /// What the drive said, or what its bytes showed.
    #[source]
    pub error: ChunkError,
}

/// Faults in one line, for a person.
pub(crate) fn in_words(faults: &[PositionFault]) -> String {
    let words: Vec<String> = faults.iter().map(PositionFault::to_string).collect();
    words.join("; ")
}
