//! What rows and operations look like as bytes. What is written down in `golden/` is what lies in logs and runs: a test
//! that fails here says that data of an earlier release would not be read.
//!
//! `CAIRN_GOLDEN=write cargo test -p cairn-machine golden` writes the files anew, for a row or an operation that is new.

use core::fmt::{Debug, Write};

use cairn_core::{
    BucketId, BucketName, ChunkName, ClusterId, DriveId, ExtentId, Geometry, LogIndex, NodeId, ObjectKey, SessionId,
    StripeId, StripeShape, VersionId, WallTime, WriteId,
};
use proptest::prelude::*;

use crate::batch::{Batch, FUNCTION_VERSION, InvalidBatch, Proposal, RequestId};
use crate::operation::{
    ByteRange, ChosenPart, Conditions, EtagCondition, NewContent, NewDrive, NewExtent, NewPlace, Operation,
    VersionChoice,
};
use crate::outcome::{Outcome, Refusal};
use crate::row::{Row, prefix_end, read_cbor, read_terminated, write_cbor, write_terminated};
use crate::rows::access_key::AccessKeyRow;
use crate::rows::acl::{Acl, Grant, Grantee, Permission};
use crate::rows::bucket::{BucketLedgerRow, BucketNameRow, BucketRow, Versioning};
use crate::rows::cluster::ClusterRow;
use crate::rows::config::{BucketConfig, BucketConfigRow, ConfigKind, Ownership, PublicAccessBlock};
use crate::rows::cors::CorsRule;
use crate::rows::extent::{ExtentPlace, ExtentRow};
use crate::rows::garbage::{GarbageKey, GarbageRow};
use crate::rows::here::{HereLedgerRow, HereRow};
use crate::rows::lock::{BucketLock, Bypass, DefaultRetention, Period, Retention, RetentionMode, VersionLock};
use crate::rows::manifest::{
    ManifestId, ManifestPageRow, ManifestPartsRow, ManifestRow, ManifestState, PartOfObject, PartsOf, RetirementRow,
};
use crate::rows::object::{
    Attributes, Checksum, ChecksumKind, Content, ContentHeaders, Etag, ExtentRange, ObjectRow, OlderVersionRow,
    VersionKind,
};
use crate::rows::profile::{ProfileId, ProfileRow};
use crate::rows::session::{Lease, LeaseRow, SessionKind, SessionRow, SlotRow};
use crate::rows::spent::SpentWriteRow;
use crate::rows::stripe::{PlacedChunk, StripeLiveRow, StripeRow};
use crate::rows::topology::{DriveLedgerRow, DriveRow, DriveState, NodeRow, VoterRow};
use crate::rows::upload::{
    BucketUploadsRow, PartRow, ReplacingPart, UploadChecksum, UploadId, UploadLedgerRow, UploadRetirementRow, UploadRow,
};
use crate::source::RowError;

fn write(counter: u64) -> WriteId {
    WriteId { session: SessionId(0x0102_0304_0506_0708), counter }
}

fn extent() -> ExtentId {
    ExtentId { write: write(9), ordinal: 2 }
}

fn version() -> VersionId {
    VersionId { index: LogIndex(0x1234), ordinal: 5 }
}

fn key() -> ObjectKey {
    ObjectKey::new("a/ä\0b").unwrap()
}

fn attributes() -> Attributes {
    Attributes {
        size: 70_000,
        etag: Etag { md5: [0xAB; 16], parts: Some(3) },
        profile: ProfileId(1),
        headers: ContentHeaders {
            content_type: Some("text/plain".into()),
            content_encoding: Some("gzip".into()),
            content_disposition: None,
            content_language: Some("de".into()),
            cache_control: None,
            expires: Some("never".into()),
            website_redirect: None,
        },
        metadata: vec![("colour".into(), "blue".into())],
        checksum: Some(Checksum { kind: ChecksumKind::Crc32c, digest: vec![1, 2, 3, 4], parts: None }),
        tags: Some(vec![("k".into(), "v".into())]),
        upload: None,
        lock: None,
        acl: None,
    }
}

fn acl() -> Acl {
    let grant = |grantee, permission| Grant { grantee, permission };
    let grants = vec![
        grant(Grantee::User("ab".into()), Permission::FullControl),
        grant(Grantee::Everyone, Permission::Read),
        grant(Grantee::Authenticated, Permission::Write),
        grant(Grantee::LogDelivery, Permission::WriteAcl),
        grant(Grantee::User("cd".into()), Permission::ReadAcl),
    ];
    Acl { owner: Some("cd".into()), grants }
}

