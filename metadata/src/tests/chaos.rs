//! Clients on all nodes while machines lose their power, the network breaks, and messages are lost: nothing acknowledged
//! is lost, and what clients saw has an order. In the end, when the faults have stopped, the cluster serves again in time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cairn_core::{BucketId, BucketName, ObjectKey, SessionId};
use cairn_machine::operation::{Conditions, EtagCondition, NewContent};
use cairn_machine::rows::object::{Attributes, ContentHeaders, Etag};
use cairn_machine::rows::profile::ProfileId;
use cairn_machine::rows::session::SessionKind;
use cairn_machine::{Operation, Outcome, Refusal};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;

use super::cluster::{CALM, Cluster, STORM};
use super::history::{Answer, Ask, Event, is_linearizable};
use super::world::within;
use crate::{Client, MetadataNode, View, query};

const KEYS: u64 = 3;
const CLIENTS_PER_NODE: u64 = 2;
const FAULTS: usize = 6;

/// What all clients saw, by key.
type Histories = Arc<Mutex<BTreeMap<u64, Vec<Event>>>>;

fn etag(value: u64) -> Etag {
    Etag { md5: u128::from(value).to_be_bytes(), parts: None }
}

fn key(number: u64) -> ObjectKey {
    ObjectKey::new(format!("k{number}")).unwrap()
}

fn value_of(view: &View, bucket: BucketId, number: u64) -> Option<u64> {
    let row = query::newest(view, bucket, &key(number)).unwrap()?;
    let (attributes, _) = row.object().expect("nothing is deleted");
    Some(u128::from_be_bytes(attributes.etag.md5) as u64)
}

fn put(bucket: BucketId, number: u64, value: u64, conditions: Conditions, session: SessionId) -> Operation {
    let attributes = Attributes {
        size: 0,
        etag: etag(value),
        profile: ProfileId::STANDARD,
        headers: ContentHeaders::default(),
        metadata: vec![],
        checksum: None,
        tags: None,
        upload: None,
        lock: None,
        acl: None,
    };
    let content = NewContent::Extents(vec![]);
    Operation::PutObject { bucket, key: key(number), attributes, content, conditions, session }
}

/// One client: asks, and notes what it was told, until its node is gone.
struct Customer {
    client: Client,
    bucket: BucketId,
    random: StdRng,
    histories: Histories,
    values: Arc<Mutex<u64>>,
}

