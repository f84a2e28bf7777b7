//! From queued records to groups, and from synced copies to answers. One lock, held for look-ups only: whoever brings
//! records forms the next group if none is under way, and the journal thread whose sync completes a group answers for it
//! and forms the next. So a lone append makes one hop to the drives and one back.
//!
//! ```text
//! enqueue -> queue -> form -> r journals -> synced -> acknowledged in order -> answers
//!                      ^---------------------------------------'
//! ```
//! What must not happen under the lock: handing a group to a journal (it may answer at once) and answering. Both are
//! collected as [`Effects`] and carried out by the caller once the lock is free.

mod change;
mod copies;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cairn_core::{DriveId, Elapsed, EpochId};
use cairn_journal::{Append, JournalError, Place};

use crate::cache::EntryCache;
use crate::contents::{Contents, NotConsecutive};
use crate::drive_set::DriveSet;
use crate::epoch::EpochRecord;
use crate::error::{DriveFailure, OpLogError};
use crate::flight::{Flight, Send, TooFewDrives};
use crate::group::{GroupHead, GroupName, GroupNumber, StoredName};
use crate::options::Limits;
use crate::pace::{Pace, Patience};
use crate::record::{RecordHead, TooLarge};
use crate::segments::{Reclaim, SegmentUse};

use change::Attempt;

pub(crate) use change::Progress;
pub(crate) use copies::{Members, Short};

/// Called once, with what became of the records.
pub(crate) type Answer = Box<dyn FnOnce(Result<(), OpLogError>) + core::marker::Send>;

/// Below this many bytes a part, and above this many parts, a body is gathered into one piece: system calls take few
/// parts at once, and it is written several times.
const PARTS_GATHERED_MIN: usize = 32;
const PART_GATHERED_BYTES_MAX: usize = 16 << 10;

/// Records that stay together.
pub(crate) struct Unit {
    pub heads: Vec<RecordHead>,
    pub body: Vec<Bytes>,
    /// Entries with their indexes, for those who read them before they are written.
    pub entries: Vec<(u64, Bytes)>,
    pub answer: Answer,
}

struct Queued {
    heads: Vec<RecordHead>,
    body: Vec<Bytes>,
    lowest_index: Option<u64>,
    answer: Answer,
}

struct UnderWay {
    number: GroupNumber,
    append: Append,
    floor: GroupNumber,
    lowest_index: Option<u64>,
    answers: Vec<Answer>,
}

/// What is to be done once the lock is free.
#[derive(Default)]
pub(crate) struct Effects {
    pub sends: Vec<(Send, Append)>,
    pub answers: Vec<(Answer, Result<(), OpLogError>)>,
    /// Whether a group was formed, so that someone looks whether it is late.
    pub formed: bool,
    /// Whether groups lie on too few drives, so that someone copies them.
    pub short: bool,
    /// Whether a group was acknowledged, or none will be any more: also one that nobody waits for the records of.
    pub progressed: bool,
}

/// Where a group lies.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub epoch: EpochId,
    pub places: Vec<(usize, Place)>,
}

/// Counters since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub groups: u64,
    pub records: u64,
    pub late: u64,
    pub copied: u64,
}

/// Everything under the lock.
pub(crate) struct Pipeline {
    pub epoch: Arc<EpochRecord>,
    pub flight: Flight,
    pub contents: Contents,
    pub cache: EntryCache,
    pub stored: BTreeMap<GroupNumber, Stored>,
    pub segments: Vec<SegmentUse>,
    pub counters: Counters,
    pub failed: Vec<DriveFailure>,
    /// Drives that were left because they were full: they are asked again.
    pub full: BTreeSet<usize>,
    /// Groups that lie on fewer drives than they should; see [`Self::next_short`].
    pub short: usize,
    /// The floor that has taken effect: what is below it may be removed.
    pub floor_acknowledged: GroupNumber,
    pub closing: bool,
    /// The epoch that is being written while the log runs.
    attempt: Option<Attempt>,
    /// Epochs that were written to some drives and not begun. The next one names them as void.
    given_up: Vec<Arc<EpochRecord>>,
    /// Whether no group is formed, because the epoch is about to change.
    paused: bool,
    drives: Vec<DriveId>,
    /// Where their journals lie, for messages.
    dirs: Vec<PathBuf>,
    copies: usize,
    pace: Pace,
    patience: Patience,
    queue: VecDeque<Queued>,
    queued_bytes: usize,
    queue_bytes_max: usize,
    under_way: VecDeque<UnderWay>,
    under_way_max: usize,
    /// What stands once everything queued is written.
    next_index: Option<u64>,
    purged_index: Option<u64>,
    last_formed: GroupNumber,
    /// The floor that the last group formed names.
    floor: GroupNumber,
    limits: Limits,
    stopped: Option<OpLogError>,
}

