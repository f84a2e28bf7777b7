//! Runs: cut, marked, reported; the log cut behind them; and what a failing drive does to that.

use std::time::Duration;

use cairn_core::{DriveId, Geometry, StripeId, StripeShape};
use cairn_journal::files::Files;
use cairn_journal::files::faulty::Operation as Disk;
use cairn_machine::rows::session::SessionKind;
use cairn_machine::rows::stripe::PlacedChunk;
use cairn_machine::{Operation, Outcome, due_until};

use super::cluster::Cluster;
use super::world::{DRIVES, World, at, dir, gateway, until, value_of, within, write};
use crate::{Client, CutPolicy, HistoryPolicy, NodeFailure, ProposeError, StartError};

async fn fill(client: &Client, from: u64, to: u64) {
    for value in from..to {
        client.propose(vec![write(&format!("k{}", value % 50), value), write("last", value)]).await.unwrap();
    }
}

#[test]
fn runs_are_cut_the_log_is_cut_and_a_restart_finds_everything() {
    let mut world = World::new(40);
    world.live(async |world| {
        let node = world.start().await.unwrap();
        let client = gateway(&node).await;
        fill(&client, 0, 600).await;
        until(40, &node, "a purge", |status| status.purged_index.0 > 0).await;
        let status = node.status();
        assert!(status.run_index > status.purged_index, "history is kept behind the newest run");
        assert!(status.rows.runs >= 1);
        assert_eq!(status.run_error, None);
    });
    world.files.crash();
    world.live(async |world| {
        let node = world.start().await.unwrap();
        assert!(node.status().purged_index.0 > 0);
        let client = gateway(&node).await;
        let view = client.read().await.unwrap();
        assert_eq!(value_of(&view, "last"), Some(599));
        for n in 0..50 {
            assert_eq!(value_of(&view, &format!("k{n}")), Some(550 + n));
        }
        fill(&client, 600, 900).await;
        assert_eq!(value_of(&client.read().await.unwrap(), "last"), Some(899));
    });
}

#[test]
fn without_history_the_log_begins_behind_the_newest_run() {
    let mut world = World::new(41);
    world.config.history = HistoryPolicy { age: Duration::ZERO, bytes: 0 };
    world.live(async |world| {
        let node = world.start().await.unwrap();
        let client = gateway(&node).await;
        fill(&client, 0, 300).await;
        until(41, &node, "a purge", |status| status.purged_index.0 > 0).await;
        until(41, &node, "the newest purge", |status| status.purged_index == status.run_index).await;
        assert!(node.status().log.first_index > Some(1));
    });
    world.files.crash();
    world.live(async |world| {
        let node = world.start().await.unwrap();
        let client = gateway(&node).await;
        assert_eq!(value_of(&client.read().await.unwrap(), "last"), Some(299));
    });
}

#[test]
fn garbage_gets_its_run_in_time_although_nothing_else_is_written() {
    let mut world = World::new(42);
    world.config.cut = CutPolicy { garbage_age: Duration::from_secs(600), ..CutPolicy::default() };
    world.live(async |world| {
        let node = world.start().await.unwrap();
        let client = gateway(&node).await;
        let ticket = client.begin_write();
        let geometry = Geometry::new(2, 2).unwrap();
        let shape = StripeShape::holding(100_000, geometry, 64 * 1024).unwrap();
        let positions = (0..4).map(|n| PlacedChunk { drive: DriveId(n), write: ticket.another() }).collect();
        let stripe = StripeId(ticket.id());
        let made = Operation::MakeStripe { id: stripe, shape, positions };
        let outcomes = client.propose(vec![made, Operation::SettleStripe { id: stripe }]).await.unwrap();
        assert_eq!(outcomes, [Outcome::Done, Outcome::Done]);
        let garbage_at = node.status().applied_index;
        drop(ticket);
        assert_eq!(node.status().run_index, at(0));
        tokio::time::sleep(Duration::from_secs(620)).await;
        assert!(node.status().run_index >= garbage_at);
        let view = client.read().await.unwrap();
        assert!(due_until(&view).unwrap() > garbage_at, "every session and every voter has passed it");
        let runs = node.status().run_index;
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(node.status().run_index, runs, "no garbage since, so no run");
    });
}

#[test]
fn a_directory_that_fails_is_passed_over() {
    let mut world = World::new(43);
    world.live(async |world| {
        let node = world.start().await.unwrap();
        let client = gateway(&node).await;
        world.files.fail_next(Disk::SyncDir, "/d0/runs");
        fill(&client, 0, 200).await;
        until(43, &node, "a run in spite of it", |status| status.run_index.0 > 0).await;
        assert_eq!(node.status().run_error, None);
        let runs = world.files.shared().list(&dir(3).join("runs")).unwrap();
        assert!(!runs.is_empty(), "the fourth directory has taken the place of the first");
    });
    world.files.crash();
    world.live(async |world| {
        let node = world.start().await.unwrap();
        let client = gateway(&node).await;
        assert_eq!(value_of(&client.read().await.unwrap(), "last"), Some(199));
    });
}

