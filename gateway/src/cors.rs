//! Which pages a browser lets talk to a bucket: the question before a request, and what is said beside its answer.
//!
//! A browser asks (`OPTIONS`) without a signature, and nothing but the bucket's rules is told. The rules give no right to
//! anything: the request itself is judged like any other, and afterwards the browser is told whether the page that made it
//! may see the answer.

use cairn_machine::row::Row;
use cairn_machine::rows::config::{BucketConfig, BucketConfigRow, ConfigKind};
use cairn_machine::rows::cors::CorsRule;
use cairn_metadata::query;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use s3s::{Body, HttpResponse, S3Error, S3ErrorCode, S3Result, s3_error};

use crate::fault::Fault;
use crate::names;
use crate::service::Service;

/// What an answer depends on, for caches in between.
const VARIES: HeaderValue =
    HeaderValue::from_static("Origin, Access-Control-Request-Headers, Access-Control-Request-Method");

/// A request that a page makes, or asks whether it may make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    bucket: String,
    origin: String,
    method: String,
    /// Names in lower case.
    headers: Vec<String>,
}

impl Asked {
    /// What a request's head says of the page that made it; `None` where no page did.
    pub fn of(service: &Service, method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Self> {
        let text = |name| headers.get(name).and_then(|value| HeaderValue::to_str(value).ok());
        let origin = text(ORIGIN)?.to_owned();
        let wanted = text(ACCESS_CONTROL_REQUEST_METHOD);
        let bucket = service.hosts.bucket_of(headers, uri).or_else(|| {
            let first = uri.path().trim_start_matches('/').split('/').next().unwrap_or_default();
            (!first.is_empty()).then(|| first.to_owned())
        })?;
        let named = text(ACCESS_CONTROL_REQUEST_HEADERS).unwrap_or_default();
        let names = named.split(',').map(|name| name.trim().to_ascii_lowercase()).filter(|name| !name.is_empty());
        let method = wanted.unwrap_or(method.as_str()).to_owned();
        Some(Self { bucket, origin, method, headers: names.collect() })
    }

    /// The first rule that allows it, and the origin as the answer names it.
    fn allowed_by<'r>(&self, rules: &'r [CorsRule]) -> Option<(&'r CorsRule, &str)> {
        rules.iter().find_map(|rule| {
            let pattern = rule.origins.iter().find(|pattern| matches(pattern, &self.origin))?;
            let header =
                |name: &String| rule.headers.iter().any(|pattern| matches(&pattern.to_ascii_lowercase(), name));
            let fits = rule.methods.contains(&self.method) && self.headers.iter().all(header);
            fits.then_some((rule, if pattern == "*" { "*" } else { self.origin.as_str() }))
        })
    }

    async fn rules(&self, service: &Service) -> Result<Vec<CorsRule>, Fault> {
        let name = names::bucket(&self.bucket).map_err(|_| Fault::NoSuchBucket)?;
        let view = service.client.read().await?;
        let (id, _) = query::bucket_by_name(&view, &name)?.ok_or(Fault::NoSuchBucket)?;
        match BucketConfigRow::get(&view, &(id, ConfigKind::Cors))?.map(|row| row.config) {
            Some(BucketConfig::Cors(rules)) => Ok(rules),
            _ => Ok(Vec::new()),
        }
    }
}

/// Whether a text fits a pattern with at most one star.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((begin, end)) => text.len() >= begin.len() + end.len() && text.starts_with(begin) && text.ends_with(end),
    }
}

/// Answers the question whether a request may be made.
pub async fn preflight(service: &Service, uri: &Uri, headers: &HeaderMap) -> S3Result<HttpResponse> {
    let bad = |message: &'static str| {
        let mut error = S3Error::with_message(S3ErrorCode::Custom("BadRequest".into()), message);
        error.set_status_code(StatusCode::BAD_REQUEST);
        error
    };
    if !headers.contains_key(ORIGIN) {
        return Err(bad("Insufficient information. Origin request header needed."));
    }
    if !headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
        return Err(bad("Invalid Access-Control-Request-Method: null"));
    }
    let asked = Asked::of(service, &Method::OPTIONS, uri, headers).ok_or_else(|| s3_error!(MethodNotAllowed))?;
    let rules = match asked.rules(service).await {
        Ok(rules) => rules,
        // Who has no right to know is not told which buckets there are.
        Err(Fault::NoSuchBucket) => Vec::new(),
        Err(fault) => return Err(fault.into()),
    };
    if rules.is_empty() {
        return Err(forbidden("CORSResponse: CORS is not enabled for this bucket."));
    }
    let (rule, origin) = asked.allowed_by(&rules).ok_or_else(|| {
        forbidden("CORSResponse: This CORS request is not allowed. No rule of the bucket fits its origin, method and headers.")
    })?;
    let mut answer = HttpResponse::new(Body::empty());
    say(rule, origin, answer.headers_mut());
    if !asked.headers.is_empty() {
        set(answer.headers_mut(), ACCESS_CONTROL_ALLOW_HEADERS, &asked.headers.join(", "));
    }
    Ok(answer)
}

