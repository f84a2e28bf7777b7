//! Signatures of version 2, by header and in the query, as older clients make them.
//!
//! They cover the method, the path, some headers and some parameters. What they do not cover must not decide anything, or
//! whoever is handed a signed URL could make another request of it: so a parameter that they leave out is refused unless
//! it only filters a listing, and nothing that they cover may come twice. That is why this is not left to s3s, which
//! signs fewer sub-resources than it dispatches and passes over what comes twice.
//!
//! Nothing here does I/O. The way of a request: [`Carried::of`], the key's secret, [`Carried::verify`], and
//! [`Carried::take_out`], behind which nothing of the signature is left.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cairn_core::WallTime;
use hmac::{Hmac, KeyInit, Mac};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header, request};
use s3s::{S3Error, S3Result, s3_error};
use sha1::Sha1;

use crate::names;
use crate::query_string::{self, Pair};

/// How far a request's clock may be off.
const SKEW_MAX: Duration = Duration::from_secs(15 * 60);

/// The parameters that are signed.
const SIGNED: &[&str] = &[
    "accelerate",
    "acl",
    "analytics",
    "cors",
    "defaultObjectAcl",
    "delete",
    "inventory",
    "lifecycle",
    "location",
    "logging",
    "metrics",
    "notification",
    "object-lock",
    "partNumber",
    "policy",
    "replication",
    "requestPayment",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "restore",
    "select",
    "select-type",
    "storageClass",
    "tagging",
    "torrent",
    "uploadId",
    "uploads",
    "versionId",
    "versioning",
    "versions",
    "website",
];

/// Parameters that are not signed and may come all the same: they choose what a listing shows of what its reader may see,
/// or, like `x-id`, decide nothing.
const HARMLESS: &[&str] = &[
    "continuation-token",
    "delimiter",
    "encoding-type",
    "fetch-owner",
    "key-marker",
    "list-type",
    "marker",
    "max-buckets",
    "max-keys",
    "max-parts",
    "max-uploads",
    "part-number-marker",
    "prefix",
    "start-after",
    "upload-id-marker",
    "version-id-marker",
    "x-id",
];

/// The parameters of a signature in the query.
const ACCESS_KEY: &str = "AWSAccessKeyId";
const EXPIRES: &str = "Expires";
/// The one of them that says that there is a signature.
pub const SIGNATURE: &str = "Signature";

/// What begins an `Authorization` header of version 2.
pub const SCHEME: &str = "AWS ";

/// A signature that a request carries, and what it covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// Who is said to have signed.
    pub access_key: String,
    signature: Vec<u8>,
    /// What may have been signed: a bucket by its path is signed with a slash behind it by some clients.
    strings_to_sign: Vec<String>,
    /// Headers that stood in the query, as clients put them when they sign a URL.
    hoisted: Vec<(HeaderName, HeaderValue)>,
    /// The query without the signature and without those headers.
    query: String,
}

