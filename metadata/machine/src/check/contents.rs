//! What versions and manifests refer to is there, is counted, and nothing else is.

use std::collections::BTreeMap;

use cairn_core::units::{MANIFEST_PAGE_PARTS_MAX, MANIFEST_PAGE_RANGES_MAX, VERSION_RANGES_MAX};
use cairn_core::{ExtentId, StripeId};

use super::Loaded;
use crate::rows::extent::ExtentPlace;
use crate::rows::manifest::{ManifestId, ManifestRow, ManifestState, PartOfObject};
use crate::rows::object::{Content, ExtentRange};

fn ranges(rows: &Loaded) -> impl Iterator<Item = &ExtentRange> {
    let direct = rows.contents().filter_map(|content| match content {
        Content::Ranges(ranges) => Some(ranges),
        Content::Manifest(_) => None,
    });
    direct.chain(rows.pages.values().map(|page| &page.ranges)).flatten()
}

/// Each range lies inside an extent that is there; the ranges of a version are as long as it.
pub(super) fn ranges_lie_in_extents(rows: &Loaded, found: &mut Vec<String>) {
    for range in ranges(rows) {
        match rows.extents.get(&range.extent) {
            None => found.push(format!("{:?} is referred to and not there", range.extent)),
            Some(row) if range.offset.checked_add(range.length).is_none_or(|end| end > row.length) => {
                found.push(format!("a range of {:?} lies outside it", range.extent));
            }
            Some(_) => {}
        }
    }
    for content in rows.contents() {
        if let Content::Ranges(ranges) = content
            && ranges.len() > VERSION_RANGES_MAX
        {
            found.push(format!("{} ranges where {VERSION_RANGES_MAX} may be", ranges.len()));
        }
    }
    for (_, row) in rows.versions() {
        let Some((attributes, content)) = row.object() else { continue };
        let bytes = rows.bytes_of(content);
        if bytes != attributes.size {
            found.push(format!("version {} of {} bytes refers to {bytes}", row.version, attributes.size));
        }
    }
}

/// Each extent lies inside a stripe that is there, or has its bytes and their hash.
pub(super) fn extents_lie_in_stripes(rows: &Loaded, found: &mut Vec<String>) {
    for (id, extent) in &rows.extents {
        let right = match &extent.place {
            ExtentPlace::Here { bytes, hash } => {
                bytes.len() == extent.length as usize && blake3::hash(bytes).as_bytes() == hash
            }
            ExtentPlace::Stripe { stripe, offset } => rows
                .stripes
                .get(stripe)
                .is_some_and(|stripe| offset + u64::from(extent.length) <= stripe.shape.data_bytes()),
        };
        if !right {
            found.push(format!("{id:?} is not where its row says: {:?}", extent.place));
        }
    }
}

/// Each extent counts the ranges that name it, each manifest what refers to it.
pub(super) fn references_balance(rows: &Loaded, found: &mut Vec<String>) {
    let mut extents: BTreeMap<ExtentId, u32> = BTreeMap::new();
    for range in ranges(rows) {
        *extents.entry(range.extent).or_default() += 1;
    }
    for (id, extent) in &rows.extents {
        let counted = extents.get(id).copied().unwrap_or(0);
        if counted != extent.references || counted == 0 {
            found.push(format!("{id:?} counts {} references, and there are {counted}", extent.references));
        }
    }
    let mut manifests: BTreeMap<ManifestId, u32> = BTreeMap::new();
    for content in rows.contents() {
        if let Content::Manifest(id) = content {
            *manifests.entry(*id).or_default() += 1;
        }
    }
    for (id, manifest) in &rows.manifests {
        let counted = manifests.remove(id).unwrap_or(0);
        let right = match manifest.state {
            ManifestState::Referenced(references) => counted == references && counted > 0,
            ManifestState::Pending(_) | ManifestState::Retiring => counted == 0,
        };
        if !right {
            found.push(format!("manifest {id:?} is {:?}, and {counted} things refer to it", manifest.state));
        }
    }
    found.extend(manifests.keys().map(|id| format!("manifest {id:?} is referred to and not there")));
}

/// Each stripe has a row that counts the extents which live in it, and at least one does.
pub(super) fn stripe_lives_balance(rows: &Loaded, found: &mut Vec<String>) {
    let mut counted: BTreeMap<StripeId, (u32, u64)> = BTreeMap::new();
    for extent in rows.extents.values() {
        if let ExtentPlace::Stripe { stripe, .. } = extent.place {
            let count = counted.entry(stripe).or_default();
            *count = (count.0 + 1, count.1 + u64::from(extent.length));
        }
    }
    for id in rows.stripes.keys() {
        let count = counted.get(id).copied().unwrap_or_default();
        let says = rows.lives.get(id).map(|live| (live.extents, live.bytes));
        if says != Some(count) || count.0 == 0 {
            found.push(format!("{id:?} counts {says:?} living extents and bytes, and there are {count:?}"));
        }
    }
    for id in rows.lives.keys().filter(|id| !rows.stripes.contains_key(id)) {
        found.push(format!("{id:?} lives and is not there"));
    }
}

