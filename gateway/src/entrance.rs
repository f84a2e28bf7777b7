//! What is judged before s3s sees a request: how it is signed, and whether s3s may have it at all.
//!
//! s3s takes a request that names two ways of signing by one of them, and a form by what it finds in it; neither gets that
//! far. Neither does a method that S3 does not know or a head that is longer than S3 allows.

use http::{HeaderMap, HeaderValue, Method, header, request};
use s3s::region::Region;
use s3s::{S3Result, s3_error};

use crate::names;
use crate::query_string::{self, Pair};
use crate::signature_v2;

/// How a request is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signed {
    /// With version 4, or not at all: s3s sees to it.
    Version4OrNot,
    /// With version 2, by header or in the query.
    Version2,
    /// It is a form: by one of its fields, or not at all.
    Form,
}

/// The most bytes of headers, names and values together. AWS allows half of it, and counts differently.
const HEADER_BYTES_MAX: usize = 16 * 1024;

/// Looks at a request's head.
pub fn judge(head: &request::Parts) -> S3Result<Signed> {
    judge_method(&head.method)?;
    let bytes: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes > HEADER_BYTES_MAX {
        return Err(s3_error!(RequestHeaderSectionTooLarge));
    }
    // A query that cannot be read carries no signature that could be; s3s says what is wrong with it.
    let pairs = query_string::pairs(head.uri.query().unwrap_or_default()).unwrap_or_default();
    let has = |name: &str| pairs.iter().any(|Pair { name: sent, .. }| sent == name);
    let in_query_2 = has(signature_v2::SIGNATURE);
    let in_query_4 = has("X-Amz-Algorithm") || has("X-Amz-Signature");
    let mut lines = head.headers.get_all(header::AUTHORIZATION).iter();
    let by_header = lines.next();
    let ways = usize::from(in_query_2) + usize::from(in_query_4) + usize::from(by_header.is_some()) + lines.count();
    if ways > 1 {
        return Err(s3_error!(
            InvalidArgument,
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or \
             the Authorization header should be specified"
        ));
    }
    if head.method == Method::POST && is_form(&head.headers) {
        // s3s would read it into memory, whoever signed it and how.
        return match ways {
            0 => Ok(Signed::Form),
            _ => Err(s3_error!(InvalidRequest, "A form is signed by its own fields.")),
        };
    }
    let Some(by_header) = by_header else {
        return Ok(if in_query_2 { Signed::Version2 } else { Signed::Version4OrNot });
    };
    match HeaderValue::as_bytes(by_header) {
        sent if sent.starts_with(signature_v2::SCHEME.as_bytes()) => Ok(Signed::Version2),
        sent if sent.starts_with(b"AWS4-") => Ok(Signed::Version4OrNot),
        _ => Err(s3_error!(InvalidArgument, "Unsupported Authorization Type")),
    }
}

/// Judges the region that a signature of version 4 names. What is no name of a region is corrected, as AWS corrects it:
/// clients that begin with a guess of theirs go on with the one that the answer names. Whether it is the right one is
/// judged with the signature; what is no credential at all is refused there, too.
pub fn judge_region(head: &request::Parts, here: &str) -> S3Result<()> {
    let by_header = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let by_header = by_header.filter(|value| value.starts_with("AWS4-")).and_then(|value| {
        let behind = value.split_once("Credential=")?.1;
        Some(behind.split(',').next().unwrap_or_default())
    });
    let pairs = query_string::pairs(head.uri.query().unwrap_or_default()).unwrap_or_default();
    let in_query = pairs.iter().find(|pair| pair.name == "X-Amz-Credential").map(|pair| pair.value.as_ref());
    let Some(credential) = by_header.or(in_query) else { return Ok(()) };
    // key/date/region/service/aws4_request; a key may have slashes in it.
    let Some(region) = credential.rsplit('/').nth(2) else { return Ok(()) };
    if region.is_empty() || Region::new(region.into()).is_ok() {
        return Ok(());
    }
    Err(s3_error!(
        AuthorizationHeaderMalformed,
        "The authorization header is malformed; the region '{}' is wrong; expecting '{here}'",
        names::xml_text(region.to_owned())
    ))
}

