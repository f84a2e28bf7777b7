//! Reading what was written: from memory, else from the kernel's, else from a drive on a thread that may wait. A drive that
//! is damaged or does not answer is passed over for the next one that holds the group; nothing is believed unverified.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use cairn_journal::{Place, Reader, Shell};

use crate::drive_log::{StoredGroup, check_group, read_group};
use crate::error::OpLogError;
use crate::group::{GroupName, StoredName};
use crate::oplog::Shared;
use crate::pipeline::Located;

/// See [`crate::OpLog::read`].
pub(crate) async fn read(shared: &Arc<Shared>, range: Range<u64>, bytes_max: usize) -> Result<Vec<Bytes>, OpLogError> {
    let mut entries: Vec<Bytes> = Vec::new();
    let mut bytes = 0;
    let mut index = range.start;
    while index < range.end && (entries.is_empty() || bytes < bytes_max) {
        let found = look_up(shared, index, range.end)?;
        let batch = match found {
            Found::Cached(batch) => batch,
            Found::Stored(located) => {
                let group = read_stored(shared, located.name, &located.places).await?;
                cut(&group, &located, index, range.end)
            }
        };
        for entry in batch {
            if !entries.is_empty() && bytes + entry.len() > bytes_max {
                return Ok(entries);
            }
            bytes += entry.len();
            index += 1;
            entries.push(entry);
        }
    }
    Ok(entries)
}

enum Found {
    Cached(Vec<Bytes>),
    Stored(Located),
}

fn look_up(shared: &Shared, index: u64, end: u64) -> Result<Found, OpLogError> {
    let pipeline = shared.pipeline();
    if !pipeline.stands(index) {
        return Err(OpLogError::NotThere { index });
    }
    let cached: Vec<Bytes> =
        (index..end).map_while(|index| pipeline.cache.get(index).cloned().filter(|_| pipeline.stands(index))).collect();
    if !cached.is_empty() {
        return Ok(Found::Cached(cached));
    }
    // What is queued or under way is in memory, so this one was written.
    pipeline.locate(index).map(Found::Stored).ok_or(OpLogError::NotThere { index })
}

fn cut(group: &StoredGroup, located: &Located, index: u64, end: u64) -> Vec<Bytes> {
    let entries = group.head.records[located.ordinal].entries(&group.body_of(located.ordinal));
    let stand = located.first_index + located.count;
    let mine = located.first_index..stand.min(end);
    mine.zip(entries).filter(|(at, _)| *at >= index).map(|(_, entry)| entry).collect()
}

/// A group that a start has kept.
pub(crate) async fn read_kept(shared: &Arc<Shared>, name: GroupName) -> Result<StoredGroup, OpLogError> {
    let places = {
        let pipeline = shared.pipeline();
        pipeline.stored.get(&name.number).map(|stored| pipeline.best_first(&stored.places))
    };
    read_stored(shared, name, &places.unwrap_or_default()).await
}

/// A group from the first of some places where it is whole.
pub(crate) async fn read_stored(
    shared: &Arc<Shared>,
    name: GroupName,
    places: &[(usize, Place)],
) -> Result<StoredGroup, OpLogError> {
    let mut detail = String::new();
    for &(drive, place) in places {
        let running = shared.drive(drive);
        let Some(reader) = &running.reader else { continue };
        match read_from(shared.shell(), reader, place, name).await {
            Ok(group) => return Ok(group),
            Err(what) => {
                tracing::warn!(drive = %running.id, %name, what, "a group of the log cannot be read here");
                detail.push_str(&format!("{}: {what}; ", running.id));
            }
        }
    }
    Err(OpLogError::Unreadable { name, detail })
}

async fn read_from(shell: Shell, reader: &Reader, place: Place, name: GroupName) -> Result<StoredGroup, String> {
    let expected = StoredName::Group(name).encode();
    if let Some(Ok(record)) = reader.read_record_cached(place, &expected) {
        return check_group(record, name);
    }
    match shell {
        Shell::Task => read_group(reader, place, name),
        Shell::Thread => {
            let reader = reader.clone();
            let read = tokio::task::spawn_blocking(move || read_group(&reader, place, name)).await;
            read.unwrap_or_else(|error| Err(error.to_string()))
        }
    }
}
