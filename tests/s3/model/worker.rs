//! The choice of the next operation, and what all operations share.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use bytes::Bytes;
use cairn_harness::seed;
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::bucket::{Bucket, Condition, Refusal};
use crate::sdk;

/// Keys that share prefixes, that other stores refuse or lose, and that sort differently as text and as bytes.
const KEYS: [&str; 30] = [
    "a",
    "a/",
    "a/b",
    "a//b",
    "a/b/c",
    "a/b/d",
    "a0",
    "./y",
    "../x",
    "/",
    "//",
    "b/1",
    "b/2",
    "b/3/4",
    "ü",
    "ü/ö",
    "u\u{308}",
    "z z",
    "z+z",
    "z%20z",
    "\u{ff5e}",
    "\u{1f600}",
    "<&>\"'",
    "tab\tkey",
    "C",
    "c",
    "d=1,e=2",
    "d=1,e=3",
    "d=2",
    "ends ",
];

/// What may be drawn, and how often.
const STEPS: [(Step, u32); 15] = [
    (Step::Put, 22),
    (Step::Get, 18),
    (Step::Head, 5),
    (Step::Delete, 9),
    (Step::DeleteMany, 2),
    (Step::Copy, 9),
    (Step::Versioning, 1),
    (Step::ListObjects, 3),
    (Step::ListObjectsV2, 5),
    (Step::ListVersions, 4),
    (Step::CreateUpload, 3),
    (Step::PutPart, 8),
    (Step::CopyPart, 3),
    (Step::ListUploads, 4),
    (Step::EndUpload, 4),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    Put,
    Get,
    Head,
    Delete,
    DeleteMany,
    Copy,
    Versioning,
    ListObjects,
    ListObjectsV2,
    ListVersions,
    CreateUpload,
    PutPart,
    CopyPart,
    ListUploads,
    EndUpload,
}

/// How often each operation was done, and how often it was rightly refused.
#[derive(Debug, Default)]
pub struct Tally(BTreeMap<Step, (u32, u32)>);

impl Tally {
    pub fn add(&mut self, other: &Self) {
        for (step, (done, refused)) in &other.0 {
            let own = self.0.entry(*step).or_default();
            *own = (own.0 + done, own.1 + refused);
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = self.0.iter().map(|(step, (done, refused))| format!("{step:?} {done}, {refused} refused"));
        f.write_str(&each.collect::<Vec<_>>().join("; "))
    }
}

/// One worker with its two buckets.
#[derive(Debug)]
pub struct Worker {
    pub s3: Client,
    pub chance: StdRng,
    /// The first never has versions.
    pub buckets: [Bucket; 2],
    /// What is being done, for the message of a disagreement.
    pub at: String,
    tally: Tally,
    step: Step,
}

impl Worker {
    pub fn new(number: usize, s3: Client, chance: StdRng) -> Self {
        let buckets = ["plain", "kept"].map(|name| Bucket::new(format!("worker-{number}-{name}")));
        Self { s3, chance, buckets, at: String::new(), tally: Tally::default(), step: Step::Put }
    }

    /// Does so many operations, then looks at everything, and clears it away.
    pub async fn run(mut self, operations: usize) -> Tally {
        for bucket in &self.buckets {
            self.s3.create_bucket().bucket(&bucket.name).send().await.unwrap();
        }
        for number in 0..operations {
            self.step = STEPS.choose_weighted(&mut self.chance, |step| step.1).expect("there are steps").0;
            self.at = format!("operation {number}");
            self.tally.0.entry(self.step).or_default().0 += 1;
            let of = usize::from(self.chance.random_ratio(2, 3));
            match self.step {
                Step::Put => self.put(of).await,
                Step::Get => self.get(of).await,
                Step::Head => self.head(of).await,
                Step::Delete => self.delete(of).await,
                Step::DeleteMany => self.delete_many(of).await,
                Step::Copy => self.copy(of).await,
                Step::Versioning => self.switch_versions().await,
                Step::ListObjects => self.list_objects(of).await,
                Step::ListObjectsV2 => self.list_objects_v2(of).await,
                Step::ListVersions => self.list_versions(of).await,
                Step::CreateUpload => self.create_upload(of).await,
                Step::PutPart => self.put_part(of).await,
                Step::CopyPart => self.copy_part(of).await,
                Step::ListUploads => self.list_uploads(of).await,
                Step::EndUpload => self.end_upload(of).await,
            }
        }
        for of in 0..self.buckets.len() {
            self.clear(of).await;
        }
        self.tally
    }

