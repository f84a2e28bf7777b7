//! The writer: the only one that changes a journal. No threads in here.
//!
//! What must be durable before what may be said:
//!
//! ```text
//! a segment's first record    needs  create, allocate, header written, file synced, directory synced
//! an append's place           needs  its group written, then synced, and every group before it
//! the next group's named end  needs  the place of the one before to have been given out
//! a segment's footer          needs  all its groups and punches synced
//! the next segment            needs  the footer synced
//! the clean mark              needs  all of that
//! ```
//!
//! Zeros are written ahead of small groups. What is merely allocated is turned into data by the filesystem when it is
//! first synced, which costs an entry in the filesystem's own log for each group, twice the time of the sync itself; what
//! was written once is only written over. See `docs/adr/0023-what-a-sync-costs.md`.
//!
//! After a write or a sync that failed, nobody knows what the device has, and asking again proves nothing: the writer is
//! poisoned and acknowledges nothing more. Only a new start, which reads past the page cache, finds out.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use cairn_core::Clock;

use crate::error::JournalError;
use crate::files::File;
use crate::format::{
    BLOCK_BYTES, DurableEnd, ENVELOPE_BYTES, Entry, EntryKind, Envelope, Footer, Group, Look, SegmentHeader,
    SegmentKey, segment_file_name,
};
use crate::name::RecordName;
use crate::options::Options;
use crate::place::Place;
use crate::reader::Reader;
use crate::record::Append;
use crate::seal::seal;
use crate::sealed::{is_empty, read_footer};
use crate::segments::{Counts, Segment, Segments};

/// The most records in one group: bounds the header that recovery reads.
pub const GROUP_RECORDS_MAX: usize = 1024;

/// The most bytes in one group, unless a single record is longer: bounds how long the first waits for the last.
pub const GROUP_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Zeros are written ahead of groups up to this length. A longer one would pay for the second writing of its bytes more
/// than it gains.
const AHEAD_OF_BYTES_MAX: u64 = 512 * 1024;

static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// The segment that is written to.
#[derive(Debug)]
pub(crate) struct Active {
    pub segment: Arc<Segment>,
    pub file: Arc<dyn File>,
    /// Where the next group begins.
    pub end: u64,
    /// Up to where zeros were written ahead of it.
    pub ahead_end: u64,
    /// Of every record written here, for the footer.
    pub entries: Vec<Entry>,
    pub entries_bytes: usize,
    /// Whether the last thing written is a clean mark.
    pub clean: bool,
}

impl Active {
    pub fn new(segment: Arc<Segment>, file: Arc<dyn File>, end: u64, entries: Vec<Entry>, clean: bool) -> Self {
        let entries_bytes = entries.iter().map(|entry| Entry::encoded_bytes(entry.name_bytes().len())).sum();
        Self { segment, file, end, ahead_end: end, entries, entries_bytes, clean }
    }

    fn length(&self) -> u64 {
        self.segment.counts().length
    }

    /// Has the footer say that a record is gone.
    fn punched(&mut self, place: Place) {
        // What recovery did not believe is not listed, or not as a record, and stays so.
        if let Ok(at) = self.entries.binary_search_by_key(&place.offset, |entry| entry.offset)
            && self.entries[at].kind == EntryKind::Record
        {
            self.entries[at].kind = EntryKind::Gone;
        }
    }

    /// Up to where zeros are to be written behind a group that ends at `group_end`, where that is worth it now.
    fn ahead(&self, group_end: u64, ahead_bytes: u64) -> Option<u64> {
        let small = group_end - self.end <= AHEAD_OF_BYTES_MAX;
        let ahead_end = (group_end + ahead_bytes).min(self.length());
        (small && group_end > self.ahead_end && ahead_end > group_end).then_some(ahead_end)
    }

    /// Whether so much more fits, with the footer that is due at the end.
    fn has_room(&self, group_bytes: u64, entries_bytes: usize) -> bool {
        self.end + group_bytes + Footer::stored_bytes(self.entries_bytes + entries_bytes) <= self.length()
    }

