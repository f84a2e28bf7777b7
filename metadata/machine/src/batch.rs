//! What one entry of the log carries, and how it becomes bytes.

use bytes::Bytes;
use cairn_core::{SessionId, WallTime};
use minicbor::{Decode, Encode};

use crate::operation::Operation;
use crate::row::{read_cbor, write_cbor};

/// The version of the state machine's function that this release knows. The second one added operations (uploads, copies of
/// ranges, tags, configurations), the third one more (nodes, members of the log), the fourth more again (locks, access
/// control lists), and none changed anything for the others. The fifth one lets locks end by a time of their own
/// ([`Batch::sure`]), and is the first that an operation raises a cluster to.
pub const FUNCTION_VERSION: u8 = 5;

/// The last version that nothing raised a cluster to: until then all nodes changed their release at once, and a cluster's row
/// names the version that it was formed with. Its entries are of this one at least.
pub const FUNCTION_NEVER_RAISED: u8 = 4;

/// The first version in which locks end by [`Batch::sure`], and which [`Operation::RaiseFunction`] belongs to.
pub(crate) const FUNCTION_OF_SURE_TIME: u8 = 5;

/// The most operations in one proposal: what DeleteObjects asks for, with room for the stripes around.
pub const PROPOSAL_OPERATIONS_MAX: usize = 4096;

/// The most operations in one entry: each has an ordinal of 16 bits, which versions and buckets are named by.
pub const ENTRY_OPERATIONS_MAX: usize = 65_536;

/// What one entry of the log carries.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Batch {
    /// The version of the function that must be applied; an unknown one stops the node.
    #[n(0)]
    pub function: u8,
    /// The leader's calendar when it took the batch.
    #[n(1)]
    pub time: WallTime,
    /// What was asked for, in order.
    #[n(2)]
    pub proposals: Vec<Proposal>,
    /// What the time is at least, where the leader is less sure of its calendar: locks end by this one. It is never later than
    /// `time`, and none where it is the same.
    #[n(3)]
    pub sure: Option<WallTime>,
}

/// One request of one session: its operations, in order.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Proposal {
    /// Whose request it is, so that a repeat has one effect. None for what has the same effect when it is repeated
    /// ([`Operation::needs_no_session`]): it may be proposed before a session exists.
    #[n(0)]
    pub request: Option<RequestId>,
    /// What it asks for.
    #[n(1)]
    pub operations: Vec<Operation>,
    /// On whose behalf, where somebody outside asked. It decides nothing: it is there for whoever reads the log.
    #[n(2)]
    pub authors: Option<Vec<Author>>,
}

/// The most bytes of an author's name: an access key's id has fewer.
pub const AUTHOR_BYTES_MAX: usize = 128;

/// Somebody who asked for operations of a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Author {
    /// From which operation of the proposal on, until the next author's first.
    #[n(0)]
    pub first: u16,
    /// The access key that signed the request; empty where nobody signed it. None for what the server did by itself.
    #[n(1)]
    pub key: Option<String>,
}

impl Author {
    /// Whether a list of authors is one that a proposal of so many operations may have.
    pub fn are_sound(authors: &[Self], operations: usize) -> bool {
        let rising = authors.windows(2).all(|pair| pair[0].first < pair[1].first);
        let within = authors.iter().all(|author| usize::from(author.first) < operations);
        let short = |author: &Self| author.key.as_ref().is_none_or(|key| key.len() <= AUTHOR_BYTES_MAX);
        !authors.is_empty() && rising && within && authors.iter().all(short)
    }
}

impl Proposal {
    /// On whose behalf an operation was asked for.
    pub fn author(&self, operation: usize) -> Option<&str> {
        let authors = self.authors.as_deref().unwrap_or_default();
        let begun = authors.iter().take_while(|author| usize::from(author.first) <= operation);
        begun.last()?.key.as_deref()
    }
}

/// The number of a session's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct RequestId {
    /// Which session.
    #[n(0)]
    pub session: SessionId,
    /// Grows by one with each request.
    #[n(1)]
    pub number: u64,
    /// The lowest number that is still unanswered: nothing below it is applied any more.
    #[n(2)]
    pub lowest_unanswered: u64,
}

/// Bytes that are not a batch that this release can apply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBatch {
    /// Cut off, foreign or nonsensical. The log is damaged: the node stops.
    #[error("malformed entry: {0}")]
    Malformed(String),
    /// Meant for a later version of the state machine's function. Start the release that knows it.
    #[error("entry for version {found} of the state machine, this release knows up to {FUNCTION_VERSION}")]
    NewerFunction {
        /// The version that stands there.
        found: u8,
    },
}

impl Batch {
    /// The time by which locks end.
    pub fn sure_time(&self) -> WallTime {
        let told = self.sure.filter(|_| self.function >= FUNCTION_OF_SURE_TIME);
        told.map_or(self.time, |sure| sure.min(self.time))
    }

    /// As CBOR: see `docs/formats/operations.md`. The function's version stands first and is the format's version too.
    pub fn encode(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(256);
        write_cbor(self, &mut bytes);
        Bytes::from(bytes)
    }

    /// The inverse of [`Self::encode`]. The function's version is looked at before any operation is, because a later
    /// one may know operations that this release does not.
    pub fn decode(bytes: &[u8]) -> Result<Self, InvalidBatch> {
        let mut peek = minicbor::Decoder::new(bytes);
        let function = peek.array().and_then(|_| peek.u8()).map_err(|e| InvalidBatch::Malformed(e.to_string()))?;
        if function > FUNCTION_VERSION {
            return Err(InvalidBatch::NewerFunction { found: function });
        }
        read_cbor(bytes).map_err(InvalidBatch::Malformed)
    }
}
