//! What a request and an answer look like inside their HTTP body. Pure. The layout is in `docs/formats/wire.md`.
//!
//! ```text
//! preamble (16) | tag (32) | head | body
//! ```

use std::fmt;

use bytes::Bytes;
use cairn_core::chunk::CHUNK_BYTES_MAX;
use cairn_core::units::MIB;
use futures::stream::BoxStream;

use crate::seal::TAG_BYTES;

/// How long a message's fixed part is.
pub(crate) const PREAMBLE_BYTES: usize = 16;

/// Preamble and tag.
pub(crate) const OPENING_BYTES: usize = PREAMBLE_BYTES + TAG_BYTES;

/// The longest head: that of the longest chunk in its smallest blocks, and what stands before it.
pub const HEAD_BYTES_MAX: usize = MIB as usize;

/// The longest body that travels under the tag whole. What is longer goes as a stream.
pub const SEALED_BYTES_MAX: usize = 8 * MIB as usize;

/// The longest frame of a stream.
pub const FRAME_BYTES_MAX: usize = 256 * 1024;

/// Why a message's stream broke off. It is never merely shorter than it was: the last frame says that it is the last.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the stream broke off: {0}")]
pub struct StreamFault(pub String);

/// Bytes in frames, each under a tag of its own, of any total length.
pub type Frames = BoxStream<'static, Result<Bytes, StreamFault>>;

/// What follows a message's head.
pub enum Payload {
    /// Bytes under the message's tag.
    Sealed(Bytes),
    /// Bytes that are not under the tag, because the head, which is, holds their checksums: a chunk's. Whoever takes them
    /// must check them before he believes them. In parts as they came, so that nobody copies them.
    Unproven(Vec<Bytes>),
    /// A stream of frames, each under a tag.
    Frames(Frames),
}

impl Payload {
    /// Nothing.
    pub const fn empty() -> Self {
        Self::Sealed(Bytes::new())
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sealed(bytes) => write!(f, "Sealed({} bytes)", bytes.len()),
            Self::Unproven(parts) => write!(f, "Unproven({} bytes)", parts.iter().map(Bytes::len).sum::<usize>()),
            Self::Frames(_) => f.write_str("Frames(..)"),
        }
    }
}

/// Which kind of payload follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Shape {
    Sealed = 1,
    Unproven = 2,
    Frames = 3,
}

/// The fixed part of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Preamble {
    pub shape: Shape,
    /// Requests: whom it is for. Answers: 0.
    pub service: u8,
    /// Requests: what is asked. Answers: 0.
    pub method: u8,
    /// Answers: 0, or why nothing was done. Requests: 0.
    pub status: u8,
    /// Requests: how many milliseconds the caller still waits. Answers: 0.
    pub patience_ms: u32,
    pub head_bytes: u32,
    /// 0 where the payload is a stream.
    pub body_bytes: u32,
}

/// A preamble that nobody of this release writes. Close the connection: reading on would be guessing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed message: {0}")]
pub(crate) struct Malformed(pub &'static str);

impl Preamble {
    pub(crate) fn encode(&self) -> [u8; PREAMBLE_BYTES] {
        let mut bytes = [0; PREAMBLE_BYTES];
        bytes[0] = self.shape as u8;
        bytes[1] = self.service;
        bytes[2] = self.method;
        bytes[3] = self.status;
        bytes[4..8].copy_from_slice(&self.patience_ms.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.head_bytes.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.body_bytes.to_be_bytes());
        bytes
    }

    /// Checks every length against its bound, so that what is allocated afterwards is bounded whoever wrote it.
    pub(crate) fn decode(bytes: &[u8; PREAMBLE_BYTES]) -> Result<Self, Malformed> {
        let u32_at = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let (head_bytes, body_bytes) = (u32_at(8), u32_at(12));
        let (shape, body_max) = match bytes[0] {
            1 => (Shape::Sealed, SEALED_BYTES_MAX),
            2 => (Shape::Unproven, CHUNK_BYTES_MAX as usize),
            3 => (Shape::Frames, 0),
            _ => return Err(Malformed("an unknown kind of payload")),
        };
        if head_bytes as usize > HEAD_BYTES_MAX {
            return Err(Malformed("a head longer than any"));
        }
        if body_bytes as usize > body_max {
            return Err(Malformed("a body longer than any of its kind"));
        }
        Ok(Self {
            shape,
            service: bytes[1],
            method: bytes[2],
            status: bytes[3],
            patience_ms: u32_at(4),
            head_bytes,
            body_bytes,
        })
    }
}

/// Set in a frame's length where the frame is the last of its stream.
const LAST_FRAME: u32 = 1 << 31;

/// How long the part before a frame's bytes is: its length and its tag.
pub(crate) const FRAME_OPENING_BYTES: usize = 4 + TAG_BYTES;

/// A frame's length with its mark, as it is sent and as it is hashed.
pub(crate) fn encode_frame_length(length: usize, last: bool) -> [u8; 4] {
    assert!(length <= FRAME_BYTES_MAX, "a frame of {length} bytes");
    (length as u32 | if last { LAST_FRAME } else { 0 }).to_be_bytes()
}

/// The inverse of [`encode_frame_length`].
pub(crate) fn decode_frame_length(bytes: [u8; 4]) -> Result<(usize, bool), Malformed> {
    let word = u32::from_be_bytes(bytes);
    let length = (word & !LAST_FRAME) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(Malformed("a frame longer than any"));
    }
    Ok((length, word & LAST_FRAME != 0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_decodes_is_bounded_and_encodes_to_itself(bytes: [u8; PREAMBLE_BYTES], shape in 0u8..5, short: bool) {
            let mut bytes = bytes;
            bytes[0] = shape;
            if short {
                // Most random lengths are refused; these are not.
                bytes[8] = 0;
                bytes[9] &= 0xF;
                bytes[12] = 0;
                bytes[13] &= 0x7F;
            }
            if let Ok(preamble) = Preamble::decode(&bytes) {
                prop_assert!(preamble.head_bytes as usize <= HEAD_BYTES_MAX);
                prop_assert!(preamble.body_bytes <= CHUNK_BYTES_MAX);
                prop_assert_eq!(preamble.encode(), bytes);
            }
        }

        #[test]
        fn frame_lengths_survive(length in 0..=FRAME_BYTES_MAX, last: bool) {
            prop_assert_eq!(decode_frame_length(encode_frame_length(length, last)), Ok((length, last)));
        }
    }

    #[test]
    fn lengths_beyond_the_bounds_are_refused() {
        let preamble = |shape, head_bytes, body_bytes| Preamble {
            shape,
            service: 1,
            method: 2,
            status: 0,
            patience_ms: 3,
            head_bytes,
            body_bytes,
        };
        for (shape, body) in [(Shape::Sealed, 8 << 20), (Shape::Unproven, CHUNK_BYTES_MAX), (Shape::Frames, 0)] {
            let most = preamble(shape, 1 << 20, body);
            assert_eq!(Preamble::decode(&most.encode()), Ok(most));
            assert!(Preamble::decode(&preamble(shape, (1 << 20) + 1, body).encode()).is_err());
            assert!(Preamble::decode(&preamble(shape, 0, body + 1).encode()).is_err());
        }
        assert!(Preamble::decode(&[0; PREAMBLE_BYTES]).is_err());
        assert!(decode_frame_length((FRAME_BYTES_MAX as u32 + 1).to_be_bytes()).is_err());
    }
}