impl Carried {
    /// Takes the signature out of a request's head, and judges everything about it that needs no secret. `bucket` is what
    /// the host names.
    pub fn of(head: &request::Parts, bucket: Option<&str>, now: WallTime) -> S3Result<Self> {
        let pairs = query_string::pairs(head.uri.query().unwrap_or_default())?;
        let presigned = pairs.iter().any(|pair| pair.name == SIGNATURE);
        judge_headers(&head.headers)?;
        let mut kept: BTreeMap<&str, &Pair<'_>> = BTreeMap::new();
        let mut hoisted = Vec::new();
        for pair in &pairs {
            if presigned && is_hoisted(&pair.name) {
                hoisted.push(hoist(pair, &head.headers)?);
            } else if kept.insert(&pair.name, pair).is_some() {
                let name = names::xml_text(pair.name.to_string());
                return Err(s3_error!(InvalidArgument, "The parameter {name} was sent more than once."));
            }
        }
        let mut taken = |name| kept.remove(name).map(|pair| pair.value.as_ref());
        let (access_key, signature, date) = if presigned {
            let incomplete =
                || denied("Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters");
            let expires = taken(EXPIRES).ok_or_else(incomplete)?;
            judge_expiry(expires, now)?;
            (taken(ACCESS_KEY).ok_or_else(incomplete)?, taken(SIGNATURE).ok_or_else(incomplete)?, expires)
        } else {
            let (access_key, signature) = credentials(&head.headers)?;
            (access_key, signature, judge_date(&head.headers, now)?)
        };
        if let Some(name) = kept.keys().find(|name| !SIGNED.contains(name) && !HARMLESS.contains(name)) {
            return Err(denied(&format!("A signature of version 2 does not cover the parameter {name}.")));
        }
        let amz = amz_headers(&head.headers, &hoisted)?;
        let one = |name: HeaderName| {
            let moved = hoisted.iter().find(|(other, _)| *other == name).map(|(_, value)| value);
            let value = moved.or_else(|| head.headers.get(&name)).map(HeaderValue::to_str).transpose();
            value.map(Option::unwrap_or_default).map_err(|_| unsignable(&name))
        };
        let mut signed = format!(
            "{}\n{}\n{}\n{date}\n{amz}",
            head.method,
            one(HeaderName::from_static("content-md5"))?,
            one(header::CONTENT_TYPE)?,
        );
        if let Some(bucket) = bucket {
            signed.push('/');
            signed.push_str(bucket);
        }
        let path = head.uri.path();
        signed.push_str(path);
        let mut resources = String::new();
        // The map is in the order in which they are signed.
        for (number, (name, pair)) in kept.iter().filter(|(name, _)| SIGNED.contains(name)).enumerate() {
            resources.push(if number == 0 { '?' } else { '&' });
            resources.push_str(name);
            if !pair.value.is_empty() {
                resources.push('=');
                resources.push_str(&pair.value);
            }
        }
        let mut strings_to_sign = vec![format!("{signed}{resources}")];
        if bucket.is_none() && path.len() > 1 && !path[1..].contains('/') {
            strings_to_sign.push(format!("{signed}/{resources}"));
        }
        let query: Vec<_> = kept.values().map(|pair| pair.raw).collect();
        Ok(Self {
            access_key: access_key.to_owned(),
            signature: BASE64.decode(signature).map_err(|_| s3_error!(SignatureDoesNotMatch))?,
            strings_to_sign,
            query: query.join("&"),
            hoisted,
        })
    }

    /// Whether whoever holds this secret signed it. Takes the same time for every wrong signature.
    pub fn verify(&self, secret: &str) -> S3Result<()> {
        // All are compared, so that the time does not say which one was near.
        let signed = self.strings_to_sign.iter().filter(|signed| {
            let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("an HMAC takes a key of any length");
            mac.update(signed.as_bytes());
            mac.verify_slice(&self.signature).is_ok()
        });
        if signed.count() > 0 { Ok(()) } else { Err(s3_error!(SignatureDoesNotMatch)) }
    }

    /// The request's head without its signature: what stood in the query and is a header becomes one.
    pub fn take_out(self, head: &mut request::Parts) {
        head.headers.remove(header::AUTHORIZATION);
        self.hoisted.into_iter().for_each(|(name, value)| _ = head.headers.insert(name, value));
        head.uri = with_query(&head.uri, &self.query);
    }
}

/// The same address with another query.
pub fn with_query(uri: &Uri, query: &str) -> Uri {
    let mark = if query.is_empty() { "" } else { "?" };
    let path = PathAndQuery::try_from(format!("{}{mark}{query}", uri.path())).expect("pieces of what was one before");
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).expect("only the query changed")
}

fn denied(message: &str) -> S3Error {
    s3_error!(AccessDenied, "{}", names::xml_text(message.to_owned()))
}

fn unsignable(name: &HeaderName) -> S3Error {
    s3_error!(SignatureDoesNotMatch, "The header {name} cannot be signed.")
}

/// What a signature covers only once must not come twice; and it covers no body, so nothing may be said of one that only
/// the chunks of version 4 could keep.
fn judge_headers(headers: &HeaderMap) -> S3Result<()> {
    for name in ["authorization", "content-md5", "content-type", "date", "x-amz-date"] {
        if headers.get_all(name).iter().nth(1).is_some() {
            return Err(s3_error!(InvalidRequest, "The header {name} was sent more than once."));
        }
    }
    let payload = headers.get("x-amz-content-sha256").is_some_and(|value| value != "UNSIGNED-PAYLOAD");
    if payload || headers.contains_key("x-amz-decoded-content-length") {
        return Err(s3_error!(
            InvalidRequest,
            "Bodies are signed and sent in chunks with signatures of version 4 only."
        ));
    }
    Ok(())
}

/// Whether a parameter of a signed URL stands for a header.
fn is_hoisted(name: &str) -> bool {
    name.starts_with("x-amz-") || name.eq_ignore_ascii_case("content-type") || name.eq_ignore_ascii_case("content-md5")
}

