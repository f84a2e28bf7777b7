//! The operations that are built, with the parameters and headers that each of them honours. What does not stand here
//! does not happen.

use cairn_core::units::{KIB, MIB};
use http::HeaderMap;
use s3s::{S3Result, s3_error};

use crate::digest::Promises;

use crate::bucket::unconfigured;

/// What an operation's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// It has none; one that is sent is not read.
    None,
    /// A short XML document of at most so many bytes, whose digests are checked as it is read.
    Xml {
        /// How many bytes at most.
        bytes_max: u64,
    },
    /// The bytes of an object, streamed.
    Object,
    /// The bytes of a part of one, streamed. What is said of the object was said before.
    Part,
}

/// One operation that is built.
#[derive(Debug)]
pub struct OperationShape {
    /// As s3s calls it.
    pub name: &'static str,
    /// The query parameters it honours, beside those of a signature.
    pub query: &'static [&'static str],
    /// The `x-amz-*` headers it honours, beside those that every operation does; `*` at the end stands for whatever follows.
    pub headers: &'static [&'static str],
    /// What its body is.
    pub body: BodyKind,
}

impl OperationShape {
    /// What a request says about its body. Of a completion the checksums are those of the object that it makes.
    pub fn promises(&self, headers: &HeaderMap) -> S3Result<Promises> {
        match self.name {
            COMPLETE => Promises::md5_only(headers),
            _ => Promises::from_headers(headers),
        }
    }

    /// The memory that an XML body of so many bytes takes: the document, and what it is parsed into.
    pub fn memory_of(&self, bytes: u64) -> u64 {
        match self.name {
            COMPLETE => COMPLETE_MEMORY_FACTOR * bytes,
            _ => 2 * bytes,
        }
    }
}

const COMPLETE: &str = "CompleteMultipartUpload";

const LIST: &[&str] = &["delimiter", "encoding-type", "marker", "max-keys", "prefix"];

const LIST_V2: &[&str] = &[
    "continuation-token",
    "delimiter",
    "encoding-type",
    "fetch-owner",
    "list-type",
    "max-keys",
    "prefix",
    "start-after",
];

const LIST_VERSIONS: &[&str] =
    &["delimiter", "encoding-type", "key-marker", "max-keys", "prefix", "version-id-marker", "versions"];

const READ: &[&str] = &[
    "partNumber",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "versionId",
];

const COPY_HEADERS: &[&str] = &[
    "x-amz-acl",
    "x-amz-checksum-algorithm",
    "x-amz-copy-source",
    "x-amz-copy-source-if-*",
    "x-amz-grant-*",
    "x-amz-meta-*",
    "x-amz-metadata-directive",
    "x-amz-object-lock-*",
    "x-amz-request-payer",
    "x-amz-source-expected-bucket-owner",
    "x-amz-storage-class",
    "x-amz-tagging",
    "x-amz-tagging-directive",
];

/// A short document.
const DOCUMENT: BodyKind = BodyKind::Xml { bytes_max: 64 * KIB };

/// 10,000 parts, each a number, a tag and a checksum, with the elements around them and room for spaces.
const COMPLETE_BYTES_MAX: u64 = 3 * MIB;

/// s3s makes 280 bytes of a part, and doubles its list of them as it grows, whatever a part says. The shortest has seven.
const COMPLETE_MEMORY_FACTOR: u64 = 2 * 280 / 7;

const CREATE_UPLOAD_HEADERS: &[&str] = &[
    "x-amz-acl",
    "x-amz-checksum-algorithm",
    "x-amz-checksum-type",
    "x-amz-grant-*",
    "x-amz-meta-*",
    "x-amz-object-lock-*",
    "x-amz-request-payer",
    "x-amz-storage-class",
    "x-amz-tagging",
];

const PART_COPY_HEADERS: &[&str] = &[
    "x-amz-copy-source",
    "x-amz-copy-source-if-*",
    "x-amz-copy-source-range",
    "x-amz-request-payer",
    "x-amz-source-expected-bucket-owner",
];

const LIST_UPLOADS: &[&str] =
    &["delimiter", "encoding-type", "key-marker", "max-uploads", "prefix", "upload-id-marker", "uploads"];

/// 1,000 keys of 1,024 bytes, each byte up to six characters of XML, and the elements around them.
const DELETE_OBJECTS_BYTES_MAX: u64 = 8 * MIB;

