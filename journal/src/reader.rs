//! Reading records by their place. Reads never wait for the writer.
//!
//! A place comes from an index that may be behind: a record can be punched, and its segment removed, at any moment. So
//! every read of a head proves the name, and a body that turns out to be zeros is found out by the owner's checksums.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::JournalError;
use crate::files::File;
use crate::format::{BLOCK_BYTES, Envelope, Look, SegmentKey, VERSION};
use crate::name::RecordName;
use crate::place::Place;
use crate::record::{Record, RecordHead, RecordInfo};
use crate::segments::Segments;
use crate::usage::Usage;

/// Reads a journal's records. Cheap to clone; shared between threads.
#[derive(Debug, Clone)]
pub struct Reader {
    segments: Arc<Segments>,
}

impl Reader {
    pub(crate) fn new(segments: Arc<Segments>) -> Self {
        Self { segments }
    }

    /// A range of a record, counted from its first byte, unverified. Blocks.
    ///
    /// Fails with [`JournalError::Gone`] when the segment is no more, and with [`JournalError::Io`]. Panics when the
    /// range is not inside the record.
    pub fn read(&self, place: Place, range: Range<u64>) -> Result<Bytes, JournalError> {
        let (_, file) = self.segments.file(place)?;
        self.fetch(&*file, place, range)
    }

    /// As [`Self::read`], from memory alone: `None` where the device or a system call that may wait would be needed, or
    /// where anything is wrong. Never blocks; then ask [`Self::read`] on a thread that may.
    pub fn read_cached(&self, place: Place, range: Range<u64>) -> Option<Bytes> {
        let (_, file) = self.segments.file_if_open(place.segment)?;
        self.fetch_cached(&*file, place, range)
    }

    /// The record's head, verified, and proven to be of this name. Blocks.
    ///
    /// Fails with [`JournalError::Gone`], [`JournalError::WrongName`], [`JournalError::Damaged`],
    /// [`JournalError::Newer`] or [`JournalError::Io`].
    pub fn read_head(&self, place: Place, expected: &RecordName) -> Result<RecordHead, JournalError> {
        let (segment, file) = self.segments.file(place)?;
        let front = self.fetch(&*file, place, 0..place.length.min(BLOCK_BYTES))?;
        let front = match Envelope::peek(&front) {
            Look::Sound(needed) if needed > front.len() && needed as u64 <= place.length => {
                self.fetch(&*file, place, 0..needed as u64)?
            }
            _ => front,
        };
        self.judge(&segment.key, place, expected, &front)
    }

    /// As [`Self::read_head`], from memory alone: `None` where the device would be needed. Never blocks.
    pub fn read_head_cached(&self, place: Place, expected: &RecordName) -> Option<Result<RecordHead, JournalError>> {
        let (segment, file) = self.segments.file_if_open(place.segment)?;
        let front = self.fetch_cached(&*file, place, 0..place.length.min(BLOCK_BYTES))?;
        let front = match Envelope::peek(&front) {
            Look::Sound(needed) if needed > front.len() && needed as u64 <= place.length => {
                self.fetch_cached(&*file, place, 0..needed as u64)?
            }
            _ => front,
        };
        Some(self.judge(&segment.key, place, expected, &front))
    }

    /// The whole record in one read, its head verified. Blocks; fails as [`Self::read_head`] does.
    pub fn read_record(&self, place: Place, expected: &RecordName) -> Result<Record, JournalError> {
        let (segment, file) = self.segments.file(place)?;
        let bytes = self.fetch(&*file, place, 0..place.length)?;
        self.split(&segment.key, place, expected, &bytes)
    }

    /// As [`Self::read_record`], from memory alone: `None` where the device would be needed. Never blocks.
    pub fn read_record_cached(&self, place: Place, expected: &RecordName) -> Option<Result<Record, JournalError>> {
        let (segment, file) = self.segments.file_if_open(place.segment)?;
        let bytes = self.fetch_cached(&*file, place, 0..place.length)?;
        Some(self.split(&segment.key, place, expected, &bytes))
    }

