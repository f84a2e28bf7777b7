//! Where a journal's bytes are: the figures that an owner's ledger is checked against.

/// Bytes and records of a journal. Always: `length_bytes` = `live_bytes` + `punched_bytes` + `damaged_bytes` +
/// `overhead_bytes` + `unused_bytes`; what the filesystem has given is `length_bytes` - `punched_bytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Segments.
    pub segments: u64,
    /// The lengths of their files.
    pub length_bytes: u64,
    /// Records that are there.
    pub live_records: u64,
    /// What these take, padding included.
    pub live_bytes: u64,
    /// What punched records gave back.
    pub punched_bytes: u64,
    /// What damaged records take; given back with their segment.
    pub damaged_bytes: u64,
    /// What headers and footers take, and stretches between records that hold nothing.
    pub overhead_bytes: u64,
    /// Allocated, not yet written.
    pub unused_bytes: u64,
}

impl Usage {
    /// What the filesystem has given.
    pub fn allocated_bytes(&self) -> u64 {
        self.length_bytes - self.punched_bytes
    }
}
