//! What Raft keeps survives its encoding; newer, cut-off and foreign bytes are refused.

use proptest::prelude::*;

use super::*;

fn mark() -> Mark {
    let at = |index| Position { term: 3, index };
    Mark {
        run_set: vec![1, 2, 3].into(),
        applied: AppliedState {
            last: Some(at(77)),
            membership: Some((
                at(0),
                KeptMembership { voters: vec![vec![1]], members: vec![Member { id: 1, node: NodeId(9) }] },
            )),
            effects_hash: [7; 32],
            time: WallTime(12),
            log_bytes: 4096,
            sure: None,
        },
        checkpoints: vec![
            Checkpoint { last: at(5), time: WallTime(1), log_bytes: 10 },
            Checkpoint { last: at(70), time: WallTime(9), log_bytes: 4000 },
        ],
    }
}

#[test]
fn a_mark_survives_bytes_and_nothing_else_is_one() {
    let bytes = mark().to_bytes();
    assert_eq!(Mark::from_bytes(&bytes).unwrap(), mark());
    for length in 0..bytes.len() {
        assert!(Mark::from_bytes(&bytes[..length]).is_err(), "cut to {length}");
    }
    let mut longer = bytes.to_vec();
    longer.push(0);
    assert!(Mark::from_bytes(&longer).is_err());
    let mut newer = bytes.to_vec();
    newer[0] = VERSION + 1;
    assert_eq!(Mark::from_bytes(&newer), Err(FormatError::Newer { what: "mark", found: VERSION + 1 }));
    assert!(KeptMembership::from_bytes(&bytes).is_err());
}

#[test]
fn what_does_not_hold_together_is_refused() {
    let mut swapped = mark();
    swapped.checkpoints.swap(0, 1);
    assert!(Mark::from_bytes(&swapped.to_bytes()).is_err());
    let stranger = KeptMembership { voters: vec![vec![1, 2]], members: vec![Member { id: 1, node: NodeId(9) }] };
    assert!(KeptMembership::from_bytes(&stranger.to_bytes()).is_err());
}

#[test]
fn bytes_are_what_they_always_were() {
    let vote = KeptVote { term: 5, voted_for: 1, committed: true };
    assert_eq!(&vote.to_bytes()[..], [1, 0x83, 5, 1, 0xf5]);
    let entry = finish_entry(begin_entry(0).into(), EntryKind::Blank, Position { term: 2, index: 258 });
    assert_eq!(&entry[..], [1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 1, 2]);
}

proptest! {
    #[test]
    fn an_entry_survives_bytes(term: u64, index: u64, payload: Vec<u8>, shared: bool) {
        let mut frame = begin_entry(payload.len());
        frame.extend_from_slice(&payload);
        let frame = Bytes::from(frame);
        let holder = shared.then(|| frame.clone());
        let position = Position { term, index };
        let entry = finish_entry(frame, EntryKind::Batch, position);
        prop_assert_eq!(read_entry_head(&entry).unwrap(), (EntryKind::Batch, position));
        prop_assert_eq!(&entry[ENTRY_HEAD_BYTES..], &payload[..]);
        if let Some(holder) = holder {
            prop_assert!(holder[..ENTRY_HEAD_BYTES].iter().all(|&byte| byte == 0), "what others hold is not touched");
        }
    }

    #[test]
    fn foreign_bytes_never_panic(bytes: Vec<u8>) {
        let _ = read_entry_head(&bytes);
        let _ = Mark::from_bytes(&bytes);
        let _ = KeptMembership::from_bytes(&bytes);
        let _ = KeptVote::from_bytes(&bytes);
    }
}
