//! More is asked for than can be done: who comes too late is told at once, and nothing happened; everybody else is answered.

use std::time::Duration;

use futures::future::join_all;
use tokio::time::Instant;

use super::cluster::Cluster;
use super::world::{World, gateway, value_of, within, write};
use crate::ProposeError;

/// Who may wait for a number of a session, beside those that have one.
const WAITING: usize = 4096;

/// One window of a session, and who may wait for it.
const TAKEN: usize = 1024 + WAITING;

#[test]
fn who_comes_too_late_is_told_at_once_and_nothing_happened() {
    let mut world = World::new(74);
    world.live(async |world| {
        let node = world.start().await.unwrap();
        let client = gateway(&node).await;
        let began = Instant::now();
        let ask = |n: u64| {
            let client = client.clone();
            async move { (n, client.propose(vec![write(&format!("k{n}"), n)]).await, began.elapsed()) }
        };
        let answers = within(74, "a crowd", join_all((0..2 * TAKEN as u64).map(ask))).await;
        let view = client.read().await.unwrap();
        let mut refused = 0;
        for (n, answer, took) in answers {
            match answer {
                Ok(_) => assert_eq!(value_of(&view, &format!("k{n}")), Some(n)),
                Err(ProposeError::Overloaded) => {
                    refused += 1;
                    assert_eq!(value_of(&view, &format!("k{n}")), None, "what is refused has no effect");
                    assert!(took < Duration::from_millis(100), "told after {took:?}");
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert!((1..=2 * TAKEN - WAITING).contains(&refused), "{refused} were refused");
        client.propose(vec![write("after", 1)]).await.unwrap();
    });
}

#[test]
fn a_crowd_without_a_majority_is_told_within_the_deadline_and_leaves_nothing_behind() {
    Cluster::run(75, async |cluster| {
        let client = cluster.form(3).await;
        let leader = cluster.leader().await;
        let here = cluster.node(leader).client(cairn_machine::rows::session::SessionKind::Gateway).await.unwrap();
        cluster.net.part(&[leader]);
        let (deadline, began) = (cluster.node(leader).inner.config.deadline, Instant::now());
        let ask = |n: u64| {
            let here = here.clone();
            async move { here.propose(vec![write("crowd", n)]).await }
        };
        let answers = join_all((0..2 * TAKEN as u64).map(ask)).await;
        assert!(began.elapsed() < deadline + Duration::from_secs(1), "all are told by {:?}", began.elapsed());
        let count = |is: fn(&ProposeError) -> bool| answers.iter().filter(|a| a.as_ref().is_err_and(is)).count();
        let overloaded = count(|error| matches!(error, ProposeError::Overloaded));
        let unknown = count(|error| matches!(error, ProposeError::Unavailable(_)));
        assert_eq!(overloaded + unknown, answers.len(), "nobody was told that it was done");
        assert!(overloaded >= TAKEN && unknown > 0, "{overloaded} were refused, of {unknown} nothing is known");
        cluster.net.part(&[]);
        within(75, "the way back", async {
            while here.propose(vec![write("after", 1)]).await.is_err() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        })
        .await;
        assert_eq!(value_of(&client.read().await.unwrap(), "after"), Some(1));
    });
}
