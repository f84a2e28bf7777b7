//! A filesystem in memory that fails on request, the same way for the same seed.
//!
//! What it keeps apart is what the kernel shows and what would survive a power cut:
//!
//! ```text
//! write, truncate, punch --> shown at once
//!                        --> pending --sync_data--> durable        a failed sync forgets what was pending:
//! create, rename, remove --> shown at once                         shown still, but the device never gets it
//!                        --> pending --sync_dir--> durable
//! crash: of what is pending each part survives, is lost, or is torn, as the seed decides
//! lie:   a write is shown and synced, and on the device it is nowhere (a stale block) or elsewhere (a misdirected one)
//! ```
//!
//! A test drives it by a [`FaultPlan`] (chances, capacity), by [`FaultyFiles::fail_next`] (this operation, that file), by
//! [`FaultyFiles::lie_next`], by [`FaultyFiles::power_off_after`] (a crash at any point of any operation), by
//! [`FaultyFiles::flip_bit`], and by [`FaultyFiles::before_each`], which makes it slow.
//!
//! Directories are durable as soon as they exist, and only files can be renamed: nothing that is tested here depends on
//! either.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::{DirEntry, File, Files, Space};

mod content;
mod disk;
mod hook;
mod plan;
mod ranges;

pub use disk::Snapshot;
use disk::{Disk, FileId};
use hook::Hook;
pub use plan::{FaultPlan, Lie, Operation};

/// The filesystem. Cheap to clone: clones are the same filesystem.
#[derive(Debug, Clone)]
pub struct FaultyFiles {
    disk: Arc<Mutex<Disk>>,
    hook: Hook,
}

impl FaultyFiles {
    /// An empty filesystem.
    pub fn new(seed: u64, plan: FaultPlan) -> Self {
        Self::from_snapshot(seed, plan, Snapshot::default())
    }

    /// A filesystem with what another one had made durable. They are two from then on.
    pub fn from_snapshot(seed: u64, plan: FaultPlan, snapshot: Snapshot) -> Self {
        Self { disk: Arc::new(Mutex::new(Disk::new(seed, plan, snapshot))), hook: Hook::default() }
    }

    /// As the trait object that everyone takes.
    pub fn shared(&self) -> Arc<dyn Files> {
        Arc::new(self.clone())
    }

    /// Cuts the power and switches it on again: what was pending survives, is lost or is torn; every file that was
    /// open is dead from then on (its operations fail), every lock is free.
    pub fn crash(&self) {
        self.disk().crash();
    }

    /// What would survive if nothing that is pending did. Cheap: bytes are shared.
    pub fn snapshot(&self) -> Snapshot {
        self.disk().snapshot()
    }

    /// From now on, other chances and another capacity.
    pub fn set_plan(&self, plan: FaultPlan) {
        self.disk().plan = plan;
    }

    /// The next operation of this kind on a path that ends like this fails once, with an input/output error. May be
    /// called several times, for several failures.
    pub fn fail_next(&self, operation: Operation, path_end: &str) {
        self.disk().fail_next.push((operation, path_end.to_owned()));
    }

    /// The next write to a path that ends like this is acknowledged and shown, and the device has it nowhere or in
    /// another place. What the kernel shows and what the device holds differ from then on; a crash makes them agree.
    pub fn lie_next(&self, lie: Lie, path_end: &str) {
        self.disk().lie_next.push((lie, path_end.to_owned()));
    }

    /// Has something happen before each operation on a file (a read from memory is none), on the thread that asked and
    /// with nothing locked: waiting there is a disk that is slow, or one that hangs.
    pub fn before_each(&self, before: impl Fn(Operation, &Path) + Send + Sync + 'static) {
        self.hook.set(Arc::new(before));
    }

    /// The faults stop: nothing fails any more that was told or planned to, except where [`Self::set_unreadable`] said
    /// so. The size of the disk and what it can do stay.
    pub fn stop_faults(&self) {
        self.hook.clear();
        let mut disk = self.disk();
        let FaultPlan { capacity_bytes, device_reads, punches, .. } = disk.plan;
        disk.plan = FaultPlan { capacity_bytes, device_reads, punches, ..FaultPlan::default() };
        disk.fail_next.clear();
        disk.lie_next.clear();
        disk.power_off_after = None;
    }

