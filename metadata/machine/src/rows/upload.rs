//! Multipart uploads under way: what the object will be, its parts so far, and what they take.
//!
//! ```text
//! CreateUpload --> upload --PutPart--> parts (each replaces the one with its number)
//!                    |
//!                    | CompleteUpload: a version refers to a manifest of parts, each counted once more
//!                    | AbortUpload
//!                    v
//!                 retiring: the parts go in bounded steps; nobody finds the upload any more
//! ```
//!
//! A part is content like a version's: named ranges, or a manifest of its own. Completing counts that content once more
//! and moves nothing, so an upload stays as it is until the one operation that makes the version.

use cairn_core::{BucketId, LogIndex, ObjectKey, VersionId, WallTime};
use minicbor::{Decode, Encode};

use crate::row::{Row, Table, cbor_row, read_terminated, write_terminated};
use crate::rows::acl::Acl;
use crate::rows::lock::VersionLock;
use crate::rows::object::{Checksum, ChecksumKind, Content, ContentHeaders};
use crate::rows::profile::ProfileId;

/// The name of an upload: where in the log it began. Clients see it as they see a version's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct UploadId(#[n(0)] pub VersionId);

impl UploadId {
    /// The length of [`Self::to_bytes`].
    pub const BYTES: usize = 10;

    /// In the order in which uploads began.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.0.index.0.to_be_bytes());
        bytes[8..].copy_from_slice(&self.0.ordinal.to_be_bytes());
        bytes
    }

    /// The inverse of [`Self::to_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (index, ordinal) = bytes.split_at_checked(8)?;
        let index = LogIndex(u64::from_be_bytes(index.try_into().ok()?));
        Some(Self(VersionId { index, ordinal: u16::from_be_bytes(ordinal.try_into().ok()?) }))
    }
}

impl core::fmt::Display for UploadId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

/// The checksum that a client wants kept with the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct UploadChecksum {
    /// Which algorithm.
    #[n(0)]
    pub kind: ChecksumKind,
    /// Whether it is one over the whole object, and not one over the parts' checksums.
    #[n(1)]
    pub full_object: bool,
}

/// An upload under way: what was said when it began.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct UploadRow {
    /// When it began.
    #[n(0)]
    pub initiated: WallTime,
    /// Who began it: a user's id; before there were users, an access key.
    #[n(1)]
    pub initiator: String,
    /// The profile that was asked for.
    #[n(2)]
    pub profile: ProfileId,
    /// The headers that the object gives back.
    #[n(3)]
    pub headers: ContentHeaders,
    /// `x-amz-meta-*`, names in lower case, sorted.
    #[n(4)]
    pub metadata: Vec<(String, String)>,
    /// Tags.
    #[n(5)]
    pub tags: Option<Vec<(String, String)>>,
    /// The checksum that was asked for.
    #[n(6)]
    pub checksum: Option<UploadChecksum>,
    /// What will keep the object from going.
    #[n(7)]
    pub lock: Option<VersionLock>,
    /// Who will be allowed what with the object.
    #[n(8)]
    pub acl: Option<Acl>,
}

impl UploadRow {
    /// What the keys of all uploads of a bucket begin with.
    pub fn bucket_prefix(bucket: BucketId) -> Vec<u8> {
        let mut prefix = vec![Table::Upload as u8];
        prefix.extend_from_slice(&bucket.to_bytes());
        prefix
    }
}

impl Row for UploadRow {
    const TABLE: Table = Table::Upload;
    type Key = (BucketId, ObjectKey, UploadId);

