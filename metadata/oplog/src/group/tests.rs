//! A group's head and name survive their encoding, and damaged ones are found.

use proptest::prelude::*;

use super::*;
use crate::record::{APPEND_ENTRIES_MAX, CONTROL_BYTES_MAX, LogRecord};

fn group_of(records: Vec<LogRecord>) -> (GroupHead, Bytes) {
    let mut heads = Vec::new();
    let mut body = Vec::new();
    for record in records {
        let (head, parts) = record.split().unwrap();
        heads.push(head);
        parts.iter().for_each(|part| body.extend_from_slice(part));
    }
    let head = GroupHead {
        epoch: EpochId(5),
        number: GroupNumber(12),
        acknowledged: GroupNumber(11),
        floor: GroupNumber(4),
        records: heads,
    };
    (head, body.into())
}

fn any_record() -> impl Strategy<Value = LogRecord> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from);
    prop_oneof![
        (any::<u64>(), proptest::collection::vec(bytes(), 1..5))
            .prop_map(|(first_index, entries)| LogRecord::Append { first_index, entries }),
        any::<u64>().prop_map(|from_index| LogRecord::Truncate { from_index }),
        bytes().prop_map(|payload| LogRecord::Vote { payload }),
        bytes().prop_map(|payload| LogRecord::Committed { payload }),
        bytes().prop_map(|payload| LogRecord::Mark { payload }),
        (any::<u64>(), bytes()).prop_map(|(up_to_index, payload)| LogRecord::Purge { up_to_index, payload }),
    ]
}

proptest! {
    #[test]
    fn survives_bytes(records in proptest::collection::vec(any_record(), 0..8)) {
        let (head, body) = group_of(records.clone());
        let encoded = head.encode();
        let bound: usize = 128 + head.records.iter().map(crate::record::RecordHead::head_bytes_max).sum::<usize>();
        prop_assert!(encoded.len() <= bound, "{} bytes, bound {bound}", encoded.len());
        let decoded = GroupHead::decode(&encoded).unwrap();
        prop_assert_eq!(&decoded, &head);
        prop_assert!(decoded.verify(&body));
        let mut at = 0;
        for (head, record) in decoded.records.iter().zip(&records) {
            let end = at + head.body_bytes() as usize;
            prop_assert_eq!(&head.join(&body.slice(at..end)), record);
            at = end;
        }
        for length in 0..encoded.len() {
            prop_assert!(GroupHead::decode(&encoded[..length]).is_err());
        }
    }

    #[test]
    fn a_changed_body_is_found(at: prop::sample::Index, flip in 1_u8..) {
        let entries = vec![Bytes::from(vec![1; 30]), Bytes::from(vec![2; 30])];
        let (head, body) = group_of(vec![LogRecord::Append { first_index: 3, entries }]);
        let mut changed = body.to_vec();
        changed[at.index(60)] ^= flip;
        prop_assert!(!head.verify(&changed));
        prop_assert!(!head.verify(&body[..59]));
        prop_assert!(!head.verify(&[body.as_ref(), &[0]].concat()));
    }

    #[test]
    fn foreign_bytes_never_panic(bytes: Vec<u8>) {
        let _ = GroupHead::decode(&bytes);
        if let Some(name) = RecordName::from_slice(&bytes) {
            let _ = StoredName::decode(&name);
        }
    }
}

#[test]
fn a_newer_version_is_named() {
    let mut bytes = group_of(Vec::new()).0.encode().to_vec();
    bytes[0] = GROUP_VERSION + 1;
    assert_eq!(GroupHead::decode(&bytes), Err(GroupDecodeError::Newer { found: GROUP_VERSION + 1 }));
}

#[test]
fn what_does_not_hold_together_is_refused() {
    let wrong: [fn(&mut GroupHead); 4] = [
        |head| head.acknowledged = head.number,
        |head| head.floor = GroupNumber(13),
        |head| head.floor = GroupNumber(0),
        |head| head.number = GroupNumber(u64::MAX),
    ];
    for (which, spoil) in wrong.iter().enumerate() {
        let (mut head, _) = group_of(Vec::new());
        spoil(&mut head);
        assert!(GroupHead::decode(&head.encode()).is_err(), "spoiled in way {which}");
    }
    let (mut head, _) = group_of(Vec::new());
    let lengths = vec![u32::MAX; 2];
    head.records.push(crate::record::RecordHead::Append { first_index: 0, lengths, hash: [0; 16] });
    assert!(GroupHead::decode(&head.encode()).is_err(), "a body larger than any");
    assert!(GroupHead::decode(&vec![1; GROUP_HEAD_BYTES_MAX + 1]).is_err());
}

#[test]
fn names_survive_the_journal() {
    let group = StoredName::Group(GroupName { epoch: EpochId(0x1122), number: GroupNumber(0x33) });
    for name in [group, StoredName::Epoch(EpochId(4))] {
        assert_eq!(StoredName::decode(&name.encode()), Some(name));
    }
    for foreign in [b"x".as_slice(), b"e123", b"g12345678", b"g12345678123456789"] {
        assert_eq!(StoredName::decode(&RecordName::new(foreign)), None);
    }
}

#[test]
fn too_large_records_are_refused() {
    let entries = vec![Bytes::new(); APPEND_ENTRIES_MAX + 1];
    assert!(LogRecord::Append { first_index: 0, entries }.split().is_err());
    let entries = vec![Bytes::from(vec![0; GROUP_BODY_BYTES_MAX + 1])];
    assert!(LogRecord::Append { first_index: 0, entries }.split().is_err());
    let payload = Bytes::from(vec![0; CONTROL_BYTES_MAX + 1]);
    assert!(LogRecord::Mark { payload }.split().is_err());
}
