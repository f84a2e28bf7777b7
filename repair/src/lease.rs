//! Who repairs: the one session that holds the lease, as the rows have it. A lease ends with its session, by the log and
//! never by a time stamp, so a daemon that died is followed once its session has expired.

use cairn_core::{LogIndex, NodeId, SessionId};
use cairn_machine::rows::session::{Lease, LeaseRow, SessionRow};
use cairn_machine::{Operation, Outcome, Row, RowError, RowSource};
use cairn_metadata::Client;
use serde::Serialize;

use crate::error::RepairError;

/// The daemon that acts for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Leader {
    /// Its session.
    pub session: SessionId,
    /// Where it runs: whoever wants to know how safe the data is asks there.
    pub node: NodeId,
    /// Since when.
    pub since: LogIndex,
}

/// What this process's daemon is to the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub enum Leadership {
    /// It has not looked yet, or could not.
    #[default]
    Unknown,
    /// It acts, and what its meter says was counted here.
    Leading,
    /// Another one acts. The meter here says nothing of the data.
    Following(Leader),
}

/// Who holds the lease by these rows; none between the end of one holder and the next.
pub fn leader(rows: &impl RowSource) -> Result<Option<Leader>, RowError> {
    let Some(lease) = LeaseRow::get(rows, &Lease::Repair)? else { return Ok(None) };
    let session = SessionRow::get(rows, &lease.holder)?;
    Ok(session.map(|row| Leader { session: lease.holder, node: row.node, since: lease.since }))
}

/// Whether this client's session holds the lease, by rows that may be a moment old. Enough to begin by: whatever is done on
/// the strength of it is judged again by the log.
pub(crate) fn holds(client: &Client) -> Result<bool, RowError> {
    Ok(leader(&client.read_stale())?.is_some_and(|leader| leader.session == client.session()))
}

/// Takes the lease where nobody has it.
pub(crate) async fn take(client: &Client) -> Result<Leadership, RepairError> {
    let session = client.session();
    let view = client.read().await?;
    let known = leader(&view)?;
    drop(view);
    match known {
        Some(leader) if leader.session == session => Ok(Leadership::Leading),
        Some(leader) => Ok(Leadership::Following(leader)),
        None => {
            let outcomes = client.propose(vec![Operation::TakeLease { lease: Lease::Repair, session }]).await?;
            // Whoever was faster is in the rows at the next look.
            let taken = matches!(outcomes.first(), Some(Outcome::Done));
            Ok(if taken { Leadership::Leading } else { Leadership::Unknown })
        }
    }
}

#[cfg(test)]
mod tests {
    use cairn_machine::MapRows;
    use cairn_machine::rows::session::SessionKind;

    use super::*;

    #[test]
    fn a_lease_leads_as_long_as_its_session() {
        let (mut rows, session) = (MapRows::default(), SessionId(7));
        assert_eq!(leader(&rows).unwrap(), None);
        let lease = LeaseRow { holder: session, since: LogIndex(3) };
        rows.apply([(LeaseRow::key(&Lease::Repair), Some(lease.encode()))]);
        assert_eq!(leader(&rows).unwrap(), None, "a lease without a session leads nobody");
        let row = SessionRow {
            kind: SessionKind::Repair,
            node: NodeId(4),
            registered: LogIndex(2),
            renewed: LogIndex(2),
            commits_from: 0,
            reads_from: LogIndex(2),
            answered_below: 0,
        };
        rows.apply([(SessionRow::key(&session), Some(row.encode()))]);
        assert_eq!(leader(&rows).unwrap(), Some(Leader { session, node: NodeId(4), since: LogIndex(3) }));
    }
}
