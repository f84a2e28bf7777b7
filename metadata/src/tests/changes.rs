//! Members come, are seated, lead and go, while others write.

use std::time::Duration;

use cairn_core::LogIndex;
use cairn_machine::Row;
use cairn_machine::rows::session::SessionKind;
use cairn_machine::rows::topology::{NodeRow, VoterRow};

use super::cluster::{Cluster, node_id};
use super::world::{value_of, within, write};
use crate::ChangeError;
use crate::view::RowsAt;

#[test]
fn a_member_that_does_not_vote_serves_clients() {
    Cluster::run(20, async |cluster| {
        let client = cluster.form(3).await;
        let learner = cluster.join(&client).await;
        let node = cluster.node(learner);
        let there = node.client(SessionKind::Gateway).await.unwrap();
        there.propose(vec![write("a", 1)]).await.unwrap();
        assert_eq!(value_of(&client.read().await.unwrap(), "a"), Some(1));
        client.propose(vec![write("a", 2)]).await.unwrap();
        assert_eq!(value_of(&there.read().await.unwrap(), "a"), Some(2));
        let status = node.status();
        let me = status.members.iter().find(|member| member.member == status.voter).unwrap();
        assert!(!me.votes);
        assert_eq!(me.node, node_id(learner));
        // It is no part of a majority: with it and one voter nothing is written.
        let leader = cluster.leader().await;
        for machine in (0..3).filter(|&machine| machine != leader) {
            cluster.kill(machine).await;
        }
        assert!(there.propose(vec![write("a", 3)]).await.is_err());
    });
}

#[test]
fn a_voter_that_is_unseated_follows_and_may_be_seated_again() {
    Cluster::run(26, async |cluster| {
        let client = cluster.form(3).await;
        let fourth = cluster.join(&client).await;
        let member = cluster.machines[fourth].member;
        let there = cluster.node(fourth).client(SessionKind::Gateway).await.unwrap();
        for round in 0..3 {
            client.seat(member).await.unwrap();
            client.unseat(member).await.unwrap();
            client.unseat(member).await.unwrap();
            there.propose(vec![write("a", round)]).await.unwrap();
            assert_eq!(value_of(&there.read().await.unwrap(), "a"), Some(round));
            let members = cluster.node(cluster.leader().await).status().members;
            assert_eq!(members.iter().filter(|status| status.votes).count(), 3);
            assert!(members.iter().any(|status| status.member == member && !status.votes));
        }
        assert!(matches!(client.unseat(member + 1).await, Err(ChangeError::Refused(_))), "nobody has that id");
    });
}

#[test]
fn members_change_from_any_node_while_others_write() {
    Cluster::run(21, async |cluster| {
        let client = cluster.form(3).await;
        let writer = {
            let client = client.clone();
            async move {
                let mut value = 0;
                while value < 200 {
                    value += 1;
                    client.propose(vec![write("w", value)]).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        };
        let change = async {
            let follower = cluster.node(1).client(SessionKind::Gateway).await.unwrap();
            let fourth = cluster.join(&follower).await;
            let member = cluster.machines[fourth].member;
            follower.seat(member).await.unwrap();
            follower.seat(member).await.unwrap();
            let gone = cluster.machines[2].member;
            follower.dismiss(gone).await.unwrap();
            follower.dismiss(gone).await.unwrap();
            let index = follower.read().await.unwrap().index();
            assert!(cluster.node(fourth).inner.has_applied(index).await);
            let status = cluster.node(fourth).status();
            let voters: Vec<_> = status.members.iter().map(|member| (member.member, member.votes)).collect();
            assert_eq!(voters, [(1, true), (cluster.machines[1].member, true), (member, true)]);
            let rows = RowsAt(cluster.node(fourth).inner.rows.view());
            assert_eq!(NodeRow::get(&rows, &node_id(2)).unwrap().unwrap().voter, None);
            assert_eq!(NodeRow::get(&rows, &node_id(fourth)).unwrap().unwrap().voter, Some(member));
            assert_eq!(VoterRow::get(&rows, &gone).unwrap(), None);
        };
        within(21, "changes", futures::future::join(writer, change)).await;
    });
}

#[test]
fn the_lead_is_handed_over_and_a_leader_that_is_dismissed_hands_it_over_too() {
    Cluster::run(22, async |cluster| {
        cluster.form(3).await;
        let old = cluster.leader().await;
        let heir = (old + 1) % 3;
        let member = cluster.machines[heir].member;
        within(22, "a handover", async {
            while cluster.node(old).status().leader != Some(member) {
                cluster.node(cluster.leader().await).transfer_lead(member).await.unwrap();
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        })
        .await;
        let client = cluster.node(old).client(SessionKind::Gateway).await.unwrap();
        client.dismiss(member).await.unwrap();
        client.propose(vec![write("a", 1)]).await.unwrap();
        assert!(cluster.node(old).status().leader != Some(member));
    });
}

#[test]
fn what_cannot_be_is_refused() {
    Cluster::run(23, async |cluster| {
        let client = cluster.form(1).await;
        let refused =
            |result: Result<(), ChangeError>| assert!(matches!(result, Err(ChangeError::Refused(_))), "{result:?}");
        refused(client.dismiss(1).await);
        refused(client.seat(4711).await);
        refused(client.admit(node_id(9)).await.map(|_| ()));
        // Who cannot be reached cannot catch up.
        let machine = cluster.join(&client).await;
        let member = cluster.machines[machine].member;
        cluster.kill(machine).await;
        client.propose(vec![write("a", 1)]).await.unwrap();
        refused(client.seat(member).await);
        client.propose(vec![write("a", 2)]).await.unwrap();
    });
}

#[test]
fn garbage_waits_for_the_runs_of_a_majority() {
    Cluster::run(24, async |cluster| {
        let client = cluster.form(3).await;
        let due = || cairn_machine::due_until(&RowsAt(cluster.node(0).inner.rows.view())).unwrap();
        for value in 0..400 {
            client.propose(vec![write(&format!("k{value}"), value)]).await.unwrap();
        }
        within(24, "runs of all", async {
            while due() <= LogIndex(100) {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        })
        .await;
        let reports: Vec<_> = (0..3)
            .map(|machine| cluster.machines[machine].member)
            .map(|member| {
                VoterRow::get(&RowsAt(cluster.node(0).inner.rows.view()), &member).unwrap().unwrap().run_index
            })
            .collect();
        assert!(reports.iter().filter(|index| **index > LogIndex(100)).count() >= 2, "{reports:?}");
    });
}