    /// Says what is being done, and to which bucket.
    pub fn doing(&mut self, of: usize, what: impl fmt::Debug) {
        self.at = format!("{} {:?} {} {what:?}", self.at, self.step, self.buckets[of].name);
    }

    /// Counts a refusal.
    pub fn refused(&mut self) {
        self.tally.0.entry(self.step).or_default().1 += 1;
    }

    pub fn agree<T: PartialEq + fmt::Debug>(&self, expected: T, found: T) {
        assert!(expected == found, "{}\n expected {expected:?}\n found    {found:?}", self.at);
    }

    /// An answer that should be a refusal, where `expected` has one: the answer if both say yes.
    pub fn judged<T: fmt::Debug, E>(
        &mut self,
        expected: Result<(), Refusal>,
        found: Result<T, SdkError<E>>,
    ) -> Option<T>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        match (expected, found) {
            (Ok(()), Ok(found)) => Some(found),
            (Err((status, code)), Err(error)) => {
                self.refused();
                self.agree((status, code.to_owned()), sdk::refusal(error));
                None
            }
            (Ok(()), Err(error)) => panic!("{}\n expected a success\n found    {:?}", self.at, sdk::refusal(error)),
            (Err(refusal), Ok(found)) => panic!("{}\n expected {refusal:?}\n found    {found:?}", self.at),
        }
    }

    pub fn key(&mut self) -> String {
        (*KEYS.choose(&mut self.chance).expect("there are keys")).to_owned()
    }

    /// A key that is likely there.
    pub fn key_of(&mut self, of: usize) -> String {
        if self.chance.random_ratio(1, 5) || self.buckets[of].keys.is_empty() {
            return self.key();
        }
        let nth = self.chance.random_range(0..self.buckets[of].keys.len());
        self.buckets[of].keys.keys().nth(nth).expect("it is below their number").clone()
    }

    /// A key with a version of it, or without; sometimes one that is gone.
    pub fn key_and_version(&mut self, of: usize) -> (String, Option<String>) {
        let key = self.key_of(of);
        if self.chance.random_ratio(1, 12)
            && let Some(gone) = self.buckets[of].gone.choose(&mut self.chance)
        {
            return (gone.0.clone(), Some(gone.1.clone()));
        }
        let version = if self.chance.random_ratio(1, 2) {
            let versions = self.buckets[of].keys.get(&key).map(Vec::as_slice).unwrap_or_default();
            versions.choose(&mut self.chance).map(|version| version.id.clone())
        } else {
            None
        };
        (key, version)
    }

    /// A body: mostly small, now and then around the borders where objects are laid out in another way.
    pub fn body(&mut self) -> Bytes {
        const MIB: usize = 1 << 20;
        let length = match self.chance.random_range(0..100) {
            0..10 => 0,
            10..80 => self.chance.random_range(1..5000),
            80..97 => self.chance.random_range(5000..100_000),
            97..99 => MIB + self.chance.random_range(0..3) - 1,
            _ => self.chance.random_range(MIB..3 * MIB),
        };
        seed::bytes(&mut self.chance, length)
    }

    pub fn colour(&mut self) -> Option<String> {
        ["blue", "green"].choose(&mut self.chance).filter(|_| self.chance.random_ratio(1, 2)).map(|&c| c.to_owned())
    }

    /// Mostly nothing is demanded.
    pub fn condition(&mut self, of: usize, key: &str) -> Condition {
        match self.chance.random_range(0..10) {
            0 => Condition::Absent,
            1 => Condition::Tag(self.tag(of, key)),
            _ => Condition::None,
        }
    }

    /// The tag of what is under a key, or another one.
    pub fn tag(&mut self, of: usize, key: &str) -> String {
        match self.buckets[of].find(key, None) {
            Ok((_, object)) if self.chance.random_ratio(2, 3) => object.etag.clone(),
            _ => super::bucket::etag(b"something else"),
        }
    }
}

/// The metadata that a colour stands for.
pub fn metadata(colour: Option<&str>) -> Option<HashMap<String, String>> {
    colour.map(|colour| HashMap::from([("colour".to_owned(), colour.to_owned())]))
}
