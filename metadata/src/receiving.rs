//! Fetching the runs that a leader offers, and handing out pieces of our own.
//!
//! ```text
//! offer -> which runs are not here? -> piece after piece, in r copies -> synced, read back -> Raft installs the mark
//! ```
//! What has come is not fetched again: an attempt that failed is gone on with where it ended, and a run that came whole
//! serves every later set that names it. From the first piece until the mark is installed nobody removes the files. Only a
//! restart begins anew.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cairn_core::NodeId;
use cairn_rows::{Incoming, Receiving, RowsError, RunId, RunRef, RunSet};
use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};

use crate::node::Inner as Node;
use crate::peers::{PeerCall, PeerError};
use crate::raft::{Offer, OfferReply};
use crate::wire::{Message, PAYLOAD_BYTES_MAX};

/// How long one piece may take.
const PIECE_DEADLINE: Duration = Duration::from_secs(10);

/// How often a piece that did not come is asked for.
const PIECE_ATTEMPTS: u32 = 4;

/// The question for a piece of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
struct PieceQuestion {
    /// The member that is meant.
    #[n(0)]
    to: u64,
    /// Which run.
    #[n(1)]
    run: RunId,
    /// The block that it begins with.
    #[n(2)]
    block: u32,
    /// How many bytes of blocks it has, some more or fewer.
    #[n(3)]
    bytes: u32,
}

impl Message for PieceQuestion {
    const WHAT: &'static str = "question for a piece of a run";
}

/// The answer; the payload is the piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
struct PieceAnswer {
    /// Whether the run and the block are there.
    #[n(0)]
    found: bool,
    /// Where the next piece begins; none behind the last.
    #[n(1)]
    next: Option<u32>,
    /// blake3 of the piece: the run's own checksums can be looked at only when its end has come.
    #[n(2)]
    hash: ByteArray<32>,
}

impl Message for PieceAnswer {
    const WHAT: &'static str = "piece of a run";
}

impl PieceAnswer {
    fn of(piece: &Bytes, next: Option<u32>) -> Self {
        Self { found: true, next, hash: (*blake3::hash(piece).as_bytes()).into() }
    }

    /// What a sender says who does not have it.
    fn none() -> Self {
        Self { found: false, next: None, hash: [0; 32].into() }
    }

    /// Reads an answer to a question for the piece that begins with `block`.
    fn read(body: &Bytes, block: u32) -> Result<(Self, Bytes), PeerError> {
        let (answer, piece) = Self::from_body_with(body).map_err(refused)?;
        if answer.found && (Self::of(&piece, answer.next) != answer || answer.next.is_some_and(|next| next <= block)) {
            return Err(PeerError::Refused("a piece that is not what its sender says".into()));
        }
        Ok((answer, piece))
    }
}

/// What comes from a leader at the moment, or came last.
#[derive(Debug, Default)]
pub(crate) struct Receiver(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    fetch: Option<Fetch>,
    /// What has come until now, while no fetch is under way.
    haul: Option<Haul>,
    /// The directories, in the order in which they are chosen; none before the first fetch.
    directories: Vec<PathBuf>,
}

/// The runs of one offer.
#[derive(Debug)]
struct Fetch {
    set: RunSet,
    bytes: u64,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    UnderWay,
    /// All of them are here, whole.
    Here,
    Failed(String),
}

/// What has come.
#[derive(Debug)]
struct Haul {
    receiving: Arc<Receiving>,
    directories: Vec<PathBuf>,
    /// Runs that have come whole.
    whole: Vec<RunId>,
    /// The run that was cut short.
    partial: Option<Partial>,
}

/// A run of which the beginning has come.
#[derive(Debug)]
struct Partial {
    name: RunRef,
    incoming: Incoming,
    /// The block that the next piece begins with.
    next: u32,
}

impl Receiver {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many bytes have come, or why no more will; none when all is here. Begins a fetch where none is under way.
    fn progress(&self, node: &Arc<Node>, offer: &Offer, set: &RunSet) -> Option<Result<u64, String>> {
        let mut state = self.state();
        match &state.fetch {
            // One at a time: two might write the same files.
            Some(Fetch { bytes, stage: Stage::UnderWay, .. }) => return Some(Ok(*bytes)),
            Some(Fetch { set: fetched, stage: Stage::Here, .. }) if fetched == set => return None,
            Some(Fetch { set: fetched, stage: Stage::Failed(reason), .. }) if fetched == set => {
                let reason = reason.clone();
                state.fetch = None;
                return Some(Err(reason));
            }
            Some(_) | None => {}
        }
        state.fetch = Some(Fetch { set: set.clone(), bytes: 0, stage: Stage::UnderWay });
        if state.directories.is_empty() {
            state.directories = node.config.run_directories.clone();
        }
        let directories: Vec<_> = state.directories.iter().take(node.config.run_copies).cloned().collect();
        let before = state.haul.take();
        drop(state);
        let haul = Haul::go_on(node, set, directories, before);
        node.tasks.spawn(fetch_until_done(node.clone(), (offer.from, offer.node), set.clone(), haul));
        Some(Ok(0))
    }

