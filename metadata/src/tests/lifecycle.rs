//! Forming, proposing, reading, closing, starting again; and what a node refuses to do.

use std::sync::Arc;
use std::time::Duration;

use cairn_core::BucketName;
use cairn_machine::{Operation, Outcome, Refusal};

use super::world::{World, gateway, until, value_of, within, write};
use crate::session::Session;
use crate::{NodeFailure, ProposeError, ReadError, StartError};

#[test]
fn what_was_acknowledged_is_read_at_once_and_after_a_restart() {
    let mut world = World::new(1);
    let hash = world.live(async |world| {
        let node = world.start().await.unwrap();
        let client = gateway(&node).await;
        for value in 0..20 {
            assert_eq!(client.propose(vec![write("a", value), write("b", value)]).await.unwrap().len(), 2);
            let view = client.read().await.unwrap();
            assert_eq!((value_of(&view, "a"), value_of(&view, "b")), (Some(value), Some(value)));
        }
        let old = client.read_stale();
        client.propose(vec![write("a", 99)]).await.unwrap();
        assert_eq!(value_of(&old, "a"), Some(19), "a view stands still");
        drop(old);
        client.close().await;
        let status = node.status();
        node.close().await.unwrap();
        (status.applied_index, status.effects_hash)
    });
    world.live(async |world| {
        let node = world.start().await.unwrap();
        let status = node.status();
        assert!(status.applied_index > hash.0);
        assert_eq!(status.failure.map(|failure| failure.to_string()), None);
        let client = gateway(&node).await;
        let view = client.read().await.unwrap();
        assert_eq!((value_of(&view, "a"), value_of(&view, "b")), (Some(99), Some(19)));
    });
}

#[test]
fn the_same_seed_gives_the_same_log() {
    let life = |seed| {
        let mut world = World::new(seed);
        world.live(async |world| {
            let node = world.start().await.unwrap();
            let client = gateway(&node).await;
            let writers = (0..8).map(|writer: u64| {
                let client = client.clone();
                async move {
                    for value in 0..40 {
                        client.propose(vec![write(&format!("w{writer}"), value)]).await.unwrap();
                    }
                }
            });
            futures::future::join_all(writers).await;
            client.close().await;
            until(seed, &node, "a run", |status| status.run_index.0 > 0).await;
            let status = node.status();
            node.close().await.unwrap();
            (status.applied_index, status.run_index, status.effects_hash, status.log.groups)
        })
    };
    assert_eq!(life(7), life(7));
    assert_ne!(life(7).2, life(8).2, "session ids are random, and stand in the rows");
}

#[test]
fn nothing_waits_for_a_timer() {
    let mut world = World::new(2);
    world.live(async |world| {
        let node = world.start().await.unwrap();
        let client = gateway(&node).await;
        let begin = tokio::time::Instant::now();
        for value in 0..50 {
            client.propose(vec![write("a", value)]).await.unwrap();
        }
        // The only timer on the way is openraft's own, which gathers acknowledgements for a microsecond; tokio's timers
        // are rounded up to milliseconds, and simulated time only moves by timers.
        assert!(begin.elapsed() <= Duration::from_millis(50), "{:?}", begin.elapsed());
        let begin = tokio::time::Instant::now();
        for _ in 0..50 {
            client.read().await.unwrap();
        }
        assert_eq!(begin.elapsed(), Duration::ZERO);
    });
}

#[test]
fn readers_see_every_acknowledged_write_and_nothing_older() {
    let mut world = World::new(3);
    world.live(async |world| {
        let node = world.start().await.unwrap();
        let client = gateway(&node).await;
        let acknowledged = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let writer = async {
            for value in 1..300 {
                client.propose(vec![write("x", value)]).await.unwrap();
                acknowledged.store(value, std::sync::atomic::Ordering::SeqCst);
            }
        };
        let readers = (0..5).map(|_| {
            let (client, acknowledged) = (client.clone(), acknowledged.clone());
            async move {
                let mut last = 0;
                while last < 299 {
                    let before = acknowledged.load(std::sync::atomic::Ordering::SeqCst);
                    let seen = value_of(&client.read().await.unwrap(), "x").unwrap_or(0);
                    assert!(seen >= before && seen >= last, "{seen} after {before} and {last}");
                    last = seen;
                    tokio::time::sleep(Duration::from_micros(300)).await;
                }
            }
        });
        within(3, "readers", futures::future::join(writer, futures::future::join_all(readers))).await;
    });
}

#[test]
fn a_request_that_is_handed_in_twice_has_one_effect() {
    let mut world = World::new(4);
    world.live(async |world| {
        let node = world.start().await.unwrap();
        let client = gateway(&node).await;
        let name = BucketName::new("once").unwrap();
        let create = [Operation::CreateBucket { name, owner: "root".into(), lock: None, acl: None }];
        let proposer = &node.inner.proposer;
        let session: Arc<Session> = client.current();
        let number = session.window().begin().await.unwrap();
        let first = proposer.as_request(&session, number, &create).await.unwrap();
        let again = proposer.as_request(&session, number, &create).await.unwrap();
        assert!(matches!(first.outcomes[..], [Outcome::BucketCreated(_)]));
        assert_eq!(first.outcomes, again.outcomes);
        assert!(again.index > first.index);
        session.window().end(number);
        let other = client.propose(create.to_vec()).await.unwrap();
        assert!(matches!(other[..], [Outcome::Refused(Refusal::BucketExists { .. })]));
    });
}

