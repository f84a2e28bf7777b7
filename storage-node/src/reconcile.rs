//! Opening the chunk journal and bringing the index into agreement with it, before anything is served.
//!
//! ```text
//! journal: every record that is there, once -> index: known at this place? enter it if not
//!          all told, no error               -> index holds as many as were told: equal sets, done
//!          anything else                    -> index thrown away, an empty one, the journal once more
//! ```
//!
//! So nothing that an index remembers from an earlier start is believed: an entry that was lost is entered again, and
//! one that should have gone shows in the count.

use std::sync::Arc;

use cairn_core::{ChunkName, DriveId};
use cairn_journal::files::Files;
use cairn_journal::files::fitness::Fitness;
use cairn_journal::{
    BodyReader, Damage, DamageKind, Journal, JournalError, Options, Owner, Place, RecordHead, RecordInfo, Recovery,
};

use crate::drive_dir::DriveDir;
use crate::index::{ChunkIndex, IndexError, MemoryIndex, SledIndex, next_generation, open_generation};
use crate::options::IndexKind;
use crate::verify::{self, Unsound};

/// So many damaged places are named in the report; the others are counted.
const DAMAGED_NAMED_MAX: usize = 1024;

/// What was found when a drive was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// What the journal says about itself.
    pub recovery: Recovery,
    /// Chunks that were durable here and are not sound any more: to be rebuilt. At most 1,024 are named.
    pub damaged: Vec<ChunkName>,
    /// Records that are no chunk's. They are left alone.
    pub foreign_records: u64,
    /// Second records of one name, which a lost punch or a lost answer had left. They were given back.
    pub twins: u64,
    /// Why an index was thrown away and built anew, if one was.
    pub index_rebuilt: Option<String>,
    /// What its filesystem can do; none where that could not be tried, as on a full one.
    pub fitness: Option<Fitness>,
}

/// Why a drive could not be opened. Its directory is as it was, but for what the journal's recovery settled.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The journal cannot be opened: the cause says what to do. Where it is the disk, the drive has failed.
    #[error("the chunk journal of drive {drive} cannot be opened")]
    Journal {
        /// Which drive.
        drive: DriveId,
        /// Why.
        source: Box<JournalError>,
    },
    /// Its directory does not answer. The drive has failed, or is not mounted as it should be.
    #[error("the directory of drive {drive} cannot be used: {why}")]
    Directory {
        /// Which drive.
        drive: DriveId,
        /// What it answered.
        why: String,
    },
    /// The filesystem does not say how much room it has. The drive has failed, or is not mounted.
    #[error("the filesystem of drive {drive} cannot be asked for its space")]
    Space {
        /// Which drive.
        drive: DriveId,
        /// Its answer.
        source: std::io::Error,
    },
    /// A later release wrote chunks here. Start that release.
    #[error(
        "drive {drive} holds chunks of version {found}, this release knows up to {}",
        cairn_core::chunk::CHUNK_HEAD_VERSION
    )]
    Newer {
        /// Which drive.
        drive: DriveId,
        /// The version of their heads.
        found: u8,
    },
}

/// A journal and the index that agrees with it.
pub(crate) struct Agreed {
    pub journal: Journal,
    pub index: Box<dyn ChunkIndex>,
    pub chunks: u64,
    pub live_bytes: u64,
    pub report: OpenReport,
}

/// Opens the journal and an index that agrees with it. Blocks.
pub(crate) fn open(dir: &DriveDir, kind: IndexKind, options: &Options) -> Result<Agreed, OpenError> {
    let drive = dir.identity().drive;
    let fitness = examine(dir);
    let mut rebuilt = None;
    let mut candidate = Candidate::first(dir, kind, &mut rebuilt);
    loop {
        match attempt(drive, dir.files(), dir, options, candidate)? {
            Ok(mut agreed) => {
                agreed.report.index_rebuilt = rebuilt;
                agreed.report.fitness = fitness;
                return Ok(agreed);
            }
            Err(failed) => {
                tracing::warn!(%drive, why = failed.why, "the chunk index is thrown away and built anew");
                candidate = Candidate::next(dir, kind, failed.number, &failed.why);
                rebuilt = Some(failed.why);
            }
        }
    }
}

