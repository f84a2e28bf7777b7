//! What each operation demands of whoever asks for it: an action that policies name, and a right that lists may grant. An
//! operation that does not stand here is for root alone.

use cairn_machine::rows::acl::Permission;

/// What must be granted where no policy decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// A signature of whatever user.
    Signature,
    /// This right to the bucket.
    Bucket(Permission),
    /// This right to the object.
    Object(Permission),
    /// To be the owner of the bucket.
    Owner,
}

/// A demand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    /// The action, without `s3:`.
    pub action: &'static str,
    /// The action where a version is named.
    pub of_version: &'static str,
    /// The right.
    pub need: Need,
    /// Whether it is about an object, so that policies see its key, and not only the bucket.
    pub object: bool,
}

use Need::{Bucket, Object, Owner, Signature};
use Permission::{Read, ReadAcl, Write, WriteAcl};

const fn bucket(action: &'static str, need: Need) -> Demand {
    Demand { action, of_version: action, need, object: false }
}

const fn object(action: &'static str, need: Need) -> Demand {
    Demand { action, of_version: action, need, object: true }
}

const fn versioned(action: &'static str, of_version: &'static str, need: Need) -> Demand {
    Demand { action, of_version, need, object: true }
}

/// To write an object.
pub const PUT: Demand = object("PutObject", Bucket(Write));

/// To read one.
pub const GET: Demand = versioned("GetObject", "GetObjectVersion", Object(Read));

/// To know what is in a bucket.
pub const LIST: Demand = bucket("ListBucket", Bucket(Read));

/// To delete an object.
pub const DELETE: Demand = versioned("DeleteObject", "DeleteObjectVersion", Bucket(Write));

/// To give an object another list than the one that it has by itself.
pub const PUT_OBJECT_ACL: Demand = versioned("PutObjectAcl", "PutObjectVersionAcl", Object(WriteAcl));

/// To tag an object.
pub const PUT_OBJECT_TAGS: Demand = versioned("PutObjectTagging", "PutObjectVersionTagging", Owner);

/// To retain an object.
pub const PUT_RETENTION: Demand = object("PutObjectRetention", Owner);

/// To put an object on legal hold.
pub const PUT_HOLD: Demand = object("PutObjectLegalHold", Owner);

/// To delete what is retained in governance mode, or to retain it shorter.
pub const BYPASS: Demand = object("BypassGovernanceRetention", Owner);