#[test]
fn a_copy_that_was_lost_is_written_again() {
    let mut world = World::new(44);
    world.live(async |world| {
        let node = world.start().await.unwrap();
        let client = gateway(&node).await;
        fill(&client, 0, 200).await;
        until(44, &node, "a run", |status| status.run_index.0 > 0).await;
        client.close().await;
        node.close().await.unwrap();
    });
    let files = world.files.shared();
    let runs = dir(0).join("runs");
    let names = |files: &dyn Files| files.list(&runs).unwrap().into_iter().map(|entry| entry.name).collect::<Vec<_>>();
    let before = names(&*files);
    assert!(!before.is_empty());
    for name in &before {
        files.remove(&runs.join(name)).unwrap();
    }
    files.sync_dir(&runs).unwrap();
    world.live(async |world| {
        let node = world.start().await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(names(&*world.files.shared()), before);
        assert_eq!(value_of(&gateway(&node).await.read().await.unwrap(), "last"), Some(199));
    });
}

#[test]
fn rows_that_cannot_be_read_stop_the_node() {
    let mut world = World::new(45);
    world.live(async |world| {
        let node = world.start().await.unwrap();
        let client = gateway(&node).await;
        fill(&client, 0, 200).await;
        until(45, &node, "a run", |status| status.run_index.0 > 0).await;
        client.close().await;
        node.close().await.unwrap();
    });
    // Every copy of every run loses its first blocks; header and footer are intact, so the runs open.
    let files = world.files.shared();
    for drive in 0..DRIVES {
        let runs = dir(drive).join("runs");
        for run in files.list(&runs).unwrap() {
            for byte in [4200, 4300, 4400] {
                world.files.flip_bit(&runs.join(&run.name), byte, 3).unwrap();
            }
        }
    }
    world.live(async |world| {
        let failure = match world.start().await {
            Err(StartError::Stopped(failure)) => failure,
            Err(other) => panic!("{other}"),
            Ok(node) => {
                let client = gateway(&node).await;
                let result = client.propose(vec![write("k0", 1)]).await;
                assert!(matches!(result, Err(ProposeError::Unavailable(_))), "{result:?}");
                node.failed().await
            }
        };
        assert!(matches!(failure, NodeFailure::Rows { .. }), "{failure}");
    });
    // From here on it is said at the start, before anything is believed.
    world.live(async |world| {
        let error = world.start().await.err().unwrap();
        assert!(matches!(error, StartError::Rows(_)), "{error}");
    });
}

#[test]
fn a_copy_that_rots_while_nobody_reads_it_is_found_and_written_again() {
    let mut world = World::new(46);
    world.config.scrub_every = Duration::from_secs(3600);
    world.live(async |world| {
        let node = world.start().await.unwrap();
        let client = gateway(&node).await;
        fill(&client, 0, 200).await;
        until(46, &node, "a run", |status| status.run_index.0 > 0).await;
        let files = world.files.shared();
        let runs = dir(1).join("runs");
        let path = runs.join(&files.list(&runs).unwrap()[0].name);
        let bytes = || {
            let file = files.open(&path).unwrap();
            let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
            file.read_exact_at(&mut bytes, 0).unwrap();
            bytes
        };
        let before = bytes();
        world.files.flip_bit(&path, 4300, 3).unwrap();
        assert_ne!(bytes(), before);
        // The first round begins a minute after the start; before the next run takes this one's place.
        tokio::time::sleep(Duration::from_secs(90)).await;
        assert_eq!(bytes(), before);
        assert_eq!(node.status().run_error, None);
        assert!(node.status().failure.is_none());
    });
}

#[test]
fn one_nodes_rotten_runs_are_replaced_by_what_the_others_have() {
    Cluster::run(48, async |cluster| {
        (cluster.history_bytes, cluster.scrub_every) = (0, Duration::from_secs(600));
        let client = cluster.form(3).await;
        fill(&client, 0, 400).await;
        let away = (1 + cluster.leader().await) % 3;
        let client = cluster.node((away + 1) % 3).client(SessionKind::Gateway).await.unwrap();
        until(48, &cluster.node(away), "a run", |status| status.run_index.0 > 0).await;
        let files = cluster.machines[away].files.shared();
        for drive in 0..3 {
            let runs = dir(drive).join("runs");
            for run in files.list(&runs).unwrap() {
                cluster.machines[away].files.flip_bit(&runs.join(&run.name), 4300, 3).unwrap();
            }
        }
        // Nobody asks it for the row that is gone; it finds out by itself, and stops rather than go on with a hole.
        let failure = within(48, "what it finds", cluster.node(away).failed()).await;
        assert!(matches!(failure, NodeFailure::Rows { .. }), "{failure}");
        cluster.kill(away).await;
        client.propose(vec![write("last", 1000)]).await.unwrap();
        match cluster.start(away).await {
            Err(StartError::Rows(error)) => assert!(error.to_string().contains("block"), "{error}"),
            other => panic!("{:?}", other.map(|node| node.status())),
        }
        // Once the others have given it another id, and not before, its old log and its runs go.
        cluster.wipe(away);
        cluster.rejoin(&client, away).await;
        client.seat(cluster.machines[away].member).await.unwrap();
        let there = cluster.node(away).client(SessionKind::Gateway).await.unwrap();
        assert_eq!(value_of(&there.read().await.unwrap(), "last"), Some(1000));
    });
}
