//! The door to the disk: everything that Cairn keeps goes through these two traits, so that the same code runs over a
//! real filesystem and over its faulty twin.
//!
//! All calls block. Each drive has a thread of its own; nothing here is called from a network task except
//! [`File::read_exact_at_cached`], which never waits for the device.

use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

#[cfg(test)]
mod conformance;
mod direct;
pub mod faulty;
pub mod fitness;
pub mod real;

/// What lies in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// The name, without its directory.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// How much room a filesystem has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that this process may still write.
    pub available_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
}

/// One filesystem: paths and what may be done to them. A path is absolute, or relative to the process.
pub trait Files: Send + Sync + Debug + 'static {
    /// Creates a new file for reading and writing; one that exists already is an error (`AlreadyExists`).
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// Opens a file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// Makes a directory and what is missing above it.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// What lies in a directory, sorted by name.
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>>;
    /// Renames within one filesystem, replacing a file that stood there.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable: without it a new, renamed or removed file may come back as it was.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// How much room there is at a path.
    fn space(&self, path: &Path) -> io::Result<Space>;
}

/// One open file. Offsets are absolute; there is no cursor, so a file may be shared between threads.
pub trait File: Send + Sync + Debug + 'static {
    /// Writes all parts one after the other at an offset, as few system calls as it takes.
    fn write_all_vectored_at(&self, parts: &[Bytes], offset: u64) -> io::Result<()>;
    /// Fills the whole buffer from an offset, or fails (`UnexpectedEof` behind the end).
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// As [`Self::read_exact_at`], but only from memory: `Ok(false)` where the device would have to be asked (the
    /// buffer's content is then unspecified).
    fn read_exact_at_cached(&self, buffer: &mut [u8], offset: u64) -> io::Result<bool>;
    /// As [`Self::read_exact_at`], but what the device holds, past what the kernel merely remembers. Any offset and
    /// length; alignment is the implementation's affair. A filesystem that cannot answers `Unsupported`.
    fn read_exact_at_device(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// Makes everything written to this file so far durable (fdatasync). After an error nothing may be believed of
    /// unsynced writes, and asking again proves nothing.
    fn sync_data(&self) -> io::Result<()>;
    /// Reserves room for `length` bytes from the start and makes the file that long; new bytes read zero.
    fn allocate(&self, length: u64) -> io::Result<()>;
    /// Gives a range back to the filesystem; it reads zero from then on. `Unsupported` where that is not possible.
    fn punch(&self, offset: u64, length: u64) -> io::Result<()>;
    /// Where the next bytes lie that the filesystem keeps for this file, at an offset or behind it; `None` when there are
    /// only holes up to the end. Tells what was punched without reading it; what is allocated and was never written may
    /// count either way. `Unsupported` where the filesystem cannot.
    fn next_data(&self, offset: u64) -> io::Result<Option<u64>> {
        let _ = offset;
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Cuts or extends the file.
    fn truncate(&self, length: u64) -> io::Result<()>;
    /// How long the file is.
    fn len(&self) -> io::Result<u64>;
    /// How many bytes the filesystem has given it.
    fn allocated_bytes(&self) -> io::Result<u64>;
    /// Whether the file is empty.
    fn is_empty(&self) -> io::Result<bool> {
        self.len().map(|length| length == 0)
    }
    /// Takes the lock that keeps a second process out; `Ok(false)` when another holds it. Freed when the file is closed.
    fn try_lock(&self) -> io::Result<bool>;
}
