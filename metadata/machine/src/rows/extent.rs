//! Extents: where named bytes are at the moment, and how many refer to them.

use cairn_core::{ExtentId, StripeId};
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use crate::row::{Row, Table, cbor_row};
use crate::rows::profile::ProfileId;

/// Where the bytes of an extent are.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum ExtentPlace {
    /// In this row: as durable as the commit that brought them.
    #[n(0)]
    Here {
        /// The bytes.
        #[n(0)]
        bytes: ByteVec,
        /// Their blake3, kept when they move on.
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
    /// How many versions and manifest pages refer to it; at zero the row goes.
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

    cbor_row!();
}
