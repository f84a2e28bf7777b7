//! Reading and writing past the page cache: what the kernel wants aligned, aligned here.
//!
//! A long write through the page cache is copied into memory that the kernel first has to find, and from there to the
//! device; of chunks that are read again seldom, nothing is gained by that. Past the cache it is copied once, into memory
//! that was used a moment ago. See `docs/adr/0022-long-writes-go-past-the-page-cache.md`.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use rustix::io::Errno;

/// What offsets, lengths and memory are aligned to: what the largest common sector wants.
pub const ALIGNMENT: u64 = 4096;

/// How much one call brings or takes at most: bounds the memory that it is copied through.
pub const STEP_BYTES: usize = 1024 * 1024;

/// Shorter writes go through the page cache: they are small groups, of which many read again soon.
pub const WRITE_BYTES_MIN: u64 = 256 * 1024;

thread_local! {
    /// Where long writes of this thread are copied through. A drive has one thread that writes.
    static THROUGH: RefCell<Option<Aligned>> = const { RefCell::new(None) };
}

/// Memory that begins where the device wants it to.
pub struct Aligned {
    memory: Vec<u8>,
    begin: usize,
    length: usize,
}

impl Aligned {
    /// So many bytes.
    pub fn new(length: usize) -> Self {
        let memory = vec![0; length + ALIGNMENT as usize];
        let begin = memory.as_ptr().align_offset(ALIGNMENT as usize);
        assert!(begin < ALIGNMENT as usize, "the memory has room for alignment");
        Self { memory, begin, length }
    }

    /// The bytes.
    pub fn as_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.begin..self.begin + self.length]
    }
}

/// Whether a write is long enough, and whole blocks.
pub fn is_fit(parts: &[Bytes], offset: u64) -> bool {
    let length: u64 = parts.iter().map(|part| part.len() as u64).sum();
    length >= WRITE_BYTES_MIN && length.is_multiple_of(ALIGNMENT) && offset.is_multiple_of(ALIGNMENT)
}

/// Writes parts one after the other through a file that was opened past the page cache. `Unsupported` where the filesystem
/// refuses: then some of it may have been written, and all of it may be written another way.
pub fn write_all(file: &fs::File, parts: &[Bytes], offset: u64) -> io::Result<()> {
    THROUGH.with_borrow_mut(|through| {
        let through = through.get_or_insert_with(|| Aligned::new(STEP_BYTES)).as_mut();
        let (mut filled, mut at) = (0, offset);
        for part in parts {
            let mut rest = &part[..];
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(through.len() - filled));
                through[filled..filled + now.len()].copy_from_slice(now);
                filled += now.len();
                rest = later;
                if filled == through.len() {
                    write_step(file, through, at)?;
                    at += filled as u64;
                    filled = 0;
                }
            }
        }
        write_step(file, &through[..filled], at)
    })
}

fn write_step(file: &fs::File, mut step: &[u8], mut at: u64) -> io::Result<()> {
    while !step.is_empty() {
        let written = match file.write_at(step, at) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            // A full disk may end a write anywhere; whatever follows must begin at a block again.
            Ok(written) => written - written % ALIGNMENT as usize,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(told(error)),
        };
        if written == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        step = &step[written..];
        at += written as u64;
    }
    Ok(())
}

/// What a filesystem says that cannot do this.
pub fn told(error: io::Error) -> io::Error {
    match Errno::from_io_error(&error) {
        Some(Errno::INVAL | Errno::OPNOTSUPP) => io::ErrorKind::Unsupported.into(),
        _ => error,
    }
}
