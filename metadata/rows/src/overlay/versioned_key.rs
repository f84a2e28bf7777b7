//! A row's key and the index that wrote it as one byte string whose order is: by key, then newest first.
//!
//! ```text
//! key, each 0 as 0 255 | 0 1 | the index's complement, 8 bytes big-endian
//! ```
//!
//! Without the escape a key that is the beginning of another would stand among the other's versions.

use bytes::{BufMut, Bytes, BytesMut};
use cairn_core::LogIndex;

const END: [u8; 2] = [0, 1];
const INDEX_BYTES: usize = 8;

/// The versions of `key` from the newest one at `at` on.
pub(super) fn encode(key: &[u8], at: LogIndex, out: &mut Vec<u8>) {
    out.clear();
    encode_row(key, out);
    out.extend_from_slice(&(!at.0).to_be_bytes());
}

/// Where the versions of `key` begin.
pub(super) fn encode_row(key: &[u8], out: &mut Vec<u8>) {
    let mut rest = key;
    while let Some(zero) = rest.iter().position(|&byte| byte == 0) {
        out.extend_from_slice(&rest[..=zero]);
        out.push(0xFF);
        rest = &rest[zero + 1..];
    }
    out.extend_from_slice(rest);
    out.extend_from_slice(&END);
}

/// The encoded row, without the index. `None` for bytes that [`encode`] never made.
pub(super) fn row_of(encoded: &[u8]) -> Option<&[u8]> {
    let row = encoded.len().checked_sub(INDEX_BYTES)?;
    encoded[..row].ends_with(&END).then_some(&encoded[..row])
}

/// The index. `None` for bytes that [`encode`] never made.
pub(super) fn index_of(encoded: &[u8]) -> Option<LogIndex> {
    let (_, complement) = encoded.split_last_chunk::<INDEX_BYTES>()?;
    Some(LogIndex(!u64::from_be_bytes(*complement)))
}

/// The key that an encoded row stands for.
pub(super) fn key_of(row: &[u8]) -> Option<Bytes> {
    let mut rest = row.strip_suffix(&END)?;
    if !rest.contains(&0) {
        return Some(Bytes::copy_from_slice(rest));
    }
    let mut key = BytesMut::with_capacity(rest.len());
    while let Some(zero) = rest.iter().position(|&byte| byte == 0) {
        key.put_slice(&rest[..=zero]);
        if rest.get(zero + 1) != Some(&0xFF) {
            return None;
        }
        rest = &rest[zero + 2..];
    }
    key.put_slice(rest);
    Some(key.freeze())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(key: &[u8], at: u64) -> Vec<u8> {
        let mut out = Vec::new();
        encode(key, LogIndex(at), &mut out);
        out
    }

    proptest! {
        #[test]
        fn order_is_by_key_and_then_newest_first(
            a in prop::collection::vec(prop::sample::select(vec![0u8, 1, 2, 254, 255]), 0..6), i: u64,
            b in prop::collection::vec(prop::sample::select(vec![0u8, 1, 2, 254, 255]), 0..6), j: u64,
        ) {
            let expected = a.cmp(&b).then(j.cmp(&i));
            prop_assert_eq!(encoded(&a, i).cmp(&encoded(&b, j)), expected);
        }

        #[test]
        fn what_goes_in_comes_out(key in prop::collection::vec(any::<u8>(), 0..40), at: u64) {
            let bytes = encoded(&key, at);
            prop_assert_eq!(index_of(&bytes), Some(LogIndex(at)));
            prop_assert_eq!(key_of(row_of(&bytes).unwrap()).unwrap(), key);
        }
    }

    #[test]
    fn foreign_bytes_are_refused() {
        assert_eq!(row_of(b"short"), None);
        assert_eq!(index_of(b"short"), None);
        assert_eq!(row_of(b"no end of a row........"), None);
        assert_eq!(key_of(&[b'a', 0, 7, 0, 1]), None);
    }
}
