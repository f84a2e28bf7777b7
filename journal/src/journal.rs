//! A journal in one thread: everything that it can do, as plain blocking calls.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use crate::error::JournalError;
use crate::files::Files;
use crate::name::RecordName;
use crate::options::Options;
use crate::place::Place;
use crate::reader::Reader;
use crate::record::Append;
use crate::recovery::{Owner, Recovery};
use crate::segments::Segments;
use crate::usage::Usage;
use crate::writer::Writer;

/// The sync core of a journal. One owner at a time: whoever opens it has locked the drive.
#[derive(Debug)]
pub struct Journal {
    pub(crate) writer: Writer,
    reader: Reader,
}

impl Journal {
    /// Opens a journal, or makes one where the directory is missing or empty. What was written before is recovered: see
    /// [`recovery`](crate::recovery). Blocks; reads the footers of sealed segments and scans the others.
    ///
    /// Fails with [`JournalError::Newer`] and [`JournalError::Foreign`] before anything is changed, and with
    /// [`JournalError::Io`] where the disk fails beyond single blocks: nothing may be served then.
    pub fn open(
        files: Arc<dyn Files>,
        dir: &Path,
        options: Options,
        owner: &mut dyn Owner,
    ) -> Result<(Self, Recovery), JournalError> {
        options.check();
        crate::recovery::open::open(files, dir, options, owner)
    }

    pub(crate) fn new(segments: Arc<Segments>, writer: Writer) -> Self {
        Self { writer, reader: Reader::new(segments) }
    }

    /// Appends records in order, durable when this returns. They share one group where they fit.
    ///
    /// After an error none of them is acknowledged; a first part may have been written ("maybe happened"). After
    /// [`JournalError::TooLarge`] and [`JournalError::Full`] the journal goes on, after [`JournalError::Io`] it is
    /// poisoned.
    pub fn append_group(&mut self, appends: Vec<Append>) -> Result<Vec<Place>, JournalError> {
        let length_max = self.writer.record_bytes_max();
        if let Some(long) = appends.iter().find(|append| append.stored_bytes() > length_max) {
            return Err(JournalError::TooLarge { length: long.length(), length_max });
        }
        let mut queue = VecDeque::from(appends);
        let mut places = Vec::with_capacity(queue.len());
        while !queue.is_empty() {
            places.extend(self.writer.append_some(&mut queue)?);
        }
        Ok(places)
    }

    /// Reads with the writer's knowledge of what exists. Clone it for other threads.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Gives a record's blocks back, once its header was read again and its name found there. `Ok(false)` when it was
    /// gone already. A sealed segment whose last record this was is removed. Not durable before [`Self::sync`]: a lost
    /// punch brings the record back.
    pub fn punch(&mut self, place: Place, expected: &RecordName) -> Result<bool, JournalError> {
        self.writer.punch(place, expected)
    }

    /// Removes a whole segment, whatever it holds, durably. `Ok(false)` when it is being written to, or not there.
    pub fn remove_segment(&mut self, ordinal: u32) -> Result<bool, JournalError> {
        self.writer.remove_segments(&[ordinal]).map(|removed| removed > 0)
    }

    /// Removes all segments below an ordinal except the one being written to, durably; says how many.
    pub fn remove_segments_below(&mut self, ordinal: u32) -> Result<usize, JournalError> {
        self.writer.remove_segments_below(ordinal)
    }

    /// Makes punches durable. Appends are so from the moment they have a place.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        self.writer.sync()
    }

    /// Whether its files are still where they were put, and there is room for one segment more. What was written to a
    /// file that has no name any more is synced without an error, and found by no start.
    ///
    /// Fails with [`JournalError::Io`] where a segment is gone or cannot be looked for, and [`JournalError::Full`].
    pub fn check(&self) -> Result<(), JournalError> {
        self.writer.check()
    }

    /// Marks the journal as closed, so that the next start finds nothing in flight.
    pub fn close(mut self) -> Result<(), JournalError> {
        self.writer.close()
    }

    /// Why nothing more is acknowledged, if so.
    pub fn poisoned(&self) -> Option<&Arc<str>> {
        self.writer.poisoned()
    }

    /// The longest record that fits, as [`Append::stored_bytes`] counts.
    pub fn record_bytes_max(&self) -> u64 {
        self.writer.record_bytes_max()
    }

    /// Where the journal's bytes are.
    pub fn usage(&self) -> Usage {
        self.reader.usage()
    }
}
