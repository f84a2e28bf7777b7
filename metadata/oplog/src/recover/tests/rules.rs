//! One rule, one test: small finds made by hand.

use std::collections::BTreeSet;

use cairn_core::{ClusterId, DriveId, EpochId};

use super::world::identity;
use crate::epoch::{Ancestor, EpochRecord, LogIdentity};
use crate::finding::{DriveFinding, GroupFound};
use crate::group::{GroupDigest, GroupName, GroupNumber};
use crate::recover::{Covered, Decision, Orders, Setting, StartPlan, decide};
use crate::refusal::Refusal;
use crate::roster::Quorum;

fn drives(ids: &[u64]) -> Vec<DriveId> {
    ids.iter().map(|&id| DriveId(id)).collect()
}

fn quorum(epoch: u64, copies: u8, roster: &[u64]) -> Quorum {
    Quorum { epoch: EpochId(epoch), copies, roster: drives(roster) }
}

fn root(id: u64, copies: u8, roster: &[u64]) -> EpochRecord {
    EpochRecord {
        id: EpochId(id),
        identity: identity(),
        ancestors: Vec::new(),
        kept: GroupNumber(0),
        floor: GroupNumber(1),
        quorum: quorum(id, copies, roster),
        witnesses: Vec::new(),
        forced: false,
    }
}

fn child(id: u64, of: &EpochRecord, kept: u64, roster: &[u64]) -> EpochRecord {
    let last = GroupNumber(kept);
    let mut ancestors = of.ancestors.clone();
    ancestors.push(Ancestor { epoch: of.id, first: of.kept.next(), last, forced: false });
    EpochRecord {
        id: EpochId(id),
        ancestors,
        kept: last,
        quorum: quorum(id, of.quorum.copies, roster),
        witnesses: vec![of.quorum.clone()],
        ..of.clone()
    }
}

fn name(epoch: u64, number: u64) -> GroupName {
    GroupName { epoch: EpochId(epoch), number: GroupNumber(number) }
}

fn group(epoch: u64, number: u64, acknowledged: u64) -> GroupFound {
    GroupFound {
        name: name(epoch, number),
        acknowledged: GroupNumber(acknowledged),
        floor: GroupNumber(1),
        digest: GroupDigest([number as u8; 16]),
    }
}

fn drive(id: u64, epochs: &[&EpochRecord], groups: &[GroupFound]) -> DriveFinding {
    DriveFinding {
        epochs: epochs.iter().map(|&epoch| epoch.clone()).collect(),
        groups: groups.to_vec(),
        ..DriveFinding::empty(DriveId(id))
    }
}

fn setting() -> Setting {
    Setting {
        identity: identity(),
        formed: true,
        failing: BTreeSet::new(),
        copies_wanted: 3,
        new_epoch: EpochId(99),
        orders: Orders::default(),
    }
}

fn start(found: &[DriveFinding], setting: &Setting) -> StartPlan {
    match decide(found, setting) {
        Decision::Start(plan) => *plan,
        other => panic!("{other:?}"),
    }
}

fn covered(found: &[DriveFinding], setting: &Setting) -> Covered {
    match decide(found, setting) {
        Decision::CoveredReadOnly(covered) => *covered,
        other => panic!("{other:?}"),
    }
}

