//! Every structure: there and back, and nothing else is taken for one.

use bytes::Bytes;
use cairn_core::WallTime;
use proptest::prelude::*;

use super::*;
use crate::name::RecordName;
use crate::options::OwnerKind;

fn name() -> impl Strategy<Value = RecordName> {
    proptest::collection::vec(any::<u8>(), 1..=64).prop_map(|bytes| RecordName::new(&bytes))
}

fn key() -> impl Strategy<Value = SegmentKey> {
    (any::<u32>(), any::<[u8; 16]>()).prop_map(|(ordinal, nonce)| SegmentKey { ordinal, nonce })
}

/// Entries that follow each other from an offset on.
fn entries(start: u64) -> impl Strategy<Value = Vec<Entry>> {
    let one = (proptest::option::weighted(0.9, name()), any::<u64>(), 0u32..5000, 0u64..20_000, 0u64..3);
    proptest::collection::vec(one, 0..120).prop_map(move |list| {
        let mut at = start;
        let entry = |(name, sequence, head_bytes, body, gap): (Option<RecordName>, u64, u32, u64, u64)| {
            at += gap * BLOCK_BYTES;
            let name_bytes = name.map_or(0, |name| name.as_bytes().len()) as u64;
            let length = ENVELOPE_BYTES as u64 + name_bytes + u64::from(head_bytes) + body;
            let kind = match sequence % 3 {
                _ if name.is_none() => EntryKind::Damaged,
                0 => EntryKind::Gone,
                1 => EntryKind::Damaged,
                _ => EntryKind::Record,
            };
            let entry = Entry { sequence, offset: at, length, head_bytes, name, kind };
            at = entry.end();
            entry
        };
        list.into_iter().map(entry).collect()
    })
}

const SEGMENT: u64 = 64 * 1024 * 1024;

proptest! {
    #[test]
    fn segment_headers(key in key(), owner: [u8; 8], segment_bytes: u64, created: u64, flip in 0usize..80 * 8) {
        let header = SegmentHeader { key, owner: OwnerKind(owner), segment_bytes, created: WallTime(created) };
        let mut block = header.encode();
        prop_assert_eq!(SegmentHeader::decode(&block, key.ordinal), Look::Sound(header));
        prop_assert_eq!(SegmentHeader::decode(&block, key.ordinal.wrapping_add(1)), Look::Bad);
        block[flip / 8] ^= 1 << (flip % 8);
        prop_assert_eq!(SegmentHeader::decode(&block, key.ordinal), Look::Bad);
    }

    #[test]
    fn groups(
        key in key(),
        first_sequence: u64,
        entries in entries(64 * BLOCK_BYTES),
        durable in 0u64..3,
        flip: proptest::sample::Index,
        cut: proptest::sample::Index,
    ) {
        let entries_bytes: usize = entries.iter().map(|entry| Entry::encoded_bytes(entry.name_bytes().len())).sum();
        let offset = 64 * BLOCK_BYTES - Group::header_bytes(entries_bytes);
        let durable = DurableEnd { segment: key.ordinal, offset: durable * BLOCK_BYTES };
        let group = Group { offset, first_sequence, durable, clean: entries.is_empty(), entries };
        let mut bytes = group.encode(&key);
        prop_assert_eq!(Group::peek(&bytes[..BLOCK_BYTES as usize], SEGMENT), Some(bytes.len() as u64));
        prop_assert_eq!(Group::peek(&bytes[..BLOCK_BYTES as usize], bytes.len() as u64 - 1), None);
        prop_assert_eq!(Group::decode(&bytes, key.ordinal, offset, SEGMENT), Look::Sound((key, group.clone())));
        prop_assert_eq!(Group::decode(&bytes, key.ordinal, offset + BLOCK_BYTES, SEGMENT), Look::Bad, "misdirected");
        let used = 96 + entries_bytes;
        prop_assert_eq!(Group::decode(&bytes[..cut.index(used)], key.ordinal, offset, SEGMENT), Look::Bad);
        if !group.entries.is_empty() {
            prop_assert_eq!(Group::decode(&bytes, key.ordinal, offset, group.end() - 1), Look::Bad, "too long");
        }
        let flip = flip.index(used * 8);
        bytes[flip / 8] ^= 1 << (flip % 8);
        prop_assert_eq!(Group::decode(&bytes, key.ordinal, offset, SEGMENT), Look::Bad);
    }

    #[test]
    fn envelopes(
        key in key(),
        name in name(),
        numbers: (u64, u64, u32),
        head in proptest::collection::vec(any::<u8>(), 0..6000),
        flip: proptest::sample::Index,
        cut: proptest::sample::Index,
    ) {
        let (sequence, written, body) = numbers;
        let body_bytes = body % (crate::record::BODY_BYTES_MAX as u32 + 1);
        let written = WallTime(written);
        let envelope =
            Envelope { name, offset: 8192, sequence, written, head_bytes: head.len() as u32, body_bytes };
        let mut bytes = envelope.encode(&key, &head).to_vec();
        prop_assert_eq!(Envelope::peek(&bytes[..ENVELOPE_BYTES]), Look::Sound(bytes.len()));
        prop_assert_eq!(Envelope::decode(&bytes, &key, 8192), Look::Sound(envelope));
        prop_assert_eq!(Envelope::decode(&bytes, &key, 4096), Look::Bad, "misdirected");
        let other = SegmentKey { nonce: [0; 16], ..key };
        prop_assert!(other == key || Envelope::decode(&bytes, &other, 8192) == Look::Bad, "of another segment");
        prop_assert_eq!(Envelope::decode(&bytes[..cut.index(bytes.len())], &key, 8192), Look::Bad);
        let flip = flip.index(bytes.len() * 8);
        bytes[flip / 8] ^= 1 << (flip % 8);
        prop_assert_eq!(Envelope::decode(&bytes, &key, 8192), Look::Bad);
    }

    #[test]
    fn footers(
        key in key(),
        owner: [u8; 8],
        next_sequence: u64,
        entries in entries(BLOCK_BYTES),
        flip: proptest::sample::Index,
    ) {
        let end = entries.last().map_or(BLOCK_BYTES, Entry::end);
        let mut bytes = Footer::encode(key, OwnerKind(owner), end, next_sequence, &entries);
        let length = end + bytes.len() as u64;
        let last = |bytes: &[u8]| Footer::peek(&bytes[bytes.len() - BLOCK_BYTES as usize..], length);
        prop_assert_eq!(last(&bytes), Some(end));
        match Footer::decode(&bytes, key.ordinal, end) {
            Look::Sound(footer) => {
                prop_assert_eq!(&footer.entries, &entries);
                prop_assert_eq!(footer.trailer.next_sequence, next_sequence);
                prop_assert_eq!(footer.trailer.owner, OwnerKind(owner));
            }
            other => prop_assert!(false, "{:?}", other),
        }
        prop_assert_eq!(Footer::decode(&bytes, key.ordinal, end + BLOCK_BYTES), Look::Bad);
        let entries_bytes: usize = entries.iter().map(|entry| Entry::encoded_bytes(entry.name_bytes().len())).sum();
        let flip = flip.index((entries_bytes + 96) * 8);
        let byte = if flip / 8 < entries_bytes { flip / 8 } else { bytes.len() - 96 + flip / 8 - entries_bytes };
        bytes[byte] ^= 1 << (flip % 8);
        prop_assert_eq!(Footer::decode(&bytes, key.ordinal, end), Look::Bad);
    }

    #[test]
    fn foreign_bytes_are_nothing(bytes in proptest::collection::vec(any::<u8>(), 4096..=4096)) {
        let key = SegmentKey { ordinal: 1, nonce: [0; 16] };
        prop_assert_eq!(SegmentHeader::decode(&bytes, 1), Look::Bad);
        prop_assert_eq!(Group::peek(&bytes, SEGMENT), None);
        prop_assert_eq!(Group::decode(&bytes, 1, 4096, SEGMENT), Look::Bad);
        prop_assert_eq!(Envelope::decode(&bytes, &key, 4096), Look::Bad);
        prop_assert_eq!(Footer::peek(&bytes, SEGMENT), None);
        prop_assert_eq!(Footer::decode(&bytes, 1, 4096), Look::Bad);
    }
}

