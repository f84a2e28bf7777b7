//! Places of ranges, against one that walks over every byte.

use cairn_core::{DriveId, ExtentId, Geometry, SessionId, StripeId, StripeShape, WriteId};
use cairn_machine::rows::extent::{ExtentPlace, ExtentRow};
use cairn_machine::rows::manifest::{ManifestId, ManifestPageRow, ManifestRow, ManifestState};
use cairn_machine::rows::object::ExtentRange;
use cairn_machine::rows::stripe::{PlacedChunk, StripeRow};

use super::*;

pub(super) fn write(counter: u64) -> WriteId {
    WriteId { session: SessionId(3), counter }
}

fn extent(counter: u64) -> ExtentId {
    ExtentId { write: write(counter), ordinal: 0 }
}

/// Extents of these lengths, each used from its third byte on; every third one stands in its row.
pub(super) fn rows_of(lengths: &[u32]) -> (MapRows, Vec<ExtentRange>) {
    let mut rows = MapRows::default();
    let shape = StripeShape { geometry: Geometry::new(2, 1).unwrap(), chunk_bytes: 1 << 20, block_bytes: 4096 };
    let mut ranges = Vec::new();
    for (number, &length) in (0u64..).zip(lengths) {
        let whole = length + 2;
        let place = if number % 3 == 0 {
            let bytes = vec![number as u8; whole as usize];
            ExtentPlace::Here { hash: *blake3::hash(&bytes).as_bytes(), bytes: bytes.into() }
        } else {
            ExtentPlace::Stripe { stripe: StripeId(write(number / 4)), offset: number * 1000 }
        };
        let row = ExtentRow { place, length: whole, references: 1, profile: ProfileId::STANDARD };
        put(&mut rows, &extent(number), &row);
        let positions = (0..3).map(|drive| PlacedChunk { drive: DriveId(drive), write: write(number / 4) }).collect();
        put(&mut rows, &StripeId(write(number / 4)), &StripeRow { shape, positions });
        ranges.push(ExtentRange { extent: extent(number), offset: 2, length });
    }
    (rows, ranges)
}

fn manifest_of(rows: &mut MapRows, ranges: &[ExtentRange], per_page: usize) -> Content {
    manifest_called(ManifestId(write(99)), rows, ranges, per_page)
}

pub(super) fn manifest_called(id: ManifestId, rows: &mut MapRows, ranges: &[ExtentRange], per_page: usize) -> Content {
    let (mut offset, mut pages) = (0, 0);
    for page in ranges.chunks(per_page) {
        put(rows, &(id, pages), &ManifestPageRow { offset, ranges: page.to_vec() });
        offset += page.iter().map(|range| u64::from(range.length)).sum::<u64>();
        pages += 1;
    }
    put(rows, &id, &ManifestRow { state: ManifestState::Referenced(1), pages, bytes: offset, parts: None });
    Content::Manifest(id)
}

/// For each byte of the range: which extent, which byte of it.
fn bytes_of(ranges: &[ExtentRange], range: core::ops::Range<u64>) -> Vec<(u64, u64)> {
    let all = ranges.iter().flat_map(|range| {
        let bytes = range.offset..range.offset + range.length;
        bytes.map(|at| (range.extent.write.counter, u64::from(at)))
    });
    all.skip(range.start as usize).take((range.end - range.start) as usize).collect()
}

/// Locates a range piece by piece and compares each byte with what was walked over.
pub(super) fn assert_located(
    rows: &MapRows,
    content: &Content,
    ranges: &[ExtentRange],
    range: core::ops::Range<u64>,
    limit: usize,
) -> Result<(), TestCaseError> {
    let mut at = range.start;
    let mut found = Vec::new();
    while at < range.end {
        let places = locate(rows, content, at..range.end, limit).unwrap();
        prop_assert!(!places.is_empty() && places.len() <= limit);
        for place in places {
            prop_assert_eq!(place.object_offset, at);
            prop_assert!(place.length > 0);
            at += u64::from(place.length);
            let length = u64::from(place.length);
            match place.place {
                LocatedPlace::Here(bytes) => {
                    prop_assert_eq!(bytes.len() as u64, length);
                    found.extend(bytes.iter().map(|&byte| (u64::from(byte), None)));
                }
                LocatedPlace::Stripe { id, row, offset } => {
                    let number = offset / 1000;
                    prop_assert_eq!(id, StripeId(write(number / 4)));
                    prop_assert_eq!(row.positions[0].write, id.0);
                    found.extend((0..length).map(|byte| (number, Some(offset % 1000 + byte))));
                }
            }
        }
    }
    prop_assert_eq!(at, range.end.max(range.start));
    let expected = bytes_of(ranges, range);
    prop_assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        prop_assert_eq!(found.0, expected.0);
        prop_assert!(found.1.is_none_or(|at| at == expected.1));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn every_byte_has_its_place(
        lengths in prop::collection::vec(1u32..40, 1..40), a in 0u64..900, b in 0u64..900,
        limit in 1usize..5, per_page in 1usize..6, long: bool,
    ) {
        let (mut rows, ranges) = rows_of(&lengths);
        let total: u64 = lengths.iter().map(|&length| u64::from(length)).sum();
        let content = if long { manifest_of(&mut rows, &ranges, per_page) } else { Content::Ranges(ranges.clone()) };
        let (start, end) = (a.min(b).min(total), a.max(b).min(total));
        assert_located(&rows, &content, &ranges, start..end, limit)?;
    }
}

#[test]
fn what_is_not_as_it_should_be_is_an_error_and_never_other_bytes() {
    let (mut rows, ranges) = rows_of(&[10, 10]);
    let content = Content::Ranges(ranges.clone());
    let whole = rows.clone();
    let damaged = |rows: &MapRows| matches!(locate(rows, &content, 0..20, 9), Err(RowError::Damaged { .. }));
    assert!(!damaged(&rows));
    assert_eq!(locate(&rows, &content, 20..30, 9).unwrap(), []);
    rows.apply([(ExtentRow::key(&extent(1)), None)]);
    assert!(damaged(&rows));
    rows = whole.clone();
    rows.apply([(StripeRow::key(&StripeId(write(0))), None)]);
    assert!(damaged(&rows));
    rows = whole.clone();
    let mut row = ExtentRow::get(&rows, &extent(0)).unwrap().unwrap();
    let ExtentPlace::Here { bytes, .. } = &mut row.place else { unreachable!() };
    bytes[5] ^= 1;
    put(&mut rows, &extent(0), &row);
    assert!(damaged(&rows));
    rows = whole;
    let row = ExtentRow::get(&rows, &extent(1)).unwrap().unwrap();
    put(&mut rows, &extent(1), &ExtentRow { length: 11, ..row });
    assert!(damaged(&rows));
}
