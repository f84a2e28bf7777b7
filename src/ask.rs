//! Asking a running server: where it is, how a question is signed, and what came back.

pub mod signature;
pub mod target;

use std::time::Duration;

use bytes::Bytes;
use cairn_core::Clock;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

pub use target::Target;

/// The most bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How long a server may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a server may take over a change.
const CHANGE_PATIENCE: Duration = Duration::from_secs(300);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Which server is meant cannot be found out.
    #[error(transparent)]
    Target(#[from] target::TargetError),
    /// The address is none.
    #[error("{0} is not an address such as http://127.0.0.1:9000")]
    Address(String),
    /// Nobody answers.
    #[error("no answer from {endpoint}: {what}")]
    Silent {
        /// Who was asked.
        endpoint: String,
        /// What happened instead.
        what: String,
    },
    /// The server answered with an error.
    #[error("{endpoint} answered {status}: {body}")]
    Refused {
        /// Who was asked.
        endpoint: String,
        /// The HTTP status.
        status: u16,
        /// What it said.
        body: String,
    },
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Whether something is to be done, and not only looked at.
    pub does: bool,
    /// The path of the admin API.
    pub path: &'a str,
    /// The query: encoded, sorted by name, every name with an `=`; empty for none.
    pub query: &'a str,
}

impl<'a> Question<'a> {
    /// One that changes nothing.
    pub fn get(path: &'a str, query: &'a str) -> Self {
        Self { does: false, path, query }
    }
}

/// A query as it is signed: names in order, everything encoded that has a meaning of its own.
pub fn query(pairs: &[(&str, &str)]) -> String {
    assert!(pairs.is_sorted_by(|a, b| a.0 < b.0), "names in order");
    let encode = |text: &str| -> String {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        text.bytes()
            .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
            .collect()
    };
    pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect::<Vec<_>>().join("&")
}

/// Asks for a path, one after the other until one answers.
pub async fn any(targets: &[Target], path: &str, clock: &dyn Clock) -> Result<Bytes, AskError> {
    one_of(targets, Question::get(path, ""), clock).await
}

/// Asks one after the other until one answers. Whoever refuses has answered; a node without a majority has not.
pub async fn one_of(targets: &[Target], question: Question<'_>, clock: &dyn Clock) -> Result<Bytes, AskError> {
    let mut last = None;
    for target in targets {
        match ask(target, question, clock).await {
            Err(error @ (AskError::Silent { .. } | AskError::Refused { status: 500.., .. })) => last = Some(error),
            answer => return answer,
        }
    }
    let nobody = || AskError::Silent { endpoint: "any node".to_owned(), what: "none serves".to_owned() };
    Err(last.unwrap_or_else(nobody))
}

/// Asks one server and returns the body.
pub async fn ask(target: &Target, question: Question<'_>, clock: &dyn Clock) -> Result<Bytes, AskError> {
    let Question { does, path, query } = question;
    let endpoint = target.endpoint.trim_end_matches('/').to_owned();
    let address = || AskError::Address(endpoint.clone());
    let uri: hyper::Uri =
        format!("{endpoint}{path}{}{query}", if query.is_empty() { "" } else { "?" }).parse().map_err(|_| address())?;
    if uri.scheme_str() != Some("http") {
        return Err(address());
    }
    let (method, patience) = if does { (hyper::Method::POST, CHANGE_PATIENCE) } else { (hyper::Method::GET, PATIENCE) };
    let host = uri.authority().ok_or_else(address)?.as_str().to_owned();
    let asked = signature::Request { method: method.as_str(), host: &host, path, query, has_body: false };
    let signed = signature::sign(asked, &target.credentials, clock.wall());
    let mut request = hyper::Request::builder().method(method).uri(uri);
    for (name, value) in signed {
        request = request.header(name, value);
    }
    let request = request.body(Full::<Bytes>::default()).map_err(|_| address())?;
    let silent = |what: String| AskError::Silent { endpoint: endpoint.clone(), what };
    let client = Client::builder(TokioExecutor::new()).build_http();
    let answer = async {
        let response = client.request(request).await.map_err(|error| silent(reason(&error)))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| silent(error.to_string()))?.to_bytes();
        Ok::<_, AskError>((status, body))
    };
    let (status, body) =
        tokio::time::timeout(patience, answer).await.map_err(|_| silent(format!("nothing within {patience:?}")))??;
    if status.is_success() {
        return Ok(body);
    }
    let body = String::from_utf8_lossy(&body[..body.len().min(512)]).into_owned();
    Err(AskError::Refused { endpoint, status: status.as_u16(), body })
}

/// The innermost cause says most: `connection refused` rather than `client error`.
fn reason(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
