//! The loop: take the lease, look, plan, check, execute, publish. Begins again when a reader reports a fault, when
//! somebody calls, or after a while.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cairn_core::{Clock, Drives, StripeId};
use cairn_erasure::{CodingPool, StripeReader};
use cairn_machine::rows::session::Lease;
use cairn_machine::{Operation, Outcome};
use cairn_metadata::Client;
use cairn_placement::Stripes;
use futures::StreamExt;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::census;
use crate::error::RepairError;
use crate::execute::move_position::Mover;
use crate::execute::{collect, condemn, remove, retire, rewrite};
use crate::faults::FaultQueue;
use crate::meter::Meter;
use crate::plan::{self, Plan};

/// How the daemon goes about it.
#[derive(Debug, Clone)]
pub struct RepairConfig {
    /// How long between two passes when nothing calls for one, at least.
    pub census_interval_min: Duration,
    /// How many times as long as the last pass took, at least: a census never takes more than this share of the time,
    /// however much there is to count.
    pub census_rest_factor: u32,
    /// How long between two looks for garbage that has come due.
    pub collect_interval: Duration,
    /// How long between two looks whether enough stands in the metadata to fill a stripe.
    pub rewrite_interval: Duration,
    /// How many stripes are rebuilt at once. Each holds its own bytes in memory.
    pub stripes_at_once: usize,
    /// How long to wait after a pass in which something failed.
    pub retry_delay: Duration,
}

impl Default for RepairConfig {
    fn default() -> Self {
        Self {
            census_interval_min: Duration::from_secs(20),
            census_rest_factor: 100,
            collect_interval: Duration::from_secs(10),
            rewrite_interval: Duration::from_millis(250),
            stripes_at_once: 2,
            retry_delay: Duration::from_secs(5),
        }
    }
}

/// How many plans of retirements are followed at a time. The deletion of an object of 10,000 parts is some forty of them;
/// between two looks at the rest, repair is not kept waiting by more.
const RETIRE_PLANS: usize = 16;

/// The daemon of this process.
#[derive(Debug)]
pub struct RepairDaemon {
    wake: Arc<Notify>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    packing: tokio::task::JoinHandle<()>,
    client: Client,
}

/// What the daemon needs of the rest.
#[derive(Debug)]
pub struct RepairParts {
    /// The log, under a session of the daemon's own.
    pub client: Client,
    /// The drives.
    pub drives: Arc<Drives>,
    /// Where coding runs.
    pub pool: CodingPool,
    /// What readers report.
    pub faults: Arc<FaultQueue>,
    /// What is published.
    pub meter: Meter,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl RepairDaemon {
    /// Starts the loop.
    pub fn start(parts: RepairParts, config: RepairConfig) -> Self {
        let (wake, stop) = (Arc::new(Notify::new()), CancellationToken::new());
        let RepairParts { client, drives, pool, faults, clock, .. } = &parts;
        let reader = StripeReader::new(drives.clone(), pool.clone(), faults.clone());
        let stripes = Stripes::new(client.clone(), drives.clone(), pool.clone(), reader, clock.clone());
        let (stripes, client, meter) = (Arc::new(stripes), client.clone(), parts.meter.clone());
        let packing = tokio::spawn(pack(stripes.clone(), meter, config.clone(), stop.clone()));
        let looped = Loop { parts, stripes, config, wake: wake.clone(), stop: stop.clone() };
        Self { wake, stop, task: tokio::spawn(looped.run()), packing, client }
    }

    /// Asks for a pass now: after a drive's state was changed, for one.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Stops after the step under way and ends the session.
    pub async fn stop(self) {
        self.stop.cancel();
        for task in [self.task, self.packing] {
            if let Err(error) = task.await {
                tracing::error!(%error, "the repair daemon did not end by itself");
            }
        }
        self.client.close().await;
    }
}

/// Packs what stands in the metadata, whatever else is being repaired: writers count on it that there is room.
async fn pack(stripes: Arc<Stripes>, meter: Meter, config: RepairConfig, stop: CancellationToken) {
    let mut look = tokio::time::interval(config.rewrite_interval);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = look.tick() => {}
        }
        match rewrite::rewrite(&stripes).await {
            Ok(extents) => meter.update(|progress| progress.extents_packed += extents),
            Err(error) => {
                failed(&meter, &error);
                look.reset_after(config.retry_delay);
            }
        }
    }
}

