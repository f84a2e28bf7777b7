//! The state machine: a pure function from rows and operations to changed rows and outcomes.
//!
//! ```text
//! Batch (an entry of the log) + RowSource -> apply -> Applied { effects: changed rows, outcomes, one for each operation }
//! ```
//!
//! No I/O, no clock, no randomness: every voter that applies the same entries has the same rows, and so has a simulation
//! over a map.
//!
//! Where to look:
//! - [`rows`]: what there is, one file for each kind; [`row`]: how a row becomes bytes; [`source`]: where rows are read
//! - [`operation`]: what can happen; [`batch`]: what an entry of the log carries; [`outcome`]: what is answered
//! - [`apply`](mod@apply): what then happens, one file for each family of operations
//! - [`check`]: the invariants, recomputed from all rows; [`audit`]: the ledger, recomputed in steps
//!
//! Words:
//! - **effect**: a row that an entry changed, or that went; **outcome**: what an operation is answered
//! - **refused**: an outcome without any effect; **damaged**: rows that make no sense, which stop the node
//! - **due**: of garbage: nobody can reach the chunk any more ([`due_until`])
//! - **spent**: of a write: its chunks are garbage, it cannot be committed again
//!
//! Deliberately not here: raising the function's version, giving up uploads that nobody completes.

pub mod apply;
pub mod audit;
pub mod batch;
pub mod check;
pub mod operation;
pub mod outcome;
pub mod row;
pub mod rows;
pub mod source;

pub use apply::{Applied, ApplyError, apply, due_until};
pub use batch::{Author, Batch, FUNCTION_NEVER_RAISED, FUNCTION_VERSION, InvalidBatch, Proposal, RequestId};
pub use operation::{Conditions, Operation};
pub use outcome::{Outcome, Refusal};
pub use row::{Row, Table};
pub use source::{MapRows, RowError, RowSource};

#[cfg(test)]
mod tests;
