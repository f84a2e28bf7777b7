//! Exactly one effect, sessions and leases.

use super::*;
use crate::row::Table;
use crate::rows::session::{Lease, LeaseRow, SessionRow};

fn renewal() -> Operation {
    Operation::RenewSession { id: GATE, commits_from: 0, reads_from: LogIndex(0) }
}

fn numbered(number: u64, lowest_unanswered: u64, operations: Vec<Operation>) -> Proposal {
    Proposal { request: Some(RequestId { session: GATE, number, lowest_unanswered }), operations, authors: None }
}

#[test]
fn a_repeat_has_one_effect_and_the_same_answer() {
    let (mut lab, bucket) = Lab::formed();
    let stripe = StripeId(lab.write(GATE));
    let create = Operation::CreateBucket {
        name: BucketName::new("other").unwrap(),
        owner: "root".into(),
        lock: None,
        acl: None,
    };
    let mut operations = packed(stripe, vec![put_in(bucket, "a", stripe, 0), create]);
    operations.push(delete(bucket, "never"));
    let proposal = numbered(2, 2, operations);
    let first = lab.entry(vec![proposal.clone()]);
    let rows = lab.rows.clone();
    assert_eq!(lab.entry(vec![proposal.clone()]), first);
    assert_eq!(lab.rows, rows);
    // Twice in one entry, and in the other order of arrival.
    let later = numbered(4, 2, vec![delete(bucket, "a")]);
    let both = lab.entry(vec![later.clone(), proposal.clone(), later.clone()]);
    assert_eq!(both[1], first[0]);
    assert_eq!(both[0], both[2]);
    let earlier = numbered(3, 2, vec![renewal()]);
    assert_eq!(lab.entry(vec![earlier]), [[Outcome::Done]]);
    assert_eq!(lab.entry(vec![proposal]), first);
}

#[test]
fn outside_the_window_nothing_is_applied() {
    let (mut lab, _) = Lab::formed();
    let outside = [[Outcome::Refused(Refusal::OutsideWindow)]];
    assert_eq!(lab.entry(vec![numbered(1023 + 1, 1, vec![renewal()])]), [[Outcome::Done]]);
    assert_eq!(lab.entry(vec![numbered(1025, 1, vec![renewal()])]), outside);
    assert_eq!(lab.entry(vec![numbered(1025, 2, vec![renewal()])]), [[Outcome::Done]]);
    assert_eq!(lab.entry(vec![numbered(1, 1, vec![renewal()])]), outside, "it needs no answer any more");
    assert_eq!(lab.entry(vec![numbered(1026, 2, vec![renewal()])]), outside);
    assert!(matches!(
        lab.entry(vec![numbered(2, 3, vec![renewal()])])[0][0],
        Outcome::Refused(Refusal::Malformed { .. })
    ));
}

#[test]
fn only_what_needs_no_session_comes_without_one() {
    let (mut lab, bucket) = Lab::formed();
    assert!(is_malformed(&lab.alone(delete(bucket, "a"))));
    assert!(is_malformed(&lab.alone(Operation::EndSession { id: GATE, last_renewal: None })));
    let put = Operation::PutAccessKey { id: "second".into(), sealed_secret: vec![1].into(), root: true };
    assert_eq!(lab.alone(put), Outcome::Done);
}

#[test]
fn registering_again_changes_nothing() {
    let (mut lab, _) = Lab::formed();
    lab.renew(GATE, 17);
    let before = lab.get::<SessionRow>(&GATE);
    let again = |kind| Operation::RegisterSession { id: GATE, kind, node: NODE };
    assert_eq!(lab.alone(again(SessionKind::Gateway)), Outcome::Done);
    assert_eq!(lab.get::<SessionRow>(&GATE), before);
    assert!(is_malformed(&lab.alone(again(SessionKind::Repair))));
}

#[test]
fn marks_never_go_back_nor_ahead_of_the_log() {
    let (mut lab, _) = Lab::formed();
    lab.renew(GATE, 17);
    let read = lab.get::<SessionRow>(&GATE).unwrap().reads_from;
    assert_eq!(lab.one(GATE, renewal()), Outcome::Done);
    let row = lab.get::<SessionRow>(&GATE).unwrap();
    assert_eq!((row.commits_from, row.reads_from, row.renewed), (17, read, lab.index));
    let ahead = Operation::RenewSession { id: GATE, commits_from: 0, reads_from: LogIndex(1 << 40) };
    assert!(is_malformed(&lab.one(GATE, ahead)));
}

