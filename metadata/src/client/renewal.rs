//! Keeps a session alive, and publishes what it has done with. Ends the session when the client is closed.

use std::ops::ControlFlow;
use std::sync::{Arc, Weak};
use std::time::Duration;

use cairn_core::LogIndex;
use cairn_machine::rows::garbage::GarbageRow;
use cairn_machine::{Operation, Outcome, Refusal, Row, RowSource};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Inner;
use crate::error::ProposeError;
use crate::node::Inner as Node;
use crate::session::Session;
use crate::session::marks::Published;
use crate::view::RowsAt;

/// What was last said, and when.
#[derive(Debug, Clone, Copy)]
struct Last {
    said: Published,
    at: Instant,
}

/// Renews until the client goes. Holds no client: the last clone that is dropped ends the session.
pub(super) async fn renew(client: Weak<Inner>, node: Arc<Node>, ending: CancellationToken) {
    let Some(mut session) = client.upgrade().map(|client| client.current()) else { return };
    let mut last = first(&session);
    let stopping = node.tasks.stopping();
    loop {
        tokio::select! {
            biased;
            // The node takes no proposals any more, so the session is left to expire, or to the next start.
            () = stopping.cancelled() => return,
            () = ending.cancelled() => break,
            () = tokio::time::sleep(node.config.sessions.renew_at_most) => {}
        }
        let Some(client) = client.upgrade() else { break };
        let current = client.current();
        if current.id() != session.id() {
            session = current;
            last = first(&session);
        }
        let may_say = session.publishable(|| node.rows.applied());
        let garbage = || garbage_between(&node, last.said.reads_from, may_say.reads_from);
        if !is_due(last, may_say, node.config.sessions.renew_at_least, garbage) {
            continue;
        }
        match say(&node, &session).await {
            Ok(said) => last = Last { said, at: Instant::now() },
            Err(Failed::Ended) => {
                if let Err(error) = client.replace(&session).await {
                    tracing::warn!(%error, "no session could be begun in place of the one that ended");
                }
            }
            Err(Failed::Propose(error)) => {
                tracing::warn!(%error, session = %session.id(), "a session was not renewed; it will be tried again");
            }
        }
    }
    end(&node, &session).await;
}

/// A session that was just registered has said that much.
fn first(session: &Session) -> Last {
    let said = session.publishable(|| LogIndex(0));
    Last { said: Published { commits_from: 0, ..said }, at: Instant::now() }
}

/// Whether there is reason to write: it is time, or somebody waits for what can be said. Nobody waits for a `reads_from`
/// that passes no garbage, so a node where nothing happens writes as little as it can.
fn is_due(last: Last, may_say: Published, at_least: Duration, garbage_between: impl FnOnce() -> bool) -> bool {
    last.at.elapsed() >= at_least
        || may_say.commits_from > last.said.commits_from
        || (may_say.reads_from > last.said.reads_from && garbage_between())
}

/// Whether anything became garbage behind one index, up to another.
fn garbage_between(node: &Node, after: LogIndex, up_to: LogIndex) -> bool {
    let bound = |index: u64| {
        let mut key = vec![GarbageRow::TABLE as u8];
        key.extend_from_slice(&index.to_be_bytes());
        key
    };
    let mut found = false;
    let scanned = RowsAt(node.rows.view()).scan(
        &bound(after.0.saturating_add(1)),
        Some(&bound(up_to.0.saturating_add(1))),
        &mut |_, _| {
            found = true;
            ControlFlow::Break(())
        },
    );
    if let Err(error) = scanned {
        tracing::error!(%error, "garbage rows cannot be read");
        return true;
    }
    found
}

enum Failed {
    Ended,
    Propose(ProposeError),
}

/// Says what can be said. It is held to from before it is proposed: it may happen even if no answer comes.
async fn say(node: &Node, session: &Arc<Session>) -> Result<Published, Failed> {
    let said = {
        let mut marks = session.marks();
        let said = marks.publishable(node.rows.applied());
        marks.promise(said);
        said
    };
    let renewal =
        Operation::RenewSession { id: session.id(), commits_from: said.commits_from, reads_from: said.reads_from };
    let answer = node.proposer.in_session(session, &[renewal]).await.map_err(Failed::Propose)?;
    match answer.outcomes.as_slice() {
        [Outcome::Done] => Ok(said),
        [Outcome::Refused(Refusal::SessionEnded)] => Err(Failed::Ended),
        other => panic!("a renewal has one outcome of two kinds, and not {other:?}"),
    }
}

/// Ends the session. Where that fails it expires.
async fn end(node: &Node, session: &Arc<Session>) {
    let (tickets, views) = session.marks().outstanding();
    if tickets > 0 || views > 0 {
        tracing::warn!(session = %session.id(), tickets, views, "a session ends while some of it is still used");
    }
    let end = Operation::EndSession { id: session.id(), last_renewal: None };
    match node.proposer.in_session(session, &[end]).await {
        Ok(_) => {}
        Err(error) => tracing::info!(%error, session = %session.id(), "the session was not ended; it will expire"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_renewal_needs_a_reason() {
        let said = Published { commits_from: 4, reads_from: LogIndex(10) };
        let last = Last { said, at: Instant::now() };
        let at_least = Duration::from_secs(10);
        assert!(!is_due(last, said, at_least, || panic!("nothing to look for")));
        let wrote = Published { commits_from: 5, ..said };
        assert!(is_due(last, wrote, at_least, || false));
        let read = Published { reads_from: LogIndex(11), ..said };
        assert!(!is_due(last, read, at_least, || false));
        assert!(is_due(last, read, at_least, || true));
        tokio::time::advance(at_least).await;
        assert!(is_due(last, said, at_least, || false));
    }
}
