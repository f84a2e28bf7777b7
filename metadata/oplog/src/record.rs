//! The records of the one sequence: what Raft and the state machine's keeper ask to have kept. To this crate their
//! payloads are opaque; only entry indexes mean something here.

use bytes::Bytes;
use minicbor::{Decode, Encode};

use crate::group::{GROUP_BODY_BYTES_MAX, finish128};

/// The most entries of one append.
pub const APPEND_ENTRIES_MAX: usize = 65_536;

/// The most bytes of a control record's payload (vote, committed, mark, purge). A mark names a set of runs, some 60 bytes
/// each.
pub const CONTROL_BYTES_MAX: usize = 128 << 10;

/// One thing to keep, in order with all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogRecord {
    /// Entries with consecutive indexes. The first follows the last entry that stands, or begins anew where none does.
    Append {
        /// The index of the first of them.
        first_index: u64,
        /// Their bytes, at least one entry.
        entries: Vec<Bytes>,
    },
    /// Entries from this index on are gone.
    Truncate {
        /// The first index that is gone.
        from_index: u64,
    },
    /// The newest vote; replaces the one before.
    Vote {
        /// Opaque, at most [`CONTROL_BYTES_MAX`].
        payload: Bytes,
    },
    /// What is known to be committed; replaces the one before.
    Committed {
        /// Opaque, at most [`CONTROL_BYTES_MAX`].
        payload: Bytes,
    },
    /// The whole set of runs that are the rows at an index; replaces the one before.
    Mark {
        /// Opaque, at most [`CONTROL_BYTES_MAX`].
        payload: Bytes,
    },
    /// Entries up to an index are not needed any more; replaces the one before.
    Purge {
        /// The last index that is gone.
        up_to_index: u64,
        /// Opaque, at most [`CONTROL_BYTES_MAX`]: what the caller wants to know about the last entry that is gone.
        payload: Bytes,
    },
}

/// What a group's head says about one record.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum RecordHead {
    /// Entries, whose bytes stand in the group's body.
    #[n(0)]
    Append {
        /// The index of the first of them.
        #[n(0)]
        first_index: u64,
        /// How long each is.
        #[n(1)]
        lengths: Vec<u32>,
        /// 128 bits of blake3 over all their bytes.
        #[n(2)]
        #[cbor(with = "minicbor::bytes")]
        hash: [u8; 16],
    },
    /// See [`LogRecord::Truncate`].
    #[n(1)]
    Truncate {
        /// The first index that is gone.
        #[n(0)]
        from_index: u64,
    },
    /// See [`LogRecord::Vote`].
    #[n(2)]
    Vote {
        /// Opaque.
        #[n(0)]
        payload: Payload,
    },
    /// See [`LogRecord::Committed`].
    #[n(3)]
    Committed {
        /// Opaque.
        #[n(0)]
        payload: Payload,
    },
    /// See [`LogRecord::Mark`].
    #[n(4)]
    Mark {
        /// Opaque.
        #[n(0)]
        payload: Payload,
    },
    /// See [`LogRecord::Purge`].
    #[n(5)]
    Purge {
        /// The last index that is gone.
        #[n(0)]
        up_to_index: u64,
        /// Opaque.
        #[n(1)]
        payload: Payload,
    },
}

/// A control record's payload, shared rather than copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload(pub Bytes);

impl<C> Encode<C> for Payload {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Payload {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let bytes = d.bytes()?;
        if bytes.len() > CONTROL_BYTES_MAX {
            return Err(minicbor::decode::Error::message("too long a payload"));
        }
        Ok(Self(Bytes::copy_from_slice(bytes)))
    }
}

/// A record that is larger than the log takes: split it, or send less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {found}, the log takes {max}")]
pub struct TooLarge {
    /// What is too large.
    pub what: &'static str,
    /// How large it is.
    pub found: u64,
    /// How large it may be.
    pub max: u64,
}

