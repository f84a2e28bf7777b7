//! Bytes that survive: segments, group commit, recovery.
