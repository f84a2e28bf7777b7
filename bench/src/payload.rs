//! Bodies. One ring of bytes that look random is made before the run; the body of an object is a run along it, from a place that
//! the object's number decides. So a body costs nothing when it is sent, it does not compress, and what comes back can be
//! told from what another object would have brought.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use sha2::{Digest, Sha256};

use crate::draw::Draw;

/// How many bytes the ring has. Longer bodies go round it again.
const RING_BYTES: usize = 4 << 20;

/// From how many places bodies start. Few, so that the hash of each is known after the first time.
const STARTS: u64 = 64;

/// The most bytes in one frame: what one call hands to the kernel.
const FRAME_BYTES_MAX: u64 = 256 * 1024;

/// All bodies of a run.
#[derive(Debug)]
pub struct Payload {
    ring: Bytes,
    hashes: Vec<OnceLock<(u64, String)>>,
}

impl Payload {
    /// The bodies of a seed.
    pub fn new(seed: u64) -> Self {
        let mut draw = Draw::new(seed);
        let ring: Vec<u8> = (0..RING_BYTES / 8).flat_map(|_| draw.bits().to_le_bytes()).collect();
        Self { ring: ring.into(), hashes: (0..STARTS).map(|_| OnceLock::new()).collect() }
    }

    /// The body of an object, of so many bytes.
    pub fn body(&self, object: u64, length: u64) -> Walk {
        let start = (object % STARTS) as usize * (RING_BYTES / STARTS as usize);
        Walk { ring: self.ring.clone(), at: start, left: length }
    }

    /// The SHA-256 of a body, in hexadecimal. Computed once for each start and the length that was asked for first.
    pub fn sha256(&self, object: u64, length: u64) -> String {
        let compute = || {
            let (mut hash, mut walk) = (Sha256::new(), self.body(object, length));
            while let Some(piece) = walk.next_piece() {
                hash.update(&piece);
            }
            hex::encode(hash.finalize())
        };
        let (of, hash) = self.hashes[(object % STARTS) as usize].get_or_init(|| (length, compute()));
        if *of == length { hash.clone() } else { compute() }
    }
}

/// A body on its way: where it stands on the ring, and how much of it is left.
#[derive(Debug, Clone)]
pub struct Walk {
    ring: Bytes,
    at: usize,
    left: u64,
}

/// What came back is not what went up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// Other bytes.
    #[error("other bytes came back than were put")]
    Bytes,
    /// Fewer, or more.
    #[error("another number of bytes came back than was put")]
    Length,
}

impl Walk {
    /// A body of these bytes.
    pub fn of(bytes: Bytes) -> Self {
        let left = bytes.len() as u64;
        Self { ring: bytes, at: 0, left }
    }

    /// No body.
    pub fn none() -> Self {
        Self::of(Bytes::new())
    }

    /// How much of it is left.
    pub fn left(&self) -> u64 {
        self.left
    }

    fn next_piece(&mut self) -> Option<Bytes> {
        if self.left == 0 {
            return None;
        }
        let most = self.left.min(FRAME_BYTES_MAX) as usize;
        let piece = self.ring.slice(self.at..self.ring.len().min(self.at + most));
        self.left -= piece.len() as u64;
        self.at = (self.at + piece.len()) % self.ring.len();
        Some(piece)
    }

    /// Compares the next bytes with what they should be.
    pub fn compare(&mut self, mut found: &[u8]) -> Result<(), Mismatch> {
        while !found.is_empty() {
            let mut rest = Self { left: self.left.min(found.len() as u64), ..self.clone() };
            let piece = rest.next_piece().ok_or(Mismatch::Length)?;
            let (now, later) = found.split_at(piece.len());
            if *now != *piece {
                return Err(Mismatch::Bytes);
            }
            (self.at, self.left, found) = (rest.at, self.left - piece.len() as u64, later);
        }
        Ok(())
    }
}

impl Body for Walk {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.next_piece().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(mut walk: Walk) -> Vec<u8> {
        std::iter::from_fn(|| walk.next_piece()).flatten().collect()
    }

    #[test]
    fn a_body_is_as_long_as_it_should_be_and_its_own() {
        let payload = Payload::new(3);
        for length in [0, 1, FRAME_BYTES_MAX, RING_BYTES as u64 + 12_345] {
            assert_eq!(whole(payload.body(5, length)).len() as u64, length);
        }
        assert_ne!(whole(payload.body(5, 100)), whole(payload.body(6, 100)));
        assert_eq!(whole(payload.body(5, 100)), whole(payload.body(5 + STARTS, 100)));
        let expected = hex::encode(Sha256::digest(whole(payload.body(5, 5_000_000))));
        assert_eq!(payload.sha256(5, 5_000_000), expected);
        assert_eq!(payload.sha256(5, 10), hex::encode(Sha256::digest(whole(payload.body(5, 10)))));
        assert_eq!(payload.sha256(5, 5_000_000), expected);
    }

    #[test]
    fn what_comes_back_is_compared_whatever_its_pieces() {
        let payload = Payload::new(3);
        let length = RING_BYTES as u64 + 777;
        let sent = whole(payload.body(9, length));
        for step in [1000, 65_537, 1 << 20, usize::MAX] {
            let mut walk = payload.body(9, length);
            for piece in sent.chunks(step.min(sent.len())) {
                walk.compare(piece).unwrap();
            }
            assert_eq!(walk.left(), 0);
            assert_eq!(walk.compare(b"x"), Err(Mismatch::Length));
        }
        let mut wrong = sent.clone();
        wrong[5_000] ^= 1;
        assert_eq!(payload.body(9, length).compare(&wrong), Err(Mismatch::Bytes));
        assert_eq!(payload.body(10, length).compare(&sent), Err(Mismatch::Bytes));
    }
}
