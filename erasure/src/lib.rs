//! Bytes to stripes and back: Reed-Solomon codec, stripe writer, stripe reader.
//!
//! ```text
//! extents -> StripeBuilder -> SealedStripe -> StripeWriter -> drives      -> WrittenStripe (for the metadata)
//! bytes   <- StripeReader  <- StripePlaces (from the metadata)
//!                 ^ any k chunks of k+m
//! ```
//!
//! - [`stripe_builder`]: extents laid out, coded and hashed. Pure
//! - [`stripe_writer`]: all chunks durable on distinct drives, around those that fail
//! - [`stripe_reader`]: ranges back, every block verified, decoded around what is lost; chunks made anew for repair
//! - [`codec`]: the parity itself, and the way back from any k chunks. Pure
//! - [`toc`]: a stripe's table of contents
//! - [`pool`]: where all that costs processor time runs
//! - [`testing`]: drives in memory that fail on demand
//!
//! What is not here: which drives may be used (the caller says so), what happens to chunks that a failed write left
//! (the caller condemns them), how much memory a write takes (the caller reserves it before it reads a byte: the
//! extents' bytes, and m/k of that for parity).
//!
//! Words: a **position** is one of a stripe's k+m chunks, data first; a **column** is the same range of bytes in several
//! chunks; a **run** is a range of bytes in one chunk; a **survivor** is a chunk that others are decoded from; an
//! **attempt** is a name under which a chunk may lie on a drive.

pub mod codec;
pub mod pool;
pub mod stripe_builder;
pub mod stripe_places;
pub mod stripe_reader;
pub mod stripe_writer;
pub mod testing;
pub mod toc;

pub use pool::CodingPool;
pub use stripe_builder::{SealedExtent, SealedStripe, StripeBuilder, StripeExtent};
pub use stripe_places::{ChunkPlace, PositionFault, StripePlaces};
pub use stripe_reader::{ChunkSource, Faults, ReadStripeError, ReadTocError, StripeReader};
pub use stripe_writer::{Attempt, StripeWriter, Targets, WriteStripeError, WrittenStripe};
pub use toc::{InvalidToc, TocEntry, read_toc};
