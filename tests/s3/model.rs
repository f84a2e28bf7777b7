//! Ten thousand random operations against a model in memory, without a disagreement. `CAIRN_LONG=1` makes ten times as
//! many.
//!
//! Some workers run side by side, each with two buckets of its own: one that never had versions, one in which they are
//! switched on and suspended as it comes. A worker's operations depend on the seed alone, and each is judged by the model
//! before the next is drawn; so a disagreement comes again with the seed.
//!
//! - [`bucket`]: what a bucket holds, and what S3 answers, as plain data
//! - [`worker`]: the choice of the next operation, and what all operations share
//! - [`objects`], [`copies`], [`uploads`], [`listings`]: the operations

mod bucket;
mod copies;
mod listings;
mod objects;
mod uploads;
mod worker;

use std::time::Instant;

use cairn_harness::Seed;

use crate::{fresh, sdk};
use worker::Worker;

const WORKERS: usize = 4;
const OPERATIONS: usize = 10_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_operations_agree_with_a_model() {
    let seed = Seed::take("ten thousand operations");
    let long = std::env::var_os("CAIRN_LONG").is_some_and(|value| value != "0");
    let operations = if long { 10 * OPERATIONS } else { OPERATIONS };
    let home = tempfile::tempdir().unwrap();
    let server = fresh(&home).start();
    let began = Instant::now();
    let workers: Vec<_> = (0..WORKERS)
        .map(|number| {
            let generator = Seed(seed.0.wrapping_add(number as u64)).generator();
            let worker = Worker::new(number, sdk::client(&server), generator);
            tokio::spawn(worker.run(operations / WORKERS))
        })
        .collect();
    let mut done = worker::Tally::default();
    for worker in workers {
        // A panic of a worker has said what was wrong; this makes it the test's.
        done.add(&worker.await.expect("no disagreement"));
    }
    eprintln!("{operations} operations in {:.1?}: {done}", began.elapsed());
}
