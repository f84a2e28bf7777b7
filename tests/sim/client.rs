//! A client of a gateway in the same process: the requests are signed and answered as over a socket, and there is none.

use bytes::Bytes;
use cairn::ask::signature::{self, Request};
use cairn::credentials::Credentials;
use cairn_core::Clock;
use cairn_core::clock::SystemClock;
use cairn_gateway::Gateway;
use http_body_util::{BodyExt, Full};

/// How an upload ends, if nothing comes between.
#[derive(Clone, Copy, PartialEq)]
pub enum Ending {
    /// The object is made.
    Complete,
    /// Nothing is.
    Abort,
}

/// Speaks S3 to one gateway, without a socket.
#[derive(Debug, Clone)]
pub struct Client {
    /// The gateway.
    pub gateway: Gateway,
    /// The root key.
    pub credentials: Credentials,
}

impl Client {
    /// Uploads an object in parts. Returns the status of the step that failed, or of the last one, and whether a completion
    /// was asked for: before that nothing may have happened to the key.
    pub async fn upload(&self, path: &str, parts: &[Bytes], ending: Ending) -> (u16, bool) {
        let (status, _, begun) = self.exchange("POST", path, "uploads=", Bytes::new()).await;
        let begun = String::from_utf8_lossy(&begun).into_owned();
        let upload = begun.split_once("<UploadId>").and_then(|(_, rest)| rest.split_once("</UploadId>"));
        let Some((upload, _)) = upload else { return (status, false) };
        let mut listed = String::new();
        for (number, part) in (1..).zip(parts) {
            let query = format!("partNumber={number}&uploadId={upload}");
            let (status, head, _) = self.exchange("PUT", path, &query, part.clone()).await;
            let Some(etag) = head.get("etag").filter(|_| status == 200) else { return (status, false) };
            let etag = etag.to_str().unwrap();
            listed += &format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
        }
        let query = format!("uploadId={upload}");
        if ending == Ending::Abort {
            return (self.send("DELETE", path, &query, Bytes::new()).await.0, false);
        }
        let document = format!("<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>");
        let (status, body) = self.send("POST", path, &query, document.into()).await;
        let said = String::from_utf8_lossy(&body).contains("<CompleteMultipartUploadResult");
        assert!(status != 200 || said, "a completion that answers 200 says what it made: {body:?}");
        (status, true)
    }

    /// One request: its status and the body of its answer.
    pub async fn send(&self, method: &str, path: &str, query: &str, body: Bytes) -> (u16, Bytes) {
        let (status, _, body) = self.exchange(method, path, query, body).await;
        (status, body)
    }

    /// The same, with the head of the answer.
    pub async fn exchange(&self, method: &str, path: &str, query: &str, body: Bytes) -> (u16, http::HeaderMap, Bytes) {
        self.exchange_if(method, path, query, None, body).await
    }

    /// The same under a condition: a header's name and value.
    pub async fn exchange_if(
        &self,
        method: &str,
        path: &str,
        query: &str,
        condition: Option<(&str, &str)>,
        body: Bytes,
    ) -> (u16, http::HeaderMap, Bytes) {
        let host = "127.0.0.1:9000";
        let asked = Request { method, host, path, query, has_body: !body.is_empty() };
        // Signatures are judged by the machine's own calendar, and nothing of them is kept.
        let signed = signature::sign(asked, &self.credentials, SystemClock::start().wall());
        let mark = if query.is_empty() { "" } else { "?" };
        let mut request = http::Request::builder().method(method).uri(format!("{path}{mark}{query}"));
        for (name, value) in signed {
            request = request.header(name, value);
        }
        if let Some((name, value)) = condition {
            request = request.header(name, value);
        }
        request = request.header("content-length", body.len());
        let answer = self.gateway.answer(request.body(Full::new(body)).unwrap()).await;
        let (head, body) = answer.into_parts();
        match body.collect().await {
            Ok(body) => (head.status.as_u16(), head.headers, body.to_bytes()),
            // An answer that breaks off is no answer.
            Err(_) => (599, head.headers, Bytes::new()),
        }
    }
}
