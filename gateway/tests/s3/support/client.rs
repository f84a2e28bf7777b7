//! A client of a few lines: signed requests over HTTP/1, and answers as they came.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::signer::{Signer, hash};
use super::{ACCESS_KEY, SECRET_KEY};

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// The text of the first element of this name.
    pub fn xml(&self, element: &str) -> Option<String> {
        self.all(element).into_iter().next()
    }

    /// The texts of all elements of this name.
    pub fn all(&self, element: &str) -> Vec<String> {
        let text = std::str::from_utf8(&self.body).unwrap();
        let (open, close) = (format!("<{element}>"), format!("</{element}>"));
        text.split(&open).skip(1).map(|rest| rest.split(&close).next().unwrap().to_owned()).collect()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name} in {self:?}")).to_str().unwrap()
    }

    /// Asserts status and code.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) {
        assert_eq!((self.status.as_u16(), self.xml("Code").as_deref()), (status, Some(code)), "{self:?}");
    }

    #[track_caller]
    pub fn ok(self) -> Self {
        assert!(self.status.is_success(), "{self:?}");
        self
    }
}

/// One server's client.
#[derive(Debug, Clone)]
pub struct Http {
    pub host: String,
    pub client: Client<HttpConnector, Full<Bytes>>,
    pub signer: Signer,
}

/// A request that is being put together.
pub struct Ask<'a> {
    http: &'a Http,
    method: &'a str,
    path: String,
    query: String,
    headers: BTreeMap<String, String>,
    body: Bytes,
    payload: Option<String>,
    signer: Option<Signer>,
}

impl Http {
    pub fn new(address: SocketAddr) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { host: address.to_string(), client, signer: Signer::new(ACCESS_KEY, SECRET_KEY) }
    }

    /// `target` is the path, and behind a question mark the query.
    pub fn ask<'a>(&'a self, method: &'a str, target: &str) -> Ask<'a> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Ask {
            http: self,
            method,
            path: path.into(),
            query: query.into(),
            headers: BTreeMap::new(),
            body: Bytes::new(),
            payload: None,
            signer: Some(self.signer.clone()),
        }
    }

    pub async fn get(&self, target: &str) -> Answer {
        self.ask("GET", target).send().await
    }

    pub async fn put(&self, target: &str, body: impl Into<Bytes>) -> Answer {
        self.ask("PUT", target).body(body).send().await
    }

    pub async fn delete(&self, target: &str) -> Answer {
        self.ask("DELETE", target).send().await
    }

    pub async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let answer = self.client.request(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }
}

impl Ask<'_> {
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.to_ascii_lowercase(), value.into());
        self
    }

    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// What `x-amz-content-sha256` says, instead of the body's hash.
    pub fn payload(mut self, payload: &str) -> Self {
        self.payload = Some(payload.into());
        self
    }

    pub fn signer(mut self, signer: Signer) -> Self {
        self.signer = Some(signer);
        self
    }

    pub fn anonymous(mut self) -> Self {
        self.signer = None;
        self
    }

    /// The request without its body, and the signature.
    pub fn signed(&self) -> (http::request::Builder, String) {
        let mut headers = self.headers.clone();
        headers.entry("host".into()).or_insert_with(|| self.http.host.clone());
        let payload = self.payload.clone().unwrap_or_else(|| hash(&self.body));
        let mut signature = String::new();
        if let Some(signer) = &self.signer {
            (headers, signature) = signer.by_header(self.method, &self.path, &self.query, &headers, &payload);
        }
        let query = if self.query.is_empty() { String::new() } else { format!("?{}", self.query) };
        let uri = format!("http://{}{}{query}", self.http.host, self.path);
        let mut request = Request::builder().method(self.method).uri(uri);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        (request, signature)
    }

    pub async fn send(self) -> Answer {
        let (request, _) = self.signed();
        self.http.send(request.body(Full::new(self.body.clone())).unwrap()).await
    }

    /// Sends a body that is made from the signature of the head.
    pub async fn send_chunks(self, chunks: impl FnOnce(&Signer, &str) -> Vec<u8>) -> Answer {
        let (request, signature) = self.signed();
        let body = chunks(self.signer.as_ref().unwrap(), &signature);
        self.http.send(request.body(Full::new(body.into())).unwrap()).await
    }
}
