//! A chunk: one of a stripe's k+m pieces, with everything that is needed to know whether it is the right one.
//!
//! The head of a chunk binds its bytes to its name, geometry and block number (invariant 5): a checksum that fits can
//! only have been made for these bytes at this place. So misdirected, stale and swapped data is found, not only flipped
//! bits. The layout is in `docs/formats/chunk.md`.

use core::fmt;
use core::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::clock::WallTime;
use crate::geometry::Geometry;
use crate::ids::{SessionId, StripeId, WriteId};

/// The name of a chunk: which stripe, which position, which attempt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkName {
    /// The stripe it is a piece of.
    pub stripe: StripeId,
    /// 0 to k-1 hold data, k to k+m-1 parity.
    pub position: u8,
    /// The attempt to place this position. The first one is the stripe's own name; a position that is placed anew takes
    /// a new one.
    pub write: WriteId,
}

impl ChunkName {
    /// How many bytes the binary form has.
    pub const BYTES: usize = 2 * WriteId::BYTES + 1;

    /// Stripe, position, write, in byte order.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..16].copy_from_slice(&self.stripe.0.to_bytes());
        bytes[16] = self.position;
        bytes[17..].copy_from_slice(&self.write.to_bytes());
        bytes
    }

    /// The inverse of [`Self::to_bytes`]; `None` for any other length.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::BYTES] = bytes.try_into().ok()?;
        let stripe: [u8; 16] = bytes[..16].try_into().ok()?;
        let write: [u8; 16] = bytes[17..].try_into().ok()?;
        Some(Self {
            stripe: StripeId(WriteId::from_bytes(stripe)),
            position: bytes[16],
            write: WriteId::from_bytes(write),
        })
    }

    /// Whose attempt this chunk is.
    pub fn session(&self) -> SessionId {
        self.write.session
    }
}

impl fmt::Display for ChunkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.stripe, self.position, self.write)
    }
}

impl fmt::Debug for ChunkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "chunk {self}")
    }
}

/// How many bytes of a block's blake3 are kept. 128 bits: far beyond what chance can hit.
pub const BLOCK_HASH_BYTES: usize = 16;

/// The longest chunk: an extent of the largest size on a 1+m stripe, with room for its table of contents.
pub const CHUNK_BYTES_MAX: u32 = 24 * 1024 * 1024;

/// The version of the head's layout that is written.
pub const CHUNK_HEAD_VERSION: u8 = 1;

const FIXED_BYTES: usize = 64;

/// Which code made the parity. Stored, because parity of two codes never mixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Code {
    /// Leopard-style Reed-Solomon over GF(2^16), as the crate reed-solomon-simd 3 computes it.
    ReedSolomonSimd3 = 1,
}

/// Bytes that are not a chunk head, or are not this chunk's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHead {
    /// Cut off, overlong or nonsensical. The chunk is damaged: rebuild it.
    #[error("malformed chunk head: {0}")]
    Malformed(&'static str),
    /// Written by a later release. Nothing is wrong with the chunk: start that release.
    #[error("chunk head of version {found}, this release knows up to {CHUNK_HEAD_VERSION}")]
    Newer {
        /// The version that stands there.
        found: u8,
    },
}

/// What stands before a chunk's bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct ChunkHead {
    name: ChunkName,
    geometry: Geometry,
    code: Code,
    block_bytes: u32,
    length: u32,
    written: WallTime,
    hashes: Bytes,
}

impl ChunkHead {
    /// Hashes a chunk's bytes block by block. `body` may come in parts; parts need not end where blocks do.
    pub fn seal(name: ChunkName, geometry: Geometry, block_bytes: u32, written: WallTime, body: &[Bytes]) -> Self {
        let length: usize = body.iter().map(Bytes::len).sum();
        assert!(length <= CHUNK_BYTES_MAX as usize, "a chunk of {length} bytes is longer than any");
        assert!(block_bytes.is_power_of_two() && block_bytes >= 512, "blocks of {block_bytes} bytes");
        assert!((name.position as usize) < geometry.positions(), "position outside the geometry");
        let length = length as u32;
        let block = block_bytes as usize;
        let key = BlockKey::new(&name, geometry, block_bytes, length);
        let mut hashes = Vec::with_capacity(length.div_ceil(block_bytes) as usize * BLOCK_HASH_BYTES);
        if let [whole] = body {
            for (number, bytes) in whole.chunks(block).enumerate() {
                hashes.extend_from_slice(&key.hash(number as u32, bytes));
            }
        } else {
            let mut parts = body.iter();
            let mut rest: &[u8] = &[];
            for number in 0..length.div_ceil(block_bytes) {
                let mut hasher = key.hasher(number);
                let mut wanted = block.min(length as usize - number as usize * block);
                while wanted > 0 {
                    if rest.is_empty() {
                        rest = parts.next().expect("the parts' lengths were added up above");
                        continue;
                    }
                    let (now, later) = rest.split_at(wanted.min(rest.len()));
                    hasher.update(now);
                    wanted -= now.len();
                    rest = later;
                }
                hashes.extend_from_slice(&truncate(hasher.finalize()));
            }
        }
        Self { name, geometry, code: Code::ReedSolomonSimd3, block_bytes, length, written, hashes: Bytes::from(hashes) }
    }

