//! Access keys. The machine never sees a secret: what stands here is sealed with the cluster's.

use cairn_core::WallTime;
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use crate::row::{Row, Table, cbor_row};

/// The longest id of an access key, in bytes.
pub const ACCESS_KEY_ID_BYTES_MAX: usize = 128;

/// The longest sealed secret, in bytes.
pub const SEALED_SECRET_BYTES_MAX: usize = 512;

/// Who may sign requests.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct AccessKeyRow {
    /// The secret, sealed with a key derived from the cluster's secret.
    #[n(0)]
    pub sealed_secret: ByteVec,
    /// Whether it may do everything: the key that was made with the cluster.
    #[n(1)]
    pub root: bool,
    /// When it was made.
    #[n(2)]
    pub created: WallTime,
}

impl Row for AccessKeyRow {
    const TABLE: Table = Table::AccessKey;
    type Key = String;

    fn write_key(key: &String, out: &mut Vec<u8>) {
        out.extend_from_slice(key.as_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<String> {
        String::from_utf8(bytes.to_vec()).ok()
    }

    fn weight(&self) -> usize {
        64 + self.sealed_secret.len()
    }

    cbor_row!();
}
