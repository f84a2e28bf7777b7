//! A message on its way in: taken from an HTTP body piece by piece, each length checked before anything is allocated and
//! each tag before anything is believed.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use futures::StreamExt as _;
use http_body::Body;
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::message::{
    FRAME_OPENING_BYTES, Frames, Malformed, OPENING_BYTES, PREAMBLE_BYTES, Payload, Preamble, Shape, StreamFault,
    decode_frame_length,
};
use crate::seal::{Seal, TAG_BYTES, Unsealed};

/// How long the next frame of a stream may take. The peer writes it from a disk or from memory.
const FRAME_PATIENCE: Duration = Duration::from_secs(30);

/// A body in more parts than this is joined: parts cost memory beside their bytes.
const PARTS_MAX: usize = 256;

/// Why a message was not taken. In every case the connection is closed: what follows on it cannot be told apart.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InboundError {
    #[error("the connection broke: {0}")]
    Broken(#[from] hyper::Error),
    #[error("the message ended early")]
    Short,
    #[error("the message is longer than it says")]
    Overlong,
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error(transparent)]
    Unsealed(#[from] Unsealed),
    #[error("this process is stopping")]
    Stopping,
}

/// Memory that arriving messages may take, in KiB.
#[derive(Debug)]
pub(crate) struct Memory(std::sync::Arc<Semaphore>);

impl Memory {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(std::sync::Arc::new(Semaphore::new(bytes / 1024)))
    }

    /// All of a message's memory at once (invariant 14).
    async fn reserve(&self, bytes: usize) -> Result<OwnedSemaphorePermit, InboundError> {
        let kib = u32::try_from(bytes.div_ceil(1024)).expect("messages are bounded");
        self.0.clone().acquire_many_owned(kib).await.map_err(|_| InboundError::Stopping)
    }
}

/// A whole message.
#[derive(Debug)]
pub(crate) struct Inbound {
    pub preamble: Preamble,
    pub head: Bytes,
    pub payload: Payload,
    /// Held until the message was dealt with.
    pub memory: Option<OwnedSemaphorePermit>,
}

impl Inbound {
    /// Takes a message up to where its payload can be handed on: whole, or the beginning of a stream. `accept` judges
    /// the preamble before anything is allocated for what it announces.
    pub(crate) async fn take(
        body: Incoming,
        seal: Seal,
        memory: Option<&Memory>,
        accept: impl FnOnce(&Preamble) -> Result<(), Malformed>,
    ) -> Result<Self, InboundError> {
        let mut pieces = Pieces { body, waiting: VecDeque::new(), bytes: 0 };
        let opening = pieces.exact(OPENING_BYTES).await?;
        let (preamble_bytes, tag) = opening.split_at(PREAMBLE_BYTES);
        let preamble = Preamble::decode(preamble_bytes.try_into().expect("split where it ends"))?;
        accept(&preamble)?;
        let (head_bytes, body_bytes) = (preamble.head_bytes as usize, preamble.body_bytes as usize);
        let memory = match memory {
            Some(memory) => Some(memory.reserve(head_bytes + body_bytes).await?),
            None => None,
        };
        let head = pieces.exact(head_bytes).await?;
        let payload = match preamble.shape {
            Shape::Sealed => {
                let body = pieces.exact(body_bytes).await?;
                Seal::check(seal.message(&[preamble_bytes, &head, &body]), tag)?;
                pieces.end().await?;
                Payload::Sealed(body)
            }
            Shape::Unproven => {
                // Before the body: nobody who cannot make tags fills our memory with it.
                Seal::check(seal.message(&[preamble_bytes, &head]), tag)?;
                let parts = pieces.parts(body_bytes).await?;
                pieces.end().await?;
                Payload::Unproven(parts)
            }
            Shape::Frames => {
                Seal::check(seal.message(&[preamble_bytes, &head]), tag)?;
                Payload::Frames(frames(pieces, seal))
            }
        };
        Ok(Self { preamble, head, payload, memory })
    }
}

/// A body as hyper gives it, taken in lengths that we choose.
struct Pieces {
    body: Incoming,
    waiting: VecDeque<Bytes>,
    bytes: usize,
}

