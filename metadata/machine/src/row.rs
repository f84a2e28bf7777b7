//! What every row has in common: a table, a key that keeps its order as bytes, and a value with a version.
//!
//! ```text
//! key    table (1 byte) | parts of the key, big-endian or terminated, so that byte order is the order of the parts
//! value  version (1 byte) | CBOR with numbered fields
//! ```
//!
//! A release reads every version up to its own and refuses newer ones by name. Fields are only ever added.

use core::ops::ControlFlow;

use bytes::Bytes;
use minicbor::{Decode, Encode};

use crate::source::{RowError, RowSource};

/// The tables, by the first byte of their keys. Numbers are never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// What the cluster is: one row.
    Cluster = 0x01,
    /// Geometries with a name.
    Profile = 0x02,
    /// Members.
    Node = 0x03,
    /// Drives and their states.
    Drive = 0x04,
    /// Process starts that may write.
    Session = 0x05,
    /// The outcomes of a session's latest requests.
    Slot = 0x06,
    /// Who may do what only one may.
    Lease = 0x07,
    /// Access keys, their secrets sealed.
    AccessKey = 0x08,
    /// What each voter has reported of its runs.
    Voter = 0x09,
    /// Writes whose chunks became garbage while their session could still commit them.
    SpentWrite = 0x0A,
    /// Bucket names.
    BucketName = 0x10,
    /// Buckets.
    Bucket = 0x11,
    /// What a bucket holds, counted.
    BucketLedger = 0x12,
    /// What a drive holds, counted.
    DriveLedger = 0x13,
    /// What is configured for a bucket.
    BucketConfig = 0x14,
    /// What a bucket's unfinished uploads take, counted.
    BucketUploads = 0x15,
    /// The newest version of each key.
    Object = 0x20,
    /// Older versions.
    OlderVersion = 0x21,
    /// Multipart uploads under way.
    Upload = 0x22,
    /// Their parts.
    Part = 0x23,
    /// What the parts of an upload take, counted.
    UploadLedger = 0x24,
    /// Long objects' lists of extents: the head.
    Manifest = 0x30,
    /// Their pages, where they name extents.
    ManifestPage = 0x31,
    /// Their pages, where they name parts.
    ManifestParts = 0x32,
    /// Extents.
    Extent = 0x38,
    /// Stripes.
    Stripe = 0x39,
    /// How much of a stripe still lives.
    StripeLive = 0x3A,
    /// Extents whose bytes stand in their rows.
    Here = 0x3B,
    /// How much those are, counted.
    HereLedger = 0x3C,
    /// Chunks that nothing refers to any more.
    Garbage = 0x40,
    /// Manifests that are being taken apart.
    Retirement = 0x41,
    /// Uploads whose parts are being taken away.
    UploadRetirement = 0x42,
}

/// One type of row.
pub trait Row: Sized {
    /// Where it stands.
    const TABLE: Table;
    /// The version that this release writes.
    const VERSION: u8 = 1;
    /// What names one row of the table.
    type Key;

    /// The key's bytes behind the table's.
    fn write_key(key: &Self::Key, out: &mut Vec<u8>);
    /// The inverse of [`Self::write_key`]; `None` for bytes that are no key of this table.
    fn read_key(bytes: &[u8]) -> Option<Self::Key>;
    /// The value's bytes behind the version.
    fn write_value(&self, out: &mut Vec<u8>);
    /// The inverse of [`Self::write_value`].
    fn read_value(version: u8, bytes: &[u8]) -> Result<Self, String>;

    /// About how many bytes the value has, never far too few: what the bounds of an operation are counted in before
    /// anything is encoded (invariant 13). Rows that hold text, bytes or lists say more than this.
    fn weight(&self) -> usize {
        96
    }

    /// The inverse of [`Self::key`].
    fn parse_key(key: &[u8]) -> Result<Self::Key, RowError> {
        let foreign = || RowError::Damaged { key: hex(key), what: format!("not a key of {:?}", Self::TABLE) };
        let (&table, rest) = key.split_first().ok_or_else(foreign)?;
        if table != Self::TABLE as u8 {
            return Err(foreign());
        }
        Self::read_key(rest).ok_or_else(foreign)
    }

    /// The whole key.
    fn key(key: &Self::Key) -> Bytes {
        let mut bytes = Vec::with_capacity(48);
        bytes.push(Self::TABLE as u8);
        Self::write_key(key, &mut bytes);
        Bytes::from(bytes)
    }

