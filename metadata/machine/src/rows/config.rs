//! What is configured for a bucket beside its versioning: one row for each kind of thing, so that a write, which looks at
//! the bucket, does not carry it all along.

use cairn_core::BucketId;
use minicbor::{Decode, Encode};

use crate::row::{Row, Table, cbor_row};
use crate::rows::acl::Acl;
use crate::rows::cors::CorsRule;

/// The most bytes of one configuration.
pub const CONFIG_BYTES_MAX: usize = 64 * 1024;

/// The kinds of things that can be configured. Numbers are never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
#[repr(u8)]
pub enum ConfigKind {
    /// Tags of the bucket.
    #[n(1)]
    Tags = 1,
    /// Who may do what.
    #[n(2)]
    Acl = 2,
    /// Cross-origin rules.
    #[n(3)]
    Cors = 3,
    /// A policy.
    #[n(4)]
    Policy = 4,
    /// What the public may never have, whatever lists and policies say.
    #[n(5)]
    PublicAccess = 5,
    /// Who owns what others put.
    #[n(6)]
    Ownership = 6,
}

impl ConfigKind {
    /// All kinds.
    pub const ALL: &[Self] = &[Self::Tags, Self::Acl, Self::Cors, Self::Policy, Self::PublicAccess, Self::Ownership];

    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| *kind as u8 == byte)
    }
}

/// What is kept from the public.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
pub struct PublicAccessBlock {
    /// Lists that grant the public something are refused.
    #[n(0)]
    pub block_acls: bool,
    /// What lists grant the public counts for nothing.
    #[n(1)]
    pub ignore_acls: bool,
    /// Policies that allow the public something are refused.
    #[n(2)]
    pub block_policy: bool,
    /// Where the policy allows the public something, it allows only the owner.
    #[n(3)]
    pub restrict: bool,
}

/// Who owns what others put into a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Ownership {
    /// The bucket's owner; lists count for nothing.
    #[n(0)]
    OwnerEnforced,
    /// The bucket's owner, where the writer grants full control.
    #[n(1)]
    OwnerPreferred,
    /// Whoever put it.
    #[n(2)]
    Writer,
}

/// One configuration.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum BucketConfig {
    /// Names and values, sorted by name; at most 50.
    #[n(1)]
    Tags(#[n(0)] Vec<(String, String)>),
    /// Its access control list.
    #[n(2)]
    Acl(#[n(0)] Acl),
    /// At most 100 rules.
    #[n(3)]
    Cors(#[n(0)] Vec<CorsRule>),
    /// The document, as it was sent.
    #[n(4)]
    Policy(#[n(0)] String),
    /// What is kept from the public.
    #[n(5)]
    PublicAccess(#[n(0)] PublicAccessBlock),
    /// Who owns what others put.
    #[n(6)]
    Ownership(#[n(0)] Ownership),
}

impl BucketConfig {
    /// Of which kind it is.
    pub fn kind(&self) -> ConfigKind {
        match self {
            Self::Tags(_) => ConfigKind::Tags,
            Self::Acl(_) => ConfigKind::Acl,
            Self::Cors(_) => ConfigKind::Cors,
            Self::Policy(_) => ConfigKind::Policy,
            Self::PublicAccess(_) => ConfigKind::PublicAccess,
            Self::Ownership(_) => ConfigKind::Ownership,
        }
    }
}

/// A configuration of a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct BucketConfigRow {
    /// What it says.
    #[n(0)]
    pub config: BucketConfig,
}

impl Row for BucketConfigRow {
    const TABLE: Table = Table::BucketConfig;
    type Key = (BucketId, ConfigKind);

    fn write_key((bucket, kind): &Self::Key, out: &mut Vec<u8>) {
        out.extend_from_slice(&bucket.to_bytes());
        out.push(*kind as u8);
    }

    fn read_key(bytes: &[u8]) -> Option<Self::Key> {
        let (bucket, kind) = bytes.split_at_checked(BucketId::BYTES)?;
        let &[kind] = kind else { return None };
        Some((BucketId::from_bytes(bucket.try_into().ok()?), ConfigKind::from_byte(kind)?))
    }

    fn weight(&self) -> usize {
        match &self.config {
            BucketConfig::Tags(tags) => {
                64 + tags.iter().map(|(name, value)| name.len() + value.len() + 7).sum::<usize>()
            }
            BucketConfig::Acl(acl) => 16 + acl.weight(),
            BucketConfig::Cors(rules) => 16 + rules.iter().map(CorsRule::weight).sum::<usize>(),
            BucketConfig::Policy(document) => 16 + document.len(),
            BucketConfig::PublicAccess(_) | BucketConfig::Ownership(_) => 32,
        }
    }

    cbor_row!();
}
