//! What a write brings, or points to: new extents, a manifest that was filled, bytes that another version has.

use cairn_core::{BucketId, ExtentId, ObjectKey, StripeId, VersionId};
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

#[cfg(doc)]
use super::Operation;
use crate::rows::manifest::ManifestId;

/// An extent that a write brings.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct NewExtent {
    /// Its name.
    #[n(0)]
    pub id: ExtentId,
    /// How many bytes.
    #[n(1)]
    pub length: u32,
    /// Where they were written.
    #[n(2)]
    pub place: NewPlace,
}

/// Where the bytes of a new extent are.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum NewPlace {
    /// In the operation itself.
    #[n(0)]
    Here(#[n(0)] ByteVec),
    /// In a stripe, which an earlier operation of the same proposal made.
    #[n(1)]
    Stripe {
        /// Which one.
        #[n(0)]
        stripe: StripeId,
        /// Where in its data they begin.
        #[n(1)]
        offset: u64,
    },
}

/// What a version is to consist of.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum NewContent {
    /// New extents, in order, each used whole: none for an empty object.
    #[n(0)]
    Extents(#[n(0)] Vec<NewExtent>),
    /// A manifest that this session has filled.
    #[n(1)]
    Manifest(#[n(0)] ManifestId),
    /// Ranges of extents that exist already: what a copy commits. The machine reads the source when it applies.
    #[n(2)]
    Shared {
        /// Where the bytes are now.
        #[n(0)]
        bucket: BucketId,
        /// The key that has them.
        #[n(1)]
        key: ObjectKey,
        /// The version that has them: a source that changed meanwhile is refused.
        #[n(2)]
        version: VersionId,
        /// Which of its bytes; none for all of them. No more than a version's row can name: longer ranges are copied into
        /// a manifest, by [`Operation::AddSharedPage`].
        #[n(3)]
        range: Option<ByteRange>,
    },
}

/// Some of an object's bytes; at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct ByteRange {
    /// The first one.
    #[n(0)]
    pub from: u64,
    /// How many.
    #[n(1)]
    pub length: u64,
}

/// A part as the proposer of a completion saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct ChosenPart {
    /// Its number.
    #[n(0)]
    pub number: u16,
    /// Which one: it may be put again meanwhile.
    #[n(1)]
    pub version: VersionId,
}
