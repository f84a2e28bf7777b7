//! Extents to a sealed stripe: laid out, coded, hashed. Pure; the cost is the processor's alone.
//!
//! ```text
//! push extents ---> | extents | zeros | table of contents |      cut into k chunks
//!                   | chunk 0 | chunk 1 | ... | chunk k-1 | ---> parity ---> a head with every block's hash for each
//! ```
//!
//! Bytes are not copied on this way: a data chunk is slices of the extents' own memory, and the coder and the hasher
//! walk along them. Only a chunk that would consist of many small slices is gathered into one piece.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use cairn_core::chunk::{ChunkHead, ChunkName, ChunkRecord};
use cairn_core::stripe::StripeShape;
use cairn_core::units::{EXTENT_BYTES_MAX, STRIPE_EXTENTS_MAX};
use cairn_core::{BucketId, ExtentId, Geometry, ObjectKey, StripeId, VersionId, WallTime, WriteId};

use crate::codec::encode;
use crate::pool::CodingPool;
use crate::toc::{TRAILER_BYTES, TocEntry, TocWriter};

/// A chunk in slices shorter than this on average is gathered: from there on the vector code of hashing and coding
/// loses more at the seams than the copy costs.
const SLICE_BYTES_MIN: usize = 16 * 1024;

/// Where extents share a stripe its chunks are made of whole blocks, unless that would lengthen it by more than this
/// part: extents of whole blocks then begin where blocks do, and reading one checks no block more than it has.
const ROUNDING_PART_MAX: u64 = 16;

/// An extent on its way into a stripe.
#[derive(Debug, Clone)]
pub struct StripeExtent {
    /// Its name.
    pub id: ExtentId,
    /// The bucket of its object.
    pub bucket: BucketId,
    /// The key of its object.
    pub key: ObjectKey,
    /// The version, where it is known: a first write learns it only with its commit.
    pub version: Option<VersionId>,
    /// The number of the part, for a part of a multipart upload.
    pub part: Option<u16>,
    /// Which byte of the object, or of the part, is its first.
    pub object_offset: u64,
    /// Its bytes, in one or more parts.
    pub data: Vec<Bytes>,
}

impl StripeExtent {
    /// How many bytes it has.
    pub fn length(&self) -> u64 {
        self.data.iter().map(|part| part.len() as u64).sum()
    }
}

/// Collects extents until the stripe is sealed.
#[derive(Debug)]
pub struct StripeBuilder {
    id: StripeId,
    geometry: Geometry,
    block_bytes: u32,
    written: WallTime,
    extents: Vec<SealedExtent>,
    parts: Vec<Bytes>,
    used: u64,
    toc: TocWriter,
}

/// Where an extent lies in the data of its stripe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedExtent {
    /// Its name.
    pub id: ExtentId,
    /// Its first byte.
    pub offset: u64,
    /// How many bytes it has.
    pub length: u64,
}

/// A stripe that is ready to be placed. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SealedStripe {
    /// Its name.
    pub id: StripeId,
    /// Its geometry and lengths.
    pub shape: StripeShape,
    /// Its chunks in the order of their positions, all under the write id that is the stripe's own name.
    pub chunks: Vec<ChunkRecord>,
    /// Its extents, in the order in which they were pushed.
    pub extents: Vec<SealedExtent>,
}

impl StripeBuilder {
    /// An empty stripe. The block size is one of those in [`cairn_core::stripe`]; `written` is for people.
    pub fn new(id: StripeId, geometry: Geometry, block_bytes: u32, written: WallTime) -> Self {
        let (extents, parts, toc) = (Vec::new(), Vec::new(), TocWriter::default());
        Self { id, geometry, block_bytes, written, extents, parts, used: 0, toc }
    }

    /// Whether the extent still fits. An empty stripe takes any extent.
    pub fn takes(&self, extent: &StripeExtent) -> bool {
        let toc = (self.toc.bytes() + TocEntry::bytes_max(&extent.key)) as u64;
        self.extents.len() < STRIPE_EXTENTS_MAX && self.shape_for(self.used + extent.length() + toc).is_some()
    }

    /// How many extents there are.
    pub fn len(&self) -> usize {
        self.extents.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.extents.is_empty()
    }

    /// How many bytes the extents have together.
    pub fn extent_bytes(&self) -> u64 {
        self.used
    }

