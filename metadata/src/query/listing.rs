//! Listing keys: an ordered scan that shows newest versions, folds keys into common prefixes, and leaps past them.

use cairn_core::{BucketId, ObjectKey};
use cairn_machine::row::{Row, Table, prefix_end};
use cairn_machine::rows::object::ObjectRow;
use cairn_machine::{RowError, RowSource};

use super::cursor::{Cursor, PASSED_MAX, after, bucket_key, common_prefix};

/// What is to be listed.
#[derive(Debug, Clone)]
pub struct ListRequest<'a> {
    /// Which bucket.
    pub bucket: BucketId,
    /// Only keys that begin with this.
    pub prefix: &'a str,
    /// Keys that have this behind the prefix are shown once, up to it. Empty is none.
    pub delimiter: Option<&'a str>,
    /// Where the listing goes on.
    pub start_after: Option<ListStart>,
    /// At most so many entries.
    pub limit: usize,
}

/// Where a listing goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListStart {
    /// Behind this key. It need not exist, nor begin with the prefix.
    Key(String),
    /// Behind everything that begins with this.
    CommonPrefix(String),
}

/// One page of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListPage {
    /// What is shown, in byte order of UTF-8.
    pub entries: Vec<ListEntry>,
    /// Where the next page begins; none when this was all. There may be a next page though this one has fewer entries
    /// than asked for: when very much was passed over that is not shown.
    pub next: Option<ListStart>,
}

/// One entry of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "a page is nearly all rows, and a box for each would cost more")]
pub enum ListEntry {
    /// A key whose newest version is an object.
    Object {
        /// The key.
        key: ObjectKey,
        /// Its newest version.
        row: ObjectRow,
    },
    /// There are such keys below this.
    CommonPrefix(String),
}

impl ListEntry {
    fn start_after(&self) -> ListStart {
        match self {
            Self::Object { key, .. } => ListStart::Key(key.as_str().to_owned()),
            Self::CommonPrefix(prefix) => ListStart::CommonPrefix(prefix.clone()),
        }
    }
}

/// Lists keys whose newest version is an object.
pub fn list<S: RowSource + ?Sized>(rows: &S, request: &ListRequest<'_>) -> Result<ListPage, RowError> {
    let mut page = ListPage::default();
    if request.limit == 0 {
        return Ok(page);
    }
    let key_of = |text: &str| bucket_key(Table::Object, request.bucket, text);
    let mut cursor = Cursor::new(rows, Table::Object, &key_of(request.prefix));
    match &request.start_after {
        Some(ListStart::Key(key)) => cursor.seek(Some(&after(&key_of(key)))),
        Some(ListStart::CommonPrefix(prefix)) => cursor.seek(prefix_end(&key_of(prefix)).as_deref()),
        None => {}
    }
    let mut passed = 0;
    while let Some((bytes, value)) = cursor.next()? {
        let (_, key) = ObjectRow::parse_key(&bytes)?;
        let row = ObjectRow::decode(&bytes, &value)?;
        passed += 1;
        if row.object().is_some() {
            if page.entries.len() == request.limit {
                page.next = page.entries.last().map(ListEntry::start_after);
                return Ok(page);
            }
            let common = common_prefix(key.as_str(), request.prefix, request.delimiter).map(str::to_owned);
            page.entries.push(match common {
                Some(common) => {
                    cursor.seek(prefix_end(&key_of(&common)).as_deref());
                    ListEntry::CommonPrefix(common)
                }
                None => ListEntry::Object { key, row },
            });
        } else if passed >= PASSED_MAX {
            // Everything up to this marker was shown, leapt past, or is a marker too.
            page.next = Some(ListStart::Key(key.as_str().to_owned()));
            return Ok(page);
        }
    }
    Ok(page)
}