fn retention() -> Retention {
    Retention { mode: RetentionMode::Compliance, until: WallTime(1_800_000_000_000) }
}

fn bucket_lock() -> BucketLock {
    BucketLock { default: Some(DefaultRetention { mode: RetentionMode::Governance, period: Period::Years(2) }) }
}

fn locked() -> Attributes {
    let lock = VersionLock { retention: Some(retention()), legal_hold: Some(false) };
    Attributes { lock: Some(lock), acl: Some(acl()), ..attributes() }
}

fn create_bucket(lock: Option<BucketLock>, acl: Option<Acl>) -> Operation {
    Operation::CreateBucket { name: BucketName::new("photos").unwrap(), owner: "AKIA".into(), lock, acl }
}

fn object() -> ObjectRow {
    let range = ExtentRange { extent: extent(), offset: 1, length: 70_000 };
    let kind = VersionKind::Object { attributes: attributes(), content: Content::Ranges(vec![range]) };
    ObjectRow { version: version(), null: false, modified: WallTime(1_700_000_000_123), kind, older_null: None }
}

fn upload() -> UploadId {
    UploadId(VersionId { index: LogIndex(0x1233), ordinal: 4 })
}

fn upload_row() -> UploadRow {
    UploadRow {
        initiated: WallTime(1_700_000_000_123),
        initiator: "AKIA".into(),
        profile: ProfileId(1),
        headers: attributes().headers,
        metadata: attributes().metadata,
        tags: attributes().tags,
        checksum: Some(UploadChecksum { kind: ChecksumKind::Crc64Nvme, full_object: true }),
        lock: None,
        acl: None,
    }
}

fn uploaded() -> ObjectRow {
    let attributes = Attributes { upload: Some(upload()), ..attributes() };
    let content = Content::Manifest(ManifestId(write(3)));
    ObjectRow { kind: VersionKind::Object { attributes, content }, ..object() }
}

fn manifest_of_parts() -> ManifestRow {
    let of = PartsOf { upload: upload(), count: 10_000, last: 10_000, since: version() };
    ManifestRow { state: ManifestState::Referenced(2), pages: 157, bytes: 5 << 40, parts: Some(of) }
}

fn shape() -> StripeShape {
    StripeShape { geometry: Geometry::new(2, 1).unwrap(), chunk_bytes: 6400, block_bytes: 4096 }
}

fn placed() -> Vec<PlacedChunk> {
    (1..4).map(|drive| PlacedChunk { drive: DriveId(drive), write: write(9) }).collect()
}

fn garbage() -> GarbageKey {
    let chunk = ChunkName { stripe: StripeId(write(9)), position: 2, write: write(11) };
    GarbageKey { index: LogIndex(77), chunk }
}

/// A visitor of one example of every row.
trait Examples {
    fn row<R: Row + PartialEq + Debug>(&mut self, name: &str, key: &R::Key, row: R)
    where
        R::Key: PartialEq + Debug;
}

