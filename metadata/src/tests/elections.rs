//! Leaders come and go: soon when they must, and not otherwise; and one who has been replaced answers nothing that is old.

use std::time::Duration;

use cairn_machine::rows::session::SessionKind;
use futures::future::{join, join_all};
use tokio::time::Instant;

use super::cluster::{CALM, Cluster, Weather};
use super::world::{value_of, within, write};
use crate::{Client, Part, ReadError};

/// Leader and term, as the leader sees them.
async fn reign(cluster: &Cluster) -> (usize, u64) {
    let leader = cluster.leader().await;
    (leader, cluster.node(leader).status().term)
}

/// Proposes until it is known to have happened.
async fn insist(cluster: &Cluster, client: &Client, register: &str, value: u64) {
    within(cluster.seed, "a write", async { while client.propose(vec![write(register, value)]).await.is_err() {} })
        .await;
}

#[test]
fn another_leads_within_three_seconds() {
    for seed in 60..68 {
        Cluster::run(seed, async |cluster| {
            let voters = if seed % 2 == 0 { 3 } else { 5 };
            cluster.form(voters).await;
            // Once the first elections are behind it.
            tokio::time::sleep(Duration::from_secs(5)).await;
            for _ in 0..voters / 2 {
                let leader = cluster.leader().await;
                let begin = Instant::now();
                cluster.kill(leader).await;
                cluster.leader().await;
                assert!(begin.elapsed() < Duration::from_secs(3), "seed {seed}: {:?}", begin.elapsed());
            }
        });
    }
}

#[test]
fn a_leader_stays_on_a_slow_and_busy_network() {
    Cluster::run(70, async |cluster| {
        cluster.form(3).await;
        let before = reign(cluster).await;
        cluster.net.weather(Weather { lost: 30, late: Duration::from_millis(100) });
        let mut clients = Vec::new();
        for machine in 0..3 {
            clients.push(cluster.node(machine).client(SessionKind::Gateway).await.unwrap());
        }
        let until = Instant::now() + Duration::from_secs(60);
        let busy = (0..24).map(|number: usize| {
            let client = clients[number % clients.len()].clone();
            async move {
                let mut value = 0;
                while Instant::now() < until {
                    value += 1;
                    // Some are lost too often to be answered in time.
                    drop(client.propose(vec![write(&format!("{number}"), value)]).await);
                }
                value
            }
        });
        let written: u64 = join_all(busy).await.into_iter().sum();
        assert!(written > 1000, "{written} writes are no load");
        cluster.net.weather(CALM);
        assert_eq!(reign(cluster).await, before);
    });
}

#[test]
fn who_was_cut_off_does_not_depose_the_leader() {
    Cluster::run(71, async |cluster| {
        cluster.form(5).await;
        let before = reign(cluster).await;
        let away = (before.0 + 1) % 5;
        cluster.net.part(&[away]);
        tokio::time::sleep(Duration::from_secs(60)).await;
        let status = cluster.node(before.0).status();
        let silent = status.heard[&cluster.machines[away].member];
        assert!(silent > Duration::from_secs(50), "{silent:?}");
        cluster.net.part(&[]);
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(reign(cluster).await, before);
        let status = cluster.node(before.0).status();
        assert_eq!(status.part(), Part::Leads);
        assert_eq!(status.heard.len(), 4);
        assert!(status.heard.values().all(|silent| *silent < Duration::from_secs(1)), "{:?}", status.heard);
        assert_eq!(status.lag(cluster.machines[away].member), Some(0));
        let status = cluster.node(away).status();
        assert_eq!(status.part(), Part::Votes);
        assert!(status.leader_heard.unwrap() < Duration::from_secs(1), "{:?}", status.leader_heard);
    });
}

#[test]
fn two_minutes_without_a_quorum_end_no_session() {
    Cluster::run(81, async |cluster| {
        cluster.form(3).await;
        let mut clients = Vec::new();
        for machine in 0..3 {
            clients.push(cluster.node(machine).client(SessionKind::Gateway).await.unwrap());
        }
        let before: Vec<_> = clients.iter().map(Client::session).collect();
        let reigned = reign(cluster).await;
        cluster.net.weather(Weather { lost: 1000, ..CALM });
        tokio::time::sleep(Duration::from_secs(120)).await;
        assert_eq!(cluster.node(reigned.0).status().part(), Part::Leads, "nobody tells it otherwise");
        cluster.net.weather(CALM);
        for client in &clients {
            insist(cluster, client, "a", 1).await;
        }
        tokio::time::sleep(Duration::from_secs(90)).await;
        let after: Vec<_> = clients.iter().map(Client::session).collect();
        assert_eq!(before, after, "a session that was renewed when it could be goes on");
    });
}

#[test]
fn a_leader_that_was_replaced_answers_nothing_old() {
    for seed in 72..80 {
        Cluster::run(seed, async |cluster| {
            cluster.form(3).await;
            let old = cluster.leader().await;
            let there = cluster.node(old).client(SessionKind::Gateway).await.unwrap();
            let other = cluster.node((old + 1) % 3).client(SessionKind::Gateway).await.unwrap();
            there.propose(vec![write("a", 1)]).await.unwrap();
            cluster.net.part(&[old]);
            insist(cluster, &other, "a", 2).await;
            // It cannot know, so it says nothing; its rows are old.
            assert_eq!(value_of(&there.read_stale(), "a"), Some(1));
            let answer = there.read().await;
            assert!(matches!(answer, Err(ReadError::Unavailable(_))), "seed {seed}: {answer:?}");
            // Questions that were asked before the network healed, and are answered after.
            let reads = (0..40).map(|n| {
                let there = there.clone();
                async move {
                    tokio::time::sleep(Duration::from_millis(25 * n)).await;
                    there.read().await
                }
            });
            let heal = async {
                tokio::time::sleep(Duration::from_millis(300 + seed * 3)).await;
                cluster.net.part(&[]);
            };
            let (reads, ()) = join(join_all(reads), heal).await;
            let seen: Vec<_> = reads.into_iter().filter_map(Result::ok).map(|view| value_of(&view, "a")).collect();
            assert!(!seen.is_empty(), "seed {seed}: nobody was answered");
            assert!(seen.iter().all(|value| *value == Some(2)), "seed {seed}: {seen:?}");
        });
    }
}
