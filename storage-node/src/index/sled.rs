//! The index in sled: memory stays bounded however many chunks there are.
//!
//! sled is kept on a short leash. One tree and single inserts: its batches and transactions take a lock that the whole
//! process shares, and several drives live in one process. No `flush`: on Linux it is no fsync, and nothing here needs
//! to survive. Its recovery may panic, so it is opened behind a wall ([`super::open_generation`]), and what it recovered
//! is believed only after it was compared with the journal.

use std::fmt;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use cairn_core::ChunkName;
use cairn_journal::Place;

use super::{ChunkIndex, IndexError};

/// An index in one sled database.
pub struct SledIndex {
    db: ::sled::Db,
}

impl fmt::Debug for SledIndex {
    /// The database's own form would print every page.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SledIndex(..)")
    }
}

impl SledIndex {
    /// Opens or makes a database in a directory. A panic of its recovery comes back as an error.
    pub fn open(directory: &Path, cache_bytes: u64) -> Result<Self, IndexError> {
        let config = ::sled::Config::new().path(directory).cache_capacity(cache_bytes).flush_every_ms(None);
        let db = walled(|| config.open())?;
        Ok(Self { db })
    }
}

/// Runs a call of sled so that neither its errors nor its panics go further than the index.
///
/// Nothing of ours is inside the call, so nothing of ours can be left half-changed; the database itself is thrown away
/// after any error.
fn walled<T>(call: impl FnOnce() -> ::sled::Result<T>) -> Result<T, IndexError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(IndexError { what: error.to_string() }),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            Err(IndexError { what: format!("sled panicked: {text}") })
        }
    }
}

fn place(bytes: &[u8]) -> Result<Place, IndexError> {
    Place::from_slice(bytes).ok_or_else(|| IndexError { what: format!("a place of {} bytes", bytes.len()) })
}

impl ChunkIndex for SledIndex {
    fn get(&self, name: &ChunkName) -> Result<Option<Place>, IndexError> {
        walled(|| self.db.get(name.to_bytes()))?.as_deref().map(place).transpose()
    }

    fn insert(&self, name: &ChunkName, at: Place) -> Result<Option<Place>, IndexError> {
        walled(|| self.db.insert(name.to_bytes(), &at.to_bytes()))?.as_deref().map(place).transpose()
    }

    fn remove(&self, name: &ChunkName) -> Result<Option<Place>, IndexError> {
        walled(|| self.db.remove(name.to_bytes()))?.as_deref().map(place).transpose()
    }

    fn page(&self, after: Option<&ChunkName>, limit: usize) -> Result<Vec<(ChunkName, Place)>, IndexError> {
        let start = after.map_or(Bound::Unbounded, |name| Bound::Excluded(name.to_bytes()));
        let entries = walled(|| {
            let range = self.db.range::<[u8; ChunkName::BYTES], _>((start, Bound::Unbounded));
            range.take(limit).collect::<::sled::Result<Vec<_>>>()
        })?;
        entries
            .iter()
            .map(|(key, value)| {
                let name = ChunkName::from_slice(key)
                    .ok_or_else(|| IndexError { what: format!("a name of {} bytes", key.len()) })?;
                Ok((name, place(value)?))
            })
            .collect()
    }

    fn count(&self) -> Result<u64, IndexError> {
        walled(|| {
            let mut count = 0;
            for entry in self.db.iter() {
                entry?;
                count += 1;
            }
            Ok(count)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Its recovery asserts what it reads: a damaged database may stop the thread that opens it, and must not.
    #[test]
    fn a_panic_inside_sled_is_an_error_and_goes_no_further() {
        let error = walled(|| -> ::sled::Result<()> { panic!("page 7 of {}", 3) }).unwrap_err();
        assert!(error.to_string().contains("sled panicked: page 7 of 3"), "{error}");
        let error = walled(|| -> ::sled::Result<()> { std::panic::panic_any(7) }).unwrap_err();
        assert!(error.to_string().contains("no message"), "{error}");
        assert_eq!(walled(|| Ok(5)).unwrap(), 5);
    }
}
