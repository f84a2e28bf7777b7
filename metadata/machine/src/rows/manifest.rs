//! Manifests: the lists of extents of objects that are too long for their own row, in pages, so that no operation is. The
//! pages of an object that was uploaded in parts name the parts, and each part names its extents or a manifest of them.
//!
//! A manifest is pending while a stream adds pages to it, then referred to by versions, then retired page by page.

use cairn_core::{SessionId, VersionId, WriteId};
use minicbor::{Decode, Encode};

use crate::row::{Row, Table, cbor_row};
use crate::rows::object::{Checksum, Content, ExtentRange};
use crate::rows::upload::UploadId;

/// The name of a manifest: the write that began it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct ManifestId(#[n(0)] pub WriteId);

/// What a manifest is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum ManifestState {
    /// A session is adding pages. When the session ends, it is retired.
    #[n(0)]
    Pending(#[n(0)] SessionId),
    /// So many versions, parts of uploads and pages that name parts refer to it.
    #[n(1)]
    Referenced(#[n(0)] u32),
    /// It is being taken apart.
    #[n(2)]
    Retiring,
}

/// The head of a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ManifestRow {
    /// What it is at the moment.
    #[n(0)]
    pub state: ManifestState,
    /// How many pages there are.
    #[n(1)]
    pub pages: u32,
    /// How many bytes they name together.
    #[n(2)]
    pub bytes: u64,
    /// Where the pages name parts of an upload; none where they name extents.
    #[n(3)]
    pub parts: Option<PartsOf>,
}

/// What is known of a manifest that names parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct PartsOf {
    /// The upload whose parts they are.
    #[n(0)]
    pub upload: UploadId,
    /// How many there are.
    #[n(1)]
    pub count: u16,
    /// The number of the last one.
    #[n(2)]
    pub last: u16,
    /// Where in the log its first page came: parts that were replaced later are not in it.
    #[n(3)]
    pub since: VersionId,
}

impl Row for ManifestRow {
    const TABLE: Table = Table::Manifest;
    type Key = ManifestId;

    fn write_key(key: &ManifestId, out: &mut Vec<u8>) {
        out.extend_from_slice(&key.0.to_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<ManifestId> {
        Some(ManifestId(WriteId::from_bytes(bytes.try_into().ok()?)))
    }

    cbor_row!();
}

/// One page: extents in the order of the object's bytes.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ManifestPageRow {
    /// Where in the object the page begins.
    #[n(0)]
    pub offset: u64,
    /// At most [`MANIFEST_PAGE_RANGES_MAX`](cairn_core::units::MANIFEST_PAGE_RANGES_MAX).
    #[n(1)]
    pub ranges: Vec<ExtentRange>,
}

impl Row for ManifestPageRow {
    const TABLE: Table = Table::ManifestPage;
    type Key = (ManifestId, u32);

    fn write_key((manifest, page): &Self::Key, out: &mut Vec<u8>) {
        out.extend_from_slice(&manifest.0.to_bytes());
        out.extend_from_slice(&page.to_be_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<Self::Key> {
        let (manifest, page) = bytes.split_at_checked(WriteId::BYTES)?;
        let page = u32::from_be_bytes(page.try_into().ok()?);
        Some((ManifestId(WriteId::from_bytes(manifest.try_into().ok()?)), page))
    }

    fn weight(&self) -> usize {
        32 + 40 * self.ranges.len()
    }

    cbor_row!();
}

/// A part of an object that was uploaded in parts.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct PartOfObject {
    /// The number that the client gave it.
    #[n(0)]
    pub number: u16,
    /// How many bytes.
    #[n(1)]
    pub size: u64,
    /// The checksum that was verified when it came.
    #[n(2)]
    pub checksum: Option<Checksum>,
    /// Its bytes.
    #[n(3)]
    pub content: Content,
}

/// One page: parts in the order of their numbers, which is that of the object's bytes.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ManifestPartsRow {
    /// Where in the object the page begins.
    #[n(0)]
    pub offset: u64,
    /// At most [`MANIFEST_PAGE_PARTS_MAX`](cairn_core::units::MANIFEST_PAGE_PARTS_MAX).
    #[n(1)]
    pub parts: Vec<PartOfObject>,
}

impl Row for ManifestPartsRow {
    const TABLE: Table = Table::ManifestParts;
    type Key = (ManifestId, u32);

    fn write_key(key: &Self::Key, out: &mut Vec<u8>) {
        ManifestPageRow::write_key(key, out);
    }

    fn read_key(bytes: &[u8]) -> Option<Self::Key> {
        ManifestPageRow::read_key(bytes)
    }

    fn weight(&self) -> usize {
        let part = |part: &PartOfObject| {
            32 + part.checksum.as_ref().map_or(0, |checksum| checksum.digest.len() + 8) + part.content.weight()
        };
        32 + self.parts.iter().map(part).sum::<usize>()
    }

    cbor_row!();
}

/// A manifest that nothing refers to any more and that is being taken apart in bounded steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct RetirementRow {
    /// Pages below this one are gone already.
    #[n(0)]
    pub next_page: u32,
}

impl Row for RetirementRow {
    const TABLE: Table = Table::Retirement;
    type Key = ManifestId;

    fn write_key(key: &ManifestId, out: &mut Vec<u8>) {
        out.extend_from_slice(&key.0.to_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<ManifestId> {
        Some(ManifestId(WriteId::from_bytes(bytes.try_into().ok()?)))
    }

    cbor_row!();
}
