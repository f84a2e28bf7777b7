//! One of the clients: asks, waits for the whole answer, counts it, and asks again.
//!
//! Objects are numbers. Each worker has its own: those that leave its number when they are divided by how many workers there
//! are. So no two workers delete or overwrite one another's, and nobody needs a lock to know what is there.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cairn_core::Clock;
use cairn_core::clock::Elapsed;
use http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;

use crate::client::{Ask, Failure, S3Client, innermost};
use crate::draw::Draw;
use crate::payload::{Mismatch, Payload};
use crate::plan::{Plan, Workload};
use crate::signature::UNSIGNED;
use crate::stage::Stage;
use crate::tally::{Done, Kind, Tally};
use crate::xml;

/// After so many failures in a row a worker gives up: the server is not going to recover within the run.
const FAILURES_MAX: u32 = 20;

/// How long a worker waits after a failure, at first; twice as long after each further one. A server that refuses at once
/// would otherwise be asked as fast as it can refuse, and the figures would be of that.
const PAUSE: Duration = Duration::from_millis(20);

/// The longest of these pauses.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// How often an object is put before it counts as impossible to put, when the stage is set.
const PREPARE_ATTEMPTS: u32 = 4;

/// What all workers of a run share.
#[derive(Debug)]
pub struct Shared {
    /// What they do.
    pub plan: Plan,
    /// The bodies.
    pub payload: Payload,
    /// Where objects are.
    pub stage: Stage,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// What was counted so far.
    pub tally: Mutex<Tally>,
    /// Ends the run early.
    pub stop: CancellationToken,
}

/// One client of the run.
#[derive(Debug)]
pub struct Worker {
    shared: Arc<Shared>,
    client: S3Client,
    draw: Draw,
    /// The worker's objects that are there, in no order. Only a mixed load keeps them.
    own: Vec<u64>,
    /// Its next object that was never put.
    next: u64,
    /// Its next object that was put beforehand and not deleted yet.
    oldest: u64,
    /// Where its walk along a listing stands.
    after: Option<String>,
}

/// One operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Put(u64),
    Get(u64),
    Stat(u64),
    Delete(u64),
    List,
    Multipart(u64),
}

impl Step {
    fn kind(self) -> Kind {
        match self {
            Self::Put(_) => Kind::Put,
            Self::Get(_) => Kind::Get,
            Self::Stat(_) => Kind::Stat,
            Self::Delete(_) => Kind::Delete,
            Self::List => Kind::List,
            Self::Multipart(_) => Kind::Multipart,
        }
    }
}

impl Worker {
    /// The worker of a number below the plan's concurrency.
    pub fn new(shared: Arc<Shared>, client: S3Client, number: u64, seed: u64) -> Self {
        let (step, prepared) = (shared.plan.concurrency as u64, shared.plan.prepared());
        let own = match shared.plan.workload {
            Workload::Mixed => (number..prepared).step_by(step as usize).collect(),
            _ => Vec::new(),
        };
        let next = number + (prepared.saturating_sub(number)).div_ceil(step) * step;
        Self { shared, client, draw: Draw::new(seed), own, next, oldest: number, after: None }
    }

    /// Puts the worker's share of the objects that must be there beforehand, and tells of each.
    pub async fn prepare(&mut self, put: impl Fn()) -> Result<(), Failure> {
        let (mut object, step) = (self.oldest, self.shared.plan.concurrency as u64);
        while object < self.shared.plan.prepared() {
            let mut failures = 0;
            while let Err(failure) = self.timed(Step::Put(object)).await {
                failures += 1;
                if failures == PREPARE_ATTEMPTS {
                    return Err(failure);
                }
                self.pause(failures).await;
            }
            put();
            object += step;
            if self.shared.stop.is_cancelled() {
                break;
            }
        }
        Ok(())
    }

