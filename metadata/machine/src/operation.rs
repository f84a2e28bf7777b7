//! Operations: everything that can happen to metadata. One entry of the log carries a batch of them.
//!
//! ```text
//! entry    = batch: version of the function, time, proposals
//! proposal = what one session asks for in one request: applied once, answered once
//! operation = one change, with an outcome of its own; it has all its effects or none
//! ```
//!
//! Variants and fields are numbered; numbers are never used again. Operations name buckets by id, so that a bucket that
//! was deleted and made again is not hit by a write that was meant for the first.

mod condition;
mod content;
mod description;
mod needs;
mod new_drive;

use cairn_core::geometry::Geometry;
use cairn_core::{
    BucketId, BucketName, ChunkName, ClusterId, DriveId, ExtentId, LogIndex, NodeId, ObjectKey, SessionId, StripeId,
    StripeShape, VersionId,
};
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use crate::rows::acl::Acl;
use crate::rows::bucket::Versioning;
use crate::rows::config::{BucketConfig, ConfigKind};
use crate::rows::garbage::{GarbageKey, chunk_name};
use crate::rows::lock::{BucketLock, Bypass, Retention, VersionLock};
use crate::rows::manifest::ManifestId;
use crate::rows::object::{Attributes, Checksum, ContentHeaders, Etag};
use crate::rows::profile::ProfileId;
use crate::rows::session::{Lease, SessionKind};
use crate::rows::stripe::PlacedChunk;
use crate::rows::topology::DriveState;
use crate::rows::upload::{UploadChecksum, UploadId};

pub use condition::{Conditions, EtagCondition, VersionChoice};
pub use content::{ByteRange, ChosenPart, NewContent, NewExtent, NewPlace};
pub use description::Description;
pub use new_drive::NewDrive;

pub use crate::batch::{Batch, FUNCTION_VERSION, PROPOSAL_OPERATIONS_MAX, Proposal, RequestId};

/// The most rows that one operation reads or writes (invariant 13).
pub const OPERATION_ROWS_MAX: usize = 4096;

/// The most bytes of rows that one operation writes (invariant 13).
pub const OPERATION_BYTES_MAX: usize = 1024 * 1024;

