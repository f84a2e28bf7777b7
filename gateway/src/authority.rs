//! Who may do what: judged for every request before its body is read.
//!
//! ```text
//! signature -> access key -> identity -+-> root: everything
//!                                      +-> a user, or nobody: the demand of the operation
//!                                            |
//!     the bucket's policy: denies -> no      |
//!                          allows -> yes     |
//!                          silent -> owner? what do the lists grant? -> yes or no
//! ```
//! What cannot be read or understood allows nothing. Rows are read as they are now, so that a right that was taken away is
//! gone with the answer that says so.
//!
//! - [`demands`]: what each operation demands
//! - [`lists`]: access control lists, between S3's words and the rows
//! - [`policy`]: policies of buckets, and what they say to a request
//! - [`facts`]: what conditions of policies ask about a request
//! - [`situation`]: everything about a bucket that decides, in one view of the rows

pub mod demands;
pub mod facts;
pub mod lists;
pub mod policy;
pub mod situation;

use cairn_core::ClusterId;

/// How a user's id is made of its key. Never changed: ids stand in rows.
const USER_ID_CONTEXT: &str = "cairn 2026-11-21 id of a user";

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// Nobody signed.
    Anonymous,
    /// Whoever holds an access key.
    User {
        /// The user's id, as lists and policies name it.
        id: String,
        /// The key that signed.
        access_key: String,
        /// Whether it may do everything. All such keys are one user, the owner of the cluster.
        root: bool,
    },
}

impl Identity {
    /// The id; nobody has none.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Anonymous => None,
            Self::User { id, .. } => Some(id),
        }
    }

    /// Whether it may do everything.
    pub fn is_root(&self) -> bool {
        matches!(self, Self::User { root: true, .. })
    }
}

/// The id of the owner of the cluster, in the form that S3 gives to owners: 64 hexadecimal digits.
pub fn cluster_owner(cluster: ClusterId) -> String {
    format!("{:0>64}", cluster.to_string())
}

/// The id of the user who holds a key that is not root.
pub fn user_id(cluster: ClusterId, access_key: &str) -> String {
    let named = format!("{cluster}/{access_key}");
    hex::encode(blake3::derive_key(USER_ID_CONTEXT, named.as_bytes()))
}

/// How somebody is called where clients show a name.
pub fn display_name(id: &str, cluster_owner: &str) -> String {
    match id.get(..8) {
        Some(begin) if id != cluster_owner => format!("user-{begin}"),
        _ => "cairn".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_of_one_cluster_and_one_key() {
        let ids = [
            cluster_owner(ClusterId(5)),
            user_id(ClusterId(5), "a"),
            user_id(ClusterId(5), "b"),
            user_id(ClusterId(6), "a"),
        ];
        for (at, id) in ids.iter().enumerate() {
            assert_eq!(id.len(), 64);
            assert!(!ids[..at].contains(id), "{id}");
        }
        assert_eq!(ids[1], user_id(ClusterId(5), "a"));
        assert_eq!(display_name(&ids[0], &ids[0]), "cairn");
        assert_eq!(display_name(&ids[1], &ids[0]), format!("user-{}", &ids[1][..8]));
    }
}
