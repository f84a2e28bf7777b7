//! The whole disk: names and files, as they are shown and as they would survive.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use cairn_core::Entropy;
use cairn_core::entropy::SeededEntropy;
use rustix::io::Errno;

use super::content::{Change, Content, PAGE_BYTES, pages};
use super::plan::{FaultPlan, Lie, Operation};
use super::ranges::Ranges;
use crate::files::{DirEntry, Space};

/// Like an inode number: a file keeps it under any name.
pub(super) type FileId = u64;

/// Sectors are what devices write as one; a torn write ends where one does, or in the middle of one.
const SECTOR_BYTES: u64 = 512;

/// What had been made durable at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    files: BTreeMap<FileId, Content>,
    names: BTreeMap<PathBuf, FileId>,
    dirs: BTreeSet<PathBuf>,
}

#[derive(Debug, Default)]
struct Inode {
    shown: Content,
    durable: Content,
    /// Written, not yet synced, in order.
    pending: Vec<Change>,
    unreadable: Ranges,
    locked: bool,
}

/// One change of names. A rename is one: it survives whole or not at all.
#[derive(Debug, Clone)]
enum NameChange {
    Link(PathBuf, FileId),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf),
}

#[derive(Debug)]
pub(super) struct Disk {
    pub plan: FaultPlan,
    pub fail_next: Vec<(Operation, String)>,
    pub lie_next: Vec<(Lie, String)>,
    pub power_off_after: Option<u64>,
    pub changes: u64,
    /// Counts crashes; a file that was opened before one is dead.
    pub boot: u64,
    powerless: bool,
    entropy: Arc<SeededEntropy>,
    next_id: FileId,
    files: BTreeMap<FileId, Inode>,
    shown: BTreeMap<PathBuf, FileId>,
    durable: BTreeMap<PathBuf, FileId>,
    pending: Vec<NameChange>,
    dirs: BTreeSet<PathBuf>,
}

/// What the faults decided about a change.
enum Fate {
    Done,
    /// It fails, but may have happened.
    Fails,
}

impl Disk {
    pub fn new(seed: u64, plan: FaultPlan, snapshot: Snapshot) -> Self {
        let next_id = snapshot.files.keys().next_back().map_or(1, |last| last + 1);
        let inode = |content: Content| Inode { shown: content.clone(), durable: content, ..Inode::default() };
        Self {
            plan,
            fail_next: Vec::new(),
            lie_next: Vec::new(),
            power_off_after: None,
            changes: 0,
            boot: 0,
            powerless: false,
            entropy: SeededEntropy::new(seed),
            next_id,
            files: snapshot.files.into_iter().map(|(id, content)| (id, inode(content))).collect(),
            shown: snapshot.names.clone(),
            durable: snapshot.names,
            pending: Vec::new(),
            dirs: snapshot.dirs,
        }
    }

    pub fn snapshot(&self) -> Snapshot {
        let file = |id: &FileId| self.files.get(id).map(|inode| (*id, inode.durable.clone()));
        Snapshot {
            files: self.durable.values().filter_map(file).collect(),
            names: self.durable.clone(),
            dirs: self.dirs.clone(),
        }
    }

    pub fn crash(&mut self) {
        self.boot += 1;
        self.powerless = false;
        self.power_off_after = None;
        for change in std::mem::take(&mut self.pending) {
            if self.coin() {
                apply_name(&mut self.durable, &change);
            }
        }
        self.shown = self.durable.clone();
        let named: BTreeSet<FileId> = self.durable.values().copied().collect();
        self.files.retain(|id, _| named.contains(id));
        let ids: Vec<FileId> = self.files.keys().copied().collect();
        for id in ids {
            let pending = std::mem::take(&mut self.inode(id).pending);
            let survivors: Vec<Change> = pending.into_iter().flat_map(|change| self.survivors(change)).collect();
            let inode = self.inode(id);
            survivors.iter().for_each(|change| inode.durable.apply(change));
            inode.shown = inode.durable.clone();
            inode.locked = false;
        }
    }

    // Names.

