//! The overlay's twin in a BTreeMap: for simulations, where nothing may touch a real disk, and for comparison.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use cairn_core::LogIndex;

use super::{Overlay, OverlayError, Overlays, Row, Version};

/// The versions of one row, oldest first, as the log writes them.
type Versions = Vec<(LogIndex, Option<Bytes>)>;

/// An overlay in memory. Its order, and so everything that is read from it, is the same on every run.
#[derive(Debug, Default)]
pub struct MemoryOverlay {
    rows: RwLock<BTreeMap<Bytes, Versions>>,
}

/// How many of a row's versions are at or before an index.
fn visible(versions: &Versions, at: LogIndex) -> usize {
    versions.partition_point(|(index, _)| *index <= at)
}

impl Overlay for MemoryOverlay {
    fn insert(&self, key: &[u8], index: LogIndex, value: Option<&Bytes>) -> Result<(), OverlayError> {
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        let version = (index, value.cloned());
        if let Some(versions) = rows.get_mut(key) {
            assert!(versions.last().is_none_or(|(newest, _)| *newest < index), "one log index writes a row once");
            versions.push(version);
        } else {
            rows.insert(Bytes::copy_from_slice(key), vec![version]);
        }
        Ok(())
    }

    fn get(&self, key: &[u8], at: LogIndex) -> Result<Option<Option<Bytes>>, OverlayError> {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        let Some(versions) = rows.get(key) else { return Ok(None) };
        Ok(visible(versions, at).checked_sub(1).map(|newest| versions[newest].1.clone()))
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
        let newest = range.filter_map(|(key, versions)| {
            let newest = visible(versions, at).checked_sub(1)?;
            Some((key.clone(), versions[newest].1.clone()))
        });
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
            let versions = versions.iter().rev();
            versions.map(move |(index, value)| (key, *index, value))
        });
        let behind = all.skip_while(|(key, index, _)| after.is_some_and(|(k, i)| key.as_ref() == k && *index >= i));
        out.extend(behind.take(limit).map(|(key, index, value)| Version {
            key: key.clone(),
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
