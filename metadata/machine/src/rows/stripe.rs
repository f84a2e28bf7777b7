//! Stripes: their shape and the drives that hold their positions. How much of one lives is a row of its own, so that a
//! stripe whose objects come and go can still be moved by compare-and-set.

use cairn_core::{ChunkName, DriveId, StripeId, StripeShape, WriteId};
use minicbor::{Decode, Encode};

use crate::row::{Row, Table, cbor_row};

/// Where one position of a stripe is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct PlacedChunk {
    /// The drive that holds it.
    #[n(0)]
    pub drive: DriveId,
    /// The attempt that put it there.
    #[n(1)]
    pub write: WriteId,
}

/// A stripe.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct StripeRow {
    /// Its geometry and lengths.
    #[n(0)]
    pub shape: StripeShape,
    /// Each position's place, data first.
    #[n(1)]
    pub positions: Vec<PlacedChunk>,
}

impl StripeRow {
    /// The name of the chunk at a position.
    pub fn chunk(&self, stripe: StripeId, position: u8) -> Option<ChunkName> {
        let placed = self.positions.get(position as usize)?;
        Some(ChunkName { stripe, position, write: placed.write })
    }
}

impl Row for StripeRow {
    const TABLE: Table = Table::Stripe;
    type Key = StripeId;

    fn write_key(key: &StripeId, out: &mut Vec<u8>) {
        out.extend_from_slice(&key.0.to_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<StripeId> {
        Some(StripeId(WriteId::from_bytes(bytes.try_into().ok()?)))
    }

    fn weight(&self) -> usize {
        32 + 32 * self.positions.len()
    }

    cbor_row!();
}

/// How much of a stripe lives. When nothing does, the stripe goes and its chunks are garbage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct StripeLiveRow {
    /// Extents with references.
    #[n(0)]
    pub extents: u32,
    /// Their bytes.
    #[n(1)]
    pub bytes: u64,
}

impl Row for StripeLiveRow {
    const TABLE: Table = Table::StripeLive;
    type Key = StripeId;

    fn write_key(key: &StripeId, out: &mut Vec<u8>) {
        out.extend_from_slice(&key.0.to_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<StripeId> {
        Some(StripeId(WriteId::from_bytes(bytes.try_into().ok()?)))
    }

    cbor_row!();
}
