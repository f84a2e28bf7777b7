//! Requests whose heads s3s cannot read as they are meant.
//!
//! It takes one tag where HTTP allows a list, refuses a range or a date that it cannot parse where HTTP and AWS pass over
//! it, and does not know that headers may stand in the query of a signed URL. Nothing of a head may be changed before its
//! signature is verified. So such a request is claimed as a route of our own: s3s verifies it and hands it over, it is
//! mended here, and goes through a second s3s without a signature, under the name of whoever signed it, if anybody did.
//!
//! ```text
//! s3s: signature -+-> access -> operation                       nearly all requests
//!                 +-> mend -> s3s without routes: access -> operation
//! ```

use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use s3s::dto::{ETagCondition, Range, Timestamp, TimestampFormat};
use s3s::route::S3Route;
use s3s::service::S3Service;
use s3s::{Body, S3Request, S3Response, S3Result, s3_error};

use crate::access::Caller;
use crate::admin::AdminRoute;
use crate::query_string::{self, Pair};
use crate::service;
use crate::signature_v2::with_query;

/// The parameters of a signature of version 4, in lower case.
const OF_SIGNATURES: &[&str] = &[
    "x-amz-algorithm",
    "x-amz-content-sha256",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-security-token",
    "x-amz-signature",
    "x-amz-signedheaders",
];

/// The headers of reads that are read by us, as they were sent, and that s3s may find malformed.
const OF_READS: [HeaderName; 5] =
    [header::IF_MATCH, header::IF_MODIFIED_SINCE, header::IF_NONE_MATCH, header::IF_UNMODIFIED_SINCE, header::RANGE];

/// The headers of a read as they were sent, for whoever answers it.
#[derive(Debug, Clone)]
pub struct AsSent(pub HeaderMap);

/// Whether a request needs to be mended.
pub fn is_needed(method: &Method, uri: &Uri, headers: &HeaderMap) -> bool {
    let read = matches!(*method, Method::GET | Method::HEAD);
    if read && OF_READS.iter().any(|name| headers.contains_key(name) && !is_readable(headers, name)) {
        return true;
    }
    let query = uri.query().unwrap_or_default();
    // Most requests have no query at all, and most queries no signature.
    if !query.contains("X-Amz-Signature") {
        return false;
    }
    // What cannot be decoded is for s3s to refuse.
    query_string::pairs(query).is_ok_and(|pairs| pairs.iter().any(is_header))
}

fn is_readable(headers: &HeaderMap, name: &HeaderName) -> bool {
    let mut values = headers.get_all(name).iter();
    let (Some(only), None) = (values.next(), values.next()) else { return false };
    let Ok(text) = only.to_str() else { return false };
    if *name == header::RANGE {
        Range::parse(text).is_ok()
    } else if *name == header::IF_MATCH || *name == header::IF_NONE_MATCH {
        ETagCondition::parse_http_header(text.as_bytes()).is_ok()
    } else {
        Timestamp::parse(TimestampFormat::HttpDate, text).is_ok()
    }
}

/// Whether a parameter of a signed URL stands for a header: newer clients move them there.
fn is_header(pair: &Pair<'_>) -> bool {
    let name = pair.name.to_ascii_lowercase();
    name.starts_with("x-amz-") && !OF_SIGNATURES.contains(&&*name)
}

/// Mends a request whose signature was verified, if it has one.
fn mend(request: S3Request<Body>) -> S3Result<Request<Body>> {
    let S3Request { input, method, uri, mut headers, mut extensions, credentials, .. } = request;
    if let Some(credentials) = credentials {
        extensions.insert(Caller { access_key: credentials.access_key });
    }
    let mut kept = Vec::new();
    for pair in query_string::pairs(uri.query().unwrap_or_default())? {
        if is_header(&pair) {
            hoist(&pair, &mut headers)?;
        } else if !OF_SIGNATURES.contains(&&*pair.name.to_ascii_lowercase()) {
            kept.push(pair.raw);
        }
    }
    headers.remove(header::AUTHORIZATION);
    if matches!(method, Method::GET | Method::HEAD) {
        extensions.insert(AsSent(headers.clone()));
        OF_READS.iter().for_each(|name| while headers.remove(name).is_some() {});
    }
    let mut mended = Request::new(input);
    *mended.method_mut() = method;
    *mended.uri_mut() = with_query(&uri, &kept.join("&"));
    *mended.headers_mut() = headers;
    *mended.extensions_mut() = extensions;
    Ok(mended)
}

