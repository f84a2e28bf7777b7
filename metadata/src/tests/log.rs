//! The log as people read it: every entry once and in order, with who asked and what was refused, as far back as it is kept.

use std::time::Duration;

use cairn_core::{BucketName, LogIndex};
use cairn_machine::rows::session::SessionKind;
use cairn_machine::{Operation, Refusal};

use super::cluster::Cluster;
use super::world::{World, gateway, until, within, write};
use crate::{HistoryPolicy, LogContent, LogEntry, LogReadError, MetadataNode, authorship};

/// Every entry from an index on.
async fn read_all(node: &MetadataNode, from: LogIndex) -> Vec<LogEntry> {
    let (mut entries, mut next) = (Vec::new(), from);
    loop {
        let page = node.read_log(next).await.unwrap();
        if page.entries.is_empty() {
            assert_eq!(page.next, LogIndex(page.applied.0 + 1), "a page is empty at the end only");
            return entries;
        }
        next = page.next;
        entries.extend(page.entries);
    }
}

/// Who wrote which value of a register.
fn writers(entries: &[LogEntry]) -> Vec<(u64, Option<String>)> {
    let mut found = Vec::new();
    for entry in entries {
        let LogContent::Batch(batch) = &entry.content else { continue };
        for proposal in &batch.proposals {
            for (place, operation) in proposal.operations.iter().enumerate() {
                let Operation::PutAccessKey { sealed_secret, .. } = operation else { continue };
                let value = u64::from_be_bytes(sealed_secret.as_slice().try_into().unwrap());
                found.push((value, proposal.author(place).map(str::to_owned)));
            }
        }
    }
    found
}

fn bucket(name: &str) -> Operation {
    Operation::CreateBucket { name: BucketName::new(name).unwrap(), owner: "o".into(), lock: None, acl: None }
}

#[test]
fn the_log_says_who_asked_for_what_and_what_was_refused() {
    let mut world = World::new(70);
    let refused_at = world.live(async |world| {
        let node = world.start().await.unwrap();
        let client = gateway(&node).await;
        let signed = authorship::of_request(async {
            authorship::sign("AKIAONE");
            client.propose(vec![write("a", 1), bucket("one-name")]).await.unwrap();
            client.propose(vec![bucket("one-name"), write("a", 2)]).await.unwrap();
        });
        signed.await;
        client.propose(vec![write("a", 3)]).await.unwrap();
        let entries = read_all(&node, LogIndex(0)).await;
        let indexes: Vec<u64> = entries.iter().map(|entry| entry.index.0).collect();
        assert_eq!(indexes, (0..=node.status().applied_index.0).collect::<Vec<_>>(), "each entry once, in order");
        assert!(matches!(entries[0].content, LogContent::Members(_)));
        let key = Some("AKIAONE".to_owned());
        assert_eq!(writers(&entries), [(1, key.clone()), (2, key), (3, None)]);
        // Of the first entry, which no rows belong to, nothing is remembered.
        let has_some = |entry: &&LogEntry| entry.refused.as_ref().is_some_and(|refused| !refused.is_empty());
        let refused: Vec<_> = entries.iter().filter(has_some).collect();
        let [refused] = refused[..] else { panic!("one entry has a refusal, not {refused:?}") };
        let [(0, 0, Refusal::BucketExists { .. })] = refused.refused.as_ref().unwrap()[..] else {
            panic!("{:?}", refused.refused);
        };
        refused.index
    });
    world.files.crash();
    world.live(async |world| {
        let node = world.start().await.unwrap();
        let entries = read_all(&node, refused_at).await;
        assert_eq!(entries[0].refused.as_ref().unwrap().len(), 1, "a start applies it again");
    });
}

#[test]
fn what_is_gone_is_said_to_be_gone() {
    let mut world = World::new(71);
    world.config.history = HistoryPolicy { age: Duration::ZERO, bytes: 0 };
    world.live(async |world| {
        let node = world.start().await.unwrap();
        let client = gateway(&node).await;
        for value in 0..300 {
            client.propose(vec![write("k", value), write("l", value)]).await.unwrap();
        }
        until(71, &node, "a purge", |status| status.purged_index.0 > 0).await;
        let Err(LogReadError::Gone { first }) = node.read_log(LogIndex(0)).await else { panic!("it is there") };
        assert!(first.0 > 1);
        let entries = read_all(&node, first).await;
        assert_eq!(writers(&entries).last(), Some(&(299, None)));
        assert_eq!(node.read_log(LogIndex(u64::MAX)).await.unwrap().entries.len(), 0);
    });
}

#[test]
fn who_follows_the_log_is_woken_by_it() {
    let mut world = World::new(72);
    world.live(async |world| {
        let node = world.start().await.unwrap();
        let client = gateway(&node).await;
        let next = LogIndex(client.read().await.unwrap().index().0 + 1);
        let (waiting, began) = (node.until_applied(next), tokio::time::Instant::now());
        let propose = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            client.propose(vec![write("a", 1)]).await.unwrap();
        };
        within(72, "the next entry", async { tokio::join!(waiting, propose) }).await;
        assert!(began.elapsed() < Duration::from_millis(2100), "{:?}", began.elapsed());
        assert_eq!(writers(&node.read_log(next).await.unwrap().entries), [(1, None)]);
    });
}

#[test]
fn every_member_has_the_same_log_whoever_was_asked() {
    Cluster::run(73, async |cluster| {
        let client = cluster.form(3).await;
        let leader = cluster.leader().await;
        let follower = cluster.node((leader + 1) % 3);
        let there = follower.client(SessionKind::Gateway).await.unwrap();
        let signed = authorship::of_request(async {
            authorship::sign("AKIATHERE");
            there.propose(vec![write("a", 7)]).await.unwrap();
        });
        signed.await;
        let index = client.read().await.unwrap().index();
        for machine in 0..3 {
            let node = &cluster.node(machine);
            node.until_applied(index).await;
            let found = writers(&read_all(node, LogIndex(0)).await);
            assert_eq!(found, [(7, Some("AKIATHERE".to_owned()))], "machine {machine}");
        }
    });
}