    /// Which chunk this says it is.
    pub fn name(&self) -> &ChunkName {
        &self.name
    }

    /// The geometry of its stripe.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// The code that made its stripe's parity.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The unit of checksum.
    pub fn block_bytes(&self) -> u32 {
        self.block_bytes
    }

    /// How many bytes the chunk has.
    pub fn length(&self) -> u32 {
        self.length
    }

    /// When it was written, by the writer's calendar. For people; nothing is decided by it.
    pub fn written(&self) -> WallTime {
        self.written
    }

    /// The blocks' hashes, one after the other.
    pub fn hashes(&self) -> &[u8] {
        &self.hashes
    }

    /// The blocks that hold a range, as a range of bytes of the chunk. Empty ranges touch nothing.
    pub fn aligned(&self, range: Range<u32>) -> Range<u32> {
        if range.is_empty() {
            return range.start..range.start;
        }
        let start = range.start - range.start % self.block_bytes;
        let end = range.end.div_ceil(self.block_bytes).saturating_mul(self.block_bytes).min(self.length);
        start..end
    }

    /// Whether `bytes`, which begin at `offset` (where a block begins) and end where a block ends, are this chunk's.
    /// The number of the first block that is not, otherwise.
    pub fn verify(&self, offset: u32, bytes: &[u8]) -> Result<(), BadBlock> {
        let end = offset as usize + bytes.len();
        assert!(offset.is_multiple_of(self.block_bytes), "verification begins where a block begins");
        assert!(
            end == self.length as usize || end.is_multiple_of(self.block_bytes as usize),
            "verification ends where a block ends"
        );
        assert!(end <= self.length as usize, "verification stays inside the chunk");
        let key = BlockKey::new(&self.name, self.geometry, self.block_bytes, self.length);
        let first = offset / self.block_bytes;
        for (at, block) in bytes.chunks(self.block_bytes as usize).enumerate() {
            let number = first + at as u32;
            let place = number as usize * BLOCK_HASH_BYTES;
            if key.hash(number, block) != self.hashes[place..place + BLOCK_HASH_BYTES] {
                return Err(BadBlock { chunk: self.name, block: number });
            }
        }
        Ok(())
    }

    /// The binary form: see `docs/formats/chunk.md`.
    pub fn encode(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(FIXED_BYTES + self.hashes.len());
        bytes.push(CHUNK_HEAD_VERSION);
        bytes.push(self.code as u8);
        bytes.push(self.geometry.k() as u8);
        bytes.push(self.geometry.m() as u8);
        bytes.extend_from_slice(&self.block_bytes.to_be_bytes());
        bytes.extend_from_slice(&self.length.to_be_bytes());
        bytes.extend_from_slice(&self.written.0.to_be_bytes());
        bytes.extend_from_slice(&self.name.to_bytes());
        bytes.resize(FIXED_BYTES, 0);
        bytes.extend_from_slice(&self.hashes);
        Bytes::from(bytes)
    }

    /// The inverse of [`Self::encode`]. The bytes' own checksum is the journal's; this checks sense and bounds.
    pub fn decode(bytes: &Bytes) -> Result<Self, InvalidHead> {
        let version = *bytes.first().ok_or(InvalidHead::Malformed("empty"))?;
        if version > CHUNK_HEAD_VERSION {
            return Err(InvalidHead::Newer { found: version });
        }
        if version == 0 || bytes.len() < FIXED_BYTES {
            return Err(InvalidHead::Malformed("too short"));
        }
        let u32_at = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let code = match bytes[1] {
            1 => Code::ReedSolomonSimd3,
            _ => return Err(InvalidHead::Malformed("unknown code")),
        };
        let geometry = Geometry::new(bytes[2], bytes[3]).map_err(|_| InvalidHead::Malformed("no geometry"))?;
        let (block_bytes, length) = (u32_at(4), u32_at(8));
        if !block_bytes.is_power_of_two() || block_bytes < 512 || length > CHUNK_BYTES_MAX {
            return Err(InvalidHead::Malformed("block size or length out of bounds"));
        }
        let written = WallTime(u64::from(u32_at(12)) << 32 | u64::from(u32_at(16)));
        let name = ChunkName::from_slice(&bytes[20..20 + ChunkName::BYTES]).ok_or(InvalidHead::Malformed("no name"))?;
        if name.position as usize >= geometry.positions() {
            return Err(InvalidHead::Malformed("position outside the geometry"));
        }
        if bytes[20 + ChunkName::BYTES..FIXED_BYTES].iter().any(|&b| b != 0) {
            return Err(InvalidHead::Malformed("reserved bytes are set"));
        }
        let hashes = bytes.slice(FIXED_BYTES..);
        if hashes.len() != length.div_ceil(block_bytes) as usize * BLOCK_HASH_BYTES {
            return Err(InvalidHead::Malformed("number of hashes"));
        }
        Ok(Self { name, geometry, code, block_bytes, length, written, hashes })
    }
}

