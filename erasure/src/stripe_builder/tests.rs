//! Extents come back out of a sealed stripe, wherever its chunks end.

use cairn_core::stripe::{LARGE_BLOCK_BYTES, PACKED_BLOCK_BYTES};
use cairn_core::{LogIndex, SessionId};
use proptest::prelude::*;

use super::*;
use crate::testing::bytes_of;
use crate::toc::read_toc;

const MIB: usize = 1024 * 1024;

fn write(counter: u64) -> WriteId {
    WriteId { session: SessionId(3), counter }
}

fn builder(k: u8, m: u8, block_bytes: u32) -> StripeBuilder {
    StripeBuilder::new(StripeId(write(1)), Geometry::new(k, m).unwrap(), block_bytes, WallTime(5))
}

fn extent(ordinal: u16, data: Vec<Bytes>) -> StripeExtent {
    StripeExtent {
        id: ExtentId { write: write(1), ordinal },
        bucket: BucketId(77),
        key: ObjectKey::new(format!("key/{ordinal}")).unwrap(),
        version: (ordinal % 2 == 1).then_some(VersionId { index: LogIndex(9), ordinal }),
        part: None,
        object_offset: 4096 * u64::from(ordinal),
        data,
    }
}

/// The stripe's data, put together from its data chunks.
fn data_of(sealed: &SealedStripe) -> Vec<u8> {
    let chunks = &sealed.chunks[..sealed.shape.geometry.k()];
    chunks.iter().flat_map(|chunk| chunk.body.concat()).collect()
}