fn every_row(on: &mut impl Examples) {
    let cluster = ClusterRow { id: ClusterId(7), function: 1, formed: WallTime(1), buckets_made: 300 };
    on.row("cluster", &(), cluster);
    let geometry = Geometry::new(4, 2).unwrap();
    on.row("profile", &ProfileId::STANDARD, ProfileRow { class: "STANDARD".into(), geometry });
    on.row("node", &NodeId(10), NodeRow { zone: "east".into(), joined: WallTime(2), voter: Some(1) });
    let drive = DriveRow {
        node: NodeId(10),
        weight: 465,
        state: DriveState::Draining,
        since: LogIndex(8),
        changed: WallTime(3),
        label: "/mnt/a".into(),
    };
    on.row("drive", &DriveId(1), drive);
    let session = SessionRow {
        kind: SessionKind::Repair,
        node: NodeId(10),
        registered: LogIndex(4),
        renewed: LogIndex(70_000),
        commits_from: 12,
        reads_from: LogIndex(69_000),
        answered_below: 40,
    };
    on.row("session", &SessionId(5), session);
    on.row("slot", &(SessionId(5), 1023), SlotRow { number: 2047, outcomes: vec![1, 2, 3].into() });
    on.row("lease", &Lease::Repair, LeaseRow { holder: SessionId(5), since: LogIndex(6) });
    let key_row = AccessKeyRow { sealed_secret: vec![9; 5].into(), root: true, created: WallTime(4) };
    on.row("access_key", &"AKIA".to_owned(), key_row);
    on.row("voter", &1, VoterRow { run_index: LogIndex(60), node: None });
    on.row("member", &61, VoterRow { run_index: LogIndex(0), node: Some(NodeId(10)) });
    on.row("spent_write", &write(9), SpentWriteRow {});
    let name = BucketName::new("photos").unwrap();
    on.row("bucket_name", &name, BucketNameRow { id: BucketId(9 << 16) });
    let bucket =
        BucketRow { name, created: WallTime(5), owner: "AKIA".into(), versioning: Versioning::Suspended, lock: None };
    on.row("bucket", &BucketId(9 << 16), bucket);
    on.row("bucket_ledger", &BucketId(9 << 16), BucketLedgerRow { objects: 1, versions: 2, bytes: 1 << 40 });
    let ledger = DriveLedgerRow { chunks: 1, bytes: 6400, garbage_chunks: 2, garbage_bytes: 12_800 };
    on.row("drive_ledger", &DriveId(1), ledger);
    on.row("object", &(BucketId(9 << 16), key()), object());
    let marker = ObjectRow { kind: VersionKind::DeleteMarker, older_null: Some(version()), null: true, ..object() };
    on.row("object_marker", &(BucketId(9 << 16), key()), marker);
    let content = Content::Manifest(ManifestId(write(3)));
    let long = ObjectRow { kind: VersionKind::Object { attributes: attributes(), content }, ..object() };
    on.row("object_long", &(BucketId(9 << 16), key()), long);
    on.row("older_version", &(BucketId(9 << 16), key(), version()), OlderVersionRow(object()));
    let manifest = |state| ManifestRow { state, pages: 3, bytes: 1 << 33, parts: None };
    on.row("manifest_pending", &ManifestId(write(3)), manifest(ManifestState::Pending(SessionId(5))));
    on.row("manifest_referenced", &ManifestId(write(3)), manifest(ManifestState::Referenced(2)));
    on.row("manifest_retiring", &ManifestId(write(3)), manifest(ManifestState::Retiring));
    let ranges = vec![ExtentRange { extent: extent(), offset: 0, length: 16 << 20 }; 2];
    on.row("manifest_page", &(ManifestId(write(3)), 2), ManifestPageRow { offset: 1 << 32, ranges });
    let here = ExtentPlace::Here { bytes: vec![1, 2].into(), hash: [7; 32] };
    let extent_row = |place| ExtentRow { place, length: 2, references: 1, profile: ProfileId(0) };
    on.row("extent_here", &extent(), extent_row(here));
    on.row("extent_stripe", &extent(), extent_row(ExtentPlace::Stripe { stripe: StripeId(write(9)), offset: 4096 }));
    on.row("stripe", &StripeId(write(9)), StripeRow { shape: shape(), positions: placed() });
    on.row("stripe_live", &StripeId(write(9)), StripeLiveRow { extents: 64, bytes: 1 << 20 });
    let here_row = HereRow { bucket: BucketId(9 << 16), key: key(), version: Some(version()), part: None };
    on.row("here", &extent(), here_row.clone());
    on.row("here_part", &extent(), HereRow { version: None, part: Some(10_000), ..here_row });
    on.row("here_ledger", &(), HereLedgerRow { extents: 1 << 20, bytes: 64 << 20 });
    on.row("garbage", &garbage(), GarbageRow { drive: DriveId(2), bytes: 6400 });
    on.row("retirement", &ManifestId(write(3)), RetirementRow { next_page: 1 });
    on.row("object_uploaded", &(BucketId(9 << 16), key()), uploaded());
    on.row("manifest_of_parts", &ManifestId(write(3)), manifest_of_parts());
    let part = |number, content| PartOfObject { number, size: 1 << 33, checksum: attributes().checksum, content };
    let range = ExtentRange { extent: extent(), offset: 1, length: 16 << 20 };
    let parts = vec![
        part(1, Content::Ranges(vec![range; 8])),
        part(10_000, Content::Manifest(ManifestId(write(4)))),
        PartOfObject { number: 10_000, size: 0, checksum: None, content: Content::Ranges(vec![]) },
    ];
    on.row("manifest_parts", &(ManifestId(write(3)), 2), ManifestPartsRow { offset: 1 << 41, parts });
    on.row("upload", &(BucketId(9 << 16), key(), upload()), upload_row());
    let part_row = |checksum, content| PartRow {
        version: version(),
        modified: WallTime(1_700_000_000_123),
        size: 5 << 30,
        md5: [0xAB; 16],
        checksum,
        content,
    };
    on.row("part", &(upload(), 10_000), part_row(attributes().checksum, Content::Ranges(vec![range; 8])));
    on.row("part_long", &(upload(), 1), part_row(None, Content::Manifest(ManifestId(write(4)))));
    let replaced = ReplacingPart { number: 7, version: version() };
    on.row("upload_ledger", &upload(), UploadLedgerRow { parts: 10_000, bytes: 5 << 40, replaced: Some(replaced) });
    on.row("bucket_uploads", &BucketId(9 << 16), BucketUploadsRow { uploads: 3, bytes: 5 << 40 });
    on.row("upload_retirement", &upload(), UploadRetirementRow { next_part: 64 });
    let tags = BucketConfig::Tags(vec![("k".into(), "v".into())]);
    on.row("bucket_config_tags", &(BucketId(9 << 16), ConfigKind::Tags), BucketConfigRow { config: tags });
    let rule = CorsRule {
        id: Some("one".into()),
        origins: vec!["https://*.example.org".into()],
        methods: vec!["GET".into(), "PUT".into()],
        headers: vec!["x-amz-*".into()],
        exposed: vec!["etag".into()],
        max_age_seconds: Some(3000),
    };
    let block = PublicAccessBlock { block_acls: true, ignore_acls: false, block_policy: true, restrict: false };
    for (name, config) in [
        ("bucket_config_acl", BucketConfig::Acl(acl())),
        ("bucket_config_cors", BucketConfig::Cors(vec![rule, CorsRule::default()])),
        ("bucket_config_policy", BucketConfig::Policy("{}".into())),
        ("bucket_config_public_access", BucketConfig::PublicAccess(block)),
        ("bucket_config_ownership", BucketConfig::Ownership(Ownership::OwnerPreferred)),
    ] {
        on.row(name, &(BucketId(9 << 16), config.kind()), BucketConfigRow { config });
    }
    let name = BucketName::new("photos").unwrap();
    let (owner, lock) = ("AKIA".into(), Some(bucket_lock()));
    let bucket = BucketRow { name, created: WallTime(5), owner, versioning: Versioning::Enabled, lock };
    on.row("bucket_locked", &BucketId(9 << 16), bucket);
    let content = Content::Ranges(vec![]);
    let kind = VersionKind::Object { attributes: Attributes { size: 0, ..locked() }, content };
    on.row("object_locked", &(BucketId(9 << 16), key()), ObjectRow { kind, ..object() });
    let (lock, acl) = (locked().lock, Some(acl()));
    on.row("upload_locked", &(BucketId(9 << 16), key(), upload()), UploadRow { lock, acl, ..upload_row() });
}

