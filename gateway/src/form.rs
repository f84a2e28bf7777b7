//! Uploads from browsers: `POST` to a bucket with a form that carries the file.
//!
//! ```text
//! head of the form -+-> fields -> who signed its policy -> does the policy allow these fields --+
//!  (at most 32 KiB) |                                                                           v
//!                   +-> file, as it comes -------------------------------> PUT, behind the signatures, through all guards
//! ```
//! A form says with its fields what other requests say with headers. So once its policy was verified and allows what is
//! asked, it becomes the PUT that it stands for, and everything that is judged of a PUT is judged of it: which headers
//! are built, who may write there, what an object may be. The file is never kept: it streams, however large it is. Only
//! what stands before it is held, and that is bounded.
//!
//! How long the file is, nobody knows before its end: fields behind it are allowed and ignored, as in S3. The length of
//! the request bounds it.
//!
//! - [`parts`]: the form's fields, until the file begins
//! - [`file`]: the file, until the form goes on behind it
//! - [`policy`]: what a signed form may say
//! - [`signature`]: who signed it
//! - [`answered`]: what the browser is told

pub mod answered;
pub mod file;
pub mod parts;
pub mod policy;
pub mod signature;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use cairn_core::units::PUT_BYTES_MAX;
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, request};
use http_body_util::BodyExt;
use s3s::auth::S3Auth;
use s3s::dto::Tagging;
use s3s::xml::{Deserialize, Deserializer};
use s3s::{Body, HttpResponse, S3Result, s3_error};

use self::file::FileBody;
use self::parts::{Form, HEAD_BYTES_MAX, Progress};
use self::policy::Policy;
use crate::access::Caller;
use crate::auth::Authenticator;
use crate::body::BodyFault;
use crate::bucket::url_encoding;
use crate::object::upload::LengthAtEnd;
use crate::service::{self, Service};
use crate::tags;

/// How long a form may take until its file begins.
const HEAD_PATIENCE: Duration = Duration::from_secs(60);

/// Fields that are headers of the same name.
const HEADERS: &[&str] =
    &["cache-control", "content-disposition", "content-encoding", "content-language", "content-type", "expires"];

/// Fields that say who asks, and are nothing to a PUT.
const OF_SIGNATURES: &[&str] = &["x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature"];

/// Answers a form.
pub async fn post(service: &Service, request: Request<Body>) -> S3Result<HttpResponse> {
    let (head, mut body) = request.into_parts();
    let bucket = bucket_of(service, &head)?;
    let boundary = parts::boundary(&head.headers)?;
    let declared = declared_length(&head.headers)?;
    let begun = tokio::time::timeout(HEAD_PATIENCE, begin(&mut body, &boundary)).await;
    let (form, rest) = begun.unwrap_or(Err(BodyFault::Idle(HEAD_PATIENCE).into()))?;
    let key = key_of(&form)?;
    let (caller, range) = match authenticate(service, &form).await? {
        Some((caller, policy)) => {
            policy.judge(&form, &bucket, service.clock.wall())?;
            (Some(caller), policy.length)
        }
        None => (None, 0..=PUT_BYTES_MAX),
    };
    // Behind the file there is at least the end of the form.
    let bytes_max = declared.saturating_sub((form.consumed + boundary.len() + parts::END_BYTES) as u64);
    if bytes_max < *range.start() {
        return Err(BodyFault::TooSmall.into());
    }
    let file = FileBody::new(body, rest, &boundary, range);
    let mut put = Request::new(Body::http_body_unsync(file));
    *put.method_mut() = Method::PUT;
    *put.uri_mut() = target(&head.uri, &key)?;
    *put.headers_mut() = headers(&form, &head.headers)?;
    *put.extensions_mut() = head.extensions;
    put.extensions_mut().insert(LengthAtEnd { bytes_max });
    if let Some(caller) = caller {
        put.extensions_mut().insert(caller);
    }
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let location = format!("http://{host}{}", put.uri().path());
    let done = service::call(&service.verified, put).await;
    if !done.status().is_success() {
        return Ok(done);
    }
    Ok(answered::success(done, &form, &answered::Made { bucket: &bucket, key: &key, location: &location }))
}

/// The bucket that the form is sent to: a form never names an object in its address.
fn bucket_of(service: &Service, head: &request::Parts) -> S3Result<String> {
    if head.uri.query().is_some_and(|query| !query.is_empty()) {
        return Err(s3_error!(NotImplemented, "A form takes no parameters in its address."));
    }
    let path = head.uri.path().trim_matches('/');
    match service.hosts.bucket_of(&head.headers, &head.uri) {
        Some(bucket) if path.is_empty() => Ok(bucket),
        None if !path.is_empty() && !path.contains('/') => Ok(path.to_owned()),
        _ => Err(s3_error!(MethodNotAllowed)),
    }
}

