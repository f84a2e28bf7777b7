//! Why a pass could not go on. The next one begins from the rows again, so nothing is lost by stopping.

use cairn_core::{ChunkError, DriveId, StripeId};
use cairn_machine::{Refusal, RowError};
use cairn_metadata::{ProposeError, ReadError};
use cairn_placement::PlaceError;

/// What stopped a pass or one step of it.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// The metadata could not be read. Try again in the next pass.
    #[error("metadata cannot be read")]
    Read(#[from] ReadError),
    /// Rows make no sense. A person must look: nothing is repaired on the strength of a damaged row.
    #[error("metadata is damaged")]
    Rows(#[from] RowError),
    /// A change could not be proposed; it may have happened. The next pass sees.
    #[error("a change could not be proposed")]
    Propose(#[from] ProposeError),
    /// The state machine did not want it: something changed since the plan was made.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// A drive did not answer. Its positions wait for the next pass.
    #[error("a drive failed")]
    Drive(#[from] ChunkError),
    /// Fewer than k chunks are left: the bytes are gone until a drive comes back.
    #[error("{stripe} cannot be decoded: {what}")]
    Undecodable {
        /// Which stripe.
        stripe: StripeId,
        /// What is missing.
        what: String,
    },
    /// A stripe's table of contents does not name everything that lives in it. It stays where it is, and a person must
    /// look: nothing is moved away from bytes that somebody may still need.
    #[error("{counted} extents live in {stripe}, and its table of contents names {named} of them")]
    Unnamed {
        /// Which stripe.
        stripe: StripeId,
        /// How many extents live there by the rows.
        counted: usize,
        /// How many of them its table names.
        named: usize,
    },
    /// No drive is left to place the position on. It waits for one.
    #[error("no drive is free for a position of {0}")]
    NoDrive(StripeId),
    /// A stripe could not be placed or committed. What was to be in it stays where it is.
    #[error("a stripe could not be written")]
    Place(#[from] PlaceError),
    /// The drive read something else back than was written. Its position goes elsewhere.
    #[error("drive {0} does not read back what was written")]
    ReadBack(DriveId),
}
