//! Between S3's words and ours: names, tags, versions, checksums, times.

use cairn_core::names::InvalidName;
use cairn_core::{BucketName, ObjectKey, VersionId, WallTime};
use cairn_machine::operation::VersionChoice;
use cairn_machine::rows::object::{Checksum, ChecksumKind, Etag};
use s3s::dto::{
    ChecksumType, CompleteMultipartUploadOutput, CopyObjectResult, CopyPartResult, ETag, GetObjectOutput,
    HeadObjectOutput, Part, PutObjectOutput, Timestamp, UploadPartOutput,
};
use s3s::{S3Error, s3_error};

use crate::digest;

/// A bucket's name.
pub fn bucket(name: &str) -> Result<BucketName, S3Error> {
    BucketName::new(name).map_err(|_| s3_error!(InvalidBucketName))
}

/// An object's key.
pub fn key(key: String) -> Result<ObjectKey, S3Error> {
    ObjectKey::new(key).map_err(|error| match error {
        InvalidName::KeyTooLong => s3_error!(KeyTooLongError),
        InvalidName::KeyEmpty | InvalidName::Bucket => s3_error!(InvalidArgument, "A key has at least one byte."),
    })
}

/// Which version a client means.
pub fn version(id: Option<&str>) -> Result<VersionChoice, S3Error> {
    match id {
        None => Ok(VersionChoice::Newest),
        Some("null") => Ok(VersionChoice::Null),
        Some(id) => match id.parse() {
            Ok(version) => Ok(VersionChoice::Exactly(version)),
            Err(_) => Err(s3_error!(InvalidArgument, "Invalid version id specified")),
        },
    }
}

/// A version's id as a client knows it.
pub fn version_id(version: VersionId, null: bool) -> String {
    if null { "null".to_owned() } else { version.to_string() }
}

/// A tag.
pub fn etag(etag: &Etag) -> ETag {
    ETag::Strong(etag.to_string())
}

/// A moment.
pub fn timestamp(time: WallTime) -> Timestamp {
    Timestamp::from(time.to_system())
}

/// Whether a text can be written in XML 1.0, however it is escaped.
pub fn fits_xml(text: &str) -> bool {
    text.chars()
        .all(|char| !matches!(char, '\0'..='\u{8}' | '\u{B}' | '\u{C}' | '\u{E}'..='\u{1F}' | '\u{FFFE}' | '\u{FFFF}'))
}

/// A text as XML can carry it: what it cannot is replaced by U+FFFD. For names that are echoed to a client that knows them
/// already; where a client learns a name, it must be encoded instead.
pub fn xml_text(text: String) -> String {
    if fits_xml(&text) {
        return text;
    }
    text.chars().map(|char| if fits_xml(char.encode_utf8(&mut [0; 4])) { char } else { '\u{FFFD}' }).collect()
}

macro_rules! put_value {
    ($checksum:ident, $output:ident) => {
        let value = Some(match $checksum.parts {
            None => digest::encode(&$checksum.digest),
            Some(parts) => format!("{}-{parts}", digest::encode(&$checksum.digest)),
        });
        match $checksum.kind {
            ChecksumKind::Crc32 => $output.checksum_crc32 = value,
            ChecksumKind::Crc32c => $output.checksum_crc32c = value,
            ChecksumKind::Crc64Nvme => $output.checksum_crc64nvme = value,
            ChecksumKind::Sha1 => $output.checksum_sha1 = value,
            ChecksumKind::Sha256 => $output.checksum_sha256 = value,
        }
    };
}

macro_rules! put_checksum {
    ($($(#[$doc:meta])* $function:ident($output:ty);)*) => {
        $(
            $(#[$doc])*
            pub fn $function(checksum: &Checksum, output: &mut $output) {
                put_value!(checksum, output);
                let kind = if checksum.parts.is_some() { ChecksumType::COMPOSITE } else { ChecksumType::FULL_OBJECT };
                output.checksum_type = Some(ChecksumType::from_static(kind));
            }
        )*
    };
}

/// The same for parts, of which no type is said.
macro_rules! put_checksum_of_part {
    ($($(#[$doc:meta])* $function:ident($output:ty);)*) => {
        $(
            $(#[$doc])*
            pub fn $function(checksum: &Checksum, output: &mut $output) {
                put_value!(checksum, output);
            }
        )*
    };
}

put_checksum! {
    /// Writes a checksum into the answer to a PUT.
    put_checksum(PutObjectOutput);
    /// Writes a checksum into the answer to a GET.
    get_checksum(GetObjectOutput);
    /// Writes a checksum into the answer to a HEAD.
    head_checksum(HeadObjectOutput);
    /// Writes a checksum into the answer to a COPY.
    copy_checksum(CopyObjectResult);
    /// Writes a checksum into what is said of an object's attributes.
    said_checksum(s3s::dto::Checksum);
    /// Writes a checksum into the answer to the completion of an upload.
    completed_checksum(CompleteMultipartUploadOutput);
}

put_checksum_of_part! {
    /// Writes a checksum into the answer to a part.
    part_checksum(UploadPartOutput);
    /// Writes a checksum into the answer to the copy of a part.
    copied_checksum(CopyPartResult);
    /// Writes a checksum into a list of parts.
    listed_checksum(Part);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_named_or_null() {
        let id = VersionId { index: cairn_core::LogIndex(7), ordinal: 1 };
        assert_eq!(version(Some(&version_id(id, false))).unwrap(), VersionChoice::Exactly(id));
        assert_eq!(version(Some("null")).unwrap(), VersionChoice::Null);
        assert_eq!(version(None).unwrap(), VersionChoice::Newest);
        assert_eq!(version(Some("made up")).unwrap_err().code().as_str(), "InvalidArgument");
    }

    #[test]
    fn names_that_are_none_have_their_codes() {
        assert_eq!(bucket("A").unwrap_err().code().as_str(), "InvalidBucketName");
        assert_eq!(key("a".repeat(1025)).unwrap_err().code().as_str(), "KeyTooLongError");
    }

    #[test]
    fn what_xml_cannot_carry_is_replaced() {
        for (text, written) in [
            ("plain \t\r\n\u{7F}\u{85} \u{10FFFF}", "plain \t\r\n\u{7F}\u{85} \u{10FFFF}"),
            ("a\u{1}b\0", "a\u{FFFD}b\u{FFFD}"),
            ("\u{B}\u{FFFF}\u{FFFE}", "\u{FFFD}\u{FFFD}\u{FFFD}"),
        ] {
            assert_eq!(fits_xml(text), text == written);
            assert_eq!(xml_text(text.to_owned()), written);
        }
    }
}
