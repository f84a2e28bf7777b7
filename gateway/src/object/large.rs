//! Objects and parts that do not share stripes: cut into extents, each a stripe of its own, streamed.
//!
//! ```text
//! reserve -> receive extent n+1 ------------------+
//!            hash n beside it, in order           |   at most two extents of a stream are in memory
//!            code and sync n on its drives  <-----+
//! ```
//! An extent's memory is reserved whole before its first byte is read, and goes back when every position is durable. Up
//! to eight extents are committed together with the object; more go into a manifest whose pages are committed while the
//! stream runs (invariant 13). Whatever ends the stream early ends the manifest.

use std::collections::VecDeque;
use std::sync::Arc;

use cairn_core::SessionId;
use cairn_core::units::{MIB, VERSION_RANGES_MAX};
use cairn_machine::Outcome;
use cairn_machine::operation::{NewContent, NewExtent};
use cairn_machine::rows::profile::ProfileId;
use cairn_placement::{Packing, PendingExtent, Placed, Stripes};
use tokio::task::JoinHandle;

use super::manifest::PendingManifest;
use super::purpose::{Destination, Purpose};
use super::upload::Upload;
use crate::digest::md5::together::Together;
use crate::digest::{BodyHasher, Digests};
use crate::fault::Fault;
use crate::front::Core;
use crate::outcome::last_or_first_refusal;

/// The smallest extent that a full budget still gives.
pub const EXTENT_BYTES_MIN: u64 = MIB;

/// Into how many parts what is free is divided for the next extent, so that no stream takes all of it.
const BUDGET_SHARES: u64 = 8;

/// How many extents of one stream are in memory: one that arrives and one that is coded and written.
const EXTENTS_UNDER_WAY_MAX: usize = 2;

/// How many extents are committed as one page. Far below what a page may have: what a stream has written and not yet
/// committed is lost with it.
const PAGE_EXTENTS: usize = 32;

/// What an object is made of, once all of it is durable.
#[derive(Debug)]
pub struct Streamed {
    stripes: Vec<Placed>,
    manifest: Option<PendingManifest>,
    session: SessionId,
    /// How many bytes it has.
    pub size: u64,
}

/// Streams a body into stripes. What it returns is durable and not visible.
pub async fn stream(core: &Core, upload: &mut Upload, to: &Destination) -> Result<(Streamed, Digests), Fault> {
    let (stripes, budget) = (&core.stripes, &core.write_budget);
    let mut hashing = Hashing::new(upload, &core.hashing);
    let mut flushes: VecDeque<JoinHandle<Result<Placed, Fault>>> = VecDeque::new();
    let mut done = Assembly { stripes, profile: to.profile, pending: Vec::new(), manifest: None };
    let mut offset = 0;
    while upload.left() > 0 {
        if flushes.len() == EXTENTS_UNDER_WAY_MAX - 1
            && let Some(flush) = flushes.pop_front()
        {
            done.add(joined(flush).await?).await?;
        }
        let length = budget.share(BUDGET_SHARES, EXTENT_BYTES_MIN, core.extent_bytes_max).min(upload.left());
        // The coded copy of an extent is slices of it, so its memory is its bytes and their parity.
        let memory = Arc::new(budget.reserve(stripes.footprint(length)?).await?);
        let data = upload.take(length).await?;
        if data.is_empty() {
            // The body ended exactly here, and did not say so before.
            break;
        }
        let taken = data.len() as u64;
        hashing.add(data.clone(), Arc::clone(&memory)).await;
        let (bucket, key, part) = (to.bucket, to.key.clone(), to.part);
        let pending = PendingExtent { id: None, bucket, key, part, offset, data };
        let stripes = Arc::clone(stripes);
        // A task of its own: should the client vanish, the memory is held for as long as drives still work with it.
        flushes.push_back(tokio::spawn(async move {
            let placed = stripes.place(Packing::Large, &[pending]).await;
            drop(memory);
            placed.map_err(Fault::from)
        }));
        offset += taken;
    }
    for flush in flushes {
        done.add(joined(flush).await?).await?;
    }
    let digests = hashing.finish().await;
    Ok((done.finish(offset), digests))
}

