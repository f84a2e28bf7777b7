//! Rows are runs plus an overlay: sorted immutable files and what is newer than them.