fn forbidden(message: &'static str) -> S3Error {
    let mut error = S3Error::with_message(S3ErrorCode::Custom("AccessForbidden".into()), message);
    error.set_status_code(StatusCode::FORBIDDEN);
    error
}

/// Says beside an answer whether the page that asked may see it. Where the rules cannot be read nothing is said, so the
/// browser keeps it to itself.
pub async fn annotate(service: &Service, asked: &Asked, answer: &mut HttpResponse) {
    match asked.rules(service).await {
        Ok(rules) => {
            let asked = Asked { headers: Vec::new(), ..asked.clone() };
            if let Some((rule, origin)) = asked.allowed_by(&rules) {
                say(rule, origin, answer.headers_mut());
            }
        }
        Err(Fault::NoSuchBucket) => {}
        Err(fault) => tracing::debug!(%fault, "the cross-origin rules of a bucket cannot be read"),
    }
}

fn say(rule: &CorsRule, origin: &str, headers: &mut HeaderMap) {
    set(headers, ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    set(headers, ACCESS_CONTROL_ALLOW_METHODS, &rule.methods.join(", "));
    if origin != "*" {
        set(headers, ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
    }
    if !rule.exposed.is_empty() {
        set(headers, ACCESS_CONTROL_EXPOSE_HEADERS, &rule.exposed.join(", "));
    }
    if let Some(seconds) = rule.max_age_seconds {
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(seconds));
    }
    headers.append(VARY, VARIES);
}

/// All texts were judged when the rule was put, but for the origin, which came as a header.
fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(origins: &[&str], methods: &[&str], headers: &[&str]) -> CorsRule {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        CorsRule { origins: texts(origins), methods: texts(methods), headers: texts(headers), ..CorsRule::default() }
    }

    fn asked(origin: &str, method: &str, headers: &[&str]) -> Asked {
        let headers = headers.iter().map(|name| (*name).to_owned()).collect();
        Asked { bucket: "b".into(), origin: origin.into(), method: method.into(), headers }
    }

    #[test]
    fn a_star_stands_for_anything_once() {
        for (pattern, text, fits) in [
            ("*", "", true),
            ("*", "http://x", true),
            ("http://x", "http://x", true),
            ("http://x", "http://X", false),
            ("*suffix", "foo.suffix", true),
            ("*suffix", "foo.suffix.get", false),
            ("start*end", "startend", true),
            ("start*end", "start12end", true),
            ("start*end", "0start12end", false),
            ("aba*aba", "ababa", false),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn the_first_rule_that_fits_in_all_counts() {
        let rules = [
            rule(&["http://a", "*.example.org"], &["GET"], &[]),
            rule(&["*"], &["GET", "PUT"], &["X-Amz-*", "content-type"]),
        ];
        for (asked, expected) in [
            (asked("http://a", "GET", &[]), Some((0, "http://a"))),
            (asked("x.example.org", "GET", &[]), Some((0, "x.example.org"))),
            (asked("http://a", "GET", &["x-amz-date", "content-type"]), Some((1, "*"))),
            (asked("http://a", "PUT", &[]), Some((1, "*"))),
            (asked("http://a", "PUT", &["authorization"]), None),
            (asked("http://a", "DELETE", &[]), None),
        ] {
            let found = asked.allowed_by(&rules);
            let found = found.map(|(found, origin)| (usize::from(found == &rules[1]), origin));
            assert_eq!(found, expected, "{asked:?}");
        }
        assert_eq!(asked("http://a", "GET", &[]).allowed_by(&[]), None);
    }
}
