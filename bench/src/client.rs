//! One client of the server: its connection, its signatures, and what may come back instead of an answer.

use std::error::Error;
use std::sync::Arc;

use bytes::Bytes;
use cairn_core::Clock;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::endpoint::Endpoint;
use crate::payload::{Mismatch, Walk};
use crate::signature::{EMPTY_SHA256, Key, Signed, Signer};
use crate::xml;

/// The most bytes of an answer that is kept whole: a page of 1,000 keys is far below.
const TEXT_BYTES_MAX: usize = 8 << 20;

/// Why an operation did not come to what it should.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Failure {
    /// The server said no.
    #[error("{status} {code}{}{message}", if message.is_empty() { "" } else { ": " })]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The S3 code; empty where the answer has no body to hold one.
        code: String,
        /// What it said to people.
        message: String,
    },
    /// The connection could not be made, or broke.
    #[error("connection: {0}")]
    Connection(String),
    /// Nothing came for too long.
    #[error("timeout")]
    TimedOut,
    /// The server said yes and sent something else than was put there.
    #[error("wrong content: {0}")]
    Content(#[from] Mismatch),
    /// The server said yes in words that cannot be understood.
    #[error("unintelligible answer: {0}")]
    Answer(&'static str),
}

impl Failure {
    /// Under which name it is counted.
    pub fn label(&self) -> String {
        match self {
            Self::Refused { status, code, .. } if code.is_empty() => status.to_string(),
            Self::Refused { status, code, .. } => format!("{status} {code}"),
            Self::Connection(_) => "connection".to_owned(),
            Self::TimedOut => "timeout".to_owned(),
            Self::Content(_) => "wrong content".to_owned(),
            Self::Answer(_) => "unintelligible answer".to_owned(),
        }
    }
}

/// One request.
#[derive(Debug)]
pub struct Ask<'a> {
    /// `GET`, `PUT` and so on.
    pub method: Method,
    /// The path, in letters that need no encoding.
    pub path: &'a str,
    /// The query: encoded, sorted by name, every name with an `=`.
    pub query: &'a str,
    /// The body.
    pub body: Walk,
    /// The body's SHA-256 in hexadecimal, or what stands for it.
    pub sha256: &'a str,
    /// The body's MD5 in base64, where the operation demands it.
    pub md5: Option<&'a str>,
}

impl<'a> Ask<'a> {
    /// A request without a body.
    pub fn of(method: Method, path: &'a str, query: &'a str) -> Self {
        Self { method, path, query, body: Walk::none(), sha256: EMPTY_SHA256, md5: None }
    }
}

/// A client with a connection of its own.
#[derive(Debug)]
pub struct S3Client {
    http: Client<HttpConnector, Walk>,
    endpoint: Endpoint,
    host: HeaderValue,
    signer: Signer,
    clock: Arc<dyn Clock>,
}

impl S3Client {
    /// A client of this server; it connects when it is first used.
    pub fn new(endpoint: &Endpoint, key: Key, region: &str, clock: Arc<dyn Clock>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let http = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(1).build(connector);
        let host = HeaderValue::from_str(endpoint.host()).expect("an authority is made of letters that headers have");
        Self { http, endpoint: endpoint.clone(), host, signer: Signer::new(key, region), clock }
    }

    /// Sends a request. The answer is one that says yes.
    pub async fn send(&mut self, ask: Ask<'_>) -> Result<Response<Incoming>, Failure> {
        const VALUE: &str = "hexadecimal, dates and keys are made of letters that headers have";
        let Ask { method, path, query, body, sha256, md5 } = ask;
        let host = self.endpoint.host();
        let signed = Signed { method: method.as_str(), host, path, query, body: sha256 };
        let (moment, authorization) = self.signer.sign(signed, self.clock.wall());
        let mark = if query.is_empty() { "" } else { "?" };
        let value = |text: &str| HeaderValue::from_str(text);
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{host}{path}{mark}{query}"))
            .header(HOST, self.host.clone())
            .header(HeaderName::from_static("x-amz-content-sha256"), value(sha256).expect(VALUE))
            .header(HeaderName::from_static("x-amz-date"), value(&moment).expect(VALUE))
            .header(AUTHORIZATION, value(&authorization).map_err(|_| Failure::Answer("the access key is no text"))?)
            .header(CONTENT_LENGTH, body.left());
        if let Some(md5) = md5 {
            request = request.header(HeaderName::from_static("content-md5"), value(md5).expect(VALUE));
        }
        let request = request.body(body).expect("paths and queries are made of letters that addresses have");
        let response = self.http.request(request).await.map_err(|error| Failure::Connection(innermost(&error)))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let text = text_of(response).await.unwrap_or_default();
        let said = |name| xml::text(&text, name).unwrap_or_default();
        Err(Failure::Refused { status, code: said("Code"), message: said("Message") })
    }

    /// Sends a request whose answer is a text, or nothing.
    pub async fn ask(&mut self, ask: Ask<'_>) -> Result<String, Failure> {
        text_of(self.send(ask).await?).await
    }
}

async fn text_of(response: Response<Incoming>) -> Result<String, Failure> {
    let body = Limited::new(response.into_body(), TEXT_BYTES_MAX).collect().await;
    let bytes: Bytes = body.map_err(|error| Failure::Connection(innermost(&*error)))?.to_bytes();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The innermost cause says most: `connection refused` rather than `client error`.
pub(crate) fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut at = error;
    while let Some(source) = at.source() {
        at = source;
    }
    at.to_string()
}

/// A text as it may stand in a query.
pub fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_by_what_they_are() {
        let refused = |status, code: &str| Failure::Refused { status, code: code.into(), message: "m".into() };
        assert_eq!(refused(503, "SlowDown").label(), "503 SlowDown");
        assert_eq!(refused(404, "").label(), "404");
        assert_eq!(Failure::Connection("reset".into()).label(), "connection");
        assert_eq!(refused(503, "SlowDown").to_string(), "503 SlowDown: m");
    }

    #[test]
    fn queries_are_encoded_as_signatures_want_them() {
        assert_eq!(encode("a/b+c=d e~f"), "a%2Fb%2Bc%3Dd%20e~f");
    }
}
