//! Walks through a segment that has no sound footer.
//!
//! From group to group where headers are sound. Behind a header that is not, block by block, until something is sound
//! again: a record can be found by its own envelope, so a lost header costs nobody but itself.

use std::cell::Cell;
use std::io;
use std::ops::Range;

use bytes::Bytes;

use super::source::Source;
use super::{BodyReader, Owner};
use crate::format::{BLOCK_BYTES, Entry, EntryKind, Envelope, Group, Look, SegmentKey};
use crate::reader::look_at_head;
use crate::record::RecordHead;

/// So many unreadable stretches in one segment are not a bad block but a failing device: the start is given up.
const UNREADABLE_MAX: usize = 64;

/// How much is read at once while nothing sound is in sight.
const WINDOW_BYTES: u64 = 1024 * 1024;

/// What a scan found at one stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// A record, sound as far as it was to be checked.
    Sound,
    /// A record that was punched.
    Gone,
    /// A record or bytes that are not sound.
    Bad,
    /// The device failed to read it.
    Unreadable,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    pub entry: Entry,
    pub state: State,
}

#[derive(Debug, Default)]
pub(super) struct Scan {
    /// In the order of their offsets.
    pub pieces: Vec<Piece>,
    /// The furthest durable end that a group here names in this segment.
    pub durable: u64,
    /// Above every record's number.
    pub next_sequence: u64,
    /// Where a clean mark ends, if it is the last thing there is.
    pub clean_end: Option<u64>,
}

/// Why a segment was not scanned to its end.
#[derive(Debug)]
pub(super) enum Stop {
    Newer(u8),
    Failed(io::Error),
}

pub(super) struct Scanner<'a> {
    source: &'a Source<'a>,
    key: SegmentKey,
    /// Asked about bodies; `None` where these are known to have been durable.
    owner: Option<&'a mut dyn Owner>,
    scan: Scan,
    window: Option<(u64, Bytes)>,
    /// Whether the block before this one was nothing: then as much is read at once as may be nothing, too.
    lost: bool,
    unreadable: usize,
}

/// Scans from an offset to the end.
pub(super) fn scan<'a>(
    source: &'a Source<'a>,
    key: SegmentKey,
    from: u64,
    owner: Option<&'a mut dyn Owner>,
) -> Result<Scan, Stop> {
    let scan = Scan::default();
    let mut scanner = Scanner { source, key, owner, scan, window: None, lost: false, unreadable: 0 };
    scanner.run(from)?;
    Ok(scanner.scan)
}

/// What came of looking for a segment's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Search {
    Found(SegmentKey),
    /// No group is sound, as far as the device could be read.
    Unread,
    /// No group is sound.
    Nothing,
}

/// The key of a segment whose own header is damaged, from the first group that is sound.
pub(super) fn find_key(source: &Source<'_>, ordinal: u32) -> Result<Search, Stop> {
    let key = SegmentKey { ordinal, nonce: [0; 16] };
    let mut scanner =
        Scanner { source, key, owner: None, scan: Scan::default(), window: None, lost: true, unreadable: 0 };
    let mut at = BLOCK_BYTES;
    while let Some(block_at) = source.next_block(at).map_err(Stop::Failed)? {
        if let Some(block) = scanner.block(block_at)?
            && let Some((key, _)) = scanner.group(block_at, &block)?
        {
            return Ok(Search::Found(key));
        }
        at = block_at + BLOCK_BYTES;
    }
    Ok(if scanner.unreadable > 0 { Search::Unread } else { Search::Nothing })
}

