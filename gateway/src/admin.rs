//! The way to the administration: `/.cairn/v1/...`, signed by a root key with the same signatures as S3.
//!
//! No bucket's name begins with a dot, and a host that names a bucket never leads here, so nothing of S3 is shadowed. What
//! is answered there is not decided here: whoever wires the process gives an [`AdminApi`].

pub mod users;

use std::sync::Arc;

use bytes::Bytes;
use http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use s3s::route::S3Route;
use s3s::{Body, S3Request, S3Response, S3Result, s3_error};

use crate::auth::AccessKeys;
use crate::body::{BodyFault, BodyWatch};
use crate::host::Hosts;
use crate::traffic;

pub use self::users::Users;

/// Where the administration begins.
pub const ADMIN_PREFIX: &str = "/.cairn/v1/";

/// The longest body of a request to the administration.
pub const ADMIN_BODY_BYTES_MAX: u64 = 1024 * 1024;

/// Answers the administration's requests. Every caller has proved to hold a root key.
#[async_trait::async_trait]
pub trait AdminApi: Send + Sync + 'static {
    /// Answers one request with a status and a JSON document. `path` is what follows [`ADMIN_PREFIX`].
    async fn call(&self, method: &Method, path: &str, query: &str, body: Bytes) -> (StatusCode, Bytes);
}

/// Brings requests to the administration.
pub struct AdminRoute {
    api: Arc<dyn AdminApi>,
    users: Users,
    keys: Arc<AccessKeys>,
    hosts: Hosts,
}

impl AdminRoute {
    /// To this administration, for the root keys among these.
    pub fn new(api: Arc<dyn AdminApi>, users: Users, keys: Arc<AccessKeys>, hosts: Hosts) -> Self {
        Self { api, users, keys, hosts }
    }
}

impl core::fmt::Debug for AdminRoute {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("AdminRoute(..)")
    }
}

#[async_trait::async_trait]
impl S3Route for AdminRoute {
    fn is_match(&self, _: &Method, uri: &Uri, headers: &HeaderMap, _: &mut Extensions) -> bool {
        // Where the host names a bucket, the whole path is a key of it.
        uri.path().starts_with(ADMIN_PREFIX) && self.hosts.bucket_of(headers, uri).is_none()
    }

    async fn check_access(&self, request: &mut S3Request<Body>) -> S3Result<()> {
        if let Some(watch) = request.extensions.get::<Arc<BodyWatch>>() {
            watch.belongs_to(traffic::ADMINISTRATION);
        }
        let denied = || s3_error!(AccessDenied);
        let credentials = request.credentials.as_ref().ok_or_else(denied)?;
        cairn_metadata::authorship::sign(&credentials.access_key);
        let row = self.keys.row(&credentials.access_key).await?.ok_or_else(denied)?;
        if row.root { Ok(()) } else { Err(s3_error!(AccessDenied, "The administration is for root keys.")) }
    }

    async fn call(&self, mut request: S3Request<Body>) -> S3Result<S3Response<Body>> {
        let limit = usize::try_from(ADMIN_BODY_BYTES_MAX).expect("a MiB fits everywhere");
        let body = request.input.store_all_limited(limit).await.map_err(|error| BodyFault::classify(&*error))?;
        let path = request.uri.path().strip_prefix(ADMIN_PREFIX).unwrap_or_default();
        let query = request.uri.query().unwrap_or_default();
        // Keys are made where they are opened: nobody else sees their secrets.
        let answered = match path.strip_prefix("users") {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                self.users.call(&request.method, rest.trim_start_matches('/')).await
            }
            _ => self.api.call(&request.method, path, query, body).await,
        };
        let (status, answer) = answered;
        let mut response = S3Response::with_status(Body::from(answer), status);
        response.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(response)
    }
}
