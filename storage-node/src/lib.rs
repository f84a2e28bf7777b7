//! A drive that can be trusted: chunks in a journal, found by an index, verified by everyone.
//!
//! ```text
//! DriveDir   whose directory is this?   identity, secret, lock
//!    |
//!  open      what does the journal hold, and does the index agree?
//!    |
//!  Drive     put -> journal -> index     get -> page cache or device     delete -> punch
//! ```
//!
//! Where to look:
//! - [`drive_dir`], [`identity`], [`secret`]: a drive's directory, what is in it, and who may use it; [`enlistment`]: its
//!   node's part in the log
//! - [`drive`]: the store itself; `drive/write.rs` says what happens before a put is acknowledged
//! - [`reconcile`]: a start: the journal is the truth, the index follows
//! - [`index`]: chunk name to place, in memory or in sled
//! - [`scrub`]: everything read back from the device, on a schedule
//! - [`stats`]: where the bytes are, what is under way, how long things take
//! - [`failed_drive`]: what stands in for a drive that could not be opened
//! - `head_cache`, `name_locks`, `condition`, `line`, `verify`: the drive's parts
//! - [`conformance`]: what every chunk store must do
//!
//! Words:
//! - **drive**: one directory on one device; the unit that fails and is placed on
//! - **place**: where the journal keeps a record; **index**: from a chunk's name to its place, never the only copy
//! - **twin**: a second record of one name, left by a lost punch; one of them is given back at the next start
//! - **generation**: one database of an index; a broken one is put away and another begun
//!
//! Deliberately absent: the network (a remote drive implements the same trait and passes the same suite), and any memory of
//! what a chunk is for. A scrub finds damage and tells; what is done about it is repair's affair.

mod condition;
pub mod conformance;
pub mod drive;
pub mod drive_dir;
pub mod enlistment;
pub mod failed_drive;
mod head_cache;
pub mod identity;
pub mod index;
mod line;
mod name_locks;
pub mod options;
pub mod reconcile;
pub mod scrub;
pub mod secret;
pub mod stats;
mod verify;

pub use drive::Drive;
pub use drive_dir::{DirError, DriveDir, Inspect};
pub use enlistment::{Enlistment, Membership};
pub use failed_drive::FailedDrive;
pub use identity::{Formation, Identity, Slot};
pub use options::{DriveOptions, IndexKind};
pub use reconcile::{OpenError, OpenReport};
pub use scrub::{DamageSink, Scrub, ScrubConfig, ScrubProgress};
pub use secret::ClusterSecret;
pub use stats::{Accounts, DriveStats, Load};
