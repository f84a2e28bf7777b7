//! A message on its way out, as the HTTP body that hyper writes. Parts go as they are, with one vectored write; nothing is
//! joined.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::StreamExt as _;
use http_body::{Body, Frame, SizeHint};

use crate::guarded_io::Speech;
use crate::message::{
    FRAME_BYTES_MAX, FRAME_OPENING_BYTES, Frames, HEAD_BYTES_MAX, OPENING_BYTES, Payload, Preamble, SEALED_BYTES_MAX,
    Shape, StreamFault, encode_frame_length,
};
use crate::seal::Seal;

/// What a message says of itself; lengths and shape come from head and payload.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Address {
    pub service: u8,
    pub method: u8,
    pub status: u8,
    pub patience_ms: u32,
}

/// More than a message may hold. A mistake of whoever made it: nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{bytes} bytes in a {what} that holds at most {bytes_max}")]
pub struct TooLong {
    /// Which part.
    pub what: &'static str,
    /// How many bytes there were.
    pub bytes: usize,
    /// How many there may be.
    pub bytes_max: usize,
}

/// Whether a message fits its bounds. Asked before a connection is taken for it.
pub(crate) fn check_lengths(head: &Bytes, payload: &Payload) -> Result<(), TooLong> {
    let within = |what, bytes, bytes_max| {
        if bytes <= bytes_max { Ok(()) } else { Err(TooLong { what, bytes, bytes_max }) }
    };
    within("head", head.len(), HEAD_BYTES_MAX)?;
    match payload {
        Payload::Sealed(body) => within("body", body.len(), SEALED_BYTES_MAX),
        Payload::Unproven(parts) => {
            let bytes = parts.iter().map(Bytes::len).sum();
            within("chunk", bytes, cairn_core::chunk::CHUNK_BYTES_MAX as usize)
        }
        Payload::Frames(_) => Ok(()),
    }
}

/// The body.
pub(crate) struct Outbound {
    parts: VecDeque<Bytes>,
    /// What is in `parts`.
    bytes: u64,
    stream: Option<FrameSealer>,
    /// Told when the last byte was handed over.
    speech: Option<Arc<Speech>>,
}

impl Outbound {
    /// Seals a message whose lengths were checked.
    pub(crate) fn new(
        address: Address,
        seal: Seal,
        head: Bytes,
        payload: Payload,
        speech: Option<Arc<Speech>>,
    ) -> Self {
        let (shape, body, stream) = match payload {
            Payload::Sealed(body) => (Shape::Sealed, vec![body], None),
            Payload::Unproven(parts) => (Shape::Unproven, parts, None),
            Payload::Frames(frames) => (Shape::Frames, Vec::new(), Some(frames)),
        };
        let preamble = Preamble {
            shape,
            service: address.service,
            method: address.method,
            status: address.status,
            patience_ms: address.patience_ms,
            head_bytes: u32::try_from(head.len()).expect("the length was checked"),
            body_bytes: u32::try_from(body.iter().map(Bytes::len).sum::<usize>()).expect("the length was checked"),
        };
        let preamble = preamble.encode();
        let tag = match (shape, &body[..]) {
            (Shape::Sealed, [body]) => seal.message(&[&preamble, &head, body]),
            _ => seal.message(&[&preamble, &head]),
        };
        let mut opening = Vec::with_capacity(OPENING_BYTES + head.len());
        opening.extend_from_slice(&preamble);
        opening.extend_from_slice(&tag);
        // Heads are short beside what they stand before; one part less is one less to gather.
        opening.extend_from_slice(&head);
        let mut parts = VecDeque::with_capacity(1 + body.len());
        parts.push_back(Bytes::from(opening));
        parts.extend(body.into_iter().filter(|part| !part.is_empty()));
        let bytes = parts.iter().map(|part| part.len() as u64).sum();
        let stream = stream.map(|frames| FrameSealer { frames, seal, number: 0, next: None, done: false });
        Self { parts, bytes, stream, speech }
    }

    fn finished(&self) {
        if let Some(speech) = &self.speech {
            speech.said();
        }
    }
}

impl Body for Outbound {
    type Data = Bytes;
    type Error = StreamFault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamFault>>> {
        if self.parts.is_empty()
            && let Some(stream) = &mut self.stream
        {
            match std::task::ready!(stream.poll_next(context)) {
                Some(Ok(parts)) => self.parts.extend(parts),
                Some(Err(fault)) => return Poll::Ready(Some(Err(fault))),
                None => self.stream = None,
            }
        }
        let Some(part) = self.parts.pop_front() else {
            self.finished();
            return Poll::Ready(None);
        };
        self.bytes = self.bytes.saturating_sub(part.len() as u64);
        if self.parts.is_empty() && self.stream.is_none() {
            self.finished();
        }
        Poll::Ready(Some(Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.parts.is_empty() && self.stream.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        if self.stream.is_some() { SizeHint::default() } else { SizeHint::with_exact(self.bytes) }
    }
}

/// Cuts a stream into frames and puts a tag on each. One frame is held back, because only the next one, or the end, says
/// whether it is the last.
struct FrameSealer {
    frames: Frames,
    seal: Seal,
    number: u64,
    next: Option<Bytes>,
    done: bool,
}

impl FrameSealer {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<[Bytes; 2], StreamFault>>> {
        loop {
            if self.done {
                return Poll::Ready(None);
            }
            if let Some(waiting) = &mut self.next
                && waiting.len() > FRAME_BYTES_MAX
            {
                let frame = waiting.split_to(FRAME_BYTES_MAX);
                return Poll::Ready(Some(Ok(self.sealed(frame, false))));
            }
            match std::task::ready!(self.frames.poll_next_unpin(context)) {
                Some(Ok(bytes)) if bytes.is_empty() => {}
                Some(Ok(bytes)) => {
                    if let Some(frame) = self.next.replace(bytes) {
                        return Poll::Ready(Some(Ok(self.sealed(frame, false))));
                    }
                }
                Some(Err(fault)) => {
                    self.done = true;
                    return Poll::Ready(Some(Err(fault)));
                }
                None => {
                    self.done = true;
                    let frame = self.next.take().unwrap_or_default();
                    return Poll::Ready(Some(Ok(self.sealed(frame, true))));
                }
            }
        }
    }

    fn sealed(&mut self, frame: Bytes, last: bool) -> [Bytes; 2] {
        let length = encode_frame_length(frame.len(), last);
        let tag = self.seal.frame(self.number, &[&length, &frame]);
        self.number += 1;
        let mut opening = Vec::with_capacity(FRAME_OPENING_BYTES);
        opening.extend_from_slice(&length);
        opening.extend_from_slice(&tag);
        [Bytes::from(opening), frame]
    }
}
