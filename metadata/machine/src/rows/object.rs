//! Objects: the newest version of each key in one table, older ones in another, so that a listing touches only what it
//! shows.

use core::fmt;

use cairn_core::{BucketId, ExtentId, LogIndex, ObjectKey, VersionId, WallTime};
use minicbor::{Decode, Encode};

use crate::row::{Row, Table, cbor_row, read_terminated, write_terminated};
use crate::rows::acl::Acl;
use crate::rows::lock::VersionLock;
use crate::rows::manifest::ManifestId;
use crate::rows::profile::ProfileId;
use crate::rows::upload::UploadId;

/// What clients compare: an MD5, or an MD5 of MD5s with the number of parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Etag {
    /// The digest.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub md5: [u8; 16],
    /// How many parts, for a multipart upload.
    #[n(1)]
    pub parts: Option<u16>,
}

impl fmt::Display for Etag {
    /// Without quotes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Listings show a thousand of them: formatting each byte by itself would take a tenth of a page's time.
        let mut digits = [0; 32];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(self.md5) {
            pair.copy_from_slice(&[byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)]));
        }
        f.write_str(str::from_utf8(&digits).expect("hexadecimal digits are text"))?;
        self.parts.map_or(Ok(()), |parts| write!(f, "-{parts}"))
    }
}

/// A range of an extent, as an object uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct ExtentRange {
    /// Which extent.
    #[n(0)]
    pub extent: ExtentId,
    /// Where in the extent the object's bytes begin.
    #[n(1)]
    pub offset: u32,
    /// How many bytes.
    #[n(2)]
    pub length: u32,
}

/// Where a version's bytes are.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Content {
    /// Named here: none for an empty object, at most [`VERSION_RANGES_MAX`](cairn_core::units::VERSION_RANGES_MAX).
    #[n(0)]
    Ranges(#[n(0)] Vec<ExtentRange>),
    /// Named in a manifest, which counts this version as a reference.
    #[n(1)]
    Manifest(#[n(0)] ManifestId),
}

/// The kinds of checksum that clients may ask to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum ChecksumKind {
    /// CRC-32.
    #[n(0)]
    Crc32,
    /// CRC-32C.
    #[n(1)]
    Crc32c,
    /// CRC-64/NVME.
    #[n(2)]
    Crc64Nvme,
    /// SHA-1.
    #[n(3)]
    Sha1,
    /// SHA-256.
    #[n(4)]
    Sha256,
}

/// The most bytes of a digest.
pub const DIGEST_BYTES_MAX: usize = 64;

/// A checksum that a client sent or asked for, verified when the object was written.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Checksum {
    /// Which algorithm.
    #[n(0)]
    pub kind: ChecksumKind,
    /// The digest: 4 to 32 bytes.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub digest: Vec<u8>,
    /// How many parts it is made of, where it is a checksum of checksums; none for one over the whole object.
    #[n(2)]
    pub parts: Option<u16>,
}

/// The headers that S3 keeps with an object and gives back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ContentHeaders {
    /// `Content-Type`.
    #[n(0)]
    pub content_type: Option<String>,
    /// `Content-Encoding`, without `aws-chunked`.
    #[n(1)]
    pub content_encoding: Option<String>,
    /// `Content-Disposition`.
    #[n(2)]
    pub content_disposition: Option<String>,
    /// `Content-Language`.
    #[n(3)]
    pub content_language: Option<String>,
    /// `Cache-Control`.
    #[n(4)]
    pub cache_control: Option<String>,
    /// `Expires`, as it was sent.
    #[n(5)]
    pub expires: Option<String>,
    /// `x-amz-website-redirect-location`.
    #[n(6)]
    pub website_redirect: Option<String>,
}

/// What an object is beside its key and version: what a client says when it puts it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Attributes {
    /// How many bytes.
    #[n(0)]
    pub size: u64,
    /// What clients compare.
    #[n(1)]
    pub etag: Etag,
    /// The profile that was asked for; the stripes say what it became.
    #[n(2)]
    pub profile: ProfileId,
    /// The headers that are given back.
    #[n(3)]
    pub headers: ContentHeaders,
    /// `x-amz-meta-*`, names in lower case, sorted; at most 2 KiB in all.
    #[n(4)]
    pub metadata: Vec<(String, String)>,
    /// The checksum that is kept.
    #[n(5)]
    pub checksum: Option<Checksum>,
    /// Tags, sorted by name; at most 10.
    #[n(6)]
    pub tags: Option<Vec<(String, String)>>,
    /// The upload that made it: what a client that completes an upload again, because it heard no answer, is told by.
    #[n(7)]
    pub upload: Option<UploadId>,
    /// What keeps it from going.
    #[n(8)]
    pub lock: Option<VersionLock>,
    /// Who may do what with it, where that is not the owner of the bucket alone.
    #[n(9)]
    pub acl: Option<Acl>,
}

