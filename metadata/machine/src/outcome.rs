//! What an operation answers: an effect that happened, or a refusal that says why not and what to do.

use cairn_core::{BucketId, LogIndex, VersionId, WallTime};
use minicbor::{Decode, Encode};

use crate::rows::upload::UploadId;

/// What came of one operation.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Outcome {
    /// It has all its effects.
    #[n(0)]
    Done,
    /// The bucket is there.
    #[n(1)]
    BucketCreated(#[n(0)] BucketId),
    /// The version is the newest of its key.
    #[n(2)]
    Put {
        /// Which version it became.
        #[n(0)]
        version: VersionId,
        /// Whether clients know it as `null`.
        #[n(1)]
        null: bool,
        /// Its `Last-Modified`.
        #[n(2)]
        modified: WallTime,
    },
    /// What a delete did. Deleting what is not there is no error.
    #[n(3)]
    Deleted {
        /// The version that went, or the marker that came; none where there was nothing.
        #[n(0)]
        version: Option<VersionId>,
        /// Whether that version is known as `null`.
        #[n(1)]
        null: bool,
        /// Whether that version is a delete marker.
        #[n(2)]
        marker: bool,
    },
    /// It has no effect.
    #[n(4)]
    Refused(#[n(0)] Refusal),
    /// The upload may take parts.
    #[n(5)]
    UploadCreated(#[n(0)] UploadId),
    /// The part stands.
    #[n(6)]
    PartPut {
        /// Its `Last-Modified`.
        #[n(0)]
        modified: WallTime,
    },
    /// What is said about a version has changed; its bytes have not.
    #[n(7)]
    Amended {
        /// Which version.
        #[n(0)]
        version: VersionId,
        /// Whether clients know it as `null`.
        #[n(1)]
        null: bool,
    },
    /// The node takes part in the log under this id.
    #[n(8)]
    Admitted {
        /// The id.
        #[n(0)]
        member: u64,
    },
}

/// Why an operation has no effect.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, thiserror::Error)]
pub enum Refusal {
    /// A cluster is formed once.
    #[n(0)]
    #[error("the cluster is formed already")]
    AlreadyFormed,
    /// Nothing but `Form` comes first.
    #[n(1)]
    #[error("the cluster is not formed yet")]
    NotFormed,
    /// The bucket is gone, or never was.
    #[n(2)]
    #[error("no such bucket")]
    NoSuchBucket,
    /// The name is taken.
    #[n(3)]
    #[error("the bucket exists, made by {owner}")]
    BucketExists {
        /// By whose access key.
        #[n(0)]
        owner: String,
    },
    /// There are versions, markers or uploads in it.
    #[n(4)]
    #[error("the bucket is not empty")]
    BucketNotEmpty,
    /// A condition names an object that is not there.
    #[n(5)]
    #[error("no such key")]
    NoSuchKey,
    /// The version that was named is not there.
    #[n(6)]
    #[error("no such version")]
    NoSuchVersion,
    /// A condition does not hold.
    #[n(7)]
    #[error("a condition does not hold")]
    PreconditionFailed,
    /// The session has ended: begin another one, and write again what was not committed.
    #[n(8)]
    #[error("the session has ended")]
    SessionEnded,
    /// The session has said that it would not commit this any more.
    #[n(9)]
    #[error("the write lies below what its session still commits")]
    StaleWrite,
    /// Some chunks are where the log does not want them: place these positions anew and propose again.
    #[n(10)]
    #[error("{} positions lie on drives that take no data", positions.len())]
    PlaceAnew {
        /// Which positions.
        #[n(0)]
        positions: Vec<u8>,
    },
    /// What was to be changed is not as the proposer saw it: look again.
    #[n(11)]
    #[error("what was to be changed is no longer as it was")]
    Changed,
    /// It would read or write more than one operation may (invariant 13): do it in steps.
    #[n(12)]
    #[error("the operation is too large")]
    TooLarge,
    /// It contradicts itself or the rows; a well-behaved caller never sees this.
    #[n(13)]
    #[error("malformed operation: {reason}")]
    Malformed {
        /// What is wrong with it.
        #[n(0)]
        reason: String,
    },
    /// The drive still holds chunks by the ledger's count (invariant 6).
    #[n(14)]
    #[error("the drive still holds {chunks} chunks")]
    DriveInUse {
        /// How many.
        #[n(0)]
        chunks: u64,
    },
    /// There is no such drive, node, manifest or lease holder.
    #[n(15)]
    #[error("unknown {what}")]
    Unknown {
        /// What was looked for.
        #[n(0)]
        what: String,
    },
    /// Somebody may still read or commit it (invariant 7): wait.
    #[n(16)]
    #[error("not due before index {until}")]
    NotDue {
        /// The index that every session and voter must pass.
        #[n(0)]
        until: LogIndex,
    },
    /// Another session holds the lease.
    #[n(17)]
    #[error("the lease is held by another session")]
    LeaseHeld,
    /// The request's number lies outside the session's window.
    #[n(18)]
    #[error("the request lies outside the session's window")]
    OutsideWindow,
    /// An operation of the same proposal that this one depends on was refused.
    #[n(19)]
    #[error("an earlier operation of the proposal was refused")]
    Depends,
    /// The upload is completed or aborted, or never was.
    #[n(20)]
    #[error("no such upload")]
    NoSuchUpload,
    /// The part is not there, is not the one that was seen, or was put again since a manifest of parts was begun: look
    /// again.
    #[n(21)]
    #[error("part {number} is not as it was")]
    PartChanged {
        /// Its number.
        #[n(0)]
        number: u16,
    },
    /// What was named is a delete marker, of which nothing can be said.
    #[n(22)]
    #[error("the version is a delete marker")]
    Marker,
    /// Something keeps the version: it is retained, or on legal hold (invariant 12).
    #[n(30)]
    #[error("the version is locked")]
    Locked,
    /// Versions of this bucket cannot be locked.
    #[n(31)]
    #[error("the bucket has no lock")]
    NoLock,
    /// The bucket's versions are not kept, and must be; or they must go on being kept.
    #[n(32)]
    #[error("versions of the bucket are not kept, or must go on being kept")]
    VersioningRequired,
}