fn judge_method(method: &Method) -> S3Result<()> {
    match *method {
        Method::GET | Method::HEAD | Method::PUT | Method::POST | Method::DELETE => Ok(()),
        // What a browser asks beforehand was answered before.
        _ => Err(s3_error!(MethodNotAllowed)),
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let types = headers.get_all(header::CONTENT_TYPE).iter();
    types.filter_map(|value| value.to_str().ok()).any(|value| {
        let kind = value.split(';').next().unwrap_or_default();
        kind.trim().eq_ignore_ascii_case("multipart/form-data")
    })
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn judged(method: Method, target: &str, headers: &[(&str, &str)]) -> Result<Signed, String> {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        judge(&head).map_err(|error| error.code().as_str().to_owned())
    }

    #[test]
    fn what_is_no_region_is_corrected() {
        let judged = |target: &str, authorization: &str| {
            let request = Request::builder().uri(target).header("authorization", authorization);
            let (head, ()) = request.body(()).unwrap().into_parts();
            judge_region(&head, "here").map_err(|error| error.code().as_str().to_owned())
        };
        let malformed = Err("AuthorizationHeaderMalformed".to_owned());
        let by_header = |credential: &str| format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host");
        assert_eq!(judged("/b", &by_header("K/20260101/eu-west-1/s3/aws4_request")), Ok(()));
        assert_eq!(judged("/b", &by_header("K/E/Y/20260101/eu-west-1/s3/aws4_request")), Ok(()));
        assert_eq!(judged("/b", &by_header("K/20260101/US/s3/aws4_request")), malformed);
        assert_eq!(judged("/b", &by_header("K/20260101//s3/aws4_request")), Ok(()));
        assert_eq!(judged("/b?X-Amz-Credential=K%2F20260101%2FUS%2Fs3%2Faws4_request", ""), malformed);
        for nothing in ["", "AWS K:s", "AWS4-HMAC-SHA256 x", &by_header("K")] {
            assert_eq!(judged("/b", nothing), Ok(()), "{nothing}");
        }
    }

    #[test]
    fn a_request_is_signed_in_one_way() {
        let v4 = ("authorization", "AWS4-HMAC-SHA256 Credential=x");
        let v2 = ("authorization", "AWS k:s");
        for (target, headers, expected) in [
            ("/b/k", &[][..], Ok(Signed::Version4OrNot)),
            ("/b/k", &[v4], Ok(Signed::Version4OrNot)),
            ("/b/k", &[v2], Ok(Signed::Version2)),
            ("/b/k?Signature=x", &[], Ok(Signed::Version2)),
            ("/b/k?X-Amz-Signature=x&X-Amz-Algorithm=y", &[], Ok(Signed::Version4OrNot)),
            ("/b/k?Signature=x", &[v4], Err("InvalidArgument")),
            ("/b/k?Signature=x&X-Amz-Signature=y", &[], Err("InvalidArgument")),
            ("/b/k?X-Amz-Signature=y", &[v2], Err("InvalidArgument")),
            ("/b/k", &[v4, v4], Err("InvalidArgument")),
            ("/b/k", &[("authorization", "Basic eDp5")], Err("InvalidArgument")),
            ("/b/k", &[("authorization", "AWS")], Err("InvalidArgument")),
            ("/b/k", &[("authorization", "")], Err("InvalidArgument")),
        ] {
            let judged = judged(Method::GET, target, headers);
            assert_eq!(judged, expected.map_err(str::to_owned), "{target} {headers:?}");
        }
    }

    #[test]
    fn s3s_sees_no_form() {
        let v4 = ("authorization", "AWS4-HMAC-SHA256 Credential=x");
        for (kind, plain, signed) in [
            ("multipart/form-data; boundary=x", Ok(Signed::Form), Err("InvalidRequest")),
            ("Multipart/Form-Data", Ok(Signed::Form), Err("InvalidRequest")),
            ("application/x-www-form-urlencoded", Ok(Signed::Version4OrNot), Ok(Signed::Version4OrNot)),
        ] {
            let kind = ("content-type", kind);
            assert_eq!(judged(Method::POST, "/b", &[kind]), plain.map_err(str::to_owned));
            assert_eq!(judged(Method::POST, "/b", &[kind, v4]), signed.map_err(str::to_owned));
            assert_eq!(judged(Method::PUT, "/b", &[kind]), Ok(Signed::Version4OrNot));
        }
    }

    #[test]
    fn methods_and_heads_that_s3_does_not_know_are_refused() {
        for (method, code) in
            [("PATCH", "MethodNotAllowed"), ("MADEUP", "MethodNotAllowed"), ("OPTIONS", "MethodNotAllowed")]
        {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(judged(method, "/b/k", &[]), Err(code.to_owned()));
        }
        let long = "x".repeat(HEADER_BYTES_MAX);
        assert_eq!(judged(Method::PUT, "/b/k", &[("x", &long)]), Err("RequestHeaderSectionTooLarge".to_owned()));
        assert_eq!(judged(Method::PUT, "/b/k", &[("x", &long[1..])]), Ok(Signed::Version4OrNot));
    }
}
