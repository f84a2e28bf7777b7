//! A drive of another node, behind the same trait as one of our own.
//!
//! ```text
//! RemoteDrive --- put, get, read back: bulk ----------> ChunkService --> Drives --> the drive
//!     |       --- head, delete, list, digest, health: control --> |
//!     +--- what the drive last said of its health <---------------+  (beside every answer that may change it)
//! ```
//!
//! Chunk bytes travel outside the message's tag, because the chunk's head, which is under it, holds the hash of every
//! block. A put is checked by the node that takes it, before its drive sees it; what a get brings is checked by the
//! reader, as always. So no byte is hashed twice.

mod client;
mod health;
mod service;
mod wire;

pub use client::RemoteDrive;
pub use service::ChunkService;
