//! What a bucket holds, and what S3 answers, as plain data.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use md5::{Digest, Md5};

/// What a request is refused with: status and code.
pub type Refusal = (u16, &'static str);

pub const NO_SUCH_KEY: Refusal = (404, "NoSuchKey");
pub const NO_SUCH_VERSION: Refusal = (404, "NoSuchVersion");
pub const PRECONDITION_FAILED: Refusal = (412, "PreconditionFailed");

/// The id of the version that has none of its own.
pub const NULL: &str = "null";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versioning {
    Never,
    On,
    Suspended,
}

#[derive(Debug, Clone)]
pub struct Object {
    pub body: Bytes,
    pub etag: String,
    /// One value of metadata stands for all of them.
    pub colour: Option<String>,
}

impl Object {
    pub fn new(body: Bytes, colour: Option<String>) -> Self {
        let etag = etag(&body);
        Self { body, etag, colour }
    }
}

pub fn etag(body: &[u8]) -> String {
    format!("\"{}\"", hex::encode(Md5::digest(body)))
}

#[derive(Debug, Clone)]
pub struct Version {
    pub id: String,
    /// `None` is a delete marker.
    pub object: Option<Object>,
}

#[derive(Debug, Clone)]
pub struct Upload {
    pub key: String,
    pub id: String,
    pub colour: Option<String>,
    /// By number: what was sent last.
    pub parts: BTreeMap<i32, Bytes>,
}

#[derive(Debug)]
pub struct Bucket {
    pub name: String,
    pub versioning: Versioning,
    /// Each key's versions, the newest last. No key is here without one. The order of keys is that of their bytes.
    pub keys: BTreeMap<String, Vec<Version>>,
    /// In no order.
    pub uploads: Vec<Upload>,
    /// Versions that were deleted by their ids; they must not come back.
    pub gone: Vec<(String, String)>,
    ids: BTreeSet<String>,
}

/// What a delete should answer: whether it says that there is a delete marker, and which version it names.
#[derive(Debug, PartialEq, Eq)]
pub struct Deleted {
    pub marker: bool,
    pub version: Option<String>,
}

impl Bucket {
    pub fn new(name: String) -> Self {
        let (keys, ids) = (BTreeMap::new(), BTreeSet::new());
        Self { name, versioning: Versioning::Never, keys, uploads: Vec::new(), gone: Vec::new(), ids }
    }

    /// The object that a GET finds, or what it is refused with.
    pub fn find(&self, key: &str, version: Option<&str>) -> Result<(&Version, &Object), Refusal> {
        let versions = self.keys.get(key).map(Vec::as_slice).unwrap_or_default();
        match version {
            None => {
                let found = versions.last().and_then(|version| Some((version, version.object.as_ref()?)));
                found.ok_or(NO_SUCH_KEY)
            }
            Some(id) => {
                let version = versions.iter().find(|version| version.id == id).ok_or(NO_SUCH_VERSION)?;
                Ok((version, version.object.as_ref().ok_or((405, "MethodNotAllowed"))?))
            }
        }
    }

    /// Whether a write to a key may happen.
    pub fn admits(&self, key: &str, condition: &Condition) -> Result<(), Refusal> {
        match (condition, self.find(key, None)) {
            (Condition::None, _) | (Condition::Absent, Err(_)) => Ok(()),
            (Condition::Absent, Ok(_)) => Err(PRECONDITION_FAILED),
            (Condition::Tag(_), Err(refusal)) => Err(refusal),
            (Condition::Tag(tag), Ok((_, object))) if *tag == object.etag => Ok(()),
            (Condition::Tag(_), Ok(_)) => Err(PRECONDITION_FAILED),
        }
    }

    /// A write happened, and the server named this version, or none: it names those that have an id of their own.
    pub fn put(&mut self, key: &str, object: Object, named: Option<&str>) {
        let id = match (self.versioning, named) {
            (Versioning::Never | Versioning::Suspended, None) => NULL,
            (Versioning::On, Some(id)) if id != NULL => id,
            (versioning, named) => panic!("with versions {versioning:?} a write's answer named {named:?}"),
        };
        self.push(key, id, Some(object));
    }

    fn push(&mut self, key: &str, id: &str, object: Option<Object>) {
        let versions = self.keys.entry(key.to_owned()).or_default();
        if id == NULL {
            versions.retain(|version| version.id != NULL);
        } else {
            assert!(self.ids.insert(id.to_owned()), "the version id {id} was given twice");
        }
        versions.push(Version { id: id.to_owned(), object });
    }

    /// A delete happened: what it should have answered, where `named` is the id that it gave for a marker it made.
    pub fn delete(&mut self, key: &str, version: Option<&str>, named: Option<&str>) -> Deleted {
        match version {
            Some(id) => {
                let versions = self.keys.entry(key.to_owned()).or_default();
                let at = versions.iter().position(|version| version.id == id);
                let removed = at.map(|at| versions.remove(at));
                if versions.is_empty() {
                    self.keys.remove(key);
                }
                if removed.is_some() && id != NULL {
                    self.gone.push((key.to_owned(), id.to_owned()));
                }
                let marker = removed.is_some_and(|version| version.object.is_none());
                Deleted { marker, version: Some(id.to_owned()) }
            }
            None if self.versioning == Versioning::Never => {
                self.keys.remove(key);
                Deleted { marker: false, version: None }
            }
            None => {
                let id = match (self.versioning, named) {
                    (Versioning::Suspended, _) => NULL,
                    (_, Some(id)) if id != NULL => id,
                    (versioning, named) => panic!("with versions {versioning:?} a delete marker is named {named:?}"),
                };
                self.push(key, id, None);
                Deleted { marker: true, version: Some(id.to_owned()) }
            }
        }
    }
}

/// What a write demands.
#[derive(Debug)]
pub enum Condition {
    None,
    /// `If-None-Match: *`
    Absent,
    /// `If-Match`
    Tag(String),
}