/// One change of metadata.
#[expect(
    clippy::large_enum_variant,
    reason = "the large one is the common one; a box would cost each PUT an allocation"
)]
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Operation {
    /// The first operation of a history: what the cluster is.
    #[n(0)]
    Form {
        /// Its id, as on every drive.
        #[n(0)]
        cluster: ClusterId,
        /// The first node.
        #[n(1)]
        node: NodeId,
        /// Its zone; empty where nobody said.
        #[n(2)]
        zone: String,
        /// Its drives.
        #[n(3)]
        drives: Vec<NewDrive>,
        /// What STANDARD is.
        #[n(4)]
        standard: Geometry,
        /// The id of the key that may do everything.
        #[n(5)]
        access_key: String,
        /// Its secret, sealed.
        #[n(6)]
        sealed_secret: ByteVec,
        /// The id under which the first node votes.
        #[n(7)]
        voter: u64,
    },
    /// Adds an access key or gives it another secret. The root flag is kept as it was, or as given where it is new.
    #[n(1)]
    PutAccessKey {
        /// Its id.
        #[n(0)]
        id: String,
        /// Its secret, sealed.
        #[n(1)]
        sealed_secret: ByteVec,
        /// Whether it may do everything.
        #[n(2)]
        root: bool,
    },

    /// Begins a session. Registering the same id again while it lives, by the same node and kind, changes nothing. An id
    /// is for one attempt: whoever got no answer draws another one, so that no late copy of this operation brings an
    /// ended session back.
    #[n(2)]
    RegisterSession {
        /// Its id, drawn at random.
        #[n(0)]
        id: SessionId,
        /// What it does.
        #[n(1)]
        kind: SessionKind,
        /// Where it runs.
        #[n(2)]
        node: NodeId,
    },
    /// A session is alive, and says what it has done with. Neither mark ever goes back.
    #[n(3)]
    RenewSession {
        /// Which one.
        #[n(0)]
        id: SessionId,
        /// Below this write counter it will commit nothing more.
        #[n(1)]
        commits_from: u64,
        /// Below this index it reads nothing more.
        #[n(2)]
        reads_from: LogIndex,
    },
    /// Ends a session. With `last_renewal`, only if it was not renewed since; without, by the session itself. Its leases
    /// end, its slots and spent writes are dropped, and its pending manifests are found by the retirement's planner. A
    /// request of the session that is repeated later is answered `SessionEnded`, this one too.
    #[n(4)]
    EndSession {
        /// Which one.
        #[n(0)]
        id: SessionId,
        /// The renewal that the proposer saw.
        #[n(1)]
        last_renewal: Option<LogIndex>,
    },
    /// Takes a lease that nobody holds, or that is held already by the same session.
    #[n(5)]
    TakeLease {
        /// Which one.
        #[n(0)]
        lease: Lease,
        /// Who takes it.
        #[n(1)]
        session: SessionId,
    },

    /// Makes drives known, active.
    #[n(6)]
    RegisterDrives {
        /// Whose they are.
        #[n(0)]
        node: NodeId,
        /// The drives.
        #[n(1)]
        drives: Vec<NewDrive>,
    },
    /// Changes a drive's state. `Removed` is refused while the ledger counts a chunk on the drive (invariant 6); from
    /// `Removed` no road leads back.
    #[n(7)]
    SetDriveState {
        /// Which one.
        #[n(0)]
        drive: DriveId,
        /// What it must be now.
        #[n(1)]
        from: DriveState,
        /// What it is to be.
        #[n(2)]
        to: DriveState,
    },
    /// A voter's rows up to an index stand in runs that were read back on r drives.
    #[n(8)]
    ReportRun {
        /// Which voter.
        #[n(0)]
        voter: u64,
        /// Up to where.
        #[n(1)]
        index: LogIndex,
    },

    /// Makes a bucket.
    #[n(9)]
    CreateBucket {
        /// What people call it.
        #[n(0)]
        name: BucketName,
        /// Who owns it.
        #[n(1)]
        owner: String,
        /// Whether its versions can be locked; then they are kept from the beginning.
        #[n(2)]
        lock: Option<BucketLock>,
        /// Who may do what with it, where that is not the owner alone.
        #[n(3)]
        acl: Option<Acl>,
    },
    /// Removes an empty bucket.
    #[n(10)]
    DeleteBucket {
        /// Which one.
        #[n(0)]
        id: BucketId,
    },
    /// Switches the keeping of versions on or off. There is no way back to `Off`.
    #[n(11)]
    SetVersioning {
        /// Which bucket.
        #[n(0)]
        id: BucketId,
        /// What it is to be.
        #[n(1)]
        versioning: Versioning,
    },

    /// Makes a stripe whose chunks are durable. Every drive must be active, the session alive and the counter not below
    /// its mark; otherwise the positions to place anew are named. It must be followed, in the same proposal, by
    /// operations that put extents into it and by a `SettleStripe`.
    #[n(12)]
    MakeStripe {
        /// Its name.
        #[n(0)]
        id: StripeId,
        /// Its geometry and lengths.
        #[n(1)]
        shape: StripeShape,
        /// Where its chunks are.
        #[n(2)]
        positions: Vec<PlacedChunk>,
    },
    /// Drops a stripe, its chunks becoming garbage, if no operation since gave it a living extent.
    #[n(13)]
    SettleStripe {
        /// Which one.
        #[n(0)]
        id: StripeId,
    },

    /// Makes a version the newest of its key.
    #[n(14)]
    PutObject {
        /// The bucket.
        #[n(0)]
        bucket: BucketId,
        /// The key.
        #[n(1)]
        key: ObjectKey,
        /// What it is.
        #[n(2)]
        attributes: Attributes,
        /// Its bytes.
        #[n(3)]
        content: NewContent,
        /// What must hold of the newest version until then.
        #[n(4)]
        conditions: Conditions,
        /// The session that wrote its extents.
        #[n(5)]
        session: SessionId,
    },
    /// Deletes a version, or leaves a marker.
    #[n(15)]
    DeleteObject {
        /// The bucket.
        #[n(0)]
        bucket: BucketId,
        /// The key.
        #[n(1)]
        key: ObjectKey,
        /// Which version.
        #[n(2)]
        version: VersionChoice,
        /// What must hold of it until then.
        #[n(3)]
        conditions: Conditions,
        /// What whoever asks may override. Nothing overrides a hold, or retention in compliance mode (invariant 12).
        #[n(4)]
        bypass: Option<Bypass>,
    },

    /// Adds the next page to a pending manifest; the first page makes it.
    #[n(16)]
    AddManifestPage {
        /// Which manifest.
        #[n(0)]
        manifest: ManifestId,
        /// Which page: the number of pages until now.
        #[n(1)]
        page: u32,
        /// Its extents, in order, each used whole.
        #[n(2)]
        extents: Vec<NewExtent>,
        /// What was asked for when they were written.
        #[n(3)]
        profile: ProfileId,
    },
    /// Gives up a pending manifest: by its session, or by anyone once that session has ended.
    #[n(17)]
    AbandonManifest {
        /// Which one.
        #[n(0)]
        manifest: ManifestId,
        /// Who asks.
        #[n(1)]
        session: SessionId,
    },
    /// Takes apart the next page of a retiring manifest.
    #[n(18)]
    RetirePage {
        /// Which manifest.
        #[n(0)]
        manifest: ManifestId,
        /// The page that the proposer saw as next.
        #[n(1)]
        page: u32,
    },

    /// Names another chunk as a stripe's position: it was written and read back. Compare-and-set.
    #[n(19)]
    MovePosition {
        /// Which stripe.
        #[n(0)]
        stripe: StripeId,
        /// Which position.
        #[n(1)]
        position: u8,
        /// What must stand there now.
        #[n(2)]
        from: PlacedChunk,
        /// What is to stand there.
        #[n(3)]
        to: PlacedChunk,
    },
    /// Moves an extent's bytes to another place: what a rewrite commits. Compare-and-set.
    #[n(20)]
    MoveExtent {
        /// Which extent.
        #[n(0)]
        extent: ExtentId,
        /// Where it must stand now; none means `here`.
        #[n(1)]
        from: Option<StripeId>,
        /// The stripe that holds it now, made earlier in the same proposal.
        #[n(2)]
        stripe: StripeId,
        /// Where in its data the bytes begin.
        #[n(3)]
        offset: u64,
    },
    /// Makes an orphan garbage. Refused while the stripe's row names it, or its session could still commit it.
    #[n(21)]
    Condemn {
        /// Which chunk.
        #[cbor(n(0), with = "chunk_name")]
        chunk: ChunkName,
        /// The drive that holds it.
        #[n(1)]
        drive: DriveId,
    },
    /// The drives have deleted these. Refused for what is not due yet.
    #[n(22)]
    Collected {
        /// Which garbage rows.
        #[n(0)]
        garbage: Vec<GarbageKey>,
    },
    /// Removes an access key. The last one that may do everything stays.
    #[n(23)]
    RemoveAccessKey {
        /// Its id.
        #[n(0)]
        id: String,
    },

    /// Begins a multipart upload.
    #[n(24)]
    CreateUpload {
        /// The bucket.
        #[n(0)]
        bucket: BucketId,
        /// The key that the object will have.
        #[n(1)]
        key: ObjectKey,
        /// Who begins it.
        #[n(2)]
        initiator: String,
        /// The profile that was asked for.
        #[n(3)]
        profile: ProfileId,
        /// The headers that the object will give back.
        #[n(4)]
        headers: ContentHeaders,
        /// `x-amz-meta-*`.
        #[n(5)]
        metadata: Vec<(String, String)>,
        /// Tags.
        #[n(6)]
        tags: Option<Vec<(String, String)>>,
        /// The checksum that was asked for.
        #[n(7)]
        checksum: Option<UploadChecksum>,
        /// What will keep the object from going.
        #[n(8)]
        lock: Option<VersionLock>,
        /// Who will be allowed what with the object.
        #[n(9)]
        acl: Option<Acl>,
    },
    /// Puts a part, in place of the one with its number.
    #[n(25)]
    PutPart {
        /// The bucket.
        #[n(0)]
        bucket: BucketId,
        /// The key.
        #[n(1)]
        key: ObjectKey,
        /// The upload.
        #[n(2)]
        upload: UploadId,
        /// The part's number, from 1 to 10,000.
        #[n(3)]
        number: u16,
        /// How many bytes.
        #[n(4)]
        size: u64,
        /// What clients compare.
        #[cbor(n(5), with = "minicbor::bytes")]
        md5: [u8; 16],
        /// The checksum that was verified.
        #[n(6)]
        checksum: Option<Checksum>,
        /// Its bytes.
        #[n(7)]
        content: NewContent,
        /// The session that wrote its extents.
        #[n(8)]
        session: SessionId,
    },
    /// Gives an upload up. Its parts go in steps, by [`Operation::RetireUpload`].
    #[n(26)]
    AbortUpload {
        /// The bucket.
        #[n(0)]
        bucket: BucketId,
        /// The key.
        #[n(1)]
        key: ObjectKey,
        /// The upload.
        #[n(2)]
        upload: UploadId,
    },
    /// Adds the next page of parts to a pending manifest; the first page makes it. Each part's content is counted once
    /// more, so that the upload is as it was until it is completed.
    #[n(27)]
    AddPartsPage {
        /// Which manifest.
        #[n(0)]
        manifest: ManifestId,
        /// Which page: the number of pages until now.
        #[n(1)]
        page: u32,
        /// The bucket.
        #[n(2)]
        bucket: BucketId,
        /// The key.
        #[n(3)]
        key: ObjectKey,
        /// The upload whose parts they are.
        #[n(4)]
        upload: UploadId,
        /// The parts, their numbers rising, from page to page too.
        #[n(5)]
        parts: Vec<ChosenPart>,
    },
    /// Makes a manifest of an upload's parts the newest version of its key, with what was said when the upload began, and
    /// ends the upload. `PartChanged` if a part was put in place of another since the manifest's first page: look at the parts
    /// again, and fill another manifest.
    #[n(28)]
    CompleteUpload {
        /// The bucket.
        #[n(0)]
        bucket: BucketId,
        /// The key.
        #[n(1)]
        key: ObjectKey,
        /// The upload.
        #[n(2)]
        upload: UploadId,
        /// The manifest that names its parts.
        #[n(3)]
        manifest: ManifestId,
        /// The object's tag.
        #[n(4)]
        etag: Etag,
        /// The object's checksum.
        #[n(5)]
        checksum: Option<Checksum>,
        /// What must hold of the newest version until then.
        #[n(6)]
        conditions: Conditions,
        /// The session that filled the manifest.
        #[n(7)]
        session: SessionId,
    },
    /// Takes away the next parts of an upload that is completed or aborted; the last one ends its retirement.
    #[n(29)]
    RetireUpload {
        /// Which upload.
        #[n(0)]
        upload: UploadId,
    },
    /// Adds the next page to a pending manifest, of extents that a version has already: what a copy of a range commits. The
    /// machine reads the source when it applies.
    #[n(30)]
    AddSharedPage {
        /// Which manifest.
        #[n(0)]
        manifest: ManifestId,
        /// Which page: the number of pages until now.
        #[n(1)]
        page: u32,
        /// Where the bytes are now.
        #[n(2)]
        bucket: BucketId,
        /// The key that has them.
        #[n(3)]
        key: ObjectKey,
        /// The version that has them.
        #[n(4)]
        version: VersionId,
        /// Which of its bytes; no more extents than one page may name.
        #[n(5)]
        range: ByteRange,
    },
    /// Changes the tags of a version.
    #[n(31)]
    SetObjectTags {
        /// The bucket.
        #[n(0)]
        bucket: BucketId,
        /// The key.
        #[n(1)]
        key: ObjectKey,
        /// Which version.
        #[n(2)]
        version: VersionChoice,
        /// The tags; none takes all of them away.
        #[n(3)]
        tags: Option<Vec<(String, String)>>,
    },
    /// Configures something for a bucket, in place of what was configured.
    #[n(32)]
    PutBucketConfig {
        /// Which bucket.
        #[n(0)]
        id: BucketId,
        /// What it says.
        #[n(1)]
        config: BucketConfig,
    },
    /// Takes a configuration away. That there was none is no error.
    #[n(33)]
    RemoveBucketConfig {
        /// Which bucket.
        #[n(0)]
        id: BucketId,
        /// Which kind.
        #[n(1)]
        kind: ConfigKind,
    },

    /// Makes a node known, with its drives, active. A node that is known already stays as it is, and what is new among the
    /// drives is added.
    #[n(34)]
    RegisterNode {
        /// Which one.
        #[n(0)]
        node: NodeId,
        /// Its zone; empty where nobody said.
        #[n(1)]
        zone: String,
        /// Its drives; none for a node that stores nothing.
        #[n(2)]
        drives: Vec<NewDrive>,
    },
    /// Gives a node an id under which it takes part in the log: the index at which this is applied, so that no id is ever
    /// given twice. It does not vote before it is seated.
    #[n(35)]
    AdmitMember {
        /// Which node.
        #[n(0)]
        node: NodeId,
    },
    /// Counts a member among the voters. A seat that the node had under another id is given up in the same step.
    #[n(36)]
    SeatVoter {
        /// The id that it was admitted under.
        #[n(0)]
        voter: u64,
    },
    /// Forgets a member: it is counted no more, and its id stands for nobody from now on. The last voter stays.
    #[n(37)]
    DismissMember {
        /// The id that it was admitted under.
        #[n(0)]
        member: u64,
    },

    /// Lets the versions of a bucket be locked, or changes what holds for those that bring no retention. Versions must be
    /// kept; from then on they always are. There is no way back.
    #[n(40)]
    LockBucket {
        /// Which bucket.
        #[n(0)]
        id: BucketId,
        /// What holds.
        #[n(1)]
        lock: BucketLock,
    },
    /// Retains a version, in place of what retained it before.
    #[n(41)]
    SetRetention {
        /// The bucket.
        #[n(0)]
        bucket: BucketId,
        /// The key.
        #[n(1)]
        key: ObjectKey,
        /// Which version.
        #[n(2)]
        version: VersionChoice,
        /// Until when; none lifts it.
        #[n(3)]
        retention: Option<Retention>,
        /// What whoever asks may override.
        #[n(4)]
        bypass: Option<Bypass>,
    },
    /// Puts a version on legal hold, or lifts the hold.
    #[n(42)]
    SetLegalHold {
        /// The bucket.
        #[n(0)]
        bucket: BucketId,
        /// The key.
        #[n(1)]
        key: ObjectKey,
        /// Which version.
        #[n(2)]
        version: VersionChoice,
        /// Whether it is held.
        #[n(3)]
        held: bool,
    },
    /// Says who may do what with a version.
    #[n(43)]
    SetObjectAcl {
        /// The bucket.
        #[n(0)]
        bucket: BucketId,
        /// The key.
        #[n(1)]
        key: ObjectKey,
        /// Which version.
        #[n(2)]
        version: VersionChoice,
        /// Who; none means the owner of the bucket alone.
        #[n(3)]
        acl: Option<Acl>,
    },

    /// From here on entries are of a later version of the function, at least. Its own entry is of that version already, so that
    /// a member that does not know it stops here and not in the midst of what builds on it.
    #[n(44)]
    RaiseFunction {
        /// The version.
        #[n(0)]
        to: u8,
    },
}