/// Tries the filesystem at each start, since a directory may have been moved to another one. That it cannot be tried is no
/// reason not to open the drive: the journal will say what matters.
fn examine(dir: &DriveDir) -> Option<Fitness> {
    let drive = dir.identity().drive;
    match Fitness::examine(&**dir.files(), dir.path()) {
        Ok(fitness) => {
            for lacks in fitness.lacks() {
                tracing::warn!(%drive, path = %dir.path().display(), lacks, "the filesystem is not as fit as it could be");
            }
            Some(fitness)
        }
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(%drive, error, "what the filesystem can do could not be tried");
            None
        }
    }
}

/// An index that is not believed yet.
struct Candidate {
    index: Box<dyn ChunkIndex>,
    /// Holds nothing, so whatever is met twice is in the journal twice.
    empty: bool,
    /// Its generation, where it has one.
    number: u64,
}

impl Candidate {
    fn in_memory() -> Self {
        Self { index: Box::new(MemoryIndex::default()), empty: true, number: 0 }
    }

    fn in_sled(index: SledIndex, number: u64, empty: bool) -> Self {
        Self { index: Box::new(index), empty, number }
    }

    fn first(dir: &DriveDir, kind: IndexKind, rebuilt: &mut Option<String>) -> Self {
        let IndexKind::Sled { cache_bytes } = kind else { return Self::in_memory() };
        match open_generation(&dir.index(), cache_bytes) {
            Ok(generation) => {
                let empty = generation.quarantined.is_some();
                *rebuilt = generation.quarantined;
                Self::in_sled(generation.index, generation.number, empty)
            }
            Err(error) => {
                // The chunks are sound; they are not given up for their index.
                tracing::error!(drive = %dir.identity().drive, error = &error as &dyn std::error::Error,
                    "the chunk index is kept in memory");
                *rebuilt = Some(error.to_string());
                Self::in_memory()
            }
        }
    }

    /// After a failure: an empty database, and memory when even an empty one failed.
    fn next(dir: &DriveDir, kind: IndexKind, failed: Option<u64>, why: &str) -> Self {
        let (IndexKind::Sled { cache_bytes }, Some(number)) = (kind, failed) else { return Self::in_memory() };
        match next_generation(&dir.index(), number, cache_bytes, why.to_owned()) {
            Ok(generation) => Self::in_sled(generation.index, generation.number, true),
            Err(error) => {
                tracing::error!(drive = %dir.identity().drive, error = &error as &dyn std::error::Error,
                    "the chunk index is kept in memory");
                Self::in_memory()
            }
        }
    }
}

/// Why an index does not agree, and its generation if an empty one may do better.
struct Disagreed {
    why: String,
    number: Option<u64>,
}

fn attempt(
    drive: DriveId,
    files: &Arc<dyn Files>,
    dir: &DriveDir,
    options: &Options,
    candidate: Candidate,
) -> Result<Result<Agreed, Disagreed>, OpenError> {
    let failed = |source| OpenError::Journal { drive, source: Box::new(source) };
    let mut told = Told::new(drive, candidate);
    let (mut journal, recovery) =
        Journal::open(files.clone(), &dir.chunks(), options.clone(), &mut told).map_err(failed)?;
    if let Some(found) = told.newer {
        return Err(OpenError::Newer { drive, found });
    }
    if let Err(why) = told.agreement() {
        // An empty database that fails is not tried a third time.
        let number = (!told.candidate.empty).then_some(told.candidate.number);
        return Ok(Err(Disagreed { why, number }));
    }
    for (name, place) in &told.twins {
        journal.punch(*place, &verify::record_name(name)).map_err(failed)?;
    }
    let report = OpenReport {
        recovery,
        damaged: told.damaged,
        foreign_records: told.foreign_records,
        twins: told.twins.len() as u64,
        index_rebuilt: None,
        fitness: None,
    };
    let (chunks, live_bytes) = (told.chunks, told.live_bytes);
    Ok(Ok(Agreed { journal, index: told.candidate.index, chunks, live_bytes, report }))
}

