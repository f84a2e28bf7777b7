//! The parts of an object that was uploaded in parts.

use cairn_machine::rows::manifest::{ManifestPartsRow, ManifestRow, PartOfObject};
use cairn_machine::rows::object::{Checksum, Content};
use cairn_machine::{RowError, RowSource};

use super::locate::{must, page_of};

/// One part of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectPart {
    /// The number that the client gave it.
    pub number: u16,
    /// Where in the object it begins.
    pub offset: u64,
    /// How many bytes.
    pub size: u64,
    /// The checksum that was verified when it came.
    pub checksum: Option<Checksum>,
}

/// The parts of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectParts {
    /// How many there are in all.
    pub count: u16,
    /// Some of them, in order.
    pub parts: Vec<ObjectPart>,
    /// Whether more follow.
    pub more: bool,
}

/// The parts whose numbers are greater than `after`, at most so many. `None` for an object that was not uploaded in parts.
pub fn parts<S: RowSource + ?Sized>(
    rows: &S,
    content: &Content,
    after: u16,
    limit: usize,
) -> Result<Option<ObjectParts>, RowError> {
    let Content::Manifest(manifest) = content else { return Ok(None) };
    let head = must::<ManifestRow, S>(rows, manifest)?;
    let Some(of) = head.parts else { return Ok(None) };
    let mut found = ObjectParts { count: of.count, parts: Vec::new(), more: false };
    let first = |page: &ManifestPartsRow| page.parts.first().is_some_and(|part| part.number <= after);
    let (mut number, mut page) = page_of(rows, *manifest, head.pages, first)?;
    loop {
        let mut offset = page.offset;
        for PartOfObject { number, size, checksum, .. } in page.parts {
            if number > after {
                if found.parts.len() == limit {
                    found.more = true;
                    return Ok(Some(found));
                }
                found.parts.push(ObjectPart { number, offset, size, checksum });
            }
            offset += size;
        }
        number += 1;
        if number == head.pages {
            return Ok(Some(found));
        }
        page = must::<ManifestPartsRow, S>(rows, &(*manifest, number))?;
    }
}
