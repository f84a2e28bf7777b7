//! The loop: take the lease, look, plan, check, execute, publish. Begins again when a reader reports a fault, when
//! somebody calls, or after a while.
//!
//! It runs on every node. Beside it run two tasks more, for neither may wait for a long plan: one packs what stands in the
//! metadata, one watches the nodes. All three act only while the rows say that this daemon holds the lease.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cairn_core::{Clock, Drives, StripeId};
use cairn_erasure::{CodingPool, StripeReader};
use cairn_metadata::Client;
use cairn_placement::Stripes;
use futures::StreamExt;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::census::{self, Scope};
use crate::config::RepairConfig;
use crate::confirm::confirm;
use crate::error::RepairError;
use crate::execute::abandon::Abandoning;
use crate::execute::move_position::Mover;
use crate::execute::reshape::Reshaped;
use crate::execute::{collect, condemn, remove, reshape, retire, rewrite};
use crate::faults::{FaultQueue, WAITING_MAX};
use crate::lease::{self, Leadership};
use crate::meter::Meter;
use crate::plan::{self, Plan};
use crate::sightings::Sightings;
use crate::supervise::{Standings, Supervision};

/// How many plans of retirements are followed at a time. The deletion of an object of 10,000 parts is some forty of them;
/// between two looks at the rest, repair is not kept waiting by more.
const RETIRE_PLANS: usize = 16;

/// How many times as long as the last census took it waits at least after a pass in which something was left: what cannot
/// be done now should be done soon, and counting should still leave most of the time to others.
const RETRY_REST_FACTOR: u32 = 4;

/// The daemon of this process.
#[derive(Debug)]
pub struct RepairDaemon {
    wake: Arc<Notify>,
    stop: CancellationToken,
    tasks: Vec<tokio::task::JoinHandle<()>>,
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
    /// What is thought of the nodes. None where there is no other one: then no drive is declared lost here.
    pub standings: Option<watch::Receiver<Standings>>,
}

impl RepairDaemon {
    /// Starts the loop.
    pub fn start(parts: RepairParts, config: RepairConfig) -> Self {
        let (wake, stop) = (Arc::new(Notify::new()), CancellationToken::new());
        let RepairParts { client, drives, pool, faults, clock, .. } = &parts;
        let reader = StripeReader::new(drives.clone(), pool.clone(), faults.clone());
        let stripes = Stripes::new(client.clone(), drives.clone(), pool.clone(), reader, clock.clone());
        let (stripes, client, meter) = (Arc::new(stripes), client.clone(), parts.meter.clone());
        let mut tasks = vec![tokio::spawn(pack(stripes.clone(), meter.clone(), config.clone(), stop.clone()))];
        if let Some(heard) = parts.standings.clone() {
            let (client, drives, clock) = (client.clone(), parts.drives.clone(), parts.clock.clone());
            let (config, wake, stop) = (config.clone(), wake.clone(), stop.clone());
            let supervision = Supervision { client, drives, heard, clock, meter, config, wake, stop };
            tasks.push(tokio::spawn(supervision.run()));
        }
        let (abandoning, wake_loop, stop_loop) = (Abandoning::default(), wake.clone(), stop.clone());
        let (counting, sightings) = (Duration::ZERO, Sightings::default());
        let looped = Loop { parts, stripes, config, wake: wake_loop, stop: stop_loop, abandoning, sightings, counting };
        tasks.push(tokio::spawn(looped.run()));
        Self { wake, stop, tasks, client }
    }

    /// Asks for a pass now: after a drive's state was changed, for one.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Stops after the step under way and ends the session.
    pub async fn stop(self) {
        self.stop.cancel();
        for task in self.tasks {
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
        let packed = while_it_helps(
            &stop,
            || pack_a_stripe(&stripes),
            |extents| {
                meter.update(|progress| progress.extents_packed += extents);
            },
        );
        if let Err(error) = packed.await {
            failed(&meter, &error);
            look.reset_after(config.retry_delay);
        }
    }
}

/// One step of packing, if it is this daemon's to do.
async fn pack_a_stripe(stripes: &Stripes) -> Result<u64, RepairError> {
    if lease::holds(&stripes.client)? { rewrite::rewrite(stripes).await } else { Ok(0) }
}

/// Repeats a step, and tells what it did, until it finds nothing more to do or it is time to stop: a stop waits for one
/// step at most.
async fn while_it_helps<F: Future<Output = Result<u64, RepairError>>>(
    stop: &CancellationToken,
    mut step: impl FnMut() -> F,
    mut tell: impl FnMut(u64),
) -> Result<(), RepairError> {
    while !stop.is_cancelled() {
        match step().await? {
            0 => break,
            done => tell(done),
        }
    }
    Ok(())
}

fn failed(meter: &Meter, error: &RepairError) {
    tracing::warn!(error = error as &dyn std::error::Error, "a step of repair failed");
    meter.failed(error);
}

struct Loop {
    parts: RepairParts,
    stripes: Arc<Stripes>,
    config: RepairConfig,
    wake: Arc<Notify>,
    stop: CancellationToken,
    abandoning: Abandoning,
    sightings: Sightings,
    /// How long the last census took. The pass around it may have waited for a log without a leader, which is no reason
    /// to let a hundred times as long go by before the next look.
    counting: Duration,
}

/// What follows a pass.
#[derive(Debug)]
enum Next {
    /// Something was done: look again whether it helped.
    Again,
    /// Nothing is left to do, or not before so long.
    Rest(Option<Duration>),
    /// Something is left, and could not be done now.
    Retry,
}

impl Loop {
    async fn run(mut self) {
        let mut next = Next::Again;
        let mut reported = BTreeSet::new();
        let (mut rest, mut retry) = (self.config.census_interval_min, self.config.retry_delay);
        loop {
            match next {
                Next::Again if self.stop.is_cancelled() => break,
                Next::Again => {}
                Next::Rest(due) => {
                    let longest = due.map_or(rest, |due| rest.min(due.max(retry)));
                    if self.wait(longest).await.is_break() {
                        break;
                    }
                }
                Next::Retry => {
                    if self.wait(retry).await.is_break() {
                        break;
                    }
                }
            }
            next = self.pass(&mut reported).await.unwrap_or_else(|error| {
                self.failed(&error);
                Next::Retry
            });
            tracing::debug!(?next, counting = ?self.counting, "a pass has ended");
            rest = self.config.census_interval_min.max(self.counting * self.config.census_rest_factor);
            retry = self.config.retry_delay.max(self.counting * RETRY_REST_FACTOR);
        }
    }

