//! The vocabulary of Cairn, and its pure decisions. No I/O in here: every other room depends on this one, and this one
//! on none.
//!
//! ```text
//! version (an object) -> extent (named bytes) -> stripe (k+m) -> chunk (one drive) -> block (one checksum)
//! ```
//!
//! - [`ids`]: every name is a type of its own; [`names`]: those that people choose
//! - [`geometry`]: k+m, and what fits when drives are missing; [`stripe`]: which byte lies in which chunk
//! - [`ring`]: on which drives a stripe's chunks go
//! - [`chunk`]: a piece of a stripe and the checksums that bind it to its place
//! - [`chunk_store`]: the one way to a drive, near or far
//! - [`clock`], [`entropy`]: the only doors to time and randomness
//! - [`latency`]: how long a drive takes
//! - [`buffers`]: long memory, used again
//! - [`units`]: sizes that several rooms share

pub mod buffers;
pub mod chunk;
pub mod chunk_store;
pub mod clock;
pub mod entropy;
pub mod geometry;
pub mod ids;
pub mod latency;
pub mod names;
pub mod ring;
pub mod stripe;
pub mod units;

pub use buffers::{Buffer, Buffers};
pub use chunk::{ChunkHead, ChunkName, ChunkRecord, ChunkSlice};
pub use chunk_store::{ChunkError, ChunkStore, Drives};
pub use clock::{Clock, Elapsed, WallTime};
pub use entropy::Entropy;
pub use geometry::Geometry;
pub use ids::{
    BucketId, ClusterId, DriveId, EpochId, ExtentId, LogIndex, NodeId, SessionId, StripeId, VersionId, WriteId,
};
pub use names::{BucketName, ObjectKey};
pub use ring::{Ring, RingDrive};
pub use stripe::StripeShape;
