//! Which version a client means, and what it demands of it.

use cairn_core::{VersionId, WallTime};
use minicbor::{Decode, Encode};

use crate::rows::object::Etag;

/// What must hold of the newest version of a key, judged when the operation is applied: this is where a PUT happens.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Conditions {
    /// `If-Match`: one of these must be there.
    #[n(0)]
    pub if_match: Option<EtagCondition>,
    /// `If-None-Match`: none of these may be there.
    #[n(1)]
    pub if_none_match: Option<EtagCondition>,
    /// `x-amz-if-match-size`.
    #[n(2)]
    pub size: Option<u64>,
    /// `x-amz-if-match-last-modified-time`, to the second.
    #[n(3)]
    pub modified: Option<WallTime>,
}

impl Conditions {
    /// Whether anything is asked at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Which entity tags a condition means.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum EtagCondition {
    /// `*`: whatever is there.
    #[n(0)]
    Any,
    /// One of these.
    #[n(1)]
    OneOf(#[n(0)] Vec<Etag>),
}

/// Which version of a key a client means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum VersionChoice {
    /// The newest one; a delete leaves a marker where versions are kept.
    #[n(0)]
    Newest,
    /// The one that clients know as `null`.
    #[n(1)]
    Null,
    /// This one.
    #[n(2)]
    Exactly(#[n(0)] VersionId),
}
