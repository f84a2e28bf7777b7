//! Data chunks to parity chunks.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use cairn_core::Geometry;
use cairn_core::stripe::CHUNK_ALIGNMENT;
use reed_solomon_simd::ReedSolomonEncoder;

use super::columns::Cursor;

/// How much of each chunk is coded at a time: k+m columns of this stay in a core's second-level cache.
const COLUMN_BYTES: usize = 64 * 1024;

/// Encoders kept for the next call, with their work space of up to k columns each. More than there are cores would
/// never be used at once, and what comes back beyond this is freed.
const ENCODERS_MAX: usize = 16;

/// Making an encoder takes its work space anew, page faults and all, so they are used again. Which one a call gets
/// makes no difference to what it computes.
static ENCODERS: Mutex<Vec<ReedSolomonEncoder>> = Mutex::new(Vec::new());

/// The parity of k data chunks of `chunk_bytes` each, a multiple of the chunk alignment. The chunks may lie in parts.
///
/// With one data chunk the parity is that chunk again, and nothing is computed or copied.
pub fn encode(geometry: Geometry, chunk_bytes: usize, data: &[Vec<Bytes>]) -> Vec<Vec<Bytes>> {
    assert_eq!(data.len(), geometry.k(), "as many data chunks as the geometry has");
    assert!(chunk_bytes > 0 && chunk_bytes.is_multiple_of(CHUNK_ALIGNMENT as usize), "chunks of {chunk_bytes} bytes");
    for chunk in data {
        assert_eq!(chunk.iter().map(Bytes::len).sum::<usize>(), chunk_bytes, "all chunks have the same length");
    }
    match (geometry.k(), geometry.m()) {
        (_, 0) => Vec::new(),
        (1, copies) => vec![data[0].clone(); copies],
        _ => transform(geometry, chunk_bytes, data),
    }
}

fn transform(geometry: Geometry, chunk_bytes: usize, data: &[Vec<Bytes>]) -> Vec<Vec<Bytes>> {
    const SHARDS: &str = "every geometry is within the code's bounds, and every column is a multiple of 64 bytes";
    let (k, m) = (geometry.k(), geometry.m());
    let mut encoder = match pop() {
        Some(encoder) => encoder,
        None => ReedSolomonEncoder::new(k, m, COLUMN_BYTES).expect(SHARDS),
    };
    let mut cursors: Vec<Cursor<'_>> = data.iter().map(|chunk| Cursor::new(chunk)).collect();
    let mut parity: Vec<Vec<u8>> = (0..m).map(|_| Vec::with_capacity(chunk_bytes)).collect();
    let mut scratch = Vec::new();
    let mut at = 0;
    while at < chunk_bytes {
        let bytes = COLUMN_BYTES.min(chunk_bytes - at);
        encoder.reset(k, m, bytes).expect(SHARDS);
        for cursor in &mut cursors {
            encoder.add_original_shard(cursor.column(bytes, &mut scratch)).expect(SHARDS);
        }
        let coded = encoder.encode().expect("all data columns were added");
        for (chunk, column) in parity.iter_mut().zip(coded.recovery_iter()) {
            chunk.extend_from_slice(column);
        }
        at += bytes;
    }
    push(encoder);
    parity.into_iter().map(|chunk| vec![Bytes::from(chunk)]).collect()
}

fn pop() -> Option<ReedSolomonEncoder> {
    ENCODERS.lock().unwrap_or_else(PoisonError::into_inner).pop()
}

fn push(encoder: ReedSolomonEncoder) {
    let mut encoders = ENCODERS.lock().unwrap_or_else(PoisonError::into_inner);
    if encoders.len() < ENCODERS_MAX {
        encoders.push(encoder);
    }
}
