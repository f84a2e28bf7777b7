//! What bytes are stored for: to be an object, or a part of one.

use cairn_core::{BucketId, ObjectKey, SessionId};
use cairn_machine::operation::{Conditions, NewContent, Operation};
use cairn_machine::rows::object::{Attributes, Checksum};
use cairn_machine::rows::profile::ProfileId;
use cairn_machine::rows::upload::UploadId;

/// Where bytes go: known before they come.
#[derive(Debug, Clone)]
pub struct Destination {
    /// The bucket.
    pub bucket: BucketId,
    /// The key.
    pub key: ObjectKey,
    /// The profile that was asked for.
    pub profile: ProfileId,
    /// The number of the part, for a part of an upload.
    pub part: Option<u16>,
    /// About how many bytes their operation takes in the log beside the key and what every operation takes.
    pub weight: usize,
}

/// What they are there: known when they have come.
#[expect(
    clippy::large_enum_variant,
    reason = "the large one is the common one; a box would cost each PUT an allocation"
)]
#[derive(Debug)]
pub enum Purpose {
    /// An object.
    Object {
        /// What it is.
        attributes: Attributes,
        /// What must hold.
        conditions: Conditions,
    },
    /// A part of an upload.
    Part {
        /// The upload.
        upload: UploadId,
        /// The part's number.
        number: u16,
        /// How many bytes.
        size: u64,
        /// What clients compare.
        md5: [u8; 16],
        /// The checksum that was verified.
        checksum: Option<Checksum>,
    },
}

impl Purpose {
    /// What makes it so.
    pub fn operation(self, bucket: BucketId, key: ObjectKey, content: NewContent, session: SessionId) -> Operation {
        match self {
            Self::Object { attributes, conditions } => {
                Operation::PutObject { bucket, key, attributes, content, conditions, session }
            }
            Self::Part { upload, number, size, md5, checksum } => {
                Operation::PutPart { bucket, key, upload, number, size, md5, checksum, content, session }
            }
        }
    }
}
