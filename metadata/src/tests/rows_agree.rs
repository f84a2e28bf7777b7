//! One function, two kinds of rows: what the log amounts to is the same in a map and in runs with an overlay, at every entry,
//! through cuts, merges and crashes.

use std::ops::ControlFlow;

use bytes::Bytes;
use cairn_core::{BucketId, BucketName, DriveId, ExtentId, Geometry, LogIndex, ObjectKey, StripeId, StripeShape};
use cairn_machine::operation::{Conditions, EtagCondition, NewContent, NewExtent, NewPlace, VersionChoice};
use cairn_machine::rows::bucket::Versioning;
use cairn_machine::rows::object::{Attributes, ContentHeaders, Etag};
use cairn_machine::rows::profile::ProfileId;
use cairn_machine::rows::stripe::PlacedChunk;
use cairn_machine::{MapRows, Operation, Outcome, RowSource, apply};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::world::{World, gateway, write};
use crate::{Client, HistoryPolicy, LogContent, MetadataNode};

/// What random clients work on.
struct Work {
    random: StdRng,
    buckets: Vec<BucketId>,
    made: u64,
}

impl Work {
    fn key(&mut self) -> ObjectKey {
        ObjectKey::new(format!("k{}", self.random.random_range(0..12))).unwrap()
    }

    fn bucket(&mut self) -> BucketId {
        // Now and then one that is not there.
        match self.buckets.len() {
            0 => BucketId(77),
            count => self.buckets[self.random.random_range(0..count)],
        }
    }

    fn conditions(&mut self) -> Conditions {
        let etag = match self.random.random_range(0..8) {
            0 => Some(EtagCondition::Any),
            1 => Some(EtagCondition::OneOf(vec![Etag { md5: [1; 16], parts: None }])),
            _ => None,
        };
        match self.random.random_bool(0.5) {
            true => Conditions { if_match: etag, ..Conditions::default() },
            false => Conditions { if_none_match: etag, ..Conditions::default() },
        }
    }

    fn put(&mut self, client: &Client, extent: NewExtent) -> Operation {
        let attributes = Attributes {
            size: u64::from(extent.length),
            etag: Etag { md5: [self.random.random_range(0..3); 16], parts: None },
            profile: ProfileId::STANDARD,
            headers: ContentHeaders::default(),
            metadata: vec![],
            checksum: None,
            tags: None,
            upload: None,
            lock: None,
            acl: None,
        };
        Operation::PutObject {
            bucket: self.bucket(),
            key: self.key(),
            attributes,
            content: NewContent::Extents(vec![extent]),
            conditions: self.conditions(),
            session: client.session(),
        }
    }

    /// What one request may ask for.
    fn request(&mut self, client: &Client) -> Vec<Operation> {
        let ticket = client.begin_write();
        let length = self.random.random_range(1..3000);
        match self.random.random_range(0..20) {
            0 => {
                self.made += 1;
                let name = BucketName::new(format!("bucket-{}", self.random.random_range(0..4))).unwrap();
                vec![Operation::CreateBucket { name, owner: "o".into(), lock: None, acl: None }]
            }
            1 => vec![Operation::DeleteBucket { id: self.bucket() }],
            2 => {
                let versioning = [Versioning::Enabled, Versioning::Suspended][self.random.random_range(0..2)];
                vec![Operation::SetVersioning { id: self.bucket(), versioning }]
            }
            3..9 => {
                let place = NewPlace::Here(vec![7; length as usize].into());
                let id = ExtentId { write: ticket.id(), ordinal: 0 };
                vec![self.put(client, NewExtent { id, length, place })]
            }
            9..13 => {
                let stripe = StripeId(ticket.id());
                let geometry = Geometry::new(2, 2).unwrap();
                let count = self.random.random_range(1..5);
                let shape = StripeShape::holding(3000 * u64::from(count), geometry, 4096).unwrap();
                let positions = (0..4).map(|n| PlacedChunk { drive: DriveId(n), write: ticket.another() }).collect();
                let mut operations = vec![Operation::MakeStripe { id: stripe, shape, positions }];
                for ordinal in 0..count {
                    let place = NewPlace::Stripe { stripe, offset: u64::from(ordinal) * 3000 };
                    let id = ExtentId { write: stripe.0, ordinal };
                    operations.push(self.put(client, NewExtent { id, length, place }));
                }
                operations.push(Operation::SettleStripe { id: stripe });
                operations
            }
            13..18 => {
                let (bucket, key, conditions) = (self.bucket(), self.key(), self.conditions());
                let version = [VersionChoice::Newest, VersionChoice::Null][self.random.random_range(0..2)];
                vec![Operation::DeleteObject { bucket, key, version, conditions, bypass: None }]
            }
            _ => vec![write(&format!("r{}", self.random.random_range(0..5)), u64::from(length))],
        }
    }

    async fn some(&mut self, client: &Client, requests: usize) {
        for _ in 0..requests {
            let operations = self.request(client);
            for outcome in client.propose(operations).await.unwrap() {
                if let Outcome::BucketCreated(bucket) = outcome {
                    self.buckets.push(bucket);
                }
            }
        }
    }
}

/// Applies what the log holds from an entry on to a map.
async fn replay(node: &MetadataNode, rows: &mut MapRows, next: &mut LogIndex) {
    loop {
        let page = node.read_log(*next).await.unwrap();
        *next = page.next;
        for entry in &page.entries {
            if let LogContent::Batch(batch) = &entry.content {
                rows.apply(apply(rows, entry.index, batch).unwrap().effects);
            }
        }
        if page.entries.is_empty() {
            return;
        }
    }
}

fn hash(rows: &impl RowSource) -> (u64, blake3::Hash) {
    let (mut count, mut hasher) = (0, blake3::Hasher::new());
    let mut add = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_be_bytes()).update(bytes);
    };
    rows.scan(&[], None, &mut |key: &[u8], value: &Bytes| {
        count += 1;
        add(key);
        add(value);
        ControlFlow::Continue(())
    })
    .unwrap();
    (count, hasher.finalize())
}

#[test]
fn a_map_and_the_real_rows_have_the_same_hash_after_any_operations() {
    for seed in 80..84 {
        let mut world = World::new(seed);
        // All of the log is kept, so that it can be applied from the beginning; runs are cut and merged all the same.
        world.config.history = HistoryPolicy { bytes: u64::MAX, ..HistoryPolicy::default() };
        let mut work = Work { random: StdRng::seed_from_u64(seed), buckets: Vec::new(), made: 0 };
        let (mut map, mut next) = (MapRows::default(), LogIndex(0));
        for life in 0..3 {
            world.live_and_crash(async |world| {
                let node = world.start().await.unwrap();
                let client = gateway(&node).await;
                for round in 0..6 {
                    work.some(&client, 40).await;
                    let view = client.read().await.unwrap();
                    replay(&node, &mut map, &mut next).await;
                    // The view may be of an earlier entry than the log that was read: a session is renewed at any time.
                    let view = if next.0 == view.index().0 + 1 { view } else { client.read_stale() };
                    assert_eq!(next.0, view.index().0 + 1, "seed {seed}");
                    let (mine, theirs) = (hash(&map), hash(&view));
                    assert_eq!(mine, theirs, "seed {seed}, life {life}, round {round}");
                }
                assert!(node.status().run_index.0 > 0, "seed {seed}: no run was cut, so nothing was compared with one");
            });
        }
        assert!(map.0.len() > 50 && work.made > 1, "seed {seed}: too little happened");
    }
}
