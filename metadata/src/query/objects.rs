//! One key, and one version of it.

use cairn_core::{BucketId, ObjectKey};
use cairn_machine::operation::VersionChoice;
use cairn_machine::row::Row;
use cairn_machine::rows::object::{ObjectRow, OlderVersionRow};
use cairn_machine::{RowError, RowSource};

/// The newest version of a key, which may be a delete marker.
pub fn newest<S: RowSource + ?Sized>(
    rows: &S,
    bucket: BucketId,
    key: &ObjectKey,
) -> Result<Option<ObjectRow>, RowError> {
    ObjectRow::get(rows, &(bucket, key.clone()))
}

/// The version that a client means, which may be a delete marker.
pub fn version<S: RowSource + ?Sized>(
    rows: &S,
    bucket: BucketId,
    key: &ObjectKey,
    choice: VersionChoice,
) -> Result<Option<ObjectRow>, RowError> {
    let Some(newest) = newest(rows, bucket, key)? else { return Ok(None) };
    let wanted = match choice {
        VersionChoice::Newest => return Ok(Some(newest)),
        VersionChoice::Null if newest.null => return Ok(Some(newest)),
        VersionChoice::Null => match newest.older_null {
            Some(version) => version,
            None => return Ok(None),
        },
        VersionChoice::Exactly(version) if version == newest.version => return Ok(Some(newest)),
        VersionChoice::Exactly(version) => version,
    };
    let older = OlderVersionRow::get(rows, &(bucket, key.clone(), wanted))?;
    Ok(older.map(|row| row.0))
}
