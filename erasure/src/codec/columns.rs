//! Walks along chunks that lie in memory in several parts, so that nothing is copied into one piece beforehand.

use bytes::Bytes;

/// A place in a chunk's bytes. A clone walks on by itself.
#[derive(Clone)]
pub(super) struct Cursor<'a> {
    parts: core::slice::Iter<'a, Bytes>,
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(parts: &'a [Bytes]) -> Self {
        Self { parts: parts.iter(), rest: &[] }
    }

    /// The next bytes, at most so many and at least one, as they lie.
    fn piece(&mut self, most: usize) -> &'a [u8] {
        while self.rest.is_empty() {
            self.rest = self.parts.next().expect("a chunk has as many bytes as its stripe's shape says");
        }
        let (piece, rest) = self.rest.split_at(most.min(self.rest.len()));
        self.rest = rest;
        piece
    }

    /// The next column. Copied to `scratch` only where it lies in more than one part.
    pub(super) fn column<'s>(&mut self, bytes: usize, scratch: &'s mut Vec<u8>) -> &'s [u8]
    where
        'a: 's,
    {
        let piece = self.piece(bytes);
        if piece.len() == bytes {
            return piece;
        }
        scratch.clear();
        scratch.extend_from_slice(piece);
        while scratch.len() < bytes {
            scratch.extend_from_slice(self.piece(bytes - scratch.len()));
        }
        scratch
    }

    /// Copies the next bytes to `out`.
    pub(super) fn copy_to(&mut self, mut out: &mut [u8]) {
        while !out.is_empty() {
            let piece = self.piece(out.len());
            let (now, later) = out.split_at_mut(piece.len());
            now.copy_from_slice(piece);
            out = later;
        }
    }

    /// Adds the next bytes to `out`, which in this field is exclusive or.
    pub(super) fn add_to(&mut self, mut out: &mut [u8]) {
        while !out.is_empty() {
            let piece = self.piece(out.len());
            let (now, later) = out.split_at_mut(piece.len());
            for (byte, added) in now.iter_mut().zip(piece) {
                *byte ^= added;
            }
            out = later;
        }
    }

    /// Passes over the next bytes.
    pub(super) fn skip(&mut self, mut bytes: usize) {
        while bytes > 0 {
            bytes -= self.piece(bytes).len();
        }
    }
}
