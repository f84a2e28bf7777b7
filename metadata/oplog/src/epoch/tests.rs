//! An epoch's record survives its encoding, and what does not hold together is refused.

use proptest::prelude::*;

use super::*;

pub(crate) fn identity() -> LogIdentity {
    LogIdentity { cluster: ClusterId(7), node: NodeId(8), voter: VoterId(9) }
}

fn record(ancestors: Vec<Ancestor>) -> EpochRecord {
    let roster: Vec<DriveId> = (1..=6).map(DriveId).collect();
    EpochRecord {
        id: EpochId(3),
        identity: identity(),
        ancestors,
        kept: GroupNumber(50),
        floor: GroupNumber(20),
        quorum: Quorum { epoch: EpochId(3), copies: 3, roster: roster.clone() },
        witnesses: vec![Quorum { epoch: EpochId(2), copies: 2, roster }],
        forced: false,
    }
}

fn full() -> EpochRecord {
    record(vec![
        Ancestor { epoch: EpochId(1), first: GroupNumber(1), last: GroupNumber(30), forced: false },
        Ancestor::void(EpochId(9), true),
        Ancestor { epoch: EpochId(2), first: GroupNumber(31), last: GroupNumber(50), forced: false },
    ])
}

#[test]
fn survives_bytes_and_refuses_cut_or_longer_ones() {
    let bytes = full().encode();
    assert_eq!(EpochRecord::decode(&bytes).unwrap(), full());
    for length in 0..bytes.len() {
        assert!(EpochRecord::decode(&bytes[..length]).is_err(), "cut at {length}");
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(EpochRecord::decode(&longer).is_err());
    assert!(EpochRecord::decode(b"{\"format\": 1}").is_err());
}

#[test]
fn a_newer_version_is_named() {
    let mut bytes = full().encode();
    bytes[0] = EPOCH_VERSION + 1;
    let error = EpochRecord::decode(&bytes).unwrap_err();
    assert_eq!(error, EpochDecodeError::Newer { found: EPOCH_VERSION + 1 });
    assert!(error.to_string().contains('2') && error.to_string().contains('1'), "{error}");
    bytes[0] = 0;
    assert!(matches!(EpochRecord::decode(&bytes), Err(EpochDecodeError::Malformed(_))));
}

#[test]
fn what_does_not_hold_together_is_refused() {
    let wrong: [fn(&mut EpochRecord); 7] = [
        |epoch| epoch.quorum.copies = 7,
        |epoch| epoch.quorum.roster.reverse(),
        |epoch| epoch.ancestors.push(Ancestor::void(EpochId(3), false)),
        |epoch| epoch.ancestors[0].last = GroupNumber(51),
        |epoch| epoch.floor = GroupNumber(52),
        |epoch| epoch.kept = GroupNumber(u64::MAX),
        |epoch| epoch.witnesses[0].copies = 0,
    ];
    for (which, spoil) in wrong.iter().enumerate() {
        let mut epoch = full();
        spoil(&mut epoch);
        let mut bytes = vec![EPOCH_VERSION];
        minicbor::encode(&epoch, &mut bytes).unwrap();
        assert!(EpochRecord::decode(&bytes).is_err(), "spoiled in way {which}");
    }
}

#[test]
fn groups_count_as_far_as_their_epoch_does() {
    let epoch = full();
    let counts = |id, number| epoch.counts(GroupName { epoch: EpochId(id), number: GroupNumber(number) });
    assert!(counts(1, 1) && counts(1, 30) && !counts(1, 31));
    assert!(!counts(2, 30) && counts(2, 31) && counts(2, 50) && !counts(2, 51));
    assert!(!counts(3, 50) && counts(3, 51));
    assert!(!counts(9, 0) && !counts(9, 1) && !counts(4, 40));
}

proptest! {
    #[test]
    fn foreign_bytes_never_panic(bytes: Vec<u8>) {
        let _ = EpochRecord::decode(&bytes);
    }

    #[test]
    fn flipped_bytes_never_panic(at in 0_usize..150, to: u8) {
        let mut bytes = full().encode();
        let at = at % bytes.len();
        bytes[at] = to;
        let _ = EpochRecord::decode(&bytes);
    }
}
