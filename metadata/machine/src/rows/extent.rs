//! Extents: where named bytes are at the moment, and how many refer to them.

use cairn_core::{ExtentId, StripeId, WriteId};
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use crate::row::{Row, Table, cbor_row};
use crate::rows::profile::ProfileId;

/// The most bytes of one extent that stands in its row: they travel in the log, and a row is read whole.
pub const HERE_BYTES_MAX: u32 = 64 * 1024;

/// Where the bytes of an extent are.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum ExtentPlace {
    /// In this row: as durable as the commit that brought them.
    #[n(0)]
    Here {
        /// The bytes.
        #[n(0)]
        bytes: ByteVec,
        /// Their blake3: what a reader checks, as no block checksum covers them.
        #[cbor(n(1), with = "minicbor::bytes")]
        hash: [u8; 32],
    },
    /// In a stripe.
    #[n(1)]
    Stripe {
        /// Which one.
        #[n(0)]
        stripe: StripeId,
        /// Where in its data they begin.
        #[n(1)]
        offset: u64,
    },
}

/// An extent. It lives or dies whole.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ExtentRow {
    /// Where the bytes are.
    #[n(0)]
    pub place: ExtentPlace,
    /// How many there are.
    #[n(1)]
    pub length: u32,
    /// How many ranges of versions and of manifest pages name it; at zero the row goes.
    #[n(2)]
    pub references: u32,
    /// What was asked for when they were written: a rewrite keeps to it.
    #[n(3)]
    pub profile: ProfileId,
}

impl Row for ExtentRow {
    const TABLE: Table = Table::Extent;
    type Key = ExtentId;

    fn write_key(key: &ExtentId, out: &mut Vec<u8>) {
        out.extend_from_slice(&key.to_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<ExtentId> {
        let (write, ordinal) = bytes.split_at_checked(WriteId::BYTES)?;
        let ordinal = u16::from_be_bytes(ordinal.try_into().ok()?);
        Some(ExtentId { write: WriteId::from_bytes(write.try_into().ok()?), ordinal })
    }

    fn weight(&self) -> usize {
        match &self.place {
            ExtentPlace::Here { bytes, .. } => 128 + bytes.len(),
            ExtentPlace::Stripe { .. } => 96,
        }
    }

    cbor_row!();
}
