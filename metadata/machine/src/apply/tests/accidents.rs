//! One test for each accident that the rules exist to prevent.

use cairn_core::ChunkName;

use super::*;
use crate::rows::extent::{ExtentPlace, ExtentRow};
use crate::rows::garbage::{GarbageKey, GarbageRow};
use crate::rows::manifest::{ManifestRow, ManifestState, RetirementRow};
use crate::rows::spent::SpentWriteRow;
use crate::rows::stripe::{StripeLiveRow, StripeRow};
use DriveState::{Active, Draining, Lost, Removed};

#[test]
fn a_write_that_lands_while_its_drive_is_drained_is_placed_anew() {
    let (mut lab, bucket) = Lab::formed();
    assert_eq!(lab.set_state(1, Active, Draining), Outcome::Done);
    let stripe = StripeId(lab.write(GATE));
    let before = lab.rows.clone();
    let outcomes = lab.propose(GATE, packed(stripe, vec![put_in(bucket, "a", stripe, 0)]));
    assert_eq!(refusal(&outcomes[0]), Some(&Refusal::PlaceAnew { positions: vec![1] }));
    assert_eq!(refusal(&outcomes[1]), Some(&Refusal::Depends));
    assert_eq!(refusal(&outcomes[2]), Some(&Refusal::Depends));
    let (kept, slot) = (before.0.len(), 1);
    assert_eq!(lab.rows.0.len(), kept + slot, "nothing but the answer was kept");
    // The same stripe with that position elsewhere is taken.
    let write = lab.write(GATE);
    let mut again = packed(stripe, vec![put_in(bucket, "a", stripe, 0)]);
    let Operation::MakeStripe { positions, .. } = &mut again[0] else { unreachable!() };
    positions[1] = PlacedChunk { drive: DriveId(3), write };
    assert!(lab.propose(GATE, again).iter().all(|outcome| refusal(outcome).is_none()));
    assert_eq!(lab.ledger(3).chunks, 1);
    assert_eq!(lab.ledger(1), DriveLedgerRow::default());
}

#[test]
fn one_stripe_placed_anew_costs_the_proposal_none_of_the_others() {
    let (mut lab, bucket) = Lab::formed();
    lab.set_state(5, Active, Lost);
    let (first, second) = (StripeId(lab.write(GATE)), StripeId(lab.write(GATE)));
    let content = NewContent::Extents(vec![in_stripe(first, 0), in_stripe(second, 0)]);
    let put = put_with(bucket, "a", 200, content, Conditions::default());
    let proposal = |drives: &[u64]| {
        let settle = |id| Operation::SettleStripe { id };
        vec![make(first), make_on(second, drives), put.clone(), settle(first), settle(second)]
    };
    let outcomes = lab.propose(GATE, proposal(&[3, 4, 5]));
    let refusals: Vec<_> = outcomes.iter().map(|outcome| refusal(outcome).cloned().unwrap()).collect();
    assert_eq!(refusals[..2], [Refusal::Depends, Refusal::PlaceAnew { positions: vec![2] }]);
    assert!(refusals[2..].iter().all(|refusal| *refusal == Refusal::Depends));
    assert!(lab.garbage().is_empty());
    assert!(lab.propose(GATE, proposal(&[3, 4, 0])).iter().all(|outcome| refusal(outcome).is_none()));
}

#[test]
fn a_dead_session_commits_nothing() {
    let (mut lab, bucket) = Lab::formed();
    let stripe = StripeId(lab.write(GATE));
    let renewed = lab.get::<crate::rows::session::SessionRow>(&GATE).unwrap().renewed;
    assert_eq!(lab.alone(Operation::EndSession { id: GATE, last_renewal: Some(renewed) }), Outcome::Done);
    // By its own request, and by another session's that carries its writes.
    for session in [GATE, REPAIR] {
        let outcomes = lab.propose(session, packed(stripe, vec![put_in(bucket, "a", stripe, 0)]));
        assert_eq!(refusal(&outcomes[0]), Some(&Refusal::SessionEnded));
        assert!(outcomes.iter().all(|outcome| refusal(outcome).is_some()));
    }
    assert_eq!(lab.ledger(0), DriveLedgerRow::default());
}

