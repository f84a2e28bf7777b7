//! Two releases in one cluster: node after node is replaced while clients write, and the log changes its version when all have
//! been.

use std::time::Duration;

use cairn_core::LogIndex;
use cairn_machine::rows::cluster::ClusterRow;
use cairn_machine::rows::session::SessionKind;
use cairn_machine::{FUNCTION_VERSION, Operation, Row};

use super::cluster::Cluster;
use super::world::{until, value_of, within, write};
use crate::{Client, LogContent, MetadataNode, NodeFailure, ProposeError, StartError};

const OLD: u8 = FUNCTION_VERSION - 1;

/// The versions of the entries from an index on.
async fn versions(node: &MetadataNode, from: LogIndex) -> Vec<u8> {
    let (mut found, mut next) = (Vec::new(), from);
    loop {
        let page = node.read_log(next).await.unwrap();
        if page.entries.is_empty() {
            return found;
        }
        next = page.next;
        found.extend(page.entries.iter().filter_map(|entry| match &entry.content {
            LogContent::Batch(batch) => Some(batch.function),
            _ => None,
        }));
    }
}

async fn insist(cluster: &Cluster, client: &Client, value: u64) {
    within(cluster.seed, "a write", async { while client.propose(vec![write("a", value)]).await.is_err() {} }).await;
}

/// What only the new release knows.
fn newer() -> Vec<Operation> {
    vec![Operation::RaiseFunction { to: FUNCTION_VERSION }, write("b", 1)]
}

/// Replaces the release of a machine.
async fn upgrade(cluster: &mut Cluster, machine: usize) -> MetadataNode {
    cluster.kill(machine).await;
    cluster.machines[machine].function = FUNCTION_VERSION;
    let node = cluster.start(machine).await.unwrap();
    within(cluster.seed, "a start", node.ready()).await.unwrap();
    node
}

async fn raised(cluster: &Cluster, client: &Client) {
    within(cluster.seed, "a raised version", async {
        loop {
            if let Ok(view) = client.read().await
                && ClusterRow::get(&view, &()).unwrap().unwrap().function == FUNCTION_VERSION
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    })
    .await;
}

#[test]
fn node_after_node_is_upgraded_while_clients_write() {
    Cluster::run(98, async |cluster| {
        cluster.function = OLD;
        cluster.form(3).await;
        for machine in 0..3 {
            let other = cluster.node((machine + 1) % 3).client(SessionKind::Gateway).await.unwrap();
            insist(cluster, &other, 10 + machine as u64).await;
            let answer = other.propose(newer()).await;
            assert_eq!(answer, Err(ProposeError::NotYet { needs: FUNCTION_VERSION }), "{machine} are upgraded");
            // Until the last one is, time changes nothing.
            tokio::time::sleep(Duration::from_secs(60)).await;
            let node = cluster.node(cluster.leader().await);
            assert!(versions(&node, LogIndex(0)).await.iter().all(|version| *version == OLD));
            let node = upgrade(cluster, machine).await;
            let client = node.client(SessionKind::Gateway).await.unwrap();
            insist(cluster, &client, 20 + machine as u64).await;
            assert_eq!(value_of(&client.read().await.unwrap(), "a"), Some(20 + machine as u64));
        }
        let client = cluster.node(0).client(SessionKind::Gateway).await.unwrap();
        raised(cluster, &client).await;
        client.propose(newer()).await.unwrap();
        let found = versions(&cluster.node(0), LogIndex(0)).await;
        let first = found.iter().position(|version| *version == FUNCTION_VERSION).unwrap();
        assert!(found[..first].iter().all(|version| *version == OLD));
        assert!(found[first..].iter().all(|version| *version == FUNCTION_VERSION), "and never back");
        // Old entries and new ones gave everybody the same rows.
        let index = client.read().await.unwrap().index();
        for machine in 0..3 {
            until(98, &cluster.node(machine), "the rows", |status| status.applied_index >= index).await;
        }
        let hashes: Vec<_> = (0..3).map(|machine| cluster.node(machine).status()).collect();
        assert!(
            hashes.iter().all(|status| status.effects_hash == hashes[0].effects_hash
                || status.applied_index != hashes[0].applied_index)
        );
        // An older release that comes back stops and says why; the others go on.
        cluster.kill(2).await;
        cluster.machines[2].function = OLD;
        let too_new = |cause: &NodeFailure| cause.to_string().contains(&format!("up to {OLD}"));
        match cluster.start(2).await {
            Err(StartError::Stopped(cause)) => assert!(too_new(&cause), "{cause}"),
            Err(error) => panic!("{error}"),
            Ok(node) => {
                let cause = within(98, "a refusal", node.failed()).await;
                assert!(too_new(&cause), "{cause}");
            }
        }
        insist(cluster, &client, 99).await;
        upgrade(cluster, 2).await;
        let there = cluster.node(2).client(SessionKind::Gateway).await.unwrap();
        assert_eq!(value_of(&there.read().await.unwrap(), "a"), Some(99));
    });
}

#[test]
fn a_member_that_is_away_holds_the_version_back_until_it_is_dismissed() {
    Cluster::run(99, async |cluster| {
        cluster.function = OLD;
        let client = cluster.form(3).await;
        cluster.join(&client).await;
        drop(client);
        cluster.kill(3).await;
        for machine in 0..3 {
            upgrade(cluster, machine).await;
        }
        let client = cluster.node(1).client(SessionKind::Gateway).await.unwrap();
        tokio::time::sleep(Duration::from_secs(300)).await;
        insist(cluster, &client, 1).await;
        assert!(versions(&cluster.node(1), LogIndex(0)).await.iter().all(|version| *version == OLD));
        client.dismiss(cluster.machines[3].member).await.unwrap();
        raised(cluster, &client).await;
    });
}