    /// Adds an extent, which must [fit](Self::takes) and be of 1 byte to the longest that an extent may have.
    pub fn push(&mut self, extent: StripeExtent) {
        assert!(self.takes(&extent), "whoever fills a stripe asks first whether the extent fits");
        let length = extent.length();
        assert!((1..=EXTENT_BYTES_MAX).contains(&length), "an extent of {length} bytes");
        let StripeExtent { id, bucket, key, version, part, object_offset, data } = extent;
        let offset = self.used;
        self.toc.push(&TocEntry { extent: id, bucket, key, version, part, object_offset, offset, length });
        self.parts.extend(data.into_iter().filter(|part| !part.is_empty()));
        self.used += length;
        self.extents.push(SealedExtent { id, offset, length });
    }

    /// Lays out, codes and hashes. Takes about a millisecond for four MiB: see [`Self::seal_on`].
    pub fn seal(mut self) -> SealedStripe {
        assert!(!self.is_empty(), "a stripe holds at least one extent");
        let shape = self.shape_for(self.used + self.toc.bytes() as u64).expect("every extent was asked for");
        let zeros = shape.data_bytes() - self.used - self.toc.bytes() as u64;
        let mut tail = Vec::with_capacity(zeros as usize + self.toc.bytes());
        tail.resize(zeros as usize, 0);
        self.toc.finish(self.id, &mut tail);
        assert!(tail.len() >= TRAILER_BYTES, "a table of contents has a trailer");
        self.parts.push(Bytes::from(tail));

        let mut bodies = cut(self.parts, shape);
        bodies.extend(encode(shape.geometry, shape.chunk_bytes as usize, &bodies));
        let head = |position: usize, body: &[Bytes]| {
            let name = ChunkName { stripe: self.id, position: position as u8, write: self.id.0 };
            ChunkHead::seal(name, shape.geometry, shape.block_bytes, self.written, body)
        };
        let chunks = bodies
            .into_iter()
            .enumerate()
            .map(|(position, body)| ChunkRecord { head: Arc::new(head(position, &body)), body })
            .collect();
        SealedStripe { id: self.id, shape, chunks, extents: self.extents }
    }

    /// [`Self::seal`], without stalling the tasks of this thread.
    pub async fn seal_on(self, pool: &CodingPool) -> SealedStripe {
        pool.run(self.used as usize, move || self.seal()).await
    }

    fn shape_for(&self, data_bytes: u64) -> Option<StripeShape> {
        let whole_blocks = data_bytes.next_multiple_of(u64::from(self.block_bytes) * self.geometry.k() as u64);
        let packed = self.extents.len() > 1;
        if packed && whole_blocks - data_bytes <= data_bytes / ROUNDING_PART_MAX {
            let shape = StripeShape::holding(whole_blocks, self.geometry, self.block_bytes);
            if shape.is_some() {
                return shape;
            }
        }
        StripeShape::holding(data_bytes, self.geometry, self.block_bytes)
    }
}

impl SealedStripe {
    /// A chunk as another attempt at its position: the same bytes under another name. The name is in every block's
    /// checksum (invariant 5), so this hashes them anew.
    pub fn renamed(&self, position: u8, write: WriteId) -> ChunkRecord {
        let chunk = &self.chunks[position as usize];
        if chunk.head.name().write == write {
            return chunk.clone();
        }
        let name = ChunkName { stripe: self.id, position, write };
        let head = &chunk.head;
        let head = ChunkHead::seal(name, head.geometry(), head.block_bytes(), head.written(), &chunk.body);
        ChunkRecord { head: Arc::new(head), body: chunk.body.clone() }
    }
}

/// Cuts the data into k chunks of slices.
fn cut(parts: Vec<Bytes>, shape: StripeShape) -> Vec<Vec<Bytes>> {
    let chunk_bytes = shape.chunk_bytes as usize;
    let mut parts = parts.into_iter();
    let mut rest = Bytes::new();
    let bodies: Vec<Vec<Bytes>> = (0..shape.geometry.k())
        .map(|_| {
            let mut body = Vec::new();
            let mut wanted = chunk_bytes;
            while wanted > 0 {
                if rest.is_empty() {
                    rest = parts.next().expect("the tail was made as long as the data chunks need");
                }
                let piece = rest.split_to(wanted.min(rest.len()));
                wanted -= piece.len();
                body.push(piece);
            }
            gathered(body, chunk_bytes)
        })
        .collect();
    assert!(rest.is_empty() && parts.next().is_none(), "the tail was made no longer than the data chunks");
    bodies
}

fn gathered(body: Vec<Bytes>, chunk_bytes: usize) -> Vec<Bytes> {
    if body.len() == 1 || chunk_bytes / body.len() >= SLICE_BYTES_MIN {
        return body;
    }
    let mut whole = BytesMut::with_capacity(chunk_bytes);
    for piece in &body {
        whole.extend_from_slice(piece);
    }
    vec![whole.freeze()]
}

#[cfg(test)]
mod tests;
