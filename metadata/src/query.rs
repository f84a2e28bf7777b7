//! Questions to the rows, as pure functions: what a gateway asks for on the way of a GET, a HEAD and a LIST.
//!
//! All take any [`RowSource`]: a view in production, a map in tests. All are bounded by a limit that the caller gives or
//! by one of their own, and every answer is exact at the source's index.
//!
//! - [`buckets`]: which there are, and what a name means
//! - [`objects`]: one key, one version
//! - [`listing`]: keys in order, with prefixes and delimiters; [`versions`]: the same with all versions
//! - [`uploads`]: multipart uploads under way and their parts; [`parts`]: those of an object that was uploaded so
//! - [`profiles`]: what storage classes mean
//! - [`locate`]: where a version's bytes are

mod buckets;
mod cursor;
mod listing;
mod locate;
mod objects;
mod parts;
mod profiles;
mod uploads;
mod versions;

#[cfg(doc)]
use cairn_machine::RowSource;

pub use buckets::{bucket_by_name, buckets};
pub use listing::{ListEntry, ListPage, ListRequest, ListStart, list};
pub use locate::{LocatedPlace, LocatedRange, locate};
pub use objects::{newest, version};
pub use parts::{ObjectPart, ObjectParts, parts};
pub use profiles::profiles;
pub use uploads::{
    UploadsEntry, UploadsPage, UploadsRequest, UploadsStart, list_uploads, upload, upload_part, upload_parts,
};
pub use versions::{VersionEntry, VersionPage, VersionRequest, VersionStart, list_versions};

#[cfg(test)]
mod tests;