/// What the journal told, and the index that follows it.
struct Told {
    drive: DriveId,
    candidate: Candidate,
    chunks: u64,
    live_bytes: u64,
    twins: Vec<(ChunkName, Place)>,
    damaged: Vec<ChunkName>,
    foreign_records: u64,
    newer: Option<u8>,
    disagreement: Option<String>,
}

impl Told {
    fn new(drive: DriveId, candidate: Candidate) -> Self {
        Self {
            drive,
            candidate,
            chunks: 0,
            live_bytes: 0,
            twins: Vec::new(),
            damaged: Vec::new(),
            foreign_records: 0,
            newer: None,
            disagreement: None,
        }
    }

    fn agreement(&self) -> Result<(), String> {
        match &self.disagreement {
            Some(why) => Err(why.clone()),
            None => {
                let count = self.candidate.index.count().map_err(|error| error.to_string())?;
                let chunks = self.chunks;
                if count == chunks {
                    return Ok(());
                }
                Err(format!("it has {count} chunks where the journal has {chunks}"))
            }
        }
    }

    fn enter(&mut self, name: ChunkName, place: Place) -> Result<(), IndexError> {
        let index = &*self.candidate.index;
        // Looking is several times cheaper than entering, and most of what an earlier start left is right.
        if !self.candidate.empty && index.get(&name)? == Some(place) {
            self.chunks += 1;
            self.live_bytes += place.stored_bytes();
            return Ok(());
        }
        match index.insert(&name, place)? {
            None => {
                self.chunks += 1;
                self.live_bytes += place.stored_bytes();
            }
            Some(earlier) if self.candidate.empty => {
                assert_ne!(earlier, place, "the journal tells each place once");
                self.live_bytes += place.stored_bytes();
                self.live_bytes -= earlier.stored_bytes();
                self.twins.push((name, earlier));
            }
            // Out of date, or one of two records of that name: an empty index can tell them apart.
            Some(earlier) => self.disagreement = Some(format!("it has {name} at {earlier}, the journal at {place}")),
        }
        Ok(())
    }
}

impl Owner for Told {
    fn verify(&mut self, record: &RecordHead, body: &BodyReader<'_>) -> bool {
        let judged = verify::chunk_head(record).and_then(|head| verify::body(&head, |range| body.read(range)));
        match judged {
            Ok(()) => true,
            Err(Unsound::Newer { found }) => {
                // Kept, and the drive refused: what cannot be judged must not be cut.
                self.newer = Some(found);
                true
            }
            Err(Unsound::Damaged(what)) => {
                tracing::warn!(drive = %self.drive, record = ?record.info.place, what,
                    "a chunk at the end of the journal is not whole");
                false
            }
            Err(Unsound::Read(_)) => false,
        }
    }

    fn found(&mut self, record: &RecordInfo) {
        let Some(name) = verify::chunk_name(&record.name) else {
            self.foreign_records += 1;
            return;
        };
        if self.disagreement.is_some() {
            return;
        }
        if let Err(error) = self.enter(name, record.place) {
            self.disagreement = Some(error.to_string());
        }
    }

    fn damaged(&mut self, damage: &Damage) {
        if damage.kind == DamageKind::Torn {
            // The usual end of a journal whose process was killed; it was never acknowledged.
            tracing::debug!(drive = %self.drive, ?damage, "torn");
            return;
        }
        if self.damaged.len() < DAMAGED_NAMED_MAX {
            tracing::warn!(drive = %self.drive, ?damage, "damage in the chunk journal");
            self.damaged.extend(damage.name.as_ref().and_then(verify::chunk_name));
        }
    }
}
