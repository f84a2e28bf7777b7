//! Uploads, one rule at a time: what may happen between a completion's steps, and what no well-behaved gateway proposes.

use super::*;
use crate::operation::{ByteRange, EtagCondition};
use crate::row::Table;
use crate::rows::bucket::{BucketLedgerRow, BucketRow};
use crate::rows::config::{BucketConfig, BucketConfigRow, CONFIG_BYTES_MAX, ConfigKind};
use crate::rows::extent::ExtentRow;
use crate::rows::manifest::{ManifestPartsRow, ManifestRow, ManifestState, RetirementRow};
use crate::rows::object::{Checksum, ChecksumKind, ObjectRow};
use crate::rows::upload::{BucketUploadsRow, PartRow, UploadLedgerRow, UploadRetirementRow, UploadRow};

fn newest(lab: &Lab, bucket: BucketId, name: &str) -> ObjectRow {
    lab.get::<ObjectRow>(&(bucket, key(name))).unwrap()
}

/// An upload of three parts, and a manifest that names all of them.
fn chosen(lab: &mut Lab, bucket: BucketId, name: &str) -> (UploadId, Vec<ChosenPart>, ManifestId) {
    let upload = lab.upload(bucket, name);
    let parts: Vec<ChosenPart> = [1, 2, 5].iter().map(|&number| lab.part(bucket, name, upload, number)).collect();
    let manifest = choose(lab, bucket, name, upload, &parts);
    (upload, parts, manifest)
}

fn choose(lab: &mut Lab, bucket: BucketId, name: &str, upload: UploadId, parts: &[ChosenPart]) -> ManifestId {
    let manifest = ManifestId(lab.write(GATE));
    assert_eq!(lab.one(GATE, parts_page(bucket, name, upload, manifest, 0, parts)), Outcome::Done);
    manifest
}

/// Takes everything apart that is retiring.
fn retire_all(lab: &mut Lab) {
    for _ in 0..1000 {
        let uploads = table::<UploadRetirementRow>(lab);
        let manifests = table::<RetirementRow>(lab);
        if uploads.is_empty() && manifests.is_empty() {
            return;
        }
        for (upload, _) in uploads {
            assert_eq!(lab.one(REPAIR, Operation::RetireUpload { upload }), Outcome::Done);
        }
        for (manifest, row) in manifests {
            assert_eq!(lab.one(REPAIR, Operation::RetirePage { manifest, page: row.next_page }), Outcome::Done);
        }
    }
    panic!("a retirement stands still");
}

fn table<R: Row>(lab: &Lab) -> Vec<(R::Key, R)> {
    let mut all = Vec::new();
    R::scan(&lab.rows, &[R::TABLE as u8], |key, row| {
        all.push((key, row));
        core::ops::ControlFlow::Continue(())
    })
    .unwrap();
    all
}

/// Nothing refers to any bytes any more.
fn assert_no_bytes(lab: &Lab) {
    let tables =
        [Table::Extent, Table::Stripe, Table::Manifest, Table::ManifestPage, Table::ManifestParts, Table::Part];
    let left: Vec<u8> =
        lab.rows.0.keys().map(|key| key[0]).filter(|at| tables.iter().any(|t| *t as u8 == *at)).collect();
    assert!(left.is_empty(), "left of tables {left:?}");
}

