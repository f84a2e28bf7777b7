//! What the loss of a node in the middle of something leaves: each request done once or not at all, every voter back from
//! its own disk, and an answer in time for everybody who is left without a majority.

use std::time::Duration;

use cairn_core::BucketName;
use cairn_machine::rows::bucket::BucketNameRow;
use cairn_machine::rows::session::SessionKind;
use cairn_machine::{Operation, Outcome, Row};
use futures::future::{join, join_all};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;

use super::cluster::{Cluster, node_id};
use super::world::{value_of, within, write};
use crate::{ChangeError, ProposeError, ReadError};

#[test]
fn what_a_leader_was_killed_over_is_done_once_or_not_at_all() {
    let (mut known, mut unknown) = (0, 0);
    for seed in 80..92 {
        Cluster::run(seed, async |cluster| {
            cluster.form(3).await;
            let leader = cluster.leader().await;
            let client = cluster.node((leader + 1) % 3).client(SessionKind::Gateway).await.unwrap();
            let mut random = StdRng::seed_from_u64(seed);
            let name = |n: u64| BucketName::new(format!("bucket-{n}")).unwrap();
            let delays: Vec<u64> = (0..60).map(|_| random.random_range(0..40)).collect();
            let asked = delays.iter().zip(0..).map(|(delay, n)| {
                let client = client.clone();
                async move {
                    tokio::time::sleep(Duration::from_millis(*delay)).await;
                    // Done twice it would be refused: the bucket exists.
                    client
                        .propose(vec![Operation::CreateBucket {
                            name: name(n),
                            owner: "root".into(),
                            lock: None,
                            acl: None,
                        }])
                        .await
                }
            });
            let moment = random.random_range(0..40);
            let kill = async {
                tokio::time::sleep(Duration::from_millis(moment)).await;
                cluster.kill(leader).await;
            };
            let (answers, ()) = join(join_all(asked), kill).await;
            let view = client.read().await.unwrap();
            for (answer, n) in answers.iter().zip(0..) {
                let row = BucketNameRow::get(&view, &name(n)).unwrap();
                match answer.as_deref() {
                    Ok([Outcome::BucketCreated(id)]) => {
                        known += 1;
                        assert_eq!(row.map(|row| row.id), Some(*id), "seed {seed}: {n}");
                    }
                    Ok(other) => panic!("seed {seed}: {n}: {other:?}"),
                    Err(ProposeError::Unavailable(_)) => unknown += 1,
                    Err(error) => panic!("seed {seed}: {n}: {error}"),
                }
            }
        });
    }
    // Another leader is there long before anybody gives up.
    assert!(unknown * 20 < known, "{unknown} of {} are unknown", known + unknown);
}

#[test]
fn every_voter_comes_back_from_its_own_disk_while_others_write() {
    Cluster::run(92, async |cluster| {
        cluster.form(3).await;
        let mut value = 0;
        for machine in [0, 1, 2, 0] {
            let client = cluster.node((machine + 1) % 3).client(SessionKind::Gateway).await.unwrap();
            let member = cluster.machines[machine].member;
            cluster.kill(machine).await;
            for _ in 0..50 {
                value += 1;
                client.propose(vec![write("a", value)]).await.unwrap();
            }
            let node = cluster.start(machine).await.unwrap();
            within(92, "a start", node.ready()).await.unwrap();
            assert_eq!(node.status().voter, member);
            let there = node.client(SessionKind::Gateway).await.unwrap();
            assert_eq!(value_of(&there.read().await.unwrap(), "a"), Some(value));
        }
        let status = cluster.node(1).status();
        assert_eq!(status.members.iter().filter(|member| member.votes).count(), 3);
    });
}

#[test]
fn without_a_majority_everybody_is_told_in_time() {
    Cluster::run(93, async |cluster| {
        cluster.form(3).await;
        let last = (cluster.leader().await + 1) % 3;
        let node = cluster.node(last);
        let client = node.client(SessionKind::Gateway).await.unwrap();
        let member = cluster.machines[last].member;
        for machine in (0..3).filter(|&machine| machine != last) {
            cluster.kill(machine).await;
        }
        let begin = Instant::now();
        let crowd = join_all((0..100).map(|n| client.propose(vec![write("a", n)])));
        let others = join(node.client(SessionKind::Gateway), join(client.admit(node_id(last)), client.seat(member)));
        let (written, (read, (begun, (admitted, seated)))) = join(crowd, join(client.read(), others)).await;
        assert!(begin.elapsed() <= Duration::from_secs(6), "{:?}", begin.elapsed());
        let unavailable = |error: &ProposeError| matches!(error, ProposeError::Unavailable(_));
        assert!(written.iter().all(|result| result.as_ref().is_err_and(unavailable)), "{written:?}");
        assert!(matches!(read, Err(ReadError::Unavailable(_))), "{read:?}");
        assert!(begun.as_ref().is_err_and(unavailable), "{begun:?}");
        let late = |error: &ChangeError| matches!(error, ChangeError::Propose(ProposeError::Unavailable(_)));
        assert!(admitted.as_ref().is_err_and(late), "{admitted:?}");
        assert!(seated.as_ref().is_err_and(late), "{seated:?}");
    });
}