    /// How many of the queue's first records fit into one group here.
    fn fitting(&self, queue: &VecDeque<Append>) -> usize {
        let (mut entries_bytes, mut records_bytes) = (0, 0);
        for (count, append) in queue.iter().take(GROUP_RECORDS_MAX).enumerate() {
            entries_bytes += Entry::encoded_bytes(append.name.as_bytes().len());
            records_bytes += append.stored_bytes();
            let group_bytes = Group::header_bytes(entries_bytes) + records_bytes;
            if !self.has_room(group_bytes, entries_bytes) || (count > 0 && records_bytes > GROUP_BYTES_MAX) {
                return count;
            }
        }
        queue.len().min(GROUP_RECORDS_MAX)
    }
}

#[derive(Debug)]
pub(crate) struct Writer {
    segments: Arc<Segments>,
    options: Options,
    active: Option<Active>,
    next_ordinal: u32,
    next_sequence: u64,
    durable: DurableEnd,
    /// Segments with punches since the last [`Self::sync`].
    punched: BTreeSet<u32>,
    poisoned: Option<Arc<str>>,
}

impl Writer {
    pub fn new(
        segments: Arc<Segments>,
        options: Options,
        active: Option<Active>,
        next_ordinal: u32,
        next_sequence: u64,
    ) -> Self {
        let durable = active
            .as_ref()
            .map_or(DurableEnd::default(), |a| DurableEnd { segment: a.segment.key.ordinal, offset: a.end });
        Self {
            segments,
            options,
            active,
            next_ordinal,
            next_sequence,
            durable,
            punched: BTreeSet::new(),
            poisoned: None,
        }
    }

    /// The longest record, padding included, that a new segment can hold beside header, group header and footer.
    pub fn record_bytes_max(&self) -> u64 {
        self.options.record_bytes_max()
    }

    pub fn poisoned(&self) -> Option<&Arc<str>> {
        self.poisoned.as_ref()
    }

    pub fn clock(&self) -> &dyn Clock {
        &*self.options.clock
    }

    /// Writes and syncs as many of the queue's first records as fit into one group, takes them off the queue and says
    /// where they are. At least one, or an error: then the queue is as it was, except that nothing is known of a group
    /// whose write or sync failed.
    pub fn append_some(&mut self, queue: &mut VecDeque<Append>) -> Result<Vec<Place>, JournalError> {
        self.check_sound()?;
        let first = queue.front().expect("there is something to append");
        let first_bytes = first.stored_bytes();
        if first_bytes > self.record_bytes_max() {
            return Err(JournalError::TooLarge { length: first.length(), length_max: self.record_bytes_max() });
        }
        let mut count = self.active.as_ref().map_or(0, |active| active.fitting(queue));
        if count == 0 {
            self.roll(first_bytes)?;
            count = self.active.as_ref().map_or(0, |active| active.fitting(queue));
        }
        assert!(count > 0, "a new segment holds a record that is not too large");
        let appends: Vec<Append> = queue.drain(..count).collect();
        self.write_group(&appends, false)
    }

    /// Ends the active segment or marks it clean, so that the next start finds nothing in flight.
    pub fn close(&mut self) -> Result<(), JournalError> {
        self.sync()?;
        match &self.active {
            Some(active) if !active.clean => {
                if active.has_room(Group::header_bytes(0), 0) {
                    self.write_group(&[], true).map(|_| ())
                } else {
                    self.retire_active()
                }
            }
            _ => Ok(()),
        }
    }