#[test]
fn an_upload_becomes_an_object_with_what_was_said_when_it_began() {
    let (mut lab, bucket) = Lab::formed();
    let (upload, parts, manifest) = chosen(&mut lab, bucket, "a");
    let uploads = lab.get::<BucketUploadsRow>(&bucket).unwrap();
    assert_eq!((uploads.uploads, uploads.bytes), (1, 300));
    assert_eq!(lab.get::<BucketLedgerRow>(&bucket).unwrap(), BucketLedgerRow::default(), "not an object's bytes yet");
    let outcome = lab.one(GATE, complete(bucket, "a", upload, manifest, Conditions::default()));
    let row = newest(&lab, bucket, "a");
    assert_eq!(outcome, Outcome::Put { version: row.version, null: true, modified: row.modified });
    let (attributes, _) = row.object().unwrap();
    assert_eq!((attributes.size, attributes.upload, &attributes.tags), (300, Some(upload), &tags_of_uploads()));
    assert_eq!(attributes.headers.content_type.as_deref(), Some("text/plain"));
    let page = lab.get::<ManifestPartsRow>(&(manifest, 0)).unwrap();
    assert_eq!(page.parts.iter().map(|part| part.number).collect::<Vec<_>>(), [1, 2, 5]);
    // The upload is found no more, by whatever name.
    let again = [
        complete(bucket, "a", upload, manifest, Conditions::default()),
        abort(bucket, "a", upload),
        put_part(bucket, "a", upload, 1, 0, NewContent::Extents(vec![])),
        parts_page(bucket, "a", upload, ManifestId(lab.write(GATE)), 0, &parts),
    ];
    for operation in again {
        assert_eq!(refusal(&lab.one(GATE, operation)), Some(&Refusal::NoSuchUpload));
    }
    assert_eq!(lab.get::<BucketUploadsRow>(&bucket), None);
    retire_all(&mut lab);
    assert!(table::<PartRow>(&lab).is_empty());
    assert_eq!(table::<ExtentRow>(&lab).len(), 3, "the object has them");
    lab.one(GATE, delete(bucket, "a"));
    retire_all(&mut lab);
    assert_no_bytes(&lab);
}

#[test]
fn of_two_completions_at_once_one_makes_a_version() {
    let (mut lab, bucket) = Lab::formed();
    let (upload, parts, one) = chosen(&mut lab, bucket, "a");
    let two = choose(&mut lab, bucket, "a", upload, &parts[..2]);
    let proposals = [one, two].map(|manifest| Proposal {
        request: Some(lab.request(GATE)),
        operations: vec![complete(bucket, "a", upload, manifest, Conditions::default())],
        authors: None,
    });
    let outcomes = lab.entry(proposals.to_vec());
    assert!(matches!(outcomes[0][0], Outcome::Put { .. }));
    assert_eq!(refusal(&outcomes[1][0]), Some(&Refusal::NoSuchUpload));
    assert_eq!(lab.get::<BucketLedgerRow>(&bucket).unwrap().bytes, 300);
    assert_eq!(lab.one(GATE, Operation::AbandonManifest { manifest: two, session: GATE }), Outcome::Done);
    lab.one(GATE, delete(bucket, "a"));
    retire_all(&mut lab);
    assert_no_bytes(&lab);
}

#[test]
fn a_part_that_is_put_again_is_never_passed_over_in_silence() {
    let (mut lab, bucket) = Lab::formed();
    let (upload, mut parts, manifest) = chosen(&mut lab, bucket, "a");
    // A part that is new changes nothing about those that were chosen.
    lab.part(bucket, "a", upload, 7);
    assert_eq!(lab.get::<UploadLedgerRow>(&upload).unwrap().replaced, None);
    let stale = parts[1];
    parts[1] = lab.part(bucket, "a", upload, 2);
    let late = complete(bucket, "a", upload, manifest, Conditions::default());
    assert_eq!(
        refusal(&lab.one(GATE, late)),
        Some(&Refusal::PartChanged { number: 2 }),
        "its page named the one before"
    );
    let other = ManifestId(lab.write(GATE));
    let page = parts_page(bucket, "a", upload, other, 0, &[parts[0], stale]);
    assert_eq!(refusal(&lab.one(GATE, page)), Some(&Refusal::PartChanged { number: 2 }));
    let gone = ChosenPart { number: 6, version: stale.version };
    let page = parts_page(bucket, "a", upload, other, 0, &[gone]);
    assert_eq!(refusal(&lab.one(GATE, page)), Some(&Refusal::PartChanged { number: 6 }));
    let manifest = choose(&mut lab, bucket, "a", upload, &parts);
    let complete = complete(bucket, "a", upload, manifest, Conditions::default());
    assert!(matches!(lab.one(GATE, complete), Outcome::Put { .. }));
    assert_eq!(lab.get::<ManifestRow>(&manifest).unwrap().parts.unwrap().count, 3);
}

