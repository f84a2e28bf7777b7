//! The operation log on a voter's own drives, r copies of everything.
