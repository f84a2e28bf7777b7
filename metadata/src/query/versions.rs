//! Listing versions: two tables in the same order of keys, merged; of each key the newest version first.

use std::cmp::Ordering;

use cairn_core::{BucketId, ObjectKey, VersionId};
use cairn_machine::row::{Row, Table, prefix_end, write_terminated};
use cairn_machine::rows::object::{ObjectRow, OlderVersionRow};
use cairn_machine::{RowError, RowSource};

use super::cursor::{Cursor, after, bucket_key, common_prefix};

/// What is to be listed.
#[derive(Debug, Clone)]
pub struct VersionRequest<'a> {
    /// Which bucket.
    pub bucket: BucketId,
    /// Only keys that begin with this.
    pub prefix: &'a str,
    /// Keys that have this behind the prefix are shown once, up to it. Empty is none.
    pub delimiter: Option<&'a str>,
    /// Where the listing goes on.
    pub start_after: Option<VersionStart>,
    /// At most so many entries.
    pub limit: usize,
}

/// Where a listing of versions goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionStart {
    /// Behind all versions of this key.
    Key(String),
    /// Behind this version of this key.
    Version {
        /// The key.
        key: String,
        /// The version; it need not exist.
        version: VersionId,
    },
    /// Behind everything that begins with this.
    CommonPrefix(String),
}

/// One page of a listing of versions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VersionPage {
    /// What is shown: keys in byte order of UTF-8, of each key the newest version first.
    pub entries: Vec<VersionEntry>,
    /// Where the next page begins; none when this was all.
    pub next: Option<VersionStart>,
}

/// One entry of a listing of versions.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "a page is nearly all rows, and a box for each would cost more")]
pub enum VersionEntry {
    /// A version, or a delete marker.
    Version {
        /// The key.
        key: ObjectKey,
        /// The version.
        row: ObjectRow,
        /// Whether it is the newest one of its key.
        latest: bool,
    },
    /// There are versions below this.
    CommonPrefix(String),
}

impl VersionEntry {
    fn start_after(&self) -> VersionStart {
        match self {
            Self::Version { key, row, .. } => {
                VersionStart::Version { key: key.as_str().to_owned(), version: row.version }
            }
            Self::CommonPrefix(prefix) => VersionStart::CommonPrefix(prefix.clone()),
        }
    }
}

/// Lists all versions of keys, delete markers included. Everything that is passed is shown or leapt over, so the limit
/// bounds the work.
pub fn list_versions<S: RowSource + ?Sized>(rows: &S, request: &VersionRequest<'_>) -> Result<VersionPage, RowError> {
    let mut page = VersionPage::default();
    if request.limit == 0 {
        return Ok(page);
    }
    let mut merged = Merged::new(rows, request);
    while let Some((key, row, latest)) = merged.next()? {
        if page.entries.len() == request.limit {
            page.next = page.entries.last().map(VersionEntry::start_after);
            return Ok(page);
        }
        let common = common_prefix(key.as_str(), request.prefix, request.delimiter).map(str::to_owned);
        page.entries.push(match common {
            Some(common) => {
                merged.leap(&common);
                VersionEntry::CommonPrefix(common)
            }
            None => VersionEntry::Version { key, row, latest },
        });
    }
    Ok(page)
}

/// Newest and older versions in one order.
struct Merged<'a, S: ?Sized> {
    bucket: BucketId,
    newest: Cursor<'a, S>,
    older: Cursor<'a, S>,
}

impl<'a, S: RowSource + ?Sized> Merged<'a, S> {
    fn new(rows: &'a S, request: &VersionRequest<'_>) -> Self {
        let bucket = request.bucket;
        let newest_key = |text: &str| bucket_key(Table::Object, bucket, text);
        let newest = Cursor::new(rows, Table::Object, &newest_key(request.prefix));
        let older = Cursor::new(rows, Table::OlderVersion, &older_prefix(bucket, request.prefix));
        let mut merged = Self { bucket, newest, older };
        match &request.start_after {
            None => {}
            Some(VersionStart::CommonPrefix(prefix)) => merged.leap(prefix),
            Some(VersionStart::Key(key)) => {
                merged.newest.seek(Some(&after(&newest_key(key))));
                merged.older.seek(prefix_end(&older_key(bucket, key)).as_deref());
            }
            Some(VersionStart::Version { key, version }) => {
                let mut older = older_key(bucket, key);
                older.extend_from_slice(&(!version.index.0).to_be_bytes());
                older.extend_from_slice(&(!version.ordinal).to_be_bytes());
                merged.older.seek(Some(&after(&older)));
                // The newest version comes before every older one, so whoever names a version of this key has seen it.
                merged.newest.seek(Some(&after(&newest_key(key))));
            }
        }
        merged
    }

    /// Past every key that begins with this.
    fn leap(&mut self, prefix: &str) {
        self.newest.seek(prefix_end(&bucket_key(Table::Object, self.bucket, prefix)).as_deref());
        self.older.seek(prefix_end(&older_prefix(self.bucket, prefix)).as_deref());
    }

    fn next(&mut self) -> Result<Option<(ObjectKey, ObjectRow, bool)>, RowError> {
        let newest = self.newest.peek()?.map(|(key, _)| ObjectRow::parse_key(key)).transpose()?;
        let older = self.older.peek()?.map(|(key, _)| OlderVersionRow::parse_key(key)).transpose()?;
        let first = match (&newest, &older) {
            (Some((_, newest)), Some((_, older, _))) => newest.cmp(older),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return Ok(None),
        };
        if first == Ordering::Greater {
            let (bytes, value) = self.older.next()?.expect("it was peeked at");
            let (_, key, _) = OlderVersionRow::parse_key(&bytes)?;
            return Ok(Some((key, OlderVersionRow::decode(&bytes, &value)?.0, false)));
        }
        let (bytes, value) = self.newest.next()?.expect("it was peeked at");
        let (_, key) = ObjectRow::parse_key(&bytes)?;
        Ok(Some((key, ObjectRow::decode(&bytes, &value)?, true)))
    }
}

/// What the keys of older versions begin with, for keys that begin with this.
fn older_prefix(bucket: BucketId, prefix: &str) -> Vec<u8> {
    let mut bytes = older_key(bucket, prefix);
    // Without the two bytes that end the text.
    bytes.truncate(bytes.len() - 2);
    bytes
}

/// What the keys of a key's older versions begin with.
fn older_key(bucket: BucketId, key: &str) -> Vec<u8> {
    let mut bytes = bucket_key(Table::OlderVersion, bucket, "");
    write_terminated(key.as_bytes(), &mut bytes);
    bytes
}
