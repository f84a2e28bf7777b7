//! Opens a journal: looks at every segment, decides, and only then changes anything.
//!
//! ```text
//! look     footers and headers; scan what has no footer, behind its durable end as the device has it
//! decide   what is kept, cut, damaged; whether the newest segment may be written to again
//! change   seal and sync what was scanned, remove what is empty
//! tell     the owner, record by record
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::judge::{Told, Verdict, durable_end, judge};
use super::scan::{Search, Stop, find_key, scan};
use super::source::{Source, View};
use super::{Damage, DamageKind, Owner, Recovery};
use crate::error::JournalError;
use crate::files::{DirEntry, File, Files};
use crate::format::{BLOCK_BYTES, Entry, EntryKind, Footer, Look, SegmentHeader, SegmentKey, VERSION, segment_ordinal};
use crate::journal::Journal;
use crate::options::{Options, OwnerKind};
use crate::seal::seal;
use crate::sealed::{Holes, Presence, presence, read_footer};
use crate::segments::{Counts, Segment, Segments};
use crate::writer::{Active, Writer};

/// What a file that is named like a segment turned out to be.
enum Kind {
    /// With a sound footer, which is read again when it is needed: there may be many.
    Sealed,
    /// To be scanned.
    Unsealed(SegmentKey, Footing),
    /// Created and never used.
    Stillborn,
    /// The device failed where it would say what it is. It may hold anything, and is not said to hold nothing.
    Unread,
    /// Nothing of this journal is in it.
    Unknown,
}

/// Why a segment is taken for one without a footer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Footing {
    /// It has none.
    None,
    /// The device failed where one would be. Nothing is written there: the next start may read it.
    Unread,
}

struct Opening<'a> {
    segments: Arc<Segments>,
    options: Options,
    owner: &'a mut dyn Owner,
    recovery: Recovery,
    next_sequence: u64,
    /// The highest ordinal in any name.
    last_ordinal: Option<u32>,
    active: Option<Active>,
    /// Found out with the first sealed segment: the whole journal lies on one filesystem.
    holes: Option<Holes>,
}

pub(crate) fn open(
    files: Arc<dyn Files>,
    dir: &Path,
    options: Options,
    owner: &mut dyn Owner,
) -> Result<(Journal, Recovery), JournalError> {
    let names = prepare(&*files, dir)?;
    let segments = Arc::new(Segments::new(files, dir.to_owned(), options.open_files_max));
    let recovery = Recovery { clean: true, ..Recovery::default() };
    let mut opening =
        Opening { segments, options, owner, recovery, next_sequence: 0, last_ordinal: None, active: None, holes: None };
    let ordinals = opening.sort_names(names);

    // Look and decide.
    let mut kinds = Vec::with_capacity(ordinals.len());
    for &ordinal in &ordinals {
        kinds.push((ordinal, opening.look(ordinal)?));
    }
    // What cannot be read may be the newest, so that nothing older is taken for a journal's end.
    let ours = |kind: &Kind| matches!(kind, Kind::Sealed | Kind::Unsealed(..) | Kind::Unread);
    let newest = kinds.iter().rev().find(|(_, kind)| ours(kind)).map(|&(ordinal, _)| ordinal);
    let mut scanned = Vec::new();
    for (ordinal, kind) in &kinds {
        if let Kind::Unsealed(key, footing) = kind {
            let mut verdict = opening.scan(*key, newest == Some(*ordinal))?;
            if *footing == Footing::Unread {
                (verdict.unreadable, verdict.resumable) = (true, false);
            }
            scanned.push((*ordinal, verdict));
        }
    }

    // Change and tell.
    let mut scanned = scanned.into_iter();
    let mut removed = false;
    for (ordinal, kind) in kinds {
        removed |= match kind {
            Kind::Sealed => opening.take_sealed(ordinal)?,
            Kind::Unsealed(key, _) => {
                let (scanned_ordinal, verdict) = scanned.next().expect("every unsealed segment was scanned");
                assert_eq!(scanned_ordinal, ordinal);
                opening.take_scanned(key, verdict, newest == Some(ordinal))?
            }
            Kind::Stillborn => opening.remove(ordinal)?,
            Kind::Unread => opening.leave_unread(ordinal)?,
            Kind::Unknown => {
                opening.recovery.segments_unknown += 1;
                false
            }
        };
    }
    if removed {
        let dir = &opening.segments.dir;
        opening.segments.files.sync_dir(dir).map_err(|source| JournalError::io("sync directory", dir, source))?;
    }
    // Above everything that is named like a segment, whatever it is: none of it is in the way.
    let next_ordinal = match opening.last_ordinal {
        None => 1,
        Some(last) => last.checked_add(1).ok_or_else(|| {
            let source = io::Error::new(io::ErrorKind::InvalidData, "the last possible number is taken");
            JournalError::io("number a new segment in", dir, source)
        })?,
    };
    let Opening { segments, options, recovery, next_sequence, active, .. } = opening;
    let writer = Writer::new(segments.clone(), options, active, next_ordinal, next_sequence);
    Ok((Journal::new(segments, writer), recovery))
}

