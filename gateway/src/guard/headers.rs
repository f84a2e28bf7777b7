//! `x-amz-*` headers: each must be one that the operation honours. Some may only have the value that they would have
//! anyway; asking for anything else is answered aloud.

use http::HeaderMap;
use s3s::{S3Result, s3_error};

use super::{BodyKind, OperationShape};

/// Headers that every operation honours, or that say nothing about what is to be done.
const OF_EVERYONE: &[&str] =
    &["x-amz-api-version", "x-amz-content-sha256", "x-amz-date", "x-amz-expected-bucket-owner", "x-amz-user-agent"];

/// Headers that say how a body is protected.
const OF_BODIES: &[&str] = &["x-amz-sdk-checksum-algorithm", "x-amz-trailer"];

/// Whether every header is honoured. Those of access control lists, and those that name an owner, are judged where it is
/// judged who may do what.
pub fn judge(shape: &OperationShape, headers: &HeaderMap) -> S3Result<()> {
    for (name, value) in headers {
        let name = name.as_str();
        if !name.starts_with("x-amz-") {
            continue;
        }
        if name == "x-amz-security-token" {
            return Err(s3_error!(InvalidToken, "Session tokens are not implemented."));
        }
        if !is_honoured(shape, name) {
            return Err(s3_error!(NotImplemented, "The header {name} of {} is not implemented.", shape.name));
        }
        judge_value(name, value.to_str().unwrap_or_default())?;
    }
    Ok(())
}

fn is_honoured(shape: &OperationShape, name: &str) -> bool {
    let of_body = shape.body != BodyKind::None && is_of_bodies(name);
    let of_object = shape.body == BodyKind::Object && name.starts_with("x-amz-meta-");
    let of_operation = shape.headers.iter().any(|honoured| match honoured.strip_suffix('*') {
        Some(begin) => name.starts_with(begin),
        None => *honoured == name,
    });
    OF_EVERYONE.contains(&name) || of_operation || of_body || of_object
}

/// Whether a header protects the body. Checksums of kinds that are not built are refused where they are read.
fn is_of_bodies(name: &str) -> bool {
    let checksum = name.strip_prefix("x-amz-checksum-").is_some_and(|kind| !matches!(kind, "mode" | "type"));
    checksum || OF_BODIES.contains(&name)
}

/// Headers that may only have the value that they have by default.
fn judge_value(name: &str, value: &str) -> S3Result<()> {
    let default = match name {
        // The SDK for C++, and so Arrow, names the version of S3's API, of which there is one.
        "x-amz-api-version" => value == "2006-03-01",
        "x-amz-request-payer" => value == "requester",
        "x-amz-checksum-mode" => value.eq_ignore_ascii_case("enabled"),
        _ => true,
    };
    if default {
        return Ok(());
    }
    Err(s3_error!(NotImplemented, "The value {value} of {name} is not implemented."))
}

#[cfg(test)]
mod tests {
    use super::super::operations::find;
    use super::*;

    fn code(operation: &str, name: &str, value: &str) -> Option<String> {
        let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
        let headers = HeaderMap::from_iter([(name, value.parse().unwrap())]);
        judge(find(operation).unwrap(), &headers).err().map(|error| error.code().as_str().to_owned())
    }

    #[test]
    fn what_is_asked_for_and_not_built_is_refused() {
        for (operation, name, value) in [
            ("PutObject", "x-amz-server-side-encryption", "AES256"),
            ("PutObject", "x-amz-server-side-encryption-customer-key", "k"),
            ("GetObject", "x-amz-server-side-encryption-customer-algorithm", "AES256"),
            ("UploadPart", "x-amz-object-lock-mode", "GOVERNANCE"),
            ("PutObject", "x-amz-website-redirect-location", "/x"),
            ("DeleteObject", "x-amz-acl", "public-read"),
            ("UploadPart", "x-amz-grant-read", "id=x"),
            ("PutObject", "x-amz-copy-source", "/a/b"),
            ("PutObject", "x-amz-write-offset-bytes", "5"),
            ("PutObject", "x-amz-made-up", "1"),
            ("PutObject", "x-amz-api-version", "2030-01-01"),
            ("DeleteObject", "x-amz-mfa", "1 2"),
            ("GetObject", "x-amz-meta-a", "b"),
            ("CopyObject", "x-amz-copy-source-server-side-encryption-customer-key", "k"),
            ("CopyObject", "x-amz-copy-source-range", "bytes=0-1"),
            ("CopyObject", "x-amz-object-annotation-directive", "COPY"),
            ("GetObject", "x-amz-checksum-crc32", "AAAAAA=="),
            ("ListObjectsV2", "x-amz-optional-object-attributes", "RestoreStatus"),
        ] {
            assert_eq!(code(operation, name, value).as_deref(), Some("NotImplemented"), "{operation} {name}: {value}");
        }
        assert_eq!(code("GetObject", "x-amz-security-token", "t").as_deref(), Some("InvalidToken"));
    }

    #[test]
    fn default_values_and_honoured_headers_pass() {
        for (operation, name, value) in [
            ("PutObject", "x-amz-acl", "public-read"),
            ("PutObject", "x-amz-grant-read", "id=x"),
            ("CreateBucket", "x-amz-object-ownership", "ObjectWriter"),
            ("PutObject", "x-amz-storage-class", "STANDARD"),
            ("DeleteObject", "x-amz-bypass-governance-retention", "true"),
            ("HeadBucket", "x-amz-api-version", "2006-03-01"),
            ("PutObject", "x-amz-meta-colour", "green"),
            ("PutObject", "x-amz-tagging", "a=b"),
            ("CopyObject", "x-amz-meta-colour", "green"),
            ("CopyObject", "x-amz-copy-source", "/a/b"),
            ("CopyObject", "x-amz-copy-source-if-match", "x"),
            ("PutObject", "x-amz-checksum-crc32", "AAAAAA=="),
            ("PutObject", "x-amz-trailer", "x-amz-checksum-crc32"),
            ("PutObject", "x-amz-decoded-content-length", "5"),
            ("DeleteObjects", "x-amz-sdk-checksum-algorithm", "CRC32"),
            ("CreateBucket", "x-amz-bucket-object-lock-enabled", "true"),
            ("PutObject", "x-amz-object-lock-mode", "GOVERNANCE"),
            ("CopyObject", "x-amz-object-lock-legal-hold", "ON"),
            ("GetObject", "x-amz-checksum-mode", "ENABLED"),
            ("GetObject", "x-amz-expected-bucket-owner", "me"),
            ("GetObject", "x-amz-date", "20260101T000000Z"),
            ("DeleteObject", "x-amz-if-match-size", "5"),
            ("DeleteObject", "cache-control", "no-cache"),
        ] {
            assert_eq!(code(operation, name, value), None, "{operation} {name}: {value}");
        }
    }
}