    /// Makes punches durable that were not yet. Appends are durable from the moment they have a place.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        self.check_sound()?;
        for ordinal in std::mem::take(&mut self.punched) {
            match self.segments.file(Place { segment: ordinal, offset: 0, length: 0 }) {
                Ok((_, file)) => {
                    if let Err(source) = file.sync_data() {
                        return self.poison("sync", self.segments.path(ordinal), source);
                    }
                }
                Err(JournalError::Gone(_)) => {}
                Err(error) => {
                    self.punched.insert(ordinal);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Reads the record's header again, asserts its name, and gives its blocks back. `Ok(false)` when it was gone. Of a
    /// record whose header is damaged the segment's own list is asked for the name.
    pub fn punch(&mut self, place: Place, expected: &RecordName) -> Result<bool, JournalError> {
        self.check_sound()?;
        let read = Reader::new(self.segments.clone()).read_head(place, expected);
        let (segment, file) = match read {
            Ok(_) => self.segments.file(place)?,
            Err(JournalError::Gone(_)) => return Ok(false),
            // The record cannot say any more whose it is; its segment can.
            Err(error @ JournalError::Damaged { .. }) => {
                let (segment, file) = self.segments.file(place)?;
                if !self.is_listed(&file, place, expected) {
                    segment.counts().give_up(place.stored_bytes());
                    return Err(error);
                }
                (segment, file)
            }
            Err(error) => return Err(error),
        };
        let failed = |source| JournalError::io("punch", &self.segments.path(place.segment), source);
        let given_back = match file.punch(place.offset, place.stored_bytes()) {
            Ok(()) => place.stored_bytes(),
            // The blocks stay until the segment goes, but the record is gone: its envelope reads zero. No byte behind the
            // envelope is touched, so that whatever a crash leaves of this write, a record that still looks sound is.
            Err(source) if source.kind() == io::ErrorKind::Unsupported => {
                let zeros = Bytes::from_static(&ZEROS[..ENVELOPE_BYTES]);
                file.write_all_vectored_at(&[zeros], place.offset).map_err(failed)?;
                0
            }
            Err(source) => return Err(failed(source)),
        };
        self.punched.insert(place.segment);
        if let Some(active) = self.active.as_mut().filter(|active| active.segment.key.ordinal == place.segment) {
            active.punched(place);
        }
        let seems_empty = {
            // A record that recovery did not believe was never counted: figures may be one off until the next start.
            let mut counts = segment.counts();
            counts.live_records = counts.live_records.saturating_sub(1);
            counts.live_bytes = counts.live_bytes.saturating_sub(place.stored_bytes());
            let held_bytes = counts.live_bytes + counts.damaged_bytes;
            counts.punched_bytes = (counts.punched_bytes + given_back).min(counts.end.saturating_sub(held_bytes));
            counts.sealed && counts.live_records == 0
        };
        let path = self.segments.path(place.segment);
        if seems_empty
            && is_empty(&file, place.segment).map_err(|source| JournalError::io("read the footer of", &path, source))?
        {
            self.remove_segments(&[place.segment])?;
        }
        Ok(true)
    }

    /// Whether a segment's own list has a record of this name at a place: what was written here, or a footer.
    fn is_listed(&self, file: &Arc<dyn File>, place: Place, expected: &RecordName) -> bool {
        let is_it = |entry: &Entry| {
            entry.kind == EntryKind::Record
                && entry.name == Some(*expected)
                && (entry.offset, entry.length) == (place.offset, place.length)
        };
        match self.active.as_ref().filter(|active| active.segment.key.ordinal == place.segment) {
            Some(active) => active.entries.iter().any(is_it),
            None => match file.len().and_then(|length| read_footer(&**file, place.segment, length)) {
                Ok(Look::Sound(footer)) => footer.entries.iter().any(is_it),
                Ok(Look::Zero | Look::Bad | Look::Newer(_)) | Err(_) => false,
            },
        }
    }

    /// Removes whole segments, whatever they hold, and makes that durable. The active one and those that are not there
    /// are passed over. Says how many were removed.
    pub fn remove_segments(&mut self, ordinals: &[u32]) -> Result<usize, JournalError> {
        self.check_sound()?;
        let active = self.active.as_ref().map(|active| active.segment.key.ordinal);
        let mut removed = 0;
        for &ordinal in ordinals.iter().filter(|&&ordinal| Some(ordinal) != active) {
            if self.segments.get(ordinal).is_none() {
                continue;
            }
            let path = self.segments.path(ordinal);
            // While removing fails, the segment is still there and served.
            self.segments.files.remove(&path).map_err(|source| JournalError::io("remove", &path, source))?;
            self.segments.take(ordinal);
            removed += 1;
        }
        if removed > 0 {
            let dir = &self.segments.dir;
            self.segments.files.sync_dir(dir).map_err(|source| JournalError::io("sync directory", dir, source))?;
        }
        Ok(removed)
    }

    /// All segments below an ordinal.
    pub fn remove_segments_below(&mut self, ordinal: u32) -> Result<usize, JournalError> {
        let below: Vec<u32> = self.segments.ordinals().into_iter().filter(|&o| o < ordinal).collect();
        self.remove_segments(&below)
    }

    /// One vectored write, one sync; only then places.
    fn write_group(&mut self, appends: &[Append], clean: bool) -> Result<Vec<Place>, JournalError> {
        let written = self.options.clock.wall();
        let active = self.active.as_mut().expect("whoever calls has made sure that a segment is active");
        let key = active.segment.key;
        let entries_bytes: usize = appends.iter().map(|a| Entry::encoded_bytes(a.name.as_bytes().len())).sum();
        let mut at = active.end + Group::header_bytes(entries_bytes);
        let mut parts = Vec::with_capacity(1 + 3 * appends.len());
        parts.push(Bytes::new());
        let mut entries = Vec::with_capacity(appends.len());
        for (append, sequence) in appends.iter().zip(self.next_sequence..) {
            let envelope = Envelope {
                name: append.name,
                offset: at,
                sequence,
                written,
                head_bytes: append.head.len() as u32,
                body_bytes: append.body_bytes as u32,
            };
            let entry = envelope.entry();
            parts.push(envelope.encode(&key, &append.head));
            parts.extend(append.body.iter().filter(|part| !part.is_empty()).cloned());
            let padding = entry.stored_bytes() - entry.length;
            if padding > 0 {
                parts.push(Bytes::from_static(&ZEROS[..padding as usize]));
            }
            at = entry.end();
            entries.push(entry);
        }
        let group =
            Group { offset: active.end, first_sequence: self.next_sequence, durable: self.durable, clean, entries };
        parts[0] = Bytes::from(group.encode(&key));
        assert_eq!(group.end(), at, "a group ends where its last record does");
        assert!(at <= active.length(), "a group lies inside its segment");
        let ahead_end = if clean { None } else { active.ahead(at, self.options.ahead_bytes()) };
        let written = active.file.write_all_vectored_at(&parts, group.offset).and_then(|()| match ahead_end {
            // Not with the group, which would make a long write of a short one.
            Some(ahead_end) => active.file.write_all_vectored_at(&zeros(ahead_end - at), at),
            None => Ok(()),
        });
        let failed = match written {
            Ok(()) => active.file.sync_data().err().map(|source| ("sync", source)),
            Err(source) => Some(("write", source)),
        };
        if let Some((operation, source)) = failed {
            return self.poison(operation, self.segments.path(key.ordinal), source);
        }

        // Durable: from here on it may be told.
        active.end = at;
        active.ahead_end = ahead_end.unwrap_or(active.ahead_end);
        active.clean = clean;
        active.entries_bytes += entries_bytes;
        self.next_sequence += appends.len() as u64;
        self.durable = DurableEnd { segment: key.ordinal, offset: at };
        let place = |entry: &Entry| Place { segment: key.ordinal, offset: entry.offset, length: entry.length };
        let places: Vec<Place> = group.entries.iter().map(place).collect();
        {
            let mut counts = active.segment.counts();
            counts.end = at;
            counts.live_records += places.len() as u64;
            counts.live_bytes += places.iter().map(Place::stored_bytes).sum::<u64>();
        }
        active.entries.extend(group.entries);
        Ok(places)
    }

    /// Makes a new segment the active one. The old one is sealed only once there is room for the new one: until then
    /// it still takes what fits. The new one holds at least a record of so many bytes.
    fn roll(&mut self, record_bytes: u64) -> Result<(), JournalError> {
        let segment_bytes = self.options.next_segment_bytes(self.segments.usage().live_bytes, record_bytes);
        self.check_space(segment_bytes)?;
        self.retire_active()?;
        let ordinal = self.next_ordinal;
        self.next_ordinal = ordinal.checked_add(1).expect("2^32 segments are more than any drive ever wrote");
        let path = self.segments.path(ordinal);
        let file = match self.segments.files.create(&path) {
            Ok(file) => file,
            Err(source) if is_full(&source) => return Err(self.full(segment_bytes)),
            Err(source) => return self.poison("create", path, source),
        };
        match self.fill_new(&*file, ordinal, segment_bytes) {
            Ok(key) => {
                let counts = Counts { length: segment_bytes, end: BLOCK_BYTES, ..Counts::default() };
                let segment = Segment::new(key, counts);
                self.segments.insert(segment.clone());
                self.segments.keep_open(ordinal, file.clone());
                self.active = Some(Active::new(segment, file, BLOCK_BYTES, Vec::new(), false));
                Ok(())
            }
            // Nothing was written but an empty file: somebody else took the room between the question and the answer.
            Err(("allocate", source)) if is_full(&source) => match self.segments.files.remove(&path) {
                Ok(()) => Err(self.full(segment_bytes)),
                Err(source) => self.poison("remove", path, source),
            },
            Err((operation, source)) => self.poison(operation, path, source),
        }
    }

    fn fill_new(
        &self,
        file: &dyn File,
        ordinal: u32,
        segment_bytes: u64,
    ) -> Result<SegmentKey, (&'static str, io::Error)> {
        let mut nonce = [0; 16];
        self.options.entropy.fill(&mut nonce);
        let header = SegmentHeader {
            key: SegmentKey { ordinal, nonce },
            owner: self.options.owner,
            segment_bytes,
            created: self.options.clock.wall(),
        };
        file.allocate(segment_bytes).map_err(|source| ("allocate", source))?;
        file.write_all_vectored_at(&[Bytes::from(header.encode())], 0).map_err(|source| ("write", source))?;
        file.sync_data().map_err(|source| ("sync", source))?;
        self.segments.files.sync_dir(&self.segments.dir).map_err(|source| ("sync directory of", source))?;
        Ok(header.key)
    }

    /// Seals the active segment, if there is one, and removes it if all its records are gone.
    fn retire_active(&mut self) -> Result<(), JournalError> {
        let Some(active) = self.active.take() else { return Ok(()) };
        let key = active.segment.key;
        // A footer that outlives the punches of which it speaks would deny a record that is there.
        if self.punched.remove(&key.ordinal)
            && let Err(source) = active.file.sync_data()
        {
            return self.poison("sync", self.segments.path(key.ordinal), source);
        }
        let sealed = seal(&*active.file, key, self.options.owner, active.end, self.next_sequence, &active.entries);
        let length = match sealed {
            Ok(length) => length,
            Err(source) => return self.poison("seal", self.segments.path(key.ordinal), source),
        };
        {
            let mut counts = active.segment.counts();
            counts.length = length;
            counts.end = length;
            counts.sealed = true;
        }
        if active.entries.iter().all(|entry| entry.kind != EntryKind::Record) {
            self.remove_segments(&[key.ordinal])?;
        }
        Ok(())
    }

    /// See [`crate::Journal::check`].
    pub fn check(&self) -> Result<(), JournalError> {
        let Segments { files, dir, .. } = &*self.segments;
        let entries = files.list(dir).map_err(|source| JournalError::io("list", dir, source))?;
        let there: BTreeSet<String> = entries.into_iter().map(|entry| entry.name).collect();
        if let Some(gone) = self.segments.ordinals().into_iter().find(|&it| !there.contains(&segment_file_name(it))) {
            let path = self.segments.path(gone);
            return Err(JournalError::io("look for", &path, io::ErrorKind::NotFound.into()));
        }
        self.check_space(self.options.segment_bytes)
    }

    fn check_space(&self, segment_bytes: u64) -> Result<(), JournalError> {
        let dir = &self.segments.dir;
        let space = self.segments.files.space(dir).map_err(|source| JournalError::io("space of", dir, source))?;
        let required_bytes = segment_bytes.saturating_add(self.options.reserve_bytes);
        if space.available_bytes < required_bytes {
            return Err(JournalError::Full {
                path: dir.clone(),
                available_bytes: space.available_bytes,
                required_bytes,
            });
        }
        Ok(())
    }

    fn full(&self, segment_bytes: u64) -> JournalError {
        let required_bytes = segment_bytes.saturating_add(self.options.reserve_bytes);
        JournalError::Full { path: self.segments.dir.clone(), available_bytes: 0, required_bytes }
    }

    fn check_sound(&self) -> Result<(), JournalError> {
        match &self.poisoned {
            Some(cause) => Err(JournalError::Poisoned(cause.clone())),
            None => Ok(()),
        }
    }

    fn poison<T>(&mut self, operation: &'static str, path: PathBuf, source: io::Error) -> Result<T, JournalError> {
        let error = JournalError::io(operation, &path, source);
        tracing::error!(%error, "the journal takes nothing more");
        self.poisoned = Some(Arc::from(error.to_string()));
        Err(error)
    }
}

/// So many zeros.
fn zeros(length: u64) -> Vec<Bytes> {
    let step = ZEROS.len() as u64;
    let part = |n: u64| Bytes::from_static(&ZEROS[..(length - n * step).min(step) as usize]);
    (0..length.div_ceil(step)).map(part).collect()
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