/// One example of every operation, each with its name.
fn every_operation() -> Vec<(&'static str, Operation)> {
    let drives = || vec![NewDrive { id: DriveId(1), weight: 465, label: "/mnt/a".into() }];
    let (bucket, session) = (BucketId(9 << 16), SessionId(5));
    let (stripe, manifest) = (StripeId(write(9)), ManifestId(write(3)));
    let in_stripe = NewExtent { id: extent(), length: 70_000, place: NewPlace::Stripe { stripe, offset: 4096 } };
    let here = NewExtent { id: extent(), length: 2, place: NewPlace::Here(vec![1, 2].into()) };
    let put = |content, conditions| Operation::PutObject {
        bucket,
        key: key(),
        attributes: attributes(),
        content,
        conditions,
        session,
    };
    let conditions = Conditions {
        if_match: Some(EtagCondition::OneOf(vec![Etag { md5: [1; 16], parts: None }])),
        if_none_match: Some(EtagCondition::Any),
        size: Some(5),
        modified: Some(WallTime(6)),
    };
    let delete = |version| Operation::DeleteObject {
        bucket,
        key: key(),
        version,
        conditions: Conditions::default(),
        bypass: None,
    };
    let form = Operation::Form {
        cluster: ClusterId(7),
        node: NodeId(10),
        zone: String::new(),
        drives: drives(),
        standard: Geometry::new(4, 2).unwrap(),
        access_key: "AKIA".into(),
        sealed_secret: vec![9; 5].into(),
        voter: 1,
    };
    let range = ByteRange { from: 1 << 33, length: 70_000 };
    let (from, to) = (placed()[0], PlacedChunk { drive: DriveId(4), write: write(12) });
    vec![
        ("form", form),
        ("put_access_key", Operation::PutAccessKey { id: "AKIA".into(), sealed_secret: vec![9].into(), root: true }),
        ("register_session", Operation::RegisterSession { id: session, kind: SessionKind::Gateway, node: NodeId(10) }),
        ("renew_session", Operation::RenewSession { id: session, commits_from: 12, reads_from: LogIndex(40) }),
        ("end_session", Operation::EndSession { id: session, last_renewal: None }),
        ("expire_session", Operation::EndSession { id: session, last_renewal: Some(LogIndex(40)) }),
        ("take_lease", Operation::TakeLease { lease: Lease::Repair, session }),
        ("register_drives", Operation::RegisterDrives { node: NodeId(10), drives: drives() }),
        (
            "set_drive_state",
            Operation::SetDriveState { drive: DriveId(1), from: DriveState::Active, to: DriveState::Lost },
        ),
        ("report_run", Operation::ReportRun { voter: 1, index: LogIndex(60) }),
        ("create_bucket", create_bucket(None, None)),
        ("delete_bucket", Operation::DeleteBucket { id: bucket }),
        ("set_versioning", Operation::SetVersioning { id: bucket, versioning: Versioning::Enabled }),
        ("make_stripe", Operation::MakeStripe { id: stripe, shape: shape(), positions: placed() }),
        ("settle_stripe", Operation::SettleStripe { id: stripe }),
        ("put_in_stripe", put(NewContent::Extents(vec![in_stripe.clone()]), conditions)),
        ("put_here", put(NewContent::Extents(vec![here]), Conditions::default())),
        ("put_manifest", put(NewContent::Manifest(manifest), Conditions::default())),
        (
            "put_shared",
            put(NewContent::Shared { bucket, key: key(), version: version(), range: None }, Conditions::default()),
        ),
        ("delete_newest", delete(VersionChoice::Newest)),
        ("delete_null", delete(VersionChoice::Null)),
        ("delete_version", delete(VersionChoice::Exactly(version()))),
        (
            "add_manifest_page",
            Operation::AddManifestPage { manifest, page: 2, extents: vec![in_stripe], profile: ProfileId(0) },
        ),
        ("abandon_manifest", Operation::AbandonManifest { manifest, session }),
        ("retire_page", Operation::RetirePage { manifest, page: 1 }),
        ("move_position", Operation::MovePosition { stripe, position: 0, from, to }),
        ("move_extent", Operation::MoveExtent { extent: extent(), from: None, stripe, offset: 64 }),
        ("condemn", Operation::Condemn { chunk: garbage().chunk, drive: DriveId(2) }),
        ("collected", Operation::Collected { garbage: vec![garbage()] }),
        ("remove_access_key", Operation::RemoveAccessKey { id: "AKIA".into() }),
        (
            "create_upload",
            Operation::CreateUpload {
                bucket,
                key: key(),
                initiator: "AKIA".into(),
                profile: ProfileId(0),
                headers: attributes().headers,
                metadata: attributes().metadata,
                tags: attributes().tags,
                checksum: upload_row().checksum,
                lock: None,
                acl: None,
            },
        ),
        (
            "put_part",
            Operation::PutPart {
                bucket,
                key: key(),
                upload: upload(),
                number: 10_000,
                size: 70_000,
                md5: [0xAB; 16],
                checksum: attributes().checksum,
                content: NewContent::Shared { bucket, key: key(), version: version(), range: Some(range) },
                session,
            },
        ),
        ("abort_upload", Operation::AbortUpload { bucket, key: key(), upload: upload() }),
        (
            "add_parts_page",
            Operation::AddPartsPage {
                manifest,
                page: 2,
                bucket,
                key: key(),
                upload: upload(),
                parts: vec![ChosenPart { number: 10_000, version: version() }],
            },
        ),
        (
            "complete_upload",
            Operation::CompleteUpload {
                bucket,
                key: key(),
                upload: upload(),
                manifest,
                etag: attributes().etag,
                checksum: attributes().checksum,
                conditions: Conditions::default(),
                session,
            },
        ),
        ("retire_upload", Operation::RetireUpload { upload: upload() }),
        (
            "add_shared_page",
            Operation::AddSharedPage { manifest, page: 2, bucket, key: key(), version: version(), range },
        ),
        (
            "set_object_tags",
            Operation::SetObjectTags { bucket, key: key(), version: VersionChoice::Null, tags: attributes().tags },
        ),
        (
            "put_bucket_config",
            Operation::PutBucketConfig { id: bucket, config: BucketConfig::Tags(vec![("k".into(), "v".into())]) },
        ),
        ("remove_bucket_config", Operation::RemoveBucketConfig { id: bucket, kind: ConfigKind::Tags }),
        ("register_node", Operation::RegisterNode { node: NodeId(11), zone: "west".into(), drives: drives() }),
        ("admit_member", Operation::AdmitMember { node: NodeId(11) }),
        ("seat_voter", Operation::SeatVoter { voter: 61 }),
        ("dismiss_member", Operation::DismissMember { member: 61 }),
        ("create_locked_bucket", create_bucket(Some(bucket_lock()), Some(acl()))),
        (
            "delete_bypassing",
            Operation::DeleteObject {
                bucket,
                key: key(),
                version: VersionChoice::Null,
                conditions: Conditions::default(),
                bypass: Some(Bypass::Governance),
            },
        ),
        ("lock_bucket", Operation::LockBucket { id: bucket, lock: bucket_lock() }),
        ("lock_bucket_only", Operation::LockBucket { id: bucket, lock: BucketLock::default() }),
        (
            "set_retention",
            Operation::SetRetention {
                bucket,
                key: key(),
                version: VersionChoice::Exactly(version()),
                retention: Some(retention()),
                bypass: Some(Bypass::Governance),
            },
        ),
        ("set_legal_hold", Operation::SetLegalHold { bucket, key: key(), version: VersionChoice::Newest, held: true }),
        (
            "set_object_acl",
            Operation::SetObjectAcl { bucket, key: key(), version: VersionChoice::Newest, acl: Some(acl()) },
        ),
        ("raise_function", Operation::RaiseFunction { to: 5 }),
    ]
}

