//! The epoch: one start of the log on one roster of drives. Its record is what every later start judges all other finds
//! by, so it names everything that the judgement needs: whose log it is, which epochs came before and how much of each
//! counts, how many copies a group has, and on which drives.
//!
//! Persisted as a version byte and one CBOR array (`docs/formats/oplog.md`).

use core::fmt;

use cairn_core::{ClusterId, DriveId, EpochId, NodeId};
use minicbor::{Decode, Encode};

use crate::group::{GroupName, GroupNumber};
use crate::roster::Quorum;

/// The version of an epoch's record that this release writes, and the newest that it reads.
pub const EPOCH_VERSION: u8 = 1;

/// The most ancestors that an epoch names. Above that the oldest are forgotten: a drive that returns after so many starts
/// is then refused by name instead of being recognised as stale. 16,384 starts are 45 years of daily restarts, and half of
/// what a record's head may hold.
pub const ANCESTORS_MAX: usize = 16_384;

/// The most drives that a roster names: twice the copies is all that is ever chosen, and copies fit a byte.
pub const ROSTER_MAX: usize = 256;

/// The most older quorums that one epoch is synced on: its base's, and those of attempts cut short.
pub const WITNESSES_MAX: usize = 64;

/// The voter whose log it is: the log index at which it joined. A voter that comes back under a new id starts a new log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct VoterId(#[n(0)] pub u64);

impl fmt::Display for VoterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for VoterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "voter {self}")
    }
}

/// Whose log it is. A drive that carries another's is left alone: its chunks are served, its log is not touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub struct LogIdentity {
    /// The cluster whose log it is a copy of.
    #[n(0)]
    pub cluster: ClusterId,
    /// The process that keeps it.
    #[n(1)]
    pub node: NodeId,
    /// The seat that it votes from.
    #[n(2)]
    pub voter: VoterId,
}

/// An earlier epoch, and which of its groups count. All others of its groups are void wherever they turn up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Ancestor {
    /// Its name.
    #[n(0)]
    pub epoch: EpochId,
    /// The first of its groups that counts.
    #[n(1)]
    pub first: GroupNumber,
    /// The last of its groups that counts; below [`Self::first`] where none does.
    #[n(2)]
    pub last: GroupNumber,
    /// Whether an operator's word stood in for drives when it was made, see [`EpochRecord::forced`].
    #[n(3)]
    pub forced: bool,
}

impl Ancestor {
    /// An epoch none of whose groups count: an attempt cut short, or one whose groups were all abandoned.
    pub const fn void(epoch: EpochId, forced: bool) -> Self {
        Self { epoch, first: GroupNumber(1), last: GroupNumber(0), forced }
    }
}

/// One start of the log.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct EpochRecord {
    /// 64 random bits.
    #[n(0)]
    pub id: EpochId,
    /// Whose log it is.
    #[n(1)]
    pub identity: LogIdentity,
    /// The epochs before this one, oldest first; the base that it goes on from is among them.
    #[n(2)]
    pub ancestors: Vec<Ancestor>,
    /// The last group taken over from them; this epoch's own numbers begin behind it. Everything from the floor to here
    /// lay on [`Quorum::copies`] drives of the roster before this record was written anywhere.
    #[n(3)]
    pub kept: GroupNumber,
    /// The first group that is still needed: those below it have been purged.
    #[n(4)]
    pub floor: GroupNumber,
    /// How many drives sync a group before it is acknowledged, and which drives take part.
    #[n(5)]
    pub quorum: Quorum,
    /// The older quorums that had to sync this record before any group was written under it.
    #[n(6)]
    pub witnesses: Vec<Quorum>,
    /// Whether an operator's word stood in for drives that were not there. Such an epoch may have a rival.
    #[n(7)]
    pub forced: bool,
}

/// Bytes that are no epoch's record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EpochDecodeError {
    /// A newer release wrote it: run that release, or a newer one.
    #[error("the operation log's epoch has format version {found}, this release reads up to {EPOCH_VERSION}")]
    Newer {
        /// The version found.
        found: u8,
    },
    /// Not the record that was written: take another copy.
    #[error("not an epoch's record: {0}")]
    Malformed(String),
}

impl EpochRecord {
    /// The persisted form.
    pub fn encode(&self) -> Vec<u8> {
        self.check().expect("only epochs that hold together are made");
        let mut bytes = vec![EPOCH_VERSION];
        minicbor::encode(self, &mut bytes).expect("writing to memory cannot fail");
        bytes
    }

    /// The inverse of [`Self::encode`]. Refuses what a newer release wrote, what is cut short or followed by more, and
    /// what does not hold together.
    pub fn decode(bytes: &[u8]) -> Result<Self, EpochDecodeError> {
        let malformed = |what: &dyn fmt::Display| EpochDecodeError::Malformed(what.to_string());
        let (&version, body) = bytes.split_first().ok_or_else(|| malformed(&"empty"))?;
        if version > EPOCH_VERSION {
            return Err(EpochDecodeError::Newer { found: version });
        }
        if version == 0 {
            return Err(malformed(&"version 0"));
        }
        let mut decoder = minicbor::Decoder::new(body);
        let record: Self = decoder.decode().map_err(|e| malformed(&e))?;
        if decoder.position() != body.len() {
            return Err(malformed(&"bytes behind its end"));
        }
        record.check().map_err(|what| malformed(&what))?;
        Ok(record)
    }

    fn check(&self) -> Result<(), &'static str> {
        self.quorum.check()?;
        if self.ancestors.len() > ANCESTORS_MAX {
            return Err("too many ancestors");
        }
        if self.witnesses.len() > WITNESSES_MAX {
            return Err("too many witnesses");
        }
        for witness in &self.witnesses {
            witness.check()?;
        }
        if self.ancestors.iter().any(|ancestor| ancestor.epoch == self.id) {
            return Err("its own ancestor");
        }
        if self.ancestors.iter().any(|ancestor| ancestor.last > self.kept) {
            return Err("an ancestor's group above the last one kept");
        }
        if self.kept.0 == u64::MAX || self.floor.0 == 0 || self.floor > self.kept.next() {
            return Err("a floor outside the groups kept");
        }
        Ok(())
    }

    /// Whether another epoch came before this one.
    pub fn descends_from(&self, epoch: EpochId) -> bool {
        self.ancestors.iter().any(|ancestor| ancestor.epoch == epoch)
    }

    /// Whether a group belongs to this epoch's history. All others of its ancestors' groups are void.
    pub fn counts(&self, name: GroupName) -> bool {
        if name.epoch == self.id {
            return name.number > self.kept;
        }
        self.ancestors.iter().any(|a| a.epoch == name.epoch && (a.first..=a.last).contains(&name.number))
    }

    /// How many of the roster's drives may be missing at a start: one less than a group has copies, so that each
    /// acknowledged group is found on one of the others.
    pub fn missing_max(&self) -> usize {
        self.quorum.copies_len() - 1
    }

    /// The roster's drives that are not among those given.
    pub fn missing(&self, present: impl Fn(DriveId) -> bool) -> Vec<DriveId> {
        self.quorum.roster.iter().copied().filter(|&drive| !present(drive)).collect()
    }
}

#[cfg(test)]
mod tests;
