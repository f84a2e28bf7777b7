//! How messages between nodes become bytes. Described in `docs/formats/raft-wire.md`.
//!
//! ```text
//! version (1) | length of the head (4) | head: CBOR with numbered fields | payload: what the head says
//! ```
//! The payload is what is large and encoded already: entries as the log keeps them, operations as they will stand in an
//! entry, a piece of a run. It is cut out of the body, not copied.

use bytes::{BufMut, Bytes, BytesMut};
use minicbor::{Decode, Encode};

/// The version that this release writes, and the newest that it reads.
const VERSION: u8 = 1;

/// The most bytes of one body or reply.
pub const BODY_BYTES_MAX: usize = 8 << 20;

/// The most bytes of what goes into one body by choice, so that with its head it stays below [`BODY_BYTES_MAX`].
pub(crate) const PAYLOAD_BYTES_MAX: usize = 4 << 20;

/// What stands before the head.
const FRAME_BYTES: usize = 5;

/// Bytes from another node that this one does not act on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireError {
    /// A newer release sent it: start that release here, too.
    #[error("a {what} of wire version {found}, this release reads up to {VERSION}")]
    Newer {
        /// What was read.
        what: &'static str,
        /// The version found.
        found: u8,
    },
    /// Not what a node of this cluster sends. It is refused, and nothing happens.
    #[error("a {what} that makes no sense: {reason}")]
    Malformed {
        /// What was read.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

/// The head of a message.
pub(crate) trait Message: Encode<()> + for<'b> Decode<'b, ()> {
    /// What a person calls it.
    const WHAT: &'static str;

    /// A complaint about bytes that are no such message.
    fn malformed(reason: impl ToString) -> WireError {
        WireError::Malformed { what: Self::WHAT, reason: reason.to_string() }
    }

    /// A message without a payload.
    fn to_body(&self) -> Bytes {
        self.to_body_with(&[])
    }

    /// A message with its payload.
    fn to_body_with(&self, payload: &[Bytes]) -> Bytes {
        let head = minicbor::to_vec(self).expect("a vector takes every byte");
        let length: usize = payload.iter().map(Bytes::len).sum();
        let mut body = BytesMut::with_capacity(FRAME_BYTES + head.len() + length);
        body.put_u8(VERSION);
        body.put_u32(u32::try_from(head.len()).expect("heads are bounded"));
        body.put_slice(&head);
        payload.iter().for_each(|piece| body.put_slice(piece));
        body.freeze()
    }

    /// Reads a message that has no payload.
    fn from_body(body: &Bytes) -> Result<Self, WireError> {
        let (head, payload) = Self::from_body_with(body)?;
        if payload.is_empty() { Ok(head) } else { Err(Self::malformed("bytes behind its end")) }
    }

    /// Reads a message and what follows it. Whether that is what the head says is the caller's to check.
    fn from_body_with(body: &Bytes) -> Result<(Self, Bytes), WireError> {
        if body.len() > BODY_BYTES_MAX {
            return Err(Self::malformed(format!("{} bytes", body.len())));
        }
        match body.first() {
            None => return Err(Self::malformed("empty")),
            Some(&VERSION) => {}
            Some(0) => return Err(Self::malformed("version 0")),
            Some(&found) => return Err(WireError::Newer { what: Self::WHAT, found }),
        }
        let length = body.get(1..FRAME_BYTES).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
        let length = length.ok_or_else(|| Self::malformed("cut short"))? as usize;
        let end = FRAME_BYTES + length;
        let head = body.get(FRAME_BYTES..end).ok_or_else(|| Self::malformed("cut short"))?;
        let mut decoder = minicbor::Decoder::new(head);
        let message: Self = decoder.decode().map_err(Self::malformed)?;
        if decoder.position() != head.len() {
            return Err(Self::malformed("bytes behind its head"));
        }
        Ok((message, body.slice(end..)))
    }
}

/// Cuts a payload into pieces of these lengths, which must be all of it.
pub(crate) fn cut<M: Message>(
    payload: &Bytes,
    lengths: impl IntoIterator<Item = u32>,
) -> Result<Vec<Bytes>, WireError> {
    let mut pieces = Vec::new();
    let mut at = 0;
    for length in lengths {
        let end = at + length as usize;
        if end > payload.len() {
            return Err(M::malformed("its payload is cut short"));
        }
        pieces.push(payload.slice(at..end));
        at = end;
    }
    if at == payload.len() { Ok(pieces) } else { Err(M::malformed("bytes behind its payload")) }
}

/// A length that a payload can have.
pub(crate) fn length(piece: &Bytes) -> u32 {
    u32::try_from(piece.len()).expect("pieces are bounded")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Encode, Decode)]
    struct Sample {
        #[n(0)]
        number: u64,
        #[n(1)]
        lengths: Vec<u32>,
    }

    impl Message for Sample {
        const WHAT: &'static str = "sample";
    }

    #[test]
    fn a_message_comes_back_with_its_payload_and_nothing_else_is_taken_for_one() {
        let pieces = [Bytes::from_static(b"abc"), Bytes::new(), Bytes::from_static(b"de")];
        let sample = Sample { number: 7, lengths: pieces.iter().map(length).collect() };
        let body = sample.to_body_with(&pieces);
        let (head, payload) = Sample::from_body_with(&body).unwrap();
        assert_eq!(cut::<Sample>(&payload, head.lengths.clone()).unwrap(), pieces);
        assert_eq!(head, sample);
        assert!(Sample::from_body(&body).is_err(), "a payload that nobody reads");
        for end in 0..body.len() {
            let short = body.slice(..end);
            let read = Sample::from_body_with(&short).and_then(|(head, rest)| cut::<Sample>(&rest, head.lengths));
            assert!(read.is_err(), "{end} bytes");
        }
        let mut newer = body.to_vec();
        newer[0] = 2;
        assert_eq!(Sample::from_body_with(&newer.into()).unwrap_err(), WireError::Newer { what: "sample", found: 2 });
        let mut endless = body.to_vec();
        endless[1..5].copy_from_slice(&u32::MAX.to_be_bytes());
        assert!(Sample::from_body_with(&endless.into()).is_err());
        assert!(Sample::from_body_with(&vec![1; BODY_BYTES_MAX + 1].into()).is_err());
        assert!(cut::<Sample>(&payload, [3, 1]).is_err());
    }
}
