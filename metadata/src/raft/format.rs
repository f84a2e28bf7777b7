//! What Raft keeps in the operation log, as bytes. Described in `docs/formats/raft.md`.
//!
//! ```text
//! entry       version (1) | kind (1) | term (8) | index (8) | blank: nothing; batch or membership: CBOR
//! everything else (vote, committed, purged, mark)       version (1) | CBOR with numbered fields
//! ```

use bytes::{BufMut, Bytes, BytesMut};
use cairn_core::{NodeId, WallTime};
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

/// The version that this release writes, and the newest that it reads.
const VERSION: u8 = 1;

/// How many bytes stand before an entry's payload.
pub(crate) const ENTRY_HEAD_BYTES: usize = 18;

/// The most voters and learners of one group.
pub(crate) const MEMBERS_MAX: usize = 64;

/// How many earlier marks are remembered, so that the log behind the newest can be kept as history and cut at them.
pub(crate) const CHECKPOINTS_MAX: usize = 256;

/// Bytes of the log that make no sense here. None of them can be passed over: the node stops and names them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// A newer release wrote it: start that release, or a newer one.
    #[error("a {what} of format version {found}, this release reads up to {VERSION}")]
    Newer {
        /// What was read.
        what: &'static str,
        /// The version found.
        found: u8,
    },
    /// Not what was written: the copies of the log were checked before, so this is a defect.
    #[error("a {what} that makes no sense: {reason}")]
    Malformed {
        /// What was read.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

fn malformed(what: &'static str, reason: impl ToString) -> FormatError {
    FormatError::Malformed { what, reason: reason.to_string() }
}

/// A place in the log: which leader's term wrote it, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub(crate) struct Position {
    /// The term.
    #[n(0)]
    pub(crate) term: u64,
    /// The index.
    #[n(1)]
    pub(crate) index: u64,
}

/// What an entry carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum EntryKind {
    /// Nothing: a leader's first.
    Blank = 0,
    /// A batch of operations.
    Batch = 1,
    /// Who votes.
    Membership = 2,
}

/// An empty entry of a batch, to which the batch's bytes are appended; its head is filled in when the log gives it a
/// place.
pub(crate) fn begin_entry(capacity: usize) -> Vec<u8> {
    let mut frame = Vec::with_capacity(ENTRY_HEAD_BYTES + capacity);
    frame.resize(ENTRY_HEAD_BYTES, 0);
    frame
}

/// Writes the head of an entry in front of its payload. In place, unless somebody else holds the bytes; and not at all
/// where it stands there already, as in entries that come from another voter.
pub(crate) fn finish_entry(frame: Bytes, kind: EntryKind, position: Position) -> Bytes {
    assert!(frame.len() >= ENTRY_HEAD_BYTES, "an entry begins with room for its head");
    if read_entry_head(&frame).is_ok_and(|found| found == (kind, position)) {
        return frame;
    }
    let mut frame = frame.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
    let mut head = &mut frame[..ENTRY_HEAD_BYTES];
    head.put_u8(VERSION);
    head.put_u8(kind as u8);
    head.put_u64(position.term);
    head.put_u64(position.index);
    frame.freeze()
}

/// The head of an entry that was read. Its payload is what follows.
pub(crate) fn read_entry_head(frame: &[u8]) -> Result<(EntryKind, Position), FormatError> {
    let what = "log entry";
    let head = frame.first_chunk::<ENTRY_HEAD_BYTES>().ok_or_else(|| malformed(what, "cut short"))?;
    let [version, kind, t0, t1, t2, t3, t4, t5, t6, t7, i0, i1, i2, i3, i4, i5, i6, i7] = *head;
    check_version(what, version)?;
    let kind = match kind {
        0 => EntryKind::Blank,
        1 => EntryKind::Batch,
        2 => EntryKind::Membership,
        other => return Err(malformed(what, format!("kind {other}"))),
    };
    let position = Position {
        term: u64::from_be_bytes([t0, t1, t2, t3, t4, t5, t6, t7]),
        index: u64::from_be_bytes([i0, i1, i2, i3, i4, i5, i6, i7]),
    };
    if kind == EntryKind::Blank && frame.len() != ENTRY_HEAD_BYTES {
        return Err(malformed(what, "bytes behind a blank one"));
    }
    Ok((kind, position))
}

fn check_version(what: &'static str, version: u8) -> Result<(), FormatError> {
    match version {
        VERSION => Ok(()),
        0 => Err(malformed(what, "version 0")),
        found => Err(FormatError::Newer { what, found }),
    }
}

/// An entry's payload.
#[derive(Debug)]
pub(crate) enum KeptEntry<'a> {
    /// Nothing.
    Blank,
    /// An encoded batch.
    Batch(&'a [u8]),
    /// Who takes part.
    Membership(KeptMembership),
}

/// An entry as it is kept, read whole.
pub(crate) fn kept_entry(frame: &[u8]) -> Result<(Position, KeptEntry<'_>), FormatError> {
    let (kind, position) = read_entry_head(frame)?;
    let payload = &frame[ENTRY_HEAD_BYTES..];
    let entry = match kind {
        EntryKind::Blank => KeptEntry::Blank,
        EntryKind::Batch => KeptEntry::Batch(payload),
        EntryKind::Membership => KeptEntry::Membership(KeptMembership::read(payload)?),
    };
    Ok((position, entry))
}

/// Something that is kept as a version and CBOR.
pub(crate) trait Kept: Encode<()> + for<'b> Decode<'b, ()> {
    /// What a person calls it.
    const WHAT: &'static str;

    /// What must hold of it beyond its shape.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// The persisted form.
    fn to_bytes(&self) -> Bytes {
        let mut bytes = vec![VERSION];
        minicbor::encode(self, &mut bytes).expect("a vector takes every byte");
        bytes.into()
    }

