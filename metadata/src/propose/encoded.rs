//! A proposal's operations as they will stand in the log, encoded by its caller: so the one task that gathers only copies
//! bytes, and a proposal that is too large is refused before it waits.

use bytes::Bytes;
use cairn_machine::Operation;
use cairn_machine::batch::PROPOSAL_OPERATIONS_MAX;
use cairn_machine::{Author, FUNCTION_NEVER_RAISED, RequestId};
use minicbor::encode::Write as _;
use minicbor::{Encode, Encoder};

use crate::calendar::Times;
use crate::error::ProposeError;
use crate::raft::begin_entry;

/// The most bytes of one proposal, and of the proposals of one entry.
pub(super) const PROPOSAL_BYTES_MAX: usize = 1024 * 1024;

/// What each proposal adds to an entry beside its operations, at most.
const PROPOSAL_FRAME_BYTES: usize = 40;

/// What an author adds beside the key's id, at most.
const AUTHOR_FRAME_BYTES: usize = 8;

/// A proposal's operations, as CBOR, and on whose behalf they come.
#[derive(Debug)]
pub(super) struct EncodedOperations {
    bytes: Bytes,
    count: usize,
    authors: Option<Vec<Author>>,
    needs: u8,
    raises: bool,
}

impl EncodedOperations {
    /// Encodes them, or refuses what is too large.
    pub(super) fn encode(operations: &[Operation]) -> Result<Self, ProposeError> {
        let mut bytes = Vec::with_capacity(256);
        minicbor::encode(operations, &mut bytes).expect("a vector takes every byte");
        let (count, length) = (operations.len(), bytes.len());
        if count > PROPOSAL_OPERATIONS_MAX || length > PROPOSAL_BYTES_MAX {
            return Err(ProposeError::TooLarge { operations: count, bytes: length });
        }
        let authors = crate::authorship::authors_of(operations);
        let (needs, raises) = version(operations);
        Ok(Self { bytes: bytes.into(), count, authors, needs, raises })
    }

    /// What another node has encoded. It is read once, so that nothing stands in the log that no voter can apply.
    pub(super) fn from_peer(bytes: Bytes, authors: Option<Vec<Author>>) -> Result<Self, String> {
        if bytes.len() > PROPOSAL_BYTES_MAX {
            return Err(format!("operations of {} bytes", bytes.len()));
        }
        let mut decoder = minicbor::Decoder::new(&bytes);
        let operations: Vec<Operation> = decoder.decode().map_err(|error| error.to_string())?;
        if decoder.position() != bytes.len() {
            return Err("bytes behind the operations".into());
        }
        match operations.len() {
            count if authors.as_ref().is_some_and(|authors| !Author::are_sound(authors, count)) => {
                Err("authors that make no sense".into())
            }
            count @ 1..=PROPOSAL_OPERATIONS_MAX => {
                let (needs, raises) = version(&operations);
                Ok(Self { bytes, count, authors, needs, raises })
            }
            count => Err(format!("{count} operations")),
        }
    }

    /// As they are sent to the leader.
    pub(super) fn encoded(&self) -> &Bytes {
        &self.bytes
    }

    /// How many operations.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The version of the function that an entry with them is of, at least.
    pub(super) fn needs(&self) -> u8 {
        self.needs
    }

    /// Whether they raise the cluster to that version.
    pub(super) fn raises(&self) -> bool {
        self.raises
    }

    /// On whose behalf they come.
    pub(super) fn authors(&self) -> Option<&Vec<Author>> {
        self.authors.as_ref()
    }

    /// How many bytes it adds to an entry, at most.
    pub(super) fn bytes(&self) -> usize {
        let of = |author: &Author| author.key.as_ref().map_or(0, String::len) + AUTHOR_FRAME_BYTES;
        let authors: usize = self.authors.iter().flatten().map(of).sum();
        self.bytes.len() + authors + PROPOSAL_FRAME_BYTES
    }
}

/// The version of the function that knows all of these, and whether they raise the cluster to it.
fn version(operations: &[Operation]) -> (u8, bool) {
    let needs = operations.iter().map(Operation::since).max().unwrap_or(FUNCTION_NEVER_RAISED);
    (needs, matches!(operations, [Operation::RaiseFunction { .. }]))
}

/// An entry that carries these proposals: byte for byte what encoding a [`cairn_machine::Batch`] gives, without decoding
/// what was encoded already.
pub(super) fn batch_entry<'a>(
    function: u8,
    times: Times,
    proposals: impl ExactSizeIterator<Item = (Option<RequestId>, &'a EncodedOperations)>,
    bytes: usize,
) -> Bytes {
    let mut encoder = Encoder::new(begin_entry(bytes + 32));
    let done: Result<(), minicbor::encode::Error<core::convert::Infallible>> = (|| {
        let sure = (times.sure != times.date).then_some(times.sure);
        encoder.array(if sure.is_some() { 4 } else { 3 })?.u8(function)?;
        times.date.encode(&mut encoder, &mut ())?;
        encoder.array(proposals.len() as u64)?;
        for (request, operations) in proposals {
            encoder.array(if operations.authors.is_some() { 3 } else { 2 })?;
            request.encode(&mut encoder, &mut ())?;
            encoder.writer_mut().write_all(&operations.bytes).map_err(minicbor::encode::Error::write)?;
            if let Some(authors) = &operations.authors {
                authors.encode(&mut encoder, &mut ())?;
            }
        }
        if let Some(sure) = sure {
            sure.encode(&mut encoder, &mut ())?;
        }
        Ok(())
    })();
    done.expect("a vector takes every byte");
    encoder.into_writer().into()
}