const OPERATIONS: &[OperationShape] = &[
    OperationShape {
        name: "ListBuckets",
        query: &["continuation-token", "max-buckets", "prefix"],
        headers: &[],
        body: BodyKind::None,
    },
    OperationShape {
        name: "CreateBucket",
        query: &[],
        headers: &["x-amz-acl", "x-amz-bucket-object-lock-enabled", "x-amz-grant-*", "x-amz-object-ownership"],
        body: DOCUMENT,
    },
    OperationShape { name: "HeadBucket", query: &[], headers: &[], body: BodyKind::None },
    OperationShape { name: "DeleteBucket", query: &[], headers: &[], body: BodyKind::None },
    OperationShape { name: "GetBucketLocation", query: &["location"], headers: &[], body: BodyKind::None },
    OperationShape { name: "ListObjects", query: LIST, headers: &["x-amz-request-payer"], body: BodyKind::None },
    OperationShape { name: "ListObjectsV2", query: LIST_V2, headers: &["x-amz-request-payer"], body: BodyKind::None },
    OperationShape {
        name: "ListObjectVersions",
        query: LIST_VERSIONS,
        headers: &["x-amz-request-payer"],
        body: BodyKind::None,
    },
    OperationShape { name: "GetBucketVersioning", query: &["versioning"], headers: &[], body: BodyKind::None },
    OperationShape { name: "PutBucketVersioning", query: &["versioning"], headers: &[], body: DOCUMENT },
    OperationShape { name: "GetBucketTagging", query: &["tagging"], headers: &[], body: BodyKind::None },
    OperationShape { name: "PutBucketTagging", query: &["tagging"], headers: &[], body: DOCUMENT },
    OperationShape { name: "DeleteBucketTagging", query: &["tagging"], headers: &[], body: BodyKind::None },
    OperationShape { name: "GetBucketPolicy", query: &["policy"], headers: &[], body: BodyKind::None },
    OperationShape { name: "GetBucketPolicyStatus", query: &["policyStatus"], headers: &[], body: BodyKind::None },
    OperationShape { name: "PutBucketPolicy", query: &["policy"], headers: &[], body: DOCUMENT },
    OperationShape { name: "DeleteBucketPolicy", query: &["policy"], headers: &[], body: BodyKind::None },
    OperationShape { name: "GetPublicAccessBlock", query: &["publicAccessBlock"], headers: &[], body: BodyKind::None },
    OperationShape { name: "PutPublicAccessBlock", query: &["publicAccessBlock"], headers: &[], body: DOCUMENT },
    OperationShape {
        name: "DeletePublicAccessBlock",
        query: &["publicAccessBlock"],
        headers: &[],
        body: BodyKind::None,
    },
    OperationShape {
        name: "GetBucketOwnershipControls",
        query: &["ownershipControls"],
        headers: &[],
        body: BodyKind::None,
    },
    OperationShape { name: "PutBucketOwnershipControls", query: &["ownershipControls"], headers: &[], body: DOCUMENT },
    OperationShape {
        name: "DeleteBucketOwnershipControls",
        query: &["ownershipControls"],
        headers: &[],
        body: BodyKind::None,
    },
    OperationShape { name: "GetBucketCors", query: &["cors"], headers: &[], body: BodyKind::None },
    OperationShape { name: "PutBucketCors", query: &["cors"], headers: &[], body: DOCUMENT },
    OperationShape { name: "DeleteBucketCors", query: &["cors"], headers: &[], body: BodyKind::None },
    OperationShape { name: "GetObjectLockConfiguration", query: &["object-lock"], headers: &[], body: BodyKind::None },
    OperationShape {
        name: "PutObjectLockConfiguration",
        query: &["object-lock"],
        headers: &["x-amz-request-payer"],
        body: DOCUMENT,
    },
    OperationShape {
        name: "GetObjectRetention",
        query: &["retention", "versionId"],
        headers: &["x-amz-request-payer"],
        body: BodyKind::None,
    },
    OperationShape {
        name: "PutObjectRetention",
        query: &["retention", "versionId"],
        headers: &["x-amz-bypass-governance-retention", "x-amz-request-payer"],
        body: DOCUMENT,
    },
    OperationShape {
        name: "GetObjectLegalHold",
        query: &["legal-hold", "versionId"],
        headers: &["x-amz-request-payer"],
        body: BodyKind::None,
    },
    OperationShape {
        name: "PutObjectLegalHold",
        query: &["legal-hold", "versionId"],
        headers: &["x-amz-request-payer"],
        body: DOCUMENT,
    },
    OperationShape { name: "GetBucketAcl", query: &["acl"], headers: &[], body: BodyKind::None },
    OperationShape { name: "PutBucketAcl", query: &["acl"], headers: &["x-amz-acl", "x-amz-grant-*"], body: DOCUMENT },
    OperationShape {
        name: "DeleteObjects",
        query: &["delete"],
        headers: &["x-amz-bypass-governance-retention", "x-amz-request-payer"],
        body: BodyKind::Xml { bytes_max: DELETE_OBJECTS_BYTES_MAX },
    },
    OperationShape {
        name: "PutObject",
        query: &[],
        headers: &[
            "x-amz-acl",
            "x-amz-decoded-content-length",
            "x-amz-grant-*",
            "x-amz-object-lock-*",
            "x-amz-request-payer",
            "x-amz-storage-class",
            "x-amz-tagging",
        ],
        body: BodyKind::Object,
    },
    OperationShape { name: "CopyObject", query: &[], headers: COPY_HEADERS, body: BodyKind::None },
    OperationShape {
        name: "GetObjectTagging",
        query: &["tagging", "versionId"],
        headers: &["x-amz-request-payer"],
        body: BodyKind::None,
    },
    OperationShape {
        name: "PutObjectTagging",
        query: &["tagging", "versionId"],
        headers: &["x-amz-request-payer"],
        body: DOCUMENT,
    },
    OperationShape {
        name: "DeleteObjectTagging",
        query: &["tagging", "versionId"],
        headers: &[],
        body: BodyKind::None,
    },
    OperationShape {
        name: "GetObjectAcl",
        query: &["acl", "versionId"],
        headers: &["x-amz-request-payer"],
        body: BodyKind::None,
    },
    OperationShape {
        name: "PutObjectAcl",
        query: &["acl", "versionId"],
        headers: &["x-amz-acl", "x-amz-grant-*", "x-amz-request-payer"],
        body: DOCUMENT,
    },
    OperationShape {
        name: "GetObject",
        query: READ,
        headers: &["x-amz-checksum-mode", "x-amz-request-payer"],
        body: BodyKind::None,
    },
    OperationShape {
        name: "HeadObject",
        query: READ,
        headers: &["x-amz-checksum-mode", "x-amz-request-payer"],
        body: BodyKind::None,
    },
    OperationShape {
        name: "GetObjectAttributes",
        query: &["attributes", "versionId"],
        headers: &["x-amz-max-parts", "x-amz-object-attributes", "x-amz-part-number-marker", "x-amz-request-payer"],
        body: BodyKind::None,
    },
    OperationShape {
        name: "CreateMultipartUpload",
        query: &["uploads"],
        headers: CREATE_UPLOAD_HEADERS,
        body: BodyKind::None,
    },
    OperationShape {
        name: "UploadPart",
        query: &["partNumber", "uploadId"],
        headers: &["x-amz-decoded-content-length", "x-amz-request-payer"],
        body: BodyKind::Part,
    },
    OperationShape {
        name: "UploadPartCopy",
        query: &["partNumber", "uploadId"],
        headers: PART_COPY_HEADERS,
        body: BodyKind::None,
    },
    OperationShape {
        name: COMPLETE,
        query: &["uploadId"],
        headers: &["x-amz-checksum-type", "x-amz-mp-object-size", "x-amz-request-payer"],
        body: BodyKind::Xml { bytes_max: COMPLETE_BYTES_MAX },
    },
    OperationShape {
        name: "AbortMultipartUpload",
        query: &["uploadId"],
        headers: &["x-amz-request-payer"],
        body: BodyKind::None,
    },
    OperationShape {
        name: "ListParts",
        query: &["max-parts", "part-number-marker", "uploadId"],
        headers: &["x-amz-request-payer"],
        body: BodyKind::None,
    },
    OperationShape {
        name: "ListMultipartUploads",
        query: LIST_UPLOADS,
        headers: &["x-amz-request-payer"],
        body: BodyKind::None,
    },
    OperationShape {
        name: "DeleteObject",
        query: &["versionId"],
        headers: &[
            "x-amz-bypass-governance-retention",
            "x-amz-if-match-last-modified-time",
            "x-amz-if-match-size",
            "x-amz-request-payer",
        ],
        body: BodyKind::None,
    },
];