#[test]
fn a_session_ends_only_as_it_was_last_seen_and_takes_everything_with_it() {
    let (mut lab, _) = Lab::formed();
    let seen = lab.get::<SessionRow>(&GATE).unwrap().renewed;
    lab.renew(GATE, 1);
    let end = |last_renewal| Operation::EndSession { id: GATE, last_renewal };
    assert_eq!(refusal(&lab.alone(end(Some(seen)))), Some(&Refusal::Changed), "it was renewed since");
    assert!(is_malformed(&lab.one(REPAIR, end(None))), "only itself");
    assert_eq!(lab.one(GATE, Operation::TakeLease { lease: Lease::Repair, session: GATE }), Outcome::Done);
    let take = Operation::TakeLease { lease: Lease::Repair, session: REPAIR };
    assert_eq!(refusal(&lab.one(REPAIR, take.clone())), Some(&Refusal::LeaseHeld));
    let seen = lab.get::<SessionRow>(&GATE).unwrap().renewed;
    assert_eq!(lab.alone(end(Some(seen))), Outcome::Done);
    let mut prefix = vec![Table::Slot as u8];
    prefix.extend_from_slice(&GATE.to_bytes());
    assert!(!lab.rows.0.keys().any(|key| key.starts_with(&prefix)));
    assert_eq!(lab.one(REPAIR, take.clone()), Outcome::Done);
    assert_eq!(lab.one(REPAIR, take), Outcome::Done, "it holds it already");
    assert_eq!(lab.get::<LeaseRow>(&Lease::Repair).unwrap().holder, REPAIR);
    assert_eq!(refusal(&lab.one(GATE, renewal())), Some(&Refusal::SessionEnded));
    let leased = Operation::TakeLease { lease: Lease::Repair, session: GATE };
    assert_eq!(refusal(&lab.one(REPAIR, leased)), Some(&Refusal::SessionEnded));
}

#[test]
fn a_session_that_used_every_slot_ends_in_one_operation() {
    let (mut lab, bucket) = Lab::formed();
    let many = |number| numbered(number, number, (0..60).map(|at| delete(bucket, &format!("{at}"))).collect());
    for first in (1..=1024).step_by(64) {
        lab.entry((first..first + 64).map(many).collect());
    }
    lab.numbers.insert(GATE, 2000);
    assert_eq!(lab.one(GATE, Operation::EndSession { id: GATE, last_renewal: None }), Outcome::Done);
    assert!(!lab.rows.0.keys().any(|key| key[0] == Table::Slot as u8 && key[1..9] == GATE.to_bytes()));
}

#[test]
fn too_many_operations_are_refused_whole() {
    let (mut lab, bucket) = Lab::formed();
    let operations = vec![delete(bucket, "a"); crate::batch::PROPOSAL_OPERATIONS_MAX + 1];
    let outcomes = lab.propose(GATE, operations);
    assert!(outcomes.iter().all(|outcome| refusal(outcome) == Some(&Refusal::TooLarge)));
    // An entry longer than ordinals reach refuses what comes behind.
    let full = vec![delete(bucket, "a"); 4096];
    let proposals = (1..=17).map(|number| numbered(number + 10, number + 10, full.clone())).collect();
    let outcomes = lab.entry(proposals);
    assert!(outcomes[..16].iter().flatten().all(|outcome| refusal(outcome).is_none()));
    assert!(outcomes[16].iter().all(|outcome| refusal(outcome) == Some(&Refusal::TooLarge)));
}

#[test]
fn one_operation_that_is_too_large_has_no_effect_at_all() {
    let (mut lab, bucket) = Lab::formed();
    // Garbage of one entry, more than an operation may touch.
    for _ in 0..2 {
        let mut operations = Vec::new();
        for _ in 0..700 {
            let stripe = StripeId(lab.write(GATE));
            operations.extend(packed(stripe, vec![]));
        }
        assert!(lab.propose(GATE, operations).iter().all(|outcome| *outcome == Outcome::Done));
    }
    let _ = bucket;
    lab.pass();
    let garbage = lab.garbage();
    assert_eq!(garbage.len(), 4200);
    let before = lab.rows.clone();
    let outcome = lab.one(REPAIR, Operation::Collected { garbage: garbage.clone() });
    assert_eq!(refusal(&outcome), Some(&Refusal::TooLarge));
    let changed: Vec<_> = lab.rows.0.iter().filter(|(key, value)| before.0.get(*key) != Some(value)).collect();
    assert!(changed.iter().all(|(key, _)| key[0] == Table::Slot as u8 || key[0] == Table::Session as u8));
    assert_eq!(lab.one(REPAIR, Operation::Collected { garbage: garbage[..3000].to_vec() }), Outcome::Done);
    assert_eq!(lab.garbage().len(), 1200);
}

