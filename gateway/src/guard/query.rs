//! Query parameters: each must be one that the operation honours, or part of a signature. A sub-resource that s3s does
//! not know would otherwise reach the operation without it.

use s3s::{S3Result, s3_error};

use super::OperationShape;
use crate::names;
use crate::query_string::{self, Pair};

/// What a presigned URL adds, and the name of the operation that newer clients repeat in `x-id`.
const OF_SIGNATURES: &[&str] = &[
    "X-Amz-Algorithm",
    "X-Amz-Content-Sha256",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-Signature",
    "X-Amz-SignedHeaders",
    "x-id",
];

/// Whether every parameter is honoured.
pub fn judge(shape: &OperationShape, query: &str) -> S3Result<()> {
    for Pair { name, .. } in query_string::pairs(query)? {
        if name == "X-Amz-Security-Token" {
            return Err(s3_error!(InvalidToken, "Session tokens are not implemented."));
        }
        let honoured = shape.query.contains(&name.as_ref()) || OF_SIGNATURES.contains(&name.as_ref());
        if !honoured {
            let (name, operation) = (names::xml_text(name.into_owned()), shape.name);
            return Err(s3_error!(NotImplemented, "The parameter {name} of {operation} is not implemented."));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::operations::find;
    use super::*;

    fn code(operation: &str, query: &str) -> Option<String> {
        judge(find(operation).unwrap(), query).err().map(|error| error.code().as_str().to_owned())
    }

    #[test]
    fn a_made_up_sub_resource_never_reaches_the_operation() {
        let not_implemented = Some("NotImplemented".to_owned());
        for (operation, query) in [
            ("DeleteBucket", "madeUp"),
            ("DeleteBucket", "made%55p="),
            ("DeleteBucket", "policy"),
            ("PutObject", "renameObject"),
            ("PutObject", "x-id=PutObject&partNumber=1&uploadId=x"),
            ("GetObject", "acl"),
            ("ListObjectsV2", "list-type=2&metadata=true"),
            ("CreateBucket", "versioning"),
        ] {
            assert_eq!(code(operation, query), not_implemented, "{operation} ?{query}");
        }
    }

    #[test]
    fn honoured_parameters_and_signatures_pass() {
        for (operation, query) in [
            ("DeleteBucket", ""),
            ("DeleteObjects", "delete="),
            ("GetObject", "response-content-type=text%2Fplain&versionId=null&x-id=GetObject"),
            ("ListObjectsV2", "list-type=2&prefix=a&delimiter=%2F&encoding-type=url&continuation-token=x"),
            (
                "GetObject",
                "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a&X-Amz-Date=b&X-Amz-Expires=1\
                           &X-Amz-SignedHeaders=host&X-Amz-Signature=c",
            ),
        ] {
            assert_eq!(code(operation, query), None, "{operation} ?{query}");
        }
        assert_eq!(code("GetObject", "X-Amz-Security-Token=x").as_deref(), Some("InvalidToken"));
        assert_eq!(code("GetObject", "a%2").as_deref(), Some("InvalidURI"));
    }
}
