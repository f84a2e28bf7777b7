//! The overlay in memory: what a node uses unless it was told to keep the order of rows in sled.
//!
//! Most rows are written once between two cuts, so a row's first version stands in the map itself; a counter that every
//! operation changes gets a list. Values are copied in: one may be a slice of a whole log entry, which must not stay in
//! memory with it.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use cairn_core::LogIndex;

use super::{Overlay, OverlayError, Overlays, Row, Version};

/// A version of a row whose key is known.
type Written = (LogIndex, Option<Bytes>);

/// The versions of one row, oldest first, as the log writes them.
#[derive(Debug)]
enum Versions {
    One(Written),
    Many(Vec<Written>),
}

impl Versions {
    fn all(&self) -> &[Written] {
        match self {
            Self::One(version) => core::slice::from_ref(version),
            Self::Many(versions) => versions,
        }
    }

    /// The newest one at an index.
    fn at(&self, at: LogIndex) -> Option<&Option<Bytes>> {
        let versions = self.all();
        // Nearly every reader is at the end of the log.
        match versions.last() {
            Some((newest, value)) if *newest <= at => Some(value),
            _ => versions[..versions.partition_point(|(index, _)| *index <= at)].last().map(|(_, value)| value),
        }
    }

    fn push(&mut self, version: Written) {
        let newest = self.all().last().map(|(index, _)| *index);
        assert!(newest.is_none_or(|newest| newest < version.0), "one log index writes a row once");
        match self {
            Self::One(first) => *self = Self::Many(vec![core::mem::replace(first, (LogIndex(0), None)), version]),
            Self::Many(versions) => versions.push(version),
        }
    }
}

/// An overlay in memory. Its order, and so everything that is read from it, is the same on every run.
#[derive(Debug, Default)]
pub struct MemoryOverlay {
    rows: RwLock<BTreeMap<Box<[u8]>, Versions>>,
}

impl Overlay for MemoryOverlay {
    fn write(&self, index: LogIndex, effects: &[Row]) -> Result<(), OverlayError> {
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in effects {
            let version = (index, value.as_deref().map(Bytes::copy_from_slice));
            match rows.get_mut(&key[..]) {
                Some(versions) => versions.push(version),
                None => drop(rows.insert(Box::from(&key[..]), Versions::One(version))),
            }
        }
        Ok(())
    }

    fn get(&self, key: &[u8], at: LogIndex) -> Result<Option<Option<Bytes>>, OverlayError> {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        Ok(rows.get(key).and_then(|versions| versions.at(at)).cloned())
    }

    fn page(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        at: LogIndex,
        limit: usize,
        out: &mut Vec<Row>,
    ) -> Result<(), OverlayError> {
        if to.is_some_and(|to| to <= from) {
            return Ok(());
        }
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        let range = rows.range::<[u8], _>((Bound::Included(from), to.map_or(Bound::Unbounded, Bound::Excluded)));
        let newest = range.filter_map(|(key, versions)| Some((Bytes::copy_from_slice(key), versions.at(at)?.clone())));
        out.extend(newest.take(limit));
        Ok(())
    }

    fn versions(
        &self,
        after: Option<(&[u8], LogIndex)>,
        limit: usize,
        out: &mut Vec<Version>,
    ) -> Result<(), OverlayError> {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        let from = after.map_or(Bound::Unbounded, |(key, _)| Bound::Included(key));
        let all = rows.range::<[u8], _>((from, Bound::Unbounded)).flat_map(|(key, versions)| {
            let versions = versions.all().iter().rev();
            versions.map(move |(index, value)| (&key[..], *index, value))
        });
        let behind = all.skip_while(|(key, index, _)| after.is_some_and(|(k, i)| *key == k && *index >= i));
        out.extend(behind.take(limit).map(|(key, index, value)| Version {
            key: Bytes::copy_from_slice(key),
            index,
            value: value.clone(),
        }));
        Ok(())
    }
}

/// Makes overlays in memory.
#[derive(Debug, Clone, Copy, Default)]
pub struct MemoryOverlays;

impl Overlays for MemoryOverlays {
    fn fresh(&self) -> Result<Arc<dyn Overlay>, OverlayError> {
        Ok(Arc::new(MemoryOverlay::default()))
    }
}