    fn write_key((bucket, key, upload): &Self::Key, out: &mut Vec<u8>) {
        out.extend_from_slice(&bucket.to_bytes());
        write_terminated(key.as_str().as_bytes(), out);
        out.extend_from_slice(&upload.to_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<Self::Key> {
        let (bucket, rest) = bytes.split_at_checked(BucketId::BYTES)?;
        let (key, upload) = read_terminated(rest)?;
        let key = ObjectKey::new(String::from_utf8(key).ok()?).ok()?;
        Some((BucketId::from_bytes(bucket.try_into().ok()?), key, UploadId::from_bytes(upload)?))
    }

    fn weight(&self) -> usize {
        let pairs = |pairs: &[(String, String)]| -> usize {
            pairs.iter().map(|(name, value)| name.len() + value.len() + 7).sum()
        };
        112 + self.initiator.len()
            + self.headers.weight()
            + pairs(&self.metadata)
            + self.tags.as_deref().map_or(0, pairs)
    }

    cbor_row!();
}

/// A part, as it is at the moment.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PartRow {
    /// Where in the log it came: a part that is put again is another one, even with the same bytes.
    #[n(0)]
    pub version: VersionId,
    /// When.
    #[n(1)]
    pub modified: WallTime,
    /// How many bytes.
    #[n(2)]
    pub size: u64,
    /// What clients compare.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub md5: [u8; 16],
    /// The checksum that was verified when it came.
    #[n(4)]
    pub checksum: Option<Checksum>,
    /// Its bytes.
    #[n(5)]
    pub content: Content,
}

impl PartRow {
    /// What the keys of all parts of an upload begin with.
    pub fn upload_prefix(upload: UploadId) -> Vec<u8> {
        let mut prefix = vec![Table::Part as u8];
        prefix.extend_from_slice(&upload.to_bytes());
        prefix
    }
}

impl Row for PartRow {
    const TABLE: Table = Table::Part;
    /// The upload, and the part's number from 1.
    type Key = (UploadId, u16);

    fn write_key((upload, number): &Self::Key, out: &mut Vec<u8>) {
        out.extend_from_slice(&upload.to_bytes());
        out.extend_from_slice(&number.to_be_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<Self::Key> {
        let (upload, number) = bytes.split_at_checked(UploadId::BYTES)?;
        Some((UploadId::from_bytes(upload)?, u16::from_be_bytes(number.try_into().ok()?)))
    }

    fn weight(&self) -> usize {
        96 + self.checksum.as_ref().map_or(0, |checksum| checksum.digest.len() + 8) + self.content.weight()
    }

    cbor_row!();
}

/// What the parts of an upload take, counted; and the last one of them that replaced another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
pub struct UploadLedgerRow {
    /// How many parts.
    #[n(0)]
    pub parts: u16,
    /// Their bytes.
    #[n(1)]
    pub bytes: u64,
    /// The last part that was put in place of another. A completion that chose its parts before that looks again, so that
    /// no part which was acknowledged before the completion is silently passed over.
    #[n(2)]
    pub replaced: Option<ReplacingPart>,
}

/// A part that was put in place of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct ReplacingPart {
    /// Its number.
    #[n(0)]
    pub number: u16,
    /// Where in the log it came.
    #[n(1)]
    pub version: VersionId,
}

impl Row for UploadLedgerRow {
    const TABLE: Table = Table::UploadLedger;
    type Key = UploadId;

    fn write_key(key: &UploadId, out: &mut Vec<u8>) {
        out.extend_from_slice(&key.to_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<UploadId> {
        if bytes.len() == UploadId::BYTES { UploadId::from_bytes(bytes) } else { None }
    }

    cbor_row!();
}

/// What the unfinished uploads of a bucket take, counted. Only where there are some.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
pub struct BucketUploadsRow {
    /// How many uploads.
    #[n(0)]
    pub uploads: u64,
    /// The bytes of their parts.
    #[n(1)]
    pub bytes: u64,
}

impl Row for BucketUploadsRow {
    const TABLE: Table = Table::BucketUploads;
    type Key = BucketId;

    fn write_key(key: &BucketId, out: &mut Vec<u8>) {
        out.extend_from_slice(&key.to_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<BucketId> {
        Some(BucketId::from_bytes(bytes.try_into().ok()?))
    }

    cbor_row!();
}

/// An upload that is completed or aborted and whose parts are being taken away in bounded steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct UploadRetirementRow {
    /// Parts below this number are gone already. To look for the first one that is left would be to walk over the
    /// tombstones of all that went.
    #[n(0)]
    pub next_part: u16,
}

impl Row for UploadRetirementRow {
    const TABLE: Table = Table::UploadRetirement;
    type Key = UploadId;

    fn write_key(key: &UploadId, out: &mut Vec<u8>) {
        out.extend_from_slice(&key.to_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<UploadId> {
        if bytes.len() == UploadId::BYTES { UploadId::from_bytes(bytes) } else { None }
    }

    cbor_row!();
}
