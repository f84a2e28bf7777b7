//! A workload that remembers what it was told.

use std::collections::BTreeMap;

use bytes::Bytes;
use cairn_harness::{S3, seed};
use futures::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The bucket that everything goes to.
pub const BUCKET: &str = "chaos";

/// What a key may hold: what was acknowledged last, and what was tried since without an answer.
#[derive(Debug, Clone, Default)]
struct Expected {
    acknowledged: Option<Bytes>,
    maybe: Vec<Option<Bytes>>,
}

/// What the server has acknowledged, by key.
#[derive(Debug, Default)]
pub struct Memory {
    keys: BTreeMap<String, Expected>,
}

impl Memory {
    /// How many keys must be there.
    pub fn acknowledged(&self) -> usize {
        self.keys.values().filter(|expected| expected.acknowledged.is_some()).count()
    }

    /// The keys that must be listed, in order, once everything was read back.
    pub fn keys(&self) -> Vec<String> {
        self.keys.iter().filter(|(_, expected)| expected.acknowledged.is_some()).map(|(key, _)| key.clone()).collect()
    }

    /// Writes with several writers, each on keys of its own, until the server stops answering or the writes are done.
    /// Returns how many were acknowledged.
    pub async fn write(&mut self, s3: &S3, generator: &mut StdRng, writers: usize, writes: usize) -> usize {
        self.write_through(std::slice::from_ref(s3), generator, writers, writes).await
    }

    /// The same through several servers of one cluster: each writer keeps to one of them.
    pub async fn write_through(
        &mut self,
        through: &[S3],
        generator: &mut StdRng,
        writers: usize,
        writes: usize,
    ) -> usize {
        let jobs = (0..writers).map(|writer| {
            let s3 = &through[writer % through.len()];
            let mut own = StdRng::seed_from_u64(generator.random());
            async move {
                let mut told = Vec::new();
                for _ in 0..writes {
                    let key = format!("w{writer}/{}", own.random_range(0..40));
                    let delete = own.random_ratio(1, 10);
                    let body = (!delete).then(|| {
                        let length = match own.random_range(0..20) {
                            0 => own.random_range(0..6 << 20),
                            1..4 => own.random_range(0..300_000),
                            _ => own.random_range(0..9000),
                        };
                        seed::bytes(&mut own, length)
                    });
                    let answer = match &body {
                        Some(body) => s3.put(BUCKET, &key, body.clone()).await,
                        None => s3.delete(BUCKET, &key).await,
                    };
                    let happened = answer.happened();
                    let unknown = answer.status().is_none();
                    told.push((key, body, happened));
                    if unknown {
                        break;
                    }
                }
                told
            }
        });
        let mut acknowledged = 0;
        for (key, body, happened) in join_all(jobs).await.into_iter().flatten() {
            let expected = self.keys.entry(key).or_default();
            if happened {
                acknowledged += 1;
                // What was tried before without an answer may still happen.
                expected.acknowledged = body;
            } else {
                expected.maybe.push(body);
            }
        }
        acknowledged
    }

    /// Reads everything back. What a write without an answer may have left is taken for what it is from then on.
    pub async fn verify(&mut self, s3: &S3) {
        for (key, expected) in &mut self.keys {
            let answer = s3.get(BUCKET, key).await;
            let found = match answer.status() {
                Some(200) => Some(answer.ok()),
                Some(404) => None,
                _ => panic!("{key}: {answer:?}"),
            };
            let fits = found == expected.acknowledged || expected.maybe.contains(&found);
            assert!(
                fits,
                "{key}: found {:?} bytes, acknowledged were {:?}, tried without an answer {:?}",
                found.as_ref().map(Bytes::len),
                expected.acknowledged.as_ref().map(Bytes::len),
                expected.maybe.iter().map(|body| body.as_ref().map(Bytes::len)).collect::<Vec<_>>()
            );
            *expected = Expected { acknowledged: found, maybe: Vec::new() };
        }
    }
}
