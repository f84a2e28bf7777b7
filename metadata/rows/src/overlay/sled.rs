//! The overlay in sled: one tree in a directory of its own, which the last of sled's threads removes when the overlay is
//! dropped; what a kill leaves behind, the next start removes.
//!
//! sled rewrites whole pages, with every value in them, and a page that does not fit its cache is read again for the next
//! row. So the tree keeps the order only: values of more than [`INLINE_BYTES_MAX`] bytes stand beside it, in memory. How
//! much of that there is at all is bounded by when the overlay's owner cuts a run. ADR 0004 has what each way costs.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use cairn_core::LogIndex;
use sled::IVec;

use super::{Overlay, OverlayError, Overlays, Row, Version, versioned_key};

/// How much memory one overlay's page cache may take. sled's own default is 1 GiB for each database.
pub const CACHE_BYTES: u64 = 32 * 1024 * 1024;

/// The longest value that stands in the tree itself: with its tag, what sled keeps in place without an allocation.
pub const INLINE_BYTES_MAX: usize = 21;

/// After so many versions of one row in a row, a page jumps to the next row instead of walking on. A counter that every
/// operation changes has thousands.
const VERSIONS_WALKED_MAX: usize = 8;

const REMOVED: u8 = 0;
const INLINE: u8 = 1;
const BESIDE: u8 = 2;

/// How the directories of overlays are named.
const DIRECTORY_PREFIX: &str = "overlay-";

/// An overlay in sled.
pub struct SledOverlay {
    tree: sled::Tree,
    beside: RwLock<Vec<Bytes>>,
    /// Last, so that its directory goes away after everything else has let go of it.
    db: sled::Db,
}

impl core::fmt::Debug for SledOverlay {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("SledOverlay").field("recovered", &self.db.was_recovered()).finish_non_exhaustive()
    }
}

impl SledOverlay {
    /// Opens an empty overlay in a directory that does not exist yet and will go away with it.
    fn open(path: &Path) -> Result<Self, OverlayError> {
        let config = sled::Config::new()
            .path(path)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(None)
            .create_new(true)
            .temporary(true);
        // sled panics on what it does not expect in its files, and a panic here must not take the node with it.
        let opened = catch_unwind(AssertUnwindSafe(|| config.open()));
        let db = match opened {
            Ok(db) => db.map_err(OverlayError::Store)?,
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                return Err(OverlayError::Panicked(text.unwrap_or_else(|| "no message".to_owned())));
            }
        };
        let tree = (*db).clone();
        Ok(Self { tree, beside: RwLock::default(), db })
    }

    /// How many bytes its files have.
    pub fn disk_bytes(&self) -> Result<u64, OverlayError> {
        self.db.size_on_disk().map_err(OverlayError::Store)
    }

    fn wrap(&self, value: Option<&Bytes>) -> Vec<u8> {
        let Some(value) = value else { return vec![REMOVED] };
        if value.len() <= INLINE_BYTES_MAX {
            let mut wrapped = Vec::with_capacity(1 + value.len());
            wrapped.push(INLINE);
            wrapped.extend_from_slice(value);
            return wrapped;
        }
        let mut beside = self.beside.write().unwrap_or_else(PoisonError::into_inner);
        let place = beside.len() as u64;
        // A copy of its own: the value may be a slice of a whole log entry, which must not stay in memory with it.
        beside.push(Bytes::copy_from_slice(value));
        let mut wrapped = Vec::with_capacity(9);
        wrapped.push(BESIDE);
        wrapped.extend_from_slice(&place.to_be_bytes());
        wrapped
    }

    fn unwrap(&self, wrapped: &IVec) -> Result<Option<Bytes>, OverlayError> {
        match wrapped.split_first() {
            Some((&REMOVED, [])) => Ok(None),
            Some((&INLINE, value)) => Ok(Some(Bytes::copy_from_slice(value))),
            Some((&BESIDE, place)) => {
                let place = place.try_into().map_err(|_| OverlayError::Foreign("no place of a value"))?;
                let place = u64::from_be_bytes(place) as usize;
                let beside = self.beside.read().unwrap_or_else(PoisonError::into_inner);
                beside.get(place).cloned().map(Some).ok_or(OverlayError::Foreign("the place of no value"))
            }
            _ => Err(OverlayError::Foreign("no value")),
        }
    }
}

fn foreign_key<T>(part: Option<T>) -> Result<T, OverlayError> {
    part.ok_or(OverlayError::Foreign("no key"))
}

impl Overlay for SledOverlay {
    fn write(&self, index: LogIndex, effects: &[Row]) -> Result<(), OverlayError> {
        let mut encoded = Vec::new();
        for (key, value) in effects {
            versioned_key::encode(key, index, &mut encoded);
            let wrapped = self.wrap(value.as_ref());
            let before = self.tree.insert(encoded.as_slice(), wrapped).map_err(OverlayError::Store)?;
            assert!(before.is_none(), "one log index writes a row once");
        }
        Ok(())
    }