#[test]
fn a_condition_that_does_not_hold_leaves_the_upload_as_it_was() {
    let (mut lab, bucket) = Lab::formed();
    lab.put(bucket, "a");
    let (upload, _, manifest) = chosen(&mut lab, bucket, "a");
    let before = lab.rows.clone();
    let absent = Conditions { if_none_match: Some(EtagCondition::Any), ..Default::default() };
    let outcome = lab.one(GATE, complete(bucket, "a", upload, manifest, absent));
    assert_eq!(refusal(&outcome), Some(&Refusal::PreconditionFailed));
    let changed = lab.rows.0.iter().filter(|(key, value)| before.0.get(*key) != Some(value));
    assert!(changed.map(|(key, _)| key[0]).all(|at| at == Table::Slot as u8 || at == Table::Session as u8));
    let present = Conditions { if_match: Some(EtagCondition::Any), ..Default::default() };
    let outcome = lab.one(GATE, complete(bucket, "a", upload, manifest, present));
    assert!(matches!(outcome, Outcome::Put { .. }), "and what was chosen may still be completed");
}

#[test]
fn parts_come_in_the_order_of_their_numbers() {
    let (mut lab, bucket) = Lab::formed();
    let upload = lab.upload(bucket, "a");
    let parts: Vec<ChosenPart> = (1..=66).map(|number| lab.part(bucket, "a", upload, number)).collect();
    let manifest = ManifestId(lab.write(GATE));
    let wrong: [&[ChosenPart]; 4] = [&[], &parts[..65], &[parts[1], parts[0]], &[parts[1], parts[1]]];
    for parts in wrong {
        assert!(is_malformed(&lab.one(GATE, parts_page(bucket, "a", upload, manifest, 0, parts))));
    }
    assert_eq!(lab.one(GATE, parts_page(bucket, "a", upload, manifest, 0, &parts[1..65])), Outcome::Done);
    let earlier = parts_page(bucket, "a", upload, manifest, 1, &parts[..1]);
    assert!(is_malformed(&lab.one(GATE, earlier)), "from page to page too");
    let same_page = parts_page(bucket, "a", upload, manifest, 0, &parts[65..]);
    assert_eq!(refusal(&lab.one(GATE, same_page)), Some(&Refusal::Changed));
    assert_eq!(lab.one(GATE, parts_page(bucket, "a", upload, manifest, 1, &parts[65..])), Outcome::Done);
    let put = complete(bucket, "a", upload, manifest, Conditions::default());
    assert!(matches!(lab.one(GATE, put), Outcome::Put { .. }));
    assert_eq!(newest(&lab, bucket, "a").object().unwrap().0.size, 6500, "without the first part");
    retire_all(&mut lab);
    assert_eq!(table::<ExtentRow>(&lab).len(), 65);
}

#[test]
fn numbers_and_sizes_that_no_part_has_are_refused() {
    let (mut lab, bucket) = Lab::formed();
    let upload = lab.upload(bucket, "a");
    let empty = || NewContent::Extents(vec![]);
    for number in [0, 10_001] {
        assert!(is_malformed(&lab.one(GATE, put_part(bucket, "a", upload, number, 0, empty()))));
    }
    assert!(is_malformed(&lab.one(GATE, put_part(bucket, "a", upload, 1, 1, empty()))), "not the size of its bytes");
    assert!(is_malformed(&lab.one(GATE, put_part(bucket, "a", upload, 1, (5 << 30) + 1, empty()))));
    let mut long = put_part(bucket, "a", upload, 1, 0, empty());
    let Operation::PutPart { checksum, .. } = &mut long else { unreachable!() };
    *checksum = Some(Checksum { kind: ChecksumKind::Sha256, digest: vec![0; 65], parts: None });
    assert!(is_malformed(&lab.one(GATE, long)));
    let elsewhere = put_part(bucket, "b", upload, 1, 0, empty());
    assert_eq!(refusal(&lab.one(GATE, elsewhere)), Some(&Refusal::NoSuchUpload), "it is of another key");
    for number in [1, 10_000] {
        let put = put_part(bucket, "a", upload, number, 0, empty());
        assert!(matches!(lab.one(GATE, put), Outcome::PartPut { .. }), "an empty part is one");
    }
}

