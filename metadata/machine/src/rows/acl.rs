//! Access control lists: who may do what with a bucket or a version. What they mean is decided by the gateway; here is what
//! is kept.

use minicbor::{Decode, Encode};

/// The most grants of a list: what S3 allows.
pub const GRANTS_MAX: usize = 100;

/// The longest id of a user, in bytes.
pub const USER_ID_BYTES_MAX: usize = 128;

/// Whom a grant is for.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Grantee {
    /// One user, by id.
    #[n(0)]
    User(#[n(0)] String),
    /// Everybody, known or not.
    #[n(1)]
    Everyone,
    /// Everybody who signs with a key.
    #[n(2)]
    Authenticated,
    /// Whoever writes access logs.
    #[n(3)]
    LogDelivery,
}

/// What is granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Permission {
    /// To list a bucket, to read an object.
    #[n(0)]
    Read,
    /// To put and delete objects in a bucket.
    #[n(1)]
    Write,
    /// To read this list.
    #[n(2)]
    ReadAcl,
    /// To write this list.
    #[n(3)]
    WriteAcl,
    /// All of it.
    #[n(4)]
    FullControl,
}

/// One grant.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Grant {
    /// Whom it is for.
    #[n(0)]
    pub grantee: Grantee,
    /// What it allows.
    #[n(1)]
    pub permission: Permission,
}

/// A list. Where none is kept, the owner of the bucket has full control, and nobody else anything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Acl {
    /// Who owns it, where that is not the owner of the bucket.
    #[n(0)]
    pub owner: Option<String>,
    /// What is granted.
    #[n(1)]
    pub grants: Vec<Grant>,
}

impl Acl {
    /// Whether it is within its bounds.
    pub fn is_bounded(&self) -> bool {
        let fits = |grant: &Grant| match &grant.grantee {
            Grantee::User(id) => id.len() <= USER_ID_BYTES_MAX,
            _ => true,
        };
        let owner = self.owner.as_ref().is_none_or(|owner| owner.len() <= USER_ID_BYTES_MAX);
        owner && self.grants.len() <= GRANTS_MAX && self.grants.iter().all(fits)
    }

    /// About how many bytes it has when encoded.
    pub fn weight(&self) -> usize {
        let of = |grant: &Grant| match &grant.grantee {
            Grantee::User(id) => id.len() + 10,
            _ => 8,
        };
        16 + self.owner.as_ref().map_or(0, |owner| owner.len() + 4) + self.grants.iter().map(of).sum::<usize>()
    }
}
