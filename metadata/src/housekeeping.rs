//! What is done about sessions whose process is gone.
//!
//! - Sessions that this node had before it started are ended at once, by the node itself. That is safe without waiting for their term: this
//!   process holds the locks of the node's drives, so the process that had those sessions has ended, and whatever it had
//!   sent was refused or is in the log before this. Were it wrong, the end would still name the last renewal.
//! - Any other session is ended by the leader, when it was silent for a whole term by the leader's own stopwatch; see [`crate::expiry`].

use std::sync::Arc;
use std::time::Duration;

use cairn_core::{LogIndex, SessionId};
use cairn_machine::row::table_end;
use cairn_machine::rows::session::SessionRow;
use cairn_machine::{Operation, Row, RowError, RowSource};
use core::ops::ControlFlow;

use crate::expiry::Expiry;
use crate::follow::Sender;
use crate::node::Inner as Node;
use crate::view::RowsAt;

/// How many looks at the sessions there are in a term.
const LOOKS_PER_TERM: u32 = 6;

/// The most sessions that are ended in one proposal.
const ENDED_AT_ONCE: usize = 256;

/// How long nobody looks again after the sessions of the time before could not be ended.
const SWEEP_AGAIN: Duration = Duration::from_secs(1);

/// Ends what has been silent for too long, whenever this node leads.
pub(crate) async fn keep_house(node: Arc<Node>) {
    let stopping = node.tasks.stopping();
    let mut leadership = node.raft.leadership();
    loop {
        let leads = |known: &crate::raft::Leadership| known.leader == Some(node.config.voter);
        let term = tokio::select! {
            biased;
            () = stopping.cancelled() => return,
            known = leadership.wait_for(leads) => match known {
                Ok(known) => known.term,
                Err(_) => return,
            },
        };
        // A leader of a new term counts from zero.
        let mut expiry = Expiry::default();
        let look = node.config.sessions.term / LOOKS_PER_TERM;
        while node.raft.leads() && node.raft.leadership().borrow().term == term {
            tokio::select! {
                biased;
                () = stopping.cancelled() => return,
                () = async {
                    if is_heard(&node, look).await {
                        end_silent(&node, &mut expiry).await;
                    }
                } => {}
            }
            tokio::select! {
                biased;
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(look) => {}
                changed = leadership.changed() => if changed.is_err() { return },
            }
        }
    }
}

/// Ends the sessions that this node had before this process. `swept` becomes true when they are gone.
pub(crate) async fn sweep_until_done(node: Arc<Node>, swept: Sender<bool>) {
    let stopping = node.tasks.stopping();
    let work = async {
        while !sweep(&node).await {
            tokio::time::sleep(SWEEP_AGAIN).await;
        }
        swept.replace(true);
    };
    tokio::select! {
        biased;
        () = stopping.cancelled() => {}
        _ = node.failure.happened() => {}
        () = work => {}
    }
}

/// Whether they are gone.
async fn sweep(node: &Node) -> bool {
    // Everything that was committed before must be applied, or a session that was registered last would be overlooked.
    let Some(index) = node.leader.until_read_index().await else { return false };
    let mut applied = node.applied.watch();
    if applied.wait_for(|applied| *applied >= index).await.is_err() {
        return false;
    }
    let own = node.own_sessions();
    let before = |row: &SessionRow, id: &SessionId| row.node == node.config.node && !own.contains(id);
    match sessions(&RowsAt(node.rows.view())) {
        Ok(sessions) => {
            let old: Vec<_> =
                sessions.iter().filter(|(id, row)| before(row, id)).map(|(id, row)| (*id, row.renewed)).collect();
            end(node, &old).await
        }
        Err(error) => {
            tracing::error!(%error, "session rows cannot be read");
            false
        }
    }
}

/// Whether a majority hears this leader, and everything that was acknowledged before is applied here. Where it is not so,
/// renewals do not reach it either, and an end that it proposed would wait in its log for the day on which they do.
async fn is_heard(node: &Node, patience: Duration) -> bool {
    let heard = async {
        let index = node.raft.read_index().await.ok()?;
        node.applied.watch().wait_for(|applied| *applied >= index).await.ok().map(drop)
    };
    tokio::time::timeout(patience, heard).await.is_ok_and(|heard| heard.is_some())
}

async fn end_silent(node: &Node, expiry: &mut Expiry) {
    let sessions = match sessions(&RowsAt(node.rows.view())) {
        Ok(sessions) => sessions,
        Err(error) => {
            tracing::error!(%error, "session rows cannot be read");
            return;
        }
    };
    let renewals: Vec<_> = sessions.iter().map(|(id, row)| (*id, row.renewed)).collect();
    let silent = expiry.observe(node.clock.elapsed(), node.config.sessions.term, &renewals);
    for (id, renewed) in &silent {
        tracing::warn!(session = %id, %renewed, "a session was silent for its whole term and ends");
    }
    end(node, &silent).await;
}

/// Ends sessions that are still where they were seen. Whether all could be proposed.
async fn end(node: &Node, sessions: &[(SessionId, LogIndex)]) -> bool {
    for some in sessions.chunks(ENDED_AT_ONCE) {
        let ends: Vec<_> =
            some.iter().map(|&(id, renewed)| Operation::EndSession { id, last_renewal: Some(renewed) }).collect();
        if let Err(error) = node.proposer.without_session(&ends).await {
            tracing::warn!(%error, "sessions were not ended; it will be tried again");
            return false;
        }
    }
    true
}

fn sessions(rows: &dyn RowSource) -> Result<Vec<(SessionId, SessionRow)>, RowError> {
    let mut found = Vec::new();
    let mut damaged = None;
    let table = [SessionRow::TABLE as u8];
    rows.scan(&table, Some(&table_end(SessionRow::TABLE)), &mut |key, value| {
        let id = key[1..].try_into().map(SessionId::from_bytes);
        match (id, SessionRow::decode(key, value)) {
            (Ok(id), Ok(row)) => {
                found.push((id, row));
                ControlFlow::Continue(())
            }
            (Err(_), _) => {
                damaged = Some(RowError::Damaged { key: format!("{key:02x?}"), what: "no session's key".into() });
                ControlFlow::Break(())
            }
            (_, Err(error)) => {
                damaged = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    damaged.map_or(Ok(found), Err)
}
