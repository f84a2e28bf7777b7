//! Signatures of version 4, as clients make them: by header, presigned, and chunk by chunk.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::SystemTime;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::macros::format_description;

/// Who signs, and when.
#[derive(Debug, Clone)]
pub struct Signer {
    pub access_key: String,
    pub secret_key: String,
    pub time: OffsetDateTime,
    pub region: String,
}

impl Signer {
    pub fn new(access_key: &str, secret_key: &str) -> Self {
        let time = OffsetDateTime::from(
            SystemTime::UNIX_EPOCH
                + cairn_core::Clock::wall(&*cairn_core::clock::SystemClock::start())
                    .to_system()
                    .duration_since(SystemTime::UNIX_EPOCH)
                    .unwrap(),
        );
        Self { access_key: access_key.into(), secret_key: secret_key.into(), time, region: "us-east-1".into() }
    }

    pub fn stamp(&self) -> String {
        self.time.format(format_description!("[year][month][day]T[hour][minute][second]Z")).unwrap()
    }

    fn scope(&self) -> String {
        format!("{}/{}/s3/aws4_request", &self.stamp()[..8], self.region)
    }

    /// Who signs, for which day and region.
    pub fn credential(&self) -> String {
        format!("{}/{}", self.access_key, self.scope())
    }

    /// What version 4 makes of a text.
    pub fn sign(&self, text: &str) -> String {
        let first = hmac(format!("AWS4{}", self.secret_key).as_bytes(), &self.stamp()[..8]);
        let key = ["s3", "aws4_request"].iter().fold(hmac(&first, &self.region), |key, part| hmac(&key, part));
        hex::encode(hmac(&key, text))
    }

    fn string_to_sign(&self, canonical: &str) -> String {
        format!("AWS4-HMAC-SHA256\n{}\n{}\n{}", self.stamp(), self.scope(), hash(canonical.as_bytes()))
    }

    /// The headers that sign a request, and the signature. `headers` are signed, names in lower case.
    pub fn by_header(
        &self,
        method: &str,
        path: &str,
        query: &str,
        headers: &BTreeMap<String, String>,
        payload: &str,
    ) -> (BTreeMap<String, String>, String) {
        let mut headers = headers.clone();
        headers.insert("x-amz-date".into(), self.stamp());
        headers.insert("x-amz-content-sha256".into(), payload.into());
        let names: Vec<_> = headers.keys().cloned().collect();
        let names = names.join(";");
        let mut canonical = format!("{method}\n{path}\n{}\n", canonical_query(query));
        for (name, value) in &headers {
            writeln!(canonical, "{name}:{}", value.trim()).unwrap();
        }
        write!(canonical, "\n{names}\n{payload}").unwrap();
        let signature = self.sign(&self.string_to_sign(&canonical));
        let credential = format!("{}/{}", self.access_key, self.scope());
        let authorization =
            format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}");
        headers.insert("authorization".into(), authorization);
        (headers, signature)
    }

    /// The query of a presigned URL.
    pub fn presigned(&self, method: &str, host: &str, path: &str, expires: u32) -> String {
        self.presigned_with(method, host, path, expires, "")
    }

    /// The same with more parameters, which begin with `&`.
    pub fn presigned_with(&self, method: &str, host: &str, path: &str, expires: u32, more: &str) -> String {
        let credential = format!("{}/{}", self.access_key, self.scope());
        let query = format!(
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}&X-Amz-Date={}&X-Amz-Expires={expires}&X-Amz-SignedHeaders=host{more}",
            credential.replace('/', "%2F"),
            self.stamp(),
        );
        let canonical = format!("{method}\n{path}\n{}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD", canonical_query(&query));
        format!("{query}&X-Amz-Signature={}", self.sign(&self.string_to_sign(&canonical)))
    }

    /// A body in signed chunks, with the trailers it is to end with.
    pub fn signed_chunks(&self, seed: &str, body: &[u8], chunk: usize, trailers: &[(&str, &str)]) -> Vec<u8> {
        let mut signed = Vec::new();
        let mut previous = seed.to_owned();
        for part in body.chunks(chunk).chain([&[][..]]) {
            let empty = hash(b"");
            let head = format!("AWS4-HMAC-SHA256-PAYLOAD\n{}\n{}\n{previous}\n{empty}\n", self.stamp(), self.scope());
            previous = self.sign(&format!("{head}{}", hash(part)));
            signed.extend_from_slice(format!("{:x};chunk-signature={previous}\r\n", part.len()).as_bytes());
            signed.extend_from_slice(part);
            if !part.is_empty() || trailers.is_empty() {
                signed.extend_from_slice(b"\r\n");
            }
        }
        if !trailers.is_empty() {
            let text: String = trailers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
            let head = format!("AWS4-HMAC-SHA256-TRAILER\n{}\n{}\n{previous}\n", self.stamp(), self.scope());
            let signature = self.sign(&format!("{head}{}", hash(text.as_bytes())));
            for (name, value) in trailers {
                signed.extend_from_slice(format!("{name}:{value}\r\n").as_bytes());
            }
            signed.extend_from_slice(format!("x-amz-trailer-signature:{signature}\r\n\r\n").as_bytes());
        }
        signed
    }
}

/// A body in chunks without signatures, with the trailers it is to end with.
pub fn unsigned_chunks(body: &[u8], chunk: usize, trailers: &[(&str, &str)]) -> Vec<u8> {
    let mut chunked = Vec::new();
    for part in body.chunks(chunk) {
        chunked.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
        chunked.extend_from_slice(part);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n");
    for (name, value) in trailers {
        chunked.extend_from_slice(format!("{name}:{value}\r\n").as_bytes());
    }
    chunked.extend_from_slice(b"\r\n");
    chunked
}

fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<_> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .collect();
    pairs.sort_unstable();
    let pairs: Vec<_> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

pub fn hash(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}