async fn joined<T>(task: JoinHandle<Result<T, Fault>>) -> Result<T, Fault> {
    task.await.unwrap_or_else(|error| Err(Fault::Unavailable(format!("a task broke off: {error}"))))
}

/// What is durable so far.
struct Assembly<'a> {
    stripes: &'a Stripes,
    profile: ProfileId,
    pending: Vec<Placed>,
    manifest: Option<PendingManifest>,
}

impl Assembly<'_> {
    async fn add(&mut self, placed: Placed) -> Result<(), Fault> {
        // A page goes when the next extent is there, so that the last one is committed together with the object.
        if self.pending.len() == PAGE_EXTENTS {
            self.commit_page().await?;
        }
        self.pending.push(placed);
        Ok(())
    }

    async fn commit_page(&mut self) -> Result<(), Fault> {
        let manifest = self.manifest.get_or_insert_with(|| PendingManifest::begin(&self.stripes.client));
        let page = manifest.next_extents(extents(&self.pending), self.profile);
        let mut pending = std::mem::take(&mut self.pending);
        let outcomes = self.stripes.commit(&mut pending, vec![page]).await?;
        outcomes.into_iter().try_for_each(accepted)
    }

    fn finish(mut self, size: u64) -> Streamed {
        if self.manifest.is_none() && self.pending.len() > VERSION_RANGES_MAX {
            self.manifest = Some(PendingManifest::begin(&self.stripes.client));
        }
        let session = self.pending.last().map_or(self.stripes.client.session(), |placed| placed.write().session);
        Streamed { stripes: self.pending, manifest: self.manifest, session, size }
    }
}

fn accepted(outcome: Outcome) -> Result<(), Fault> {
    match outcome {
        Outcome::Refused(refusal) => Err(Fault::of_refusal(refusal)),
        _ => Ok(()),
    }
}

fn extents(placed: &[Placed]) -> Vec<NewExtent> {
    placed.iter().flat_map(Placed::extents).collect()
}

impl Streamed {
    /// Makes it what it is for.
    pub async fn commit(mut self, stripes: &Stripes, to: Destination, purpose: Purpose) -> Result<Outcome, Fault> {
        let mut operations = Vec::with_capacity(2);
        let content = match &mut self.manifest {
            Some(manifest) => {
                operations.push(manifest.next_extents(extents(&self.stripes), to.profile));
                manifest.content()
            }
            None => {
                assert!(self.stripes.len() <= VERSION_RANGES_MAX, "what is longer has a manifest");
                NewContent::Extents(extents(&self.stripes))
            }
        };
        operations.push(purpose.operation(to.bucket, to.key, content, self.session));
        let outcomes = stripes.commit(&mut self.stripes, operations).await?;
        let outcome = last_or_first_refusal(outcomes);
        if let (Some(manifest), Outcome::Put { .. } | Outcome::PartPut { .. }) = (self.manifest, &outcome) {
            manifest.keep();
        }
        Ok(outcome)
    }
}

/// Hashes extents in their order, beside everything else.
struct Hashing {
    together: Together,
    state: HashState,
}

enum HashState {
    Idle(Box<BodyHasher>),
    Running(JoinHandle<BodyHasher>),
    /// Only while one becomes the other.
    Taken,
}

impl Hashing {
    fn new(upload: &Upload, together: &Together) -> Self {
        Self { together: together.clone(), state: HashState::Idle(Box::new(BodyHasher::new(upload.promises()))) }
    }

    async fn hasher(&mut self) -> BodyHasher {
        match std::mem::replace(&mut self.state, HashState::Taken) {
            HashState::Idle(hasher) => *hasher,
            HashState::Running(task) => match task.await {
                Ok(hasher) => hasher,
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    // The runtime is shutting down, and whoever waits here goes with it.
                    Err(_) => std::future::pending().await,
                },
            },
            HashState::Taken => unreachable!("a request that was given up while it waited is not asked again"),
        }
    }

    async fn add(&mut self, data: bytes::Bytes, memory: Arc<crate::budget::Reservation>) {
        let (hasher, together) = (self.hasher().await, self.together.clone());
        self.state = HashState::Running(tokio::spawn(async move {
            let hasher = hasher.update_together(data, &together).await;
            drop(memory);
            hasher
        }));
    }

    async fn finish(mut self) -> Digests {
        self.hasher().await.finish()
    }
}