impl Customer {
    async fn live(mut self, until: Instant) {
        while Instant::now() < until {
            let number = self.random.random_range(0..KEYS);
            let called = Instant::now();
            let (ask, answer, gone) = match self.random.random_range(0..3) {
                0 => self.read(number).await,
                1 => self.write(number, None).await,
                _ => {
                    let seen = match self.client.read().await {
                        Ok(view) => value_of(&view, self.bucket, number),
                        Err(_) => continue,
                    };
                    self.write(number, Some(seen)).await
                }
            };
            let answered = answer.map(|answer| (Instant::now(), answer));
            self.histories.lock().unwrap().entry(number).or_default().push(Event { ask, called, answered });
            if gone {
                return;
            }
            let pause = self.random.random_range(0..40);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    async fn read(&mut self, number: u64) -> (Ask, Option<Answer>, bool) {
        match self.client.read().await {
            Ok(view) => (Ask::Read, Some(Answer::Value(value_of(&view, self.bucket, number))), false),
            Err(crate::ReadError::Closed) => (Ask::Read, None, true),
            Err(_) => (Ask::Read, None, false),
        }
    }

    async fn write(&mut self, number: u64, seen: Option<Option<u64>>) -> (Ask, Option<Answer>, bool) {
        let value = {
            let mut values = self.values.lock().unwrap();
            *values += 1;
            *values
        };
        let (ask, conditions) = match seen {
            None => (Ask::Write(value), Conditions::default()),
            Some(None) => {
                let if_none_match = Some(EtagCondition::Any);
                (Ask::Swap(None, value), Conditions { if_none_match, ..Conditions::default() })
            }
            Some(Some(old)) => {
                let if_match = Some(EtagCondition::OneOf(vec![etag(old)]));
                (Ask::Swap(Some(old), value), Conditions { if_match, ..Conditions::default() })
            }
        };
        let session = self.client.session();
        let put = put(self.bucket, number, value, conditions, session);
        match self.client.propose(vec![put]).await.as_deref() {
            Ok([Outcome::Put { .. }]) => (ask, Some(Answer::Done), false),
            Ok([Outcome::Refused(Refusal::PreconditionFailed | Refusal::NoSuchKey)]) => {
                (ask, Some(Answer::Differs), false)
            }
            Ok([Outcome::Refused(Refusal::SessionEnded)]) => (ask, None, false),
            Ok(other) => panic!("{other:?}"),
            Err(crate::ProposeError::Closed) => (ask, None, true),
            Err(_) => (ask, None, false),
        }
    }
}

struct Chaos {
    bucket: BucketId,
    random: StdRng,
    histories: Histories,
    values: Arc<Mutex<u64>>,
    end: Instant,
}

impl Chaos {
    /// Clients of a node that has just come up.
    fn serve(&mut self, node: &MetadataNode) {
        for _ in 0..CLIENTS_PER_NODE {
            let (bucket, end) = (self.bucket, self.end);
            let (histories, values) = (self.histories.clone(), self.values.clone());
            let random = StdRng::seed_from_u64(self.random.random());
            let node = node.clone();
            let tasks = node.inner.tasks.clone();
            tasks.spawn(async move {
                let client = loop {
                    match node.client(SessionKind::Gateway).await {
                        Ok(client) => break client,
                        Err(crate::ProposeError::Closed) => return,
                        Err(_) if Instant::now() >= end => return,
                        Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                    }
                };
                drop(node);
                Customer { client, bucket, random, histories, values }.live(end).await;
            });
        }
    }
}

async fn chaos(cluster: &mut Cluster, voters: usize) -> (u64, usize) {
    let seed = cluster.seed;
    let client = cluster.form(voters).await;
    let create = Operation::CreateBucket {
        name: BucketName::new("chaos").unwrap(),
        owner: "root".into(),
        lock: None,
        acl: None,
    };
    let outcomes = client.propose(vec![create]).await.unwrap();
    let [Outcome::BucketCreated(bucket)] = outcomes[..] else { panic!("seed {seed}: {outcomes:?}") };
    drop(client);
    let mut chaos = Chaos {
        bucket,
        random: StdRng::seed_from_u64(seed),
        histories: Histories::default(),
        values: Arc::default(),
        end: Instant::now() + Duration::from_secs(3 * FAULTS as u64 + 6),
    };
    for machine in 0..voters {
        chaos.serve(&cluster.node(machine));
    }
    for _ in 0..FAULTS {
        tokio::time::sleep(Duration::from_millis(chaos.random.random_range(100..3000))).await;
        let down: Vec<_> = (0..voters).filter(|&n| cluster.machines[n].running.is_none()).collect();
        match chaos.random.random_range(0..8) {
            0 => cluster.net.weather(STORM),
            1 => cluster.net.weather(CALM),
            2 => cluster.net.part(&[]),
            3 => {
                let apart = chaos.random.random_range(0..voters);
                cluster.net.part(&[apart]);
            }
            4 => {
                let leads = |n: &usize| {
                    let status = cluster.machines[*n].running.as_ref().map(MetadataNode::status);
                    status.is_some_and(|status| status.leader == Some(status.voter))
                };
                if let Some(leader) = (0..voters).find(leads) {
                    cluster.kill(leader).await;
                }
            }
            5 => cluster.kill(chaos.random.random_range(0..voters)).await,
            _ => {
                if let Some(&machine) = down.first() {
                    let node = cluster.start(machine).await.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
                    chaos.serve(&node);
                }
            }
        }
    }
    // The faults stop. From here on everybody must be served, soon.
    cluster.net.weather(CALM);
    cluster.net.part(&[]);
    for machine in 0..voters {
        if cluster.machines[machine].running.is_none() {
            cluster.start(machine).await.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        }
    }
    let healed = Instant::now();
    for machine in 0..voters {
        let node = cluster.node(machine);
        within(seed, "a node after the faults", node.ready()).await.unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        let client = node.client(SessionKind::Gateway).await.unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        client.read().await.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
    assert!(healed.elapsed() < Duration::from_secs(15), "seed {seed}: healed after {:?}", healed.elapsed());
    tokio::time::sleep_until(chaos.end + Duration::from_secs(6)).await;
    let histories = chaos.histories.lock().unwrap().clone();
    for (number, events) in histories.iter() {
        assert!(is_linearizable(events), "seed {seed}: no order explains key {number}");
    }
    // All voters tell the same story.
    let mut stories = std::collections::BTreeSet::new();
    within(seed, "the same story", async {
        loop {
            let all: Vec<_> = (0..voters).map(|machine| cluster.node(machine).status()).collect();
            stories = all.iter().map(|status| (status.applied_index, status.effects_hash)).collect();
            if stories.len() == 1 {
                return;
            }
            let at: std::collections::BTreeSet<_> = all.iter().map(|status| status.applied_index).collect();
            assert!(at.len() > 1, "seed {seed}: one index, several rows");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    })
    .await;
    let hash = stories.first().expect("there are voters").1;
    (u64::from_be_bytes(hash[..8].try_into().unwrap()), histories.values().map(Vec::len).sum())
}

#[test]
fn nothing_acknowledged_is_lost_and_what_was_seen_has_an_order() {
    let first: u64 = std::env::var("CAIRN_SEED").map_or(1, |seed| seed.parse().unwrap());
    let many = if std::env::var("CAIRN_LONG").is_ok() { 400 } else { 6 };
    let seeds = if std::env::var("CAIRN_SEED").is_ok() { 1 } else { many };
    let mut events = 0;
    for seed in first..first + seeds {
        let voters = if seed % 3 == 0 { 5 } else { 3 };
        let run = std::panic::catch_unwind(|| Cluster::run(seed, async |cluster| chaos(cluster, voters).await));
        events += run.unwrap_or_else(|_| panic!("CAIRN_SEED={seed} replays it")).1;
    }
    assert!(events as u64 > seeds * 300, "{events} operations in {seeds} runs are few");
}

#[test]
fn the_same_seed_gives_the_same_chaos() {
    let run = || Cluster::run(77, async |cluster| chaos(cluster, 3).await);
    assert_eq!(run(), run());
}