    /// As [`Self::read_record`], but what the device holds, past the kernel's memory: what a scrub or a repair believes.
    /// Blocks. Fails with an [`JournalError::Io`] of kind `Unsupported` where the filesystem cannot.
    pub fn read_record_device(&self, place: Place, expected: &RecordName) -> Result<Record, JournalError> {
        let (segment, file) = self.segments.file(place)?;
        let mut buffer = self.segments.buffers.take(length_of(place, &(0..place.length)));
        file.read_exact_at_device(buffer.room(), place.offset).map_err(|source| self.failed(place, source))?;
        self.split(&segment.key, place, expected, &buffer.into_bytes())
    }

    /// The journal's directory.
    pub fn dir(&self) -> &Path {
        &self.segments.dir
    }

    /// Where the journal's bytes are.
    pub fn usage(&self) -> Usage {
        self.segments.usage()
    }

    /// The ordinals of the segments that exist, ascending.
    pub fn segments(&self) -> Vec<u32> {
        self.segments.ordinals()
    }

    fn fetch(&self, file: &dyn File, place: Place, range: Range<u64>) -> Result<Bytes, JournalError> {
        let mut buffer = self.segments.buffers.take(length_of(place, &range));
        file.read_exact_at(buffer.room(), place.offset + range.start).map_err(|source| self.failed(place, source))?;
        Ok(buffer.into_bytes())
    }

    fn fetch_cached(&self, file: &dyn File, place: Place, range: Range<u64>) -> Option<Bytes> {
        let mut buffer = self.segments.buffers.take(length_of(place, &range));
        match file.read_exact_at_cached(buffer.room(), place.offset + range.start) {
            Ok(true) => Some(buffer.into_bytes()),
            Ok(false) | Err(_) => None,
        }
    }

    fn failed(&self, place: Place, source: std::io::Error) -> JournalError {
        JournalError::io("read", &self.segments.path(place.segment), source)
    }

    fn split(&self, key: &SegmentKey, at: Place, name: &RecordName, bytes: &Bytes) -> Result<Record, JournalError> {
        let head = self.judge(key, at, name, bytes)?;
        let body = bytes.slice(head.info.body_start as usize..);
        Ok(Record { head, body })
    }

    fn judge(&self, key: &SegmentKey, at: Place, name: &RecordName, front: &Bytes) -> Result<RecordHead, JournalError> {
        let head = match look_at_head(key, at.offset, front) {
            Look::Sound(head) => head,
            Look::Zero => return Err(JournalError::Gone(at)),
            Look::Bad => return Err(JournalError::Damaged { place: at, what: "envelope or head" }),
            Look::Newer(found) => {
                return Err(JournalError::Newer { path: self.segments.path(at.segment), found, known: VERSION });
            }
        };
        if head.info.name != *name {
            let (expected, found) = (Box::new(*name), Box::new(head.info.name));
            return Err(JournalError::WrongName { place: at, expected, found });
        }
        if head.info.place != at {
            return Err(JournalError::Damaged { place: at, what: "length" });
        }
        Ok(head)
    }
}

fn length_of(place: Place, range: &Range<u64>) -> usize {
    assert!(range.start <= range.end && range.end <= place.length, "a range inside the record");
    usize::try_from(range.end - range.start).expect("a record's length fits in memory")
}

/// Judges envelope, name and head at an offset of a segment.
pub(crate) fn look_at_head(key: &SegmentKey, offset: u64, front: &Bytes) -> Look<RecordHead> {
    let envelope = match Envelope::decode(front, key, offset) {
        Look::Sound(envelope) => envelope,
        Look::Zero => return Look::Zero,
        Look::Bad => return Look::Bad,
        Look::Newer(found) => return Look::Newer(found),
    };
    let body_start = envelope.body_start();
    let length = body_start + u64::from(envelope.body_bytes);
    let info = RecordInfo {
        name: envelope.name,
        place: Place { segment: key.ordinal, offset, length },
        sequence: envelope.sequence,
        body_start,
    };
    let head = front.slice((body_start - u64::from(envelope.head_bytes)) as usize..body_start as usize);
    Look::Sound(RecordHead { info, written: envelope.written, head })
}
