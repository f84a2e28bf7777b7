//! What voters say to each other, in our own words and in openraft's.

use bytes::Bytes;
use minicbor::{Decode, Encode};
use openraft::entry::RaftEntry;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, TransferLeaderRequest, VoteRequest, VoteResponse};

use super::format::{ENTRY_HEAD_BYTES, KeptVote, Position};
use super::log_store::{frame, read_entry};
use super::type_config::{LogId, TypeConfig, Vote};
use crate::wire::{Message, WireError, cut, length};

/// The most entries of one message.
const ENTRIES_MAX: usize = 4096;

impl From<&Vote> for KeptVote {
    fn from(vote: &Vote) -> Self {
        Self { term: vote.leader_id.term, voted_for: vote.leader_id.voted_for, committed: vote.committed }
    }
}

impl From<KeptVote> for Vote {
    fn from(kept: KeptVote) -> Self {
        if kept.committed {
            Self::new_committed(kept.term, kept.voted_for)
        } else {
            Self::new(kept.term, kept.voted_for)
        }
    }
}

/// A leader's entries, or none: that it is there. The payload is the entries, as the log keeps them.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) struct Append {
    /// The id of the member that is meant: ids are never used again, so a node that came back as another one refuses.
    #[n(0)]
    pub(super) to: u64,
    /// The leader's vote.
    #[n(1)]
    vote: KeptVote,
    /// The entry before the first one.
    #[n(2)]
    previous: Option<Position>,
    /// What is committed.
    #[n(3)]
    committed: Option<Position>,
    /// How long each entry is.
    #[n(4)]
    lengths: Vec<u32>,
}

impl Message for Append {
    const WHAT: &'static str = "message with entries";
}

/// The bytes of an append.
pub(super) fn append_body(to: u64, request: AppendEntriesRequest<TypeConfig>) -> Bytes {
    let entries: Vec<Bytes> = request.entries.into_iter().map(|entry| frame(entry).1).collect();
    let append = Append {
        to,
        vote: KeptVote::from(&request.vote),
        previous: request.prev_log_id.map(Position::from),
        committed: request.leader_commit.map(Position::from),
        lengths: entries.iter().map(length).collect(),
    };
    append.to_body_with(&entries)
}

/// The inverse. Entries must follow one another; what a batch says is judged when it is applied.
pub(super) fn read_append(body: &Bytes) -> Result<(u64, AppendEntriesRequest<TypeConfig>), WireError> {
    let (append, payload) = Append::from_body_with(body)?;
    if append.lengths.len() > ENTRIES_MAX {
        return Err(Append::malformed("too many entries"));
    }
    let mut next = append.previous.map_or(0, |previous| previous.index.saturating_add(1));
    let mut entries = Vec::with_capacity(append.lengths.len());
    for piece in cut::<Append>(&payload, append.lengths)? {
        if piece.len() < ENTRY_HEAD_BYTES {
            return Err(Append::malformed("an entry without a head"));
        }
        let entry = read_entry(piece).map_err(Append::malformed)?;
        if entry.index() != next {
            return Err(Append::malformed(format!("entry {} where {next} belongs", entry.index())));
        }
        next = next.saturating_add(1);
        entries.push(entry);
    }
    let request = AppendEntriesRequest {
        vote: append.vote.into(),
        prev_log_id: append.previous.map(LogId::from),
        entries,
        leader_commit: append.committed.map(LogId::from),
    };
    Ok((append.to, request))
}