    fn get(&self, key: &[u8], at: LogIndex) -> Result<Option<Option<Bytes>>, OverlayError> {
        let mut encoded = Vec::with_capacity(key.len() + 16);
        versioned_key::encode(key, at, &mut encoded);
        let Some(found) = self.tree.range(encoded.as_slice()..).next() else { return Ok(None) };
        let (found, wrapped) = found.map_err(OverlayError::Store)?;
        let row = foreign_key(versioned_key::row_of(&found))?;
        if encoded[..encoded.len() - 8] != *row { Ok(None) } else { self.unwrap(&wrapped).map(Some) }
    }

    fn page(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        at: LogIndex,
        limit: usize,
        out: &mut Vec<Row>,
    ) -> Result<(), OverlayError> {
        let wanted = out.len() + limit;
        let mut start = Vec::with_capacity(from.len() + 16);
        versioned_key::encode_row(from, &mut start);
        let mut end = Vec::new();
        if let Some(to) = to {
            versioned_key::encode_row(to, &mut end);
        }
        let mut row_done: Option<IVec> = None;
        'jump: loop {
            let mut walked = 0;
            for found in self.tree.range(start.as_slice()..) {
                let (encoded, wrapped) = found.map_err(OverlayError::Store)?;
                let row = foreign_key(versioned_key::row_of(&encoded))?;
                if out.len() == wanted || (to.is_some() && row >= end.as_slice()) {
                    return Ok(());
                }
                let done = row_done.as_ref().is_some_and(|done| done[..done.len() - 8] == *row);
                if !done && foreign_key(versioned_key::index_of(&encoded))? <= at {
                    out.push((foreign_key(versioned_key::key_of(row))?, self.unwrap(&wrapped)?));
                    row_done = Some(encoded);
                    walked = 0;
                    continue;
                }
                walked += 1;
                if walked == VERSIONS_WALKED_MAX {
                    // Either the rest of a row that is in the page, or versions that are newer than the page.
                    start.clear();
                    start.extend_from_slice(row);
                    start.extend_from_slice(&(if done { [0xFF; 8] } else { (!at.0).to_be_bytes() }));
                    continue 'jump;
                }
            }
            return Ok(());
        }
    }

    fn versions(
        &self,
        after: Option<(&[u8], LogIndex)>,
        limit: usize,
        out: &mut Vec<Version>,
    ) -> Result<(), OverlayError> {
        let mut start = Vec::new();
        if let Some((key, index)) = after {
            versioned_key::encode(key, index, &mut start);
            // Nothing stands between a byte string and the same with a zero behind it.
            start.push(0);
        }
        for found in self.tree.range(start.as_slice()..).take(limit) {
            let (encoded, wrapped) = found.map_err(OverlayError::Store)?;
            let row = foreign_key(versioned_key::row_of(&encoded))?;
            out.push(Version {
                key: foreign_key(versioned_key::key_of(row))?,
                index: foreign_key(versioned_key::index_of(&encoded))?,
                value: self.unwrap(&wrapped)?,
            });
        }
        Ok(())
    }
}

/// Makes overlays in sled, each in a directory of its own below one directory.
#[derive(Debug)]
pub struct SledOverlays {
    directory: PathBuf,
    made: AtomicU64,
}

impl SledOverlays {
    /// Takes a directory over and removes every overlay that an earlier start left there. It must be this process's alone:
    /// whoever holds the lock of the drives around it may call this.
    pub fn discard_and_open(directory: impl Into<PathBuf>) -> Result<Self, OverlayError> {
        let directory = directory.into();
        let failed = |source| OverlayError::Directory { path: directory.clone(), source };
        fs::create_dir_all(&directory).map_err(failed)?;
        for entry in fs::read_dir(&directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_name().to_string_lossy().starts_with(DIRECTORY_PREFIX) {
                let is_directory = entry.file_type().map_err(failed)?.is_dir();
                let remove = if is_directory { fs::remove_dir_all } else { fs::remove_file };
                remove(entry.path()).map_err(failed)?;
            }
        }
        Ok(Self { directory, made: AtomicU64::new(0) })
    }
}

impl Overlays for SledOverlays {
    fn fresh(&self) -> Result<Arc<dyn Overlay>, OverlayError> {
        let attempt = || {
            let number = self.made.fetch_add(1, Ordering::Relaxed);
            let path = self.directory.join(format!("{DIRECTORY_PREFIX}{number:08}"));
            SledOverlay::open(&path).map_err(|error| (path, error))
        };
        // A directory that failed is left alone until the next start removes it; another one is tried once, and a second
        // failure is the caller's to see.
        let overlay = attempt().or_else(|(path, error)| {
            tracing::warn!(%error, path = %path.display(), "an overlay could not be opened, its directory is set aside");
            attempt().map_err(|(_, error)| error)
        })?;
        Ok(Arc::new(overlay))
    }
}
