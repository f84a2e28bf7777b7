//! The calling end: connections to peers, kept and used again.
//!
//! - [`pool`]: who is where, how many connections of each class, what is done with one that breaks
//! - [`lane`]: one connection of one's own, so that calls arrive in the order in which they were made
//! - `connection`: one greeted connection, one call at a time
//! - `backoff`: when a peer that could not be reached is tried again

mod backoff;
mod connection;
pub mod lane;
pub mod pool;