/// A page of either kind, as far as it must fit the others.
struct Page {
    offset: u64,
    bytes: u64,
    names: usize,
    names_max: usize,
}

impl Page {
    fn of(rows: &Loaded, id: ManifestId, number: u32, of_parts: bool) -> Option<Self> {
        if of_parts {
            let page = rows.parts_pages.get(&(id, number))?;
            let bytes = page.parts.iter().map(|part| part.size).sum();
            Some(Self { offset: page.offset, bytes, names: page.parts.len(), names_max: MANIFEST_PAGE_PARTS_MAX })
        } else {
            let page = rows.pages.get(&(id, number))?;
            let bytes = page.ranges.iter().map(|range| u64::from(range.length)).sum();
            Some(Self { offset: page.offset, bytes, names: page.ranges.len(), names_max: MANIFEST_PAGE_RANGES_MAX })
        }
    }
}

/// A manifest has all its pages, in order; a page has its manifest; what is retiring has lost only its first pages.
pub(super) fn manifests_are_whole(rows: &Loaded, found: &mut Vec<String>) {
    for (id, manifest) in &rows.manifests {
        let retirement = rows.retirements.get(id);
        if (manifest.state == ManifestState::Retiring) != retirement.is_some() {
            found.push(format!("manifest {id:?} is {:?}, its retirement {retirement:?}", manifest.state));
        }
        let first = retirement.map_or(0, |retirement| retirement.next_page);
        let mut end = None;
        for number in first..manifest.pages {
            let Some(page) = Page::of(rows, *id, number, manifest.parts.is_some()) else {
                found.push(format!("manifest {id:?} has no page {number}"));
                continue;
            };
            let follows = end.map_or(first > 0 || retirement.is_some() || page.offset == 0, |end| page.offset == end);
            if !follows || page.names == 0 || page.names > page.names_max {
                found.push(format!("page {number} of manifest {id:?} does not follow, or names too much"));
            }
            end = Some(page.offset + page.bytes);
        }
        if end != Some(manifest.bytes) {
            found.push(format!("manifest {id:?} of {} bytes has pages up to {end:?}", manifest.bytes));
        }
        parts_are_counted(rows, *id, manifest, found);
    }
    let pages = rows.pages.keys().map(|key| (key, false));
    for ((id, page), of_parts) in pages.chain(rows.parts_pages.keys().map(|key| (key, true))) {
        let reachable = rows.manifests.get(id).is_some_and(|manifest| {
            manifest.parts.is_some() == of_parts
                && (rows.retirements.get(id).map_or(0, |retirement| retirement.next_page)..manifest.pages)
                    .contains(page)
        });
        if !reachable {
            found.push(format!("page {page} of manifest {id:?} is reached by nothing"));
        }
    }
    for id in rows.retirements.keys().filter(|id| !rows.manifests.contains_key(id)) {
        found.push(format!("manifest {id:?} is retiring and not there"));
    }
}

/// A manifest of parts counts them; their numbers rise; each is as long as what it names, and that is extents.
fn parts_are_counted(rows: &Loaded, id: ManifestId, manifest: &ManifestRow, found: &mut Vec<String>) {
    let Some(of) = manifest.parts else { return };
    let pages = rows.parts_pages.range((id, 0)..(id, u32::MAX));
    let parts: Vec<&PartOfObject> = pages.flat_map(|(_, page)| &page.parts).collect();
    let last = parts.last().map(|part| part.number);
    let counted = manifest.state == ManifestState::Retiring || parts.len() == usize::from(of.count);
    if !counted || last != Some(of.last) || !parts.is_sorted_by(|a, b| a.number < b.number) {
        found.push(format!("manifest {id:?} says {of:?}, and has {} parts up to {last:?}", parts.len()));
    }
    for part in parts {
        let bytes = rows.bytes_of(&part.content);
        if bytes != part.size {
            found.push(format!("part {} of {id:?} has {} bytes and refers to {bytes}", part.number, part.size));
        }
        if let Content::Manifest(inner) = part.content
            && rows.manifests.get(&inner).is_some_and(|inner| inner.parts.is_some())
        {
            found.push(format!("part {} of {id:?} is made of parts", part.number));
        }
    }
}