#[test]
fn a_position_written_by_a_dead_session_is_refused_with_the_stripe() {
    let (mut lab, bucket) = Lab::formed();
    let (stripe, ghost) = (StripeId(lab.write(GATE)), WriteId { session: SessionId(99), counter: 1 });
    let mut operations = packed(stripe, vec![put_in(bucket, "a", stripe, 0)]);
    let Operation::MakeStripe { positions, .. } = &mut operations[0] else { unreachable!() };
    positions[2].write = ghost;
    assert_eq!(refusal(&lab.propose(GATE, operations)[0]), Some(&Refusal::SessionEnded));
}

#[test]
fn an_orphan_is_condemned_only_when_nobody_can_commit_it_any_more() {
    let (mut lab, bucket) = Lab::formed();
    let stripe = StripeId(lab.write(GATE));
    let chunk = ChunkName { stripe, position: 0, write: stripe.0 };
    let condemn = Operation::Condemn { chunk, drive: DriveId(0) };
    let outcome = lab.one(REPAIR, condemn.clone());
    assert!(matches!(refusal(&outcome), Some(Refusal::NotDue { .. })), "its write may be under way");
    // The session says that it has given up everything up to here: from now on one of the two is refused, and it is
    // the commit.
    lab.renew(GATE, stripe.0.counter + 1);
    assert_eq!(lab.one(REPAIR, condemn), Outcome::Done);
    let outcomes = lab.propose(GATE, packed(stripe, vec![put_in(bucket, "a", stripe, 0)]));
    assert_eq!(refusal(&outcomes[0]), Some(&Refusal::StaleWrite));
    assert_eq!(lab.garbage().len(), 1);
    assert_eq!(lab.ledger(0), DriveLedgerRow { garbage_chunks: 1, ..Default::default() });
}

#[test]
fn a_chunk_that_a_stripe_names_is_never_condemned() {
    let (mut lab, bucket) = Lab::formed();
    let (stripe, _) = lab.put(bucket, "a");
    lab.renew(GATE, 1000);
    let chunk = ChunkName { stripe, position: 0, write: stripe.0 };
    let condemn = |chunk| Operation::Condemn { chunk, drive: DriveId(0) };
    assert_eq!(refusal(&lab.one(REPAIR, condemn(chunk))), Some(&Refusal::Changed));
    // Another attempt at the same position is an orphan beside it (invariant 5).
    let other = ChunkName { write: WriteId { counter: 999, ..stripe.0 }, ..chunk };
    assert_eq!(lab.one(REPAIR, condemn(other)), Outcome::Done);
    assert_eq!(lab.garbage(), [GarbageKey { index: lab.index, chunk: other }]);
}

#[test]
fn two_daemons_move_one_position_and_one_of_them_wins() {
    let (mut lab, bucket) = Lab::formed();
    let (stripe, _) = lab.put(bucket, "a");
    let from = PlacedChunk { drive: DriveId(0), write: stripe.0 };
    let attempt = |lab: &mut Lab, drive| {
        let to = PlacedChunk { drive: DriveId(drive), write: lab.write(REPAIR) };
        (to, lab.one(REPAIR, Operation::MovePosition { stripe, position: 0, from, to }))
    };
    let (won, outcome) = attempt(&mut lab, 4);
    assert_eq!(outcome, Outcome::Done);
    let moved_at = lab.index;
    let (lost, outcome) = attempt(&mut lab, 5);
    assert_eq!(refusal(&outcome), Some(&Refusal::Changed));
    assert_eq!(lab.get::<StripeRow>(&stripe).unwrap().positions[0], won);
    let old = ChunkName { stripe, position: 0, write: stripe.0 };
    assert_eq!(lab.garbage(), [GarbageKey { index: moved_at, chunk: old }]);
    assert_eq!((lab.ledger(0).chunks, lab.ledger(4).chunks, lab.ledger(5).chunks), (0, 1, 0));
    // What the loser cleans up is its own attempt, never the winner's.
    lab.renew(REPAIR, 1000);
    let chunk = |write| ChunkName { stripe, position: 0, write };
    let condemn = |write| Operation::Condemn { chunk: chunk(write), drive: DriveId(5) };
    assert_eq!(lab.one(REPAIR, condemn(lost.write)), Outcome::Done);
    assert_eq!(refusal(&lab.one(REPAIR, condemn(won.write))), Some(&Refusal::Changed));
}

