//! What happens between a verified signature and the first byte of a body: who asks, and for what.

use std::sync::Arc;

use cairn_core::ClusterId;
use http::{HeaderMap, Uri};
use s3s::access::{S3Access, S3AccessContext};
use s3s::{S3Error, S3Result, s3_error};

use crate::body::BodyWatch;
use crate::budget::MemoryBudget;
use crate::fault::Fault;
use crate::guard::{self, BodyKind};
use crate::query_string;

/// Who asks: the access key whose signature was verified. Behind the access check every request has it among its
/// extensions, whoever verified it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The key's id.
    pub access_key: String,
}

/// Judges every request before its body is read. For now every access key may do everything that is built; what each may
/// do will be decided here.
#[derive(Debug)]
pub struct Access {
    owner: String,
    memory: MemoryBudget,
}

impl Access {
    /// Access to what this owner owns. XML bodies, which are kept whole, take their memory from this budget.
    pub fn new(owner: String, memory: MemoryBudget) -> Self {
        Self { owner, memory }
    }
}

/// The one owner that every bucket has, in the form that S3 gives to owners: 64 hexadecimal digits.
pub fn owner_of(cluster: ClusterId) -> String {
    format!("{:0>64}", cluster.to_string())
}

/// What someone without a signature hears.
fn anonymous(uri: &Uri) -> S3Error {
    let overrides = query_string::pairs(uri.query().unwrap_or_default());
    if overrides.is_ok_and(|pairs| pairs.iter().any(|pair| pair.name.starts_with("response-"))) {
        return s3_error!(
            InvalidRequest,
            "Request specific response headers cannot be used for anonymous GET requests."
        );
    }
    s3_error!(AccessDenied)
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(http::header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[async_trait::async_trait]
impl S3Access for Access {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        if let Some(credentials) = cx.credentials() {
            let access_key = credentials.access_key.clone();
            cx.extensions_mut().insert(Caller { access_key });
        } else if cx.extensions_mut().get::<Caller>().is_none() {
            return Err(anonymous(cx.uri()));
        }
        let shape = guard::judge(cx.s3_op().name(), cx.uri(), cx.headers(), &self.owner)?;
        if let BodyKind::Xml { bytes_max } = shape.body {
            let promises = shape.promises(cx.headers())?;
            let sha256 = match cx.headers().get("x-amz-content-sha256").map(|value| value.as_bytes()) {
                Some(value) if value.starts_with(b"STREAMING-") => {
                    return Err(s3_error!(NotImplemented, "aws-chunked XML bodies are not implemented."));
                }
                Some(value) if value != b"UNSIGNED-PAYLOAD" => {
                    let mut sha256 = [0; 32];
                    hex::decode_to_slice(value, &mut sha256)
                        .map_err(|_| s3_error!(InvalidRequest, "x-amz-content-sha256 is malformed."))?;
                    Some(sha256)
                }
                _ => None,
            };
            // Whoever carried the body in hung its watch here; without one nothing could be verified.
            let watch = cx.extensions_mut().get::<Arc<BodyWatch>>().ok_or_else(|| s3_error!(InternalError))?;
            let watch = Arc::clone(watch);
            watch.expect(promises, sha256, bytes_max);
            let bytes = declared_length(cx.headers()).map_or(bytes_max, |bytes| bytes.min(bytes_max));
            if bytes > 0 {
                watch.hold(self.memory.reserve(shape.memory_of(bytes)).await.map_err(Fault::from)?);
            }
        }
        Ok(())
    }
}