fn failed(meter: &Meter, error: &RepairError) {
    tracing::warn!(error = error as &dyn std::error::Error, "a step of repair failed");
    meter.update(|progress| {
        progress.failures += 1;
        progress.last_failure = Some(error.to_string());
    });
}

struct Loop {
    parts: RepairParts,
    stripes: Arc<Stripes>,
    config: RepairConfig,
    wake: Arc<Notify>,
    stop: CancellationToken,
}

/// What follows a pass.
enum Next {
    /// Something was done: look again whether it helped.
    Again,
    /// Nothing is left to do.
    Rest,
    /// Something is left, and could not be done now.
    Retry,
}

impl Loop {
    async fn run(self) {
        let mut next = Next::Again;
        let mut reported = BTreeSet::new();
        let mut rest = self.config.census_interval_min;
        loop {
            match next {
                Next::Again if self.stop.is_cancelled() => break,
                Next::Again => {}
                Next::Rest => {
                    if self.wait(rest).await.is_break() {
                        break;
                    }
                }
                Next::Retry => {
                    if self.wait(self.config.retry_delay).await.is_break() {
                        break;
                    }
                }
            }
            reported.extend(self.parts.faults.take());
            let began = self.parts.clock.elapsed();
            next = self.pass(&mut reported).await.unwrap_or_else(|error| {
                self.failed(&error);
                Next::Retry
            });
            let took = self.parts.clock.elapsed().since(began);
            rest = self.config.census_interval_min.max(took * self.config.census_rest_factor);
        }
    }

