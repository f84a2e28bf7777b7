//! Rows are runs plus an overlay: sorted immutable files, and what is newer than them.
//!
//! The rows are what the operation log amounts to. This crate keeps them as byte strings by byte strings; what they mean is
//! the state machine's affair. One writer applies what each log index changed; readers hold a [`View`], which is exact at
//! one index for as long as it lives.
//!
//! ```text
//! apply ──> active overlay ──(cut: exchanged)──> frozen overlay ──(written, read back)──> run, run, run ──(merge)──> run
//!              ▲                                    ▲                                      ▲
//!              └──────────── newest first ──────────┴────── a view reads all of them ──────┘
//! ```
//!
//! Nothing here is the only copy of anything: runs lie on r drives, and what is newer than the newest run stands in the
//! log, from which the overlay is filled again at every start. A mark in the log names the [`RunSet`] that the rows are;
//! only what the newest mark names is opened, and what an acknowledged mark has replaced is removed.
//!
//! Where to look:
//! - [`Rows`] (`rows`): open, apply, view; `cut`, `merge` and `retire` add the maintenance to it, `receive` the way of a run
//!   from one voter to another
//! - [`View`], [`Cursor`] (`view`): reading; `merged`: several sources as one
//! - [`Scrub`] (`scrub`): reading runs back
//! - [`run`]: the file: its format, its writer (with the order in which bytes become durable), its readers, the block cache
//! - [`overlay`]: the trait, in sled and in memory; `generation`: one overlay with its tally and its filter
//! - [`merge_plan`]: which runs to merge, a pure decision
//! - [`error`]: what can go wrong and what the caller does about it
//!
//! Words:
//! - **run**: rows in a sorted file at one index, with those that the log removed since the run before it
//! - **overlay**: versions of rows, by (key, index), newer than the newest run
//! - **set of runs**: runs that follow each other from the beginning of the log to an index: the rows at that index
//! - **cut**: the overlay becomes a run; **merge**: neighbouring runs become one; **retire**: files that nothing names go
//! - **removal**: a row that says that there is no such row, whatever older runs say
//! - **tally**: a count and a sum of hashes; a run that is cut must have the one that was kept while applying
//!
//! Deliberately not here: anything about what rows mean, the log, threads (the caller brings its own), and walking
//! backwards.

pub mod bounds;
pub mod error;
pub mod merge_plan;
pub mod overlay;
pub mod run;
pub mod run_set;

mod cut;
mod filter;
mod generation;
mod merge;
mod merged;
mod receive;
mod retire;
mod rows;
mod scrub;
mod tally;
mod view;

pub use bounds::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
pub use cut::CUT_BYTES;
pub use error::{BadCopy, RowsError};
pub use merge::{Merge, MergeProgress};
pub use merge_plan::{MergePlan, MergePolicy};
pub use overlay::memory::MemoryOverlays;
pub use overlay::sled::SledOverlays;
pub use overlay::{Overlays, Row};
pub use receive::{Incoming, OpenSet, Piece, Receiving};
pub use retire::{Mended, Retired};
pub use rows::{Rows, RowsOptions, RowsStats};
pub use run::cache::CACHE_BYTES_DEFAULT;
pub use run::copies::Damage;
pub use run_set::{RunId, RunRef, RunSet};
pub use scrub::Scrub;
pub use tally::Tally;
pub use view::{Cursor, View};