#[test]
fn one_operation_that_writes_too_many_bytes_has_no_effect_either() {
    let (mut lab, bucket) = Lab::formed();
    let upload = lab.upload(bucket, "a");
    // Bytes that stand in a row are read and written again when something more refers to them.
    let parts: Vec<ChosenPart> = (1..=8).map(|number| lab.part_here(bucket, "a", upload, number, 65_536)).collect();
    let mut attempt = |count: usize| {
        let manifest = ManifestId(lab.write(GATE));
        let outcome = lab.one(GATE, parts_page(bucket, "a", upload, manifest, 0, &parts[..count]));
        (outcome, lab.get::<crate::rows::manifest::ManifestRow>(&manifest).is_some())
    };
    assert_eq!(attempt(8), (Outcome::Refused(Refusal::TooLarge), false));
    assert_eq!(attempt(7), (Outcome::Done, true));
    lab.check();
}

#[test]
fn a_newer_function_stops_the_node() {
    let (lab, _) = Lab::formed();
    for function in [0, FUNCTION_VERSION + 1] {
        let batch = Batch { function, time: WallTime(0), proposals: vec![], sure: None };
        let stopped = apply(&lab.rows, LogIndex(100), &batch);
        assert!(matches!(stopped, Err(ApplyError::NewerFunction { found, .. }) if found == function));
    }
    let newer = Batch { function: FUNCTION_VERSION + 1, time: WallTime(0), proposals: vec![], sure: None }.encode();
    let found = FUNCTION_VERSION + 1;
    assert_eq!(Batch::decode(&newer), Err(crate::InvalidBatch::NewerFunction { found }));
}

#[test]
fn a_damaged_row_stops_the_node_before_any_effect() {
    let (mut lab, bucket) = Lab::formed();
    lab.put(bucket, "a");
    let ledger = crate::rows::bucket::BucketLedgerRow::key(&bucket);
    for value in [None, Some(Bytes::from_static(&[1, 0x83, 1])), Some(Bytes::from_static(&[9]))] {
        let mut rows = lab.rows.clone();
        rows.apply([(ledger.clone(), value)]);
        let request = Some(RequestId { session: GATE, number: 50, lowest_unanswered: 50 });
        let proposals = vec![Proposal { request, operations: vec![delete(bucket, "a")], authors: None }];
        let batch = Batch { function: FUNCTION_VERSION, time: WallTime(0), proposals, sure: None };
        assert!(matches!(apply(&rows, LogIndex(1000), &batch), Err(ApplyError::Rows { .. })));
    }
}

#[test]
fn a_cluster_is_raised_to_what_its_entries_are_of_and_never_back() {
    let (mut lab, _) = Lab::formed();
    let row = |lab: &Lab| lab.get::<ClusterRow>(&()).unwrap();
    let formed = ClusterRow { function: 4, ..row(&lab) };
    lab.rows.apply(vec![(ClusterRow::key(&()), Some(formed.encode()))]);
    let raise = |to| Operation::RaiseFunction { to };
    assert!(is_malformed(&lab.alone(raise(FUNCTION_VERSION + 1))), "its entry would have to be of that version");
    assert_eq!(row(&lab), formed);
    for to in [5, 4, 5] {
        assert_eq!(lab.alone(raise(to)), Outcome::Done);
    }
    assert_eq!(row(&lab), ClusterRow { function: 5, ..formed });
}

#[test]
fn a_cluster_is_of_the_version_of_the_entry_that_formed_it() {
    for function in 1..=FUNCTION_VERSION {
        let mut rows = MapRows::default();
        let proposals = vec![Proposal { request: None, operations: vec![form()], authors: None }];
        let batch = Batch { function, time: WallTime(1), proposals, sure: None };
        rows.apply(apply(&rows, LogIndex(1), &batch).unwrap().effects);
        assert_eq!(ClusterRow::get(&rows, &()).unwrap().unwrap().function, function);
    }
}