    /// Waits for a reason to look again, collecting meanwhile what comes due.
    async fn wait(&mut self, longest: Duration) -> ControlFlow<()> {
        let until = tokio::time::Instant::now() + longest;
        let leads = self.parts.meter.leadership() == Leadership::Leading;
        let mut collect = tokio::time::interval(self.config.collect_interval);
        collect.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return ControlFlow::Break(()),
                () = self.wake.notified() => return ControlFlow::Continue(()),
                () = self.parts.faults.arrived(), if leads => return ControlFlow::Continue(()),
                () = tokio::time::sleep_until(until) => return ControlFlow::Continue(()),
                _ = collect.tick() => {
                    let tidied = match lease::holds(&self.parts.client) {
                        Ok(true) => self.tidy().await,
                        Ok(false) => Ok(()),
                        Err(error) => Err(error.into()),
                    };
                    if let Err(error) = tidied {
                        self.failed(&error);
                    }
                }
            }
        }
    }

    /// One pass: all there is to know, and all there is to do about it.
    async fn pass(&mut self, reported: &mut BTreeSet<(StripeId, u8)>) -> Result<Next, RepairError> {
        let parts = &self.parts;
        // What cannot be asked is not known: a meter that goes on showing what was true before would be believed.
        let leadership = lease::take(&parts.client).await.inspect_err(|_| parts.meter.lead(Leadership::Unknown))?;
        parts.meter.lead(leadership);
        if leadership != Leadership::Leading {
            // What readers here have reported waits, and is shown as waiting, until this daemon leads.
            return Ok(Next::Retry);
        }
        reported.extend(parts.faults.take());
        let view = parts.client.read().await?;
        let confirmed = confirm(&view, &parts.drives, reported, self.config.drive_patience).await?;
        let (now, config) = (parts.clock.wall(), &self.config);
        self.sightings.look(&census::drive_states(&view)?, parts.clock.elapsed());
        let (drives, sightings) = (&parts.drives, &self.sightings);
        let scope = Scope { drives, damaged: &confirmed.damaged, now, sightings, config };
        let began = parts.clock.elapsed();
        let census = census::take(&view, scope).await;
        self.counting = parts.clock.elapsed().since(began);
        let census = census?;
        let mut redundancy = census.redundancy.clone();
        redundancy.as_of_index = Some(view.index());
        redundancy.as_of = Some(parts.clock.wall());
        drop(view);
        parts.meter.publish(redundancy);
        parts.meter.update(|progress| progress.passes += 1);
        // What was reported is in this plan, or was found sound: later reports are news. What could not be looked at is
        // asked for again in the next pass; as many as the queue would hold, since the reports may come again too.
        *reported = confirmed.unanswered.into_iter().take(WAITING_MAX).collect();
        let truncated = census.plan.truncated;
        let (unlisted, due) = (census.redundancy.drives_unlisted, census.plan.reshape_due);
        let done = self.execute(census.plan).await?;
        self.tidy().await?;
        Ok(match (done, truncated) {
            (Done { interrupted: true, .. }, _) => Next::Again,
            (Done { moved: 1.., .. } | Done { reshaped: 1.., .. }, _) | (Done { condemned: 1.., .. }, true) => {
                Next::Again
            }
            (Done { failed: 1.., .. }, _) => Next::Retry,
            _ if unlisted > 0 => Next::Retry,
            _ => Next::Rest(due),
        })
    }

    async fn execute(&self, plan: Plan) -> Result<Done, RepairError> {
        if let Err(unsound) = plan::check(&plan) {
            tracing::error!(%unsound, "a plan was not executed");
            self.parts.meter.update(|progress| progress.last_failure = Some(unsound.to_string()));
            return Ok(Done { failed: 1, ..Done::default() });
        }
        let (mut done, interrupted) = (Done::default(), AtomicBool::new(false));
        self.parts.meter.update(|progress| {
            progress.planned = plan.positions();
            progress.reshapes_planned = plan.reshapes.len() as u64;
            progress.waiting_for_a_drive = 0;
        });
        if !plan.rebuilds.is_empty() {
            let mover = Mover::new(&self.parts, &self.stripes).await?;
            let mut rebuilds = futures::stream::iter(plan.rebuilds)
                .take_until(Box::pin(self.interrupted(&interrupted)))
                .map(|rebuild| mover.rebuild(rebuild))
                .buffer_unordered(self.config.stripes_at_once.max(1));
            while let Some(moved) = rebuilds.next().await {
                moved.into_iter().for_each(|moved| self.count(&mut done, moved));
            }
        }
        if !interrupted.load(Ordering::Relaxed) && !plan.reshapes.is_empty() {
            let mut batches = futures::stream::iter(plan::batches(plan.reshapes))
                .take_until(Box::pin(self.interrupted(&interrupted)))
                .map(|batch| async move { (batch.len(), reshape::reshape(&self.stripes, &batch).await) })
                .buffer_unordered(self.config.stripes_at_once.max(1));
            while let Some((stripes, reshaped)) = batches.next().await {
                self.count_reshaped(&mut done, stripes, &reshaped);
            }
        }
        if interrupted.load(Ordering::Relaxed) {
            return Ok(Done { interrupted: true, ..done });
        }
        done.condemned = condemn::condemn(&self.parts.client, &plan.orphans).await?;
        self.parts.meter.update(|progress| progress.orphans_condemned += done.condemned);
        Ok(done)
    }

    /// Returns when the rest of a plan is not to be begun: the daemon stops, or the drives are no longer those that it was
    /// made for.
    async fn interrupted(&self, interrupted: &AtomicBool) {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => {}
            () = self.wake.notified() => {}
        }
        interrupted.store(true, Ordering::Relaxed);
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

    fn count_reshaped(&self, done: &mut Done, planned: usize, reshaped: &Reshaped) {
        done.reshaped += reshaped.extents;
        done.failed += reshaped.failures.len() as u64;
        reshaped.failures.iter().for_each(|error| self.failed(error));
        self.parts.meter.update(|progress| {
            progress.reshapes_planned = progress.reshapes_planned.saturating_sub(planned as u64);
            progress.stripes_reshaped += reshaped.stripes;
            progress.extents_reshaped += reshaped.extents;
            progress.bytes_reshaped += reshaped.bytes;
        });
    }

    /// What needs no census: manifests without references, parts of ended uploads, garbage that is due, lost drives that
    /// nothing is left of.
    async fn tidy(&mut self) -> Result<(), RepairError> {
        let client = &self.parts.client;
        self.abandoning.abandon(client).await?;
        for _ in 0..RETIRE_PLANS {
            if retire::retire(client).await? == 0 || self.stop.is_cancelled() {
                break;
            }
        }
        loop {
            let collected = collect::collect(client, &self.parts.drives, self.config.drive_patience).await?;
            self.parts.meter.update(|progress| progress.chunks_collected += collected);
            if collected == 0 || self.stop.is_cancelled() {
                break;
            }
        }
        if self.parts.standings.is_none() {
            remove::remove(client).await?;
        }
        Ok(())
    }

    fn failed(&self, error: &RepairError) {
        failed(&self.parts.meter, error);
    }
}

