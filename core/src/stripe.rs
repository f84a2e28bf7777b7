//! How the bytes of a stripe lie in its chunks: pure arithmetic.
//!
//! ```text
//! stripe data   | extent | extent | ... | zeros | table of contents |
//! data chunk    |<--- chunk 0 --->|<--- chunk 1 --->|<--- chunk 2 --->| ...
//! ```
//!
//! Data chunks are contiguous runs, so that a small read touches one drive. The table of contents ends where the data
//! does, so that it is found from the shape alone.

use core::ops::Range;

use minicbor::{Decode, Encode};

use crate::chunk::CHUNK_BYTES_MAX;
use crate::geometry::Geometry;

/// Chunks are a multiple of this: what the vector code of the parity works on.
pub const CHUNK_ALIGNMENT: u32 = 64;

/// The unit of checksum where small objects are packed: a small read verifies little more than it asked for.
pub const PACKED_BLOCK_BYTES: u32 = 4 * 1024;

/// The unit of checksum in stripes of one large extent. Measured: 4 KiB hash at half the speed of 16 KiB, and beyond
/// 16 KiB nothing is gained, while a small range of a large object would verify more than it asked for.
pub const LARGE_BLOCK_BYTES: u32 = 16 * 1024;

/// The geometry of one stripe with the lengths that go with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub struct StripeShape {
    /// How many data and parity chunks.
    #[n(0)]
    pub geometry: Geometry,
    /// How long each chunk is.
    #[n(1)]
    pub chunk_bytes: u32,
    /// The unit of checksum in each chunk.
    #[n(2)]
    pub block_bytes: u32,
}

/// A run of bytes inside one data chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkRun {
    /// Which data chunk.
    pub position: u8,
    /// Which of its bytes.
    pub range: Range<u32>,
}

impl StripeShape {
    /// The shape that holds so many bytes (extents and table of contents); `None` when that needs longer chunks than
    /// there are.
    pub fn holding(data_bytes: u64, geometry: Geometry, block_bytes: u32) -> Option<Self> {
        let chunk = data_bytes.div_ceil(geometry.k() as u64).next_multiple_of(u64::from(CHUNK_ALIGNMENT));
        let chunk_bytes = u32::try_from(chunk.max(u64::from(CHUNK_ALIGNMENT))).ok()?;
        (chunk_bytes <= CHUNK_BYTES_MAX).then_some(Self { geometry, chunk_bytes, block_bytes })
    }

    /// How many bytes the data chunks hold together, zeros at the end included.
    pub fn data_bytes(&self) -> u64 {
        u64::from(self.chunk_bytes) * self.geometry.k() as u64
    }

    /// The data chunks that hold a range, in order.
    pub fn runs(&self, range: Range<u64>) -> impl Iterator<Item = ChunkRun> + use<> {
        assert!(range.end <= self.data_bytes(), "a range inside the stripe");
        let chunk = u64::from(self.chunk_bytes);
        let mut at = range.start;
        core::iter::from_fn(move || {
            if at >= range.end {
                return None;
            }
            let position = at / chunk;
            let end = range.end.min((position + 1) * chunk);
            let within = (at - position * chunk) as u32..(end - position * chunk) as u32;
            at = end;
            Some(ChunkRun { position: position as u8, range: within })
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn runs_cover_a_range_once(k in 1u8..20, data in 1u64..50_000, a in 0u64..50_000, b in 0u64..50_000) {
            let shape = StripeShape::holding(data, Geometry::new(k, 2).unwrap(), 4096).unwrap();
            prop_assert!(shape.data_bytes() >= data);
            let (start, end) = (a.min(b).min(data), a.max(b).min(data));
            let mut at = start;
            for run in shape.runs(start..end) {
                let base = u64::from(run.position) * u64::from(shape.chunk_bytes);
                prop_assert_eq!(base + u64::from(run.range.start), at);
                prop_assert!(!run.range.is_empty() && run.range.end <= shape.chunk_bytes);
                prop_assert!((run.position as usize) < shape.geometry.k());
                at = base + u64::from(run.range.end);
            }
            prop_assert_eq!(at, end);
        }
    }
}