/// What an operation demands.
pub fn of(operation: &str) -> Option<Demand> {
    Some(match operation {
        "ListBuckets" => bucket("ListAllMyBuckets", Signature),
        "CreateBucket" => bucket("CreateBucket", Signature),
        "HeadBucket" | "ListObjects" | "ListObjectsV2" => LIST,
        "ListObjectVersions" => bucket("ListBucketVersions", Bucket(Read)),
        "ListMultipartUploads" => bucket("ListBucketMultipartUploads", Bucket(Read)),
        "DeleteBucket" => bucket("DeleteBucket", Owner),
        "GetBucketLocation" => bucket("GetBucketLocation", Owner),
        "GetBucketVersioning" => bucket("GetBucketVersioning", Owner),
        "PutBucketVersioning" => bucket("PutBucketVersioning", Owner),
        "GetBucketTagging" => bucket("GetBucketTagging", Owner),
        "PutBucketTagging" | "DeleteBucketTagging" => bucket("PutBucketTagging", Owner),
        "GetBucketAcl" => bucket("GetBucketAcl", Bucket(ReadAcl)),
        "PutBucketAcl" => bucket("PutBucketAcl", Bucket(WriteAcl)),
        "GetBucketCors" => bucket("GetBucketCORS", Owner),
        "PutBucketCors" | "DeleteBucketCors" => bucket("PutBucketCORS", Owner),
        "GetBucketPolicy" => bucket("GetBucketPolicy", Owner),
        "GetBucketPolicyStatus" => bucket("GetBucketPolicyStatus", Owner),
        "PutBucketPolicy" => bucket("PutBucketPolicy", Owner),
        "DeleteBucketPolicy" => bucket("DeleteBucketPolicy", Owner),
        "GetPublicAccessBlock" => bucket("GetBucketPublicAccessBlock", Owner),
        "PutPublicAccessBlock" | "DeletePublicAccessBlock" => bucket("PutBucketPublicAccessBlock", Owner),
        "GetBucketOwnershipControls" => bucket("GetBucketOwnershipControls", Owner),
        "PutBucketOwnershipControls" | "DeleteBucketOwnershipControls" => bucket("PutBucketOwnershipControls", Owner),
        "GetBucketEncryption" => bucket("GetEncryptionConfiguration", Owner),
        "DeleteBucketEncryption" => bucket("PutEncryptionConfiguration", Owner),
        "GetBucketLifecycleConfiguration" => bucket("GetLifecycleConfiguration", Owner),
        "DeleteBucketLifecycle" => bucket("PutLifecycleConfiguration", Owner),
        "GetBucketWebsite" => bucket("GetBucketWebsite", Owner),
        "DeleteBucketWebsite" => bucket("DeleteBucketWebsite", Owner),
        "GetBucketReplication" => bucket("GetReplicationConfiguration", Owner),
        "DeleteBucketReplication" => bucket("PutReplicationConfiguration", Owner),
        "GetBucketLogging" => bucket("GetBucketLogging", Owner),
        "GetBucketNotificationConfiguration" => bucket("GetBucketNotification", Owner),
        "GetBucketRequestPayment" => bucket("GetBucketRequestPayment", Owner),
        "GetBucketAccelerateConfiguration" => bucket("GetAccelerateConfiguration", Owner),
        "GetObjectLockConfiguration" => bucket("GetBucketObjectLockConfiguration", Owner),
        "PutObjectLockConfiguration" => bucket("PutBucketObjectLockConfiguration", Owner),
        "PutObject"
        | "CopyObject"
        | "CreateMultipartUpload"
        | "UploadPart"
        | "UploadPartCopy"
        | "CompleteMultipartUpload" => PUT,
        "AbortMultipartUpload" => object("AbortMultipartUpload", Bucket(Write)),
        "ListParts" => object("ListMultipartUploadParts", Bucket(Write)),
        "DeleteObject" | "DeleteObjects" => DELETE,
        "GetObject" | "HeadObject" => GET,
        "GetObjectAttributes" => versioned("GetObjectAttributes", "GetObjectVersionAttributes", Object(Read)),
        "GetObjectAcl" => versioned("GetObjectAcl", "GetObjectVersionAcl", Object(ReadAcl)),
        "PutObjectAcl" => PUT_OBJECT_ACL,
        "GetObjectTagging" => versioned("GetObjectTagging", "GetObjectVersionTagging", Owner),
        "PutObjectTagging" => PUT_OBJECT_TAGS,
        "DeleteObjectTagging" => versioned("DeleteObjectTagging", "DeleteObjectVersionTagging", Owner),
        "GetObjectRetention" => object("GetObjectRetention", Owner),
        "PutObjectRetention" => PUT_RETENTION,
        "GetObjectLegalHold" => object("GetObjectLegalHold", Owner),
        "PutObjectLegalHold" => PUT_HOLD,
        _ => return None,
    })
}

/// Actions that a bucket's owner is never denied: nobody locks the only one out who could open again.
pub fn is_for_owner_always(action: &str) -> bool {
    matches!(action, "GetBucketPolicy" | "PutBucketPolicy" | "DeleteBucketPolicy")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::operations;

    #[test]
    fn every_operation_that_is_built_demands_something() {
        for name in operations::names() {
            assert!(of(name).is_some(), "{name} would be for root alone");
        }
        assert_eq!(of("MadeUp"), None);
    }
}