impl Scanner<'_> {
    fn run(&mut self, from: u64) -> Result<(), Stop> {
        let mut at = from;
        while let Some(block_at) = self.source.next_block(at).map_err(Stop::Failed)? {
            at = self.step(block_at)?;
            assert!(at > block_at, "a scan goes forward");
        }
        Ok(())
    }

    /// Judges what begins at this block; says where to go on.
    fn step(&mut self, at: u64) -> Result<u64, Stop> {
        let Some(block) = self.block(at)? else {
            self.stray(at, State::Unreadable);
            return Ok(at + BLOCK_BYTES);
        };
        if block.iter().all(|&byte| byte == 0) {
            // Zeros written ahead, most likely, and not the only ones.
            self.lost = true;
            return Ok(at + BLOCK_BYTES);
        }
        self.scan.clean_end = None;
        if let Some((key, group)) = self.group(at, &block)?
            && key == self.key
        {
            self.lost = false;
            return self.take_group(&group);
        }
        if let Some(head) = self.record(at, Some(block))? {
            let place = head.info.place;
            if place.end() <= self.source.end {
                self.lost = false;
                let state = self.verify(&head)?;
                self.push(entry_of(&head), state);
                return Ok(place.end());
            }
        }
        self.lost = true;
        self.stray(at, State::Bad);
        Ok(at + BLOCK_BYTES)
    }

    fn take_group(&mut self, group: &Group) -> Result<u64, Stop> {
        let end = group.end();
        if group.durable.segment == self.key.ordinal {
            self.scan.durable = self.scan.durable.max(group.durable.offset);
        }
        self.scan.next_sequence = self.scan.next_sequence.max(group.first_sequence);
        self.scan.clean_end = group.clean.then_some(end);
        for entry in &group.entries {
            let state = self.judge(entry)?;
            self.push(*entry, state);
        }
        Ok(end)
    }

    /// Judges the record that a group's header names.
    fn judge(&mut self, entry: &Entry) -> Result<State, Stop> {
        let Some(front) = self.attempt(entry.offset, BLOCK_BYTES)? else { return Ok(State::Unreadable) };
        if Envelope::peek(&front) == Look::Zero {
            return Ok(State::Gone);
        }
        match self.record(entry.offset, Some(front))? {
            Some(head) if entry_of(&head) == *entry => self.verify(&head),
            // Told apart from damage by the reading of the head's further blocks, which `record` has tried.
            _ if self.unreadable_at(entry) => Ok(State::Unreadable),
            _ => Ok(State::Bad),
        }
    }

    /// Whether envelope and head cannot be read, rather than being wrong.
    fn unreadable_at(&self, entry: &Entry) -> bool {
        let front_bytes = entry.info(self.key.ordinal).map_or(0, |info| info.body_start);
        front_bytes > BLOCK_BYTES && self.source.read(entry.offset, front_bytes).is_err()
    }

    /// The sound record at an offset, if there is one.
    fn record(&mut self, at: u64, front: Option<Bytes>) -> Result<Option<RecordHead>, Stop> {
        let Some(front) = front else { return Ok(None) };
        let Look::Sound(needed) = Envelope::peek(&front) else { return Ok(None) };
        let front = if needed <= front.len() {
            front
        } else if at + needed as u64 > self.source.end {
            return Ok(None);
        } else {
            match self.attempt(at, needed as u64)? {
                Some(front) => front,
                None => return Ok(None),
            }
        };
        match look_at_head(&self.key, at, &front) {
            Look::Sound(head) => Ok(Some(head)),
            Look::Newer(found) => Err(Stop::Newer(found)),
            Look::Zero | Look::Bad => Ok(None),
        }
    }

    /// Has the owner read the body, where that is called for.
    fn verify(&mut self, head: &RecordHead) -> Result<State, Stop> {
        let Some(owner) = &mut self.owner else { return Ok(State::Sound) };
        let (source, body_at) = (self.source, head.info.place.offset + head.info.body_start);
        let read = move |range: Range<u64>| source.read(body_at + range.start, range.end - range.start);
        let body = BodyReader { bytes: head.info.body_bytes(), failed: Cell::new(false), read: &read };
        let sound = owner.verify(head, &body);
        if body.failed.get() {
            self.count_unreadable(io::Error::other("a record's body cannot be read"))?;
            return Ok(State::Unreadable);
        }
        Ok(if sound { State::Sound } else { State::Bad })
    }

    /// The sound header of a group at a block, of whatever segment.
    fn group(&mut self, at: u64, block: &Bytes) -> Result<Option<(SegmentKey, Group)>, Stop> {
        let Some(header_bytes) = Group::peek(block, self.source.end - at) else { return Ok(None) };
        let header = if header_bytes == BLOCK_BYTES {
            block.clone()
        } else {
            match self.attempt(at, header_bytes)? {
                Some(header) => header,
                None => return Ok(None),
            }
        };
        match Group::decode(&header, self.key.ordinal, at, self.source.end) {
            Look::Sound(found) => Ok(Some(found)),
            Look::Newer(found) => Err(Stop::Newer(found)),
            Look::Zero | Look::Bad => Ok(None),
        }
    }

    /// One block, in large reads while nothing sound is in sight.
    fn block(&mut self, at: u64) -> Result<Option<Bytes>, Stop> {
        if let Some((start, window)) = &self.window
            && let Some(skip) = at.checked_sub(*start)
            && skip + BLOCK_BYTES <= window.len() as u64
        {
            return Ok(Some(window.slice(skip as usize..(skip + BLOCK_BYTES) as usize)));
        }
        if self.lost {
            let length = WINDOW_BYTES.min(self.source.end - at);
            if let Ok(window) = self.source.read(at, length) {
                let block = window.slice(..BLOCK_BYTES as usize);
                self.window = Some((at, window));
                return Ok(Some(block));
            }
            // A bad block somewhere in the window: the single blocks tell which.
        }
        self.attempt(at, BLOCK_BYTES)
    }

    /// `None` where the device fails, until it has failed too often.
    fn attempt(&mut self, at: u64, length: u64) -> Result<Option<Bytes>, Stop> {
        match self.source.read(at, length) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) => {
                self.count_unreadable(error)?;
                Ok(None)
            }
        }
    }

    fn count_unreadable(&mut self, error: io::Error) -> Result<(), Stop> {
        self.unreadable += 1;
        if self.unreadable > UNREADABLE_MAX { Err(Stop::Failed(error)) } else { Ok(()) }
    }

    fn push(&mut self, entry: Entry, state: State) {
        self.scan.next_sequence = self.scan.next_sequence.max(entry.sequence.saturating_add(1));
        self.scan.pieces.push(Piece { entry, state });
    }

    /// A block that is nothing known, joined with such blocks right before it.
    fn stray(&mut self, at: u64, state: State) {
        self.scan.clean_end = None;
        if let Some(last) = self.scan.pieces.last_mut()
            && last.entry.name.is_none()
            && last.state == state
            && last.entry.offset + last.entry.length == at
        {
            last.entry.length += BLOCK_BYTES;
            return;
        }
        let entry =
            Entry { sequence: 0, offset: at, length: BLOCK_BYTES, head_bytes: 0, name: None, kind: EntryKind::Damaged };
        self.scan.pieces.push(Piece { entry, state });
    }
}

fn entry_of(head: &RecordHead) -> Entry {
    Entry {
        sequence: head.info.sequence,
        offset: head.info.place.offset,
        length: head.info.place.length,
        head_bytes: head.head.len() as u32,
        name: Some(head.info.name),
        kind: EntryKind::Record,
    }
}