    /// The whole value.
    fn encode(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(128);
        self.encode_into(&mut bytes);
        Bytes::from(bytes)
    }

    /// Appends the whole value.
    fn encode_into(&self, out: &mut Vec<u8>) {
        out.push(Self::VERSION);
        self.write_value(out);
    }

    /// The inverse of [`Self::encode`]; `key` is only for the error.
    fn decode(key: &[u8], bytes: &[u8]) -> Result<Self, RowError> {
        let damaged = |what: String| RowError::Damaged { key: hex(key), what };
        let (&version, rest) = bytes.split_first().ok_or_else(|| damaged("empty".into()))?;
        if version == 0 || version > Self::VERSION {
            return Err(damaged(format!(
                "{:?} row of version {version}, this release knows up to {}",
                Self::TABLE,
                Self::VERSION
            )));
        }
        Self::read_value(version, rest).map_err(damaged)
    }

    /// Reads one row.
    fn get(rows: &(impl RowSource + ?Sized), key: &Self::Key) -> Result<Option<Self>, RowError> {
        let key = Self::key(key);
        rows.get(&key)?.map(|value| Self::decode(&key, &value)).transpose()
    }

    /// Visits the rows of this table whose keys begin with `prefix` (table byte included), in order of their keys, until
    /// the visitor breaks. The first row that makes no sense ends the scan with an error.
    fn scan<S: RowSource + ?Sized>(
        rows: &S,
        prefix: &[u8],
        mut visit: impl FnMut(Self::Key, Self) -> ControlFlow<()>,
    ) -> Result<(), RowError> {
        assert_eq!(prefix.first(), Some(&(Self::TABLE as u8)), "a scan stays inside its table");
        let mut failure = None;
        rows.scan(prefix, prefix_end(prefix).as_deref(), &mut |key, value| match Self::parse_key(key)
            .and_then(|parsed| Ok((parsed, Self::decode(key, value)?)))
        {
            Ok((key, row)) => visit(key, row),
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        })?;
        failure.map_or(Ok(()), Err)
    }
}

/// The end of a table: no key of it is as great.
pub fn table_end(table: Table) -> [u8; 1] {
    [table as u8 + 1]
}

/// The smallest byte string greater than every one that begins with `prefix`; `None` where there is none.
pub fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&b| b != 0xFF)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

/// Appends text so that it may be followed by other parts: 0 becomes 0 255, and 0 1 ends it. Byte order is kept.
pub fn write_terminated(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        out.push(byte);
        if byte == 0 {
            out.push(0xFF);
        }
    }
    out.extend_from_slice(&[0, 1]);
}

/// The inverse of [`write_terminated`]: the text and what follows it.
pub fn read_terminated(bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut text = Vec::with_capacity(bytes.len());
    let mut at = 0;
    loop {
        match (bytes.get(at)?, bytes.get(at + 1)) {
            (0, Some(1)) => return Some((text, &bytes[at + 2..])),
            (0, Some(0xFF)) => {
                text.push(0);
                at += 2;
            }
            (0, _) => return None,
            (&byte, _) => {
                text.push(byte);
                at += 1;
            }
        }
    }
}

pub(crate) fn write_cbor<T: Encode<()>>(value: &T, out: &mut Vec<u8>) {
    minicbor::encode(value, out).expect("a vector takes every byte, and the types encode without conditions");
}

pub(crate) fn read_cbor<'b, T: Decode<'b, ()>>(bytes: &'b [u8]) -> Result<T, String> {
    let mut decoder = minicbor::Decoder::new(bytes);
    let value = decoder.decode().map_err(|error| error.to_string())?;
    if decoder.position() != bytes.len() {
        return Err("bytes behind the value".into());
    }
    Ok(value)
}

/// Implements the value's half of [`Row`] by CBOR.
macro_rules! cbor_row {
    () => {
        fn write_value(&self, out: &mut Vec<u8>) {
            crate::row::write_cbor(self, out);
        }

        fn read_value(_version: u8, bytes: &[u8]) -> Result<Self, String> {
            crate::row::read_cbor(bytes)
        }
    };
}
pub(crate) use cbor_row;

pub(crate) fn hex(bytes: &[u8]) -> String {
    use core::fmt::Write;
    bytes.iter().take(96).fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes every character");
        text
    })
}
