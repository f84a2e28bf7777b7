//! Forming, drives, keys, buckets.

use super::*;
use crate::rows::access_key::AccessKeyRow;
use crate::rows::bucket::{BucketRow, Versioning};
use crate::rows::profile::ProfileRow;
use crate::rows::topology::VoterRow;
use DriveState::{Active, Draining, Lost, Removed};

#[test]
fn a_cluster_is_formed_first_and_once() {
    let mut lab = Lab::empty();
    let register = Operation::RegisterSession { id: GATE, kind: SessionKind::Gateway, node: NODE };
    assert_eq!(refusal(&lab.alone(register)), Some(&Refusal::NotFormed));
    assert_eq!(lab.alone(form()), Outcome::Done);
    assert_eq!(refusal(&lab.alone(form())), Some(&Refusal::AlreadyFormed));
    assert_eq!(due_until(&lab.rows).unwrap(), LogIndex(1), "no voter has a run");
}

#[test]
fn drives_walk_only_along_their_roads() {
    let states = [Active, Draining, Lost, Removed];
    let roads = [
        (Active, Draining),
        (Active, Lost),
        (Draining, Active),
        (Draining, Lost),
        (Draining, Removed),
        (Lost, Active),
        (Lost, Removed),
    ];
    for from in states {
        for to in states {
            let (mut lab, _) = Lab::formed();
            let way: &[DriveState] = match from {
                Active => &[],
                Draining => &[Draining],
                Lost => &[Lost],
                Removed => &[Lost, Removed],
            };
            let mut now = Active;
            for &next in way {
                assert_eq!(lab.set_state(2, now, next), Outcome::Done);
                now = next;
            }
            let outcome = lab.set_state(2, from, to);
            assert_eq!(outcome == Outcome::Done, roads.contains(&(from, to)), "{from:?} to {to:?}: {outcome:?}");
            let other = if from == Active { Draining } else { Active };
            if outcome != Outcome::Done {
                assert_eq!(refusal(&lab.set_state(2, other, to)), Some(&Refusal::Changed));
            }
        }
    }
}

#[test]
fn a_drained_drive_is_removed_when_its_last_chunk_has_left() {
    let (mut lab, bucket) = Lab::formed();
    lab.put(bucket, "a");
    lab.set_state(0, Active, Draining);
    assert_eq!(refusal(&lab.set_state(0, Draining, Removed)), Some(&Refusal::DriveInUse { chunks: 1 }));
    lab.one(GATE, delete(bucket, "a"));
    assert_eq!(lab.set_state(0, Draining, Removed), Outcome::Done);
}

#[test]
fn standard_follows_the_drives_until_the_first_bucket() {
    let drives = |ids: core::ops::Range<u64>| Operation::RegisterDrives {
        node: NODE,
        drives: ids.map(|id| NewDrive { id: DriveId(id), weight: 1, label: String::new() }).collect(),
    };
    let standard = |lab: &Lab| lab.get::<ProfileRow>(&ProfileId::STANDARD).unwrap().geometry.to_string();
    let mut lab = Lab::empty();
    lab.alone(form());
    lab.alone(Operation::RegisterSession { id: GATE, kind: SessionKind::Gateway, node: NODE });
    assert_eq!(standard(&lab), "4+2");
    assert_eq!(lab.one(GATE, drives(4..9)), Outcome::Done);
    assert_eq!(standard(&lab), "6+3");
    lab.bucket("first");
    assert_eq!(lab.one(GATE, drives(9..12)), Outcome::Done);
    assert_eq!(standard(&lab), "6+3");
    assert!(is_malformed(&lab.one(
        GATE,
        Operation::RegisterDrives {
            node: NODE,
            drives: vec![NewDrive { id: DriveId(40), weight: 0, label: String::new() }],
        }
    )));
    let elsewhere = Operation::RegisterDrives { node: NodeId(9), drives: vec![] };
    assert!(matches!(refusal(&lab.one(GATE, elsewhere)), Some(Refusal::Unknown { .. })));
}

#[test]
fn a_run_is_reported_by_a_voter_and_never_taken_back() {
    let (mut lab, _) = Lab::formed();
    let report = |voter, index| Operation::ReportRun { voter, index: LogIndex(index) };
    assert_eq!(lab.alone(report(VOTER, 3)), Outcome::Done);
    assert_eq!(lab.alone(report(VOTER, 2)), Outcome::Done);
    assert_eq!(lab.get::<VoterRow>(&VOTER).unwrap().run_index, LogIndex(3));
    assert!(matches!(refusal(&lab.alone(report(77, 3))), Some(Refusal::Unknown { .. })));
    assert!(is_malformed(&lab.alone(report(VOTER, 1 << 30))));
}