/// Makes the directory where it is missing; says what lies in it.
fn prepare(files: &dyn Files, dir: &Path) -> Result<Vec<DirEntry>, JournalError> {
    match files.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            files.create_dir_all(dir).map_err(|source| JournalError::io("create", dir, source))?;
            if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                files.sync_dir(parent).map_err(|source| JournalError::io("sync directory", parent, source))?;
            }
            files.list(dir)
        }
        result => result,
    }
    .map_err(|source| JournalError::io("list", dir, source))
}

impl Opening<'_> {
    /// The ordinals of what is named like a segment, ascending. Everything else is reported and left alone.
    fn sort_names(&mut self, names: Vec<DirEntry>) -> Vec<u32> {
        let mut ordinals = Vec::new();
        for entry in names {
            let ordinal = segment_ordinal(&entry.name);
            self.last_ordinal = self.last_ordinal.max(ordinal);
            match ordinal {
                Some(ordinal) if !entry.is_dir => ordinals.push(ordinal),
                _ if self.recovery.foreign.len() < Recovery::FOREIGN_MAX => self.recovery.foreign.push(entry.name),
                _ => {}
            }
        }
        ordinals.sort_unstable();
        ordinals
    }

    fn open_file(&self, ordinal: u32) -> Result<(PathBuf, Arc<dyn File>, u64), JournalError> {
        let path = self.segments.path(ordinal);
        let file = self.segments.files.open(&path).map_err(|source| JournalError::io("open", &path, source))?;
        let length = file.len().map_err(|source| JournalError::io("length of", &path, source))?;
        Ok((path, file, length))
    }

    fn look(&self, ordinal: u32) -> Result<Kind, JournalError> {
        let (path, file, length) = self.open_file(ordinal)?;
        let footing = match footer_of(&*file, ordinal, length, &path, self.options.owner) {
            Ok(Some(_)) => return Ok(Kind::Sealed),
            Ok(None) => Footing::None,
            Err(JournalError::Io { .. }) => Footing::Unread,
            Err(error) => return Err(error),
        };
        let source = Source::new(&*file, View::Kernel, length);
        if source.end < BLOCK_BYTES {
            return Ok(if length == 0 { Kind::Stillborn } else { Kind::Unknown });
        }
        let block = source.read(0, BLOCK_BYTES);
        match block.as_ref().map(|block| SegmentHeader::decode(block, ordinal)) {
            Ok(Look::Sound(header)) => {
                check_owner(&path, header.owner, self.options.owner)?;
                return Ok(Kind::Unsealed(header.key, footing));
            }
            Ok(Look::Newer(found)) => return Err(newer(&path, found)),
            Ok(Look::Zero | Look::Bad) | Err(_) => {}
        }
        // Every group knows the nonce as well, so a bad header costs nothing.
        let searched = find_key(&source, ordinal).map_err(|stop| stopped(&path, stop))?;
        if let Search::Found(key) = searched {
            return Ok(Kind::Unsealed(key, footing));
        }
        let rest_is_zero = nothing_behind_header(&source).map_err(|source| JournalError::io("read", &path, source))?;
        let read = footing == Footing::None && searched == Search::Nothing;
        Ok(match block {
            Ok(block) if read && rest_is_zero && SegmentHeader::may_be_torn(&block) => Kind::Stillborn,
            Ok(_) if read => Kind::Unknown,
            Ok(_) | Err(_) => Kind::Unread,
        })
    }

    fn scan(&mut self, key: SegmentKey, newest: bool) -> Result<Verdict, JournalError> {
        let (path, file, length) = self.open_file(key.ordinal)?;
        let source = Source::new(&*file, View::Kernel, length);
        let shown = scan(&source, key, BLOCK_BYTES, None).map_err(|stop| stopped(&path, stop))?;
        let source = Source::new(&*file, View::Device, length);
        let owner: &mut dyn Owner = self.owner;
        let kept = scan(&source, key, durable_end(&shown), Some(owner)).map_err(|stop| stopped(&path, stop))?;
        self.recovery.device_unread |= source.device_unread.get();
        Ok(judge(key.ordinal, &shown, &kept, newest))
    }

    /// A segment with a sound footer: told from that, without a look at the records. Says whether it was removed.
    fn take_sealed(&mut self, ordinal: u32) -> Result<bool, JournalError> {
        let (path, file, length) = self.open_file(ordinal)?;
        let Some(footer) = footer_of(&*file, ordinal, length, &path, self.options.owner)? else {
            let source = io::Error::new(io::ErrorKind::InvalidData, "the footer changed while the journal was opened");
            return Err(JournalError::io("read", &path, source));
        };
        let holes = self.holes(&*file, length, &path)?;
        let told: Vec<Told> =
            footer.entries.iter().map(|entry| look_at_sealed(&*file, &footer.trailer.key, entry, holes)).collect();
        if !told.is_empty() && told.iter().all(|told| *told == Told::Gone) {
            self.recovery.records_gone += told.len() as u64;
            return self.remove(ordinal);
        }
        let mut counts = Counts { length, end: length, sealed: true, ..counts(&footer.entries, &told) };
        if holes == Holes::Nothing {
            // Gone, and nothing was given back.
            counts.punched_bytes = 0;
        }
        self.next_sequence = self.next_sequence.max(footer.trailer.next_sequence);
        self.add(Segment::new(footer.trailer.key, counts), &told);
        Ok(false)
    }

    fn holes(&mut self, file: &dyn File, length: u64, path: &Path) -> Result<Holes, JournalError> {
        if let Some(holes) = self.holes {
            return Ok(holes);
        }
        let holes =
            Holes::of(file, length).map_err(|source| JournalError::io("punch behind the end of", path, source))?;
        self.holes = Some(holes);
        Ok(holes)
    }

    /// A segment that was scanned: resumed, sealed, left alone or removed. Says whether it was removed.
    fn take_scanned(&mut self, key: SegmentKey, verdict: Verdict, newest: bool) -> Result<bool, JournalError> {
        let (path, file, length) = self.open_file(key.ordinal)?;
        self.recovery.segments_scanned += 1;
        self.recovery.clean &= verdict.resumable || !newest;
        self.next_sequence = self.next_sequence.max(verdict.next_sequence);
        let mut counts = Counts { length, end: verdict.end.min(length), ..counts(&verdict.entries, &verdict.told) };
        if counts.punched_bytes > 0 && self.holes(&*file, length, &path)? == Holes::Nothing {
            counts.punched_bytes = 0;
        }
        if verdict.resumable {
            sync_kept(&*file, &path)?;
            let segment = Segment::new(key, counts);
            self.segments.keep_open(key.ordinal, file.clone());
            self.add(segment.clone(), &verdict.told);
            self.active = Some(Active::new(segment, file, verdict.end, verdict.entries, true));
            return Ok(false);
        }
        let nothing_kept = verdict.told.iter().all(|told| match told {
            Told::Found(_) => false,
            Told::Gone => true,
            Told::Damaged(damage) => damage.kind == DamageKind::Torn,
        });
        if nothing_kept && !verdict.unreadable {
            self.tell(&verdict.told);
            self.recovery.cut_bytes += verdict.cut_bytes;
            return self.remove(key.ordinal);
        }
        sync_kept(&*file, &path)?;
        let sealed = if verdict.unreadable {
            None
        } else {
            let (end, entries) = (verdict.end, &verdict.entries);
            match seal(&*file, key, self.options.owner, end, verdict.next_sequence, entries) {
                Ok(length) => Some(length),
                Err(source) if source.kind() == io::ErrorKind::StorageFull => None,
                Err(source) => return Err(JournalError::io("seal", &path, source)),
            }
        };
        let counts = match sealed {
            Some(length) => {
                self.recovery.cut_bytes += verdict.cut_bytes;
                Counts { length, end: length, sealed: true, ..counts }
            }
            None => {
                self.recovery.segments_unsealed += 1;
                Counts { end: length, ..counts }
            }
        };
        self.add(Segment::new(key, counts), &verdict.told);
        Ok(false)
    }

    /// Reports a file of which not even the name of its segment could be read, and leaves it for the next start.
    fn leave_unread(&mut self, ordinal: u32) -> Result<bool, JournalError> {
        let (_, _, length) = self.open_file(ordinal)?;
        self.recovery.clean = false;
        self.recovery.segments_unsealed += 1;
        let kind = DamageKind::Unreadable;
        self.tell(&[Told::Damaged(Damage { kind, name: None, segment: ordinal, offset: 0, length })]);
        Ok(false)
    }

    fn add(&mut self, segment: Arc<Segment>, told: &[Told]) {
        self.recovery.segments += 1;
        self.segments.insert(segment);
        self.tell(told);
    }

    fn tell(&mut self, told: &[Told]) {
        for told in told {
            match told {
                Told::Found(info) => {
                    self.recovery.records += 1;
                    self.owner.found(info);
                }
                Told::Gone => self.recovery.records_gone += 1,
                Told::Damaged(damage) => {
                    match damage.kind {
                        DamageKind::Torn => self.recovery.torn += 1,
                        DamageKind::Damaged => self.recovery.damaged += 1,
                        DamageKind::Unreadable => self.recovery.unreadable += 1,
                    }
                    self.owner.damaged(damage);
                }
            }
        }
    }

    fn remove(&mut self, ordinal: u32) -> Result<bool, JournalError> {
        let path = self.segments.path(ordinal);
        self.segments.files.remove(&path).map_err(|source| JournalError::io("remove", &path, source))?;
        self.recovery.segments_removed += 1;
        Ok(true)
    }
}