fn check(sealed: &SealedStripe, extents: &[StripeExtent]) {
    let shape = sealed.shape;
    assert_eq!(sealed.chunks.len(), shape.geometry.positions());
    for (position, chunk) in sealed.chunks.iter().enumerate() {
        let name = ChunkName { stripe: sealed.id, position: position as u8, write: sealed.id.0 };
        assert_eq!(chunk.head.name(), &name);
        assert_eq!((chunk.head.length(), chunk.head.block_bytes()), (shape.chunk_bytes, shape.block_bytes));
        assert_eq!(chunk.head.geometry(), shape.geometry);
        chunk.head.verify(0, &chunk.body.concat()).unwrap();
    }
    let data = data_of(sealed);
    assert_eq!(data.len() as u64, shape.data_bytes());
    let toc = read_toc(sealed.id, &data).unwrap();
    assert_eq!((toc.len(), sealed.extents.len()), (extents.len(), extents.len()));
    let mut end = 0;
    for ((extent, place), entry) in extents.iter().zip(&sealed.extents).zip(&toc) {
        assert_eq!(place.offset, end, "extents follow one another");
        end = place.offset + place.length;
        assert!(data[place.offset as usize..end as usize] == extent.data.concat());
        assert_eq!((place.id, place.length), (extent.id, extent.length()));
        let told = TocEntry {
            extent: extent.id,
            bucket: extent.bucket,
            key: extent.key.clone(),
            version: extent.version,
            part: extent.part,
            object_offset: extent.object_offset,
            offset: place.offset,
            length: place.length,
        };
        assert_eq!(entry, &told);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn extents_of_any_size_lie_where_the_stripe_says(
        k in 1u8..9,
        m in 0u8..4,
        packed: bool,
        lengths in proptest::collection::vec(prop_oneof![1..200usize, 4000..5000usize, 60_000..140_000usize], 1..20),
        pieces in 1..5usize,
    ) {
        let mut builder = builder(k, m, if packed { PACKED_BLOCK_BYTES } else { LARGE_BLOCK_BYTES });
        let extents: Vec<StripeExtent> = lengths.iter().enumerate().map(|(ordinal, &length)| {
            let bytes = bytes_of(ordinal as u64, length);
            let parts = (0..pieces).map(|at| bytes.slice(at * length / pieces..(at + 1) * length / pieces)).collect();
            extent(ordinal as u16, parts)
        }).collect();
        for extent in &extents {
            prop_assert!(builder.takes(extent));
            builder.push(extent.clone());
        }
        check(&builder.seal(), &extents);
    }
}

#[test]
fn a_large_extent_is_not_copied() {
    let whole = bytes_of(1, 16 * MIB);
    for k in [1, 2, 4, 8] {
        let large = extent(0, vec![whole.clone()]);
        let mut builder = builder(k, 2, LARGE_BLOCK_BYTES);
        builder.push(large.clone());
        let sealed = builder.seal();
        check(&sealed, &[large]);
        let chunk_bytes = sealed.shape.chunk_bytes as usize;
        for (position, chunk) in sealed.chunks[..k as usize].iter().enumerate() {
            assert_eq!(chunk.body[0].as_ptr(), whole[position * chunk_bytes..].as_ptr());
            assert_eq!(chunk.body.len(), 1 + usize::from(position == k as usize - 1), "only the last has a tail");
        }
        assert!(sealed.shape.data_bytes() - (16 * MIB as u64) < 1024, "and nothing is wasted");
    }
}

#[test]
fn packed_extents_of_whole_blocks_begin_where_blocks_do() {
    let extents: Vec<StripeExtent> = (0..64).map(|at| extent(at, vec![bytes_of(at.into(), 4096)])).collect();
    let mut builder = builder(4, 2, PACKED_BLOCK_BYTES);
    extents.iter().for_each(|extent| builder.push(extent.clone()));
    let sealed = builder.seal();
    check(&sealed, &extents);
    for place in &sealed.extents {
        let runs: Vec<_> = sealed.shape.runs(place.offset..place.offset + place.length).collect();
        assert_eq!(runs.len(), 1, "a small read touches one drive");
        assert_eq!(runs[0].range.start % PACKED_BLOCK_BYTES, 0, "and one block");
    }
    assert!(sealed.chunks.iter().all(|chunk| chunk.body.len() == 1), "many small slices are gathered");
}

#[test]
fn a_stripe_takes_what_it_has_room_for() {
    let small = |ordinal: u16| extent(ordinal, vec![Bytes::from_static(b"x")]);
    let mut full = builder(2, 1, PACKED_BLOCK_BYTES);
    for ordinal in 0..STRIPE_EXTENTS_MAX as u16 {
        assert!(full.takes(&small(ordinal)));
        full.push(small(ordinal));
    }
    assert!(!full.takes(&small(2000)), "no more extents than a stripe may have");
    assert_eq!((full.len(), full.extent_bytes()), (STRIPE_EXTENTS_MAX, STRIPE_EXTENTS_MAX as u64));
    full.seal();

    let large = extent(0, vec![bytes_of(1, 16 * MIB)]);
    let mut narrow = builder(1, 1, LARGE_BLOCK_BYTES);
    assert!(narrow.takes(&large), "the largest extent fits every geometry");
    narrow.push(large);
    let half = extent(1, vec![bytes_of(2, 8 * MIB)]);
    assert!(!narrow.takes(&half), "no chunk is longer than chunks may be");
    narrow.seal();
}

#[test]
fn another_attempt_has_the_same_bytes_under_its_own_checksums() {
    let mut builder = builder(2, 1, PACKED_BLOCK_BYTES);
    builder.push(extent(0, vec![bytes_of(1, 10_000)]));
    let sealed = builder.seal();
    let again = sealed.renamed(2, write(99));
    assert_eq!(again.head.name().write, write(99));
    assert_eq!(again.body, sealed.chunks[2].body);
    assert_ne!(again.head.hashes(), sealed.chunks[2].head.hashes());
    again.head.verify(0, &again.body.concat()).unwrap();
}

#[test]
#[should_panic(expected = "at least one extent")]
fn an_empty_stripe_is_not_sealed() {
    builder(2, 1, PACKED_BLOCK_BYTES).seal();
}
