//! What stands between a verified signature and an operation: nothing that a client asks for is silently ignored.
//!
//! s3s dispatches what it does not know to the nearest operation (`DELETE /bucket?madeUp` deletes the bucket) and parses
//! headers that nobody looks at. So every request that passed its signature is judged here, before a byte of its body is
//! read: the operation must be built, each query parameter and each `x-amz-*` header must be one that this operation
//! honours, and a header that may only have its default value must have it. Everything else is answered with
//! NotImplemented, aloud.
//!
//! - [`operations`]: what is built, and what each operation honours
//! - [`query`]: parameters and sub-resources
//! - [`headers`]: `x-amz-*` headers and their values

pub mod headers;
pub mod operations;
pub mod query;

use http::{HeaderMap, Uri};
use s3s::S3Result;

pub use operations::{BodyKind, OperationShape};

/// Judges a request by the operation that s3s found for it.
pub fn judge(operation: &str, uri: &Uri, headers: &HeaderMap) -> S3Result<&'static OperationShape> {
    let shape = operations::find(operation)?;
    query::judge(shape, uri.query().unwrap_or_default())?;
    headers::judge(shape, headers)?;
    Ok(shape)
}
