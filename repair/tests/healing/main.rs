//! The daemon over a real voter, with drives in memory that fail and come back: what is lost is rebuilt or re-encoded to
//! what fits, what comes back is used again, and whatever happens meanwhile, every object reads as it was written.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod hanging;
mod lease;
mod races;
mod reshaping;
mod world;
