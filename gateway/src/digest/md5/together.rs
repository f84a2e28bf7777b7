//! Streams that happen to be hashed at the same time, in step.
//!
//! ```text
//! update --+                     +-- lane --> answered when its bytes are through; the next that waits takes its place
//! update --+--> those that wait --+-- lane
//! update --+                     +-- lane     one job of the coding pool; another one only when these are full
//! ```
//! Nobody waits for company: whoever comes alone is hashed alone, at once, and those who come meanwhile join a moment later.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use cairn_erasure::CodingPool;
use tokio::sync::oneshot;

use super::{BLOCK_BYTES, Block, LANES, RunningMd5, advance};

/// How many blocks are taken before somebody may join: 64 KiB, so that joining takes less than a tenth of a millisecond.
const BLOCKS_IN_STEP: usize = 1024;

/// Hashes streams together. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Together {
    pool: CodingPool,
    shared: Arc<Mutex<Waiting>>,
}

/// The bytes of callers hold their own memory, and a caller waits for its answer: so there are as many as there are writes.
#[derive(Debug, Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    /// How many jobs of the pool are hashing, or about to.
    running: usize,
}

#[derive(Debug)]
struct Job {
    md5: RunningMd5,
    bytes: Bytes,
    at: usize,
    reply: oneshot::Sender<RunningMd5>,
}

impl Job {
    /// What is left of its bytes, in whole blocks.
    fn blocks(&self) -> &[Block] {
        self.bytes[self.at..].as_chunks().0
    }

    /// The stream and its next blocks, which are taken herewith.
    fn next(&mut self, count: usize) -> (&mut RunningMd5, &[Block]) {
        let run = &self.bytes[self.at..].as_chunks().0[..count];
        self.at += count * BLOCK_BYTES;
        (&mut self.md5, run)
    }
}

impl Together {
    /// Hashes on this pool.
    pub fn new(pool: CodingPool) -> Self {
        Self { pool, shared: Arc::default() }
    }

    /// Where it hashes.
    pub fn pool(&self) -> &CodingPool {
        &self.pool
    }

    /// A stream's MD5 after the next bytes.
    pub async fn update(&self, md5: RunningMd5, bytes: Bytes) -> RunningMd5 {
        let (reply, answer) = oneshot::channel();
        let length = bytes.len();
        let begin = {
            let mut waiting = lock(&self.shared);
            waiting.jobs.push_back(Job { md5, bytes, at: 0, reply });
            // As many as fill the lanes wait although somebody is hashing: the others are full too.
            let begin = waiting.running == 0 || waiting.jobs.len() >= LANES;
            waiting.running += usize::from(begin);
            begin
        };
        if begin {
            let (pool, shared) = (self.pool.clone(), Arc::clone(&self.shared));
            // A task of its own: it hashes for others too, and must not end with this caller.
            tokio::spawn(async move { pool.run(length, move || hash(&shared)).await });
        }
        match answer.await {
            Ok(md5) => md5,
            // Its job has panicked, which is said there, or the runtime is shutting down and whoever waits here goes with it.
            Err(_) => std::future::pending().await,
        }
    }
}

fn lock(shared: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hashes until nobody waits and every lane is through.
fn hash(shared: &Mutex<Waiting>) {
    let mut lanes: Vec<Job> = Vec::with_capacity(LANES);
    loop {
        {
            let mut waiting = lock(shared);
            while lanes.len() < LANES
                && let Some(job) = waiting.jobs.pop_front()
            {
                lanes.push(begun(job));
            }
            if lanes.is_empty() {
                waiting.running -= 1;
                return;
            }
        }
        let count = lanes.iter().map(|job| job.blocks().len()).min().unwrap_or(0).min(BLOCKS_IN_STEP);
        let mut streams: Vec<_> = lanes.iter_mut().map(|job| job.next(count)).collect();
        advance(&mut streams);
        for job in lanes.extract_if(.., |job| job.blocks().is_empty()) {
            let Job { mut md5, bytes, at, reply } = job;
            md5.update(&bytes[at..]);
            // A caller that has gone is not missed.
            drop(reply.send(md5));
        }
    }
}

/// A job that has got its lane: what a block lacks comes first, so that it can go in step.
fn begun(mut job: Job) -> Job {
    let rest = job.md5.align(&job.bytes).len();
    job.at = job.bytes.len() - rest;
    job
}

#[cfg(test)]
mod tests {
    use cairn_erasure::testing::bytes_of;
    use futures::future::join_all;

    use super::super::tests::reference;
    use super::*;

    /// Streams of any lengths and cuts, all at once: each gets its own digest.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn every_stream_gets_its_own_digest_whoever_it_meets() {
        for pool in [CodingPool::per_core(), CodingPool::inline()] {
            let together = Together::new(pool);
            let streams = (0..23u64).map(|number| {
                let together = together.clone();
                tokio::spawn(async move {
                    let bytes = bytes_of(number, (number * 77_777 % 400_003) as usize);
                    let (mut md5, mut rest) = (RunningMd5::default(), bytes.clone());
                    let cut = 1 + (number * 31_337 % 150_000) as usize;
                    while !rest.is_empty() {
                        let now = rest.split_to(cut.min(rest.len()));
                        md5 = together.update(md5, now).await;
                    }
                    assert_eq!(md5.finish(), reference(&bytes), "stream {number}");
                })
            });
            join_all(streams).await.into_iter().for_each(|joined| joined.unwrap());
            assert_eq!(lock(&together.shared).running, 0, "whoever hashed has ended");
        }
    }

    #[tokio::test]
    async fn nothing_is_lost_when_a_caller_goes() {
        let together = Together::new(CodingPool::per_core());
        let gone = tokio::spawn({
            let together = together.clone();
            async move { together.update(RunningMd5::default(), bytes_of(1, 5_000_000)).await }
        });
        tokio::task::yield_now().await;
        gone.abort();
        let bytes = bytes_of(2, 1_000_000);
        let md5 = together.update(RunningMd5::default(), bytes.clone()).await;
        assert_eq!(md5.finish(), reference(&bytes));
    }
}
