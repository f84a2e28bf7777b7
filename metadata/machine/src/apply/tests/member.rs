//! Nodes that join, and the ids under which they take part in the log.

use super::*;
use crate::rows::topology::{DriveRow, NodeRow, VoterRow};

const OTHER: NodeId = NodeId(60);

fn join(lab: &mut Lab, node: NodeId) -> u64 {
    let register = Operation::RegisterNode { node, zone: "east".into(), drives: vec![] };
    assert_eq!(lab.alone(register), Outcome::Done);
    admit(lab, node)
}

fn admit(lab: &mut Lab, node: NodeId) -> u64 {
    match lab.one(GATE, Operation::AdmitMember { node }) {
        Outcome::Admitted { member } => member,
        other => panic!("{other:?}"),
    }
}

fn report(lab: &mut Lab, voter: u64, index: u64) -> Outcome {
    lab.alone(Operation::ReportRun { voter, index: LogIndex(index) })
}

#[test]
fn an_id_is_the_index_at_which_it_was_given_and_is_given_once() {
    let (mut lab, _) = Lab::formed();
    assert!(matches!(refusal(&lab.one(GATE, Operation::AdmitMember { node: OTHER })), Some(Refusal::Unknown { .. })));
    let first = join(&mut lab, OTHER);
    assert_eq!(lab.get::<VoterRow>(&first).unwrap().node, Some(OTHER));
    let second = admit(&mut lab, OTHER);
    assert!(second > first);
    // In one entry there is one index.
    let both = lab.propose(GATE, vec![Operation::AdmitMember { node: OTHER }, Operation::AdmitMember { node: OTHER }]);
    assert!(matches!(both[0], Outcome::Admitted { .. }));
    assert_eq!(refusal(&both[1]), Some(&Refusal::Changed));
}

#[test]
fn who_has_no_seat_has_no_say_in_what_is_garbage() {
    let (mut lab, _) = Lab::formed();
    let member = join(&mut lab, OTHER);
    assert!(matches!(refusal(&report(&mut lab, member, 1)), Some(Refusal::Unknown { .. })));
    assert_eq!(report(&mut lab, VOTER, 5), Outcome::Done);
    let alone = due_until(&lab.rows).unwrap();
    assert!(alone > LogIndex(1));
    // From its seat on both must have a run.
    assert_eq!(lab.alone(Operation::SeatVoter { voter: member }), Outcome::Done);
    assert_eq!(lab.get::<NodeRow>(&OTHER).unwrap().voter, Some(member));
    assert_eq!(due_until(&lab.rows).unwrap(), LogIndex(1));
    assert_eq!(report(&mut lab, member, 4), Outcome::Done);
    assert_eq!(due_until(&lab.rows).unwrap(), alone.min(LogIndex(5)));
    assert_eq!(lab.get::<VoterRow>(&member).unwrap().node, Some(OTHER), "reporting forgets nothing");
}

#[test]
fn another_seat_of_the_same_node_takes_the_place_of_the_first() {
    let (mut lab, _) = Lab::formed();
    let old = join(&mut lab, OTHER);
    let new = admit(&mut lab, OTHER);
    for voter in [old, old, new, new] {
        assert_eq!(lab.alone(Operation::SeatVoter { voter }), Outcome::Done);
        assert_eq!(lab.get::<NodeRow>(&OTHER).unwrap().voter, Some(voter));
    }
    assert_eq!(lab.get::<VoterRow>(&old), None);
    // A late copy of the first seating finds nobody under that id.
    assert!(matches!(refusal(&lab.alone(Operation::SeatVoter { voter: old })), Some(Refusal::Unknown { .. })));
    assert_eq!(lab.get::<NodeRow>(&OTHER).unwrap().voter, Some(new));
}

#[test]
fn the_last_voter_stays() {
    let (mut lab, _) = Lab::formed();
    let member = join(&mut lab, OTHER);
    assert!(is_malformed(&lab.one(GATE, Operation::DismissMember { member: VOTER })));
    assert_eq!(lab.alone(Operation::SeatVoter { voter: member }), Outcome::Done);
    assert_eq!(lab.one(GATE, Operation::DismissMember { member: VOTER }), Outcome::Done);
    assert_eq!(lab.get::<NodeRow>(&NODE).unwrap().voter, None);
    assert!(is_malformed(&lab.one(GATE, Operation::DismissMember { member })));
    assert!(matches!(
        refusal(&lab.one(GATE, Operation::DismissMember { member: VOTER })),
        Some(Refusal::Unknown { .. })
    ));
    let spare = admit(&mut lab, NODE);
    assert_eq!(lab.one(GATE, Operation::DismissMember { member: spare }), Outcome::Done);
}

#[test]
fn a_node_joins_with_its_drives_and_once() {
    let (mut lab, _) = Lab::formed();
    let drives = vec![NewDrive { id: DriveId(900), weight: 2, label: "far".into() }];
    let register = || Operation::RegisterNode { node: OTHER, zone: "east".into(), drives: drives.clone() };
    assert_eq!(lab.alone(register()), Outcome::Done);
    let row = lab.get::<NodeRow>(&OTHER).unwrap();
    assert_eq!((row.zone.as_str(), row.voter), ("east", None));
    assert_eq!(lab.get::<DriveRow>(&DriveId(900)).unwrap().node, OTHER);
    assert_eq!(lab.alone(register()), Outcome::Done);
    assert_eq!(lab.get::<NodeRow>(&OTHER), Some(row));
}
