//! A run: rows in a sorted file that never changes, as they were at one index of the log.
//!
//! ```text
//! header | block | block | ... | footer: a hash for each block, filter | trailer: the run's hash
//! ```
//!
//! The run's hash covers header and footer, the footer's hashes cover the blocks: whoever knows the run's hash (a mark in
//! the log does) can check every byte on its own, without reading the rest. The layout is in `docs/formats/runs.md`.

pub mod block;
pub mod build;
pub mod cache;
pub mod copies;
pub mod cursor;
pub mod format;
pub mod reader;
