//! A small S3 client. It never retries, so that a test knows what it was told; and an answer that did not come is
//! "may have happened", never "failed".

use bytes::Bytes;
use cairn::ask::signature::{self, Request};
use cairn::credentials::Credentials;
use cairn_core::Clock;
use cairn_core::clock::SystemClock;
use http_body_util::{BodyExt, Full};
use hyper::StatusCode;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// What came of a request.
#[derive(Debug, Clone)]
pub enum Answer {
    /// The server answered.
    Said(StatusCode, Bytes),
    /// No whole answer came: it may have happened.
    Unknown(String),
}

impl Answer {
    /// The body of a success.
    pub fn ok(self) -> Bytes {
        match self {
            Self::Said(status, body) if status.is_success() => body,
            other => panic!("{other:?}"),
        }
    }

    /// Whether the server said that it happened.
    pub fn happened(&self) -> bool {
        matches!(self, Self::Said(status, _) if status.is_success())
    }

    /// The status, if one came.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Said(status, _) => Some(status.as_u16()),
            Self::Unknown(_) => None,
        }
    }
}

/// A client of one server.
#[derive(Debug, Clone)]
pub struct S3 {
    endpoint: String,
    credentials: Credentials,
    http: Client<HttpConnector, Full<Bytes>>,
}

impl S3 {
    /// Speaks to an address such as `http://127.0.0.1:9000`.
    pub fn new(endpoint: &str, credentials: Credentials) -> Self {
        let http = Client::builder(TokioExecutor::new()).build_http();
        Self { endpoint: endpoint.trim_end_matches('/').to_owned(), credentials, http }
    }

    /// Sends one request. `query` is encoded and sorted, as it is signed.
    pub async fn request(
        &self,
        method: &str,
        path: &str,
        query: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Answer {
        let host = self.endpoint.trim_start_matches("http://");
        let path = encode(path);
        let asked = Request { method, host, path: &path, query, has_body: !body.is_empty() };
        let signed = signature::sign(asked, &self.credentials, SystemClock::start().wall());
        let mark = if query.is_empty() { "" } else { "?" };
        let mut request = hyper::Request::builder().method(method).uri(format!("{}{path}{mark}{query}", self.endpoint));
        for (name, value) in signed.iter().map(|(name, value)| (*name, value.as_str())).chain(headers.iter().copied()) {
            request = request.header(name, value);
        }
        send(&self.http, request.body(Full::new(body)).expect("a well-formed request")).await
    }

    /// Makes a bucket.
    pub async fn make_bucket(&self, bucket: &str) -> Answer {
        self.request("PUT", &format!("/{bucket}"), "", &[], Bytes::new()).await
    }

    /// Puts an object.
    pub async fn put(&self, bucket: &str, key: &str, body: Bytes) -> Answer {
        self.request("PUT", &format!("/{bucket}/{key}"), "", &[], body).await
    }

    /// Gets an object.
    pub async fn get(&self, bucket: &str, key: &str) -> Answer {
        self.request("GET", &format!("/{bucket}/{key}"), "", &[], Bytes::new()).await
    }

    /// Deletes an object.
    pub async fn delete(&self, bucket: &str, key: &str) -> Answer {
        self.request("DELETE", &format!("/{bucket}/{key}"), "", &[], Bytes::new()).await
    }
}

/// Sends one request as it is, to a URL that says everything: a presigned one, or one that must be refused.
pub async fn unsigned(method: &str, url: &str, body: Bytes) -> Answer {
    let request = hyper::Request::builder().method(method).uri(url).body(Full::new(body));
    let http = Client::builder(TokioExecutor::new()).build_http();
    send(&http, request.expect("a well-formed request")).await
}

async fn send(http: &Client<HttpConnector, Full<Bytes>>, request: hyper::Request<Full<Bytes>>) -> Answer {
    let answer = async {
        let response = http.request(request).await.map_err(|error| format!("{error:?}"))?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| error.to_string())?;
        Ok::<_, String>((head.status, body.to_bytes()))
    };
    match answer.await {
        Ok((status, body)) => Answer::Said(status, body),
        Err(what) => Answer::Unknown(what),
    }
}

/// Percent-encodes a path, leaving its slashes.
fn encode(path: &str) -> String {
    path.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
        text
    })
}