pub(crate) struct Beginning {
    pub epoch: Arc<EpochRecord>,
    pub drives: Vec<DriveId>,
    pub dirs: Vec<PathBuf>,
    pub patience: Patience,
    pub flight: Flight,
    pub contents: Contents,
    pub stored: BTreeMap<GroupNumber, Stored>,
    pub segments: Vec<SegmentUse>,
    pub floor: GroupNumber,
    pub limits: Limits,
    pub cache_bytes: usize,
    pub queue_bytes: usize,
    pub groups_under_way: usize,
    pub stopped: Option<OpLogError>,
}

impl Pipeline {
    pub fn new(beginning: Beginning) -> Self {
        assert!(beginning.groups_under_way > 0, "one group at least can be under way");
        let mut pipeline = Self {
            copies: beginning.epoch.quorum.copies_len(),
            epoch: beginning.epoch,
            last_formed: beginning.flight.acknowledged(),
            flight: beginning.flight,
            next_index: beginning.contents.next_index(),
            purged_index: beginning.contents.purged().map(|(index, _)| index),
            contents: beginning.contents,
            cache: EntryCache::new(beginning.cache_bytes),
            stored: beginning.stored,
            segments: beginning.segments,
            counters: Counters::default(),
            failed: Vec::new(),
            full: BTreeSet::new(),
            short: 0,
            floor_acknowledged: beginning.floor,
            closing: false,
            attempt: None,
            given_up: Vec::new(),
            paused: false,
            drives: beginning.drives,
            dirs: beginning.dirs,
            pace: Pace::default(),
            patience: beginning.patience,
            queue: VecDeque::new(),
            queued_bytes: 0,
            queue_bytes_max: beginning.queue_bytes,
            under_way: VecDeque::new(),
            under_way_max: beginning.groups_under_way,
            floor: beginning.floor,
            limits: beginning.limits,
            stopped: beginning.stopped,
        };
        pipeline.count_short();
        pipeline
    }