fn every_outcome() -> Vec<(&'static str, Outcome)> {
    let refused = Outcome::Refused;
    vec![
        ("done", Outcome::Done),
        ("bucket_created", Outcome::BucketCreated(BucketId(9 << 16))),
        ("put", Outcome::Put { version: version(), null: true, modified: WallTime(1_700_000_000_123) }),
        ("deleted", Outcome::Deleted { version: Some(version()), null: false, marker: true }),
        ("already_formed", refused(Refusal::AlreadyFormed)),
        ("not_formed", refused(Refusal::NotFormed)),
        ("no_such_bucket", refused(Refusal::NoSuchBucket)),
        ("bucket_exists", refused(Refusal::BucketExists { owner: "AKIA".into() })),
        ("bucket_not_empty", refused(Refusal::BucketNotEmpty)),
        ("no_such_key", refused(Refusal::NoSuchKey)),
        ("no_such_version", refused(Refusal::NoSuchVersion)),
        ("precondition_failed", refused(Refusal::PreconditionFailed)),
        ("session_ended", refused(Refusal::SessionEnded)),
        ("stale_write", refused(Refusal::StaleWrite)),
        ("place_anew", refused(Refusal::PlaceAnew { positions: vec![0, 31] })),
        ("changed", refused(Refusal::Changed)),
        ("too_large", refused(Refusal::TooLarge)),
        ("malformed", refused(Refusal::Malformed { reason: "so".into() })),
        ("drive_in_use", refused(Refusal::DriveInUse { chunks: 1 })),
        ("unknown", refused(Refusal::Unknown { what: "node".into() })),
        ("not_due", refused(Refusal::NotDue { until: LogIndex(77) })),
        ("lease_held", refused(Refusal::LeaseHeld)),
        ("outside_window", refused(Refusal::OutsideWindow)),
        ("depends", refused(Refusal::Depends)),
        ("upload_created", Outcome::UploadCreated(upload())),
        ("part_put", Outcome::PartPut { modified: WallTime(1_700_000_000_123) }),
        ("amended", Outcome::Amended { version: version(), null: true }),
        ("no_such_upload", refused(Refusal::NoSuchUpload)),
        ("part_changed", refused(Refusal::PartChanged { number: 10_000 })),
        ("marker", refused(Refusal::Marker)),
        ("admitted", Outcome::Admitted { member: 61 }),
        ("locked", refused(Refusal::Locked)),
        ("no_lock", refused(Refusal::NoLock)),
        ("versioning_required", refused(Refusal::VersioningRequired)),
    ]
}

