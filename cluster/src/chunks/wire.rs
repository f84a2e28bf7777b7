//! What drives are asked and what they answer, as bytes. Pure. The layouts are in `docs/formats/wire.md`.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use cairn_core::chunk_store::{ChunkStat, DriveHealth, RangeDigest};
use cairn_core::{ChunkError, ChunkName, DriveId};
use minicbor::{Decode, Encode};

use crate::service::Method;

pub(super) const PUT: Method = Method(1);
pub(super) const GET: Method = Method(2);
pub(super) const HEAD: Method = Method(3);
pub(super) const READ_BACK: Method = Method(4);
pub(super) const DELETE: Method = Method(5);
pub(super) const LIST: Method = Method(6);
pub(super) const HEALTH: Method = Method(7);
pub(super) const DIGEST: Method = Method(8);

/// The longest page of a listing that is asked for at once: below 3 MiB.
pub(super) const PAGE_MAX: usize = 65_536;

/// Longer words of an error are cut: they are for people.
const WORDS_BYTES_MAX: usize = 1024;

const STAT_BYTES: usize = ChunkName::BYTES + 8;

/// Bytes that do not make sense. Nothing is done with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed {0}")]
pub(super) struct Malformed(pub &'static str);

/// The drive that a call is about stands before everything else.
pub(super) fn about(drive: DriveId, rest: &[&[u8]]) -> Bytes {
    let mut bytes = Vec::with_capacity(DriveId::BYTES + rest.iter().map(|part| part.len()).sum::<usize>());
    bytes.extend_from_slice(&drive.to_bytes());
    rest.iter().for_each(|part| bytes.extend_from_slice(part));
    Bytes::from(bytes)
}

/// The inverse of [`about`].
pub(super) fn split_drive(mut head: Bytes) -> Result<(DriveId, Bytes), Malformed> {
    let drive = head.get(..DriveId::BYTES).and_then(|bytes| bytes.try_into().ok()).ok_or(Malformed("drive"))?;
    Ok((DriveId::from_bytes(drive), head.split_off(DriveId::BYTES)))
}

/// A chunk's name and a range of it.
pub(super) fn encode_range(name: &ChunkName, range: &Range<u32>) -> [u8; ChunkName::BYTES + 8] {
    let mut bytes = [0; ChunkName::BYTES + 8];
    bytes[..ChunkName::BYTES].copy_from_slice(&name.to_bytes());
    bytes[ChunkName::BYTES..ChunkName::BYTES + 4].copy_from_slice(&range.start.to_be_bytes());
    bytes[ChunkName::BYTES + 4..].copy_from_slice(&range.end.to_be_bytes());
    bytes
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// The inverse of [`encode_range`].
pub(super) fn decode_range(bytes: &[u8]) -> Result<(ChunkName, Range<u32>), Malformed> {
    let range = || {
        let name = ChunkName::from_slice(bytes.get(..ChunkName::BYTES)?)?;
        let (start, end) = (u32_at(bytes, ChunkName::BYTES)?, u32_at(bytes, ChunkName::BYTES + 4)?);
        (bytes.len() == ChunkName::BYTES + 8).then_some((name, start..end))
    };
    range().ok_or(Malformed("range"))
}

/// A chunk's name alone.
pub(super) fn decode_name(bytes: &[u8]) -> Result<ChunkName, Malformed> {
    ChunkName::from_slice(bytes).ok_or(Malformed("name"))
}

/// Which page of a listing.
pub(super) fn encode_page(after: Option<ChunkName>, limit: usize) -> Vec<u8> {
    let limit = u32::try_from(limit.min(PAGE_MAX)).expect("the longest page is short");
    let mut bytes = limit.to_be_bytes().to_vec();
    bytes.extend(after.into_iter().flat_map(ChunkName::to_bytes));
    bytes
}

/// The inverse of [`encode_page`].
pub(super) fn decode_page(bytes: &[u8]) -> Result<(Option<ChunkName>, usize), Malformed> {
    let limit = u32_at(bytes, 0).ok_or(Malformed("page"))? as usize;
    if limit > PAGE_MAX {
        return Err(Malformed("page"));
    }
    match &bytes[4..] {
        [] => Ok((None, limit)),
        name => Ok((Some(decode_name(name)?), limit)),
    }
}

/// Which part of a listing a digest is wanted of: one byte says which of the two bounds follow it.
pub(super) fn encode_bounds(after: Option<ChunkName>, until: Option<ChunkName>) -> Vec<u8> {
    let mut bytes = vec![u8::from(after.is_some()) | u8::from(until.is_some()) << 1];
    bytes.extend(after.into_iter().chain(until).flat_map(ChunkName::to_bytes));
    bytes
}

/// The inverse of [`encode_bounds`].
pub(super) fn decode_bounds(bytes: &[u8]) -> Result<(Option<ChunkName>, Option<ChunkName>), Malformed> {
    let malformed = Malformed("bounds");
    let (&which, names) = bytes.split_first().ok_or(malformed)?;
    let mut names = names.chunks(ChunkName::BYTES);
    let mut next = |is_there: bool| match is_there {
        true => names.next().and_then(ChunkName::from_slice).map(Some).ok_or(malformed),
        false => Ok(None),
    };
    let bounds = (next(which & 1 != 0)?, next(which & 2 != 0)?);
    if which > 3 || names.next().is_some() {
        return Err(malformed);
    }
    Ok(bounds)
}

/// What a part of a listing amounts to.
pub(super) fn encode_digest(digest: &RangeDigest) -> Bytes {
    Bytes::from([&digest.chunks.to_be_bytes()[..], &digest.hash].concat())
}

/// The inverse of [`encode_digest`].
pub(super) fn decode_digest(bytes: &[u8]) -> Result<RangeDigest, Malformed> {
    let digest = || {
        let (chunks, hash) = bytes.split_at_checked(8)?;
        Some(RangeDigest { chunks: u64::from_be_bytes(chunks.try_into().ok()?), hash: hash.try_into().ok()? })
    };
    digest().ok_or(Malformed("digest"))
}

/// A page of a listing.
pub(super) fn encode_stats(stats: &[ChunkStat]) -> Bytes {
    let mut bytes = Vec::with_capacity(stats.len() * STAT_BYTES);
    for stat in stats {
        bytes.extend_from_slice(&stat.name.to_bytes());
        bytes.extend_from_slice(&stat.stored_bytes.to_be_bytes());
    }
    Bytes::from(bytes)
}

/// The inverse of [`encode_stats`].
pub(super) fn decode_stats(bytes: &[u8]) -> Result<Vec<ChunkStat>, Malformed> {
    if !bytes.len().is_multiple_of(STAT_BYTES) {
        return Err(Malformed("listing"));
    }
    let stat = |bytes: &[u8]| {
        let stored = bytes[ChunkName::BYTES..].try_into().ok()?;
        let name = ChunkName::from_slice(&bytes[..ChunkName::BYTES])?;
        Some(ChunkStat { name, stored_bytes: u64::from_be_bytes(stored) })
    };
    bytes.chunks_exact(STAT_BYTES).map(stat).collect::<Option<_>>().ok_or(Malformed("listing"))
}

/// What a drive says of its health, and when: reports of one process are numbered, so that one that was overtaken on its
/// way does not stand for the newest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HealthReport {
    /// Drawn at each start of the process that has the drive.
    pub process: u64,
    /// Grows by one with each report.
    pub number: u64,
    pub health: DriveHealth,
}

#[derive(Encode, Decode)]
struct HealthWire {
    #[n(0)]
    process: u64,
    #[n(1)]
    number: u64,
    #[n(2)]
    not_writable: Option<String>,
    #[n(3)]
    chunks: u64,
    #[n(4)]
    live_bytes: u64,
    #[n(5)]
    allocated_bytes: u64,
    #[n(6)]
    available_bytes: u64,
    #[n(7)]
    total_bytes: u64,
    #[n(8)]
    errors: u64,
}

#[derive(Encode, Decode)]
enum ErrorWire {
    #[n(1)]
    NotFound(#[n(0)] minicbor::bytes::ByteVec),
    #[n(2)]
    Damaged(#[n(0)] minicbor::bytes::ByteVec, #[n(1)] String),
    #[n(3)]
    Full,
    #[n(4)]
    ReadOnly(#[n(0)] String),
    #[n(5)]
    Unavailable(#[n(0)] String),
    #[n(6)]
    Busy,
}

/// The head of every answer: what happened, and how the drive is after it.
#[derive(Encode, Decode)]
struct AnswerWire {
    #[n(0)]
    error: Option<ErrorWire>,
    #[n(1)]
    health: Option<HealthWire>,
    /// What the method answers, where it fits in a head: a chunk's head, or one byte.
    #[n(2)]
    #[cbor(with = "minicbor::bytes")]
    value: Vec<u8>,
}

fn words(text: &str) -> String {
    text.char_indices().take_while(|(at, _)| *at < WORDS_BYTES_MAX).map(|(_, c)| c).collect()
}

impl HealthWire {
    fn new(report: HealthReport) -> Self {
        let HealthReport { process, number, health } = report;
        Self {
            process,
            number,
            not_writable: health.writable.err().map(|why| words(&why)),
            chunks: health.chunks,
            live_bytes: health.live_bytes,
            allocated_bytes: health.allocated_bytes,
            available_bytes: health.available_bytes,
            total_bytes: health.total_bytes,
            errors: health.errors,
        }
    }

    fn report(self) -> HealthReport {
        let health = DriveHealth {
            writable: self.not_writable.map_or(Ok(()), |why| Err(Arc::from(why))),
            chunks: self.chunks,
            live_bytes: self.live_bytes,
            allocated_bytes: self.allocated_bytes,
            available_bytes: self.available_bytes,
            total_bytes: self.total_bytes,
            errors: self.errors,
        };
        HealthReport { process: self.process, number: self.number, health }
    }
}

impl ErrorWire {
    fn new(error: &ChunkError) -> Self {
        let name = |name: &ChunkName| name.to_bytes().to_vec().into();
        match error {
            ChunkError::NotFound(chunk, _) => Self::NotFound(name(chunk)),
            ChunkError::Damaged { chunk, what, .. } => Self::Damaged(name(chunk), words(what)),
            ChunkError::Full(_) => Self::Full,
            ChunkError::ReadOnly(_, why) => Self::ReadOnly(words(why)),
            ChunkError::Unavailable(_, why) => Self::Unavailable(words(why)),
            ChunkError::Busy(_) => Self::Busy,
        }
    }

    /// Every error of a drive names that drive, and it is the one that was asked.
    fn error(self, drive: DriveId) -> Result<ChunkError, Malformed> {
        Ok(match self {
            Self::NotFound(name) => ChunkError::NotFound(decode_name(&name)?, drive),
            Self::Damaged(name, what) => ChunkError::Damaged { chunk: decode_name(&name)?, drive, what },
            Self::Full => ChunkError::Full(drive),
            Self::ReadOnly(why) => ChunkError::ReadOnly(drive, Arc::from(why)),
            Self::Unavailable(why) => ChunkError::Unavailable(drive, Arc::from(why)),
            Self::Busy => ChunkError::Busy(drive),
        })
    }
}

/// An answer's head: what happened, the drive's health after it, and the value.
pub(super) fn encode_answer(result: Result<&[u8], &ChunkError>, health: Option<HealthReport>) -> Bytes {
    let answer = AnswerWire {
        error: result.err().map(ErrorWire::new),
        health: health.map(HealthWire::new),
        value: result.unwrap_or_default().to_vec(),
    };
    Bytes::from(minicbor::to_vec(answer).expect("encoding into memory does not fail"))
}

/// What an answer's head said.
pub(super) struct AnswerHead {
    pub result: Result<Bytes, ChunkError>,
    pub health: Option<HealthReport>,
}

/// The inverse of [`encode_answer`]. The head was bounded when it arrived.
pub(super) fn decode_answer(drive: DriveId, bytes: &[u8]) -> Result<AnswerHead, Malformed> {
    let answer: AnswerWire = minicbor::decode(bytes).map_err(|_| Malformed("answer"))?;
    let result = match answer.error {
        Some(error) => Err(error.error(drive)?),
        None => Ok(Bytes::from(answer.value)),
    };
    Ok(AnswerHead { result, health: answer.health.map(HealthWire::report) })
}

#[cfg(test)]
mod tests {
    use cairn_core::{SessionId, StripeId, WriteId};
    use proptest::prelude::*;

    use super::*;

    const DRIVE: DriveId = DriveId(9);

    fn name(a: u64, position: u8) -> ChunkName {
        let write = WriteId { session: SessionId(a), counter: !a };
        ChunkName { stripe: StripeId(write), position, write: WriteId { session: SessionId(!a), counter: a } }
    }

    #[test]
    fn every_error_crosses_without_loss() {
        let errors = [
            ChunkError::NotFound(name(1, 2), DRIVE),
            ChunkError::Damaged { chunk: name(3, 4), drive: DRIVE, what: "block 7".to_owned() },
            ChunkError::Full(DRIVE),
            ChunkError::ReadOnly(DRIVE, Arc::from("an operator said so")),
            ChunkError::Unavailable(DRIVE, Arc::from("EIO")),
            ChunkError::Busy(DRIVE),
        ];
        for error in errors {
            let answer = decode_answer(DRIVE, &encode_answer(Err(&error), None)).unwrap();
            assert_eq!(format!("{:?}", answer.result.unwrap_err()), format!("{error:?}"));
        }
    }

    proptest! {
        #[test]
        fn what_is_asked_and_answered_survives(a: u64, position: u8, start: u32, end: u32, limit in 0..=PAGE_MAX) {
            let name = name(a, position);
            prop_assert_eq!(decode_range(&encode_range(&name, &(start..end))), Ok((name, start..end)));
            prop_assert_eq!(decode_page(&encode_page(Some(name), limit)), Ok((Some(name), limit)));
            prop_assert_eq!(decode_page(&encode_page(None, limit)), Ok((None, limit)));
            for (after, until) in [(None, None), (Some(name), None), (None, Some(name)), (Some(name), Some(name))] {
                let bounds = encode_bounds(after, until);
                prop_assert_eq!(decode_bounds(&bounds), Ok((after, until)));
                prop_assert!(decode_bounds(&bounds[..bounds.len() - 1]).is_err());
                prop_assert!(decode_bounds(&[&bounds[..], b"x"].concat()).is_err());
            }
            let digest = RangeDigest { chunks: a, hash: [position; 16] };
            prop_assert_eq!(decode_digest(&encode_digest(&digest)), Ok(digest));
            prop_assert!(decode_digest(&encode_digest(&digest)[1..]).is_err());
            let stats = [ChunkStat { name, stored_bytes: a }, ChunkStat { name, stored_bytes: !a }];
            prop_assert_eq!(decode_stats(&encode_stats(&stats)).unwrap(), stats);
            let (drive, rest) = split_drive(about(DriveId(a), &[b"re", b"st"])).unwrap();
            prop_assert_eq!((drive, &rest[..]), (DriveId(a), &b"rest"[..]));
            let health = DriveHealth {
                writable: if position.is_multiple_of(2) { Ok(()) } else { Err(Arc::from("no")) },
                chunks: a,
                live_bytes: 1,
                allocated_bytes: 2,
                available_bytes: 3,
                total_bytes: 4,
                errors: u64::from(start),
            };
            let report = HealthReport { process: a, number: 5, health };
            let answer = decode_answer(DRIVE, &encode_answer(Ok(b"value"), Some(report.clone()))).unwrap();
            prop_assert_eq!(answer.health, Some(report));
            prop_assert_eq!(&answer.result.unwrap()[..], b"value");
        }

        #[test]
        fn foreign_bytes_are_refused_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = (decode_range(&bytes).is_ok(), decode_page(&bytes).is_ok(), decode_stats(&bytes).is_ok());
            let _ = (decode_bounds(&bytes).is_ok(), decode_digest(&bytes).is_ok());
            let _ = (decode_answer(DRIVE, &bytes).is_ok(), split_drive(Bytes::from(bytes)).is_ok());
        }
    }

    #[test]
    fn cut_and_overlong_bytes_are_refused() {
        let range = encode_range(&name(1, 1), &(0..5));
        assert!(decode_range(&range[..range.len() - 1]).is_err());
        assert!(decode_range(&[&range[..], b"x"].concat()).is_err());
        let page = encode_page(Some(name(1, 1)), 5);
        assert!(decode_page(&page[..page.len() - 1]).is_err() && decode_page(&page[..3]).is_err());
        assert!(decode_page(&u32::MAX.to_be_bytes()).is_err());
        assert!(decode_stats(&[0; STAT_BYTES + 1]).is_err());
        assert!(split_drive(Bytes::from_static(b"1234567")).is_err());
        let long = ChunkError::Unavailable(DRIVE, Arc::from("é".repeat(100_000)));
        assert!(encode_answer(Err(&long), None).len() < 2 * WORDS_BYTES_MAX);
    }
}