#[test]
fn a_manifest_of_parts_is_of_one_upload_and_of_nothing_else() {
    let (mut lab, bucket) = Lab::formed();
    let (upload, parts, manifest) = chosen(&mut lab, bucket, "a");
    let (other, others, of_other) = chosen(&mut lab, bucket, "b");
    let mixed = parts_page(bucket, "b", other, manifest, 1, &[ChosenPart { number: 9, ..others[0] }]);
    assert_eq!(refusal(&lab.one(GATE, mixed)), Some(&Refusal::Changed), "parts of two uploads");
    let foreign = complete(bucket, "a", upload, of_other, Conditions::default());
    assert!(is_malformed(&lab.one(GATE, foreign)), "the other upload's parts");
    let content = NewContent::Manifest(manifest);
    let put = put_with(bucket, "a", 300, content.clone(), Conditions::default());
    assert!(is_malformed(&lab.one(GATE, put)), "an object of parts without an upload");
    let nested = put_part(bucket, "b", other, 1, 300, content);
    assert!(is_malformed(&lab.one(GATE, nested)), "parts inside parts");
    let (stripe, extents) = (StripeId(lab.write(GATE)), ManifestId(lab.write(GATE)));
    let outcomes = lab.propose(
        GATE,
        packed(
            stripe,
            vec![
                page(manifest, 1, vec![in_stripe(stripe, 0)]),
                page(extents, 0, vec![in_stripe(stripe, 1)]),
                parts_page(bucket, "a", upload, extents, 1, &parts),
                complete(bucket, "a", upload, extents, Conditions::default()),
            ],
        ),
    );
    assert_eq!(refusal(&outcomes[1]), Some(&Refusal::Changed), "extents behind parts");
    assert_eq!(outcomes[2], Outcome::Done);
    assert_eq!(refusal(&outcomes[3]), Some(&Refusal::Changed), "parts behind extents");
    assert!(matches!(refusal(&outcomes[4]), Some(Refusal::Depends)), "{outcomes:?}");
    let of_extents = complete(bucket, "a", upload, extents, Conditions::default());
    assert!(is_malformed(&lab.one(GATE, of_extents)), "a manifest of extents");
    let whole = NewContent::Shared { bucket, key: key("a"), version: others[0].version, range: None };
    assert!(is_malformed(&lab.one(GATE, put_part(bucket, "a", upload, 1, 0, whole))), "a part names its range");
}

#[test]
fn an_abort_in_the_middle_of_a_completion_leaves_nothing() {
    let (mut lab, bucket) = Lab::formed();
    let (upload, parts, manifest) = chosen(&mut lab, bucket, "a");
    assert_eq!(lab.one(GATE, abort(bucket, "a", upload)), Outcome::Done);
    let page = parts_page(bucket, "a", upload, manifest, 1, &parts);
    assert_eq!(refusal(&lab.one(GATE, page)), Some(&Refusal::NoSuchUpload));
    let put = complete(bucket, "a", upload, manifest, Conditions::default());
    assert_eq!(refusal(&lab.one(GATE, put)), Some(&Refusal::NoSuchUpload));
    assert_eq!(table::<UploadRow>(&lab).len(), 0);
    // What the completion had counted is there until it gives up.
    retire_all(&mut lab);
    assert_eq!(table::<ExtentRow>(&lab).len(), 3);
    assert_eq!(lab.one(GATE, Operation::AbandonManifest { manifest, session: GATE }), Outcome::Done);
    retire_all(&mut lab);
    assert_no_bytes(&lab);
    assert!(refusal(&lab.one(REPAIR, Operation::RetireUpload { upload })).is_some(), "it is gone");
}