#[test]
fn a_move_is_judged_like_a_write() {
    let (mut lab, bucket) = Lab::formed();
    let (stripe, _) = lab.put(bucket, "a");
    let from = PlacedChunk { drive: DriveId(0), write: stripe.0 };
    let to = |lab: &mut Lab, drive| PlacedChunk { drive: DriveId(drive), write: lab.write(REPAIR) };
    let move_to = |to| Operation::MovePosition { stripe, position: 0, from, to };
    lab.set_state(4, Active, Draining);
    let target = to(&mut lab, 4);
    assert_eq!(refusal(&lab.one(REPAIR, move_to(target))), Some(&Refusal::PlaceAnew { positions: vec![0] }));
    let target = to(&mut lab, 1);
    assert!(is_malformed(&lab.one(REPAIR, move_to(target))), "another position lies there");
    let target = PlacedChunk { drive: DriveId(5), write: stripe.0 };
    assert!(is_malformed(&lab.one(REPAIR, move_to(target))), "a new attempt has a new name");
    let stale = to(&mut lab, 5);
    lab.renew(REPAIR, 1000);
    assert_eq!(refusal(&lab.one(REPAIR, move_to(stale))), Some(&Refusal::StaleWrite));
    let ghost = PlacedChunk { drive: DriveId(5), write: WriteId { session: SessionId(9), counter: 5 } };
    assert_eq!(refusal(&lab.one(REPAIR, move_to(ghost))), Some(&Refusal::SessionEnded));
}

#[test]
fn a_stripe_whose_puts_are_all_refused_leaves_garbage_and_nothing_else() {
    let (mut lab, bucket) = Lab::formed();
    lab.put(bucket, "a");
    let stripe = StripeId(lab.write(GATE));
    let absent = Conditions { if_none_match: Some(crate::operation::EtagCondition::Any), ..Default::default() };
    let content = NewContent::Extents(vec![in_stripe(stripe, 0)]);
    let put = put_with(bucket, "a", u64::from(LENGTH), content, absent);
    let outcomes = lab.propose(GATE, packed(stripe, vec![put]));
    assert_eq!(refusal(&outcomes[1]), Some(&Refusal::PreconditionFailed));
    assert_eq!((&outcomes[0], &outcomes[2]), (&Outcome::Done, &Outcome::Done));
    assert!(lab.get::<StripeRow>(&stripe).is_none());
    assert_eq!(lab.garbage().len(), 3);
    assert_eq!(lab.ledger(0).garbage_bytes, 6400);
}

#[test]
fn a_stripe_that_died_young_is_not_committed_again_from_its_garbage() {
    let (mut lab, bucket) = Lab::formed();
    let (stripe, _) = lab.put(bucket, "a");
    lab.one(GATE, delete(bucket, "a"));
    assert_eq!(lab.garbage().len(), 3);
    let again = packed(stripe, vec![put_in(bucket, "a", stripe, 0)]);
    assert_eq!(refusal(&lab.propose(GATE, again.clone())[0]), Some(&Refusal::StaleWrite));
    assert!(lab.get::<SpentWriteRow>(&stripe.0).is_some());
    // Once the session's mark has passed the write, the mark alone refuses it, and the row is not needed any more.
    lab.renew(GATE, stripe.0.counter + 1);
    assert!(lab.get::<SpentWriteRow>(&stripe.0).is_none());
    assert_eq!(refusal(&lab.propose(GATE, again)[0]), Some(&Refusal::StaleWrite));
}

#[test]
fn garbage_is_collected_only_when_it_is_due() {
    let (mut lab, bucket) = Lab::formed();
    lab.put(bucket, "a");
    lab.one(GATE, delete(bucket, "a"));
    let garbage = lab.garbage();
    let at = garbage[0].index;
    let collect = Operation::Collected { garbage: garbage.clone() };
    let not_due = Refusal::NotDue { until: at };
    assert_eq!(refusal(&lab.one(REPAIR, collect.clone())), Some(&not_due), "sessions may still read");
    let renew = |id| Operation::RenewSession { id, commits_from: 0, reads_from: at };
    lab.one(GATE, renew(GATE));
    assert_eq!(refusal(&lab.one(REPAIR, collect.clone())), Some(&not_due), "one of them still may");
    lab.one(REPAIR, renew(REPAIR));
    assert_eq!(refusal(&lab.one(REPAIR, collect.clone())), Some(&not_due), "no run has it");
    lab.alone(Operation::ReportRun { voter: VOTER, index: LogIndex(at.0 - 1) });
    assert_eq!(refusal(&lab.one(REPAIR, collect.clone())), Some(&not_due), "the run is too old");
    lab.alone(Operation::ReportRun { voter: VOTER, index: at });
    assert_eq!(due_until(&lab.rows).unwrap(), LogIndex(at.0 + 1));
    assert_eq!(lab.one(REPAIR, collect.clone()), Outcome::Done);
    assert!(lab.garbage().is_empty());
    assert_eq!(lab.ledger(0), DriveLedgerRow::default());
    assert_eq!(lab.one(REPAIR, collect), Outcome::Done, "a second collector finds nothing left to do");
}

