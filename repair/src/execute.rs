//! The ways to act: each takes one step of a plan, proposes what it did, and believes only what the log and the drives
//! answered.

pub mod abandon;
pub mod collect;
pub mod condemn;
pub mod move_position;
pub mod remove;
pub mod reshape;
pub mod retire;
pub mod rewrite;