impl LogRecord {
    /// What goes into a group's head for this record, and the bytes that go into its body. This hashes the entries, the
    /// one time that it is done.
    pub fn split(self) -> Result<(RecordHead, Vec<Bytes>), TooLarge> {
        let bounded = |payload: Bytes| {
            let found = payload.len();
            let too_large =
                TooLarge { what: "bytes of a control record", found: found as u64, max: CONTROL_BYTES_MAX as u64 };
            if found > CONTROL_BYTES_MAX { Err(too_large) } else { Ok(Payload(payload)) }
        };
        let head = match self {
            Self::Append { first_index, entries } => return split_append(first_index, entries),
            Self::Truncate { from_index } => RecordHead::Truncate { from_index },
            Self::Vote { payload } => RecordHead::Vote { payload: bounded(payload)? },
            Self::Committed { payload } => RecordHead::Committed { payload: bounded(payload)? },
            Self::Mark { payload } => RecordHead::Mark { payload: bounded(payload)? },
            Self::Purge { up_to_index, payload } => RecordHead::Purge { up_to_index, payload: bounded(payload)? },
        };
        Ok((head, Vec::new()))
    }
}

fn split_append(first_index: u64, entries: Vec<Bytes>) -> Result<(RecordHead, Vec<Bytes>), TooLarge> {
    assert!(!entries.is_empty(), "an append brings at least one entry");
    if entries.len() > APPEND_ENTRIES_MAX {
        let found = entries.len() as u64;
        return Err(TooLarge { what: "entries of one append", found, max: APPEND_ENTRIES_MAX as u64 });
    }
    let bytes: u64 = entries.iter().map(|entry| entry.len() as u64).sum();
    if bytes > GROUP_BODY_BYTES_MAX as u64 {
        return Err(TooLarge { what: "bytes of one append", found: bytes, max: GROUP_BODY_BYTES_MAX as u64 });
    }
    let mut hasher = blake3::Hasher::new();
    let mut lengths = Vec::with_capacity(entries.len());
    for entry in &entries {
        hasher.update(entry);
        lengths.push(u32::try_from(entry.len()).expect("below the bound of the whole append"));
    }
    let head = RecordHead::Append { first_index, lengths, hash: finish128(&hasher) };
    Ok((head, entries))
}

impl RecordHead {
    /// How many bytes of the group's body are this record's.
    pub fn body_bytes(&self) -> u64 {
        match self {
            Self::Append { lengths, .. } => lengths.iter().map(|&length| u64::from(length)).sum(),
            _ => 0,
        }
    }

    /// No less than the bytes that it takes in a group's head.
    pub fn head_bytes_max(&self) -> usize {
        const FRAME: usize = 64;
        FRAME
            + match self {
                Self::Append { lengths, .. } => lengths.len() * 5,
                Self::Truncate { .. } => 0,
                Self::Vote { payload }
                | Self::Committed { payload }
                | Self::Mark { payload }
                | Self::Purge { payload, .. } => payload.0.len(),
            }
    }

    /// Whether these bytes are the ones that it was made for.
    pub fn verify(&self, body: &[u8]) -> bool {
        match self {
            Self::Append { hash, .. } => self.body_bytes() == body.len() as u64 && crate::group::hash128(body) == *hash,
            _ => body.is_empty(),
        }
    }

    /// The record again, from its head and its part of a verified body.
    pub fn join(&self, body: &Bytes) -> LogRecord {
        match self {
            Self::Append { first_index, .. } => {
                LogRecord::Append { first_index: *first_index, entries: self.entries(body) }
            }
            Self::Truncate { from_index } => LogRecord::Truncate { from_index: *from_index },
            Self::Vote { payload } => LogRecord::Vote { payload: payload.0.clone() },
            Self::Committed { payload } => LogRecord::Committed { payload: payload.0.clone() },
            Self::Mark { payload } => LogRecord::Mark { payload: payload.0.clone() },
            Self::Purge { up_to_index, payload } => {
                LogRecord::Purge { up_to_index: *up_to_index, payload: payload.0.clone() }
            }
        }
    }

    /// The entries of an append, cut out of its part of a verified body; none for other records.
    pub fn entries(&self, body: &Bytes) -> Vec<Bytes> {
        let Self::Append { lengths, .. } = self else { return Vec::new() };
        assert_eq!(self.body_bytes(), body.len() as u64, "a body is verified before it is cut");
        let mut at = 0;
        let mut entries = Vec::with_capacity(lengths.len());
        for &length in lengths {
            let end = at + length as usize;
            entries.push(body.slice(at..end));
            at = end;
        }
        entries
    }
}
