//! Three and five voters: every node serves, a leader may go, a minority refuses in time, all may restart.

use std::time::Duration;

use cairn_machine::rows::session::SessionKind;
use tokio::time::Instant;

use super::cluster::{CALM, Cluster, STORM};
use super::world::{value_of, within, write};
use crate::{PeerCall, PeerError, ProposeError, ReadError, Standing, StartError};

#[test]
fn every_node_writes_and_reads_what_the_others_wrote() {
    Cluster::run(1, async |cluster| {
        cluster.form(3).await;
        let mut clients = Vec::new();
        for machine in 0..3 {
            clients.push(cluster.node(machine).client(SessionKind::Gateway).await.unwrap());
        }
        for round in 0..10 {
            for (number, client) in clients.iter().enumerate() {
                let value = round * 10 + number as u64;
                client.propose(vec![write("a", value)]).await.unwrap();
                for other in &clients {
                    assert_eq!(value_of(&other.read().await.unwrap(), "a"), Some(value));
                }
            }
        }
        // Voters that have applied the same have the same rows.
        let index = clients[0].read().await.unwrap().index();
        let hash = async |machine: usize| {
            assert!(cluster.node(machine).inner.has_applied(index).await);
            (cluster.node(machine).status().applied_index, cluster.node(machine).status().effects_hash)
        };
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(hash(0).await, hash(1).await);
        assert_eq!(hash(0).await, hash(2).await);
    });
}

#[test]
fn many_proposals_of_a_follower_travel_in_few_messages() {
    Cluster::run(2, async |cluster| {
        cluster.form(3).await;
        let leader = cluster.leader().await;
        let client = cluster.node((leader + 1) % 3).client(SessionKind::Gateway).await.unwrap();
        let before = cluster.node(leader).status().last_index.0;
        let calls = cluster.net.calls();
        let proposals = (0..500).map(|value| client.propose(vec![write(&format!("k{value}"), value)]));
        for result in futures::future::join_all(proposals).await {
            result.unwrap();
        }
        let entries = cluster.node(leader).status().last_index.0 - before;
        assert!(entries <= 20, "{entries} entries");
        let calls = cluster.net.calls() - calls;
        assert!(calls <= 400, "{calls} calls");
    });
}

#[test]
fn the_others_go_on_when_the_leader_goes() {
    for (seed, voters, losses) in [(3, 3, 1), (4, 5, 2)] {
        Cluster::run(seed, async |cluster| {
            cluster.form(voters).await;
            for value in 0..losses {
                let leader = cluster.leader().await;
                cluster.kill(leader).await;
                let machine = (0..voters).find(|&n| cluster.machines[n].running.is_some()).unwrap();
                let begin = Instant::now();
                let client = cluster.node(machine).client(SessionKind::Gateway).await.unwrap();
                client.propose(vec![write("a", value)]).await.unwrap();
                assert_eq!(value_of(&client.read().await.unwrap(), "a"), Some(value));
                assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
            }
        });
    }
}

#[test]
fn a_minority_refuses_within_its_deadline_and_comes_back_by_itself() {
    Cluster::run(5, async |cluster| {
        cluster.form(3).await;
        let leader = cluster.leader().await;
        let follower = (leader + 1) % 3;
        for lonely in [follower, leader] {
            let client = cluster.node(lonely).client(SessionKind::Gateway).await.unwrap();
            client.propose(vec![write("a", 1)]).await.unwrap();
            cluster.net.part(&[lonely]);
            let begin = Instant::now();
            let (written, read) = futures::future::join(client.propose(vec![write("a", 2)]), client.read()).await;
            assert!(matches!(written, Err(ProposeError::Unavailable(_))), "{written:?}");
            assert!(matches!(read, Err(ReadError::Unavailable(_))), "{read:?}");
            assert!(begin.elapsed() <= Duration::from_secs(6), "{:?}", begin.elapsed());
            // The others have gone on meanwhile.
            let other = cluster.node((leader + 2) % 3).client(SessionKind::Gateway).await.unwrap();
            other.propose(vec![write("b", 3)]).await.unwrap();
            cluster.net.part(&[]);
            let seen = within(5, "the way back", async {
                loop {
                    if let Ok(view) = client.read().await {
                        return value_of(&view, "b");
                    }
                }
            })
            .await;
            assert_eq!(seen, Some(3));
            client.propose(vec![write("a", 4)]).await.unwrap();
        }
    });
}

