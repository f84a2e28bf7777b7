//! The segments of a journal as its readers and its writer share them: which there are, what they hold, and those that
//! are open.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, RwLock};

use cairn_core::Buffers;

use crate::error::JournalError;
use crate::files::{File, Files};
use crate::format::{SegmentKey, segment_file_name};
use crate::place::Place;
use crate::usage::Usage;

/// Where long reads go, of all the journals of a process: what is kept is as much as some of them take at once.
static LONG_READS: LazyLock<Arc<Buffers>> = LazyLock::new(|| Buffers::keeping(24 * 1024 * 1024));

/// What a segment holds. The file is `length` long; everything before `end` was written.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub length: u64,
    pub end: u64,
    pub live_records: u64,
    pub live_bytes: u64,
    pub punched_bytes: u64,
    pub damaged_bytes: u64,
    /// Has its footer, so nothing more is written to it and it goes when its last record does.
    pub sealed: bool,
}

impl Counts {
    /// A record that was taken for sound turned out not to be, and its blocks cannot be given back.
    pub fn give_up(&mut self, stored_bytes: u64) {
        if self.live_records > 0 && self.live_bytes >= stored_bytes {
            self.live_records -= 1;
            self.live_bytes -= stored_bytes;
            self.damaged_bytes += stored_bytes;
        }
    }
}

#[derive(Debug)]
pub(crate) struct Segment {
    pub key: SegmentKey,
    counts: Mutex<Counts>,
}

impl Segment {
    pub fn new(key: SegmentKey, counts: Counts) -> Arc<Self> {
        Arc::new(Self { key, counts: Mutex::new(counts) })
    }

    pub fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shared by every reader and the writer. Locks are held for look-ups only, never across a system call.
#[derive(Debug)]
pub(crate) struct Segments {
    pub files: Arc<dyn Files>,
    pub dir: PathBuf,
    /// Where long reads go.
    pub buffers: Arc<Buffers>,
    table: RwLock<BTreeMap<u32, Arc<Segment>>>,
    open: Mutex<OpenFiles>,
}

impl Segments {
    pub fn new(files: Arc<dyn Files>, dir: PathBuf, open_files_max: usize) -> Self {
        let open = OpenFiles { max: open_files_max, tick: 0, files: HashMap::new() };
        Self { files, dir, buffers: LONG_READS.clone(), table: RwLock::default(), open: Mutex::new(open) }
    }

    pub fn path(&self, ordinal: u32) -> PathBuf {
        self.dir.join(segment_file_name(ordinal))
    }

    pub fn get(&self, ordinal: u32) -> Option<Arc<Segment>> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).get(&ordinal).cloned()
    }

    pub fn insert(&self, segment: Arc<Segment>) {
        let before = self.table.write().unwrap_or_else(PoisonError::into_inner).insert(segment.key.ordinal, segment);
        assert!(before.is_none(), "an ordinal names one segment for ever");
    }

    /// Forgets a segment. Readers that hold its file may finish.
    pub fn take(&self, ordinal: u32) -> Option<Arc<Segment>> {
        let segment = self.table.write().unwrap_or_else(PoisonError::into_inner).remove(&ordinal);
        self.open_files().files.remove(&ordinal);
        segment
    }

    pub fn ordinals(&self) -> Vec<u32> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }

    pub fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        for segment in self.table.read().unwrap_or_else(PoisonError::into_inner).values() {
            let counts = *segment.counts();
            let held = counts.live_bytes + counts.punched_bytes + counts.damaged_bytes;
            assert!(held <= counts.end && counts.end <= counts.length, "a segment holds no more than it is long");
            usage.segments += 1;
            usage.length_bytes += counts.length;
            usage.live_records += counts.live_records;
            usage.live_bytes += counts.live_bytes;
            usage.punched_bytes += counts.punched_bytes;
            usage.damaged_bytes += counts.damaged_bytes;
            usage.overhead_bytes += counts.end - held;
            usage.unused_bytes += counts.length - counts.end;
        }
        usage
    }

    /// The segment of a place and its file, opened when it is not.
    pub fn file(&self, place: Place) -> Result<(Arc<Segment>, Arc<dyn File>), JournalError> {
        let segment = self.get(place.segment).ok_or(JournalError::Gone(place))?;
        if let Some(file) = self.open_files().get(place.segment) {
            return Ok((segment, file));
        }
        let path = self.path(place.segment);
        let file = match self.files.open(&path) {
            Ok(file) => file,
            // It was removed between the two look-ups.
            Err(_) if self.get(place.segment).is_none() => return Err(JournalError::Gone(place)),
            Err(source) => return Err(JournalError::io("open", &path, source)),
        };
        self.keep_open(place.segment, file.clone());
        Ok((segment, file))
    }

    /// As [`Self::file`], only if no system call is needed for it.
    pub fn file_if_open(&self, ordinal: u32) -> Option<(Arc<Segment>, Arc<dyn File>)> {
        let segment = self.get(ordinal)?;
        let file = self.open_files().get(ordinal)?;
        Some((segment, file))
    }

    pub fn keep_open(&self, ordinal: u32, file: Arc<dyn File>) {
        // What is pushed out is closed behind the lock.
        let _closed = self.open_files().insert(ordinal, file);
    }

    fn open_files(&self) -> MutexGuard<'_, OpenFiles> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The files that are open, the least recently used one pushed out by the next: a drive may have more segments than a
/// process may have descriptors.
#[derive(Debug)]
struct OpenFiles {
    max: usize,
    tick: u64,
    files: HashMap<u32, (Arc<dyn File>, u64)>,
}

impl OpenFiles {
    fn get(&mut self, ordinal: u32) -> Option<Arc<dyn File>> {
        self.tick += 1;
        let (file, used) = self.files.get_mut(&ordinal)?;
        *used = self.tick;
        Some(file.clone())
    }

    fn insert(&mut self, ordinal: u32, file: Arc<dyn File>) -> Option<Arc<dyn File>> {
        self.tick += 1;
        let mut closed = None;
        if self.files.len() >= self.max && !self.files.contains_key(&ordinal) {
            let oldest = self.files.iter().min_by_key(|(_, (_, used))| *used).map(|(&oldest, _)| oldest);
            closed = oldest.and_then(|oldest| self.files.remove(&oldest)).map(|(file, _)| file);
        }
        self.files.insert(ordinal, (file, self.tick));
        closed
    }
}