impl Pieces {
    /// Waits for at least one byte more; `false` at the end.
    async fn more(&mut self) -> Result<bool, InboundError> {
        loop {
            match poll_fn(|context| Pin::new(&mut self.body).poll_frame(context)).await {
                None => return Ok(false),
                Some(frame) => {
                    if let Ok(data) = frame?.into_data()
                        && !data.is_empty()
                    {
                        self.bytes += data.len();
                        self.waiting.push_back(data);
                        return Ok(true);
                    }
                }
            }
        }
    }

    /// So many bytes in one piece: as they came where one read brought them all.
    async fn exact(&mut self, length: usize) -> Result<Bytes, InboundError> {
        let Some(first) = self.some(length).await? else { return Ok(Bytes::new()) };
        if first.len() == length {
            return Ok(first);
        }
        let mut joined = BytesMut::with_capacity(length);
        joined.extend_from_slice(&first);
        while joined.len() < length {
            let next = self.some(length - joined.len()).await?.expect("more than nothing was asked for");
            joined.extend_from_slice(&next);
        }
        Ok(joined.freeze())
    }

    /// So many bytes in the pieces that they came in.
    async fn parts(&mut self, length: usize) -> Result<Vec<Bytes>, InboundError> {
        let mut parts: Vec<Bytes> = Vec::new();
        let mut taken = 0;
        while taken < length {
            let next = self.some(length - taken).await?.expect("more than nothing was asked for");
            taken += next.len();
            parts.push(next);
            if parts.len() > PARTS_MAX {
                parts = vec![Bytes::from(parts.concat())];
            }
        }
        Ok(parts)
    }

    /// At least one byte and at most so many; nothing only when nothing is asked for.
    async fn some(&mut self, length_max: usize) -> Result<Option<Bytes>, InboundError> {
        if length_max == 0 {
            return Ok(None);
        }
        if self.waiting.is_empty() && !self.more().await? {
            return Err(InboundError::Short);
        }
        let first = self.waiting.front_mut().expect("there is one, or more was found");
        let taken = first.split_to(first.len().min(length_max));
        if !first.has_remaining() {
            self.waiting.pop_front();
        }
        self.bytes -= taken.len();
        Ok(Some(taken))
    }

    /// Asserts that nothing follows. It also lets hyper see the end, so that the connection can carry the next message.
    async fn end(&mut self) -> Result<(), InboundError> {
        if self.bytes > 0 || self.more().await? { Err(InboundError::Overlong) } else { Ok(()) }
    }

    /// The next frame of a stream, and whether it is the last.
    async fn frame(&mut self, seal: &Seal, number: u64) -> Result<(Bytes, bool), InboundError> {
        let opening = self.exact(FRAME_OPENING_BYTES).await?;
        let (length_bytes, tag) = opening.split_at(FRAME_OPENING_BYTES - TAG_BYTES);
        let (length, last) = decode_frame_length(length_bytes.try_into().expect("split where it ends"))?;
        let frame = self.exact(length).await?;
        Seal::check(seal.frame(number, &[length_bytes, &frame]), tag)?;
        if last {
            self.end().await?;
        }
        Ok((frame, last))
    }
}

/// The frames of a stream, checked one by one. It ends after the last one, and with an error wherever else.
fn frames(pieces: Pieces, seal: Seal) -> Frames {
    let begin = Some((pieces, seal, 0u64));
    futures::stream::unfold(begin, |state| async move {
        let (mut pieces, seal, number) = state?;
        let fault = |why: String| Some((Err(StreamFault(why)), None));
        match timeout(FRAME_PATIENCE, pieces.frame(&seal, number)).await {
            Err(_) => fault("the next frame did not come in time".to_owned()),
            Ok(Err(error)) => fault(error.to_string()),
            Ok(Ok((frame, true))) => Some((Ok(frame), None)),
            Ok(Ok((frame, false))) => Some((Ok(frame), Some((pieces, seal, number + 1)))),
        }
    })
    .filter(|frame| std::future::ready(!matches!(frame, Ok(bytes) if bytes.is_empty())))
    .boxed()
}
