//! `cairn bucket`: what each bucket holds, by the ledger that every operation keeps.
//!
//! ```text
//! GET /.cairn/v1/buckets?after=NAME   -> a page of buckets behind a name, in order of their names, at one index
//! ```

pub mod command;

use cairn_core::BucketName;
use cairn_machine::row::Row;
use cairn_machine::rows::bucket::{BucketLedgerRow, Versioning};
use cairn_machine::{RowError, RowSource};
use cairn_metadata::query;
use serde::{Deserialize, Serialize};

/// Where buckets are asked for.
pub const BUCKETS_PATH: &str = "/.cairn/v1/buckets";

/// The most on one page.
const PAGE_MAX: usize = 1000;

/// One bucket and what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// Its id, which no other bucket ever has, whatever it is called.
    pub id: String,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// Whose it is.
    pub owner: String,
    /// `off`, `enabled` or `suspended`.
    pub versioning: String,
    /// Whether its versions can be locked.
    pub locks: bool,
    /// Keys whose newest version is an object.
    pub objects: u64,
    /// Versions of all kinds, delete markers included.
    pub versions: u64,
    /// The sizes of all versions.
    pub bytes: u64,
}

/// Some buckets, in order of their names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// They.
    pub buckets: Vec<Bucket>,
    /// Where the next page begins; none where this is the last one.
    pub next: Option<String>,
}

/// The page behind a name.
pub fn page(rows: &impl RowSource, after: Option<&BucketName>) -> Result<Page, RowError> {
    let found = query::buckets(rows, after, PAGE_MAX)?;
    let next = found.get(PAGE_MAX - 1).map(|(name, ..)| name.as_str().to_owned());
    let read = |(name, id, row): (BucketName, _, cairn_machine::rows::bucket::BucketRow)| {
        let BucketLedgerRow { objects, versions, bytes } = BucketLedgerRow::get(rows, &id)?.unwrap_or_default();
        Ok(Bucket {
            name: name.as_str().to_owned(),
            id: id.to_string(),
            created_ms: row.created.as_millis(),
            owner: row.owner,
            versioning: match row.versioning {
                Versioning::Off => "off",
                Versioning::Enabled => "enabled",
                Versioning::Suspended => "suspended",
            }
            .to_owned(),
            locks: row.lock.is_some(),
            objects,
            versions,
            bytes,
        })
    };
    Ok(Page { buckets: found.into_iter().map(read).collect::<Result<_, RowError>>()?, next })
}
