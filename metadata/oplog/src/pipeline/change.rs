//! A new epoch while the log runs: no group is formed while its record is written, and the first group behind it is empty and
//! proves it. Decisions only; `changing` moves the bytes and says why the order is what it is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use cairn_core::{DriveId, Elapsed, EpochId};
use cairn_journal::{JournalError, Place};

use super::{Effects, Pipeline};
use crate::drive_set::DriveSet;
use crate::epoch::EpochRecord;
use crate::flight::Flight;
use crate::group::GroupNumber;
use crate::lineage::{Dropped, Lineage};
use crate::roster::Quorum;
use crate::segments::SegmentUse;

/// Epochs that may be given up one after the other without one that began: each is named by all that follow.
const GIVEN_UP_MAX: usize = 64;

/// An epoch that is being written.
#[derive(Debug)]
pub(super) struct Attempt {
    epoch: Arc<EpochRecord>,
    asked: DriveSet,
    took: BTreeMap<usize, Place>,
    refused: BTreeSet<usize>,
}

/// How far an epoch is that is being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Enough drives have synced its record, and whoever was asked has answered.
    Written,
    /// Enough drives have synced it, and some have not answered yet.
    Enough,
    /// Some have not answered yet whose word is needed.
    UnderWay,
    /// Too few can.
    Failed,
}

impl Pipeline {
    /// Another drive that can be written to, once it is in a roster. Its position.
    pub fn admit(&mut self, id: DriveId, dir: PathBuf, segments: SegmentUse) -> usize {
        let known = self.drives.iter().position(|drive| *drive == id);
        if let Some(position) = known {
            self.segments[position] = segments;
            return position;
        }
        self.drives.push(id);
        self.dirs.push(dir);
        self.segments.push(segments);
        self.drives.len() - 1
    }

    /// The position of a drive.
    pub fn position(&self, id: DriveId) -> Option<usize> {
        self.drives.iter().position(|drive| *drive == id)
    }

    /// The drives of a roster that are well, and those that are about to join it.
    pub fn members_of(&self, quorum: &Quorum, joining: DriveSet) -> DriveSet {
        let healthy = self.flight.healthy().iter().copied();
        healthy.chain(joining.iter()).filter(|&drive| quorum.contains(self.drives[drive])).collect()
    }

    /// Whether enough of a roster's drives are well, with some that are about to join it.
    pub fn can_hold(&self, quorum: &Quorum, joining: DriveSet) -> bool {
        self.members_of(quorum, joining).len() >= quorum.copies_len()
    }

    /// From now on no group is formed.
    pub fn pause(&mut self) {
        self.paused = true;
    }

    /// Whether everything formed is acknowledged, or never will be.
    pub fn is_still(&self) -> bool {
        self.under_way.is_empty()
    }

    /// An epoch behind the present one, where nothing is under way. `None` where too many were given up since one began.
    pub fn attempt(&mut self, quorum: Quorum) -> Option<Arc<EpochRecord>> {
        assert!(self.paused && self.is_still(), "an epoch ends with its last group");
        assert!(self.attempt.is_none(), "one epoch at a time is written");
        if self.given_up.len() >= GIVEN_UP_MAX {
            return None;
        }
        let kept = self.flight.acknowledged();
        let dropped = self.given_up.iter();
        let dropped = dropped.map(|given_up| Dropped { record: (**given_up).clone(), may_have_begun: false });
        let lineage = Lineage { base: Some((*self.epoch).clone()), dropped: dropped.collect() };
        let epoch = Arc::new(EpochRecord {
            id: quorum.epoch,
            identity: self.epoch.identity,
            ancestors: lineage.ancestors(kept),
            kept,
            floor: self.floor_acknowledged,
            quorum,
            witnesses: vec![self.epoch.quorum.clone()],
            forced: false,
        });
        let (took, refused) = (BTreeMap::new(), BTreeSet::new());
        self.attempt = Some(Attempt { epoch: epoch.clone(), asked: DriveSet::EMPTY, took, refused });
        Some(epoch)
    }

    /// A drive is about to be asked to sync the epoch's record.
    pub fn asks(&mut self, drive: usize) {
        self.attempt.as_mut().expect("an epoch is being written").asked.insert(drive);
    }

