//! The operation log on a voter's own drives, r copies of everything.
pub mod contents;
pub mod drive_set;
pub mod epoch;
pub mod finding;
pub mod flight;
pub mod group;
mod lineage;
pub mod record;
pub mod recover;
pub mod refusal;
pub mod roster;