#[test]
fn the_last_key_that_may_do_everything_stays() {
    let (mut lab, _) = Lab::formed();
    let put = |id: &str, root| Operation::PutAccessKey { id: id.into(), sealed_secret: vec![7].into(), root };
    let remove = |id: &str| Operation::RemoveAccessKey { id: id.into() };
    assert_eq!(lab.alone(put("plain", false)), Outcome::Done);
    assert!(is_malformed(&lab.one(GATE, remove("root"))));
    assert_eq!(lab.alone(put("other", true)), Outcome::Done);
    assert_eq!(lab.alone(put("other", false)), Outcome::Done);
    assert!(lab.get::<AccessKeyRow>(&"other".into()).unwrap().root, "a new secret does not take the right away");
    assert_eq!(lab.one(GATE, remove("root")), Outcome::Done);
    assert!(is_malformed(&lab.one(GATE, remove("other"))));
    assert!(matches!(refusal(&lab.one(GATE, remove("root"))), Some(Refusal::Unknown { .. })));
    assert_eq!(lab.one(GATE, remove("plain")), Outcome::Done);
    assert!(is_malformed(&lab.alone(put(&"x".repeat(200), false))));
}

#[test]
fn buckets_of_one_entry_have_ids_of_their_own() {
    let (mut lab, first) = Lab::formed();
    let create = |name: &str| Operation::CreateBucket {
        name: BucketName::new(name).unwrap(),
        owner: "me".into(),
        lock: None,
        acl: None,
    };
    let outcomes = lab.propose(GATE, vec![create("one"), create("two"), create("one")]);
    let [Outcome::BucketCreated(one), Outcome::BucketCreated(two), Outcome::Refused(taken)] = &outcomes[..] else {
        panic!("{outcomes:?}");
    };
    assert_eq!(*taken, Refusal::BucketExists { owner: "me".into() });
    assert!(first < *one && one < two);
    assert_eq!(two.0, lab.index.0 << 16 | 1);
    lab.put(*two, "a");
    assert_eq!(refusal(&lab.one(GATE, Operation::DeleteBucket { id: *two })), Some(&Refusal::BucketNotEmpty));
    assert_eq!(lab.one(GATE, Operation::DeleteBucket { id: *one }), Outcome::Done);
    // The same name again is another bucket, and a write that was meant for the first does not hit it.
    let again = lab.bucket("one");
    assert_ne!(again, *one);
    let stripe = StripeId(lab.write(GATE));
    let outcomes = lab.propose(GATE, packed(stripe, vec![put_in(*one, "a", stripe, 0)]));
    assert_eq!(refusal(&outcomes[1]), Some(&Refusal::NoSuchBucket));
}

#[test]
fn versions_are_never_switched_off_again() {
    let (mut lab, id) = Lab::formed();
    let set = |versioning| Operation::SetVersioning { id, versioning };
    assert_eq!(lab.one(GATE, set(Versioning::Suspended)), Outcome::Done);
    assert_eq!(lab.one(GATE, set(Versioning::Enabled)), Outcome::Done);
    assert!(is_malformed(&lab.one(GATE, set(Versioning::Off))));
    assert_eq!(lab.get::<BucketRow>(&id).unwrap().versioning, Versioning::Enabled);
}

#[test]
fn garbage_waits_for_a_majority_of_voters_and_for_every_session() {
    use crate::rows::session::SessionRow;
    use crate::rows::topology::NodeRow;
    let (mut lab, _) = Lab::formed();
    let voters = |lab: &mut Lab, runs: &[u64]| {
        for (voter, &run) in (VOTER..).zip(runs) {
            let row = NodeRow { zone: String::new(), joined: WallTime(0), voter: Some(voter) };
            let node = if voter == VOTER { NODE } else { NodeId(voter) };
            let run = VoterRow { run_index: LogIndex(run), node: None };
            lab.rows.apply([(NodeRow::key(&node), Some(row.encode())), (VoterRow::key(&voter), Some(run.encode()))]);
        }
    };
    for session in [GATE, REPAIR] {
        let row = SessionRow { reads_from: LogIndex(1000), ..lab.get::<SessionRow>(&session).unwrap() };
        lab.rows.apply([(SessionRow::key(&session), Some(row.encode()))]);
    }
    for (runs, passed) in [
        (&[7][..], 7),
        (&[7, 0], 0),
        (&[9, 7], 7),
        (&[0, 7, 9], 7),
        (&[9, 0, 0], 0),
        (&[9, 9, 2000, 3000], 9),
        (&[0, 0, 5, 6, 7], 5),
        (&[2000, 2000, 2000], 1000),
    ] {
        let mut lab = lab.clone();
        voters(&mut lab, runs);
        assert_eq!(due_until(&lab.rows).unwrap(), LogIndex(passed + 1), "{runs:?}");
    }
    // A node that does not vote has no say.
    let row = NodeRow { zone: String::new(), joined: WallTime(0), voter: None };
    lab.rows.apply([(NodeRow::key(&NodeId(70)), Some(row.encode()))]);
    voters(&mut lab, &[4]);
    assert_eq!(due_until(&lab.rows).unwrap(), LogIndex(5));
}
