//! Multipart uploads over HTTP.

mod checksums;
mod completions;
mod copies;
mod life;
mod races;
mod reading;

use bytes::Bytes;
use cairn_core::units::MIB;
use cairn_gateway::GatewayConfig;
use md5::{Digest, Md5};

use crate::support::Server;
use crate::support::client::{Answer, Ask, Http};

/// The least that a part has which is not the last one.
const PART: usize = 5 * MIB as usize;

fn tag(bytes: &[u8]) -> String {
    format!("\"{}\"", hex::encode(Md5::digest(bytes)))
}

/// The tag of an object of these parts.
fn tag_of_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let digests: Vec<_> = parts.into_iter().map(Md5::digest).collect();
    format!("\"{}-{}\"", hex::encode(Md5::digest(digests.concat())), digests.len())
}

async fn server() -> Server {
    with(GatewayConfig { memory_bytes_max: 64 * MIB, ..GatewayConfig::default() }).await
}

/// Extents of a MiB, so that parts of some MiB have manifests.
async fn server_of_short_extents() -> Server {
    with(GatewayConfig { memory_bytes_max: 64 * MIB, extent_bytes_max: MIB, ..GatewayConfig::default() }).await
}

async fn with(config: GatewayConfig) -> Server {
    let server = Server::with(6, config).await;
    server.http.put("/bucket", "").await.ok();
    server
}

/// An upload, as a client sees it.
#[derive(Clone)]
struct Upload {
    http: Http,
    target: String,
    id: String,
}

impl Upload {
    async fn begin(http: &Http, target: &str) -> Self {
        Self::begun(http, target, http.ask("POST", &format!("{target}?uploads="))).await
    }

    async fn begun(http: &Http, target: &str, ask: Ask<'_>) -> Self {
        let answer = ask.send().await.ok();
        let id = answer.xml("UploadId").unwrap();
        assert_eq!(format!("/{}/{}", answer.xml("Bucket").unwrap(), answer.xml("Key").unwrap()), target);
        Self { http: http.clone(), target: target.to_owned(), id }
    }

    fn ask<'a>(&'a self, method: &'a str, query: &str) -> Ask<'a> {
        let and = if query.is_empty() { "" } else { "&" };
        self.http.ask(method, &format!("{}?{query}{and}uploadId={}", self.target, self.id))
    }

    async fn part(&self, number: u16, body: impl Into<Bytes>) -> Answer {
        self.ask("PUT", &format!("partNumber={number}")).body(body).send().await
    }

    /// A part of bytes that are there.
    async fn copy(&self, number: u16, source: &str, range: Option<(u64, u64)>) -> Answer {
        let query = format!("partNumber={number}");
        let mut ask = self.ask("PUT", &query).header("x-amz-copy-source", source);
        if let Some((first, last)) = range {
            ask = ask.header("x-amz-copy-source-range", &format!("bytes={first}-{last}"));
        }
        ask.send().await
    }

    async fn list(&self, query: &str) -> Answer {
        self.ask("GET", query).send().await
    }

    async fn complete(&self, parts: &[(u16, String)]) -> Answer {
        self.completing(parts).send().await
    }

    fn completing(&self, parts: &[(u16, String)]) -> Ask<'_> {
        let parts: Vec<_> = parts.iter().map(|(number, tag)| (*number, tag.clone(), String::new())).collect();
        self.completing_with(&parts)
    }

    /// The third of each part is XML beside number and tag.
    fn completing_with(&self, parts: &[(u16, String, String)]) -> Ask<'_> {
        let part = |(number, tag, more): &(u16, String, String)| {
            format!("<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag>{more}</Part>")
        };
        let parts: String = parts.iter().map(part).collect();
        self.ask("POST", "").body(format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>"))
    }

    async fn abort(&self) -> Answer {
        self.ask("DELETE", "").send().await
    }
}

/// Reads a range of an object and compares it.
#[track_caller]
fn same(answer: &Answer, expected: &[u8]) {
    assert!(answer.status.is_success(), "{answer:?}");
    assert_eq!(answer.body.len(), expected.len());
    assert!(answer.body == expected, "other bytes");
}

async fn range(http: &Http, target: &str, from: usize, to: usize) -> Answer {
    http.ask("GET", target).header("range", &format!("bytes={from}-{}", to - 1)).send().await
}