#[derive(Default)]
struct Done {
    moved: u64,
    reshaped: u64,
    condemned: u64,
    failed: u64,
    /// Somebody called: whatever is left is planned anew.
    interrupted: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stop_is_heard_between_two_steps() {
        let stop = CancellationToken::new();
        let mut steps = 0;
        let endless = while_it_helps(
            &stop,
            || std::future::ready(Ok(1)),
            |_| {
                steps += 1;
                if steps == 3 {
                    stop.cancel();
                }
            },
        );
        endless.await.unwrap();
        assert_eq!(steps, 3);
    }

    #[tokio::test]
    async fn steps_end_when_one_finds_nothing_or_fails() {
        let stop = CancellationToken::new();
        let (mut left, mut told) = (4, Vec::new());
        let step = || {
            left -= 1;
            std::future::ready(Ok(left))
        };
        while_it_helps(&stop, step, |done| told.push(done)).await.unwrap();
        assert_eq!(told, [3, 2, 1]);
        let nowhere = || RepairError::NoDrive(StripeId(cairn_core::WriteId::from_bytes([0; 16])));
        let failing = while_it_helps(&stop, || std::future::ready(Err(nowhere())), |_| panic!("nothing was done"));
        assert!(matches!(failing.await, Err(RepairError::NoDrive(_))));
    }
}
