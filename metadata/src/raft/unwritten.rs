//! What a lone voter says to itself where the operation log can only be read: its vote, and the empty entry that a leader
//! begins with. Both stand in memory and are gone with the process. Nobody is told that anything is durable: proposals are
//! refused before they come here, and there is no other voter who could count on the vote.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use cairn_oplog::LogRecord;

/// Entries by index, behind those of the log.
pub(super) type Unwritten = Arc<Mutex<BTreeMap<u64, Bytes>>>;

fn lock(unwritten: &Unwritten) -> MutexGuard<'_, BTreeMap<u64, Bytes>> {
    unwritten.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes records over. Entries of the log itself cannot be taken back.
pub(super) fn take(unwritten: &Unwritten, records: Vec<LogRecord>) -> Result<(), io::Error> {
    let mut said = lock(unwritten);
    for record in records {
        match record {
            LogRecord::Append { first_index, entries } => said.extend((first_index..).zip(entries)),
            LogRecord::Vote { .. } | LogRecord::Committed { .. } => {}
            LogRecord::Truncate { .. } | LogRecord::Mark { .. } | LogRecord::Purge { .. } => {
                return Err(io::Error::other("the operation log can only be read"));
            }
        }
    }
    Ok(())
}

/// Entries that were said, from an index on; where there is none of that index, how far the log is to be read.
pub(super) fn from(unwritten: &Unwritten, index: u64, end: u64) -> (u64, Vec<Bytes>) {
    let said = lock(unwritten);
    let entries: Vec<Bytes> = match said.contains_key(&index) {
        true => said.range(index..end).map(|(_, entry)| entry.clone()).collect(),
        false => Vec::new(),
    };
    let first = said.keys().next().copied().unwrap_or(end);
    (end.min(first.max(index + 1)), entries)
}

/// The index behind the last one.
pub(super) fn end(unwritten: &Unwritten) -> Option<u64> {
    lock(unwritten).keys().next_back().map(|last| last + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_follows_the_log_and_nothing_is_taken_back() {
        let unwritten = Unwritten::default();
        assert_eq!((from(&unwritten, 3, 9), end(&unwritten)), ((9, vec![]), None));
        let entry = Bytes::from_static(b"empty");
        take(&unwritten, vec![LogRecord::Append { first_index: 7, entries: vec![entry.clone()] }]).unwrap();
        assert_eq!(from(&unwritten, 3, 8), (7, vec![]));
        assert_eq!(from(&unwritten, 7, 8), (8, vec![entry]));
        assert_eq!(end(&unwritten), Some(8));
        assert!(take(&unwritten, vec![LogRecord::Truncate { from_index: 3 }]).is_err());
    }
}