#[test]
fn all_may_lose_their_power_at_once() {
    Cluster::run(6, async |cluster| {
        let client = cluster.form(3).await;
        client.propose(vec![write("a", 1)]).await.unwrap();
        drop(client);
        for machine in 0..3 {
            cluster.kill(machine).await;
        }
        for machine in [2, 0] {
            cluster.start(machine).await.unwrap();
        }
        // Two of three are enough.
        within(6, "a start", cluster.node(0).ready()).await.unwrap();
        let client = cluster.node(0).client(SessionKind::Gateway).await.unwrap();
        assert_eq!(value_of(&client.read().await.unwrap(), "a"), Some(1));
        let node = cluster.start(1).await.unwrap();
        within(6, "the third", node.ready()).await.unwrap();
        let status = node.status();
        assert_eq!(status.members.iter().filter(|member| member.votes).count(), 3);
    });
}

#[test]
fn a_request_has_one_effect_however_often_it_is_lost() {
    Cluster::run(7, async |cluster| {
        cluster.form(3).await;
        let leader = cluster.leader().await;
        let client = cluster.node((leader + 1) % 3).client(SessionKind::Gateway).await.unwrap();
        cluster.net.weather(STORM);
        let mut unknown = 0;
        for n in 0..60 {
            let name = cairn_core::BucketName::new(format!("bucket-{n}")).unwrap();
            let create = cairn_machine::Operation::CreateBucket { name, owner: "root".into(), lock: None, acl: None };
            // Done twice it would be refused: the bucket exists.
            match client.propose(vec![create]).await {
                Ok(outcomes) => {
                    assert!(matches!(outcomes[..], [cairn_machine::Outcome::BucketCreated(_)]), "{outcomes:?}");
                }
                Err(ProposeError::Unavailable(_)) => unknown += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(unknown < 30, "{unknown} of 60 are unknown");
        cluster.net.weather(CALM);
    });
}

#[test]
fn a_voter_that_has_forgotten_is_refused_and_joins_under_another_id() {
    Cluster::run(8, async |cluster| {
        cluster.form(3).await;
        let client = cluster.node(0).client(SessionKind::Gateway).await.unwrap();
        client.propose(vec![write("a", 1)]).await.unwrap();
        cluster.kill(2).await;
        cluster.wipe(2);
        let old = cluster.machines[2].member;
        assert!(matches!(cluster.start(2).await, Err(StartError::Log(_))), "the log itself refuses");
        // Also where nobody told the log that it was formed.
        assert!(cluster.start_forgetful(2).await);
        // That attempt has written an epoch under the old id.
        cluster.wipe(2);
        cluster.rejoin(&client, 2).await;
        let new = cluster.machines[2].member;
        assert!(new > old);
        client.seat(new).await.unwrap();
        let members = cluster.node(2).status().members;
        assert_eq!(members.iter().filter(|member| member.votes).count(), 3);
        assert!(members.iter().all(|member| member.member != old), "{members:?}");
        // It counts: with it, one of the others may go.
        let client = cluster.node(2).client(SessionKind::Gateway).await.unwrap();
        cluster.kill(1).await;
        client.propose(vec![write("a", 2)]).await.unwrap();
    });
}

#[test]
fn who_has_no_log_gives_no_vote_and_strangers_are_refused() {
    Cluster::run(9, async |cluster| {
        let client = cluster.form(1).await;
        let machine = cluster.add_machine();
        cluster.machines[machine].member = 55;
        cluster.machines[machine].standing = Standing::Newcomer;
        let newcomer = cluster.start(machine).await.unwrap();
        let ask = |node: crate::MetadataNode, call, body: bytes::Bytes| async move { node.answer(call, body).await };
        // A candidacy for member 55: version, length of the head, [55, [9, 1, false], null, false].
        let candidacy = |to: u8| bytes::Bytes::from(vec![1, 0, 0, 0, 9, 0x84, 0x18, to, 0x83, 9, 1, 0xf4, 0xf6, 0xf4]);
        for call in [PeerCall::Vote, PeerCall::PreVote] {
            let answer = ask(newcomer.clone(), call, candidacy(55)).await;
            assert!(matches!(&answer, Err(PeerError::Refused(why)) if why.contains("no log")), "{answer:?}");
            let answer = ask(newcomer.clone(), call, candidacy(56)).await;
            assert!(matches!(&answer, Err(PeerError::Refused(why)) if why.contains("meant")), "{answer:?}");
        }
        for call in PeerCall::ALL {
            for body in [&[][..], &[0], &[2, 0, 0, 0, 0], &[1, 255, 255, 255, 255], &[1; 40]] {
                let answer = ask(cluster.node(0), call, bytes::Bytes::copy_from_slice(body)).await;
                assert!(matches!(answer, Err(PeerError::Refused(_))), "{call:?} {body:?} {answer:?}");
            }
        }
        client.propose(vec![write("a", 1)]).await.unwrap();
    });
}
