//! The log on one drive while the log starts: its journal, what is in it, and where.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use cairn_core::{DriveId, Entropy, EpochId};
use cairn_journal::{
    Append, BodyReader, Damage, DamageKind, Journal, JournalError, Options as JournalOptions, Owner, Place, Reader,
    RecordHead, RecordInfo,
};

use crate::epoch::{EpochDecodeError, EpochRecord};
use crate::error::OpLogError;
use crate::finding::{DriveFinding, GroupFound};
use crate::group::{GroupDecodeError, GroupDigest, GroupHead, GroupName, GroupNumber, StoredName};
use crate::options::{LOG_DIR, LogDrive, OWNER, Options};

/// The log on one drive.
#[derive(Debug)]
pub(crate) struct DriveLog {
    pub drive: LogDrive,
    pub places: Places,
    journal: Option<Journal>,
    options: JournalOptions,
}

/// Where a drive's records lie, and which segments are still needed.
#[derive(Debug, Default)]
pub(crate) struct Places {
    groups: HashMap<GroupName, Place>,
    epochs: HashMap<EpochId, Place>,
}

impl Places {
    pub fn group(&self, name: GroupName) -> Option<Place> {
        self.groups.get(&name).copied()
    }

    pub fn epoch(&self, epoch: EpochId) -> Option<Place> {
        self.epochs.get(&epoch).copied()
    }

    /// For each segment the highest of its groups that counts.
    pub fn highest(&self, counts: impl Fn(GroupName) -> bool) -> BTreeMap<u32, GroupNumber> {
        let mut highest: BTreeMap<u32, GroupNumber> = BTreeMap::new();
        for (&name, place) in self.groups.iter().filter(|(name, _)| counts(**name)) {
            let segment = highest.entry(place.segment).or_default();
            *segment = name.number.max(*segment);
        }
        highest
    }
}

/// A drive that could not be looked at.
#[derive(Debug)]
pub(crate) enum LookError {
    /// It fails: as good as missing.
    Failed(Arc<JournalError>),
    /// Going on would be wrong.
    Fatal(OpLogError),
}

/// Collects what the journal says about itself.
#[derive(Default)]
struct Finder {
    records: Vec<RecordInfo>,
    damages: Vec<Damage>,
}

impl Owner for Finder {
    fn verify(&mut self, record: &RecordHead, body: &BodyReader<'_>) -> bool {
        match StoredName::decode(&record.info.name) {
            Some(StoredName::Epoch(_)) => body.body_bytes() == 0,
            Some(StoredName::Group(_)) => match GroupHead::decode(&record.head) {
                Ok(head) if head.body_bytes() == body.body_bytes() => {
                    body.read(0..body.body_bytes()).is_ok_and(|bytes| head.verify(&bytes))
                }
                Ok(_) | Err(GroupDecodeError::Malformed(_)) => false,
                // Not ours to judge: the start is refused when the head is met again.
                Err(GroupDecodeError::Newer { .. }) => true,
            },
            None => true,
        }
    }

    fn found(&mut self, record: &RecordInfo) {
        self.records.push(*record);
    }

    fn damaged(&mut self, damage: &Damage) {
        self.damages.push(*damage);
    }
}

impl DriveLog {
    /// Opens what is there. Where no log is, nothing is made yet.
    pub fn look(
        drive: LogDrive,
        options: &Options,
        entropy: &Arc<dyn Entropy>,
    ) -> Result<(Self, DriveFinding), LookError> {
        let mut journal_options = JournalOptions::new(OWNER, options.clock.clone(), entropy.clone());
        journal_options.segment_bytes = options.segment_bytes;
        journal_options.reserve_bytes = options.reserve_bytes;
        let mut finding = DriveFinding::empty(drive.id);
        let mut log = Self { drive, places: Places::default(), journal: None, options: journal_options };
        match log.drive.files.list(&log.dir()) {
            Ok(_) => {}
            Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok((log, finding)),
            Err(source) => {
                let error = JournalError::Io { operation: "list", path: log.dir(), source };
                return Err(LookError::Failed(Arc::new(error)));
            }
        }
        let mut finder = Finder::default();
        log.open(&mut finder)?;
        for record in &finder.records {
            log.take_in(record, &mut finding)?;
        }
        note_damages(&finder.damages, &mut finding);
        Ok((log, finding))
    }

