//! Invariant 12: what is locked stays, whichever way somebody wants it to go.

use super::*;
use crate::operation::Operation;
use crate::rows::bucket::{BucketRow, Versioning};
use crate::rows::lock::{BucketLock, Bypass, DefaultRetention, Period, Retention, RetentionMode, VersionLock};
use crate::rows::object::{ObjectRow, VersionKind};

const BYPASS: Option<Bypass> = Some(Bypass::Governance);
const DAY: u64 = 24 * 60 * 60 * 1000;

fn locked_bucket(lab: &mut Lab, default: Option<DefaultRetention>) -> BucketId {
    let (name, lock) = (BucketName::new("locked").unwrap(), Some(BucketLock { default }));
    match lab.one(GATE, Operation::CreateBucket { name, owner: "root".into(), lock, acl: None }) {
        Outcome::BucketCreated(id) => id,
        other => panic!("{other:?}"),
    }
}

/// Puts an empty object that its writer wants locked like this; the version that it became.
fn put_locked(lab: &mut Lab, bucket: BucketId, name: &str, lock: Option<VersionLock>) -> VersionId {
    match lab.one(GATE, put_empty(bucket, name, lock)) {
        Outcome::Put { version, .. } => version,
        other => panic!("{other:?}"),
    }
}

fn put_empty(bucket: BucketId, name: &str, lock: Option<VersionLock>) -> Operation {
    let (attributes, content) = (Attributes { lock, ..attributes(0, 1) }, NewContent::Extents(vec![]));
    Operation::PutObject {
        bucket,
        key: key(name),
        attributes,
        content,
        conditions: Conditions::default(),
        session: GATE,
    }
}

fn delete_exactly(bucket: BucketId, name: &str, version: VersionId, bypass: Option<Bypass>) -> Operation {
    let (version, conditions) = (VersionChoice::Exactly(version), Conditions::default());
    Operation::DeleteObject { bucket, key: key(name), version, conditions, bypass }
}

fn retain(bucket: BucketId, version: VersionId, retention: Option<Retention>, bypass: Option<Bypass>) -> Operation {
    Operation::SetRetention { bucket, key: key("k"), version: VersionChoice::Exactly(version), retention, bypass }
}

fn hold(bucket: BucketId, version: VersionId, held: bool) -> Operation {
    Operation::SetLegalHold { bucket, key: key("k"), version: VersionChoice::Exactly(version), held }
}

fn later(lab: &Lab, millis: u64) -> WallTime {
    WallTime(1_700_000_000_000 + lab.index.0 * 1000 + millis)
}

fn lock_of(lab: &Lab, bucket: BucketId, name: &str) -> Option<VersionLock> {
    let row = lab.get::<ObjectRow>(&(bucket, key(name))).unwrap();
    let VersionKind::Object { attributes, .. } = row.kind else { panic!("a delete marker") };
    attributes.lock
}

const LOCKED: Outcome = Outcome::Refused(Refusal::Locked);

#[test]
fn a_locked_version_goes_by_no_way() {
    let (mut lab, _) = Lab::formed();
    let bucket = locked_bucket(&mut lab, None);
    let version = put_locked(&mut lab, bucket, "k", None);
    for mode in [RetentionMode::Governance, RetentionMode::Compliance] {
        let until = later(&lab, 1_000_000);
        let outcome = lab.one(GATE, retain(bucket, version, Some(Retention { mode, until }), BYPASS));
        assert_eq!(outcome, Outcome::Amended { version, null: false });
        assert_eq!(lab.one(GATE, delete_exactly(bucket, "k", version, None)), LOCKED);
    }
    // Now in compliance mode: nobody bypasses it, shortens it or lifts it.
    let shorter = Retention { mode: RetentionMode::Compliance, until: later(&lab, 5_000) };
    assert_eq!(lab.one(GATE, delete_exactly(bucket, "k", version, BYPASS)), LOCKED);
    assert_eq!(lab.one(GATE, retain(bucket, version, Some(shorter), BYPASS)), LOCKED);
    assert_eq!(lab.one(GATE, retain(bucket, version, None, BYPASS)), LOCKED);
    // Newer versions and markers go before it; the version stays, and with it the bucket.
    put_locked(&mut lab, bucket, "k", None);
    let Outcome::Deleted { version: Some(marker), marker: true, .. } = lab.one(GATE, delete(bucket, "k")) else {
        panic!("a delete without a version leaves a marker")
    };
    assert_eq!(lab.one(GATE, delete_exactly(bucket, "k", version, BYPASS)), LOCKED);
    assert!(matches!(lab.one(GATE, delete_exactly(bucket, "k", marker, None)), Outcome::Deleted { .. }));
    assert_eq!(lab.one(GATE, Operation::DeleteBucket { id: bucket }), Outcome::Refused(Refusal::BucketNotEmpty));
    for versioning in [Versioning::Suspended, Versioning::Off] {
        let refused = lab.one(GATE, Operation::SetVersioning { id: bucket, versioning });
        assert!(refusal(&refused).is_some(), "{versioning:?}");
    }
}