    pub fn create(&mut self, path: &Path) -> io::Result<FileId> {
        self.check_parent(path)?;
        if self.shown.contains_key(path) || self.dirs.contains(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let fate = self.change(Operation::Name, path)?;
        let id = self.next_id;
        self.next_id += 1;
        self.files.insert(id, Inode::default());
        self.change_name(NameChange::Link(path.to_owned(), id));
        fate.result().map(|()| id)
    }

    pub fn open(&mut self, path: &Path) -> io::Result<FileId> {
        self.check_power()?;
        self.shown.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub fn create_dir_all(&mut self, path: &Path) -> io::Result<()> {
        self.check_power()?;
        self.dirs.extend(path.ancestors().map(Path::to_owned));
        Ok(())
    }

    pub fn list(&mut self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.check_power()?;
        if !self.is_dir(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let entry = |child: &PathBuf, is_dir| {
            (child.parent() == Some(path))
                .then(|| child.file_name())
                .flatten()
                .map(|name| DirEntry { name: name.to_string_lossy().into_owned(), is_dir })
        };
        let files = self.shown.keys().filter_map(|child| entry(child, false));
        let mut entries: Vec<DirEntry> = files.chain(self.dirs.iter().filter_map(|child| entry(child, true))).collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    pub fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.check_parent(to)?;
        if !self.shown.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let fate = self.change(Operation::Name, to)?;
        self.change_name(NameChange::Rename(from.to_owned(), to.to_owned()));
        fate.result()
    }

    pub fn remove(&mut self, path: &Path) -> io::Result<()> {
        if !self.shown.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let fate = self.change(Operation::Name, path)?;
        self.change_name(NameChange::Unlink(path.to_owned()));
        fate.result()
    }

    pub fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        if !self.is_dir(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        // A failed sync of a directory leaves its changes pending: the kernel's journal still has them.
        self.change(Operation::SyncDir, path)?.result()?;
        for change in std::mem::take(&mut self.pending) {
            if change.touches(path) {
                apply_name(&mut self.durable, &change);
            } else {
                self.pending.push(change);
            }
        }
        Ok(())
    }

    pub fn space(&mut self) -> io::Result<Space> {
        self.check_power()?;
        let available_bytes = self.plan.capacity_bytes.saturating_sub(self.used_bytes());
        Ok(Space { available_bytes, total_bytes: self.plan.capacity_bytes })
    }

    // Files.

    pub fn write(&mut self, id: FileId, path: &Path, parts: &[Bytes], offset: u64) -> io::Result<()> {
        let mut bytes = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
        parts.iter().for_each(|part| bytes.extend_from_slice(part));
        let range = pages(offset..offset + bytes.len() as u64);
        self.change_file(id, path, Change::Write { offset, bytes: bytes.freeze() })?;
        self.inode(id).unreadable.remove(range);
        Ok(())
    }

    pub fn allocate(&mut self, id: FileId, path: &Path, length: u64) -> io::Result<()> {
        self.change_file(id, path, Change::Allocate { length })
    }

    pub fn truncate(&mut self, id: FileId, path: &Path, length: u64) -> io::Result<()> {
        self.change_file(id, path, Change::Truncate { length })
    }

    pub fn punch(&mut self, id: FileId, path: &Path, offset: u64, length: u64) -> io::Result<()> {
        if !self.plan.punches {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.change_file(id, path, Change::Punch { offset, length })
    }

    pub fn read(&mut self, id: FileId, path: &Path, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.check_read(id, path, offset, buffer.len())?;
        self.inode(id).shown.read(buffer, offset);
        Ok(())
    }

    /// What reached the device: everything but what a failed sync left behind. Reading makes nothing durable.
    pub fn read_device(&mut self, id: FileId, path: &Path, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        if !self.plan.device_reads {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.check_read(id, path, offset, buffer.len())?;
        let inode = self.inode(id);
        if inode.pending.is_empty() {
            inode.durable.read(buffer, offset);
        } else {
            let mut content = inode.durable.clone();
            inode.pending.iter().for_each(|change| content.apply(change));
            content.read(buffer, offset);
        }
        Ok(())
    }

    pub fn sync_data(&mut self, id: FileId, path: &Path) -> io::Result<()> {
        let power = !self.powerless;
        match self.change(Operation::Sync, path) {
            Ok(Fate::Done) => {
                let inode = self.inode(id);
                let Inode { pending, durable, .. } = inode;
                pending.drain(..).for_each(|change| durable.apply(&change));
                Ok(())
            }
            Ok(Fate::Fails) => {
                if power && self.powerless {
                    // The power went in the midst of it: what was pending still is, and the crash decides.
                    return Err(no_power());
                }
                // The kernel gives up on the bytes that were pending, and goes on showing them; some may have arrived. The
                // map of the file (its length, its holes) is kept in a journal of its own and is only late.
                let pending = std::mem::take(&mut self.inode(id).pending);
                let arrived = pending.into_iter().flat_map(|change| match change {
                    Change::Write { .. } => self.survivors(change),
                    _ => vec![change],
                });
                let arrived: Vec<Change> = arrived.collect();
                self.inode(id).pending = arrived;
                Err(failure())
            }
            Err(error) => Err(error),
        }
    }

    pub fn next_data(&mut self, id: FileId, offset: u64) -> io::Result<Option<u64>> {
        self.check_power()?;
        Ok(self.inode(id).shown.next_data(offset))
    }

    pub fn len(&mut self, id: FileId) -> io::Result<u64> {
        self.check_power()?;
        Ok(self.inode(id).shown.length)
    }

    pub fn allocated_bytes(&mut self, id: FileId) -> io::Result<u64> {
        self.check_power()?;
        Ok(self.inode(id).shown.allocated.total() * PAGE_BYTES)
    }

    pub fn try_lock(&mut self, id: FileId) -> bool {
        let inode = self.inode(id);
        !std::mem::replace(&mut inode.locked, true)
    }

    pub fn unlock(&mut self, id: FileId) {
        if let Some(inode) = self.files.get_mut(&id) {
            inode.locked = false;
        }
    }

    pub fn misses_cache(&mut self) -> bool {
        let chance = self.plan.cache_miss;
        self.chance(chance)
    }

    pub fn flip_bit(&mut self, path: &Path, offset: u64, bit: u8) -> io::Result<()> {
        let id = self.open(path)?;
        let inode = self.inode(id);
        if offset >= inode.shown.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        inode.shown.flip_bit(offset, bit);
        if offset < inode.durable.length {
            inode.durable.flip_bit(offset, bit);
        }
        Ok(())
    }

    pub fn set_unreadable(&mut self, path: &Path, range: std::ops::Range<u64>) -> io::Result<()> {
        let id = self.open(path)?;
        let inode = self.inode(id);
        inode.unreadable = Ranges::default();
        inode.unreadable.insert(pages(range));
        Ok(())
    }

    // Faults.

    /// Every change comes through here: the power may go, the plan may want it to fail.
    fn change(&mut self, operation: Operation, path: &Path) -> io::Result<Fate> {
        self.check_power()?;
        self.changes += 1;
        if let Some(left) = &mut self.power_off_after {
            if *left == 0 {
                self.powerless = true;
                return Ok(Fate::Fails);
            }
            *left -= 1;
        }
        let chance = match operation {
            Operation::Write => self.plan.write_error,
            Operation::Sync => self.plan.sync_error,
            Operation::Read | Operation::Name | Operation::SyncDir => 0.0,
        };
        let fails = self.told_to_fail(operation, path) || self.chance(chance);
        Ok(if fails { Fate::Fails } else { Fate::Done })
    }

    fn change_file(&mut self, id: FileId, path: &Path, change: Change) -> io::Result<()> {
        self.check_power()?;
        let needed = self.inode(id).shown.pages_needed(&change) * PAGE_BYTES;
        if needed > 0 && self.used_bytes() + needed > self.plan.capacity_bytes {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let fate = self.change(Operation::Write, path)?;
        // Of a write that failed, any part may have been done.
        let done = match fate {
            Fate::Done => vec![change],
            Fate::Fails => self.survivors(change),
        };
        let lie = self.told_to_lie(path);
        for change in done {
            let inode = self.inode(id);
            inode.shown.apply(&change);
            match (lie, change) {
                (None, change) => inode.pending.push(change),
                (Some(Lie::Lost), _) => {}
                (Some(Lie::Misdirected), Change::Write { bytes, .. }) => self.misdirect(bytes),
                (Some(Lie::Misdirected), change) => inode.pending.push(change),
            }
        }
        fate.result()
    }

    /// Puts bytes over some pages of some file, on the device alone.
    fn misdirect(&mut self, bytes: Bytes) {
        let ids: Vec<FileId> =
            self.files.iter().filter(|(_, inode)| inode.durable.length >= PAGE_BYTES).map(|(&id, _)| id).collect();
        if ids.is_empty() {
            return;
        }
        let victim = ids[self.below(ids.len() as u64) as usize];
        let length = self.inode(victim).durable.length;
        let offset = self.below(length / PAGE_BYTES) * PAGE_BYTES;
        let bytes = bytes.slice(..bytes.len().min((length - offset) as usize));
        self.inode(victim).pending.push(Change::Write { offset, bytes });
    }

    fn told_to_lie(&mut self, path: &Path) -> Option<Lie> {
        let path = path.to_string_lossy();
        let hit = self.lie_next.iter().position(|(_, end)| path.ends_with(end.as_str()));
        hit.map(|hit| self.lie_next.remove(hit).0)
    }

    /// What is left of a change that was under way: all, nothing, or for a write some of it.
    fn survivors(&mut self, change: Change) -> Vec<Change> {
        let Change::Write { offset, bytes } = change else {
            return if self.coin() { vec![change] } else { Vec::new() };
        };
        let length = bytes.len() as u64;
        let piece = |range: std::ops::Range<u64>| Change::Write {
            offset: offset + range.start,
            bytes: bytes.slice(range.start as usize..range.end as usize),
        };
        match self.entropy.next_u64() % 5 {
            0 => Vec::new(),
            1 => vec![piece(0..length)],
            // Torn at any byte: the front arrived, or the back.
            2 => vec![piece(0..self.below(length + 1))],
            3 => vec![piece(self.below(length + 1)..length)],
            // Any sectors, in any order.
            _ => {
                let first = SECTOR_BYTES - offset % SECTOR_BYTES;
                let mut cuts = vec![0];
                cuts.extend((0..).map(|n| first + n * SECTOR_BYTES).take_while(|&cut| cut < length));
                cuts.push(length);
                cuts.windows(2).filter(|_| self.coin()).map(|pair| piece(pair[0]..pair[1])).collect()
            }
        }
    }

    fn check_read(&mut self, id: FileId, path: &Path, offset: u64, length: usize) -> io::Result<()> {
        self.check_power()?;
        let chance = self.plan.read_error;
        if self.told_to_fail(Operation::Read, path) || self.chance(chance) {
            return Err(failure());
        }
        let end = offset + length as u64;
        let inode = self.inode(id);
        if end > inode.shown.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if inode.unreadable.overlaps(pages(offset..end)) {
            return Err(failure());
        }
        Ok(())
    }

    fn told_to_fail(&mut self, operation: Operation, path: &Path) -> bool {
        let path = path.to_string_lossy();
        let hit = self.fail_next.iter().position(|(op, end)| *op == operation && path.ends_with(end.as_str()));
        hit.map(|hit| self.fail_next.remove(hit)).is_some()
    }

    fn check_power(&self) -> io::Result<()> {
        if self.powerless { Err(no_power()) } else { Ok(()) }
    }

    fn chance(&mut self, chance: f64) -> bool {
        // Asked only where there is a chance, so that a plan without faults leaves the seed's sequence alone.
        chance > 0.0 && (self.entropy.next_u64() >> 11) as f64 / ((1u64 << 53) as f64) < chance
    }

    fn coin(&mut self) -> bool {
        self.entropy.next_u64() & 1 == 1
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.entropy.next_u64() % bound
    }

    // Bookkeeping.

    fn inode(&mut self, id: FileId) -> &mut Inode {
        self.files.get_mut(&id).expect("a file lives while it is open")
    }

    fn is_dir(&self, path: &Path) -> bool {
        path.parent().is_none() || path.as_os_str().is_empty() || self.dirs.contains(path)
    }

    fn check_parent(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(parent) if self.is_dir(parent) => Ok(()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn change_name(&mut self, change: NameChange) {
        apply_name(&mut self.shown, &change);
        self.pending.push(change);
    }

    fn used_bytes(&self) -> u64 {
        let named: BTreeSet<&FileId> = self.shown.values().collect();
        named.iter().filter_map(|id| self.files.get(id)).map(|inode| inode.shown.allocated.total() * PAGE_BYTES).sum()
    }
}

impl NameChange {
    fn touches(&self, dir: &Path) -> bool {
        match self {
            Self::Link(path, _) | Self::Unlink(path) => path.parent() == Some(dir),
            Self::Rename(from, to) => from.parent() == Some(dir) || to.parent() == Some(dir),
        }
    }
}

impl Fate {
    fn result(self) -> io::Result<()> {
        match self {
            Self::Done => Ok(()),
            Self::Fails => Err(failure()),
        }
    }
}

fn apply_name(names: &mut BTreeMap<PathBuf, FileId>, change: &NameChange) {
    match change {
        NameChange::Link(path, id) => {
            names.insert(path.clone(), *id);
        }
        NameChange::Unlink(path) => {
            names.remove(path);
        }
        NameChange::Rename(from, to) => {
            if let Some(id) = names.remove(from) {
                names.insert(to.clone(), id);
            }
        }
    }
}

fn failure() -> io::Error {
    Errno::IO.into()
}

fn no_power() -> io::Error {
    io::Error::other("the power is off")
}