#[test]
fn forming_again_changes_nothing_and_another_cluster_is_refused() {
    let mut world = World::new(5);
    world.live(async |world| {
        let node = world.start().await.unwrap();
        node.form(super::world::form()).await.unwrap();
        let Operation::Form { node: id, zone, drives, standard, access_key, sealed_secret, voter, .. } =
            super::world::form()
        else {
            unreachable!()
        };
        let cluster = cairn_core::ClusterId(8);
        let other = Operation::Form { cluster, node: id, zone, drives, standard, access_key, sealed_secret, voter };
        assert_eq!(node.form(other).await, Err(ProposeError::Refused(Refusal::AlreadyFormed)));
    });
}

#[test]
fn an_entry_of_a_later_release_stops_the_node_and_every_start() {
    let mut world = World::new(6);
    world.live(async |world| {
        let node = world.start().await.unwrap();
        let client = gateway(&node).await;
        client.propose(vec![write("a", 1)]).await.unwrap();
        let mut entry = crate::raft::begin_entry(16);
        entry.extend_from_slice(&[0x83, 0x18, 99, 0, 0x80]);
        node.inner.raft.write(entry.into(), Box::new(|_| panic!("it cannot be applied"))).await;
        let failure = within(6, "the entry", node.failed()).await;
        assert!(matches!(failure, NodeFailure::Entry { .. }), "{failure}");
        assert!(failure.to_string().contains("99"), "{failure}");
        let result = client.propose(vec![write("a", 2)]).await;
        assert!(matches!(result, Err(ProposeError::Unavailable(_))), "{result:?}");
        assert!(matches!(client.read().await, Err(ReadError::Unavailable(_))));
        assert!(node.status().failure.is_some());
        drop(client);
        let closed = within(6, "closing what has failed", node.close()).await;
        assert!(matches!(closed, Err(NodeFailure::Entry { .. })), "{closed:?}");
    });
    world.live(async |world| {
        let error = world.start().await.expect_err("it must not start");
        assert!(matches!(error, StartError::Stopped(NodeFailure::Entry { .. })), "{error}");
    });
}

#[test]
fn what_is_too_large_is_refused_and_a_closed_node_takes_nothing() {
    let mut world = World::new(9);
    world.live(async |world| {
        let node = world.start().await.unwrap();
        let client = gateway(&node).await;
        let many = (0..5000).map(|n| write("a", n)).collect();
        assert!(matches!(client.propose(many).await, Err(ProposeError::TooLarge { operations: 5000, .. })));
        assert_eq!(client.propose(Vec::new()).await, Ok(Vec::new()));
        let other = client.clone();
        node.close().await.unwrap();
        assert_eq!(other.propose(vec![write("a", 1)]).await, Err(ProposeError::Closed));
        assert!(matches!(other.read().await, Err(ReadError::Closed)));
    });
}

#[test]
fn a_crowd_travels_in_few_entries() {
    let mut world = World::new(10);
    world.live(async |world| {
        let node = world.start().await.unwrap();
        let client = gateway(&node).await;
        let before = node.status().last_index;
        let crowd = (0..1500).map(|n| {
            let client = client.clone();
            async move { client.propose(vec![write(&format!("r{}", n % 7), n)]).await.unwrap() }
        });
        within(10, "a crowd beyond the window", futures::future::join_all(crowd)).await;
        let entries = node.status().last_index.0 - before.0;
        assert!(entries < 30, "{entries} entries");
    });
}

/// Two copies, one of two drives here: everything acknowledged is read, nothing is written, and a start with both goes on.
#[test]
fn a_log_that_is_covered_serves_reads_and_refuses_writes() {
    let mut world = World::new(9);
    world.drives = 2;
    world.live_and_crash(async |world| {
        let node = world.start().await.unwrap();
        let client = gateway(&node).await;
        for value in 0..40 {
            client.propose(vec![write("a", value)]).await.unwrap();
        }
    });
    world.drives = 1;
    let refused = world.live(async |world| world.start().await.map(drop).unwrap_err());
    assert!(matches!(refused, StartError::ReadOnly { .. }), "a node of a cluster is no reader: {refused}");
    world.config.serve_covered = true;
    for life in 0..2 {
        world.live_and_crash(async |world| {
            let node = world.start().await.unwrap();
            let covered = node.covered().expect("it is read-only").clone();
            assert_eq!((covered.copies, covered.missing.len()), (2, 1));
            let client = gateway(&node).await;
            let view = client.read().await.unwrap();
            assert_eq!(value_of(&view, "a"), Some(39), "life {life}");
            let refused = client.propose(vec![write("a", 99)]).await.unwrap_err();
            assert_eq!(refused, ProposeError::ReadOnly(covered));
            assert!(node.read_log(node.status().applied_index).await.is_ok());
            if life == 0 {
                client.close().await;
                node.close().await.unwrap();
            }
        });
    }
    world.drives = 2;
    world.live(async |world| {
        let node = world.start().await.unwrap();
        assert!(node.covered().is_none());
        let client = gateway(&node).await;
        assert_eq!(value_of(&client.read().await.unwrap(), "a"), Some(39));
        client.propose(vec![write("a", 40)]).await.unwrap();
    });
}
