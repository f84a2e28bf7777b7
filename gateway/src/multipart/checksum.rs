//! Which checksums go together in an upload, and what those of the parts become. Pure.
//!
//! An upload that was begun with an algorithm has it for every part: what a client does not send is computed, and another
//! one is refused. One without takes each part as it comes, and the object has a checksum where the parts' can be put
//! together; since a part without any gets the default kind, that is so for all clients that name none.

use cairn_machine::rows::object::{Checksum, ChecksumKind};
use cairn_machine::rows::upload::UploadChecksum;
use s3s::dto::{ChecksumAlgorithm, ChecksumType, CompleteMultipartUploadInput, CompletedPart};
use s3s::{S3Result, s3_error};

use crate::digest::{self, combine};

/// What a request that begins an upload asks for, from its two headers.
pub fn asked(algorithm: Option<&str>, kind: Option<&str>) -> S3Result<Option<UploadChecksum>> {
    let Some(algorithm) = algorithm.filter(|algorithm| !algorithm.is_empty()) else {
        return match kind {
            None => Ok(None),
            Some(_) => Err(s3_error!(
                InvalidRequest,
                "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header."
            )),
        };
    };
    let known = digest::kind_named(algorithm);
    let (checksum, _) =
        known.ok_or_else(|| s3_error!(InvalidRequest, "Checksum algorithm provided is unsupported."))?;
    let combines = combine::combines(checksum);
    let full_object = match kind {
        None => checksum == ChecksumKind::Crc64Nvme,
        Some(ChecksumType::FULL_OBJECT) => true,
        Some(ChecksumType::COMPOSITE) => false,
        Some(_) => return Err(s3_error!(InvalidRequest, "Value for x-amz-checksum-type header is invalid.")),
    };
    let possible = if full_object { combines } else { checksum != ChecksumKind::Crc64Nvme };
    if !possible {
        return Err(s3_error!(
            InvalidRequest,
            "The {} checksum type cannot be used with the {} checksum algorithm.",
            type_name(full_object),
            name(checksum).to_ascii_lowercase()
        ));
    }
    Ok(Some(UploadChecksum { kind: checksum, full_object }))
}

/// The kind that a part of an upload has to have, given the one that its client named.
pub fn of_part(asked: Option<UploadChecksum>, named: Option<ChecksumKind>) -> S3Result<Option<ChecksumKind>> {
    match (asked, named) {
        (Some(asked), Some(named)) if asked.kind != named => Err(s3_error!(
            InvalidRequest,
            "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
            name(asked.kind).to_ascii_lowercase(),
            name(named).to_ascii_lowercase()
        )),
        (asked, named) => Ok(asked.map(|asked| asked.kind).or(named)),
    }
}

/// The object's checksum, from those of its parts and their lengths.
pub fn of_object(asked: Option<UploadChecksum>, parts: &[(Option<Checksum>, u64)]) -> Option<Checksum> {
    let kind = match asked {
        Some(asked) => asked.kind,
        None => parts.first()?.0.as_ref()?.kind,
    };
    let digest = |part: &(Option<Checksum>, u64)| {
        part.0.as_ref().filter(|checksum| checksum.kind == kind).map(|checksum| checksum.digest.clone())
    };
    let digests: Vec<_> = parts.iter().map(digest).collect::<Option<_>>()?;
    if asked.is_none_or(|asked| asked.full_object) {
        let parts: Vec<_> = digests.iter().zip(parts).map(|(digest, (_, bytes))| (&digest[..], *bytes)).collect();
        return combine::full_object(kind, &parts).map(|digest| Checksum { kind, digest, parts: None });
    }
    let digests: Vec<_> = digests.iter().map(Vec::as_slice).collect();
    let count = u16::try_from(digests.len()).expect("an upload has at most 10,000 parts");
    Some(Checksum { kind, digest: combine::composite(kind, &digests), parts: Some(count) })
}

/// Whether a checksum is what a client says that it is. The number behind a composite one may be left out.
pub fn is(checksum: Option<&Checksum>, kind: ChecksumKind, said: &str) -> bool {
    let Some(checksum) = checksum.filter(|checksum| checksum.kind == kind) else { return false };
    let (digest, number) = match (said.rsplit_once('-'), checksum.parts) {
        (Some((digest, number)), Some(_)) => (digest, Some(number)),
        _ => (said, None),
    };
    let counted = number.is_none_or(|number| number.parse() == Ok(checksum.parts.unwrap_or_default()));
    counted && digest == digest::encode(&checksum.digest)
}

fn name(kind: ChecksumKind) -> String {
    digest::name_and_length(kind).0.to_ascii_uppercase()
}

fn type_name(full_object: bool) -> &'static str {
    if full_object { ChecksumType::FULL_OBJECT } else { ChecksumType::COMPOSITE }
}

/// What an upload's checksum is called in answers.
pub fn shown(asked: Option<UploadChecksum>) -> (Option<ChecksumAlgorithm>, Option<ChecksumType>) {
    let algorithm = asked.map(|asked| ChecksumAlgorithm::from(name(asked.kind)));
    (algorithm, asked.map(|asked| ChecksumType::from_static(type_name(asked.full_object))))
}