    /// Waits for a reason to look again, collecting meanwhile what comes due.
    async fn wait(&self, longest: Duration) -> std::ops::ControlFlow<()> {
        let until = tokio::time::Instant::now() + longest;
        let mut collect = tokio::time::interval(self.config.collect_interval);
        collect.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return std::ops::ControlFlow::Break(()),
                () = self.wake.notified() => return std::ops::ControlFlow::Continue(()),
                () = self.parts.faults.arrived() => return std::ops::ControlFlow::Continue(()),
                () = tokio::time::sleep_until(until) => return std::ops::ControlFlow::Continue(()),
                _ = collect.tick() => {
                    if let Err(error) = self.tidy().await {
                        self.failed(&error);
                    }
                }
            }
        }
    }

    /// One pass: all there is to know, and all there is to do about it.
    async fn pass(&self, reported: &mut BTreeSet<(StripeId, u8)>) -> Result<Next, RepairError> {
        let parts = &self.parts;
        if !self.lead().await? {
            return Ok(Next::Retry);
        }
        let view = parts.client.read().await?;
        let damaged = self.confirm(&view, reported).await?;
        let census = census::take(&view, &parts.drives, &damaged).await?;
        let mut redundancy = census.redundancy;
        redundancy.as_of_index = Some(view.index());
        redundancy.as_of = Some(parts.clock.wall());
        drop(view);
        parts.meter.publish(redundancy);
        parts.meter.update(|progress| progress.passes += 1);
        // What was reported is in this plan, or was found sound: later reports are news.
        reported.clear();
        let truncated = census.plan.truncated;
        let done = self.execute(census.plan).await?;
        self.tidy().await?;
        Ok(match (done, truncated) {
            (Done { moved: 1.., .. }, _) | (Done { condemned: 1.., .. }, true) => Next::Again,
            (Done { failed: 1.., .. }, _) => Next::Retry,
            _ => Next::Rest,
        })
    }

    /// Takes the lease, or learns that another daemon has it.
    async fn lead(&self) -> Result<bool, RepairError> {
        let take = Operation::TakeLease { lease: Lease::Repair, session: self.parts.client.session() };
        let outcomes = self.parts.client.propose(vec![take]).await?;
        Ok(matches!(outcomes.first(), Some(Outcome::Done)))
    }

    /// Which of the reported positions are really wrong, as the device has them: a flipped bit in memory is no loss.
    async fn confirm(
        &self,
        rows: &(impl cairn_machine::RowSource + Sync),
        reported: &BTreeSet<(StripeId, u8)>,
    ) -> Result<BTreeSet<(StripeId, u8)>, RepairError> {
        use cairn_machine::Row;
        use cairn_machine::rows::stripe::StripeRow;
        let mut damaged = BTreeSet::new();
        for &(stripe, position) in reported {
            let Some(row) = StripeRow::get(rows, &stripe)? else { continue };
            let (Some(chunk), Some(placed)) = (row.chunk(stripe, position), row.positions.get(position as usize))
            else {
                continue;
            };
            let Ok(store) = self.parts.drives.get(placed.drive) else { continue };
            if let Err(error) = store.read_back(chunk).await {
                tracing::warn!(%chunk, drive = %placed.drive, %error, "a reported chunk is damaged");
                damaged.insert((stripe, position));
            }
        }
        Ok(damaged)
    }

    async fn execute(&self, plan: Plan) -> Result<Done, RepairError> {
        if let Err(unsound) = plan::check(&plan) {
            tracing::error!(%unsound, "a plan was not executed");
            self.parts.meter.update(|progress| progress.last_failure = Some(unsound.to_string()));
            return Ok(Done { failed: 1, ..Done::default() });
        }
        let mut done = Done::default();
        self.parts.meter.update(|progress| {
            progress.planned = plan.positions();
            progress.waiting_for_a_drive = 0;
        });
        if !plan.rebuilds.is_empty() {
            let mover = Mover::new(&self.parts, &self.stripes).await?;
            let mut rebuilds = futures::stream::iter(plan.rebuilds)
                .take_until(Box::pin(self.stop.cancelled()))
                .map(|rebuild| mover.rebuild(rebuild))
                .buffer_unordered(self.config.stripes_at_once.max(1));
            while let Some(moved) = rebuilds.next().await {
                moved.into_iter().for_each(|moved| self.count(&mut done, moved));
            }
        }
        done.condemned = condemn::condemn(&self.parts.client, &plan.orphans).await?;
        self.parts.meter.update(|progress| progress.orphans_condemned += done.condemned);
        Ok(done)
    }

    fn count(&self, done: &mut Done, moved: Result<u64, RepairError>) {
        self.parts.meter.update(|progress| progress.planned -= 1);
        match moved {
            Ok(bytes) => {
                done.moved += 1;
                self.parts.meter.update(|progress| {
                    progress.positions_moved += 1;
                    progress.bytes_moved += bytes;
                });
            }
            Err(RepairError::NoDrive(_)) => {
                self.parts.meter.update(|progress| progress.waiting_for_a_drive += 1);
            }
            Err(error) => {
                done.failed += 1;
                self.failed(&error);
            }
        }
    }

    /// What needs no census: manifests without references, parts of ended uploads, garbage that is due, lost drives that
    /// nothing is left of.
    async fn tidy(&self) -> Result<(), RepairError> {
        let client = &self.parts.client;
        retire::abandon(client).await?;
        for _ in 0..RETIRE_PLANS {
            if retire::retire(client).await? == 0 || self.stop.is_cancelled() {
                break;
            }
        }
        loop {
            let collected = collect::collect(client, &self.parts.drives).await?;
            self.parts.meter.update(|progress| progress.chunks_collected += collected);
            if collected == 0 || self.stop.is_cancelled() {
                break;
            }
        }
        remove::remove(client).await?;
        Ok(())
    }

    fn failed(&self, error: &RepairError) {
        failed(&self.parts.meter, error);
    }
}

#[derive(Default)]
struct Done {
    moved: u64,
    condemned: u64,
    failed: u64,
}