    /// The inverse of [`Self::to_bytes`]; refuses what is newer, cut short or followed by more.
    fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        let (&version, body) = bytes.split_first().ok_or_else(|| malformed(Self::WHAT, "empty"))?;
        check_version(Self::WHAT, version)?;
        Self::read(body)
    }

    /// Reads the CBOR alone: inside an entry the version stands in the head.
    fn read(body: &[u8]) -> Result<Self, FormatError> {
        let mut decoder = minicbor::Decoder::new(body);
        let value: Self = decoder.decode().map_err(|error| malformed(Self::WHAT, error))?;
        if decoder.position() != body.len() {
            return Err(malformed(Self::WHAT, "bytes behind its end"));
        }
        value.check().map_err(|reason| malformed(Self::WHAT, reason))?;
        Ok(value)
    }
}

/// Whom this voter has voted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(crate) struct KeptVote {
    /// In which term.
    #[n(0)]
    pub(crate) term: u64,
    /// Whom.
    #[n(1)]
    pub(crate) voted_for: u64,
    /// Whether that one is known to have won.
    #[n(2)]
    pub(crate) committed: bool,
}

impl Kept for KeptVote {
    const WHAT: &'static str = "vote";
}

/// Up to where the log is known to be committed, or up to where it was purged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(crate) struct KeptPosition {
    /// The last entry meant.
    #[n(0)]
    pub(crate) last: Position,
}

impl Kept for KeptPosition {
    const WHAT: &'static str = "log position";
}

/// Who votes and who learns.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct KeptMembership {
    /// The sets of voters, of which a majority each decides: one, or two while they change.
    #[n(0)]
    pub(crate) voters: Vec<Vec<u64>>,
    /// All members, learners included, and the nodes that they run on.
    #[n(1)]
    pub(crate) members: Vec<Member>,
}

impl KeptMembership {
    /// Each member's id, its node, and whether it votes.
    pub(crate) fn parts(&self) -> Vec<(u64, NodeId, bool)> {
        let votes = |id: u64| self.voters.iter().flatten().any(|voter| *voter == id);
        self.members.iter().map(|member| (member.id, member.node, votes(member.id))).collect()
    }
}

/// One member of the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Member {
    /// The id under which it votes.
    #[n(0)]
    pub(crate) id: u64,
    /// The node that it runs on.
    #[n(1)]
    pub(crate) node: NodeId,
}

impl Kept for KeptMembership {
    const WHAT: &'static str = "membership";

    fn check(&self) -> Result<(), String> {
        if self.voters.len() > 2 || self.members.len() > MEMBERS_MAX {
            return Err(format!("{} sets of voters, {} members", self.voters.len(), self.members.len()));
        }
        let known = |id: &u64| self.members.iter().any(|member| member.id == *id);
        match self.voters.iter().flatten().find(|id| !known(id)) {
            Some(stranger) => Err(format!("voter {stranger} is no member")),
            None => Ok(()),
        }
    }
}

/// A mark of the past at which the log can be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Checkpoint {
    /// The last entry in that mark's runs.
    #[n(0)]
    pub(crate) last: Position,
    /// The leader's calendar there.
    #[n(1)]
    pub(crate) time: WallTime,
    /// How many bytes of entries there had been, from the beginning of the log.
    #[n(2)]
    pub(crate) log_bytes: u64,
}

/// What is applied, beside the rows: everything that a start needs to go on behind a set of runs.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct AppliedState {
    /// The last entry that is in the rows; none before the first.
    #[n(0)]
    pub(crate) last: Option<Position>,
    /// The newest membership among the applied entries, and where it stands.
    #[n(1)]
    pub(crate) membership: Option<(Position, KeptMembership)>,
    /// blake3 over the hash before, the index and the effects of each entry in turn: voters compare it, and a simulation
    /// that runs twice.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub(crate) effects_hash: [u8; 32],
    /// The time of the last batch. The leader never assigns an earlier one.
    #[n(3)]
    pub(crate) time: WallTime,
    /// How many bytes of entries there have been, from the beginning of the log.
    #[n(4)]
    pub(crate) log_bytes: u64,
    /// The time that the leader was sure of then, where that is another one.
    #[n(5)]
    pub(crate) sure: Option<WallTime>,
}

impl Default for AppliedState {
    fn default() -> Self {
        Self { last: None, membership: None, effects_hash: [0; 32], time: WallTime(0), log_bytes: 0, sure: None }
    }
}

impl AppliedState {
    /// The time that the leader was sure of.
    pub(crate) fn sure_time(&self) -> WallTime {
        self.sure.unwrap_or(self.time)
    }
}

/// The newest set of runs, and what was applied when they were cut.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Mark {
    /// The encoded set of runs.
    #[n(0)]
    pub(crate) run_set: ByteVec,
    /// What was applied.
    #[n(1)]
    pub(crate) applied: AppliedState,
    /// Earlier marks behind which the log still stands, oldest first.
    #[n(2)]
    pub(crate) checkpoints: Vec<Checkpoint>,
}

impl Kept for Mark {
    const WHAT: &'static str = "mark";

    fn check(&self) -> Result<(), String> {
        if let Some((_, membership)) = &self.applied.membership {
            membership.check()?;
        }
        if self.checkpoints.len() > CHECKPOINTS_MAX {
            return Err(format!("{} checkpoints", self.checkpoints.len()));
        }
        let ordered = self.checkpoints.windows(2).all(|pair| pair[0].last.index < pair[1].last.index);
        if ordered { Ok(()) } else { Err("checkpoints out of order".into()) }
    }
}

#[cfg(test)]
mod tests;
