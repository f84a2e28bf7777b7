//! The state machine: a pure function from rows and operations to changed rows and outcomes.
//!
//! ```text
//! Batch (an entry of the log) + RowSource -> apply -> Applied { effects: changed rows, outcomes, one for each operation }
//! ```
//!
//! No I/O, no clock, no randomness: every voter that applies the same entries has the same rows, and so has a simulation
//! over a map. What the rows are is in [`rows`], one file for each kind; how a row becomes bytes is in [`row`].

pub mod apply;
pub mod batch;
pub mod check;
pub mod operation;
pub mod outcome;
pub mod row;
pub mod rows;
pub mod source;

pub use apply::{Applied, ApplyError, apply, due_until};
pub use batch::{Batch, FUNCTION_VERSION, InvalidBatch, Proposal, RequestId};
pub use operation::{Conditions, Operation};
pub use outcome::{Outcome, Refusal};
pub use row::{Row, Table};
pub use source::{MapRows, RowError, RowSource};

#[cfg(test)]
mod tests;
