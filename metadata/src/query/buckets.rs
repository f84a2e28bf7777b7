//! Which buckets there are, and which one a name means.

use core::ops::ControlFlow;

use cairn_core::{BucketId, BucketName};
use cairn_machine::row::{Row, Table, table_end};
use cairn_machine::rows::bucket::{BucketNameRow, BucketRow};
use cairn_machine::{RowError, RowSource};

/// The bucket that a name means at the moment.
pub fn bucket_by_name<S: RowSource + ?Sized>(
    rows: &S,
    name: &BucketName,
) -> Result<Option<(BucketId, BucketRow)>, RowError> {
    let Some(BucketNameRow { id }) = BucketNameRow::get(rows, name)? else { return Ok(None) };
    Ok(Some((id, bucket(rows, id)?)))
}

/// Buckets in order of their names, behind `after`, at most so many.
pub fn buckets<S: RowSource + ?Sized>(
    rows: &S,
    after: Option<&BucketName>,
    limit: usize,
) -> Result<Vec<(BucketName, BucketId, BucketRow)>, RowError> {
    let mut from = vec![Table::BucketName as u8];
    if let Some(after) = after {
        from.extend_from_slice(after.as_str().as_bytes());
        // The next string there is.
        from.push(0);
    }
    let mut names = Vec::new();
    rows.scan(&from, Some(&table_end(Table::BucketName)), &mut |key, value| {
        if names.len() >= limit {
            return ControlFlow::Break(());
        }
        names.push((key.to_vec(), value.clone()));
        ControlFlow::Continue(())
    })?;
    let read = |(key, value): (Vec<u8>, bytes::Bytes)| {
        let name = BucketNameRow::parse_key(&key)?;
        let BucketNameRow { id } = BucketNameRow::decode(&key, &value)?;
        Ok((name, id, bucket(rows, id)?))
    };
    names.into_iter().map(read).collect()
}

fn bucket<S: RowSource + ?Sized>(rows: &S, id: BucketId) -> Result<BucketRow, RowError> {
    BucketRow::get(rows, &id)?.ok_or_else(|| RowError::missing::<BucketRow>(&BucketRow::key(&id)))
}