/// The names of all operations that are built.
pub fn names() -> impl Iterator<Item = &'static str> {
    OPERATIONS.iter().chain(unconfigured::SHAPES).map(|shape| shape.name)
}

/// The shape of an operation, or the answer that it is not built.
pub fn find(name: &str) -> S3Result<&'static OperationShape> {
    OPERATIONS
        .iter()
        .chain(unconfigured::SHAPES)
        .find(|shape| shape.name == name)
        .ok_or_else(|| s3_error!(NotImplemented, "The operation {name} is not implemented."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_built_says_so() {
        assert_eq!(find("GetObject").unwrap().name, "GetObject");
        for name in
            ["PutBucketLogging", "PutBucketWebsite", "RenameObject", "RestoreObject", "PutBucketReplication", ""]
        {
            assert_eq!(find(name).unwrap_err().code().as_str(), "NotImplemented", "{name}");
        }
    }

    #[test]
    fn a_list_of_parts_is_reserved_for() {
        let part = size_of::<s3s::dto::CompletedPart>() as u64;
        assert!(2 * part <= COMPLETE_MEMORY_FACTOR * "<Part/>".len() as u64, "{part} bytes");
    }

    #[test]
    fn names_stand_once() {
        let all: Vec<_> = names().collect();
        for (at, name) in all.iter().enumerate() {
            assert!(!all[..at].contains(name), "{name}");
        }
    }
}