impl ContentHeaders {
    /// About how many bytes they have when encoded.
    pub fn weight(&self) -> usize {
        let Self {
            content_type,
            content_encoding,
            content_disposition,
            content_language,
            cache_control,
            expires,
            website_redirect,
        } = self;
        [
            content_type,
            content_encoding,
            content_disposition,
            content_language,
            cache_control,
            expires,
            website_redirect,
        ]
        .into_iter()
        .map(|text| text.as_ref().map_or(1, |text| text.len() + 4))
        .sum()
    }
}

impl Attributes {
    /// About how many bytes they have when encoded.
    pub fn weight(&self) -> usize {
        let pairs = |pairs: &[(String, String)]| -> usize {
            pairs.iter().map(|(name, value)| name.len() + value.len() + 7).sum()
        };
        96 + self.headers.weight()
            + pairs(&self.metadata)
            + self.checksum.as_ref().map_or(0, |checksum| checksum.digest.len() + 8)
            + self.tags.as_deref().map_or(0, pairs)
            + self.lock.map_or(0, |_| 24)
            + self.acl.as_ref().map_or(0, Acl::weight)
    }
}

impl Content {
    /// About how many bytes it has when encoded.
    pub fn weight(&self) -> usize {
        match self {
            Self::Ranges(ranges) => 8 + 40 * ranges.len(),
            Self::Manifest(_) => 24,
        }
    }
}

/// What a version is.
#[expect(clippy::large_enum_variant, reason = "markers are few and live for a moment")]
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum VersionKind {
    /// An object with bytes.
    #[n(0)]
    Object {
        /// What it is.
        #[n(0)]
        attributes: Attributes,
        /// Where its bytes are.
        #[n(1)]
        content: Content,
    },
    /// The mark that a delete left in a bucket with versions.
    #[n(1)]
    DeleteMarker,
}

/// One version of an object.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ObjectRow {
    /// Which version: where in the log it was made.
    #[n(0)]
    pub version: VersionId,
    /// Whether clients know it as `null`: made while versions were not kept.
    #[n(1)]
    pub null: bool,
    /// `Last-Modified`: the leader's calendar when it was made.
    #[n(2)]
    pub modified: WallTime,
    /// The object, or the mark that it was deleted.
    #[n(3)]
    pub kind: VersionKind,
    /// Where this is the newest version: which of the older ones clients know as `null`, if one is. At most one version
    /// of a key is, and it must be found without looking through all of them (invariant 13).
    #[n(4)]
    pub older_null: Option<VersionId>,
}

impl ObjectRow {
    /// The attributes and the place of its bytes; `None` for a delete marker.
    pub fn object(&self) -> Option<(&Attributes, &Content)> {
        match &self.kind {
            VersionKind::Object { attributes, content } => Some((attributes, content)),
            VersionKind::DeleteMarker => None,
        }
    }
}

impl Row for ObjectRow {
    const TABLE: Table = Table::Object;
    type Key = (BucketId, ObjectKey);

    fn write_key((bucket, key): &Self::Key, out: &mut Vec<u8>) {
        out.extend_from_slice(&bucket.to_bytes());
        out.extend_from_slice(key.as_str().as_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<Self::Key> {
        let (bucket, key) = bytes.split_at_checked(BucketId::BYTES)?;
        let key = ObjectKey::new(core::str::from_utf8(key).ok()?).ok()?;
        Some((BucketId::from_bytes(bucket.try_into().ok()?), key))
    }

    fn weight(&self) -> usize {
        96 + self.object().map_or(0, |(attributes, content)| attributes.weight() + content.weight())
    }

    cbor_row!();
}

/// A version that a newer one has replaced: the same value in another table, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OlderVersionRow(pub ObjectRow);

impl Row for OlderVersionRow {
    const TABLE: Table = Table::OlderVersion;
    type Key = (BucketId, ObjectKey, VersionId);

    fn write_key((bucket, key, version): &Self::Key, out: &mut Vec<u8>) {
        out.extend_from_slice(&bucket.to_bytes());
        write_terminated(key.as_str().as_bytes(), out);
        out.extend_from_slice(&(!version.index.0).to_be_bytes());
        out.extend_from_slice(&(!version.ordinal).to_be_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<Self::Key> {
        let (bucket, rest) = bytes.split_at_checked(BucketId::BYTES)?;
        let (key, version) = read_terminated(rest)?;
        let (index, ordinal) = version.split_at_checked(8)?;
        let version = VersionId {
            index: LogIndex(!u64::from_be_bytes(index.try_into().ok()?)),
            ordinal: !u16::from_be_bytes(ordinal.try_into().ok()?),
        };
        let key = ObjectKey::new(String::from_utf8(key).ok()?).ok()?;
        Some((BucketId::from_bytes(bucket.try_into().ok()?), key, version))
    }

    fn weight(&self) -> usize {
        self.0.weight()
    }

    fn write_value(&self, out: &mut Vec<u8>) {
        self.0.write_value(out);
    }

    fn read_value(version: u8, bytes: &[u8]) -> Result<Self, String> {
        ObjectRow::read_value(version, bytes).map(Self)
    }
}