    /// Whether nothing waits and nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.under_way.is_empty()
    }

    /// Whether records may be brought. A stopped log takes them too, and says that it has stopped.
    pub fn has_room(&self) -> bool {
        self.queued_bytes < self.queue_bytes_max || self.stopped.is_some()
    }

    pub const fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    pub const fn stopped(&self) -> Option<&OpLogError> {
        self.stopped.as_ref()
    }

    /// The first index that stands once everything queued is written.
    pub fn first_index(&self) -> Option<u64> {
        let first = match (self.contents.first_index(), self.queue.iter().filter_map(|unit| unit.lowest_index).min()) {
            (Some(formed), Some(queued)) => Some(formed.min(queued)),
            (formed, queued) => formed.or(queued),
        }?;
        let first = self.purged_index.map_or(first, |purged| first.max(purged + 1));
        self.next_index.filter(|&next| first < next).map(|_| first)
    }

    /// The index behind the last that stands once everything queued is written.
    pub const fn next_index(&self) -> Option<u64> {
        self.next_index
    }

    /// Whether an entry stands once everything queued is written.
    pub fn stands(&self, index: u64) -> bool {
        self.first_index().is_some_and(|first| index >= first) && self.next_index.is_some_and(|next| index < next)
    }

    /// Takes records over. On an error nothing was, and the answer is not called.
    pub fn enqueue(&mut self, unit: Unit, now: Elapsed, effects: &mut Effects) -> Result<(), OpLogError> {
        if let Some(stopped) = &self.stopped {
            return Err(stopped.clone());
        }
        if self.closing {
            return Err(OpLogError::Closed);
        }
        let (head_bytes, body_bytes) = self.measure(&unit)?;
        // One unit may go beyond the bound, so that there is room exactly when it is said that there is.
        if !self.has_room() {
            return Err(OpLogError::Busy);
        }
        let (next_index, purged_index) = self.follow(&unit.heads)?;
        (self.next_index, self.purged_index) = (next_index, purged_index);
        let lowest_index = unit.entries.iter().map(|(index, _)| *index).min();
        self.remember(&unit.heads, unit.entries);
        self.queued_bytes += head_bytes + body_bytes;
        self.queue.push_back(Queued { heads: unit.heads, body: unit.body, lowest_index, answer: unit.answer });
        self.form(now, effects);
        Ok(())
    }

    fn measure(&self, unit: &Unit) -> Result<(usize, usize), TooLarge> {
        let head: usize = unit.heads.iter().map(RecordHead::head_bytes_max).sum();
        let body: usize = unit.body.iter().map(Bytes::len).sum();
        let control = unit.heads.iter().filter(|head| !matches!(head, RecordHead::Append { .. }));
        let control = control.map(|head| head.head_bytes_max() - 64).max().unwrap_or(0);
        let check = |what, found: usize, max: usize| {
            if found > max { Err(TooLarge { what, found: found as u64, max: max as u64 }) } else { Ok(()) }
        };
        check("bytes of a control record", control, self.limits.control)?;
        check("bytes of heads of one append", head, self.limits.head)?;
        check("bytes of one append", body, self.limits.body)?;
        Ok((head, body))
    }

    /// Where the indexes stand after these records.
    fn follow(&self, heads: &[RecordHead]) -> Result<(Option<u64>, Option<u64>), NotConsecutive> {
        let (mut next, mut purged) = (self.next_index, self.purged_index);
        for head in heads {
            match head {
                RecordHead::Append { first_index, lengths, .. } => {
                    if let Some(expected) = next.filter(|next| next != first_index) {
                        return Err(NotConsecutive { found: *first_index, expected });
                    }
                    next = first_index.checked_add(lengths.len() as u64);
                    if next.is_none() {
                        return Err(NotConsecutive { found: *first_index, expected: 0 });
                    }
                }
                RecordHead::Truncate { from_index } => next = next.map(|next| next.min(*from_index)),
                RecordHead::Purge { up_to_index, .. } => {
                    purged = Some(purged.map_or(*up_to_index, |purged| purged.max(*up_to_index)));
                    next = Some(next.map_or(up_to_index + 1, |next| next.max(up_to_index + 1)));
                }
                RecordHead::Vote { .. } | RecordHead::Committed { .. } | RecordHead::Mark { .. } => {}
            }
        }
        Ok((next, purged))
    }

    fn remember(&mut self, heads: &[RecordHead], entries: Vec<(u64, Bytes)>) {
        let mut entries = entries.into_iter();
        for head in heads {
            match head {
                RecordHead::Append { lengths, .. } => {
                    entries.by_ref().take(lengths.len()).for_each(|(index, entry)| self.cache.insert(index, entry));
                }
                RecordHead::Truncate { from_index } => self.cache.truncate(*from_index),
                RecordHead::Purge { up_to_index, .. } => self.cache.purge(*up_to_index),
                RecordHead::Vote { .. } | RecordHead::Committed { .. } | RecordHead::Mark { .. } => {}
            }
        }
    }

    /// Forms groups as long as there is something for them and there may be more under way.
    fn form(&mut self, now: Elapsed, effects: &mut Effects) {
        while self.stopped.is_none()
            && !self.paused
            && self.under_way.len() < self.under_way_max
            && !self.queue.is_empty()
        {
            let units = self.take_units();
            self.form_group(units, now, effects);
        }
    }

    /// Forms one group; without units an empty one, which proves an epoch.
    fn form_group(&mut self, units: Vec<Queued>, now: Elapsed, effects: &mut Effects) {
        let number = self.last_formed.next();
        let mut heads: Vec<RecordHead> = units.iter().flat_map(|unit| unit.heads.iter().cloned()).collect();
        let purges = heads.iter().any(|head| matches!(head, RecordHead::Purge { .. }));
        if purges {
            let restated = self.contents.restate().into_iter();
            let restated = restated.map(|record| record.split().expect("it was taken once").0);
            heads.splice(0..0, restated.collect::<Vec<_>>());
        }
        for (ordinal, head) in heads.iter().enumerate() {
            self.contents.apply(head, number, ordinal).expect("indexes were followed when it was queued");
        }
        if purges {
            // Everything before the first entry that stands is said again here or not needed any more.
            let standing = self.contents.first_group().unwrap_or(number);
            self.floor = standing.min(self.flight.acknowledged().next()).max(self.floor);
        }
        self.counters.groups += 1;
        self.counters.records += heads.len() as u64;
        let acknowledged = self.flight.acknowledged();
        let epoch = self.epoch.id;
        let head = GroupHead { epoch, number, acknowledged, floor: self.floor, records: heads };
        let lowest_index = units.iter().filter_map(|unit| unit.lowest_index).min();
        let (body, answers): (Vec<Vec<Bytes>>, Vec<Answer>) =
            units.into_iter().map(|unit| (unit.body, unit.answer)).unzip();
        let name = StoredName::Group(head.name()).encode();
        let append = Append::new(name, head.encode(), gather(body.into_iter().flatten().collect()));
        self.last_formed = number;
        self.under_way.push_back(UnderWay { number, append: append.clone(), floor: self.floor, lowest_index, answers });
        self.pace.formed(number, now);
        effects.formed = true;
        match self.flight.launch(number) {
            Ok(targets) => {
                self.stored.insert(number, Stored { epoch, places: Vec::new() });
                targets.iter().for_each(|drive| self.pace.sent(drive, number, now));
                let sends = targets.iter().map(|drive| (Send { number, drive }, append.clone()));
                effects.sends.extend(sends);
            }
            Err(too_few) => self.stop(too_few, effects),
        }
    }

    fn take_units(&mut self) -> Vec<Queued> {
        let (mut units, mut head, mut body) = (Vec::new(), 0, 0);
        while let Some(unit) = self.queue.front() {
            let unit_head: usize = unit.heads.iter().map(RecordHead::head_bytes_max).sum();
            let unit_body: usize = unit.body.iter().map(Bytes::len).sum();
            if !units.is_empty() && (head + unit_head > self.limits.head || body + unit_body > self.limits.body) {
                break;
            }
            head += unit_head;
            body += unit_body;
            self.queued_bytes -= unit_head + unit_body;
            units.extend(self.queue.pop_front());
        }
        units
    }

    /// What a drive's journal says of a group that it was sent.
    pub fn written(
        &mut self,
        send: Send,
        result: Result<Place, Arc<JournalError>>,
        now: Elapsed,
        effects: &mut Effects,
    ) {
        self.pace.answered(send.drive, send.number, result.is_ok(), now);
        match result {
            Ok(place) => {
                self.segments[send.drive].note(place.segment, send.number);
                if let Some(stored) = self.stored.get_mut(&send.number) {
                    stored.places.push((send.drive, place));
                }
                if self.stopped.is_none() {
                    self.flight.synced(send.drive, send.number);
                    self.acknowledge(effects);
                    self.form(now, effects);
                }
            }
            Err(source) => self.leave(send.drive, source, now, effects),
        }
    }

    /// A drive takes nothing more: what it has not synced goes to others at once, and what it had is copied.
    pub fn leave(&mut self, drive: usize, source: Arc<JournalError>, now: Elapsed, effects: &mut Effects) {
        let was_healthy = self.flight.healthy().contains(&drive);
        if was_healthy {
            let name = self.drives[drive];
            tracing::warn!(drive = %name, error = %source, "the log leaves a drive that fails");
            if matches!(*source, JournalError::Full { .. }) {
                self.full.insert(drive);
            }
            self.failed.push(DriveFailure { drive: name, source });
        }
        self.pace.left(drive);
        if self.stopped.is_some() {
            return;
        }
        match self.flight.failed(drive) {
            Ok(sends) => self.send_again(sends, now, effects),
            Err(too_few) => return self.stop(too_few, effects),
        }
        if was_healthy {
            self.count_short();
            effects.short |= self.short > 0;
        }
    }

    /// Sends what has been under way for too long to other drives too, and gives up those that never answer. Says when to
    /// look again: none while nothing is under way.
    pub fn look_for_late(&mut self, now: Elapsed, effects: &mut Effects) -> Option<Duration> {
        let due = self.pace.due(now, self.patience, self.flight.acknowledged());
        for number in due.late {
            let sends = self.flight.late(number);
            if !sends.is_empty() {
                self.counters.late += 1;
                tracing::warn!(%number, ?sends, "a group of the log is late and goes to another drive too");
                self.send_again(sends, now, effects);
            }
        }
        for number in due.silent {
            if let Some(send) = self.flight.ask_more(number) {
                tracing::warn!(%number, ?send, "no drive answers, one more is asked");
                self.send_again(vec![send], now, effects);
            }
        }
        for drive in due.given_up {
            let source = io::ErrorKind::TimedOut.into();
            let error = JournalError::Io { operation: "wait for", path: self.dirs[drive].clone(), source };
            self.leave(drive, Arc::new(error), now, effects);
        }
        due.wait
    }

    fn send_again(&mut self, sends: Vec<Send>, now: Elapsed, effects: &mut Effects) {
        for send in sends {
            let group = self.under_way.iter().find(|group| group.number == send.number);
            let append = group.expect("what is in flight is under way").append.clone();
            self.pace.sent(send.drive, send.number, now);
            effects.sends.push((send, append));
        }
    }

    fn acknowledge(&mut self, effects: &mut Effects) {
        let acknowledged = self.flight.acknowledged();
        while self.under_way.front().is_some_and(|oldest| oldest.number <= acknowledged) {
            let group = self.under_way.pop_front().expect("it was just seen");
            self.floor_acknowledged = group.floor;
            effects.progressed = true;
            if !self.failed.is_empty() && self.is_short(group.number) {
                // A drive failed after it had synced the group: that counts, and is one copy too few.
                self.short += 1;
                effects.short = true;
            }
            effects.answers.extend(group.answers.into_iter().map(|answer| (answer, Ok(()))));
        }
        self.pace.acknowledged(acknowledged);
        let under_way = self.under_way.iter().map(|group| group.lowest_index);
        let queued = self.queue.iter().map(|unit| unit.lowest_index);
        let lowest = under_way.chain(queued).flatten().min();
        self.cache.evict(lowest.unwrap_or(u64::MAX));
    }

    /// Nothing more is acknowledged: everyone who waits is told, and whoever comes.
    fn stop(&mut self, too_few: TooFewDrives, effects: &mut Effects) {
        let error = OpLogError::Stopped { too_few, failed: self.failed.clone() };
        tracing::error!(%error, "nothing more is written to the operation log");
        let waiting = self.under_way.drain(..).flat_map(|group| group.answers);
        let waiting = waiting.chain(self.queue.drain(..).map(|unit| unit.answer));
        effects.answers.extend(waiting.map(|answer| (answer, Err(error.clone()))));
        self.queued_bytes = 0;
        effects.progressed = true;
        self.stopped = Some(error);
    }

    /// Where an entry can be read from the drives.
    pub fn locate(&self, index: u64) -> Option<Located> {
        let run = self.contents.find(index)?;
        let stored = self.stored.get(&run.group)?;
        Some(Located {
            name: GroupName { epoch: stored.epoch, number: run.group },
            ordinal: run.ordinal,
            first_index: run.first_index,
            count: run.count,
            places: self.best_first(&stored.places),
        })
    }

    /// Forgets where groups lie that are not needed any more, and says which segments hold no others.
    pub fn reclaim(&mut self) -> Vec<Reclaim> {
        let floor = self.floor_acknowledged;
        self.stored = self.stored.split_off(&floor);
        if self.short > 0 {
            self.count_short();
        }
        let healthy: DriveSet = self.flight.healthy().iter().copied().collect();
        let drives = self.segments.iter().enumerate().filter(|(drive, _)| healthy.contains(*drive));
        drives.filter_map(|(drive, segments)| segments.reclaim(drive, floor)).collect()
    }
}

/// Where an entry lies.
#[derive(Debug)]
pub(crate) struct Located {
    pub name: GroupName,
    pub ordinal: usize,
    pub first_index: u64,
    pub count: u64,
    pub places: Vec<(usize, Place)>,
}

fn gather(parts: Vec<Bytes>) -> Vec<Bytes> {
    let bytes: usize = parts.iter().map(Bytes::len).sum();
    if parts.len() < PARTS_GATHERED_MIN || bytes / parts.len() > PART_GATHERED_BYTES_MAX {
        return parts;
    }
    let mut gathered = Vec::with_capacity(bytes);
    parts.iter().for_each(|part| gathered.extend_from_slice(part));
    vec![gathered.into()]
}
