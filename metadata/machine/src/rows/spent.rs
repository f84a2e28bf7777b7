//! Spent writes: a chunk that became garbage must never be committed again, not even by the session that wrote it.
//!
//! A stripe can die while its writer still holds the write that named it: its objects were deleted at once, or all of
//! them were refused by their conditions. Were the same stripe proposed again, by a retry that believes its first attempt
//! was lost, it would be made of chunks that garbage rows already name, and they would be deleted under it. So whatever
//! becomes garbage while its session could still commit it leaves this row, until the session's mark has passed it: a
//! row for each of the last seconds' dead stripes, and not for all there ever were.

use cairn_core::WriteId;
use minicbor::{Decode, Encode};

use crate::row::{Row, Table, cbor_row};

/// The write is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SpentWriteRow {}

impl Row for SpentWriteRow {
    const TABLE: Table = Table::SpentWrite;
    type Key = WriteId;

    fn write_key(key: &WriteId, out: &mut Vec<u8>) {
        out.extend_from_slice(&key.to_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<WriteId> {
        Some(WriteId::from_bytes(bytes.try_into().ok()?))
    }

    cbor_row!();
}
