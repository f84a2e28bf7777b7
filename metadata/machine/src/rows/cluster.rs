//! The row that says what the cluster is.

use cairn_core::{ClusterId, WallTime};
use minicbor::{Decode, Encode};

use crate::row::{Row, Table, cbor_row};

/// What the cluster is. Written when it is formed, changed by operations that concern all of it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ClusterRow {
    /// Its id, as on every drive.
    #[n(0)]
    pub id: ClusterId,
    /// The version of the state machine's function that entries are proposed for.
    #[n(1)]
    pub function: u8,
    /// When it was formed.
    #[n(2)]
    pub formed: WallTime,
    /// How often a bucket was made, ever: the first one ends the time in which STANDARD follows the drives.
    #[n(3)]
    pub buckets_made: u64,
}

impl Row for ClusterRow {
    const TABLE: Table = Table::Cluster;
    type Key = ();

    fn write_key((): &(), _out: &mut Vec<u8>) {}

    fn read_key(bytes: &[u8]) -> Option<()> {
        bytes.is_empty().then_some(())
    }

    cbor_row!();
}
