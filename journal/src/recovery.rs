//! What recovery asks its owner, and what it reports.

use std::cell::Cell;
use std::io;
use std::ops::Range;

use bytes::Bytes;

use crate::name::RecordName;
use crate::record::{RecordHead, RecordInfo};

mod judge;
pub(crate) mod open;
mod scan;
mod source;

/// The owner's part in a recovery. All calls come from [`Journal::open`](crate::Journal::open): first what is to be verified,
/// then what was found, each in the order of segments and offsets. Nothing that is told here may be served before `open`
/// has returned: only then is it synced.
pub trait Owner {
    /// Whether a record that may not have reached the device whole is sound: its envelope and head are, its body must
    /// be read and compared with what the head says. Asked only for what lies behind the last durable end that is
    /// named. When reading fails the answer does not matter.
    fn verify(&mut self, record: &RecordHead, body: &BodyReader<'_>) -> bool;

    /// A record is there. Of millions of them, so keep little.
    fn found(&mut self, record: &RecordInfo);

    /// Something is wrong. Told at every start for as long as the segment exists; what is torn is told once.
    fn damaged(&mut self, damage: &Damage);
}

/// Reads the body of a record that recovery wants verified, as the device has it.
pub struct BodyReader<'a> {
    pub(crate) bytes: u64,
    pub(crate) failed: Cell<bool>,
    pub(crate) read: &'a dyn Fn(Range<u64>) -> io::Result<Bytes>,
}

impl BodyReader<'_> {
    /// How long the body is.
    pub fn body_bytes(&self) -> u64 {
        self.bytes
    }

    /// A range of the body. An owner with long bodies reads them in pieces.
    ///
    /// Fails as the device fails; recovery remembers that and leaves the segment alone. Panics when the range is not
    /// inside the body.
    pub fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        assert!(range.start <= range.end && range.end <= self.bytes, "a range inside the body");
        (self.read)(range).inspect_err(|_| self.failed.set(true))
    }
}

impl std::fmt::Debug for BodyReader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BodyReader({} bytes)", self.bytes)
    }
}

/// What is wrong with a stretch of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DamageKind {
    /// Behind the last durable end that is named, and not whole. Most likely never acknowledged; the very last
    /// acknowledged group may be among it, since nothing behind it names its end.
    Torn,
    /// It was durable once and is not sound any more. If it has a name, that record is lost here.
    Damaged,
    /// The device failed to read it. It is left as it is, and asked again at the next start.
    Unreadable,
}

/// A stretch of a segment that is not what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    /// What is wrong.
    pub kind: DamageKind,
    /// The record that lies there, where a header or a footer that is sound still says so.
    pub name: Option<RecordName>,
    /// In which segment.
    pub segment: u32,
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub length: u64,
}

/// What a recovery did, in figures. Records and damages themselves are told to the [`Owner`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovery {
    /// Whether the journal had been closed (or was empty): nothing was in flight.
    pub clean: bool,
    /// Segments that were there and are still.
    pub segments: u64,
    /// Of these, how many had no sound footer and were scanned.
    pub segments_scanned: u64,
    /// Segments that held nothing and were removed: created and never used, or all their records punched.
    pub segments_removed: u64,
    /// Segments without a footer that stay as they are, because the device failed to read something in them or has no
    /// room for a footer. They are scanned again at the next start.
    pub segments_unsealed: u64,
    /// Files with a segment's name that hold nothing of this journal. They stay as they are.
    pub segments_unknown: u64,
    /// Records that are there.
    pub records: u64,
    /// Records that were punched.
    pub records_gone: u64,
    /// Stretches told as [`DamageKind::Damaged`].
    pub damaged: u64,
    /// Stretches told as [`DamageKind::Torn`].
    pub torn: u64,
    /// Stretches told as [`DamageKind::Unreadable`].
    pub unreadable: u64,
    /// Bytes that were cut off behind the last sound record of a segment.
    pub cut_bytes: u64,
    /// The filesystem cannot read past the page cache: what lay behind the last durable end was believed as the kernel
    /// showed it. After a crash of the machine that is the same; after one of the process alone it is a risk only if
    /// a sync had failed.
    pub device_unread: bool,
    /// Names of files in the directory that are not the journal's, at most [`Recovery::FOREIGN_MAX`] of them. They stay
    /// as they are.
    pub foreign: Vec<String>,
}

impl Recovery {
    /// How many foreign files are named.
    pub const FOREIGN_MAX: usize = 64;
}
