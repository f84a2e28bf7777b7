//! What stands in the log after appends, truncations and purges, whatever their order.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::record::Payload;

fn append(first_index: u64, count: usize) -> RecordHead {
    RecordHead::Append { first_index, lengths: vec![1; count], hash: [0; 16] }
}

fn purge(up_to_index: u64) -> RecordHead {
    RecordHead::Purge { up_to_index, payload: Payload(Bytes::from_static(b"p")) }
}

fn after(records: &[RecordHead]) -> Contents {
    let mut contents = Contents::default();
    for (number, record) in records.iter().enumerate() {
        contents.apply(record, GroupNumber(number as u64 + 1), 0).unwrap();
    }
    contents
}

#[test]
fn a_hole_between_entries_is_refused() {
    let mut contents = after(&[append(5, 3)]);
    assert_eq!(contents.apply(&append(9, 1), GroupNumber(2), 0), Err(NotConsecutive { found: 9, expected: 8 }));
    assert_eq!(contents.last_index(), Some(7));
    assert!(contents.apply(&append(7, 1), GroupNumber(2), 0).is_err(), "nothing is written over");
}

#[test]
fn a_purge_beyond_the_end_moves_the_next_index() {
    let mut contents = after(&[append(0, 3), purge(10)]);
    assert_eq!((contents.first_index(), contents.last_index(), contents.next_index()), (None, None, Some(11)));
    assert!(contents.apply(&append(3, 1), GroupNumber(3), 0).is_err());
    contents.apply(&append(11, 1), GroupNumber(3), 0).unwrap();
    assert_eq!(contents.first_group(), Some(GroupNumber(3)));
}

#[test]
fn a_lone_purge_settles_what_comes_next() {
    let mut contents = after(&[purge(10)]);
    assert_eq!(contents.next_index(), None, "records of its own group may still follow");
    contents.settle();
    assert_eq!(contents.next_index(), Some(11));
}

#[test]
fn restating_says_it_all() {
    let vote = RecordHead::Vote { payload: Payload(Bytes::from_static(b"v")) };
    let mark = RecordHead::Mark { payload: Payload(Bytes::from_static(b"m")) };
    let committed = RecordHead::Committed { payload: Payload(Bytes::from_static(b"c")) };
    let contents = after(&[append(0, 3), vote, mark, committed, purge(2)]);
    let mut again = Contents::default();
    for record in contents.restate() {
        again.apply(&record.split().unwrap().0, GroupNumber(9), 0).unwrap();
    }
    again.settle();
    assert_eq!(
        (again.vote(), again.mark(), again.committed()),
        (contents.vote(), contents.mark(), contents.committed())
    );
    assert_eq!((again.purged(), again.next_index()), (contents.purged(), contents.next_index()));
}

proptest! {
    /// Against a plain map of index to group.
    #[test]
    fn follows_a_model(steps in proptest::collection::vec((0_u8..4, 0_u64..12), 1..60)) {
        let mut contents = Contents::default();
        let mut model: BTreeMap<u64, u64> = BTreeMap::new();
        let (mut next, mut purged) = (0_u64, None::<u64>);
        contents.apply(&append(0, 1), GroupNumber(1), 0).unwrap();
        model.insert(0, 1);
        next += 1;
        for (number, (kind, amount)) in (2_u64..).zip(steps) {
            let group = GroupNumber(number);
            match kind {
                0 | 1 => {
                    let count = amount + 1;
                    contents.apply(&append(next, count as usize), group, 0).unwrap();
                    model.extend((next..next + count).map(|index| (index, number)));
                    next += count;
                }
                2 => {
                    let from = next.saturating_sub(amount).max(purged.map_or(0, |p| p + 1));
                    contents.apply(&RecordHead::Truncate { from_index: from }, group, 0).unwrap();
                    model.split_off(&from);
                    next = from;
                }
                _ => {
                    let up_to = purged.map_or(0, |p| p + 1) + amount;
                    contents.apply(&purge(up_to), group, 0).unwrap();
                    model = model.split_off(&(up_to + 1));
                    purged = Some(up_to);
                    next = next.max(up_to + 1);
                }
            }
            prop_assert_eq!(contents.first_index(), model.keys().next().copied());
            prop_assert_eq!(contents.last_index(), model.keys().next_back().copied());
            prop_assert_eq!(contents.next_index(), Some(next));
            prop_assert_eq!(contents.first_group().map(|g| g.0), model.values().next().copied());
            for index in 0..next + 2 {
                prop_assert_eq!(contents.find(index).map(|run| run.group.0), model.get(&index).copied());
            }
        }
    }
}
