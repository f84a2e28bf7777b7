//! A run from its beginning to its end: the stage is set, the load runs, the stage is cleared, whatever happened between.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cairn_core::clock::Elapsed;
use cairn_core::{Clock, Entropy};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::client::{Failure, S3Client};
use crate::endpoint::{Endpoint, EndpointError};
use crate::payload::Payload;
use crate::plan::{Plan, PlanError};
use crate::progress::{Progress, leave_line};
use crate::report::Report;
use crate::signature::Key;
use crate::stage::Stage;
use crate::tally::Tally;
use crate::worker::{Shared, Worker};

/// How long the bucket may take to be made, and each page of it to be removed.
const STAGE_PATIENCE: Duration = Duration::from_secs(600);

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The flags do not go together. Nothing was asked.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The address cannot be used. Nothing was asked.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The bucket cannot be had.
    #[error("the bucket cannot be made or used at {endpoint}: {failure}")]
    Bucket {
        /// Which server.
        endpoint: String,
        /// What it said.
        failure: Failure,
    },
    /// The objects that must be there beforehand cannot be put. What was put was removed again, if the server let us.
    #[error("objects cannot be put beforehand: {0}")]
    Prepare(Failure),
}

/// What a run comes to.
#[derive(Debug)]
pub struct Finished {
    /// The figures.
    pub report: Report,
    /// The bucket in which something was left although it was to be removed, and why.
    pub left: Option<(String, Failure)>,
}

/// Runs a plan against a server. `stop` ends it early, with figures of what was done until then.
pub async fn run(
    plan: Plan,
    endpoint: &str,
    key: Key,
    clock: Arc<dyn Clock>,
    entropy: &dyn Entropy,
    progress: Progress,
    stop: CancellationToken,
) -> Result<Finished, RunError> {
    plan.check()?;
    let address = Endpoint::parse(endpoint)?;
    let client = || S3Client::new(&address, key.clone(), &plan.region, Arc::clone(&clock));
    let mut own = client();
    let set = Stage::set(&mut own, plan.bucket.as_deref(), &plan.region, entropy.next_u64());
    let set = tokio::time::timeout(STAGE_PATIENCE.min(plan.timeout), set).await.unwrap_or(Err(Failure::TimedOut));
    let stage = set.map_err(|failure| RunError::Bucket { endpoint: endpoint.to_owned(), failure })?;
    let clients: Vec<S3Client> = (0..plan.concurrency).map(|_| client()).collect();
    let payload = Payload::new(entropy.next_u64());
    let tally = Mutex::new(Tally::default());
    let shared = Arc::new(Shared { plan, payload, stage, clock: Arc::clone(&clock), tally, stop });
    let mut workers: Vec<Worker> = (0u64..)
        .zip(clients)
        .map(|(number, client)| Worker::new(Arc::clone(&shared), client, number, entropy.next_u64()))
        .collect();

    workers = match prepare(workers, &shared, progress).await {
        Ok(workers) => workers,
        Err(failure) => {
            // What stands in the way of putting may stand in the way of removing; the first is what is told.
            drop(clear(&shared, &mut own, progress).await);
            return Err(RunError::Prepare(failure));
        }
    };
    let began = clock.elapsed();
    let until = Elapsed(began.0 + shared.plan.duration);
    let mut running: JoinSet<()> = workers.into_iter().map(|worker| worker.run(until)).collect();
    let finished = async {
        while let Some(ended) = running.join_next().await {
            ended.expect("a worker does not panic, and nobody aborts it");
        }
    };
    tokio::select! {
        () = finished => {}
        () = progress.follow(&shared, began) => {}
    }
    let took = clock.elapsed().since(began);
    if progress == Progress::Shown {
        leave_line();
    }
    let report = {
        let tally = shared.tally.lock().unwrap_or_else(PoisonError::into_inner);
        Report::of(&shared.plan, endpoint, &tally, took, shared.stop.is_cancelled())
    };
    let left = clear(&shared, &mut own, progress).await.err();
    Ok(Finished { report, left: left.map(|failure| (shared.stage.bucket().to_owned(), failure)) })
}

async fn prepare(workers: Vec<Worker>, shared: &Arc<Shared>, progress: Progress) -> Result<Vec<Worker>, Failure> {
    let of = shared.plan.prepared();
    if of == 0 {
        return Ok(workers);
    }
    let put = Arc::new(AtomicU64::new(0));
    let mut preparing = JoinSet::new();
    for mut worker in workers {
        let put = Arc::clone(&put);
        preparing.spawn(async move {
            let told = || progress.prepared(put.fetch_add(1, Ordering::Relaxed) + 1, of);
            worker.prepare(told).await.map(|()| worker)
        });
    }
    let (mut prepared, mut failed) = (Vec::new(), None);
    while let Some(ended) = preparing.join_next().await {
        match ended.expect("a worker does not panic, and nobody aborts it") {
            Ok(worker) => prepared.push(worker),
            // The others end after the object they are at: what they put must be there before it can be removed.
            Err(failure) => {
                shared.stop.cancel();
                failed.get_or_insert(failure);
            }
        }
    }
    failed.map_or(Ok(prepared), Err)
}

async fn clear(shared: &Shared, client: &mut S3Client, progress: Progress) -> Result<(), Failure> {
    let stage = &shared.stage;
    if shared.plan.keep {
        progress.say(&format!("what was put stays in bucket {}", stage.bucket()));
        return Ok(());
    }
    progress.say("removing what was put");
    tokio::time::timeout(STAGE_PATIENCE, stage.clear(client)).await.unwrap_or(Err(Failure::TimedOut)).map(drop)
}
