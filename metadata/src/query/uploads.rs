//! Uploads under way, and their parts.

use core::ops::ControlFlow;

use cairn_core::{BucketId, ObjectKey};
use cairn_machine::row::{Row, Table, write_terminated};
use cairn_machine::rows::upload::{PartRow, UploadId, UploadRow};
use cairn_machine::{RowError, RowSource};

use super::cursor::{Cursor, after, bucket_key, common_prefix};

/// An upload, if it is under way.
pub fn upload<S: RowSource + ?Sized>(
    rows: &S,
    bucket: BucketId,
    key: &ObjectKey,
    id: UploadId,
) -> Result<Option<UploadRow>, RowError> {
    UploadRow::get(rows, &(bucket, key.clone(), id))
}

/// A part of an upload.
pub fn upload_part<S: RowSource + ?Sized>(
    rows: &S,
    upload: UploadId,
    number: u16,
) -> Result<Option<PartRow>, RowError> {
    PartRow::get(rows, &(upload, number))
}

/// The parts of an upload whose numbers are greater than `behind`, in order, at most so many; and whether more follow.
pub fn upload_parts<S: RowSource + ?Sized>(
    rows: &S,
    upload: UploadId,
    behind: u16,
    limit: usize,
) -> Result<(Vec<(u16, PartRow)>, bool), RowError> {
    let (mut found, mut more) = (Vec::new(), false);
    let mut failure = None;
    let prefix = PartRow::upload_prefix(upload);
    let from = after(&PartRow::key(&(upload, behind)));
    rows.scan(&from, cairn_machine::row::prefix_end(&prefix).as_deref(), &mut |key, value| {
        if found.len() == limit {
            more = true;
            return ControlFlow::Break(());
        }
        match PartRow::parse_key(key).and_then(|(_, number)| Ok((number, PartRow::decode(key, value)?))) {
            Ok(part) => {
                found.push(part);
                ControlFlow::Continue(())
            }
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    failure.map_or(Ok((found, more)), Err)
}

/// What is to be listed of a bucket's uploads.
#[derive(Debug, Clone)]
pub struct UploadsRequest<'a> {
    /// Which bucket.
    pub bucket: BucketId,
    /// Only keys that begin with this.
    pub prefix: &'a str,
    /// Keys that have this behind the prefix are shown once, up to it. Empty is none.
    pub delimiter: Option<&'a str>,
    /// Where the listing goes on.
    pub start_after: Option<UploadsStart>,
    /// At most so many entries.
    pub limit: usize,
}

/// Where a listing of uploads goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UploadsStart {
    /// Behind all uploads of this key.
    Key(String),
    /// Behind this upload of this key.
    Upload {
        /// The key.
        key: String,
        /// The upload; it need not exist.
        upload: UploadId,
    },
    /// Behind everything that begins with this.
    CommonPrefix(String),
}

/// One page of a listing of uploads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UploadsPage {
    /// What is shown: keys in byte order of UTF-8, of each key the oldest upload first.
    pub entries: Vec<UploadsEntry>,
    /// Where the next page begins; none when this was all.
    pub next: Option<UploadsStart>,
}

/// One entry of a listing of uploads.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "a page is nearly all rows, and a box for each would cost more")]
pub enum UploadsEntry {
    /// An upload.
    Upload {
        /// The key that the object will have.
        key: ObjectKey,
        /// Its name.
        upload: UploadId,
        /// What was said when it began.
        row: UploadRow,
    },
    /// There are uploads below this.
    CommonPrefix(String),
}

impl UploadsEntry {
    fn start_after(&self) -> UploadsStart {
        match self {
            Self::Upload { key, upload, .. } => UploadsStart::Upload { key: key.as_str().to_owned(), upload: *upload },
            Self::CommonPrefix(prefix) => UploadsStart::CommonPrefix(prefix.clone()),
        }
    }
}

/// Lists uploads under way. Everything that is passed is shown or leapt over, so the limit bounds the work.
pub fn list_uploads<S: RowSource + ?Sized>(rows: &S, request: &UploadsRequest<'_>) -> Result<UploadsPage, RowError> {
    let mut page = UploadsPage::default();
    if request.limit == 0 {
        return Ok(page);
    }
    let bucket = request.bucket;
    let mut cursor = Cursor::new(rows, Table::Upload, &below(bucket, request.prefix));
    match &request.start_after {
        None => {}
        Some(UploadsStart::Key(key)) => {
            cursor.seek(cairn_machine::row::prefix_end(&of_key(bucket, key)).as_deref());
        }
        Some(UploadsStart::Upload { key, upload }) => {
            let shown = [&of_key(bucket, key)[..], &upload.to_bytes()].concat();
            cursor.seek(Some(&after(&shown)));
        }
        Some(UploadsStart::CommonPrefix(prefix)) => {
            cursor.seek(cairn_machine::row::prefix_end(&below(bucket, prefix)).as_deref());
        }
    }
    while let Some((bytes, value)) = cursor.next()? {
        if page.entries.len() == request.limit {
            page.next = page.entries.last().map(UploadsEntry::start_after);
            return Ok(page);
        }
        let (_, key, upload) = UploadRow::parse_key(&bytes)?;
        let common = common_prefix(key.as_str(), request.prefix, request.delimiter).map(str::to_owned);
        page.entries.push(match common {
            Some(common) => {
                cursor.seek(cairn_machine::row::prefix_end(&below(bucket, &common)).as_deref());
                UploadsEntry::CommonPrefix(common)
            }
            None => UploadsEntry::Upload { key, upload, row: UploadRow::decode(&bytes, &value)? },
        });
    }
    Ok(page)
}

/// What the keys of a key's uploads begin with.
fn of_key(bucket: BucketId, key: &str) -> Vec<u8> {
    let mut bytes = bucket_key(Table::Upload, bucket, "");
    write_terminated(key.as_bytes(), &mut bytes);
    bytes
}

/// The same for all keys that begin with this.
fn below(bucket: BucketId, prefix: &str) -> Vec<u8> {
    let mut bytes = of_key(bucket, prefix);
    // Without the two bytes that end the text.
    bytes.truncate(bytes.len() - 2);
    bytes
}