#[test]
fn a_hold_stands_whatever_the_retention_says() {
    let (mut lab, _) = Lab::formed();
    let bucket = locked_bucket(&mut lab, None);
    let version = put_locked(&mut lab, bucket, "k", None);
    let amended = Outcome::Amended { version, null: false };
    assert_eq!(lab.one(GATE, hold(bucket, version, true)), amended);
    assert_eq!(lab.one(GATE, delete_exactly(bucket, "k", version, BYPASS)), LOCKED);
    let retention = Retention { mode: RetentionMode::Governance, until: later(&lab, 60_000) };
    assert_eq!(lab.one(GATE, retain(bucket, version, Some(retention), None)), amended);
    assert_eq!(lab.one(GATE, hold(bucket, version, false)), amended);
    let lock = VersionLock { retention: Some(retention), legal_hold: Some(false) };
    assert_eq!(lock_of(&lab, bucket, "k"), Some(lock), "neither touches the other");
    assert_eq!(lab.one(GATE, delete_exactly(bucket, "k", version, None)), LOCKED);
    assert!(matches!(lab.one(GATE, delete_exactly(bucket, "k", version, BYPASS)), Outcome::Deleted { .. }));
}

#[test]
fn retention_ends_by_itself() {
    let (mut lab, _) = Lab::formed();
    let bucket = locked_bucket(&mut lab, None);
    let until = later(&lab, 3_000);
    let lock = VersionLock { retention: Some(Retention { mode: RetentionMode::Compliance, until }), legal_hold: None };
    let version = put_locked(&mut lab, bucket, "k", Some(lock));
    assert_eq!(lab.one(GATE, delete_exactly(bucket, "k", version, None)), LOCKED);
    assert!(matches!(lab.one(GATE, delete_exactly(bucket, "k", version, None)), Outcome::Deleted { .. }));
}

#[test]
fn a_bucket_retains_what_brings_no_retention() {
    let (mut lab, _) = Lab::formed();
    let period = Period::Days(1);
    let bucket = locked_bucket(&mut lab, Some(DefaultRetention { mode: RetentionMode::Governance, period }));
    put_locked(&mut lab, bucket, "default", None);
    let default = Retention { mode: RetentionMode::Governance, until: later(&lab, DAY) };
    let retained = |retention, legal_hold| Some(VersionLock { retention: Some(retention), legal_hold });
    assert_eq!(lock_of(&lab, bucket, "default"), retained(default, None));
    put_locked(&mut lab, bucket, "held", Some(VersionLock { retention: None, legal_hold: Some(true) }));
    let default = Retention { mode: RetentionMode::Governance, until: later(&lab, DAY) };
    assert_eq!(lock_of(&lab, bucket, "held"), retained(default, Some(true)));
    let own = Retention { mode: RetentionMode::Compliance, until: later(&lab, 9_000) };
    put_locked(&mut lab, bucket, "own", retained(own, None));
    assert_eq!(lock_of(&lab, bucket, "own"), retained(own, None));
    // Uploads are retained like all others, from the moment of their completion.
    let upload = lab.upload(bucket, "upload");
    let part = lab.part(bucket, "upload", upload, 1);
    let manifest = ManifestId(lab.write(GATE));
    let page = parts_page(bucket, "upload", upload, manifest, 0, &[part]);
    assert_eq!(lab.one(GATE, page), Outcome::Done);
    let done = lab.one(GATE, complete(bucket, "upload", upload, manifest, Conditions::default()));
    assert!(matches!(done, Outcome::Put { .. }), "{done:?}");
    let default = Retention { mode: RetentionMode::Governance, until: later(&lab, DAY) };
    assert_eq!(lock_of(&lab, bucket, "upload"), retained(default, None));
    // What holds from now on changes nothing for what is there.
    assert_eq!(lab.one(GATE, Operation::LockBucket { id: bucket, lock: BucketLock::default() }), Outcome::Done);
    put_locked(&mut lab, bucket, "free", None);
    assert_eq!(lock_of(&lab, bucket, "free"), None);
    assert_eq!(lock_of(&lab, bucket, "upload"), retained(default, None));
}