/// What a footer's line is worth today: the record may have been punched since.
fn look_at_sealed(file: &dyn File, key: &SegmentKey, entry: &Entry, holes: Holes) -> Told {
    let ordinal = key.ordinal;
    let damaged = |kind| {
        let (offset, length) = (entry.offset, entry.stored_bytes());
        Told::Damaged(Damage { kind, name: entry.name, segment: ordinal, offset, length })
    };
    if entry.kind == EntryKind::Gone {
        return Told::Gone;
    }
    let Some(info) = entry.info(ordinal) else { return damaged(DamageKind::Damaged) };
    match presence(file, key, entry, holes) {
        Ok(Presence::There) => Told::Found(info),
        Ok(Presence::Gone) => Told::Gone,
        Ok(Presence::Damaged) => damaged(DamageKind::Damaged),
        Err(_) => damaged(DamageKind::Unreadable),
    }
}

/// Live, punched and damaged bytes of a segment whose entries were told like this.
fn counts(entries: &[Entry], told: &[Told]) -> Counts {
    let stored = |kind| entries.iter().filter(|entry| entry.kind == kind).map(Entry::stored_bytes).sum::<u64>();
    let found = || told.iter().filter_map(|told| if let Told::Found(info) = told { Some(info) } else { None });
    let live_bytes = found().map(|info| info.place.stored_bytes()).sum();
    Counts {
        live_records: found().count() as u64,
        live_bytes,
        // Listed as a record and not found: punched since.
        punched_bytes: stored(EntryKind::Gone) + stored(EntryKind::Record) - live_bytes,
        damaged_bytes: stored(EntryKind::Damaged),
        ..Counts::default()
    }
}

