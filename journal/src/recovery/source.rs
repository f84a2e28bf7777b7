//! What a scan reads from: one segment's file, as the kernel shows it or as the device has it.

use std::cell::Cell;
use std::io;

use bytes::Bytes;

use crate::files::File;
use crate::format::BLOCK_BYTES;

/// Whose word is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    /// The kernel's: enough for what is known to have been synced.
    Kernel,
    /// The device's: a failed sync leaves bytes in the kernel that the device never got.
    Device,
}

pub(super) struct Source<'a> {
    pub file: &'a dyn File,
    pub view: View,
    /// The file's length in whole blocks: a record that is cut off is not one.
    pub end: u64,
    /// Whether the device could not be asked and the kernel was believed.
    pub device_unread: Cell<bool>,
}

impl<'a> Source<'a> {
    pub fn new(file: &'a dyn File, view: View, file_bytes: u64) -> Self {
        Self { file, view, end: file_bytes - file_bytes % BLOCK_BYTES, device_unread: Cell::new(false) }
    }

    pub fn read(&self, offset: u64, length: u64) -> io::Result<Bytes> {
        assert!(offset + length <= self.end, "a read inside the segment");
        let mut bytes = vec![0; usize::try_from(length).expect("no part of a segment is longer than memory")];
        match self.view {
            View::Kernel => self.file.read_exact_at(&mut bytes, offset)?,
            View::Device => match self.file.read_exact_at_device(&mut bytes, offset) {
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                    self.device_unread.set(true);
                    self.file.read_exact_at(&mut bytes, offset)?;
                }
                result => result?,
            },
        }
        Ok(Bytes::from(bytes))
    }

    /// The next block that may hold something. Where the filesystem cannot tell, every block may.
    pub fn next_block(&self, at: u64) -> io::Result<Option<u64>> {
        if at >= self.end {
            return Ok(None);
        }
        let data = match self.file.next_data(at) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => Some(at),
            result => result?,
        };
        let block = data.map(|data| data - data % BLOCK_BYTES);
        Ok(block.filter(|&block| block < self.end))
    }
}
