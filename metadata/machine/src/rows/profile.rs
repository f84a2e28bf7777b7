//! Profiles: geometries with a name, as clients ask for them by storage class.

use cairn_core::Geometry;
use minicbor::{Decode, Encode};

use crate::row::{Row, Table, cbor_row};

/// The number of a profile. 0 is STANDARD.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct ProfileId(#[n(0)] pub u16);

impl ProfileId {
    /// What every object gets that asks for nothing else.
    pub const STANDARD: Self = Self(0);
}

/// A geometry that objects are written with.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ProfileRow {
    /// The storage class that clients name.
    #[n(0)]
    pub class: String,
    /// How many chunks, how many of them spare.
    #[n(1)]
    pub geometry: Geometry,
}

impl Row for ProfileRow {
    const TABLE: Table = Table::Profile;
    type Key = ProfileId;

    fn write_key(key: &ProfileId, out: &mut Vec<u8>) {
        out.extend_from_slice(&key.0.to_be_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<ProfileId> {
        Some(ProfileId(u16::from_be_bytes(bytes.try_into().ok()?)))
    }

    fn weight(&self) -> usize {
        32 + self.class.len()
    }

    cbor_row!();
}