#[test]
fn one_row_that_is_not_due_keeps_all_of_its_operation() {
    let (mut lab, bucket) = Lab::formed();
    lab.put(bucket, "a");
    lab.one(GATE, delete(bucket, "a"));
    lab.pass();
    lab.put(bucket, "b");
    lab.one(GATE, delete(bucket, "b"));
    let garbage = lab.garbage();
    assert_eq!(garbage.len(), 6);
    let outcome = lab.one(REPAIR, Operation::Collected { garbage });
    assert_eq!(refusal(&outcome), Some(&Refusal::NotDue { until: LogIndex(lab.index.0 - 1) }));
    assert_eq!(lab.garbage().len(), 6);
}

#[test]
fn what_lay_on_a_lost_drive_is_collected_and_the_drive_removed_when_it_holds_nothing() {
    let (mut lab, bucket) = Lab::formed();
    let (stripe, _) = lab.put(bucket, "a");
    lab.set_state(0, Active, Lost);
    assert_eq!(refusal(&lab.set_state(0, Lost, Removed)), Some(&Refusal::DriveInUse { chunks: 1 }));
    let from = PlacedChunk { drive: DriveId(0), write: stripe.0 };
    let to = PlacedChunk { drive: DriveId(3), write: lab.write(REPAIR) };
    assert_eq!(lab.one(REPAIR, Operation::MovePosition { stripe, position: 0, from, to }), Outcome::Done);
    lab.pass();
    let garbage = lab.garbage();
    assert_eq!(lab.one(REPAIR, Operation::Collected { garbage }), Outcome::Done);
    assert_eq!(lab.set_state(0, Lost, Removed), Outcome::Done);
    assert!(is_malformed(&lab.set_state(0, Removed, Active)));
}

#[test]
fn a_rewrite_moves_what_is_still_there_and_frees_the_old_stripe() {
    let (mut lab, bucket) = Lab::formed();
    let (old, extent) = lab.put(bucket, "a");
    let (gone, dead) = lab.put(bucket, "b");
    lab.one(GATE, delete(bucket, "b"));
    let full = StripeId(lab.write(REPAIR));
    let move_extent = |extent, from, offset| Operation::MoveExtent { extent, from: Some(from), stripe: full, offset };
    let outcomes = lab.propose(REPAIR, packed(full, vec![move_extent(extent, old, 0), move_extent(dead, gone, 100)]));
    assert_eq!((&outcomes[1], refusal(&outcomes[2])), (&Outcome::Done, Some(&Refusal::Changed)));
    let row = lab.get::<ExtentRow>(&extent).unwrap();
    assert_eq!(row.place, ExtentPlace::Stripe { stripe: full, offset: 0 });
    assert!(lab.get::<StripeRow>(&old).is_none(), "its last extent has left");
    assert_eq!(lab.get::<StripeLiveRow>(&full).unwrap(), StripeLiveRow { extents: 1, bytes: 100 });
    // A rewrite of what is elsewhere by now changes nothing.
    let late = StripeId(lab.write(REPAIR));
    let again = Operation::MoveExtent { extent, from: Some(old), stripe: late, offset: 0 };
    let outcomes = lab.propose(REPAIR, packed(late, vec![again]));
    assert_eq!(refusal(&outcomes[1]), Some(&Refusal::Changed));
    assert!(lab.get::<StripeRow>(&late).is_none());
}