    /// What was fetched is the rows now, or will never be needed.
    fn done(&self) {
        let mut state = self.state();
        if matches!(&state.fetch, Some(Fetch { stage: Stage::Here, .. })) {
            state.fetch = None;
            state.haul = None;
        }
    }

    /// A directory that failed is chosen last from now on.
    fn pass_over(&self, error: &FetchError) {
        let path = match error {
            FetchError::Rows(RowsError::Write { path, .. }) => path,
            FetchError::Rows(RowsError::ReadBack(bad)) => &bad.path,
            _ => return,
        };
        let mut state = self.state();
        let failed = |directory: &PathBuf| path.starts_with(directory);
        let (last, mut first): (Vec<_>, Vec<_>) = state.directories.drain(..).partition(failed);
        first.extend(last);
        state.directories = first;
    }
}

impl Haul {
    /// What of an earlier attempt serves this one.
    fn go_on(node: &Node, set: &RunSet, directories: Vec<PathBuf>, before: Option<Self>) -> Self {
        let (receiving, mut whole, mut partial) = (None, Vec::new(), None);
        let receiving = match before {
            None => receiving,
            Some(before) => {
                if before.directories == directories {
                    whole = before.whole;
                    partial = before.partial.filter(|partial| set.runs().contains(&partial.name));
                }
                whole.retain(|id| set.names(*id));
                // Nobody else has it: the attempt that held it has ended.
                Arc::into_inner(before.receiving)
            }
        };
        let receiving = Arc::new(node.rows.receive(set.runs(), receiving));
        Self { receiving, directories, whole, partial }
    }
}

/// What a fetch ends with.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error("the leader has run {0} no more")]
    Gone(RunId),
    #[error(transparent)]
    Rows(#[from] RowsError),
}

/// Answers a leader's offer: begins to fetch, says how far that is, or installs.
pub(crate) async fn answer_offer(node: &Arc<Node>, body: &Bytes) -> Result<Bytes, PeerError> {
    let offer = Offer::from_body(body).map_err(refused)?;
    node.raft.check_meant(offer.to)?;
    let (mark, set) = offer.read().map_err(refused)?;
    // What is not ahead has nothing to fetch; Raft answers it.
    if set.index() > node.rows.applied() {
        match node.receiver.progress(node, &offer, &set) {
            Some(Ok(bytes)) => return Ok(OfferReply::Fetching(bytes).to_body()),
            Some(Err(reason)) => return Ok(OfferReply::Failed(reason).to_body()),
            None => {}
        }
    }
    let reply = node.raft.install(&offer, &mark).await?;
    node.receiver.done();
    Ok(reply.to_body())
}

async fn fetch_until_done(node: Arc<Node>, from: (u64, NodeId), set: RunSet, mut haul: Haul) {
    let stopping = node.tasks.stopping();
    let stage = tokio::select! {
        biased;
        () = stopping.cancelled() => return,
        fetched = fetch(&node, from, &set, &mut haul) => match fetched {
            Ok(()) => Stage::Here,
            Err(error) => {
                tracing::warn!(%error, index = %set.index(), "the leader's runs could not be fetched");
                node.receiver.pass_over(&error);
                Stage::Failed(error.to_string())
            }
        },
    };
    let mut state = node.receiver.state();
    state.haul = Some(haul);
    if let Some(fetch) = &mut state.fetch {
        fetch.stage = stage;
    }
}

async fn fetch(node: &Arc<Node>, from: (u64, NodeId), set: &RunSet, haul: &mut Haul) -> Result<(), FetchError> {
    for name in set.runs() {
        if haul.whole.contains(&name.id) {
            continue;
        }
        let partial = haul.partial.take_if(|partial| partial.name == *name);
        let (receiving, name, directories) = (haul.receiving.clone(), *name, haul.directories.clone());
        let partial = match partial {
            Some(partial) => partial,
            None => {
                let begin = move || {
                    if receiving.is_here(&name, &directories) {
                        Ok(None)
                    } else {
                        receiving.begin(&name, &directories).map(Some)
                    }
                };
                match node.config.work.run(begin).await? {
                    Some(incoming) => Partial { name, incoming, next: 0 },
                    None => {
                        haul.whole.push(name.id);
                        continue;
                    }
                }
            }
        };
        fetch_run(node, from, partial, haul).await?;
    }
    Ok(())
}