#[test]
fn zeros_are_told_from_damage() {
    let zeros = Bytes::from(vec![0; BLOCK_BYTES as usize]);
    let key = SegmentKey { ordinal: 1, nonce: [0; 16] };
    assert_eq!(SegmentHeader::decode(&zeros, 1), Look::Zero);
    assert_eq!(Envelope::decode(&zeros, &key, 4096), Look::Zero);
    assert_eq!(Envelope::decode(&zeros[..ENVELOPE_BYTES - 1], &key, 4096), Look::Bad);
}

/// The bytes that version 1 writes. When this fails, a release cannot read what the one before has written: raise the
/// version and keep the old layout readable instead.
#[test]
fn version_1_is_frozen() {
    let key = SegmentKey { ordinal: 7, nonce: *b"0123456789abcdef" };
    let owner = OwnerKind(*b"chunks\0\0");
    let header = SegmentHeader { key, owner, segment_bytes: 1 << 20, created: WallTime(99) };
    let envelope = Envelope {
        name: RecordName::new(b"name"),
        offset: 8192,
        sequence: 5,
        written: WallTime(100),
        head_bytes: 4,
        body_bytes: 9,
    };
    let durable = DurableEnd { segment: 7, offset: 4096 };
    let group = Group { offset: 4096, first_sequence: 5, durable, clean: false, entries: vec![envelope.entry()] };
    let footer = Footer::encode(key, owner, 12288, 6, &group.entries);
    let all = [&header.encode()[..], &envelope.encode(&key, b"head"), &group.encode(&key), &footer].concat();
    assert_eq!(
        blake3::hash(&all).to_hex().as_str(),
        "87db2bdc9addecbb62dfbfd56236382460c28e59c70512a6ba3f2d2f4649fd19"
    );
}

#[test]
fn segment_names_are_of_one_shape() {
    assert_eq!(segment_file_name(7), "0000000007.segment");
    assert_eq!(segment_ordinal("0000000007.segment"), Some(7));
    assert_eq!(segment_ordinal("4294967295.segment"), Some(u32::MAX));
    for foreign in ["7.segment", "4294967296.segment", "+000000007.segment", "0000000007.segment~", "0000000007", ""] {
        assert_eq!(segment_ordinal(foreign), None, "{foreign}");
    }
}