#[test]
fn bytes_in_a_row_move_into_a_stripe() {
    let (mut lab, bucket) = Lab::formed();
    let extent = ExtentId { write: lab.write(GATE), ordinal: 0 };
    let here = NewExtent { id: extent, length: 3, place: NewPlace::Here(vec![1, 2, 3].into()) };
    let put = put_with(bucket, "a", 3, NewContent::Extents(vec![here]), Conditions::default());
    assert!(matches!(lab.one(GATE, put), Outcome::Put { .. }));
    assert!(matches!(lab.get::<ExtentRow>(&extent).unwrap().place, ExtentPlace::Here { .. }));
    let stripe = StripeId(lab.write(REPAIR));
    let rewrite = Operation::MoveExtent { extent, from: None, stripe, offset: 0 };
    assert_eq!(lab.propose(REPAIR, packed(stripe, vec![rewrite]))[1], Outcome::Done);
    assert_eq!(lab.get::<StripeLiveRow>(&stripe).unwrap().extents, 1);
    lab.one(GATE, delete(bucket, "a"));
    assert!(lab.get::<ExtentRow>(&extent).is_none());
}

#[test]
fn a_long_object_comes_and_goes_in_steps() {
    let (mut lab, bucket) = Lab::formed();
    let manifest = ManifestId(lab.write(GATE));
    for pages in 0..3 {
        let stripe = StripeId(lab.write(GATE));
        let extents = (0..64).map(|ordinal| in_stripe(stripe, ordinal)).collect();
        let outcomes = lab.propose(GATE, packed(stripe, vec![page(manifest, pages, extents)]));
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Done), "{outcomes:?}");
    }
    let put = |size| put_with(bucket, "long", size, NewContent::Manifest(manifest), Conditions::default());
    assert!(is_malformed(&lab.one(GATE, put(1))), "not the size of the pages");
    assert!(matches!(lab.one(GATE, put(3 * 6400)), Outcome::Put { .. }));
    assert_eq!(lab.get::<ManifestRow>(&manifest).unwrap().state, ManifestState::Referenced(1));
    // A copy shares it; the first delete leaves it, the second retires it.
    let version = lab.get::<crate::rows::object::ObjectRow>(&(bucket, key("long"))).unwrap().version;
    let source = NewContent::Shared { bucket, key: key("long"), version, range: None };
    assert!(matches!(
        lab.one(GATE, put_with(bucket, "copy", 3 * 6400, source, Conditions::default())),
        Outcome::Put { .. }
    ));
    assert_eq!(lab.get::<ManifestRow>(&manifest).unwrap().state, ManifestState::Referenced(2));
    lab.one(GATE, delete(bucket, "long"));
    assert_eq!(lab.get::<ManifestRow>(&manifest).unwrap().state, ManifestState::Referenced(1));
    lab.one(GATE, delete(bucket, "copy"));
    assert_eq!(lab.get::<RetirementRow>(&manifest).unwrap().next_page, 0);
    assert_eq!(lab.garbage().len(), 0);
    for page in 0..3 {
        assert_eq!(lab.one(REPAIR, Operation::RetirePage { manifest, page }), Outcome::Done);
        assert_eq!(lab.garbage().len(), 3 * (page as usize + 1));
        let again = lab.one(REPAIR, Operation::RetirePage { manifest, page });
        assert!(refusal(&again).is_some(), "each page goes once");
    }
    assert!(lab.get::<ManifestRow>(&manifest).is_none());
    assert!(lab.get::<RetirementRow>(&manifest).is_none());
}

#[test]
fn what_a_dead_session_left_half_written_is_given_up() {
    let (mut lab, _) = Lab::formed();
    let (manifest, stripe) = (ManifestId(lab.write(GATE)), StripeId(lab.write(GATE)));
    lab.propose(GATE, packed(stripe, vec![page(manifest, 0, vec![in_stripe(stripe, 0)])]));
    let abandon = Operation::AbandonManifest { manifest, session: REPAIR };
    assert_eq!(refusal(&lab.one(REPAIR, abandon.clone())), Some(&Refusal::Changed), "its session lives");
    assert_eq!(lab.one(GATE, Operation::EndSession { id: GATE, last_renewal: None }), Outcome::Done);
    assert_eq!(lab.one(REPAIR, abandon), Outcome::Done);
    assert_eq!(lab.one(REPAIR, Operation::RetirePage { manifest, page: 0 }), Outcome::Done);
    assert!(lab.get::<StripeRow>(&stripe).is_none());
    assert_eq!(lab.garbage().len(), 3);
}