/// Fetches what is left of a run. Where a piece does not come, what came before it is kept.
async fn fetch_run(
    node: &Arc<Node>,
    (member, from): (u64, NodeId),
    partial: Partial,
    haul: &mut Haul,
) -> Result<(), FetchError> {
    let Partial { name, mut incoming, next } = partial;
    let mut next = Some(next);
    let bytes = u32::try_from(node.config.piece_bytes).unwrap_or(u32::MAX);
    while let Some(block) = next {
        let question = PieceQuestion { to: member, run: name.id, block, bytes };
        let (answer, piece) = match ask(node, from, question).await {
            Ok(answer) => answer,
            Err(error) => {
                haul.partial = Some(Partial { name, incoming, next: block });
                return Err(error.into());
            }
        };
        if !answer.found {
            return Err(FetchError::Gone(name.id));
        }
        next = answer.next;
        let length = piece.len() as u64;
        let write = move || {
            let written = incoming.write(&piece);
            (incoming, written)
        };
        let written;
        (incoming, written) = node.config.work.run(write).await;
        written?;
        if let Some(fetch) = &mut node.receiver.state().fetch {
            fetch.bytes += length;
        }
    }
    node.config.work.run(move || incoming.finish()).await?;
    haul.whole.push(name.id);
    tracing::debug!(run = %name.id, bytes = name.file_bytes, "a run has come");
    Ok(())
}

async fn ask(node: &Arc<Node>, from: NodeId, question: PieceQuestion) -> Result<(PieceAnswer, Bytes), PeerError> {
    let mut attempt = 1;
    loop {
        let call = node.config.peers.call(from, PeerCall::Run, question.to_body(), PIECE_DEADLINE);
        let late = || PeerError::Unreachable(format!("nothing within {PIECE_DEADLINE:?}"));
        let reply = tokio::time::timeout(PIECE_DEADLINE, call).await.unwrap_or_else(|_| Err(late()));
        match reply.and_then(|body| PieceAnswer::read(&body, question.block)) {
            Ok(answer) => return Ok(answer),
            Err(PeerError::Unreachable(reason)) if attempt < PIECE_ATTEMPTS => {
                tracing::debug!(reason, attempt, "a piece of a run is asked for again");
                attempt += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Hands out a piece of a run.
pub(crate) async fn answer_piece(node: &Arc<Node>, body: &Bytes) -> Result<Bytes, PeerError> {
    let question = PieceQuestion::from_body(body).map_err(refused)?;
    node.raft.check_meant(question.to)?;
    let rows = node.rows.clone();
    let bytes_max = (question.bytes as usize).min(PAYLOAD_BYTES_MAX);
    let piece = move || rows.piece(question.run, question.block, bytes_max);
    match node.config.work.run(piece).await {
        Ok(Some(piece)) => Ok(PieceAnswer::of(&piece.bytes, piece.next).to_body_with(&[piece.bytes])),
        Ok(None) => Ok(PieceAnswer::none().to_body()),
        Err(error) => {
            tracing::error!(%error, run = %question.run, "a run cannot be sent");
            Err(refused(error))
        }
    }
}

fn refused(error: impl std::fmt::Display) -> PeerError {
    PeerError::Refused(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_for_pieces_and_their_answers_come_back_and_a_changed_piece_does_not() {
        let question = PieceQuestion { to: 7, run: RunId(9), block: 3, bytes: 512 };
        assert_eq!(PieceQuestion::from_body(&question.to_body()).unwrap(), question);
        let piece = Bytes::from_static(b"blocks");
        for next in [None, Some(4)] {
            let body = PieceAnswer::of(&piece, next).to_body_with(std::slice::from_ref(&piece));
            assert_eq!(PieceAnswer::read(&body, 3).unwrap(), (PieceAnswer::of(&piece, next), piece.clone()));
            let mut changed = body.to_vec();
            *changed.last_mut().unwrap() ^= 1;
            assert!(PieceAnswer::read(&changed.into(), 3).is_err());
            assert!(PieceAnswer::read(&body.slice(..body.len() - 1), 3).is_err());
        }
        let circle = PieceAnswer::of(&piece, Some(3)).to_body_with(&[piece]);
        assert!(PieceAnswer::read(&circle, 3).is_err(), "a piece that leads nowhere");
        assert!(!PieceAnswer::read(&PieceAnswer::none().to_body(), 3).unwrap().0.found);
    }
}