fn declared_length(headers: &HeaderMap) -> S3Result<u64> {
    let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    declared.and_then(|text| text.parse().ok()).ok_or_else(|| s3_error!(MissingContentLength))
}

/// Reads until the file begins. What came with that of the file is given back.
async fn begin(body: &mut Body, boundary: &str) -> S3Result<(Form, Bytes)> {
    let mut begun = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| BodyFault::classify(&*error))?;
        let Ok(mut data) = frame.into_data() else { continue };
        // A frame may be longer than what is kept: the file may begin in it.
        let kept = data.split_to(data.len().min(HEAD_BYTES_MAX - begun.len()));
        begun.extend_from_slice(&kept);
        match parts::read(&begun, boundary)? {
            Progress::File(mut form) => {
                form.expand()?;
                let mut rest = begun.split_off(form.consumed);
                rest.extend_from_slice(&data);
                return Ok((form, rest.freeze()));
            }
            Progress::Incomplete if begun.len() == HEAD_BYTES_MAX => {
                return Err(s3_error!(MaxPostPreDataLengthExceededError));
            }
            Progress::Incomplete => {}
        }
    }
    Err(parts::malformed())
}

fn key_of(form: &Form) -> S3Result<String> {
    let key = form.field("key").filter(|key| !key.is_empty());
    key.map(str::to_owned).ok_or_else(|| {
        s3_error!(
            InvalidArgument,
            "Bucket POST must contain a field named 'key'. If it is specified, please check the order of the fields."
        )
    })
}

/// Who signed the form, and what it may say; `None` where nobody did.
async fn authenticate(service: &Service, form: &Form) -> S3Result<Option<(Caller, Policy)>> {
    let Some(signed) = signature::of(form)? else { return Ok(None) };
    if signed.is_version_2() && !service.version_2 {
        return Err(s3_error!(
            InvalidRequest,
            "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."
        ));
    }
    let authenticator = Authenticator(std::sync::Arc::clone(&service.keys));
    let secret = authenticator.get_secret_key(signed.access_key()).await?;
    signed.verify(secret.expose(), service.region.as_deref())?;
    let policy = policy::parse(signed.policy)?;
    Ok(Some((Caller { access_key: signed.access_key().to_owned() }, policy)))
}

/// Where the PUT goes.
fn target(uri: &Uri, key: &str) -> S3Result<Uri> {
    let path = format!("{}/{}", uri.path().trim_end_matches('/'), url_encoding::encode(key));
    path.parse().map_err(|_| s3_error!(KeyTooLongError))
}

/// The headers of the PUT.
fn headers(form: &Form, sent: &HeaderMap) -> S3Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    if let Some(host) = sent.get(HOST) {
        headers.insert(HOST, host.clone());
    }
    for (name, value) in &form.fields {
        let header = match name.as_str() {
            "acl" => "x-amz-acl",
            "tagging" => {
                let tags = tagging(value)?;
                headers.insert("x-amz-tagging", header_value("tagging", &tags)?);
                continue;
            }
            "success_action_status" | "success_action_redirect" | "policy" | "signature" => continue,
            name if HEADERS.contains(&name) => name,
            name if name.starts_with("x-amz-") && !OF_SIGNATURES.contains(&name) => name,
            // A field that nobody knows says nothing about the object. What a signed form may not say, its policy refused.
            _ => continue,
        };
        let header = HeaderName::try_from(header).map_err(|_| s3_error!(InvalidArgument, "{name} is no header."))?;
        headers.insert(header, header_value(name, value)?);
    }
    Ok(headers)
}

fn header_value(name: &str, value: &str) -> S3Result<HeaderValue> {
    HeaderValue::try_from(value).map_err(|_| s3_error!(InvalidArgument, "The field {name} cannot be a header."))
}

/// The document of tags that a form carries, as the header that a PUT carries.
fn tagging(document: &str) -> S3Result<String> {
    let malformed = |_| s3_error!(MalformedXML);
    let mut xml = Deserializer::new(document.as_bytes());
    let tagging = Tagging::deserialize(&mut xml).map_err(malformed)?;
    xml.expect_eof().map_err(malformed)?;
    let pair =
        |(name, value): (String, String)| format!("{}={}", url_encoding::encode(&name), url_encoding::encode(&value));
    let pairs: Vec<_> = tags::of_set(tagging.tag_set, tags::OBJECT_TAGS_MAX)?.into_iter().map(pair).collect();
    Ok(pairs.join("&"))
}
