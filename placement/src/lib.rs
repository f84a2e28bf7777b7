//! Where new stripes go, and how they are committed. Shared by everyone who writes: the gateway, which brings new objects,
//! and the repair daemon, which moves positions and rewrites extents.
//!
//! ```text
//! rows (drives, nodes, profiles) -> layout, ring -> drives that take data now
//! extents -> stripe -> chunks durable on their drives -> [MakeStripe .. SettleStripe] in the log
//! ```
//!
//! - [`topology`]: where data may go, by the log and by what this process knows of the drives
//! - [`stripes`]: durable first, committed then: the order that makes a write safe
//!
//! What is deliberately not here: how much memory a write may take, what an object is, and deciding that a drive is lost.

pub mod stripes;
pub mod topology;

use cairn_erasure::{ReadStripeError, WriteStripeError};
use cairn_machine::{Refusal, RowError};
use cairn_metadata::ProposeError;

pub use stripes::{Packing, PendingExtent, Placed, Stripes};
pub use topology::{Layout, Topology, Usable};

/// A stripe could not be placed or committed.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// Drives came and went under the write, or several stripes were refused together. Nothing happened: repeat it.
    #[error("the drives changed under the write")]
    Busy,
    /// Too few drives take data for what the profile promises (invariant 9). An operator brings drives back.
    #[error("too few drives take data")]
    TooFewDrives(#[source] Option<WriteStripeError>),
    /// What was written cannot be read again to be placed elsewhere. Repeat it.
    #[error("what was written cannot be read again")]
    Unreadable(#[from] ReadStripeError),
    /// Rows cannot be read. An operator looks at the node.
    #[error("rows cannot be read")]
    Rows(#[from] RowError),
    /// The log gave no answer: see there whether it may have happened.
    #[error(transparent)]
    Propose(#[from] ProposeError),
    /// The log refused a stripe.
    #[error("the log refused a stripe: {0}")]
    Refused(Refusal),
}
