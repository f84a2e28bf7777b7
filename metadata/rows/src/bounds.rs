//! How large a row may be. Everything that decodes, buffers or allocates takes its bound from here.

/// The longest key of a row. An object key of 1,024 bytes takes up to 2,050 once every zero byte in it is escaped; the
/// rest is room for what stands around it.
pub const KEY_BYTES_MAX: usize = 4 * 1024;

/// The longest value of a row: what one operation may write at all (invariant 13).
pub const VALUE_BYTES_MAX: usize = 1024 * 1024;

/// The most rows that one log entry may change. An operation changes at most 4,096 (invariant 13); an entry carries many
/// operations.
pub const EFFECTS_MAX: usize = 4 * 1024 * 1024;

/// Asserts that a row is within its bounds. The state machine refuses larger ones as an outcome, so one that gets here is
/// a broken invariant and not bad input.
pub(crate) fn assert_row(key: &[u8], value: Option<&[u8]>) {
    assert!(!key.is_empty(), "a row's key has at least one byte");
    assert!(key.len() <= KEY_BYTES_MAX, "a row's key of {} bytes is longer than {KEY_BYTES_MAX}", key.len());
    let value_bytes = value.map_or(0, <[u8]>::len);
    assert!(value_bytes <= VALUE_BYTES_MAX, "a row's value of {value_bytes} bytes is longer than {VALUE_BYTES_MAX}");
}