    /// What a drive says of an epoch's record. One that comes late is heard, too: its drive can be used from then on.
    pub fn took(
        &mut self,
        drive: usize,
        epoch: EpochId,
        result: Result<Place, Arc<JournalError>>,
        now: Elapsed,
        effects: &mut Effects,
    ) {
        match result {
            Ok(place) => {
                if let Some(attempt) = self.attempt.as_mut().filter(|attempt| attempt.epoch.id == epoch) {
                    attempt.took.insert(drive, place);
                } else if self.epoch.id == epoch {
                    self.segments[drive].took_epoch(place.segment);
                    let id = self.drives[drive];
                    let left = self.failed.iter().any(|failure| failure.drive == id);
                    if self.epoch.quorum.contains(id) && !left && !self.flight.healthy().contains(&drive) {
                        self.flight.returned(drive);
                        self.count_short();
                        effects.short |= self.short > 0;
                    }
                }
            }
            Err(source) => {
                if let Some(attempt) = self.attempt.as_mut().filter(|attempt| attempt.epoch.id == epoch) {
                    attempt.refused.insert(drive);
                }
                self.leave(drive, source, now, effects);
            }
        }
    }

    /// How far the epoch is. Those that join must all have it; the others, where they are asked, in as many as its quorums say.
    pub fn progress(&self, joining: DriveSet, quorums: bool) -> Progress {
        let attempt = self.attempt.as_ref().expect("an epoch is being written");
        let refused = joining.iter().any(|drive| attempt.refused.contains(&drive));
        if self.stopped.is_some() || refused {
            return Progress::Failed;
        }
        let has = |drive: DriveId| self.position(drive).is_some_and(|position| attempt.took.contains_key(&position));
        let mut asked = attempt.epoch.witnesses.iter().chain([&attempt.epoch.quorum]);
        let enough = joining.iter().all(|drive| attempt.took.contains_key(&drive))
            && (!quorums || asked.all(|quorum| quorum.holds(has)));
        let answered = |drive: usize| attempt.took.contains_key(&drive) || attempt.refused.contains(&drive);
        match (enough, attempt.asked.iter().all(answered)) {
            (true, true) => Progress::Written,
            (true, false) => Progress::Enough,
            (false, true) => Progress::Failed,
            (false, false) => Progress::UnderWay,
        }
    }

    /// The epoch that was written goes on. Its first group is empty, and comes before anything that waits: with it on r drives
    /// no start misses the epoch, and nothing behind it is acknowledged before.
    pub fn switch(&mut self, now: Elapsed, effects: &mut Effects) -> GroupNumber {
        let Attempt { epoch, took, .. } = self.attempt.take().expect("an epoch was written");
        assert!(self.paused && self.is_still(), "no group of the epoch before is under way");
        let acknowledged = self.flight.acknowledged();
        assert_eq!(acknowledged, epoch.kept, "everything of the epoch before is kept");
        assert_eq!(acknowledged, self.last_formed, "and nothing else was formed");
        for (&drive, place) in &took {
            self.segments[drive].took_epoch(place.segment);
        }
        let drives = &self.drives;
        let member = |drive: &usize| epoch.quorum.contains(drives[*drive]);
        // Those that were used stay in front, as long as they are quick.
        let mut healthy: Vec<usize> = self.flight.healthy().to_vec();
        let fails = |drive: usize| self.failed.iter().any(|failure| failure.drive == drives[drive]);
        let joined = took.keys().copied().filter(|drive| !healthy.contains(drive) && !fails(*drive));
        let joined: Vec<usize> = joined.collect();
        healthy.extend(joined);
        healthy.retain(|drive| took.contains_key(drive) && member(drive));
        self.full.retain(member);
        self.failed.retain(|failure| epoch.quorum.contains(failure.drive));
        self.copies = epoch.quorum.copies_len();
        self.flight = Flight::new(self.copies, healthy, acknowledged);
        self.epoch = epoch;
        self.given_up.clear();
        self.paused = false;
        self.form_group(Vec::new(), now, effects);
        let first = self.last_formed;
        self.form(now, effects);
        self.count_short();
        effects.short |= self.short > 0;
        first
    }

    /// Goes on in the present epoch. One that was being written is never begun: no group of it exists anywhere, and the next
    /// one says so.
    pub fn resume(&mut self, now: Elapsed, effects: &mut Effects) {
        if let Some(attempt) = self.attempt.take() {
            self.given_up.push(attempt.epoch);
        }
        if std::mem::take(&mut self.paused) {
            self.form(now, effects);
        }
    }
}