#[cfg(test)]
mod tests {
    use cairn_core::{LogIndex, SessionId, WallTime};
    use cairn_machine::batch::AUTHOR_BYTES_MAX;
    use cairn_machine::{Batch, FUNCTION_VERSION, Proposal};

    use super::*;
    use crate::raft::ENTRY_HEAD_BYTES;

    fn renewals(count: u64) -> Vec<Operation> {
        let renewal = |n| Operation::RenewSession { id: SessionId(n), commits_from: n, reads_from: LogIndex(n << 20) };
        (0..count).map(renewal).collect()
    }

    #[test]
    fn an_entry_is_an_encoded_batch() {
        let requests = [None, Some(RequestId { session: SessionId(7), number: 70_000, lowest_unanswered: 3 })];
        let author = |n: usize| Author { first: 0, key: [None, Some("key".to_owned())][n % 2].clone() };
        for count in [0, 1, 2, 30] {
            let proposals: Vec<_> = (0..count)
                .map(|n| Proposal {
                    request: requests[n % 2],
                    operations: renewals(n as u64 * 3),
                    authors: (n % 3 == 1).then(|| vec![author(n)]),
                })
                .collect();
            let encode = |p: &Proposal| {
                let encoded = EncodedOperations::encode(&p.operations).unwrap();
                EncodedOperations { authors: p.authors.clone(), ..encoded }
            };
            let encoded: Vec<_> = proposals.iter().map(encode).collect();
            let date = WallTime(1_700_000_000_000);
            let sure = [date, WallTime(1_600_000_000_000)][count % 2];
            let pairs = proposals.iter().map(|p| p.request).zip(&encoded);
            let entry = batch_entry(FUNCTION_VERSION, Times { date, sure }, pairs, 0);
            let sure = (sure != date).then_some(sure);
            let batch = Batch { function: FUNCTION_VERSION, time: date, proposals, sure };
            assert_eq!(&entry[ENTRY_HEAD_BYTES..], minicbor::to_vec(&batch).unwrap());
            assert_eq!(minicbor::decode::<Batch>(&entry[ENTRY_HEAD_BYTES..]).unwrap(), batch);
        }
    }

    #[test]
    fn what_another_node_sends_is_read_before_it_is_believed() {
        let sent = EncodedOperations::encode(&renewals(3)).unwrap();
        let read = |bytes: Bytes| EncodedOperations::from_peer(bytes, None);
        let whole = read(sent.encoded().clone()).unwrap();
        assert_eq!((whole.bytes, whole.count), (sent.bytes.clone(), 3));
        for end in 0..sent.bytes.len() {
            assert!(read(sent.bytes.slice(..end)).is_err(), "{end} bytes");
        }
        let more = [&sent.bytes[..], &[0]].concat();
        assert!(read(more.into()).is_err());
        assert!(read(Bytes::from_static(&[0x80])).is_err(), "nothing to do");
        assert!(read(vec![0; PROPOSAL_BYTES_MAX + 1].into()).is_err());
        let author = |first, length| Author { first, key: Some("k".repeat(length)) };
        for (authors, sound) in [
            (vec![author(0, 20)], true),
            (vec![author(0, AUTHOR_BYTES_MAX), author(2, 0)], true),
            (vec![], false),
            (vec![author(3, 1)], false),
            (vec![author(0, AUTHOR_BYTES_MAX + 1)], false),
            (vec![author(1, 1), author(1, 1)], false),
        ] {
            let read = EncodedOperations::from_peer(sent.encoded().clone(), Some(authors.clone()));
            assert_eq!(read.is_ok(), sound, "{authors:?}");
        }
    }

    #[test]
    fn what_is_too_large_is_refused_before_it_waits() {
        let many = renewals(PROPOSAL_OPERATIONS_MAX as u64 + 1);
        assert!(EncodedOperations::encode(&many[1..]).is_ok());
        assert!(matches!(EncodedOperations::encode(&many), Err(ProposeError::TooLarge { .. })));
        let long =
            Operation::PutAccessKey { id: "x".repeat(PROPOSAL_BYTES_MAX), sealed_secret: vec![].into(), root: false };
        assert!(matches!(EncodedOperations::encode(&[long]), Err(ProposeError::TooLarge { .. })));
    }
}