/// The footer, if it is sound and this owner's. [`JournalError::Io`] where the device fails to read it.
fn footer_of(
    file: &dyn File,
    ordinal: u32,
    length: u64,
    path: &Path,
    owner: OwnerKind,
) -> Result<Option<Footer>, JournalError> {
    match read_footer(file, ordinal, length).map_err(|source| JournalError::io("read the footer of", path, source))? {
        Look::Sound(footer) => {
            check_owner(path, footer.trailer.owner, owner)?;
            Ok(Some(footer))
        }
        Look::Newer(found) => Err(newer(path, found)),
        Look::Zero | Look::Bad => Ok(None),
    }
}

/// What was kept may be in the device's volatile memory only: it is synced before anybody is told, and before a footer
/// vouches for it. (A footer whose sync fails is still shown by the kernel, and believed by the next start.)
fn sync_kept(file: &dyn File, path: &Path) -> Result<(), JournalError> {
    file.sync_data().map_err(|source| JournalError::io("sync", path, source))
}

fn nothing_behind_header(source: &Source<'_>) -> io::Result<bool> {
    let mut at = BLOCK_BYTES;
    while let Some(block_at) = source.next_block(at)? {
        let length = (1024 * 1024).min(source.end - block_at);
        if source.read(block_at, length)?.iter().any(|&byte| byte != 0) {
            return Ok(false);
        }
        at = block_at + length;
    }
    Ok(true)
}

fn check_owner(path: &Path, found: OwnerKind, expected: OwnerKind) -> Result<(), JournalError> {
    if found == expected { Ok(()) } else { Err(JournalError::Foreign { path: path.to_owned(), found, expected }) }
}

fn newer(path: &Path, found: u8) -> JournalError {
    JournalError::Newer { path: path.to_owned(), found, known: VERSION }
}

fn stopped(path: &Path, stop: Stop) -> JournalError {
    match stop {
        Stop::Newer(found) => newer(path, found),
        Stop::Failed(source) => JournalError::io("read", path, source),
    }
}