    /// Where its journal lies.
    pub fn dir(&self) -> PathBuf {
        self.drive.dir.join(LOG_DIR)
    }

    fn open(&mut self, finder: &mut Finder) -> Result<(), LookError> {
        let opened = Journal::open(self.drive.files.clone(), &self.dir(), self.options.clone(), finder);
        let (journal, recovery) = opened.map_err(|error| match error {
            JournalError::Newer { .. } | JournalError::Foreign { .. } => {
                LookError::Fatal(OpLogError::Unusable { drive: self.drive.id, source: Arc::new(error) })
            }
            error => LookError::Failed(Arc::new(error)),
        })?;
        tracing::debug!(drive = %self.drive.id, ?recovery, "opened the log's journal");
        self.journal = Some(journal);
        Ok(())
    }

    fn take_in(&mut self, record: &RecordInfo, finding: &mut DriveFinding) -> Result<(), LookError> {
        let fatal = |error| Err(LookError::Fatal(error));
        let reader = self.journal.as_ref().expect("it was opened").reader();
        let drive = self.drive.id;
        let head = match reader.read_head(record.place, &record.name) {
            Ok(head) => head.head,
            Err(error) => {
                tracing::warn!(%drive, %error, "a record of the log cannot be read");
                note_lost(StoredName::decode(&record.name), finding);
                return Ok(());
            }
        };
        match StoredName::decode(&record.name) {
            Some(StoredName::Epoch(id)) => match EpochRecord::decode(&head) {
                Ok(epoch) if epoch.id == id => {
                    self.places.epochs.insert(id, record.place);
                    finding.epochs.push(epoch);
                }
                Err(source @ EpochDecodeError::Newer { .. }) => return fatal(OpLogError::NewerEpoch { drive, source }),
                Ok(_) | Err(EpochDecodeError::Malformed(_)) => finding.incomplete = true,
            },
            Some(StoredName::Group(name)) => match GroupHead::decode(&head) {
                Ok(group) if group.name() == name && group.body_bytes() == record.body_bytes() => {
                    self.places.groups.insert(name, record.place);
                    finding.groups.push(found(&group, &head));
                }
                Err(source @ GroupDecodeError::Newer { .. }) => return fatal(OpLogError::NewerGroup { drive, source }),
                Ok(_) | Err(GroupDecodeError::Malformed(_)) => finding.damaged.push(name),
            },
            // Something of this log's that this release has no word for.
            None => finding.incomplete = true,
        }
        Ok(())
    }

    /// The journal, made where there is none.
    fn journal(&mut self) -> Result<&mut Journal, Arc<JournalError>> {
        if self.journal.is_none() {
            self.open(&mut Finder::default()).map_err(|error| match error {
                LookError::Failed(source) => source,
                LookError::Fatal(error) => unreachable!("an empty directory is of no release: {error}"),
            })?;
        }
        Ok(self.journal.as_mut().expect("it was just opened"))
    }

    /// Makes the journal where there is none yet.
    pub fn begin(&mut self) -> Result<(), Arc<JournalError>> {
        self.journal().map(|_| ())
    }

    /// Writes and syncs records under their names.
    pub fn append(&mut self, records: Vec<(StoredName, Append)>) -> Result<(), Arc<JournalError>> {
        let (names, appends): (Vec<_>, Vec<_>) = records.into_iter().unzip();
        let places = self.journal()?.append_group(appends).map_err(Arc::new)?;
        for (name, place) in names.into_iter().zip(places) {
            match name {
                StoredName::Epoch(epoch) => drop(self.places.epochs.insert(epoch, place)),
                StoredName::Group(name) => drop(self.places.groups.insert(name, place)),
            }
        }
        Ok(())
    }

