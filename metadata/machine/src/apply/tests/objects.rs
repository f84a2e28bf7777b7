//! Conditions, copies, and what a malformed PUT is told.

use super::*;
use crate::operation::EtagCondition;
use crate::rows::bucket::BucketLedgerRow;
use crate::rows::extent::ExtentRow;
use crate::rows::object::ObjectRow;

fn put_if(lab: &mut Lab, bucket: BucketId, name: &str, conditions: Conditions) -> Outcome {
    let stripe = StripeId(lab.write(GATE));
    let content = NewContent::Extents(vec![in_stripe(stripe, 0)]);
    let put = put_with(bucket, name, u64::from(LENGTH), content, conditions);
    lab.propose(GATE, packed(stripe, vec![put])).remove(1)
}

fn one_of(tag: u8) -> Option<EtagCondition> {
    Some(EtagCondition::OneOf(vec![Etag { md5: [0xEE; 16], parts: None }, Etag { md5: [tag; 16], parts: None }]))
}

#[test]
fn conditions_are_judged_where_the_write_happens() {
    let (mut lab, bucket) = Lab::formed();
    let absent = || Conditions { if_none_match: Some(EtagCondition::Any), ..Default::default() };
    let present = || Conditions { if_match: Some(EtagCondition::Any), ..Default::default() };
    assert_eq!(refusal(&put_if(&mut lab, bucket, "a", present())), Some(&Refusal::NoSuchKey));
    assert!(matches!(put_if(&mut lab, bucket, "a", absent()), Outcome::Put { .. }));
    let modified = lab.get::<ObjectRow>(&(bucket, key("a"))).unwrap().modified;
    assert_eq!(refusal(&put_if(&mut lab, bucket, "a", absent())), Some(&Refusal::PreconditionFailed));
    let cases = [
        (Conditions { if_match: one_of(b'a'), ..Default::default() }, true),
        (Conditions { if_match: one_of(b'x'), ..Default::default() }, false),
        (Conditions { if_none_match: one_of(b'a'), ..Default::default() }, false),
        (Conditions { if_none_match: one_of(b'x'), ..Default::default() }, true),
        (Conditions { size: Some(100), ..Default::default() }, true),
        (Conditions { size: Some(101), ..Default::default() }, false),
        (Conditions { modified: Some(WallTime(modified.0 / 1000 * 1000 + 999)), ..Default::default() }, true),
        (Conditions { modified: Some(WallTime(modified.0 + 1000)), ..Default::default() }, false),
    ];
    for (conditions, holds) in cases {
        let (mut lab, conditions) = (lab.clone(), conditions);
        let put = put_if(&mut lab.clone(), bucket, "a", conditions.clone());
        assert_eq!(refusal(&put).is_none(), holds, "{conditions:?}: {put:?}");
        let delete =
            Operation::DeleteObject { bucket, key: key("a"), version: VersionChoice::Newest, conditions, bypass: None };
        let deleted = lab.one(GATE, delete);
        assert_eq!(refusal(&deleted).is_none(), holds, "{deleted:?}");
    }
    // Two of one entry: the second sees the first.
    let (one, two) = (StripeId(lab.write(GATE)), StripeId(lab.write(GATE)));
    let proposals = [one, two].map(|stripe| {
        let content = NewContent::Extents(vec![in_stripe(stripe, 0)]);
        let operations = packed(stripe, vec![put_with(bucket, "b", 100, content, absent())]);
        Proposal { request: Some(lab.request(GATE)), operations, authors: None }
    });
    let outcomes = lab.entry(proposals.to_vec());
    assert!(matches!(outcomes[0][1], Outcome::Put { .. }));
    assert_eq!(refusal(&outcomes[1][1]), Some(&Refusal::PreconditionFailed));
}

#[test]
fn a_copy_shares_bytes_and_names_its_source() {
    let (mut lab, bucket) = Lab::formed();
    let (_, extent) = lab.put(bucket, "a");
    let version = lab.get::<ObjectRow>(&(bucket, key("a"))).unwrap().version;
    let copy = |to: &str| {
        let source = NewContent::Shared { bucket, key: key("a"), version, range: None };
        put_with(bucket, to, 100, source, Conditions::default())
    };
    assert!(matches!(lab.one(GATE, copy("b")), Outcome::Put { .. }));
    assert_eq!(lab.get::<ExtentRow>(&extent).unwrap().references, 2);
    // Onto itself, as a change of metadata does: the bytes survive it.
    assert!(matches!(lab.one(GATE, copy("a")), Outcome::Put { .. }));
    assert_eq!(lab.get::<ExtentRow>(&extent).unwrap().references, 2);
    assert_eq!(refusal(&lab.one(GATE, copy("c"))), Some(&Refusal::Changed), "the source is another version now");
    lab.one(GATE, delete(bucket, "a"));
    assert_eq!(lab.get::<ExtentRow>(&extent).unwrap().references, 1);
    lab.one(GATE, delete(bucket, "b"));
    assert!(lab.get::<ExtentRow>(&extent).is_none());
    assert_eq!(lab.get::<BucketLedgerRow>(&bucket).unwrap(), BucketLedgerRow::default());
}

#[test]
fn what_contradicts_itself_is_refused() {
    let (mut lab, bucket) = Lab::formed();
    let (_, taken) = lab.put(bucket, "a");
    let stripe = StripeId(lab.write(GATE));
    let with = |size, extents| put_with(bucket, "b", size, NewContent::Extents(extents), Conditions::default());
    let at = |offset, length| NewExtent { length, place: NewPlace::Stripe { stripe, offset }, ..in_stripe(stripe, 9) };
    let here = |length| NewExtent { length, place: NewPlace::Here(vec![0; 5].into()), ..in_stripe(stripe, 9) };
    let wrong = vec![
        with(99, vec![in_stripe(stripe, 1)]),
        with(0, vec![at(0, 0)]),
        with(100, vec![at(12_701, 100)]),
        with(100, vec![at(u64::MAX, 100)]),
        with(4, vec![here(4)]),
        with(100, vec![NewExtent { id: taken, ..in_stripe(stripe, 1) }]),
        with(900, (0..9).map(|ordinal| in_stripe(stripe, ordinal)).collect()),
        with(200, vec![in_stripe(stripe, 1), in_stripe(stripe, 1)]),
    ];
    let count = wrong.len();
    let mut operations = wrong;
    operations.push(put_in(bucket, "right", stripe, 0));
    let outcomes = lab.propose(GATE, packed(stripe, operations));
    for (at, outcome) in outcomes[1..=count].iter().enumerate() {
        assert!(is_malformed(outcome), "{at}: {outcome:?}");
    }
    assert!(matches!(outcomes[count + 1], Outcome::Put { .. }));
    let Operation::PutObject { mut attributes, .. } = put_in(bucket, "b", stripe, 0) else { unreachable!() };
    attributes.metadata = vec![("k".into(), "v".repeat(40_000))];
    attributes.size = 0;
    let fat = Operation::PutObject {
        bucket,
        key: key("b"),
        attributes,
        content: NewContent::Extents(vec![]),
        conditions: Conditions::default(),
        session: GATE,
    };
    assert!(is_malformed(&lab.one(GATE, fat)));
    let empty = put_with(bucket, "empty", 0, NewContent::Extents(vec![]), Conditions::default());
    assert!(matches!(lab.one(GATE, empty), Outcome::Put { .. }));
}