fn hoist(pair: &Pair<'_>, headers: &mut HeaderMap) -> S3Result<()> {
    let malformed = || s3_error!(InvalidArgument, "The parameter {} cannot be a header.", pair.name);
    let name = HeaderName::try_from(&*pair.name).map_err(|_| malformed())?;
    let value = HeaderValue::try_from(&*pair.value).map_err(|_| malformed())?;
    if headers.insert(&name, value.clone()).is_some_and(|sent| sent != value) {
        return Err(s3_error!(InvalidArgument, "{name} was sent with two values."));
    }
    Ok(())
}

/// What s3s verifies and then hands to us: the administration's requests, and those that are to be mended.
#[derive(Debug)]
pub struct Routes {
    /// The way to the administration.
    pub admin: AdminRoute,
    /// Answers mended requests.
    pub verified: S3Service,
}

#[async_trait::async_trait]
impl S3Route for Routes {
    fn is_match(&self, method: &Method, uri: &Uri, headers: &HeaderMap, extensions: &mut Extensions) -> bool {
        self.admin.is_match(method, uri, headers, extensions) || is_needed(method, uri, headers)
    }

    async fn check_access(&self, request: &mut S3Request<Body>) -> S3Result<()> {
        if self.admin.is_match(&request.method, &request.uri, &request.headers, &mut request.extensions) {
            return self.admin.check_access(request).await;
        }
        // What the caller may do, or nobody, is judged behind the mending, as for everyone else.
        Ok(())
    }

    async fn call(&self, mut request: S3Request<Body>) -> S3Result<S3Response<Body>> {
        if self.admin.is_match(&request.method, &request.uri, &request.headers, &mut request.extensions) {
            return self.admin.call(request).await;
        }
        let (head, body) = service::call(&self.verified, mend(request)?).await.into_parts();
        let mut answer = S3Response::with_status(body, head.status);
        answer.headers = head.headers;
        answer.extensions = head.extensions;
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(sent: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn only_what_s3s_cannot_read_is_mended() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        for (sent, needed) in [
            (&[][..], false),
            (&[("range", "bytes=0-1"), ("if-match", "\"x\""), ("if-modified-since", date)], false),
            (&[("if-none-match", "*")], false),
            (&[("range", "bytes=1-0")], true),
            (&[("range", "bytes=0-1,3-4")], true),
            (&[("range", "bytes=0-1"), ("range", "bytes=0-1")], true),
            (&[("if-match", "\"x\""), ("if-match", "\"y\"")], true),
            (&[("if-none-match", "x y")], true),
            (&[("if-modified-since", "Sunday, 06-Nov-94 08:49:37 GMT")], true),
            (&[("if-unmodified-since", "never")], true),
        ] {
            for method in [Method::GET, Method::HEAD] {
                assert_eq!(is_needed(&method, &Uri::from_static("/b/k"), &headers(sent)), needed, "{sent:?}");
            }
            assert!(!is_needed(&Method::PUT, &Uri::from_static("/b/k"), &headers(sent)), "s3s refuses: {sent:?}");
        }
    }

    #[test]
    fn headers_in_a_signed_query_are_found() {
        for (query, needed) in [
            ("X-Amz-Signature=s&X-Amz-Date=d&x-id=GetObject", false),
            ("X-Amz-Signature=s&x-amz-checksum-mode=ENABLED", true),
            ("X-Amz-Signature=s&X-Amz-Acl=private", true),
            ("X-Amz-Signature=s&X-Amz-Content-Sha256=UNSIGNED-PAYLOAD", false),
            ("x-amz-checksum-mode=ENABLED", false),
        ] {
            let uri: Uri = format!("/b/k?{query}").parse().unwrap();
            assert_eq!(is_needed(&Method::PUT, &uri, &HeaderMap::new()), needed, "{query}");
        }
    }
}
