//! A table of contents survives its encoding, and nothing else passes for one.

use cairn_core::{LogIndex, SessionId, WriteId};
use proptest::prelude::*;

use super::*;

fn stripe(counter: u64) -> StripeId {
    StripeId(WriteId { session: SessionId(7), counter })
}

fn entry(number: u64, key: &str, offset: u64, length: u64) -> TocEntry {
    let write = WriteId { session: SessionId(u64::MAX - number), counter: number };
    TocEntry {
        extent: ExtentId { write, ordinal: number as u16 },
        bucket: BucketId(number),
        key: ObjectKey::new(key).unwrap(),
        version: number.is_multiple_of(2).then_some(VersionId { index: LogIndex(u64::MAX), ordinal: u16::MAX }),
        part: number.is_multiple_of(3).then_some(10_000),
        object_offset: u64::MAX,
        offset,
        length,
    }
}

fn written(stripe: StripeId, entries: &[TocEntry]) -> Vec<u8> {
    let mut toc = TocWriter::default();
    entries.iter().for_each(|entry| toc.push(entry));
    let mut out = Vec::new();
    toc.finish(stripe, &mut out);
    assert_eq!(out.len(), toc.bytes());
    out
}

proptest! {
    #[test]
    fn what_was_written_is_read(keys in proptest::collection::vec("[a-zä/]{1,300}", 0..40), before in 0usize..5000) {
        let mut offset = 0;
        let entries: Vec<TocEntry> = keys.iter().enumerate().map(|(number, key)| {
            let entry = entry(number as u64, key, offset, 10 * number as u64);
            offset += 10 * number as u64;
            entry
        }).collect();
        let toc = written(stripe(1), &entries);
        let mut tail = vec![0xee; before];
        tail.extend_from_slice(&toc);
        prop_assert_eq!(read_toc(stripe(1), &tail).unwrap(), entries);
        for cut in [0, TRAILER_BYTES - 1, TRAILER_BYTES, toc.len().saturating_sub(1)] {
            if cut >= toc.len() {
                continue;
            }
            let bytes = if cut < TRAILER_BYTES { TRAILER_BYTES } else { toc.len() };
            prop_assert_eq!(read_toc(stripe(1), &toc[toc.len() - cut..]), Err(InvalidToc::Longer { bytes }));
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_is_found(at in 0usize..10_000, bit in 0u8..8) {
        let mut toc = written(stripe(1), &[entry(0, "a", 0, 5), entry(1, "b/c", 5, 9)]);
        let at = at % toc.len();
        toc[at] ^= 1 << bit;
        prop_assert!(read_toc(stripe(1), &toc).is_err());
    }

    #[test]
    fn foreign_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(read_toc(stripe(1), &bytes).is_err());
    }
}

#[test]
fn the_largest_table_is_within_its_bounds() {
    let key = "k".repeat(OBJECT_KEY_BYTES_MAX);
    let entries: Vec<TocEntry> = (0..STRIPE_EXTENTS_MAX as u64).map(|n| entry(6 * n, &key, n, 1)).collect();
    let toc = written(stripe(1), &entries);
    assert!(toc.len() <= ENTRIES_BYTES_MAX + TRAILER_BYTES);
    assert_eq!(read_toc(stripe(1), &toc).unwrap().len(), STRIPE_EXTENTS_MAX);
}

/// The same trailer with another content and a checksum that fits: what a later or a broken release could have written.
fn reseal(mut toc: Vec<u8>, change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let at = toc.len() - TRAILER_BYTES;
    let (entries, trailer) = toc.split_at_mut(at);
    change(trailer);
    let mut whole = [0; TRAILER_BYTES];
    whole.copy_from_slice(trailer);
    trailer[CHECKSUM_AT..].copy_from_slice(&checksum(entries, &whole));
    toc
}

#[test]
fn newer_other_and_senseless_tables_are_refused() {
    let toc = written(stripe(1), &[entry(0, "a", 0, 5), entry(1, "b", 5, 5)]);
    let newer = reseal(toc.clone(), |trailer| trailer[8] = 2);
    let refusal = read_toc(stripe(1), &newer).unwrap_err();
    assert_eq!(refusal, InvalidToc::Newer { found: 2 });
    assert!(refusal.to_string().contains('2') && refusal.to_string().contains('1'));
    assert_eq!(read_toc(stripe(2), &toc), Err(InvalidToc::Malformed("of another stripe")));
    let many = reseal(toc.clone(), |trailer| trailer[12..16].fill(0xff));
    assert_eq!(read_toc(stripe(1), &many), Err(InvalidToc::Malformed("more entries than a stripe has")));
    let long = reseal(toc.clone(), |trailer| trailer[16..20].fill(0xff));
    assert_eq!(read_toc(stripe(1), &long), Err(InvalidToc::Malformed("more entries than a stripe has")));
    let fewer = reseal(toc.clone(), |trailer| trailer[15] = 1);
    assert_eq!(read_toc(stripe(1), &fewer), Err(InvalidToc::Malformed("bytes behind the last entry")));
    let more = reseal(toc, |trailer| trailer[15] = 3);
    assert_eq!(read_toc(stripe(1), &more), Err(InvalidToc::Malformed("entry")));
    let overlap = written(stripe(1), &[entry(0, "a", 0, 5), entry(1, "b", 4, 5)]);
    assert_eq!(read_toc(stripe(1), &overlap), Err(InvalidToc::Malformed("extents that overlap or are too long")));
    let endless = written(stripe(1), &[entry(0, "a", u64::MAX, 5)]);
    assert_eq!(read_toc(stripe(1), &endless), Err(InvalidToc::Malformed("extent without end")));
}