fn hoist(pair: &Pair<'_>, headers: &HeaderMap) -> S3Result<(HeaderName, HeaderValue)> {
    let malformed = || s3_error!(InvalidArgument, "The parameter {} cannot be a header.", pair.name);
    let name = HeaderName::try_from(&*pair.name).map_err(|_| malformed())?;
    let value = HeaderValue::try_from(&*pair.value).map_err(|_| malformed())?;
    match headers.get(&name) {
        Some(sent) if *sent != value => Err(s3_error!(InvalidArgument, "{name} was sent with two values.")),
        _ => Ok((name, value)),
    }
}

/// Key and signature in an `Authorization` header.
fn credentials(headers: &HeaderMap) -> S3Result<(&str, &str)> {
    let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let pair = sent.and_then(|sent| sent.strip_prefix(SCHEME)).and_then(|pair| pair.split_once(':'));
    pair.filter(|(key, signature)| !key.is_empty() && !signature.is_empty()).ok_or_else(|| {
        s3_error!(InvalidArgument, "AWS authorization header is invalid. Expected AwsAccessKeyId:signature")
    })
}

fn judge_expiry(expires: &str, now: WallTime) -> S3Result<()> {
    let malformed = || denied(&format!("Invalid date (should be seconds since epoch): {expires}"));
    let expires: u64 = expires.parse().map_err(|_| malformed())?;
    if now.as_millis() / 1000 > expires { Err(denied("Request has expired")) } else { Ok(()) }
}

/// Judges the date of a request, and gives what is signed of it: nothing where `x-amz-date` stands among the headers that
/// are signed anyway.
fn judge_date(headers: &HeaderMap, now: WallTime) -> S3Result<&str> {
    let text = |name| headers.get(name).and_then(|value| HeaderValue::to_str(value).ok());
    let amz = text(HeaderName::from_static("x-amz-date"));
    let date = text(header::DATE);
    let sent = amz.or(date).and_then(moment);
    let sent = sent.ok_or_else(|| denied("AWS authentication requires a valid Date or x-amz-date header"))?;
    let skew = now.as_millis().abs_diff(sent.as_millis());
    if u128::from(skew) > SKEW_MAX.as_millis() {
        return Err(s3_error!(RequestTimeTooSkewed));
    }
    Ok(if amz.is_some() { "" } else { date.unwrap_or_default() })
}

/// A date as clients write it: in one of HTTP's forms, with its zone as a number, or in that of version 4.
fn moment(text: &str) -> Option<WallTime> {
    let compact = time::macros::format_description!("[year][month][day]T[hour][minute][second]Z");
    if let Ok(time) = time::PrimitiveDateTime::parse(text, compact) {
        let millis = time.assume_utc().unix_timestamp().checked_mul(1000)?;
        return Some(WallTime(u64::try_from(millis).ok()?));
    }
    let named = text.strip_suffix("+0000").map(|rest| format!("{rest}GMT"));
    let text = named.as_deref().unwrap_or(text);
    // The day of the week follows from the date: who names another one means the date all the same.
    let usual = time::macros::format_description!("[day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
    let usual = text.split_once(", ").and_then(|(_, date)| time::PrimitiveDateTime::parse(date, usual).ok());
    if let Some(time) = usual {
        let millis = time.assume_utc().unix_timestamp().checked_mul(1000)?;
        return Some(WallTime(u64::try_from(millis).ok()?));
    }
    let time = httpdate::parse_http_date(text).ok()?;
    let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(WallTime(u64::try_from(since.as_millis()).ok()?))
}

/// The `x-amz-*` headers as they are signed: sorted, each with all its values in one line.
fn amz_headers(headers: &HeaderMap, hoisted: &[(HeaderName, HeaderValue)]) -> S3Result<String> {
    let mut lines: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let moved = hoisted.iter().filter(|(name, _)| !headers.contains_key(name)).map(|(name, value)| (name, value));
    for (name, value) in headers.iter().chain(moved) {
        if name.as_str().starts_with("x-amz-") {
            let value = std::str::from_utf8(value.as_bytes()).map_err(|_| unsignable(name))?;
            lines.entry(name.as_str()).or_default().push(value.trim());
        }
    }
    Ok(lines.into_iter().map(|(name, values)| format!("{name}:{}\n", values.join(","))).collect())
}

#[cfg(test)]
mod tests;