    /// Works until that moment, or until there is nothing left to do.
    pub async fn run(mut self, until: Elapsed) {
        let shared = Arc::clone(&self.shared);
        let mut failures = 0;
        while shared.clock.elapsed() < until && !shared.stop.is_cancelled() {
            let Some(step) = self.next_step() else { return };
            let began = shared.clock.elapsed();
            let outcome = self.timed(step).await;
            let took = shared.clock.elapsed().since(began);
            let count = |change: &dyn Fn(&mut Tally)| {
                change(&mut shared.tally.lock().unwrap_or_else(PoisonError::into_inner));
            };
            match outcome {
                Ok(done) => {
                    failures = 0;
                    count(&|tally| tally.succeeded(step.kind(), took, done));
                }
                Err(failure) => {
                    failures += 1;
                    count(&|tally| tally.failed(step.kind(), &failure));
                    if failures == FAILURES_MAX {
                        return;
                    }
                    self.pause(failures).await;
                }
            }
        }
    }

    async fn pause(&self, failures: u32) {
        let pause = PAUSE.saturating_mul(1 << failures.min(16)).min(PAUSE_MAX);
        tokio::select! {
            () = self.shared.stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }

    /// What comes next; none when the load is done.
    fn next_step(&mut self) -> Option<Step> {
        let (plan, prepared) = (&self.shared.plan, self.shared.plan.prepared());
        let step = plan.concurrency as u64;
        let mut fresh = || {
            let object = self.next;
            self.next += step;
            object
        };
        match plan.workload {
            Workload::Put => {
                Some(fresh()).filter(|object| plan.objects.is_none_or(|most| *object < most)).map(Step::Put)
            }
            Workload::Multipart => {
                Some(fresh()).filter(|object| plan.objects.is_none_or(|most| *object < most)).map(Step::Multipart)
            }
            Workload::Get => Some(Step::Get(self.draw.below(prepared))),
            Workload::Stat => Some(Step::Stat(self.draw.below(prepared))),
            Workload::List => Some(Step::List),
            Workload::Delete => {
                let object = self.oldest;
                self.oldest += step;
                (object < prepared).then_some(Step::Delete(object))
            }
            Workload::Mixed => {
                let mix = plan.mix();
                let drawn = self.draw.below(mix.sum());
                let (get, stat) = (u64::from(mix.get), u64::from(mix.get) + u64::from(mix.stat));
                let put = stat + u64::from(mix.put);
                if self.own.is_empty() || (stat..put).contains(&drawn) {
                    return Some(Step::Put(fresh()));
                }
                let at = self.draw.below(self.own.len() as u64) as usize;
                Some(match drawn {
                    drawn if drawn < get => Step::Get(self.own[at]),
                    drawn if drawn < stat => Step::Stat(self.own[at]),
                    // Whatever comes of it, nobody relies on the object any more.
                    _ => Step::Delete(self.own.swap_remove(at)),
                })
            }
        }
    }

    async fn timed(&mut self, step: Step) -> Result<Done, Failure> {
        let limit = self.shared.plan.timeout;
        tokio::time::timeout(limit, self.perform(step)).await.unwrap_or(Err(Failure::TimedOut))
    }

    async fn perform(&mut self, step: Step) -> Result<Done, Failure> {
        match step {
            Step::Put(object) => {
                let size = self.shared.plan.size;
                let path = self.shared.stage.path(object);
                self.put(&path, "", object, size).await?;
                if self.shared.plan.workload == Workload::Mixed && object >= self.shared.plan.prepared() {
                    self.own.push(object);
                }
                Ok(Done { bytes: size, objects: 1, ..Done::default() })
            }
            Step::Get(object) => self.get(object).await,
            Step::Stat(object) => {
                let path = self.shared.stage.path(object);
                let head = self.client.send(Ask::of(Method::HEAD, &path, "")).await?;
                let length = head.headers().get(http::header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
                if length.and_then(|length| length.parse().ok()) != Some(self.shared.plan.size) {
                    return Err(Mismatch::Length.into());
                }
                Ok(Done { objects: 1, ..Done::default() })
            }
            Step::Delete(object) => {
                let path = self.shared.stage.path(object);
                self.client.ask(Ask::of(Method::DELETE, &path, "")).await?;
                Ok(Done { objects: 1, ..Done::default() })
            }
            Step::List => {
                let page = self.shared.stage.list(&mut self.client, self.after.take().as_deref()).await?;
                self.after = page.next;
                Ok(Done { objects: page.keys.len() as u64, ..Done::default() })
            }
            Step::Multipart(object) => self.multipart(object).await,
        }
    }

    /// Puts so many bytes; the ETag of the answer.
    async fn put(&mut self, path: &str, query: &str, object: u64, length: u64) -> Result<Option<String>, Failure> {
        let payload = &self.shared.payload;
        let signed = self.shared.plan.sign_body.then(|| payload.sha256(object, length));
        let body = payload.body(object, length);
        let sha256 = signed.as_deref().unwrap_or(UNSIGNED);
        let answer = self.client.send(Ask { body, sha256, ..Ask::of(Method::PUT, path, query) }).await?;
        let etag = answer.headers().get(http::header::ETAG).and_then(|value| value.to_str().ok()).map(str::to_owned);
        drain(answer.into_body(), |_| Ok(())).await?;
        Ok(etag)
    }

    async fn get(&mut self, object: u64) -> Result<Done, Failure> {
        let shared = Arc::clone(&self.shared);
        let (size, verified) = (shared.plan.size, shared.plan.verify);
        let began = shared.clock.elapsed();
        let answer = self.client.send(Ask::of(Method::GET, &shared.stage.path(object), "")).await?;
        let first_byte = Some(shared.clock.elapsed().since(began));
        let (mut received, mut expected) = (0, shared.payload.body(object, size));
        drain(answer.into_body(), |bytes| {
            received += bytes.len() as u64;
            if verified { expected.compare(bytes) } else { Ok(()) }
        })
        .await?;
        if received != size {
            return Err(Mismatch::Length.into());
        }
        Ok(Done { first_byte, bytes: size, objects: 1, verified })
    }

    async fn multipart(&mut self, object: u64) -> Result<Done, Failure> {
        let path = self.shared.stage.path(object);
        let begun = self.client.ask(Ask::of(Method::POST, &path, "uploads=")).await?;
        let upload = xml::text(&begun, "UploadId").ok_or(Failure::Answer("an upload without an id"))?;
        let upload = crate::client::encode(&upload);
        let done = self.parts(&path, &upload, object).await;
        if done.is_err() {
            // Parts that nobody completes cost space until somebody says so. That the upload failed is the news; whether
            // this did too is not.
            drop(self.client.ask(Ask::of(Method::DELETE, &path, &format!("uploadId={upload}"))).await);
        }
        done
    }

    async fn parts(&mut self, path: &str, upload: &str, object: u64) -> Result<Done, Failure> {
        let (size, part_size) = (self.shared.plan.size, self.shared.plan.part_size());
        let mut completion = String::from("<CompleteMultipartUpload>");
        for (number, start) in (1u64..).zip((0..size).step_by(part_size as usize)) {
            let length = part_size.min(size - start);
            let query = format!("partNumber={number}&uploadId={upload}");
            let etag = self.put(path, &query, object + number, length).await?;
            let etag = etag.ok_or(Failure::Answer("a part without an ETag"))?;
            completion += &format!("<Part><PartNumber>{number}</PartNumber><ETag>{}</ETag></Part>", xml::escape(&etag));
        }
        completion += "</CompleteMultipartUpload>";
        let query = format!("uploadId={upload}");
        let body = crate::payload::Walk::of(completion.into());
        let ask = Ask { body, sha256: UNSIGNED, ..Ask::of(Method::POST, path, &query) };
        let answer = self.client.ask(ask).await?;
        // S3 may find out that it failed after it has begun to say yes.
        if let Some(error) = xml::text(&answer, "Code") {
            return Err(Failure::Refused { status: 200, code: error, message: String::new() });
        }
        Ok(Done { bytes: size, objects: 1, ..Done::default() })
    }
}

/// Reads a body to its end, so that the connection is free for the next request.
async fn drain(mut body: Incoming, mut each: impl FnMut(&[u8]) -> Result<(), Mismatch>) -> Result<(), Failure> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failure::Connection(innermost(&error)))?;
        if let Some(bytes) = frame.data_ref() {
            each(bytes)?;
        }
    }
    Ok(())
}
