//! Round trips, and what is refused.

use proptest::prelude::*;

use super::*;
use crate::filter::{FilterBuilder, KeyHash};

fn header() -> Header {
    Header { id: RunId(7), after: LogIndex(3), index: LogIndex(9) }
}

fn footer(separators: &[&[u8]]) -> (Vec<u8>, u64) {
    let mut builder = FooterBuilder::default();
    for separator in separators {
        builder.add_block(&[1; 100], separator);
    }
    let mut filter = FilterBuilder::for_keys(10);
    filter.add(KeyHash::of(b"a"));
    (builder.finish(5, 2, &filter.finish()), HEADER_BYTES as u64 + 100 * separators.len() as u64)
}

#[test]
fn header_and_trailer_survive() {
    assert_eq!(Header::decode(&header().encode()).unwrap(), header());
    let trailer = Trailer { footer_at: 500, footer_bytes: 100, hash: RunHash([3; 32]) };
    assert_eq!(Trailer::decode(&trailer.encode(), 664).unwrap(), trailer);
    assert!(matches!(Trailer::decode(&trailer.encode(), 663), Err(RunRefusal::Damaged(_))));
}

#[test]
fn foreign_newer_and_flipped_headers_are_told_apart() {
    let mut foreign = header().encode();
    foreign[0] = b'X';
    assert!(matches!(Header::decode(&foreign), Err(RunRefusal::Foreign(_))));

    let mut newer = header().encode();
    newer[9] = 2;
    let refusal = Header::decode(&newer).unwrap_err();
    assert!(matches!(refusal, RunRefusal::Newer { found: 2 }));
    assert!(refusal.to_string().contains("version 2") && refusal.to_string().contains("up to 1"), "{refusal}");

    for bit in 80..HEADER_BYTES * 8 {
        let mut flipped = header().encode();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(Header::decode(&flipped), Err(RunRefusal::Damaged(_))), "bit {bit}");
    }
}

#[test]
fn a_footer_is_searched_by_its_separators() {
    let (bytes, end) = footer(&[b"", b"c", b"mm"]);
    let footer = Footer::decode(Bytes::from(bytes), end).unwrap();
    assert_eq!((footer.entries, footer.removals, footer.blocks()), (5, 2, 3));
    for (key, block) in [("a", 0), ("bzz", 0), ("c", 1), ("m", 1), ("mm", 2), ("z", 2)] {
        assert_eq!(footer.block_for(key.as_bytes()), Some(block), "{key}");
    }
    assert_eq!(footer.place(2), 264..364);
    assert_eq!(footer.hash(1), block_hash(&[1; 100]));
    assert_eq!(footer.checksum(1), block_checksum(&[1; 100]));
    assert!(footer.filter.may_contain(KeyHash::of(b"a")));
}

#[test]
fn a_footer_that_is_cut_off_too_long_or_misplaced_is_refused() {
    let (bytes, end) = footer(&[b"", b"c", b"mm"]);
    for length in 0..bytes.len() {
        assert!(Footer::decode(Bytes::copy_from_slice(&bytes[..length]), end).is_err(), "{length}");
    }
    let mut longer = bytes.clone();
    longer.extend_from_slice(&[0; 64]);
    assert!(Footer::decode(Bytes::from(longer), end).is_err());
    assert!(Footer::decode(Bytes::from(bytes), end + 1).is_err());
}

proptest! {
    #[test]
    fn damaged_footers_never_panic(at in 0usize..300, byte: u8) {
        let (mut bytes, end) = footer(&[b"", b"c", b"mm"]);
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(footer) = Footer::decode(Bytes::from(bytes), end) {
            let _ = footer.block_for(b"d").map(|block| (footer.place(block), footer.hash(block).len()));
        }
    }

    #[test]
    fn a_separator_separates(a: Vec<u8>, b: Vec<u8>) {
        prop_assume!(a != b);
        let (before, first) = if a < b { (&a, &b) } else { (&b, &a) };
        let between = separator(before, first);
        prop_assert!(before.as_slice() < between && between <= first.as_slice());
    }
}
