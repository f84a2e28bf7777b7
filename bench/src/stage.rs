//! The bucket, before and after: made if it is not there, filled, and in the end as it was found.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::Method;
use md5::Md5;
use sha2::{Digest, Sha256};

use crate::client::{Ask, Failure, S3Client, encode};
use crate::payload::Walk;
use crate::xml;

/// How many keys are listed, and deleted, at a time: what S3 takes.
const PAGE_KEYS: usize = 1000;

/// Where a run's objects are.
#[derive(Debug, Clone)]
pub struct Stage {
    bucket: String,
    /// Before every key of the run; no other run has it.
    prefix: String,
    /// Whether the run has made the bucket.
    made: bool,
}

/// One page of a listing.
#[derive(Debug)]
pub struct Page {
    /// The keys, in order.
    pub keys: Vec<String>,
    /// What asks for the next page; none behind the last one.
    pub next: Option<String>,
}

impl Stage {
    /// The bucket of a run: the one that was named, made if it is not there, or a new one.
    pub async fn set(client: &mut S3Client, named: Option<&str>, region: &str, run: u64) -> Result<Self, Failure> {
        let bucket = named.map_or_else(|| format!("cairn-bench-{run:016x}"), str::to_owned);
        let path = format!("/{bucket}");
        let there = match named {
            None => false,
            Some(_) => match client.ask(Ask::of(Method::HEAD, &path, "")).await {
                Ok(_) => true,
                Err(Failure::Refused { status: 404, .. }) => false,
                Err(failure) => return Err(failure),
            },
        };
        if !there {
            // The first region is the one that must not be named.
            let body = match region {
                "us-east-1" => Bytes::new(),
                region => Bytes::from(format!(
                    "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                     <LocationConstraint>{}</LocationConstraint></CreateBucketConfiguration>",
                    xml::escape(region)
                )),
            };
            let sha256 = hex::encode(Sha256::digest(&body));
            let ask = Ask { body: Walk::of(body), sha256: &sha256, ..Ask::of(Method::PUT, &path, "") };
            client.ask(ask).await?;
        }
        Ok(Self { bucket, prefix: format!("run-{run:016x}"), made: !there })
    }

    /// The bucket's name.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The path of an object.
    pub fn path(&self, object: u64) -> String {
        format!("/{}/{}/{object:08}", self.bucket, self.prefix)
    }

    /// A page of the run's keys.
    pub async fn list(&self, client: &mut S3Client, after: Option<&str>) -> Result<Page, Failure> {
        let token = after.map_or_else(String::new, |token| format!("continuation-token={}&", encode(token)));
        let query = format!("{token}list-type=2&max-keys={PAGE_KEYS}&prefix={}%2F", self.prefix);
        let text = client.ask(Ask::of(Method::GET, &format!("/{}", self.bucket), &query)).await?;
        let keys: Vec<String> = xml::texts(&text, "Key").collect();
        let truncated = match xml::text(&text, "IsTruncated").as_deref() {
            Some("true") => true,
            Some("false") => false,
            _ => return Err(Failure::Answer("a listing that does not say whether there is more")),
        };
        let next = xml::text(&text, "NextContinuationToken").filter(|_| truncated);
        if truncated && next.is_none() {
            return Err(Failure::Answer("a listing that does not say where there is more"));
        }
        Ok(Page { keys, next })
    }

    /// Removes what the run has made: its objects, and the bucket if it was the run's own. How many objects there were.
    pub async fn clear(&self, client: &mut S3Client) -> Result<u64, Failure> {
        let (mut removed, mut after) = (0, None);
        loop {
            let page = self.list(client, after.as_deref()).await?;
            if !page.keys.is_empty() {
                self.delete(client, &page.keys).await?;
                removed += page.keys.len() as u64;
            }
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        if self.made {
            client.ask(Ask::of(Method::DELETE, &format!("/{}", self.bucket), "")).await?;
        }
        Ok(removed)
    }

    async fn delete(&self, client: &mut S3Client, keys: &[String]) -> Result<(), Failure> {
        let objects: String =
            keys.iter().map(|key| format!("<Object><Key>{}</Key></Object>", xml::escape(key))).collect();
        let body = Bytes::from(format!("<Delete><Quiet>true</Quiet>{objects}</Delete>"));
        let (sha256, md5) = (hex::encode(Sha256::digest(&body)), BASE64.encode(Md5::digest(&body)));
        let path = format!("/{}", self.bucket);
        let ask =
            Ask { body: Walk::of(body), sha256: &sha256, md5: Some(&md5), ..Ask::of(Method::POST, &path, "delete=") };
        let text = client.ask(ask).await?;
        match xml::text(&text, "Error") {
            None => Ok(()),
            Some(error) => Err(Failure::Refused {
                status: 200,
                code: xml::text(&error, "Code").unwrap_or_default(),
                message: xml::text(&error, "Message").unwrap_or_default(),
            }),
        }
    }
}
