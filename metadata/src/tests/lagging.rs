//! Members that lack log which is gone: they fetch the leader's runs, and go on from the log behind them.

use std::time::Duration;

use cairn_machine::rows::session::SessionKind;

use super::cluster::{Cluster, STORM};
use super::world::{until, value_of, within, write};
use crate::{Client, PeerCall};

/// Writes until the leader's log does not begin at its beginning any more.
async fn fill(cluster: &Cluster, client: &Client, from: u64) -> u64 {
    let mut value = from;
    within(cluster.seed, "a log that was cut", async {
        let leader = cluster.leader().await;
        let before = cluster.node(leader).status().purged_index;
        while cluster.node(cluster.leader().await).status().purged_index <= before {
            for _ in 0..50 {
                value += 1;
                client.propose(vec![write(&format!("k{}", value % 120), value), write("last", value)]).await.unwrap();
            }
        }
    })
    .await;
    value
}

async fn same_rows(cluster: &Cluster, machines: &[usize]) {
    within(cluster.seed, "the same rows", async {
        loop {
            let all: std::collections::BTreeSet<_> = machines
                .iter()
                .map(|&machine| cluster.node(machine).status())
                .map(|status| (status.applied_index, status.effects_hash))
                .collect();
            if all.len() == 1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    })
    .await;
}

#[test]
fn a_newcomer_is_sent_the_runs_when_the_log_is_cut() {
    for (seed, stormy) in [(40, false), (41, true)] {
        Cluster::run(seed, async |cluster| {
            cluster.history_bytes = 0;
            let client = cluster.form(3).await;
            let value = fill(cluster, &client, 0).await;
            if stormy {
                cluster.net.weather(STORM);
            }
            let newcomer = cluster.join(&client).await;
            cluster.net.weather(super::cluster::CALM);
            let there = cluster.node(newcomer).client(SessionKind::Gateway).await.unwrap();
            assert_eq!(value_of(&there.read().await.unwrap(), "last"), Some(value));
            let status = cluster.node(newcomer).status();
            assert!(status.run_index > status.purged_index || status.run_index.0 > 0, "{status:?}");
            client.seat(cluster.machines[newcomer].member).await.unwrap();
            same_rows(cluster, &[0, 1, 2, newcomer]).await;
            // It goes on by itself: cuts runs, and starts from what it has.
            let value = fill(cluster, &client, value).await;
            drop(there);
            cluster.kill(newcomer).await;
            let node = cluster.start(newcomer).await.unwrap();
            within(seed, "a start", node.ready()).await.unwrap();
            let there = node.client(SessionKind::Gateway).await.unwrap();
            assert_eq!(value_of(&there.read().await.unwrap(), "last"), Some(value));
            same_rows(cluster, &[0, 1, 2, newcomer]).await;
        });
    }
}

#[test]
fn a_voter_that_was_away_too_long_takes_the_runs_in_place_of_its_own() {
    for seed in 42..46 {
        Cluster::run(seed, async |cluster| {
            cluster.history_bytes = 0;
            let client = cluster.form(3).await;
            let value = fill(cluster, &client, 0).await;
            let away = (1 + cluster.leader().await) % 3;
            let at = cluster.node(away).status().applied_index;
            let client = if away == 0 { cluster.node(1).client(SessionKind::Gateway).await.unwrap() } else { client };
            // One that runs and hears nothing, or one that is off.
            let off = seed % 2 == 0;
            if off {
                cluster.kill(away).await
            } else {
                cluster.net.part(&[away])
            }
            let value = fill(cluster, &client, value).await;
            if off {
                drop(cluster.start(away).await.unwrap())
            } else {
                cluster.net.part(&[])
            }
            let node = cluster.node(away);
            until(seed, &node, "the runs", |status| status.purged_index > at).await;
            let there = node.client(SessionKind::Gateway).await.unwrap();
            assert_eq!(value_of(&there.read().await.unwrap(), "last"), Some(value));
            there.propose(vec![write("last", value + 1)]).await.unwrap();
            same_rows(cluster, &[0, 1, 2]).await;
        });
    }
}

#[test]
fn the_power_may_go_while_runs_come() {
    for operations in (0..60).step_by(3) {
        let seed = 50;
        Cluster::run(seed, async |cluster| {
            cluster.history_bytes = 0;
            let client = cluster.form(3).await;
            let value = fill(cluster, &client, 0).await;
            let away = (1 + cluster.leader().await) % 3;
            let client = cluster.node((away + 1) % 3).client(SessionKind::Gateway).await.unwrap();
            cluster.kill(away).await;
            let value = fill(cluster, &client, value).await;
            cluster.start(away).await.unwrap();
            cluster.machines[away].files.power_off_after(operations);
            tokio::time::sleep(Duration::from_secs(4)).await;
            cluster.kill(away).await;
            let node = cluster.start(away).await.unwrap_or_else(|error| panic!("after {operations}: {error}"));
            within(seed, "a start", node.ready()).await.unwrap_or_else(|error| panic!("after {operations}: {error}"));
            let there = node.client(SessionKind::Gateway).await.unwrap();
            assert_eq!(value_of(&there.read().await.unwrap(), "last"), Some(value), "after {operations}");
            same_rows(cluster, &[0, 1, 2]).await;
        });
    }
}

#[test]
fn what_has_come_is_not_fetched_again_when_the_way_was_lost() {
    let pieces = |cut_off: bool| {
        Cluster::run(47, async |cluster| {
            cluster.history_bytes = 0;
            let client = cluster.form(3).await;
            let away = 1;
            let client = if cluster.leader().await == away {
                cluster.node(0).client(SessionKind::Gateway).await.unwrap()
            } else {
                client
            };
            cluster.kill(away).await;
            for n in 0..40 {
                let wide = (0..100).map(|m| write(&format!("wide{}", n * 100 + m), m)).collect();
                client.propose(wide).await.unwrap();
            }
            let value = fill(cluster, &client, 0).await;
            let before = cluster.net.calls_of(PeerCall::Run);
            cluster.start(away).await.unwrap();
            within(47, "some pieces", async {
                while cluster.net.calls_of(PeerCall::Run) < before + 3 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            })
            .await;
            if cut_off {
                // Longer than a piece is waited for, however often it is asked for.
                cluster.net.part(&[away]);
                tokio::time::sleep(Duration::from_secs(60)).await;
                cluster.net.part(&[]);
            }
            let node = cluster.node(away);
            within(47, "the runs", node.ready()).await.unwrap();
            let there = node.client(SessionKind::Gateway).await.unwrap();
            assert_eq!(value_of(&there.read().await.unwrap(), "last"), Some(value));
            cluster.net.calls_of(PeerCall::Run) - before
        })
    };
    let (whole, interrupted) = (pieces(false), pieces(true));
    assert!(whole > 8, "{whole} pieces show nothing");
    // The piece that was under way is asked for some times more.
    assert!(interrupted <= whole + 5, "{interrupted} pieces in place of {whole}");
}
