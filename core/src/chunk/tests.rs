//! A chunk's checksums find every kind of wrong byte, and its head refuses what is not one.

use proptest::prelude::*;

use super::*;

fn name(position: u8, counter: u64) -> ChunkName {
    let write = WriteId { session: SessionId(7), counter };
    ChunkName { stripe: StripeId(write), position, write }
}

fn geometry() -> Geometry {
    Geometry::new(4, 2).unwrap()
}

fn seal(name: ChunkName, body: &[u8]) -> ChunkHead {
    ChunkHead::seal(name, geometry(), 4096, WallTime(5), &[Bytes::copy_from_slice(body)])
}

proptest! {
    #[test]
    fn a_head_survives_its_encoding(length in 0usize..20_000, cut in 1usize..60) {
        let body = vec![3; length];
        let head = seal(name(1, 2), &body);
        let bytes = head.encode();
        prop_assert_eq!(&ChunkHead::decode(&bytes).unwrap(), &head);
        prop_assert!(ChunkHead::decode(&bytes.slice(..bytes.len() - cut.min(bytes.len()))).is_err());
    }

    #[test]
    fn parts_hash_as_the_whole(length in 1usize..20_000, at in 0usize..20_000) {
        let body: Vec<u8> = (0..length).map(|i| i as u8).collect();
        let at = at.min(length);
        let whole = seal(name(0, 1), &body);
        let parts = [Bytes::copy_from_slice(&body[..at]), Bytes::copy_from_slice(&body[at..])];
        prop_assert_eq!(ChunkHead::seal(name(0, 1), geometry(), 4096, WallTime(5), &parts), whole);
    }

    #[test]
    fn any_flipped_bit_is_found(length in 1usize..9_000, bit in 0usize..72_000) {
        let mut body = vec![0xA5; length];
        let head = seal(name(0, 1), &body);
        prop_assert!(head.verify(0, &body).is_ok());
        let bit = bit % (length * 8);
        body[bit / 8] ^= 1 << (bit % 8);
        let bad = head.verify(0, &body).unwrap_err();
        prop_assert_eq!(bad.block as usize, bit / 8 / 4096);
    }
}

#[test]
fn bytes_of_another_place_are_found() {
    let body = vec![9; 8192];
    let right = seal(name(0, 1), &body);
    for wrong in [name(1, 1), name(0, 2)] {
        assert_ne!(seal(wrong, &body).hashes(), right.hashes(), "{wrong}");
    }
    // The two blocks are equal, their hashes are not: a block that lands on its neighbour's place is found.
    assert_ne!(right.hashes()[..BLOCK_HASH_BYTES], right.hashes()[BLOCK_HASH_BYTES..]);
    let slice = ChunkSlice::new(Arc::new(right), 10..20, Bytes::from(body[..4096].to_vec()));
    assert_eq!(slice.clone().verified(&name(0, 1)).unwrap(), vec![9; 10]);
    assert!(slice.verified(&name(0, 2)).is_err(), "a whole chunk under another's name");
}

#[test]
fn an_empty_range_has_nothing_to_verify_wherever_it_stands() {
    let head = Arc::new(seal(name(0, 1), &[9; 5000]));
    for at in [0, 1, 4096, 5000] {
        let slice = ChunkSlice::new(head.clone(), at..at, Bytes::new());
        assert!(slice.verified(&name(0, 1)).unwrap().is_empty());
    }
}

#[test]
fn a_newer_head_is_refused_by_name() {
    let mut bytes = seal(name(0, 1), b"x").encode().to_vec();
    bytes[0] = CHUNK_HEAD_VERSION + 1;
    assert_eq!(ChunkHead::decode(&Bytes::from(bytes)), Err(InvalidHead::Newer { found: CHUNK_HEAD_VERSION + 1 }));
}
