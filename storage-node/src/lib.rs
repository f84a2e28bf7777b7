//! A drive that can be trusted: chunks in a journal, found by an index, verified by everyone.