/// What becomes of an append.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) enum AppendReply {
    /// All of it is durable there.
    #[n(0)]
    Done,
    /// What is up to here is durable there.
    #[n(1)]
    UpTo(#[n(0)] Option<Position>),
    /// The entry before the first one is not there.
    #[n(2)]
    Conflict,
    /// Somebody else leads, or may.
    #[n(3)]
    HigherVote(#[n(0)] KeptVote),
}

impl Message for AppendReply {
    const WHAT: &'static str = "reply to entries";
}

impl From<AppendEntriesResponse<TypeConfig>> for AppendReply {
    fn from(response: AppendEntriesResponse<TypeConfig>) -> Self {
        match response {
            AppendEntriesResponse::Success => Self::Done,
            AppendEntriesResponse::PartialSuccess(last) => Self::UpTo(last.map(Position::from)),
            AppendEntriesResponse::Conflict => Self::Conflict,
            AppendEntriesResponse::HigherVote(vote) => Self::HigherVote(KeptVote::from(&vote)),
        }
    }
}

impl From<AppendReply> for AppendEntriesResponse<TypeConfig> {
    fn from(reply: AppendReply) -> Self {
        match reply {
            AppendReply::Done => Self::Success,
            AppendReply::UpTo(last) => Self::PartialSuccess(last.map(LogId::from)),
            AppendReply::Conflict => Self::Conflict,
            AppendReply::HigherVote(vote) => Self::HigherVote(vote.into()),
        }
    }
}

/// A candidate, or somebody who would be one, asks for a vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(super) struct Candidacy {
    /// See [`Append::to`].
    #[n(0)]
    pub(super) to: u64,
    /// The vote that is asked for.
    #[n(1)]
    vote: KeptVote,
    /// The candidate's last entry.
    #[n(2)]
    last: Option<Position>,
    /// Whether the leader has asked it to stand.
    #[n(3)]
    transfer: bool,
}

impl Message for Candidacy {
    const WHAT: &'static str = "candidacy";
}

impl Candidacy {
    pub(super) fn new(to: u64, request: &VoteRequest<TypeConfig>) -> Self {
        let last = request.last_log_id.map(Position::from);
        Self { to, vote: KeptVote::from(&request.vote), last, transfer: request.leadership_transfer }
    }

    pub(super) fn request(self) -> VoteRequest<TypeConfig> {
        let mut request = VoteRequest::new(self.vote.into(), self.last.map(LogId::from));
        request.leadership_transfer = self.transfer;
        request
    }
}

/// What a voter says to a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(super) struct Ballot {
    /// Its vote after that.
    #[n(0)]
    vote: KeptVote,
    /// Its last entry.
    #[n(1)]
    last: Option<Position>,
    /// Whether the candidate has its vote.
    #[n(2)]
    granted: bool,
}

impl Message for Ballot {
    const WHAT: &'static str = "ballot";
}

impl From<VoteResponse<TypeConfig>> for Ballot {
    fn from(response: VoteResponse<TypeConfig>) -> Self {
        let last = response.last_log_id.map(Position::from);
        Self { vote: KeptVote::from(&response.vote), last, granted: response.vote_granted }
    }
}

impl From<Ballot> for VoteResponse<TypeConfig> {
    fn from(ballot: Ballot) -> Self {
        Self::new(Vote::from(ballot.vote), ballot.last.map(LogId::from), ballot.granted)
    }
}

/// The leader says who is to lead after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(super) struct Handover {
    /// See [`Append::to`].
    #[n(0)]
    pub(super) to: u64,
    /// The leader's vote.
    #[n(1)]
    from: KeptVote,
    /// Who is to lead.
    #[n(2)]
    heir: u64,
    /// What that one must have.
    #[n(3)]
    last: Option<Position>,
}

impl Message for Handover {
    const WHAT: &'static str = "handover";
}

impl Handover {
    pub(super) fn new(to: u64, request: &TransferLeaderRequest<TypeConfig>) -> Self {
        let last = request.last_log_id().map(|last| Position::from(*last));
        Self { to, from: KeptVote::from(request.from_leader()), heir: *request.to_node_id(), last }
    }

    pub(super) fn request(self) -> TransferLeaderRequest<TypeConfig> {
        TransferLeaderRequest::new(self.from.into(), self.heir, self.last.map(LogId::from))
    }
}

/// That a handover was heard of. What comes of it shows in the next election.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(super) struct Heard {
    /// Whether the one who heard it acts on it.
    #[n(0)]
    pub(super) accepted: bool,
}

impl Message for Heard {
    const WHAT: &'static str = "reply to a handover";
}

#[cfg(test)]
mod tests;
