//! Garbage: chunks that nothing refers to any more. The only road to deletion (invariant 7).

use cairn_core::{ChunkName, DriveId, LogIndex};
use minicbor::{Decode, Encode};

use crate::row::{Row, Table, cbor_row};

/// A chunk to be deleted, ordered by where in the log it became garbage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct GarbageKey {
    /// Where in the log.
    #[n(0)]
    pub index: LogIndex,
    /// Which chunk.
    #[cbor(n(1), with = "chunk_name")]
    pub chunk: ChunkName,
}

impl GarbageKey {
    /// The inverse of the row's key behind the table's byte.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        let (index, chunk) = bytes.split_at_checked(8)?;
        Some(Self { index: LogIndex(u64::from_be_bytes(index.try_into().ok()?)), chunk: ChunkName::from_slice(chunk)? })
    }
}

/// Where the chunk is and what it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct GarbageRow {
    /// The drive that holds it.
    #[n(0)]
    pub drive: DriveId,
    /// Its bytes, for the ledger; zero for an orphan that the ledger never counted.
    #[n(1)]
    pub bytes: u32,
}

impl Row for GarbageRow {
    const TABLE: Table = Table::Garbage;
    type Key = GarbageKey;

    fn write_key(key: &GarbageKey, out: &mut Vec<u8>) {
        out.extend_from_slice(&key.index.0.to_be_bytes());
        out.extend_from_slice(&key.chunk.to_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<GarbageKey> {
        GarbageKey::from_slice(bytes)
    }

    cbor_row!();
}

/// A chunk's name as CBOR bytes.
pub(crate) mod chunk_name {
    use cairn_core::ChunkName;
    use minicbor::decode::Error;
    use minicbor::encode::{self, Write};
    use minicbor::{Decoder, Encoder};

    pub(crate) fn encode<C, W: Write>(
        name: &ChunkName,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.bytes(&name.to_bytes())?.ok()
    }

    pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<ChunkName, Error> {
        ChunkName::from_slice(d.bytes()?).ok_or_else(|| Error::message("wrong length for a chunk name"))
    }
}
