//! What conditions of policies ask about a request.

use std::net::IpAddr;

use cairn_core::WallTime;
use cairn_machine::rows::object::Attributes;
use http::{HeaderMap, Uri};

use super::Identity;
use crate::query_string;
use crate::tags;

/// What is known of one thing that a condition asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// The request says nothing of it.
    Absent,
    /// It is not known yet: it stands in a body that was not read. Allows nothing, and denies.
    Unknown,
    /// What the request says.
    Values(Vec<String>),
}

/// A request, as far as conditions may ask about it.
#[derive(Debug, Clone)]
pub struct Facts<'r> {
    /// The operation.
    pub operation: &'r str,
    /// Its address.
    pub uri: &'r Uri,
    /// Its headers.
    pub headers: &'r HeaderMap,
    /// Who asks.
    pub identity: &'r Identity,
    /// From where, where that is known.
    pub peer: Option<IpAddr>,
    /// When.
    pub now: WallTime,
    /// The tags of the object that is asked for.
    pub tags: Option<Vec<(String, String)>>,
    /// What is listed, where it is not the request that says so.
    pub listed: Option<String>,
}

/// The headers that conditions may ask for, as `s3:` and their name.
const HEADERS: &[&str] = &[
    "x-amz-acl",
    "x-amz-content-sha256",
    "x-amz-copy-source",
    "x-amz-grant-full-control",
    "x-amz-grant-read",
    "x-amz-grant-read-acp",
    "x-amz-grant-write",
    "x-amz-grant-write-acp",
    "x-amz-metadata-directive",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-storage-class",
    "x-amz-website-redirect-location",
];

/// The parameters that conditions may ask for, as `s3:` and their name.
const PARAMETERS: &[&str] = &["delimiter", "max-keys", "prefix"];

/// Whether a condition may ask for something: what is not known here would be a condition that says nothing.
pub fn is_known(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    match key.split_once(':') {
        Some(("aws", name)) => matches!(
            name,
            "sourceip" | "securetransport" | "referer" | "useragent" | "currenttime" | "epochtime" | "userid"
        ),
        Some(("s3", name)) => {
            HEADERS.contains(&name)
                || PARAMETERS.contains(&name)
                || matches!(name, "versionid" | "requestobjecttagkeys")
                || name.strip_prefix("existingobjecttag/").is_some_and(|tag| !tag.is_empty())
                || name.strip_prefix("requestobjecttag/").is_some_and(|tag| !tag.is_empty())
        }
        _ => false,
    }
}

/// Whether it is about the tags of an object.
pub fn is_of_object(key: &str) -> bool {
    key.to_ascii_lowercase().starts_with("s3:existingobjecttag/")
}

impl Facts<'_> {
    /// The same with what is known of the object.
    pub fn of_object(&self, attributes: Option<&Attributes>) -> Self {
        Self { tags: attributes.map(|attributes| attributes.tags.clone().unwrap_or_default()), ..self.clone() }
    }

    /// The same as if the request listed what begins with this key: what such a listing would show is no secret.
    pub fn of_listing(&self, key: &str) -> Self {
        Self { listed: Some(key.to_owned()), ..self.clone() }
    }

    /// What a condition asks for.
    pub fn get(&self, key: &str) -> Fact {
        let Some((space, name)) = key.split_once(':') else { return Fact::Unknown };
        let lower = name.to_ascii_lowercase();
        match (space.to_ascii_lowercase().as_str(), lower.as_str()) {
            ("aws", "sourceip") => one(self.peer.map(|peer| peer.to_canonical().to_string())),
            // Connections are not encrypted here; whoever terminates TLS before us is not known.
            ("aws", "securetransport") => one(Some("false".to_owned())),
            ("aws", "referer") => self.header("referer"),
            ("aws", "useragent") => self.header("user-agent"),
            ("aws", "currenttime" | "epochtime") => one(Some((self.now.as_millis() / 1000).to_string())),
            ("aws", "userid") => one(self.identity.id().map(str::to_owned)),
            ("s3", "versionid") => self.parameter("versionId"),
            ("s3", "requestobjecttagkeys") => {
                self.requested_tags(|tags| tags.into_iter().map(|(name, _)| name).collect())
            }
            ("s3", "prefix") if self.listed.is_some() => one(self.listed.clone()),
            ("s3", known) if PARAMETERS.contains(&known) => self.parameter(known),
            ("s3", known) if HEADERS.contains(&known) => self.header(known),
            // The names of tags have a case.
            ("s3", known) if known.starts_with("existingobjecttag/") => {
                let tag = &name["existingobjecttag/".len()..];
                let tags = self.tags.iter().flatten();
                one(tags.filter(|(name, _)| name == tag).map(|(_, value)| value.clone()).next())
            }
            ("s3", known) if known.starts_with("requestobjecttag/") => {
                let tag = &name["requestobjecttag/".len()..];
                self.requested_tags(|tags| {
                    tags.into_iter().filter(|(name, _)| name == tag).map(|(_, value)| value).collect()
                })
            }
            _ => Fact::Unknown,
        }
    }

    fn header(&self, name: &str) -> Fact {
        let text = |value: &http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
        some(self.headers.get_all(name).iter().map(text).collect())
    }

    fn parameter(&self, name: &str) -> Fact {
        let pairs = query_string::pairs(self.uri.query().unwrap_or_default()).unwrap_or_default();
        some(pairs.into_iter().filter(|pair| pair.name == name).map(|pair| pair.value.into_owned()).collect())
    }

    fn requested_tags(&self, values: impl FnOnce(tags::Tags) -> Vec<String>) -> Fact {
        if self.operation == "PutObjectTagging" {
            return Fact::Unknown;
        }
        let Some(sent) = self.headers.get("x-amz-tagging") else { return Fact::Absent };
        match sent.to_str().ok().and_then(|text| tags::of_header(text).ok()) {
            Some(tags) => some(values(tags)),
            None => Fact::Unknown,
        }
    }
}

fn one(value: Option<String>) -> Fact {
    some(value.into_iter().collect())
}

fn some(values: Vec<String>) -> Fact {
    if values.is_empty() { Fact::Absent } else { Fact::Values(values) }
}
