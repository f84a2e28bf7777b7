//! Objects that were uploaded in parts: which parts there are, and where their bytes are, against walks over everything.

use cairn_machine::rows::manifest::{
    ManifestId, ManifestPageRow, ManifestPartsRow, ManifestRow, ManifestState, PartOfObject, PartsOf,
};
use cairn_machine::rows::object::{Checksum, ChecksumKind, ExtentRange};
use cairn_machine::rows::upload::UploadId;

use super::locate::{assert_located, manifest_called, rows_of, write};
use super::*;

/// A part of these tests: how far its number is above the last one, the lengths of its extents, and, where it has a
/// manifest of its own, how many extents a page of that names.
type Shape = (u16, Vec<u32>, Option<usize>);

fn shapes() -> impl Strategy<Value = Vec<Shape>> {
    let part = (1u16..4, prop::collection::vec(1u32..30, 0..8), prop::option::of(1usize..4));
    prop::collection::vec(part, 1..14)
}

struct Uploaded {
    rows: MapRows,
    content: Content,
    ranges: Vec<ExtentRange>,
    parts: Vec<ObjectPart>,
}

/// An object of such parts, so many on a page.
fn uploaded(shapes: &[Shape], per_page: usize) -> Uploaded {
    let lengths: Vec<u32> = shapes.iter().flat_map(|(_, lengths, _)| lengths.clone()).collect();
    let (mut rows, ranges) = rows_of(&lengths);
    let (mut left, mut number, mut offset) = (&ranges[..], 0, 0);
    let (mut pages, mut parts) = (Vec::new(), Vec::new());
    for (nth, (step, lengths, own)) in (0u64..).zip(shapes) {
        let (own_ranges, rest) = left.split_at(lengths.len());
        left = rest;
        number += step;
        let size = lengths.iter().map(|&length| u64::from(length)).sum();
        let content = match own {
            // A manifest has at least one page, and that one extent.
            Some(per_page) if size > 0 => {
                manifest_called(ManifestId(write(1000 + nth)), &mut rows, own_ranges, *per_page)
            }
            _ => Content::Ranges(own_ranges.to_vec()),
        };
        let digest = vec![number as u8; 4];
        let checksum = (number % 2 == 0).then_some(Checksum { kind: ChecksumKind::Crc32c, digest, parts: None });
        parts.push(ObjectPart { number, offset, size, checksum: checksum.clone() });
        pages.push(PartOfObject { number, size, checksum, content });
        offset += size;
    }
    let id = ManifestId(write(99));
    let mut begins = 0;
    for (page, parts) in (0..).zip(pages.chunks(per_page)) {
        put(&mut rows, &(id, page), &ManifestPartsRow { offset: begins, parts: parts.to_vec() });
        begins += parts.iter().map(|part| part.size).sum::<u64>();
    }
    let of = PartsOf { upload: UploadId(at(1)), count: parts.len() as u16, last: number, since: at(2) };
    let count = pages.chunks(per_page).len() as u32;
    let head = ManifestRow { state: ManifestState::Referenced(1), pages: count, bytes: offset, parts: Some(of) };
    put(&mut rows, &id, &head);
    Uploaded { rows, content: Content::Manifest(id), ranges, parts }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn every_byte_of_every_part_has_its_place(
        shapes in shapes(), per_page in 1usize..5, a in 0u64..2000, b in 0u64..2000, limit in 1usize..5,
    ) {
        let object = uploaded(&shapes, per_page);
        let total: u64 = object.parts.iter().map(|part| part.size).sum();
        let (start, end) = (a.min(b).min(total), a.max(b).min(total));
        assert_located(&object.rows, &object.content, &object.ranges, start..end, limit)?;
        // Exactly the parts, and one byte on each side of where they meet.
        for part in object.parts.iter().filter(|part| part.size > 0) {
            let (begin, end) = (part.offset, part.offset + part.size);
            for range in [begin..end, begin..begin + 1, end - 1..(end + 1).min(total)] {
                assert_located(&object.rows, &object.content, &object.ranges, range, limit)?;
            }
        }
        prop_assert_eq!(locate(&object.rows, &object.content, total..total + 9, 9).unwrap(), []);
    }

    #[test]
    fn all_pages_of_parts_together_are_the_parts(
        shapes in shapes(), per_page in 1usize..5, limit in 1usize..5, start in 0u16..50,
    ) {
        let object = uploaded(&shapes, per_page);
        let (mut after, mut all) = (start, Vec::new());
        loop {
            let page = parts(&object.rows, &object.content, after, limit).unwrap().unwrap();
            prop_assert_eq!(page.count as usize, object.parts.len());
            prop_assert!(page.parts.len() <= limit);
            prop_assert!(!page.more || page.parts.len() == limit);
            let more = page.more;
            all.extend(page.parts);
            if !more {
                break;
            }
            after = all.last().unwrap().number;
        }
        let later: Vec<ObjectPart> = object.parts.into_iter().filter(|part| part.number > start).collect();
        prop_assert_eq!(all, later);
    }
}

#[test]
fn what_was_not_uploaded_in_parts_has_none() {
    let (mut rows, ranges) = rows_of(&[5, 6]);
    assert_eq!(parts(&rows, &Content::Ranges(ranges.clone()), 0, 9).unwrap(), None);
    let content = manifest_called(ManifestId(write(99)), &mut rows, &ranges, 1);
    assert_eq!(parts(&rows, &content, 0, 9).unwrap(), None);
}

#[test]
fn a_page_that_is_not_there_is_damage() {
    let shapes: Vec<Shape> = (0..6).map(|_| (1, vec![3, 4], Some(1))).collect();
    let mut object = uploaded(&shapes, 2);
    let Content::Manifest(id) = object.content else { unreachable!() };
    let whole = object.rows.clone();
    object.rows.apply([(ManifestPartsRow::key(&(id, 1)), None)]);
    assert!(matches!(parts(&object.rows, &object.content, 0, 99), Err(RowError::Damaged { .. })));
    assert!(matches!(locate(&object.rows, &object.content, 0..42, 99), Err(RowError::Damaged { .. })));
    let mut rows = whole.clone();
    rows.apply([(ManifestPageRow::key(&(ManifestId(write(1002)), 0)), None)]);
    assert!(matches!(locate(&rows, &object.content, 14..15, 99), Err(RowError::Damaged { .. })));
    assert_eq!(locate(&rows, &object.content, 0..14, 99).unwrap().len(), 4, "what is whole is read");
    let mut rows = whole;
    rows.apply([(ManifestRow::key(&id), None)]);
    assert!(matches!(parts(&rows, &object.content, 0, 99), Err(RowError::Damaged { .. })));
}
