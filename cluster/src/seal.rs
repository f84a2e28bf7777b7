//! Tags on what is said after the greeting: keyed blake3 over direction, number and content. Pure.
//!
//! Each direction has a key of its own, so a message played back to its sender is not one; each message has a number that
//! both ends count, so one that is repeated, dropped or moved is not one either.

use zeroize::{Zeroize, ZeroizeOnDrop};

/// How long a tag is.
pub const TAG_BYTES: usize = 32;

/// The keys of one connection.
#[derive(Debug)]
pub(crate) struct Keys {
    /// From the end that opened the connection.
    pub caller: Key,
    /// From the end that was called.
    pub answerer: Key,
}

/// One direction's key. Wiped when it is dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct Key([u8; 32]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Keys {
    pub(crate) fn derive(session: &[u8; 32]) -> Self {
        Self {
            caller: Key(blake3::derive_key("cairn 2026 node connection from the caller v1", session)),
            answerer: Key(blake3::derive_key("cairn 2026 node connection from the answerer v1", session)),
        }
    }

    /// What only the caller of this very connection can say.
    pub(crate) fn proof(&self) -> [u8; TAG_BYTES] {
        self.caller.tag(Domain::Proof, 0, 0, &[])
    }
}

/// What a tag is on. Part of what is hashed, so that no kind can stand for another.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
enum Domain {
    Proof = 1,
    Message = 2,
    Frame = 3,
}

impl Key {
    fn tag(&self, domain: Domain, number: u64, frame: u64, parts: &[&[u8]]) -> [u8; TAG_BYTES] {
        let mut place = [0; 17];
        place[0] = domain as u8;
        place[1..9].copy_from_slice(&number.to_be_bytes());
        place[9..].copy_from_slice(&frame.to_be_bytes());
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&place);
        for part in parts {
            hasher.update(part);
        }
        *hasher.finalize().as_bytes()
    }
}

/// The tags of one message: one direction, one number.
#[derive(Debug, Clone)]
pub(crate) struct Seal {
    key: std::sync::Arc<Key>,
    number: u64,
}

/// A tag that does not belong to what it came with. The connection is not ours alone: close it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a tag that does not belong to its message")]
pub(crate) struct Unsealed;

impl Seal {
    /// The first message of a direction.
    pub(crate) fn first(key: Key) -> Self {
        Self { key: std::sync::Arc::new(key), number: 0 }
    }

    /// This message's seal; the next call gives the next message's.
    pub(crate) fn take(&mut self) -> Self {
        let this = self.clone();
        // 2^64 messages do not pass over one connection; if they did, tags must not come again.
        self.number = self.number.checked_add(1).expect("a connection ends before its numbers do");
        this
    }

    /// The tag of a message. The parts' lengths must follow from the first of them.
    pub(crate) fn message(&self, parts: &[&[u8]]) -> [u8; TAG_BYTES] {
        self.key.tag(Domain::Message, self.number, 0, parts)
    }

    /// The tag of one frame of this message's stream.
    pub(crate) fn frame(&self, frame: u64, parts: &[&[u8]]) -> [u8; TAG_BYTES] {
        self.key.tag(Domain::Frame, self.number, frame, parts)
    }

    /// Compares, in the same time wherever the two differ.
    pub(crate) fn check(expected: [u8; TAG_BYTES], found: &[u8]) -> Result<(), Unsealed> {
        let found: [u8; TAG_BYTES] = found.try_into().map_err(|_| Unsealed)?;
        if blake3::Hash::from_bytes(expected) == blake3::Hash::from_bytes(found) { Ok(()) } else { Err(Unsealed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(seed: u8) -> Keys {
        Keys::derive(&[seed; 32])
    }

    #[test]
    fn a_tag_fits_one_direction_one_number_one_content_and_one_connection() {
        let seal = |key| Seal::first(key);
        let mut caller = seal(keys(1).caller);
        let first = caller.take().message(&[b"head", b"body"]);
        assert_eq!(seal(keys(1).caller).message(&[b"head", b"body"]), first, "the same message again");
        let others = [
            caller.take().message(&[b"head", b"body"]),
            seal(keys(1).answerer).message(&[b"head", b"body"]),
            seal(keys(2).caller).message(&[b"head", b"body"]),
            seal(keys(1).caller).message(&[b"head", b"bodY"]),
            seal(keys(1).caller).frame(0, &[b"head", b"body"]),
            seal(keys(1).caller).frame(1, &[b"head", b"body"]),
        ];
        for (at, other) in others.iter().enumerate() {
            assert_ne!(other, &first, "case {at}");
            assert_eq!(Seal::check(first, other), Err(Unsealed));
        }
        assert_eq!(Seal::check(first, &first), Ok(()));
        assert_eq!(Seal::check(first, &first[..31]), Err(Unsealed));
    }
}
