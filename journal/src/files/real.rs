//! A real filesystem, by way of the kernel.

use std::fs;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use rustix::fs::{FallocateFlags, FlockOperation, Mode, OFlags, SeekFrom};
use rustix::io::{Errno, ReadWriteFlags};

use super::direct::{self, ALIGNMENT, Aligned, STEP_BYTES};
use super::{DirEntry, File, Files, Space};

/// The machine's filesystems.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealFiles;

impl RealFiles {
    /// Shared, as everyone takes it.
    pub fn shared() -> Arc<dyn Files> {
        Arc::new(Self)
    }
}

impl Files for RealFiles {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        // What is stored is nobody else's business on this machine.
        let file = fs::OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Arc::new(RealFile { file, direct: OnceLock::new() }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let file = fs::OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Arc::new(RealFile { file, direct: OnceLock::new() }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            // Names that are not UTF-8 are nobody's here; they are still shown.
            let name = entry.file_name().to_string_lossy().into_owned();
            entries.push(DirEntry { name, is_dir: entry.file_type()?.is_dir() });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        fs::File::open(path)?.sync_all()
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let stat = rustix::fs::statvfs(path)?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Ok(Space { available_bytes: bytes(stat.f_bavail), total_bytes: bytes(stat.f_blocks) })
    }
}

/// How many parts one system call takes at most (IOV_MAX on Linux).
const PARTS_MAX: usize = 1024;

#[derive(Debug)]
struct RealFile {
    file: fs::File,
    /// The same file, opened past the page cache, once somebody asks; `None` where the filesystem cannot.
    direct: OnceLock<Option<fs::File>>,
}

impl RealFile {
    fn direct(&self) -> io::Result<&fs::File> {
        if self.direct.get().is_none() {
            // Through /proc, so that a file which was renamed or removed meanwhile is still the same one.
            let path = PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()));
            let flags = OFlags::RDWR | OFlags::DIRECT | OFlags::CLOEXEC;
            let opened = match rustix::fs::open(&path, flags, Mode::empty()) {
                Ok(descriptor) => Some(fs::File::from(descriptor)),
                Err(Errno::INVAL | Errno::NOENT | Errno::OPNOTSUPP) => None,
                Err(error) => return Err(error.into()),
            };
            // Two threads may both have opened it; one of the two is closed again.
            drop(self.direct.set(opened));
        }
        self.direct.get().and_then(Option::as_ref).ok_or_else(|| io::ErrorKind::Unsupported.into())
    }
}

impl File for RealFile {
    fn write_all_vectored_at(&self, parts: &[Bytes], offset: u64) -> io::Result<()> {
        if direct::is_fit(parts, offset) {
            match self.direct().and_then(|file| direct::write_all(file, parts, offset)) {
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
                written => return written,
            }
        }
        let mut slices: Vec<IoSlice<'_>> =
            parts.iter().filter(|part| !part.is_empty()).map(|part| IoSlice::new(part)).collect();
        let (mut rest, mut at) = (slices.as_mut_slice(), offset);
        while !rest.is_empty() {
            let few = &rest[..rest.len().min(PARTS_MAX)];
            let written = match rustix::io::pwritev(&self.file, few, at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => written,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            at += written as u64;
            IoSlice::advance_slices(&mut rest, written);
        }
        Ok(())
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn read_exact_at_cached(&self, buffer: &mut [u8], offset: u64) -> io::Result<bool> {
        let mut filled = 0;
        while filled < buffer.len() {
            let slice = &mut [IoSliceMut::new(&mut buffer[filled..])];
            match rustix::io::preadv2(&self.file, slice, offset + filled as u64, ReadWriteFlags::NOWAIT) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => filled += read,
                Err(Errno::INTR) => {}
                // Not in memory, or a kernel or filesystem that cannot promise not to wait.
                Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    fn read_exact_at_device(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let direct = self.direct()?;
        let end = offset + buffer.len() as u64;
        let (mut filled, mut at) = (0, offset - offset % ALIGNMENT);
        let through_bytes = (end.next_multiple_of(ALIGNMENT) - at).min(STEP_BYTES as u64);
        let mut through = Aligned::new(through_bytes as usize);
        while filled < buffer.len() {
            let want = (end.next_multiple_of(ALIGNMENT) - at).min(through_bytes) as usize;
            let bounce = &mut through.as_mut()[..want];
            let read = match direct.read_at(bounce, at) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(direct::told(error)),
            };
            let skip = (offset + filled as u64 - at) as usize;
            let useful = read.saturating_sub(skip).min(buffer.len() - filled);
            if useful == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            buffer[filled..filled + useful].copy_from_slice(&bounce[skip..skip + useful]);
            filled += useful;
            let next = offset + filled as u64;
            at = next - next % ALIGNMENT;
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, length) {
            Ok(()) => Ok(()),
            // The room is then not reserved, and a write may find none: an error like any other.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) if self.len()? < length => self.file.set_len(length),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn punch(&self, offset: u64, length: u64) -> io::Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match rustix::fs::fallocate(&self.file, flags, offset, length) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Err(io::ErrorKind::Unsupported.into()),
            result => Ok(result?),
        }
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<u64>> {
        // The cursor that this moves is used by nobody: every read and write names its offset.
        match rustix::fs::seek(&self.file, SeekFrom::Data(offset)) {
            Ok(data) => Ok(Some(data)),
            Err(Errno::NXIO) => Ok(None),
            Err(Errno::INVAL | Errno::OPNOTSUPP) => Err(io::ErrorKind::Unsupported.into()),
            Err(error) => Err(error.into()),
        }
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn allocated_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::fstat(self.file.as_fd())?;
        // The kernel counts in units of 512 bytes, whatever the block is.
        Ok(u64::try_from(stat.st_blocks).unwrap_or(0) * 512)
    }

    fn try_lock(&self) -> io::Result<bool> {
        match rustix::fs::flock(&self.file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
