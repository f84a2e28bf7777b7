//! Profiles, all of them: there are a few.

use core::ops::ControlFlow;

use cairn_machine::row::{Row, Table, table_end};
use cairn_machine::rows::profile::{ProfileId, ProfileRow};
use cairn_machine::{RowError, RowSource};

/// All profiles, by their numbers.
pub fn profiles<S: RowSource + ?Sized>(rows: &S) -> Result<Vec<(ProfileId, ProfileRow)>, RowError> {
    let mut found = Vec::new();
    rows.scan(&[Table::Profile as u8], Some(&table_end(Table::Profile)), &mut |key, value| {
        found.push((key.to_vec(), value.clone()));
        ControlFlow::Continue(())
    })?;
    let read =
        |(key, value): (Vec<u8>, bytes::Bytes)| Ok((ProfileRow::parse_key(&key)?, ProfileRow::decode(&key, &value)?));
    found.into_iter().map(read).collect()
}