macro_rules! said {
    ($($(#[$doc:meta])* $function:ident($sent:ty);)*) => { $(
        $(#[$doc])*
        pub fn $function(sent: &$sent) -> S3Result<Option<(ChecksumKind, &str)>> {
            let unknown = [
                &sent.checksum_md5,
                &sent.checksum_sha512,
                &sent.checksum_xxhash128,
                &sent.checksum_xxhash3,
                &sent.checksum_xxhash64,
            ];
            if unknown.into_iter().any(Option::is_some) {
                return Err(s3_error!(NotImplemented, "Of checksums CRCs, SHA1 and SHA256 are implemented."));
            }
            let mut said = [
                (ChecksumKind::Crc32, &sent.checksum_crc32),
                (ChecksumKind::Crc32c, &sent.checksum_crc32c),
                (ChecksumKind::Crc64Nvme, &sent.checksum_crc64nvme),
                (ChecksumKind::Sha1, &sent.checksum_sha1),
                (ChecksumKind::Sha256, &sent.checksum_sha256),
            ]
            .into_iter()
            .filter_map(|(kind, text)| text.as_deref().map(|text| (kind, text)));
            let first = said.next();
            if said.next().is_some() {
                return Err(s3_error!(InvalidRequest, "Multiple checksum Types are not allowed."));
            }
            Ok(first)
        }
    )* };
}

said! {
    /// The checksum that a completion says its object has.
    said_of_object(CompleteMultipartUploadInput);
    /// The checksum that a completion says a part has.
    said_of_part(CompletedPart);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upload(kind: ChecksumKind, full_object: bool) -> Option<UploadChecksum> {
        Some(UploadChecksum { kind, full_object })
    }

    #[test]
    fn algorithms_and_types_go_together_as_on_aws() {
        use ChecksumKind::*;
        for (algorithm, kind, expected) in [
            (None, None, None),
            (Some(""), None, None),
            (Some("CRC32"), None, upload(Crc32, false)),
            (Some("crc32c"), Some("FULL_OBJECT"), upload(Crc32c, true)),
            (Some("CRC32"), Some("COMPOSITE"), upload(Crc32, false)),
            (Some("CRC64NVME"), None, upload(Crc64Nvme, true)),
            (Some("SHA1"), None, upload(Sha1, false)),
            (Some("SHA256"), Some("COMPOSITE"), upload(Sha256, false)),
        ] {
            assert_eq!(asked(algorithm, kind).unwrap(), expected, "{algorithm:?} {kind:?}");
        }
        for (algorithm, kind) in [
            (None, Some("FULL_OBJECT")),
            (Some("SHA256"), Some("FULL_OBJECT")),
            (Some("SHA1"), Some("FULL_OBJECT")),
            (Some("CRC64NVME"), Some("COMPOSITE")),
            (Some("CRC32"), Some("HALF")),
            (Some("MD4"), None),
        ] {
            let error = asked(algorithm, kind).unwrap_err();
            assert_eq!(error.code().as_str(), "InvalidRequest", "{algorithm:?} {kind:?}");
        }
    }

    #[test]
    fn parts_have_the_kind_of_their_upload() {
        use ChecksumKind::*;
        assert_eq!(of_part(None, None).unwrap(), None);
        assert_eq!(of_part(None, Some(Sha1)).unwrap(), Some(Sha1));
        assert_eq!(of_part(upload(Crc32, false), None).unwrap(), Some(Crc32));
        assert_eq!(of_part(upload(Crc32, false), Some(Crc32)).unwrap(), Some(Crc32));
        let mismatch = of_part(upload(Crc32, false), Some(Crc32c)).unwrap_err();
        assert_eq!(mismatch.code().as_str(), "InvalidRequest");
    }

    /// The parts' values and what they become are AWS's own, as clients' tests have them.
    #[test]
    fn checksums_of_parts_become_one() {
        let part = |kind, digest: &str| {
            use base64::Engine as _;
            let digest = base64::engine::general_purpose::STANDARD.decode(digest).unwrap();
            (Some(Checksum { kind, digest, parts: None }), 5 << 20)
        };
        let sha256 = [
            part(ChecksumKind::Sha256, "275VF5loJr1YYawit0XSHREhkFXYkkPKGuoK0x9VKxI="),
            part(ChecksumKind::Sha256, "mrHwOfjTL5Zwfj74F05HOQGLdUb7E5szdCbxgUSq6NM="),
            part(ChecksumKind::Sha256, "Vw7oB/nKQ5xWb3hNgbyfkvDiivl+U+/Dft48nfJfDow="),
        ];
        let composite = of_object(upload(ChecksumKind::Sha256, false), &sha256);
        assert_eq!(composite.as_ref().unwrap().parts, Some(3));
        for (said, holds) in [
            ("uWBwpe1dxI4Vw8Gf0X9ynOdw/SS6VBzfWm9giiv1sf4=-3", true),
            ("uWBwpe1dxI4Vw8Gf0X9ynOdw/SS6VBzfWm9giiv1sf4=", true),
            ("uWBwpe1dxI4Vw8Gf0X9ynOdw/SS6VBzfWm9giiv1sf4=-2", false),
            ("uWBwpe1dxI4Vw8Gf0X9ynOdw/SS6VBzfWm9giiv1sf4=-x", false),
            ("bad", false),
            ("", false),
        ] {
            assert_eq!(is(composite.as_ref(), ChecksumKind::Sha256, said), holds, "{said}");
            assert!(!is(composite.as_ref(), ChecksumKind::Sha1, said), "another kind");
        }
        assert_eq!(of_object(None, &sha256), None, "hashes do not combine, and nobody asked for a composite");
        let mixed = [part(ChecksumKind::Crc32, "AAAAAA=="), part(ChecksumKind::Crc32c, "AAAAAA==")];
        assert_eq!(of_object(None, &mixed), None);
        assert_eq!(of_object(None, &[(None, 5)]), None);
        let full = of_object(None, &mixed[..1]).unwrap();
        assert_eq!((full.kind, full.parts), (ChecksumKind::Crc32, None));
        assert!(is(Some(&full), ChecksumKind::Crc32, "AAAAAA=="));
    }
}
