//! A drive, as an operation makes it known.

use cairn_core::DriveId;
use minicbor::{Decode, Encode};

/// A drive that is to be known.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct NewDrive {
    /// Its id, as on the drive.
    #[n(0)]
    pub id: DriveId,
    /// How much of the ring it gets; at least 1.
    #[n(1)]
    pub weight: u32,
    /// What a person calls it.
    #[n(2)]
    pub label: String,
}