#[test]
fn an_upload_outlives_the_session_that_would_complete_it() {
    let (mut lab, bucket) = Lab::formed();
    let (upload, parts, manifest) = chosen(&mut lab, bucket, "a");
    assert_eq!(lab.one(GATE, Operation::EndSession { id: GATE, last_renewal: None }), Outcome::Done);
    let late = complete(bucket, "a", upload, manifest, Conditions::default());
    assert_eq!(refusal(&lab.one(REPAIR, late)), Some(&Refusal::SessionEnded));
    assert_eq!(lab.one(REPAIR, Operation::AbandonManifest { manifest, session: REPAIR }), Outcome::Done);
    retire_all(&mut lab);
    assert_eq!(table::<PartRow>(&lab).len(), 3, "the upload is as it was");
    let manifest = ManifestId(lab.write(REPAIR));
    assert_eq!(lab.one(REPAIR, parts_page(bucket, "a", upload, manifest, 0, &parts)), Outcome::Done);
    let put = complete(bucket, "a", upload, manifest, Conditions::default());
    assert!(matches!(lab.one(REPAIR, put), Outcome::Put { .. }));
}

#[test]
fn a_write_below_its_sessions_mark_fills_no_manifest() {
    let (mut lab, bucket) = Lab::formed();
    let (upload, parts, manifest) = chosen(&mut lab, bucket, "a");
    lab.renew(GATE, manifest.0.counter + 1);
    let page = parts_page(bucket, "a", upload, manifest, 1, &parts[2..]);
    assert_eq!(refusal(&lab.one(GATE, page)), Some(&Refusal::StaleWrite));
    let put = complete(bucket, "a", upload, manifest, Conditions::default());
    assert_eq!(refusal(&lab.one(GATE, put)), Some(&Refusal::StaleWrite));
    assert_eq!(lab.get::<ManifestRow>(&manifest).unwrap().state, ManifestState::Pending(GATE));
}

#[test]
fn a_source_that_goes_between_two_pages_of_a_copy_is_noticed() {
    let (mut lab, bucket) = Lab::formed();
    let (manifest, stripe) = (ManifestId(lab.write(GATE)), StripeId(lab.write(GATE)));
    let extents = (0..20).map(|ordinal| in_stripe(stripe, ordinal)).collect();
    let put = put_with(bucket, "long", 2000, NewContent::Manifest(manifest), Conditions::default());
    lab.propose(GATE, packed(stripe, vec![page(manifest, 0, extents), put]));
    let version = newest(&lab, bucket, "long").version;
    let copy = ManifestId(lab.write(GATE));
    let shared = |page, from, length| {
        let range = ByteRange { from, length };
        Operation::AddSharedPage { manifest: copy, page, bucket, key: key("long"), version, range }
    };
    for (from, length) in [(0, 0), (2000, 1), (1999, 2), (u64::MAX, 2)] {
        assert!(is_malformed(&lab.one(GATE, shared(0, from, length))), "outside the source");
    }
    let range = Some(ByteRange { from: 0, length: 1000 });
    let in_row = NewContent::Shared { bucket, key: key("long"), version, range };
    let put = put_with(bucket, "b", 1000, in_row, Conditions::default());
    assert_eq!(refusal(&lab.one(GATE, put)), Some(&Refusal::TooLarge), "ten extents are more than a row names");
    assert_eq!(lab.one(GATE, shared(0, 50, 1000)), Outcome::Done);
    assert_eq!(refusal(&lab.one(GATE, shared(0, 50, 1000))), Some(&Refusal::Changed), "the page is there");
    lab.one(GATE, delete(bucket, "long"));
    assert_eq!(refusal(&lab.one(GATE, shared(1, 1050, 500))), Some(&Refusal::Changed), "the source has gone");
    retire_all(&mut lab);
    assert_eq!(table::<ExtentRow>(&lab).len(), 11, "what was copied until then is still named");
    assert_eq!(lab.one(GATE, Operation::AbandonManifest { manifest: copy, session: GATE }), Outcome::Done);
    retire_all(&mut lab);
    assert_no_bytes(&lab);
}

