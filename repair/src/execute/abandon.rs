//! Giving up manifests whose session ended before anything referred to them, so that they are retired.
//!
//! There is no list of them: all heads of manifests are gone through, some at a time, from where the last look ended. Most
//! belong to objects and stay, so looking at all of them every time would cost more the more is stored.

use std::ops::ControlFlow;

use cairn_machine::row::{Row, Table};
use cairn_machine::rows::manifest::{ManifestId, ManifestRow, ManifestState};
use cairn_machine::rows::session::SessionRow;
use cairn_machine::{Operation, Outcome, RowError, RowSource};
use cairn_metadata::Client;

use crate::census::scan_table;
use crate::error::RepairError;

/// How many heads one call looks at: about a millisecond, however many there are.
const LOOKED_AT_MAX: usize = 4096;

/// How many pending manifests one call gives up; the next call goes on.
const ABANDONED_MAX: usize = 64;

/// A walk along all heads, again and again.
#[derive(Debug, Default)]
pub struct Abandoning {
    /// The last one that was looked at; none at the beginning.
    after: Option<ManifestId>,
}

impl Abandoning {
    /// Gives up some pending manifests whose sessions have ended. Returns how many there were.
    pub async fn abandon(&mut self, client: &Client) -> Result<u64, RepairError> {
        let view = client.read().await?;
        let ended = self.look(&view)?;
        drop(view);
        if ended.is_empty() {
            return Ok(0);
        }
        let outcomes = client.propose(ended).await?;
        Ok(outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Done)).count() as u64)
    }

    /// The next heads, and what is to be done about them.
    fn look(&mut self, rows: &impl RowSource) -> Result<Vec<Operation>, RowError> {
        let from = match self.after {
            // The key itself was looked at; a zero behind it makes the first one that was not.
            Some(after) => [&ManifestRow::key(&after)[..], &[0]].concat(),
            None => vec![Table::Manifest as u8],
        };
        let (mut ended, mut looked_at, mut last) = (Vec::new(), 0, None);
        scan_table::<ManifestRow>(rows, Table::Manifest, &from, &mut |key, row| {
            let manifest = ManifestRow::parse_key(key)?;
            if let ManifestState::Pending(session) = row.state
                && SessionRow::get(rows, &session)?.is_none()
            {
                ended.push(Operation::AbandonManifest { manifest, session });
            }
            (looked_at, last) = (looked_at + 1, Some(manifest));
            let full = looked_at == LOOKED_AT_MAX || ended.len() == ABANDONED_MAX;
            Ok(if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        // Behind the last one the walk begins again.
        let full = looked_at == LOOKED_AT_MAX || ended.len() == ABANDONED_MAX;
        self.after = last.filter(|_| full);
        Ok(ended)
    }
}

#[cfg(test)]
mod tests {
    use cairn_core::{SessionId, WriteId};
    use cairn_machine::MapRows;

    use super::*;

    /// The session that has ended: no row names it.
    const ENDED: SessionId = SessionId(9);

    fn manifest(counter: u64) -> ManifestId {
        ManifestId(WriteId { session: SessionId(7), counter })
    }

    fn rows(count: u64, state: impl Fn(u64) -> ManifestState) -> MapRows {
        let mut rows = MapRows::default();
        let head = |counter| ManifestRow { state: state(counter), pages: 1, bytes: 1, parts: None };
        rows.apply((0..count).map(|counter| (ManifestRow::key(&manifest(counter)), Some(head(counter).encode()))));
        rows
    }

    fn found(operations: &[Operation]) -> Vec<ManifestId> {
        let named = operations.iter().map(|operation| match operation {
            Operation::AbandonManifest { manifest, session: ENDED } => *manifest,
            other => panic!("{other:?}"),
        });
        named.collect()
    }

    #[test]
    fn a_look_is_bounded_and_the_next_one_goes_on() {
        let (first, behind) = (LOOKED_AT_MAX as u64, LOOKED_AT_MAX as u64 + 10);
        let pending = [3, first, behind - 1];
        let rows = rows(behind, |counter| match pending.contains(&counter) {
            true => ManifestState::Pending(ENDED),
            false => ManifestState::Referenced(1),
        });
        let mut walk = Abandoning::default();
        for _ in 0..2 {
            assert_eq!(found(&walk.look(&rows).unwrap()), [manifest(3)]);
            assert_eq!(walk.after, Some(manifest(first - 1)));
            assert_eq!(found(&walk.look(&rows).unwrap()), [manifest(first), manifest(behind - 1)]);
            assert_eq!(walk.after, None, "and begins again");
        }
    }

    #[test]
    fn many_are_given_up_some_at_a_time() {
        let all = ABANDONED_MAX as u64 * 2 + 5;
        let rows = rows(all, |_| ManifestState::Pending(ENDED));
        let mut walk = Abandoning::default();
        let looks: Vec<usize> = (0..4).map(|_| walk.look(&rows).unwrap().len()).collect();
        assert_eq!(looks, [ABANDONED_MAX, ABANDONED_MAX, 5, ABANDONED_MAX]);
        assert_eq!(Abandoning::default().look(&MapRows::default()).unwrap(), []);
    }
}
