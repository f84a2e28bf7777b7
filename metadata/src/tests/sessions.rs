//! Sessions: renewed, ended, expired, replaced; and what they publish.

use std::time::Duration;

use cairn_core::NodeId;
use cairn_core::{LogIndex, SessionId};
use cairn_machine::rows::session::{Lease, LeaseRow, SessionKind, SessionRow};
use cairn_machine::{Operation, Outcome, Row};

use super::world::{NODE, World, gateway, within, write};
use crate::view::RowsAt;
use crate::{MetadataNode, ProposeError};

fn session(node: &MetadataNode, id: SessionId) -> Option<SessionRow> {
    SessionRow::get(&RowsAt(node.inner.rows.view()), &id).unwrap()
}

#[test]
fn a_session_is_renewed_and_idles_quietly() {
    let mut world = World::new(20);
    world.live(async |world| {
        let node = world.start().await.unwrap();
        let client = gateway(&node).await;
        let before = node.status().last_index.0;
        tokio::time::sleep(Duration::from_secs(100)).await;
        let row = session(&node, client.session()).expect("it lives");
        assert!(row.renewed > row.registered);
        let entries = node.status().last_index.0 - before;
        assert!((8..=11).contains(&entries), "{entries} entries in 100 idle seconds");
        client.clone().close().await;
        assert_eq!(session(&node, client.session()), None);
    });
}

#[test]
fn the_last_clone_that_goes_ends_the_session() {
    let mut world = World::new(21);
    world.live(async |world| {
        let node = world.start().await.unwrap();
        let client = gateway(&node).await;
        let id = client.session();
        drop(client.clone());
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(session(&node, id).is_some());
        drop(client);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(session(&node, id).is_none());
    });
}

#[test]
fn tickets_and_views_hold_back_what_is_published() {
    let mut world = World::new(22);
    world.live(async |world| {
        let node = world.start().await.unwrap();
        let client = gateway(&node).await;
        let first = client.begin_write();
        let second = client.begin_write();
        let third = first.another();
        assert_eq!((first.id().counter, second.id().counter, third.counter), (1, 2, 3));
        assert_eq!(third.session, client.session());
        let view = client.read().await.unwrap();
        let clone = view.clone();
        client.propose(vec![write("a", 1)]).await.unwrap();
        let row = async || {
            tokio::time::sleep(Duration::from_secs(12)).await;
            session(&node, client.session()).unwrap()
        };
        assert_eq!((row().await.commits_from, row().await.reads_from), (1, view.index()));
        drop((first, view));
        assert_eq!((row().await.commits_from, row().await.reads_from), (2, clone.index()));
        let held = clone.index();
        drop((second, clone));
        let free = row().await;
        assert_eq!(free.commits_from, 4);
        assert!(free.reads_from > held);
        let view = client.read_stale();
        assert!(view.index() >= free.reads_from);
    });
}

#[test]
fn a_client_whose_session_was_ended_begins_another() {
    let mut world = World::new(23);
    world.live(async |world| {
        let node = world.start().await.unwrap();
        let client = gateway(&node).await;
        let id = client.session();
        let renewed = session(&node, id).unwrap().renewed;
        let end = Operation::EndSession { id, last_renewal: Some(renewed) };
        assert_eq!(node.inner.proposer.without_session(&[end]).await.unwrap().outcomes, [Outcome::Done]);
        let write = || vec![write("a", 1)];
        assert_eq!(client.propose(write()).await, Err(ProposeError::SessionEnded(id)));
        assert_ne!(client.session(), id);
        assert_eq!(client.propose(write()).await.unwrap(), [Outcome::Done]);
        assert!(session(&node, client.session()).is_some());
    });
}

#[test]
fn a_silent_session_expires_after_a_whole_term_and_a_renewed_one_does_not() {
    let mut world = World::new(24);
    world.live(async |world| {
        let node = world.start().await.unwrap();
        let client = gateway(&node).await;
        let silent = SessionId(0xDEAD);
        node.inner.own_session(silent);
        let register = Operation::RegisterSession { id: silent, kind: SessionKind::Repair, node: NODE };
        node.inner.proposer.without_session(&[register]).await.unwrap();
        let term = node.inner.config.sessions.term;
        tokio::time::sleep(term - Duration::from_secs(1)).await;
        assert!(session(&node, silent).is_some(), "its term is not over");
        tokio::time::sleep(term / 2).await;
        assert!(session(&node, silent).is_none());
        assert!(session(&node, client.session()).is_some());
    });
}

#[test]
fn sessions_of_the_process_before_are_gone_when_the_node_is_ready() {
    let mut world = World::new(25);
    let old = world.live_and_crash(async |world| {
        let node = world.start().await.unwrap();
        let client = node.client(SessionKind::Repair).await.unwrap();
        let take = Operation::TakeLease { lease: Lease::Repair, session: client.session() };
        assert_eq!(client.propose(vec![take]).await.unwrap(), [Outcome::Done]);
        client.session()
    });
    world.live(async |world| {
        let node = within(25, "a start", world.start()).await.unwrap();
        assert_eq!(session(&node, old), None);
        assert_eq!(LeaseRow::get(&RowsAt(node.inner.rows.view()), &Lease::Repair).unwrap(), None);
        let client = node.client(SessionKind::Repair).await.unwrap();
        let take = Operation::TakeLease { lease: Lease::Repair, session: client.session() };
        assert_eq!(client.propose(vec![take]).await.unwrap(), [Outcome::Done]);
    });
}

#[test]
fn registering_for_an_unknown_node_is_refused() {
    let mut world = World::new(26);
    world.live(async |world| {
        let node = world.start().await.unwrap();
        let register = Operation::RegisterSession { id: SessionId(1), kind: SessionKind::Gateway, node: NodeId(0xBAD) };
        let answer = node.inner.proposer.without_session(&[register]).await.unwrap();
        assert!(matches!(answer.outcomes[..], [Outcome::Refused(_)]));
        assert!(answer.index > LogIndex(0));
    });
}