#[test]
fn an_object_may_be_the_source_of_its_own_parts() {
    let (mut lab, bucket) = Lab::formed();
    let (_, extent) = lab.put(bucket, "a");
    let version = newest(&lab, bucket, "a").version;
    let upload = lab.upload(bucket, "a");
    let share =
        |from| NewContent::Shared { bucket, key: key("a"), version, range: Some(ByteRange { from, length: 60 }) };
    let mut parts = Vec::new();
    for (number, from) in [(1, 40), (2, 0)] {
        let put = put_part(bucket, "a", upload, number, 60, share(from));
        assert!(matches!(lab.one(GATE, put), Outcome::PartPut { .. }));
        parts.push(ChosenPart { number, version: VersionId { index: lab.index, ordinal: 0 } });
    }
    // A part in place of one with the same bytes: they are counted before they are released.
    let again = put_part(bucket, "a", upload, 2, 60, share(0));
    assert!(matches!(lab.one(GATE, again), Outcome::PartPut { .. }));
    parts[1].version.index = lab.index;
    assert_eq!(lab.get::<ExtentRow>(&extent).unwrap().references, 3);
    let manifest = choose(&mut lab, bucket, "a", upload, &parts);
    let put = complete(bucket, "a", upload, manifest, Conditions::default());
    assert!(matches!(lab.one(GATE, put), Outcome::Put { .. }));
    retire_all(&mut lab);
    assert_eq!(lab.get::<ExtentRow>(&extent).unwrap().references, 2, "two parts of the object that replaced it");
    lab.one(GATE, delete(bucket, "a"));
    retire_all(&mut lab);
    assert_no_bytes(&lab);
}

#[test]
fn a_bucket_goes_without_its_configuration_and_not_with_an_upload() {
    let (mut lab, bucket) = Lab::formed();
    let config = |length: usize| BucketConfig::Tags(vec![("k".into(), "v".repeat(length))]);
    let put = |config| Operation::PutBucketConfig { id: bucket, config };
    assert!(is_malformed(&lab.one(GATE, put(config(CONFIG_BYTES_MAX)))));
    assert_eq!(lab.one(GATE, put(config(9))), Outcome::Done);
    let elsewhere = Operation::PutBucketConfig { id: BucketId(5), config: config(9) };
    assert_eq!(refusal(&lab.one(GATE, elsewhere)), Some(&Refusal::NoSuchBucket));
    let upload = lab.upload(bucket, "a");
    lab.part(bucket, "a", upload, 1);
    let remove = || Operation::DeleteBucket { id: bucket };
    assert_eq!(refusal(&lab.one(GATE, remove())), Some(&Refusal::BucketNotEmpty));
    assert_eq!(lab.one(GATE, abort(bucket, "a", upload)), Outcome::Done);
    assert_eq!(lab.one(GATE, remove()), Outcome::Done, "what is being taken away holds nothing up");
    assert!(lab.get::<BucketRow>(&bucket).is_none());
    assert!(table::<BucketConfigRow>(&lab).is_empty());
    retire_all(&mut lab);
    assert_no_bytes(&lab);
    for operation in [
        create(bucket, "a"),
        Operation::RemoveBucketConfig { id: bucket, kind: ConfigKind::Tags },
        Operation::SetObjectTags { bucket, key: key("a"), version: VersionChoice::Newest, tags: None },
    ] {
        assert_eq!(refusal(&lab.one(GATE, operation)), Some(&Refusal::NoSuchBucket));
    }
}

