//! The log is the truth: Raft over the operation log, the applied rows, and the client to both.