#[test]
fn what_builds_on_a_refused_page_is_refused() {
    let (mut lab, bucket) = Lab::formed();
    lab.set_state(0, Active, Draining);
    let (manifest, stripe) = (ManifestId(lab.write(GATE)), StripeId(lab.write(GATE)));
    let put = put_with(bucket, "a", 100, NewContent::Manifest(manifest), Conditions::default());
    let outcomes = lab.propose(GATE, packed(stripe, vec![page(manifest, 0, vec![in_stripe(stripe, 0)]), put]));
    assert!(outcomes[1..].iter().all(|outcome| refusal(outcome) == Some(&Refusal::Depends)), "{outcomes:?}");
}

#[test]
fn a_stripe_without_its_end_is_refused_and_so_is_a_stripe_made_twice() {
    let (mut lab, bucket) = Lab::formed();
    let stripe = StripeId(lab.write(GATE));
    let outcomes = lab.propose(GATE, vec![make(stripe), put_in(bucket, "a", stripe, 0)]);
    assert!(is_malformed(&outcomes[0]));
    assert_eq!(refusal(&outcomes[1]), Some(&Refusal::Depends));
    let settle = Operation::SettleStripe { id: stripe };
    let outcomes =
        lab.propose(GATE, vec![make(stripe), make(stripe), put_in(bucket, "a", stripe, 0), settle.clone(), settle]);
    assert!(is_malformed(&outcomes[1]), "the first one stands");
    assert!(is_malformed(&outcomes[4]), "it is settled");
    assert_eq!((&outcomes[0], &outcomes[3]), (&Outcome::Done, &Outcome::Done));
    assert_eq!(lab.ledger(0).chunks, 1);
    let settled = packed(stripe, vec![put_in(bucket, "a", stripe, 0)]);
    assert!(is_malformed(&lab.propose(GATE, settled)[0]), "it exists");
    assert!(is_malformed(&lab.one(GATE, put_in(bucket, "b", stripe, 1))), "it is settled");
}

#[test]
fn an_extent_dies_inside_its_own_proposal_and_the_stripe_lives_with_the_next() {
    let (mut lab, bucket) = Lab::formed();
    let stripe = StripeId(lab.write(GATE));
    let twice = vec![put_in(bucket, "a", stripe, 0), put_in(bucket, "a", stripe, 1)];
    assert!(lab.propose(GATE, packed(stripe, twice)).iter().all(|outcome| refusal(outcome).is_none()));
    assert_eq!(lab.get::<StripeLiveRow>(&stripe).unwrap(), StripeLiveRow { extents: 1, bytes: 100 });
    let garbage: Option<GarbageRow> = lab.garbage().first().and_then(|key| lab.get(key));
    assert!(garbage.is_none());
}

#[test]
fn a_stripe_waits_for_its_end_even_when_nothing_lives_in_it_for_a_moment() {
    let (mut lab, bucket) = Lab::formed();
    let stripe = StripeId(lab.write(GATE));
    let between = vec![put_in(bucket, "a", stripe, 0), delete(bucket, "a"), put_in(bucket, "b", stripe, 1)];
    assert!(lab.propose(GATE, packed(stripe, between)).iter().all(|outcome| refusal(outcome).is_none()));
    assert_eq!(lab.get::<StripeLiveRow>(&stripe).unwrap(), StripeLiveRow { extents: 1, bytes: 100 });
    assert!(lab.garbage().is_empty());
}

#[test]
fn a_drive_that_was_wrongly_declared_lost_comes_back_with_what_it_holds() {
    let (mut lab, bucket) = Lab::formed();
    let (stripe, _) = lab.put(bucket, "a");
    for drive in [0, 1] {
        lab.set_state(drive, Active, Lost);
    }
    let from = PlacedChunk { drive: DriveId(0), write: stripe.0 };
    let to = PlacedChunk { drive: DriveId(3), write: lab.write(REPAIR) };
    assert_eq!(lab.one(REPAIR, Operation::MovePosition { stripe, position: 0, from, to }), Outcome::Done);
    for drive in [0, 1] {
        assert_eq!(lab.set_state(drive, Lost, Active), Outcome::Done);
    }
    let row = lab.get::<StripeRow>(&stripe).unwrap();
    assert_eq!((row.positions[0], row.positions[1].drive), (to, DriveId(1)), "what was rebuilt stays where it is");
    assert_eq!((lab.ledger(0).chunks, lab.ledger(0).garbage_chunks, lab.ledger(1).chunks), (0, 1, 1));
}