    /// A whole group, verified; or what is wrong with it.
    pub fn read_group(&self, name: GroupName) -> Result<StoredGroup, String> {
        let place = self.places.group(name).ok_or_else(|| "is not there".to_owned())?;
        let journal = self.journal.as_ref().ok_or_else(|| "has no log".to_owned())?;
        read_group(journal.reader(), place, name)
    }

    /// A group's head.
    pub fn read_head(&self, name: GroupName) -> Result<GroupHead, String> {
        let place = self.places.group(name).ok_or_else(|| "is not there".to_owned())?;
        let journal = self.journal.as_ref().ok_or_else(|| "has no log".to_owned())?;
        let record = journal.reader().read_head(place, &StoredName::Group(name).encode()).map_err(|e| e.to_string())?;
        GroupHead::decode(&record.head).map_err(|e| e.to_string())
    }

    /// The parts that a running log needs: a drive without a journal has none.
    pub fn into_parts(self) -> (DriveId, Option<Journal>, Places) {
        (self.drive.id, self.journal, self.places)
    }
}

fn found(group: &GroupHead, head: &[u8]) -> GroupFound {
    GroupFound {
        name: group.name(),
        acknowledged: group.acknowledged,
        floor: group.floor,
        digest: GroupDigest::of(head),
    }
}

fn note_damages(damages: &[Damage], finding: &mut DriveFinding) {
    for damage in damages {
        match damage.kind {
            // Behind the last sync that was answered: nobody was told that it is there.
            DamageKind::Torn => {}
            DamageKind::Damaged | DamageKind::Unreadable => {
                note_lost(damage.name.as_ref().and_then(StoredName::decode), finding);
            }
        }
    }
}

fn note_lost(name: Option<StoredName>, finding: &mut DriveFinding) {
    match name {
        Some(StoredName::Group(name)) => finding.damaged.push(name),
        Some(StoredName::Epoch(_)) | None => finding.incomplete = true,
    }
}

/// A group as it lies on a drive.
#[derive(Debug, Clone)]
pub(crate) struct StoredGroup {
    /// What it says of itself.
    pub head: GroupHead,
    /// The head's persisted form.
    pub head_bytes: Bytes,
    /// The entries.
    pub body: Bytes,
}

impl StoredGroup {
    /// To be written unchanged to another drive.
    pub fn to_append(&self) -> Append {
        let name = StoredName::Group(self.head.name()).encode();
        Append::new(name, self.head_bytes.clone(), vec![self.body.clone()])
    }

    /// The part of the body that belongs to one of the records.
    pub fn body_of(&self, ordinal: usize) -> Bytes {
        let bytes = |records: &[crate::record::RecordHead]| {
            let bytes: u64 = records.iter().map(crate::record::RecordHead::body_bytes).sum();
            usize::try_from(bytes).expect("bounded when it was decoded")
        };
        let start = bytes(&self.head.records[..ordinal]);
        self.body.slice(start..start + bytes(&self.head.records[ordinal..=ordinal]))
    }
}

/// Reads a whole group and verifies it. Blocks.
pub(crate) fn read_group(reader: &Reader, place: Place, name: GroupName) -> Result<StoredGroup, String> {
    let record = reader.read_record(place, &StoredName::Group(name).encode()).map_err(|e| e.to_string())?;
    check_group(record, name)
}

/// Verifies what was read of a group.
pub(crate) fn check_group(record: cairn_journal::Record, name: GroupName) -> Result<StoredGroup, String> {
    let head = GroupHead::decode(&record.head.head).map_err(|e| e.to_string())?;
    if head.name() != name {
        return Err(format!("holds {}", head.name()));
    }
    if !head.verify(&record.body) {
        return Err("its entries are not those that were written".to_owned());
    }
    Ok(StoredGroup { head, head_bytes: record.head.head, body: record.body })
}
