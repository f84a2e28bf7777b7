//! One checksum for an object that came in parts, from the checksums of its parts. Pure.
//!
//! S3 knows two ways. A *composite* checksum is the checksum of the parts' digests, written one behind the other; it says
//! nothing about the bytes without knowing where the parts end. A checksum of the *full object* is what one pass over all
//! bytes would have given; only CRCs can be put together like that without reading the bytes again.

use cairn_machine::rows::object::ChecksumKind;
use crc_fast::{CrcAlgorithm, checksum_combine};

use super::{Running, name_and_length};

/// The checksum of the parts' checksums, in the order of the parts.
pub fn composite(kind: ChecksumKind, parts: &[&[u8]]) -> Vec<u8> {
    let (_, length) = name_and_length(kind);
    let mut running = Running::new(kind);
    for digest in parts {
        assert_eq!(digest.len(), length, "a digest of its kind");
        running.update(digest);
    }
    running.finish()
}

/// The checksum of all bytes, from each part's digest and its length in bytes; `None` for kinds that cannot be combined.
pub fn full_object(kind: ChecksumKind, parts: &[(&[u8], u64)]) -> Option<Vec<u8>> {
    let algorithm = crc(kind)?;
    let (_, length) = name_and_length(kind);
    // What the checksum of no bytes is, so that no parts and empty parts need no case of their own.
    let nothing = crc_fast::checksum(algorithm, b"");
    let combined = parts.iter().fold(nothing, |before, (digest, bytes)| {
        assert_eq!(digest.len(), length, "a digest of its kind");
        let value = digest.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        checksum_combine(algorithm, before, value, *bytes)
    });
    Some(combined.to_be_bytes()[8 - length..].to_vec())
}

/// Whether parts of this kind can be combined to a checksum of the full object.
pub fn combines(kind: ChecksumKind) -> bool {
    crc(kind).is_some()
}

/// The algorithm behind a kind that is a CRC.
pub(super) fn crc(kind: ChecksumKind) -> Option<CrcAlgorithm> {
    match kind {
        ChecksumKind::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
        ChecksumKind::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
        ChecksumKind::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
        ChecksumKind::Sha1 | ChecksumKind::Sha256 => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CRCS: [ChecksumKind; 3] = [ChecksumKind::Crc32, ChecksumKind::Crc32c, ChecksumKind::Crc64Nvme];

    fn one_pass(kind: ChecksumKind, bytes: &[u8]) -> Vec<u8> {
        let mut running = Running::new(kind);
        running.update(bytes);
        running.finish()
    }

    proptest! {
        #[test]
        fn combining_gives_what_one_pass_gives(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
        ) {
            let whole = parts.concat();
            for kind in CRCS {
                let digests: Vec<_> = parts.iter().map(|part| (one_pass(kind, part), part.len() as u64)).collect();
                let digests: Vec<_> = digests.iter().map(|(digest, length)| (&digest[..], *length)).collect();
                prop_assert_eq!(full_object(kind, &digests), Some(one_pass(kind, &whole)), "{:?}", kind);
            }
        }
    }

    /// Ten thousand parts of 512 MiB, all zeros: part by part, and as a hundred hundreds. No machine has to read 5 TiB.
    #[test]
    fn lengths_beyond_four_gibibytes_combine() {
        for kind in CRCS {
            // Doubled thirteen times, 64 KiB become 512 MiB.
            let (digest, part) = (0..13).fold((one_pass(kind, &[0; 1 << 16]), 1u64 << 16), |(digest, bytes), _| {
                (full_object(kind, &[(&digest[..], bytes); 2]).unwrap(), bytes * 2)
            });
            assert_eq!(part, 512 << 20);
            let all = full_object(kind, &vec![(&digest[..], part); 10_000]).unwrap();
            let hundred = full_object(kind, &vec![(&digest[..], part); 100]).unwrap();
            let hundreds = full_object(kind, &vec![(&hundred[..], 100 * part); 100]).unwrap();
            assert_eq!(all, hundreds, "{kind:?}");
            assert_ne!(all, hundred, "{kind:?}");
        }
    }

    #[test]
    fn a_composite_is_the_checksum_of_the_digests() {
        for kind in CRCS.into_iter().chain([ChecksumKind::Sha1, ChecksumKind::Sha256]) {
            let digests = [one_pass(kind, b"1234"), one_pass(kind, b"56789")];
            let expected = one_pass(kind, &digests.concat());
            assert_eq!(composite(kind, &[&digests[0], &digests[1]]), expected, "{kind:?}");
            assert_ne!(composite(kind, &[&digests[1], &digests[0]]), expected, "the order counts: {kind:?}");
        }
    }

    #[test]
    fn hashes_do_not_combine() {
        for kind in [ChecksumKind::Sha1, ChecksumKind::Sha256] {
            assert_eq!(full_object(kind, &[(&one_pass(kind, b"x"), 1)]), None);
            assert!(!combines(kind));
        }
        assert!(CRCS.into_iter().all(combines));
    }
}