#[test]
fn whatever_can_be_begun_can_be_completed() {
    let (mut lab, bucket) = Lab::formed();
    // The longest metadata that an upload may begin with, found by trying.
    let with = |length: usize| {
        let mut create = create(bucket, "a");
        let Operation::CreateUpload { metadata, .. } = &mut create else { unreachable!() };
        *metadata = vec![("k".into(), "v".repeat(length))];
        create
    };
    assert!(is_malformed(&lab.one(GATE, with(32 * 1024))));
    let (mut fits, mut fails) = (0, 32 * 1024);
    while fails - fits > 1 {
        let middle = (fits + fails) / 2;
        match lab.clone().one(GATE, with(middle)) {
            Outcome::UploadCreated(_) => fits = middle,
            _ => fails = middle,
        }
    }
    let Outcome::UploadCreated(upload) = lab.one(GATE, with(fits)) else { panic!("it fitted before") };
    let part = lab.part(bucket, "a", upload, 1);
    let manifest = choose(&mut lab, bucket, "a", upload, &[part]);
    let mut put = complete(bucket, "a", upload, manifest, Conditions::default());
    let Operation::CompleteUpload { checksum, .. } = &mut put else { unreachable!() };
    *checksum = Some(Checksum { kind: ChecksumKind::Sha256, digest: vec![1; 65], parts: Some(1) });
    assert!(is_malformed(&lab.one(GATE, put.clone())), "longer than any digest");
    let Operation::CompleteUpload { checksum, .. } = &mut put else { unreachable!() };
    *checksum = Some(Checksum { kind: ChecksumKind::Sha256, digest: vec![1; 64], parts: Some(1) });
    assert!(matches!(lab.one(GATE, put), Outcome::Put { .. }));
}

#[test]
fn tags_belong_to_a_version() {
    let (mut lab, bucket) = Lab::formed();
    lab.one(GATE, Operation::SetVersioning { id: bucket, versioning: crate::rows::bucket::Versioning::Enabled });
    lab.put(bucket, "a");
    let old = newest(&lab, bucket, "a");
    lab.put(bucket, "a");
    let set = |version, tags: Option<&str>| {
        let tags = tags.map(|tag| vec![("k".to_owned(), tag.to_owned())]);
        Operation::SetObjectTags { bucket, key: key("a"), version, tags }
    };
    let outcome = lab.one(GATE, set(VersionChoice::Exactly(old.version), Some("old")));
    assert_eq!(outcome, Outcome::Amended { version: old.version, null: false });
    assert!(newest(&lab, bucket, "a").object().unwrap().0.tags.is_none());
    let fat = "v".repeat(40_000);
    assert!(is_malformed(&lab.one(GATE, set(VersionChoice::Newest, Some(&fat)))));
    assert_eq!(refusal(&lab.one(GATE, set(VersionChoice::Null, None))), Some(&Refusal::NoSuchVersion));
    lab.one(GATE, delete(bucket, "a"));
    let marker = newest(&lab, bucket, "a").version;
    assert_eq!(refusal(&lab.one(GATE, set(VersionChoice::Newest, None))), Some(&Refusal::NoSuchKey));
    assert_eq!(refusal(&lab.one(GATE, set(VersionChoice::Exactly(marker), None))), Some(&Refusal::Marker));
    lab.one(GATE, delete_version(bucket, "a", VersionChoice::Exactly(marker)));
    let before = newest(&lab, bucket, "a");
    assert!(matches!(lab.one(GATE, set(VersionChoice::Newest, Some("new"))), Outcome::Amended { .. }));
    let after = newest(&lab, bucket, "a");
    assert_eq!((after.version, after.modified), (before.version, before.modified), "it is no new version");
}
