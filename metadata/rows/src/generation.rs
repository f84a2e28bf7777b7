//! One overlay with what is known about it: how much it holds, what it should hold, and a filter for what it surely does
//! not.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use cairn_core::LogIndex;

use crate::filter::{KeyHash, SharedFilter};
use crate::overlay::{Overlay, OverlayError, Row};
use crate::tally::Tally;

/// For so many rows the filter is sharp: an overlay of the size at which runs are cut has fewer. It takes 1.25 MiB.
const FILTER_KEYS: usize = 1024 * 1024;

/// What a row takes in an overlay beside its key and its value, roughly.
const ROW_OVERHEAD_BYTES: u64 = 16;

/// What an overlay holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Content {
    /// A count and a sum of hashes over its versions.
    pub tally: Tally,
    /// How many bytes of keys and values.
    pub content_bytes: u64,
}

/// Overlays that nobody reads any more. Letting go of one closes a database and removes its files, which takes tens of
/// milliseconds: so the reader who happens to be the last only puts it here, and maintenance empties the place.
#[derive(Debug, Default)]
pub struct Graveyard {
    buried: Mutex<Vec<Arc<dyn Overlay>>>,
}

impl Graveyard {
    /// Lets go of everything that was put here.
    pub fn empty(&self) {
        let buried = std::mem::take(&mut *self.buried.lock().unwrap_or_else(PoisonError::into_inner));
        // The lock is free again here, so that nobody waits while files are removed.
        drop(buried);
    }
}

/// An overlay from one cut to the next.
#[derive(Debug)]
pub struct Generation {
    overlay: Arc<dyn Overlay>,
    filter: SharedFilter,
    content: Mutex<Content>,
    graveyard: Arc<Graveyard>,
}

impl Drop for Generation {
    fn drop(&mut self) {
        let mut buried = self.graveyard.buried.lock().unwrap_or_else(PoisonError::into_inner);
        buried.push(self.overlay.clone());
    }
}

impl Generation {
    /// An empty one.
    pub fn new(overlay: Arc<dyn Overlay>, graveyard: Arc<Graveyard>) -> Self {
        Self { overlay, filter: SharedFilter::for_keys(FILTER_KEYS), content: Mutex::default(), graveyard }
    }

    /// Adds what one log index wrote. Called by one writer; invisible until the index is published.
    pub fn apply(&self, index: LogIndex, effects: &[Row]) -> Result<(), OverlayError> {
        let mut content = self.content();
        for (key, value) in effects {
            self.filter.add(KeyHash::of(key));
            content.tally.add(key, index, value.as_ref());
            content.content_bytes += (key.len() + value.as_ref().map_or(0, Bytes::len)) as u64 + ROW_OVERHEAD_BYTES;
        }
        self.overlay.write(index, effects)?;
        *self.content.lock().unwrap_or_else(PoisonError::into_inner) = content;
        Ok(())
    }

    /// What it holds.
    pub fn content(&self) -> Content {
        *self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest version of a row at an index.
    pub fn get(&self, key: &[u8], hash: KeyHash, at: LogIndex) -> Result<Option<Option<Bytes>>, OverlayError> {
        if self.filter.may_contain(hash) { self.overlay.get(key, at) } else { Ok(None) }
    }

    /// The overlay itself.
    pub fn overlay(&self) -> &dyn Overlay {
        self.overlay.as_ref()
    }
}