    /// After so many further operations that change something, the power goes in the midst of the next one: it and all
    /// others fail until [`Self::crash`].
    pub fn power_off_after(&self, operations: u64) {
        self.disk().power_off_after = Some(operations);
    }

    /// How many operations changed something so far: what [`Self::power_off_after`] counts.
    pub fn changes(&self) -> u64 {
        self.disk().changes
    }

    /// Flips one bit of a file, on the device and as it is shown: what rot does.
    ///
    /// Fails with `NotFound` and `UnexpectedEof`.
    pub fn flip_bit(&self, path: &Path, offset: u64, bit: u8) -> io::Result<()> {
        self.disk().flip_bit(path, offset, bit)
    }

    /// Makes one range of a file unreadable, on the device and from memory, until it is written again; an empty range
    /// makes everything readable.
    pub fn set_unreadable(&self, path: &Path, range: std::ops::Range<u64>) -> io::Result<()> {
        self.disk().set_unreadable(path, range)
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, id: FileId, path: &Path) -> Arc<dyn File> {
        let boot = self.disk().boot;
        Arc::new(FaultyFile { files: self.clone(), id, boot, path: path.to_owned(), locked: Mutex::new(false) })
    }
}

impl Files for FaultyFiles {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let id = self.disk().create(path)?;
        Ok(self.handle(id, path))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let id = self.disk().open(path)?;
        Ok(self.handle(id, path))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk().create_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.disk().list(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk().rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk().remove(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk().sync_dir(path)
    }

    fn space(&self, _path: &Path) -> io::Result<Space> {
        self.disk().space()
    }
}

/// An open file. Dead after a crash.
#[derive(Debug)]
struct FaultyFile {
    files: FaultyFiles,
    id: FileId,
    boot: u64,
    path: PathBuf,
    locked: Mutex<bool>,
}

impl FaultyFile {
    fn disk(&self) -> io::Result<MutexGuard<'_, Disk>> {
        let disk = self.files.disk();
        if disk.boot == self.boot { Ok(disk) } else { Err(io::Error::other("the file was open when the power went")) }
    }

    /// As [`Self::disk`], after whatever a test has before this operation.
    fn disk_for(&self, operation: Operation) -> io::Result<MutexGuard<'_, Disk>> {
        self.files.hook.run(operation, &self.path);
        self.disk()
    }

    fn locked(&self) -> MutexGuard<'_, bool> {
        self.locked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl File for FaultyFile {
    fn write_all_vectored_at(&self, parts: &[Bytes], offset: u64) -> io::Result<()> {
        self.disk_for(Operation::Write)?.write(self.id, &self.path, parts, offset)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.disk_for(Operation::Read)?.read(self.id, &self.path, buffer, offset)
    }

    fn read_exact_at_cached(&self, buffer: &mut [u8], offset: u64) -> io::Result<bool> {
        let mut disk = self.disk()?;
        if disk.misses_cache() {
            return Ok(false);
        }
        disk.read(self.id, &self.path, buffer, offset).map(|()| true)
    }

    fn read_exact_at_device(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.disk_for(Operation::Read)?.read_device(self.id, &self.path, buffer, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk_for(Operation::Sync)?.sync_data(self.id, &self.path)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.disk_for(Operation::Write)?.allocate(self.id, &self.path, length)
    }

    fn punch(&self, offset: u64, length: u64) -> io::Result<()> {
        self.disk_for(Operation::Write)?.punch(self.id, &self.path, offset, length)
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<u64>> {
        self.disk()?.next_data(self.id, offset)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.disk_for(Operation::Write)?.truncate(self.id, &self.path, length)
    }

    fn len(&self) -> io::Result<u64> {
        self.disk()?.len(self.id)
    }

    fn allocated_bytes(&self) -> io::Result<u64> {
        self.disk()?.allocated_bytes(self.id)
    }

    fn try_lock(&self) -> io::Result<bool> {
        let mut locked = self.locked();
        if !*locked {
            *locked = self.disk()?.try_lock(self.id);
        }
        Ok(*locked)
    }
}

impl Drop for FaultyFile {
    fn drop(&mut self) {
        if *self.locked()
            && let Ok(mut disk) = self.disk()
        {
            disk.unlock(self.id);
        }
    }
}

#[cfg(test)]
mod tests;
