//! Bytes that survive: a journal of records on one drive.
//!
//! A journal is a directory of preallocated, append-only segments. Its owner (a drive's chunks, an operation log) hands in
//! records: a name, a head and a body. Records that arrive together are written as one group and synced once; each is
//! answered with its [`Place`] when it is durable, and not before. A record is read by its place and deleted by punching
//! it out of its segment; nothing is written to delete. After a crash the journal tells its owner what is there.
//!
//! ```text
//! append --> JournalHandle --> Writer --> segment files         (handle, writer, seal)
//! read   --> Reader ---------------------> segment files        (reader, segments)
//! start  --> recovery: look, decide, change, tell the owner     (recovery)
//! ```
//!
//! Where to look:
//! - [`files`]: the door to the disk, real ([`files::real`]) and faulty ([`files::faulty`])
//! - `format`: the bytes, one file for each structure; `docs/formats/journal.md` has the tables
//! - `writer`: what must be durable before what may be said
//! - [`recovery`]: what a start believes, and what it cuts
//! - [`Journal`]: the sync core; [`JournalHandle`]: the same behind a queue and one writer
//!
//! Words:
//! - **segment**: one file, known by its ordinal; **sealed** when its footer lists all its records
//! - **group**: what one write brought; its header names the records, and how far everything before was durable
//! - **record**: envelope, name, head (the journal's checksum covers these) and body (the owner's covers that)
//! - **place**: where a record lies; **punch**: to give its blocks back, after which its header reads zero
//! - **clean mark**: written by a close; the next start knows that nothing was in flight
//! - **poisoned**: a write or sync failed; nothing more is acknowledged until the next start

mod error;
pub mod files;
mod format;
mod handle;
mod journal;
mod name;
mod options;
mod place;
mod reader;
mod record;
pub mod recovery;
mod seal;
mod sealed;
mod segments;
mod usage;
mod writer;

#[cfg(test)]
mod tests;

pub use error::JournalError;
pub use files::{File, Files};
pub use format::{BLOCK_BYTES, VERSION};
pub use handle::{JournalHandle, Shared, Shell};
pub use journal::Journal;
pub use name::RecordName;
pub use options::{Options, OwnerKind};
pub use place::Place;
pub use reader::Reader;
pub use record::{Append, BODY_BYTES_MAX, HEAD_BYTES_MAX, Record, RecordHead, RecordInfo, body_start};
pub use recovery::{BodyReader, Damage, DamageKind, Owner, Recovery};
pub use usage::Usage;
pub use writer::{GROUP_BYTES_MAX, GROUP_RECORDS_MAX};