fn refusal(found: &[DriveFinding], setting: &Setting) -> Refusal {
    match decide(found, setting) {
        Decision::Refuse(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

const SIX: [u64; 6] = [1, 2, 3, 4, 5, 6];

/// Six drives; groups 1 and 2 on the first three, 2 not yet told to be acknowledged.
fn six() -> (EpochRecord, Vec<DriveFinding>) {
    let epoch = root(10, 3, &SIX);
    let groups = [group(10, 1, 0), group(10, 2, 1)];
    let found = SIX.map(|id| drive(id, &[&epoch], if id <= 3 { &groups } else { &[] }));
    (epoch, found.to_vec())
}

#[test]
fn a_first_start_is_not_a_lost_log() {
    let found: Vec<_> = SIX.iter().map(|&id| DriveFinding::empty(DriveId(id))).collect();
    let fresh = Setting { formed: false, ..setting() };
    let plan = start(&found, &fresh);
    assert_eq!(plan.epoch.quorum, quorum(99, 3, &SIX));
    assert_eq!((plan.kept.groups.len(), plan.copies.len(), plan.base), (0, 0, None));
    assert_eq!(refusal(&found, &setting()), Refusal::LogLost { drives: drives(&SIX) });
    assert_eq!(refusal(&[], &fresh), Refusal::NoDrives);
}

#[test]
fn a_formation_cut_short_begins_again() {
    let attempt = root(10, 3, &SIX);
    let mut found: Vec<_> = SIX.iter().map(|&id| DriveFinding::empty(DriveId(id))).collect();
    found[2] = drive(3, &[&attempt], &[]);
    let plan = start(&found, &Setting { formed: false, ..setting() });
    assert_eq!(plan.epoch.ancestors, [Ancestor::void(EpochId(10), false)]);
    assert!(
        matches!(refusal(&found, &setting()), Refusal::TooManyMissing { .. }),
        "but not where it was told to be formed"
    );
}

#[test]
fn failing_drives_never_lower_the_copies() {
    let two = [DriveFinding::empty(DriveId(1)), DriveFinding::empty(DriveId(2))];
    let failing = |ids: &[u64]| Setting { formed: false, failing: drives(ids).into_iter().collect(), ..setting() };
    assert_eq!(refusal(&two, &failing(&[3])), Refusal::NotFormed { missing: drives(&[3]), missing_max: 2 });
    let six: Vec<_> = SIX.iter().map(|&id| DriveFinding::empty(DriveId(id))).collect();
    assert_eq!(start(&six, &failing(&[7, 8])).epoch.quorum, quorum(99, 3, &SIX));
    let refused = refusal(&six, &failing(&[7, 8, 9]));
    assert_eq!(refused, Refusal::NotFormed { missing: drives(&[7, 8, 9]), missing_max: 2 });
}

#[test]
fn few_drives_make_few_copies() {
    let one = [DriveFinding::empty(DriveId(4))];
    let fresh = Setting { formed: false, ..setting() };
    assert_eq!(start(&one, &fresh).epoch.quorum, quorum(99, 1, &[4]));
    let two = [DriveFinding::empty(DriveId(5)), DriveFinding::empty(DriveId(4))];
    assert_eq!(start(&two, &fresh).epoch.quorum, quorum(99, 2, &[4, 5]));
}

#[test]
fn r_minus_one_drives_may_be_missing_and_no_more() {
    let (_, found) = six();
    for first in 0..6 {
        for second in first + 1..6 {
            let present: Vec<_> =
                (0..6).filter(|position| ![first, second].contains(position)).map(|p| found[p].clone()).collect();
            let plan = start(&present, &setting());
            assert_eq!(plan.kept.last, GroupNumber(2));
            assert_eq!(plan.epoch.quorum.roster, drives(&SIX), "who is away stays in the roster");
            let held = plan.kept.groups[1].holders.len();
            let copies = plan.copies.iter().filter(|copy| copy.name == name(10, 2)).count();
            assert_eq!(held + copies, 3, "the tail lies on three drives again");
        }
    }
    assert_eq!(
        refusal(&found[..3], &setting()),
        Refusal::TooManyMissing { epoch: EpochId(10), missing: drives(&[4, 5, 6]), missing_max: 2 }
    );
}

#[test]
fn a_gap_behind_the_durable_end_voids_what_follows() {
    let (epoch, mut found) = six();
    found[0].groups.extend([group(10, 4, 1), group(10, 5, 1)]);
    let plan = start(&found, &setting());
    assert_eq!(plan.kept.last, GroupNumber(2));
    let next = &plan.epoch;
    assert!(next.counts(name(10, 2)) && !next.counts(name(10, 4)) && next.counts(name(99, 3)));
    // The next start sees the abandoned tail again, and passes it over.
    let newer: Vec<_> = SIX
        .iter()
        .map(|&id| {
            let mut both = found[id as usize - 1].clone();
            both.epochs.push(next.clone());
            if id <= 3 {
                both.groups.extend([group(99, 3, 2), group(99, 4, 3)]);
            }
            both
        })
        .collect();
    let plan = start(&newer, &Setting { new_epoch: EpochId(100), ..setting() });
    let names: Vec<_> = plan.kept.groups.iter().map(|group| group.name).collect();
    assert_eq!(names, [name(10, 1), name(10, 2), name(99, 3), name(99, 4)]);
    assert!(plan.epoch.descends_from(epoch.id));
}

#[test]
fn a_hole_below_the_durable_end_refuses() {
    let (_, mut found) = six();
    for finding in &mut found[..3] {
        finding.groups = vec![group(10, 1, 0), group(10, 3, 2)];
    }
    let hole = Refusal::Hole { number: GroupNumber(2), durable: GroupNumber(2), missing: vec![], damaged: vec![] };
    assert_eq!(refusal(&found, &setting()), hole);
    let accept = Orders { accept_loss: true, ..Orders::default() };
    let plan = start(&found, &Setting { orders: accept, ..setting() });
    assert_eq!((plan.kept.last, plan.epoch.forced), (GroupNumber(1), true));
}

#[test]
fn a_purged_beginning_is_no_hole() {
    let (_, mut found) = six();
    let mut last = group(10, 9, 8);
    last.floor = GroupNumber(9);
    found.iter_mut().for_each(|finding| finding.groups.clear());
    found[5].groups = vec![last];
    let plan = start(&found, &setting());
    assert_eq!((plan.kept.floor, plan.kept.last), (GroupNumber(9), GroupNumber(9)));
    // A floor that is named behind a gap has not taken effect: nobody was told of that group.
    found[5].groups = vec![GroupFound { floor: GroupNumber(3), ..group(10, 9, 2) }];
    found[4].groups = vec![group(10, 1, 0), group(10, 2, 1)];
    let plan = start(&found, &setting());
    assert_eq!((plan.kept.floor, plan.kept.last), (GroupNumber(1), GroupNumber(2)));
}

#[test]
fn a_damaged_copy_is_made_good_from_another_drive() {
    let (_, mut found) = six();
    found[0].groups.remove(0);
    found[0].damaged = vec![name(10, 1)];
    let plan = start(&found, &setting());
    let copied: Vec<_> = plan.copies.iter().filter(|copy| copy.name == name(10, 1)).collect();
    assert_eq!(copied.len(), 1);
    assert!(!copied[0].from.contains(0));
    // The only copy that is here: it may have been acknowledged on two others.
    for finding in &mut found[..3] {
        finding.groups.retain(|group| group.name != name(10, 2));
    }
    found[2].damaged = vec![name(10, 2)];
    let refused = refusal(&found[2..], &setting());
    let damaged = Refusal::Damaged { name: name(10, 2), damaged: drives(&[3]), missing: drives(&[1, 2]) };
    assert_eq!(refused, damaged);
    // With all drives here it was on one at most: nobody was told.
    assert_eq!(start(&found, &setting()).kept.last, GroupNumber(1));
}

#[test]
fn a_drive_that_forgot_counts_as_missing() {
    let (_, mut found) = six();
    found[0] = DriveFinding::empty(DriveId(1));
    found[1].incomplete = true;
    let plan = start(&found, &setting());
    let copied = plan.copies.iter().filter(|copy| copy.name == name(10, 1)).count();
    assert_eq!(copied, 1, "groups lie on drives 2 and 3 alone: a third copy, also of what is long acknowledged");
    found[5].incomplete = true;
    assert!(matches!(refusal(&found, &setting()), Refusal::TooManyMissing { .. }));
}

#[test]
fn too_few_drives_to_acknowledge_can_still_be_read() {
    let epoch = root(10, 3, &[1, 2, 3]);
    let groups = [group(10, 1, 0), group(10, 2, 1)];
    let found = [drive(1, &[&epoch], &groups)];
    let reading = covered(&found, &setting());
    assert_eq!((reading.kept.last, reading.missing), (GroupNumber(2), drives(&[2, 3])));
    // Declared lost by the log, with two fresh ones: still no three of the old ones.
    let with_fresh = [found[0].clone(), DriveFinding::empty(DriveId(7)), DriveFinding::empty(DriveId(8))];
    let replaced = Orders { replaced: [DriveId(2), DriveId(3)].into(), ..Orders::default() };
    covered(&with_fresh, &Setting { orders: replaced, ..setting() });
    // An operator's word that they never come back.
    let given_up = Orders { given_up: [DriveId(2), DriveId(3)].into(), ..Orders::default() };
    let plan = start(&with_fresh, &Setting { orders: given_up.clone(), ..setting() });
    assert_eq!(plan.epoch.quorum, quorum(99, 3, &[1, 7, 8]));
    assert_eq!(plan.epoch.witnesses, [quorum(10, 1, &[1])]);
    assert_eq!((plan.copies.len(), plan.epoch.forced), (4, true));
    // Without fresh ones there are fewer registered drives, and so fewer copies.
    assert_eq!(start(&found, &Setting { orders: given_up, ..setting() }).epoch.quorum, quorum(99, 1, &[1]));
}

#[test]
fn replaced_drives_leave_when_everything_is_copied() {
    let (_, found) = six();
    let present = [&found[2..], &[DriveFinding::empty(DriveId(7)), DriveFinding::empty(DriveId(8))]].concat();
    let orders = Orders { replaced: [DriveId(1), DriveId(2)].into(), ..Orders::default() };
    let plan = start(&present, &Setting { orders, ..setting() });
    assert_eq!(plan.epoch.quorum, quorum(99, 3, &[3, 4, 5, 6, 7, 8]));
    assert_eq!(plan.copies.len(), 4, "groups 1 and 2 lie on drive 3 alone");
    assert_eq!(plan.epoch.witnesses, [quorum(10, 3, &SIX)]);
}

#[test]
fn more_copies_take_effect_when_everything_lies_on_them() {
    let (_, found) = six();
    let plan = start(&found, &Setting { copies_wanted: 4, ..setting() });
    assert_eq!((plan.epoch.quorum.copies, plan.copies.len()), (4, 2));
    let fewer = start(&found, &Setting { copies_wanted: 2, ..setting() });
    assert_eq!((fewer.epoch.quorum.copies, fewer.copies.len()), (2, 0));
}

#[test]
fn an_attempt_without_groups_is_dropped() {
    let (epoch, mut found) = six();
    let attempt = child(11, &epoch, 1, &[1, 2, 3, 4, 5, 7]);
    found[4].epochs.push(attempt.clone());
    let plan = start(&found, &setting());
    assert_eq!((plan.base, plan.kept.last), (Some(EpochId(10)), GroupNumber(2)));
    assert!(plan.epoch.descends_from(EpochId(11)) && !plan.epoch.counts(name(11, 2)));
    assert_eq!(plan.epoch.witnesses.len(), 1, "on one drive of six it cannot have begun");
    // Where it may have begun, the next epoch is seen from its roster too.
    found[2].epochs.push(attempt.clone());
    let plan = start(&found[..5], &setting());
    assert_eq!(plan.epoch.witnesses, [quorum(10, 3, &SIX), quorum(11, 3, &[1, 2, 3, 4, 5, 7])]);
    // On a roster that is not here nobody knows what happened.
    let elsewhere = child(12, &epoch, 1, &[1, 2, 3, 21, 22, 23]);
    found[0].epochs.push(elsewhere.clone());
    found[1].epochs.push(elsewhere.clone());
    found[2].epochs.push(elsewhere);
    assert!(matches!(refusal(&found, &setting()), Refusal::TooManyMissing { epoch: EpochId(12), .. }));
}

#[test]
fn two_histories_are_refused_by_name() {
    let (epoch, mut found) = six();
    let one = child(11, &epoch, 2, &SIX);
    let other = child(12, &epoch, 2, &SIX);
    found[0].epochs.push(one.clone());
    found[0].groups.push(group(11, 3, 2));
    found[5].epochs.push(other);
    // Without groups it is an attempt that lost against the one that began.
    assert_eq!(start(&found, &setting()).base, Some(EpochId(11)));
    found[5].groups.push(group(12, 3, 2));
    let epochs = vec![(EpochId(11), drives(&[1])), (EpochId(12), drives(&[6]))];
    let refused = refusal(&found, &setting());
    assert_eq!(refused, Refusal::TwoHistories { epochs });
    assert!(refused.to_string().contains("000000000000000b"), "{refused}");
    let orders = Orders { accept_loss: true, abandoned: [EpochId(12)].into(), ..Orders::default() };
    let plan = start(&found, &Setting { orders, ..setting() });
    assert_eq!((plan.base, plan.kept.last), (Some(EpochId(11)), GroupNumber(3)));
    assert!(!plan.epoch.counts(name(12, 3)) && plan.epoch.descends_from(EpochId(12)));
}

#[test]
fn a_forced_rival_is_not_taken_for_the_winner() {
    let (epoch, mut found) = six();
    let forced = EpochRecord { forced: true, ..child(11, &epoch, 2, &[1, 2, 3]) };
    let rival = child(12, &epoch, 2, &[4, 5, 6, 7, 8, 9]);
    found[0].epochs.push(forced.clone());
    found[0].groups.push(group(11, 3, 2));
    for finding in &mut found[3..] {
        finding.epochs.push(rival.clone());
    }
    let refused = refusal(&found, &setting());
    assert!(matches!(refused, Refusal::TooManyMissing { epoch: EpochId(12), .. }), "{refused}");
}

#[test]
fn foreign_and_unknown_groups_are_not_taken_over() {
    let (_, mut found) = six();
    let foreign = EpochRecord { identity: LogIdentity { cluster: ClusterId(77), ..identity() }, ..root(50, 1, &[9]) };
    found.push(drive(9, &[&foreign], &[group(50, 1, 0)]));
    let plan = start(&found, &setting());
    assert!(!plan.epoch.quorum.contains(DriveId(9)), "another node's log is left alone");
    assert!(plan.copies.iter().all(|copy| copy.to != 6));
    found[3].groups.push(group(77, 5, 4));
    assert_eq!(refusal(&found, &setting()), Refusal::UnknownEpoch { epoch: EpochId(77), drives: drives(&[4]) });
}

#[test]
fn differing_bytes_under_one_name_are_refused() {
    let (epoch, mut found) = six();
    found[1].groups[0].digest = GroupDigest([99; 16]);
    assert!(matches!(refusal(&found, &setting()), Refusal::Conflict { .. }));
    let (_, mut found) = six();
    found[1].epochs = vec![EpochRecord { kept: GroupNumber(5), ..epoch }];
    assert!(matches!(refusal(&found, &setting()), Refusal::Conflict { .. }));
    let (_, mut found) = six();
    found.push(found[0].clone());
    assert_eq!(refusal(&found, &setting()), Refusal::SameDriveTwice { drive: DriveId(1) });
}