#[test]
fn only_buckets_that_keep_versions_are_locked() {
    let (mut lab, bucket) = Lab::formed();
    let lock = |default| Operation::LockBucket { id: bucket, lock: BucketLock { default } };
    let required = Outcome::Refused(Refusal::VersioningRequired);
    let versioning = |versioning| Operation::SetVersioning { id: bucket, versioning };
    assert_eq!(lab.one(GATE, lock(None)), required);
    lab.one(GATE, versioning(Versioning::Suspended));
    assert_eq!(lab.one(GATE, lock(None)), required);
    lab.one(GATE, versioning(Versioning::Enabled));
    let version = put_locked(&mut lab, bucket, "k", None);
    let no_lock = Outcome::Refused(Refusal::NoLock);
    let retention = Some(Retention { mode: RetentionMode::Governance, until: later(&lab, 9_000) });
    assert_eq!(lab.one(GATE, retain(bucket, version, retention, None)), no_lock);
    assert_eq!(lab.one(GATE, hold(bucket, version, true)), no_lock);
    assert_eq!(lab.one(GATE, put_empty(bucket, "k", Some(VersionLock::default()))), no_lock);
    for period in [Period::Days(0), Period::Years(101)] {
        let default = DefaultRetention { mode: RetentionMode::Governance, period };
        assert!(is_malformed(&lab.one(GATE, lock(Some(default)))), "{period:?}");
    }
    assert_eq!(lab.one(GATE, lock(None)), Outcome::Done);
    assert_eq!(lab.get::<BucketRow>(&bucket).unwrap().lock, Some(BucketLock::default()));
    assert_eq!(lab.one(GATE, hold(bucket, version, true)), Outcome::Amended { version, null: false });
    assert_eq!(lab.one(GATE, delete_exactly(bucket, "k", version, BYPASS)), LOCKED);
}

#[test]
fn a_lock_ends_by_the_time_that_is_sure_and_not_by_a_calendar_that_ran_ahead() {
    let (mut lab, _) = Lab::formed();
    let bucket = locked_bucket(&mut lab, None);
    let until = later(&lab, 60_000);
    let lock = VersionLock { retention: Some(Retention { mode: RetentionMode::Compliance, until }), legal_hold: None };
    let version = put_locked(&mut lab, bucket, "k", Some(lock));
    let mut at = |function, sure, operation| {
        lab.index.0 += 1;
        let request = Some(lab.request(GATE));
        let proposals = vec![Proposal { request, operations: vec![operation], authors: None }];
        let batch = Batch { function, time: WallTime(until.0 + 10 * 365 * DAY), proposals, sure };
        let mut applied = apply(&lab.rows, lab.index, &batch).unwrap();
        (applied.outcomes.remove(0).remove(0), applied.effects)
    };
    let before = Some(WallTime(until.0 - 1));
    assert_eq!(at(5, before, delete_exactly(bucket, "k", version, BYPASS)).0, LOCKED);
    assert_eq!(at(5, before, retain(bucket, version, None, BYPASS)).0, LOCKED);
    for (function, sure) in [(5, Some(until)), (5, None), (4, before)] {
        let (outcome, _) = at(function, sure, delete_exactly(bucket, "k", version, None));
        assert!(matches!(outcome, Outcome::Deleted { .. }), "{function} {sure:?} {outcome:?}");
    }
}