fn batch_of(operations: Vec<Operation>) -> Batch {
    let request = Some(RequestId { session: SessionId(5), number: 41, lowest_unanswered: 40 });
    let proposals = vec![
        Proposal { request, operations, authors: None },
        Proposal { request: None, operations: vec![], authors: None },
    ];
    Batch { function: FUNCTION_VERSION, time: WallTime(1_700_000_000_123), proposals, sure: None }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn compare_with_golden(file: &str, now: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(file);
    if std::env::var_os("CAIRN_GOLDEN").is_some_and(|wish| wish == "write") {
        std::fs::write(&path, now).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    for (golden, now) in golden.lines().zip(now.lines()) {
        assert_eq!(golden, now, "the bytes of an earlier release would not be read");
    }
    assert_eq!(golden.lines().count(), now.lines().count(), "{file} lacks what is new, or something is gone");
}

#[test]
fn golden_rows() {
    struct Lines(String);
    impl Examples for Lines {
        fn row<R: Row + PartialEq + Debug>(&mut self, name: &str, key: &R::Key, row: R)
        where
            R::Key: PartialEq + Debug,
        {
            writeln!(self.0, "{name} {} {}", hex(&R::key(key)), hex(&row.encode())).unwrap();
        }
    }
    let mut lines = Lines(String::new());
    every_row(&mut lines);
    compare_with_golden("rows.txt", &lines.0);
}

#[test]
fn golden_operations() {
    let mut lines = String::new();
    for (name, operation) in every_operation() {
        let mut bytes = Vec::new();
        write_cbor(&operation, &mut bytes);
        writeln!(lines, "{name} {}", hex(&bytes)).unwrap();
    }
    let batch = batch_of(every_operation().into_iter().map(|(_, operation)| operation).take(3).collect());
    writeln!(lines, "batch {}", hex(&batch.encode())).unwrap();
    for function in 1..FUNCTION_VERSION {
        let earlier = Batch { function, ..batch.clone() };
        writeln!(lines, "batch_of_function_{function} {}", hex(&earlier.encode())).unwrap();
    }
    let unsure = Batch { sure: Some(WallTime(1_600_000_000_000)), ..batch };
    writeln!(lines, "batch_of_an_unsure_leader {}", hex(&unsure.encode())).unwrap();
    compare_with_golden("operations.txt", &lines);
}

#[test]
fn golden_outcomes() {
    let mut lines = String::new();
    for (name, outcome) in every_outcome() {
        let mut bytes = Vec::new();
        write_cbor(&outcome, &mut bytes);
        assert_eq!(read_cbor::<Outcome>(&bytes).unwrap(), outcome);
        writeln!(lines, "{name} {}", hex(&bytes)).unwrap();
    }
    compare_with_golden("outcomes.txt", &lines);
}

#[test]
fn every_row_comes_back_and_nothing_else_is_taken_for_one() {
    struct RoundTrip;
    impl Examples for RoundTrip {
        fn row<R: Row + PartialEq + Debug>(&mut self, name: &str, key: &R::Key, row: R)
        where
            R::Key: PartialEq + Debug,
        {
            let (key_bytes, value) = (R::key(key), row.encode());
            assert_eq!(R::parse_key(&key_bytes).unwrap(), *key, "{name}");
            assert_eq!(R::decode(&key_bytes, &value).unwrap(), row, "{name}");
            assert!(value.len() <= row.weight(), "{name} has {} bytes and weighs {}", value.len(), row.weight());
            let damaged = |value: &[u8]| matches!(R::decode(&key_bytes, value), Err(RowError::Damaged { .. }));
            for length in 0..value.len() {
                assert!(damaged(&value[..length]), "{name} cut to {length}");
            }
            let with = |change: &dyn Fn(&mut Vec<u8>)| {
                let mut value = value.to_vec();
                change(&mut value);
                value
            };
            assert!(damaged(&with(&|value| value.push(0))), "{name} with a byte behind");
            assert!(damaged(&with(&|value| value[0] = 0)), "{name} of version 0");
            let newer = R::decode(&key_bytes, &with(&|value| value[0] = R::VERSION + 1)).unwrap_err().to_string();
            assert!(newer.contains(&format!("version {}", R::VERSION + 1)), "{newer}");
            assert!(newer.contains(&format!("up to {}", R::VERSION)), "{newer}");
            assert!(damaged(b"\x01foreign bytes"), "{name}");
            let mut foreign = key_bytes.to_vec();
            foreign[0] ^= 0x80;
            assert!(R::parse_key(&foreign).is_err(), "{name}");
            assert!(R::parse_key(&[]).is_err(), "{name}");
        }
    }
    every_row(&mut RoundTrip);
}

#[test]
fn every_operation_comes_back_and_nothing_else_is_taken_for_one() {
    for (name, operation) in every_operation() {
        let batch = batch_of(vec![operation]);
        let bytes = batch.encode();
        assert_eq!(Batch::decode(&bytes).unwrap(), batch, "{name}");
        for length in 0..bytes.len() {
            assert!(
                matches!(Batch::decode(&bytes[..length]), Err(InvalidBatch::Malformed(_))),
                "{name} cut to {length}"
            );
        }
        let mut longer = bytes.to_vec();
        longer.push(0);
        assert!(matches!(Batch::decode(&longer), Err(InvalidBatch::Malformed(_))), "{name}");
    }
    // An operation that only a later release knows, behind the function's version that says so.
    let mut unknown = batch_of(vec![]).encode().to_vec();
    unknown[1] = FUNCTION_VERSION + 1;
    unknown.truncate(4);
    assert_eq!(Batch::decode(&unknown), Err(InvalidBatch::NewerFunction { found: FUNCTION_VERSION + 1 }));
    // A length that promises more than there is allocates nothing.
    let hostile = [0x83, 0x01, 0x00, 0x9B, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];
    assert!(matches!(Batch::decode(&hostile), Err(InvalidBatch::Malformed(_))));
}

proptest! {
    #[test]
    fn terminated_text_keeps_its_order_and_comes_back(a: Vec<u8>, b: Vec<u8>, rest: Vec<u8>) {
        let terminated = |text: &[u8]| {
            let mut out = Vec::new();
            write_terminated(text, &mut out);
            out
        };
        prop_assert_eq!(a.cmp(&b), terminated(&a).cmp(&terminated(&b)));
        let mut followed = terminated(&a);
        followed.extend_from_slice(&rest);
        prop_assert_eq!(read_terminated(&followed), Some((a, &rest[..])));
    }

    #[test]
    fn the_end_of_a_prefix_is_behind_all_that_begins_with_it(prefix: Vec<u8>, more: Vec<u8>, other: Vec<u8>) {
        let whole = [prefix.clone(), more].concat();
        match prefix_end(&prefix) {
            Some(end) => {
                prop_assert!(whole < end);
                prop_assert!(other < prefix || other.starts_with(&prefix) || other >= end);
            }
            None => prop_assert!(prefix.iter().all(|&byte| byte == 0xFF)),
        }
    }

    #[test]
    fn keys_of_objects_sort_as_their_parts(
        a in "\\PC{1,8}", b in "\\PC{1,8}", first: (u64, u16), second: (u64, u16), bucket: (u8, u8),
    ) {
        let version = |(index, ordinal)| VersionId { index: LogIndex(index), ordinal };
        let (one, two) = ((bucket.0, a, version(first)), (bucket.1, b, version(second)));
        let newest = |(bucket, key, _): &(u8, String, VersionId)| {
            ObjectRow::key(&(BucketId(u64::from(*bucket)), ObjectKey::new(key.clone()).unwrap()))
        };
        prop_assert_eq!(newest(&one).cmp(&newest(&two)), (one.0, &one.1).cmp(&(two.0, &two.1)));
        let older = |(bucket, key, version): &(u8, String, VersionId)| {
            let key = (BucketId(u64::from(*bucket)), ObjectKey::new(key.clone()).unwrap(), *version);
            assert_eq!(OlderVersionRow::parse_key(&OlderVersionRow::key(&key)).unwrap(), key);
            OlderVersionRow::key(&key)
        };
        // Newest first.
        let order = (one.0, &one.1, core::cmp::Reverse(one.2)).cmp(&(two.0, &two.1, core::cmp::Reverse(two.2)));
        prop_assert_eq!(older(&one).cmp(&older(&two)), order);
    }
}
