//! Clocks that are wrong: what they end, and what people see of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cairn_core::{BucketId, BucketName, ObjectKey, VersionId, WallTime};
use cairn_machine::operation::{Conditions, NewContent, VersionChoice};
use cairn_machine::rows::lock::{BucketLock, Retention, RetentionMode, VersionLock};
use cairn_machine::rows::object::{Attributes, ContentHeaders, Etag};
use cairn_machine::rows::profile::ProfileId;
use cairn_machine::rows::session::SessionKind;
use cairn_machine::{Operation, Outcome, Refusal};

use super::cluster::Cluster;
use super::world::{World, gateway};
use crate::Client;

const HOUR: Duration = Duration::from_secs(3600);
const TEN_YEARS_MS: u64 = 10 * 365 * 24 * 3_600_000;

async fn one(client: &Client, operation: Operation) -> Outcome {
    client.propose(vec![operation]).await.unwrap().remove(0)
}

async fn locked_bucket(client: &Client) -> BucketId {
    let lock = Some(BucketLock::default());
    let name = BucketName::new("locked").unwrap();
    match one(client, Operation::CreateBucket { name, owner: "root".into(), lock, acl: None }).await {
        Outcome::BucketCreated(bucket) => bucket,
        other => panic!("{other:?}"),
    }
}

fn key() -> ObjectKey {
    ObjectKey::new("k").unwrap()
}

/// An empty object; its version, and its date.
async fn put(client: &Client, bucket: BucketId, lock: Option<VersionLock>) -> (VersionId, WallTime) {
    let attributes = Attributes {
        size: 0,
        etag: Etag { md5: [7; 16], parts: None },
        profile: ProfileId::STANDARD,
        headers: ContentHeaders::default(),
        metadata: Vec::new(),
        checksum: None,
        tags: None,
        upload: None,
        lock,
        acl: None,
    };
    let (content, conditions, session) = (NewContent::Extents(vec![]), Conditions::default(), client.session());
    let put = Operation::PutObject { bucket, key: key(), attributes, content, conditions, session };
    match one(client, put).await {
        Outcome::Put { version, modified, .. } => (version, modified),
        other => panic!("{other:?}"),
    }
}

/// An object that is to stay for an hour.
async fn put_for_an_hour(client: &Client, bucket: BucketId) -> (VersionId, WallTime) {
    let (_, now) = put(client, bucket, None).await;
    let until = WallTime(now.0 + 3_600_000);
    let retention = Some(Retention { mode: RetentionMode::Compliance, until });
    (put(client, bucket, Some(VersionLock { retention, legal_hold: None })).await.0, until)
}

/// Whether a lock keeps it from being deleted.
async fn is_kept(client: &Client, bucket: BucketId, version: VersionId) -> bool {
    let (version, conditions) = (VersionChoice::Exactly(version), Conditions::default());
    match one(client, Operation::DeleteObject { bucket, key: key(), version, conditions, bypass: None }).await {
        Outcome::Refused(Refusal::Locked) => true,
        Outcome::Deleted { .. } => false,
        other => panic!("{other:?}"),
    }
}

fn set(clock: &AtomicU64, ahead_ms: u64) {
    clock.store(ahead_ms, Ordering::Relaxed);
}

#[test]
fn a_leader_ten_years_ahead_ends_no_lock_and_dates_nothing_ahead() {
    Cluster::run(95, async |cluster| {
        cluster.form(3).await;
        let leader = cluster.leader().await;
        let client = cluster.node((leader + 1) % 3).client(SessionKind::Gateway).await.unwrap();
        let bucket = locked_bucket(&client).await;
        let (version, until) = put_for_an_hour(&client, bucket).await;
        set(&cluster.machines[leader].clock_ahead, TEN_YEARS_MS);
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert!(is_kept(&client, bucket, version).await);
            let (_, date) = put(&client, bucket, None).await;
            assert!(date < until, "a date of the future: {date:?}, {until:?}");
        }
        assert_eq!(cluster.leader().await, leader, "it leads all the time");
        // Whoever leads next does not have to wait ten years for its own clock.
        cluster.kill(leader).await;
        let before = loop {
            if let Ok(view) = client.read().await {
                break view.index();
            }
        };
        tokio::time::sleep(Duration::from_secs(60)).await;
        let (_, first) = put(&client, bucket, None).await;
        tokio::time::sleep(Duration::from_secs(300)).await;
        let (_, second) = put(&client, bucket, None).await;
        assert!(second.0 - first.0 >= 200_000, "time stands still: {first:?}, {second:?}, behind {before}");
        assert!(is_kept(&client, bucket, version).await);
        tokio::time::sleep(HOUR).await;
        assert!(!is_kept(&client, bucket, version).await, "an hour is over by everybody's clock");
    });
}

#[test]
fn a_majority_of_clocks_is_believed() {
    Cluster::run(96, async |cluster| {
        cluster.form(3).await;
        let leader = cluster.leader().await;
        let client = cluster.node(leader).client(SessionKind::Gateway).await.unwrap();
        let bucket = locked_bucket(&client).await;
        let (version, _) = put_for_an_hour(&client, bucket).await;
        // All were off, or asleep, for two hours.
        for machine in 0..3 {
            assert!(is_kept(&client, bucket, version).await, "{machine} clocks say so");
            set(&cluster.machines[(leader + machine) % 3].clock_ahead, 2 * 3_600_000);
            tokio::time::sleep(Duration::from_secs(30)).await;
            if machine == 1 {
                break;
            }
        }
        assert!(!is_kept(&client, bucket, version).await);
    });
}

#[test]
fn who_is_alone_dates_by_its_clock_and_ends_no_lock_before_its_operator_agrees() {
    let mut world = World::new(97);
    let (bucket, version, until) = world.live(async |world| {
        let node = world.start().await.unwrap();
        let client = gateway(&node).await;
        let bucket = locked_bucket(&client).await;
        let (version, until) = put_for_an_hour(&client, bucket).await;
        set(&world.clock_ahead, TEN_YEARS_MS);
        assert!(is_kept(&client, bucket, version).await);
        assert!(put(&client, bucket, None).await.1.0 > TEN_YEARS_MS, "people look at the clock");
        client.close().await;
        node.close().await.unwrap();
        (bucket, version, until)
    });
    // A restart does not make the clock right.
    world.live(async |world| {
        let node = world.start().await.unwrap();
        let client = gateway(&node).await;
        tokio::time::sleep(HOUR / 2).await;
        assert!(is_kept(&client, bucket, version).await);
        let believed = node.believe_clock().unwrap();
        assert!(believed > until);
        assert!(!is_kept(&client, bucket, version).await);
        client.close().await;
        node.close().await.unwrap();
    });
}