impl fmt::Debug for ChunkHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes in a stripe of {}", self.name, self.length, self.geometry)
    }
}

/// A block whose bytes are not what was written there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("block {block} of {chunk} does not match its checksum")]
pub struct BadBlock {
    /// The chunk it stands in.
    pub chunk: ChunkName,
    /// Which block.
    pub block: u32,
}

/// A chunk on its way to a drive: its head and its bytes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ChunkRecord {
    /// What stands before the bytes.
    pub head: Arc<ChunkHead>,
    /// The bytes, in one or more parts.
    pub body: Vec<Bytes>,
}

/// Bytes as a store gave them, not yet believed. [`Self::verified`] is the only way to believe them.
#[derive(Debug, Clone)]
pub struct ChunkSlice {
    head: Arc<ChunkHead>,
    range: Range<u32>,
    offset: u32,
    blocks: Bytes,
}

impl ChunkSlice {
    /// What a store read: `blocks` are those that hold `range`, from [`ChunkHead::aligned`].
    pub fn new(head: Arc<ChunkHead>, range: Range<u32>, blocks: Bytes) -> Self {
        let aligned = head.aligned(range.clone());
        assert_eq!(blocks.len(), aligned.len(), "a store returns whole blocks");
        Self { head, range, offset: aligned.start, blocks }
    }

    /// What the store says stands before the bytes.
    pub fn head(&self) -> &Arc<ChunkHead> {
        &self.head
    }

    /// The blocks as they are, for passing them on to somebody who verifies them.
    pub fn into_blocks(self) -> Bytes {
        self.blocks
    }

    /// The bytes of the range, once every block of it was checked against the head, and the head against what was asked
    /// for.
    pub fn verified(self, asked: &ChunkName) -> Result<Bytes, BadBlock> {
        if self.head.name() != asked {
            return Err(BadBlock { chunk: *asked, block: 0 });
        }
        if self.range.is_empty() {
            return Ok(Bytes::new());
        }
        self.head.verify(self.offset, &self.blocks)?;
        let start = (self.range.start - self.offset) as usize;
        Ok(self.blocks.slice(start..start + self.range.len()))
    }
}

/// The key under which a chunk's blocks are hashed: everything that the bytes are bound to.
struct BlockKey([u8; 32]);

impl BlockKey {
    fn new(name: &ChunkName, geometry: Geometry, block_bytes: u32, length: u32) -> Self {
        let mut bound = [0u8; ChunkName::BYTES + 10];
        bound[..ChunkName::BYTES].copy_from_slice(&name.to_bytes());
        bound[ChunkName::BYTES] = geometry.k() as u8;
        bound[ChunkName::BYTES + 1] = geometry.m() as u8;
        bound[ChunkName::BYTES + 2..ChunkName::BYTES + 6].copy_from_slice(&block_bytes.to_be_bytes());
        bound[ChunkName::BYTES + 6..].copy_from_slice(&length.to_be_bytes());
        Self(blake3::derive_key("cairn 2026 chunk block checksum v1", &bound))
    }

    /// The block number goes into the key and not before the bytes, so that the bytes stay aligned for the vector code.
    fn numbered(&self, number: u32) -> [u8; 32] {
        let mut key = self.0;
        for (byte, number) in key.iter_mut().zip(number.to_be_bytes()) {
            *byte ^= number;
        }
        key
    }

    fn hash(&self, number: u32, block: &[u8]) -> [u8; BLOCK_HASH_BYTES] {
        truncate(blake3::keyed_hash(&self.numbered(number), block))
    }

    fn hasher(&self, number: u32) -> blake3::Hasher {
        blake3::Hasher::new_keyed(&self.numbered(number))
    }
}

fn truncate(hash: blake3::Hash) -> [u8; BLOCK_HASH_BYTES] {
    let mut kept = [0; BLOCK_HASH_BYTES];
    kept.copy_from_slice(&hash.as_bytes()[..BLOCK_HASH_BYTES]);
    kept
}

#[cfg(test)]
mod tests;
