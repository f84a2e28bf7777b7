//! Small objects share stripes.
//!
//! ```text
//! put --+                                  +--> answered
//! put --+--> bounded queue --> one flush --+--> answered      while flushes are under way, the next one gathers
//! put --+                                  +--> answered
//! ```
//! A flush codes what has gathered as one stripe, waits until it is durable, and commits all of it in one proposal. What is
//! too little for a stripe travels in the proposal itself and stands in the metadata until a rewrite packs it: a lone small
//! PUT costs the log's syncs and no others, and leaves no tiny stripe behind. Alone, a small PUT waits for nobody: there is
//! no timer here. In a crowd a flush lets everybody have a turn who is ready to
//! run, for as long as that brings more: the clients that the flush before has answered come back a moment later, and
//! the first of them must not leave alone.

use std::sync::Arc;

use bytes::Bytes;
use cairn_core::ExtentId;
use cairn_core::units::{KIB, MIB, STRIPE_EXTENTS_MAX};
use cairn_machine::operation::{NewContent, NewExtent, NewPlace};
use cairn_machine::rows::here::HereLedgerRow;
use cairn_machine::{Outcome, Refusal, Row};
use cairn_metadata::authorship;
use cairn_placement::{Packing, PendingExtent, Stripes};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::purpose::{Destination, Purpose};
use crate::budget::Reservation;
use crate::fault::Fault;

/// Objects of at most this many bytes are packed. Larger ones fill a stripe well enough by themselves.
pub const PACKED_BYTES_MAX: u64 = MIB;

/// How many flushes are under way at once: one whose chunks are being synced, and one that is being committed.
const FLUSHES_MAX: usize = 2;

/// How many objects may wait to be gathered: two stripes' worth. Their memory is reserved, so this bounds only how long
/// the line is; who comes later waits before it.
const QUEUE_MAX: usize = 2 * STRIPE_EXTENTS_MAX;

/// A flush of at most this many bytes stands in the metadata for now.
const HERE_FLUSH_BYTES_MAX: usize = 64 * KIB as usize;

/// While this much stands there, every flush is coded at once: the metadata is no place for what does not stop coming.
const HERE_BYTES_MAX: u64 = 64 * MIB;

/// How many turns a flush gives to a crowd: each takes as long as everybody who can run needs for a step.
const TURNS_MAX: usize = 8;

/// The most bytes of objects in one flush, so that none of them waits for more than some ten milliseconds of coding.
const FLUSH_BYTES_MAX: usize = 8 * MIB as usize;

/// The most bytes that the operations of one flush take, well below what a proposal may have.
const FLUSH_WEIGHT_MAX: usize = 768 * 1024;

/// What every operation takes in the log beside its key and what its client said: attributes, names, places.
const OPERATION_WEIGHT: usize = 320;

/// A small object, or a small part of one, that is to be stored.
#[derive(Debug)]
pub struct SmallObject {
    /// Where it goes.
    pub to: Destination,
    /// What it is there.
    pub purpose: Purpose,
    /// Its bytes: 1 to [`PACKED_BYTES_MAX`].
    pub data: Bytes,
    /// The memory of its bytes and their parity.
    pub memory: Reservation,
}

#[derive(Debug)]
struct Arrival {
    object: SmallObject,
    author: Option<Arc<str>>,
    reply: oneshot::Sender<Result<Outcome, Fault>>,
}

impl Arrival {
    fn weight(&self) -> usize {
        OPERATION_WEIGHT + self.object.to.weight + 2 * self.object.to.key.as_str().len()
    }
}

/// The way to the packer. Cheap to clone; the packer ends with the last clone.
#[derive(Debug, Clone)]
pub struct Packer {
    queue: mpsc::Sender<Arrival>,
}

impl Packer {
    /// Starts packing into these stripes.
    pub fn start(stripes: Arc<Stripes>) -> Self {
        let (queue, arrivals) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(pack(arrivals, stripes));
        Self { queue }
    }

    /// Stores a small object together with others. The outcome is that of its own operation. Dropping the future gives
    /// the answer up, not the object.
    pub async fn put(&self, object: SmallObject) -> Result<Outcome, Fault> {
        assert!((1..=PACKED_BYTES_MAX).contains(&(object.data.len() as u64)), "only small objects are packed");
        let (reply, answer) = oneshot::channel();
        if self.queue.send(Arrival { object, author: authorship::author(), reply }).await.is_err() {
            return Err(Fault::Unavailable("the packer has stopped".into()));
        }
        answer.await.map_err(|_| Fault::Unknown("a flush broke off".into()))?
    }
}

async fn pack(mut arrivals: mpsc::Receiver<Arrival>, stripes: Arc<Stripes>) {
    let under_way = Arc::new(Semaphore::new(FLUSHES_MAX));
    let mut left_over = None;
    loop {
        let first = match left_over.take() {
            Some(arrival) => arrival,
            None => match arrivals.recv().await {
                Some(arrival) => arrival,
                None => return,
            },
        };
        let slot = Arc::clone(&under_way).acquire_owned().await.expect("the semaphore is never closed");
        let mut flush = Gathered::default();
        flush.add(first);
        let crowded = under_way.available_permits() < FLUSHES_MAX - 1;
        for _ in 0..TURNS_MAX {
            let before = flush.arrivals.len();
            left_over = flush.gather(&mut arrivals);
            let grew = flush.arrivals.len() > before || before == 1;
            if !crowded || !grew || left_over.is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
        let stripes = Arc::clone(&stripes);
        tokio::spawn(async move {
            flush.carry_out(&stripes).await;
            drop(slot);
        });
    }
}

/// What one flush stores.
#[derive(Debug, Default)]
struct Gathered {
    arrivals: Vec<Arrival>,
    bytes: usize,
    weight: usize,
}

impl Gathered {
    fn has_room_for(&self, arrival: &Arrival) -> bool {
        self.arrivals.len() < STRIPE_EXTENTS_MAX
            && self.bytes + arrival.object.data.len() <= FLUSH_BYTES_MAX
            && self.weight + arrival.weight() <= FLUSH_WEIGHT_MAX
    }

    fn add(&mut self, arrival: Arrival) {
        self.bytes += arrival.object.data.len();
        self.weight += arrival.weight();
        self.arrivals.push(arrival);
    }

    /// Adds what waits; what does not fit any more is handed back.
    fn gather(&mut self, arrivals: &mut mpsc::Receiver<Arrival>) -> Option<Arrival> {
        while let Ok(arrival) = arrivals.try_recv() {
            if !self.has_room_for(&arrival) {
                return Some(arrival);
            }
            self.add(arrival);
        }
        None
    }

    async fn carry_out(self, stripes: &Stripes) {
        let mut replies = Vec::with_capacity(self.arrivals.len());
        let mut objects = Vec::with_capacity(self.arrivals.len());
        let mut authors = Vec::with_capacity(self.arrivals.len());
        for Arrival { object, author, reply } in self.arrivals {
            replies.push(reply);
            objects.push(object);
            authors.push(author);
        }
        match authorship::of_each(authors, store(stripes, objects)).await {
            Ok(outcomes) => {
                // Who no longer waits is not missed: the object is there, and says so when it is asked for.
                for (reply, outcome) in replies.into_iter().zip(outcomes) {
                    let _ = reply.send(Ok(outcome));
                }
            }
            Err(fault) => {
                let count = replies.len();
                tracing::warn!(%fault, count, "a flush of small objects failed");
                for reply in replies {
                    let _ = reply.send(Err(repeated(&fault)));
                }
            }
        }
    }
}

/// The same fault, for each of those whom it hit. What only an operator can use is said once, above.
fn repeated(fault: &Fault) -> Fault {
    match fault {
        Fault::Busy => Fault::Busy,
        Fault::TooFewDrives(_) => Fault::TooFewDrives(None),
        Fault::Unknown(reason) => Fault::Unknown(reason.clone()),
        other => Fault::Unavailable(other.to_string()),
    }
}

async fn store(stripes: &Stripes, objects: Vec<SmallObject>) -> Result<Vec<Outcome>, Fault> {
    let bytes: usize = objects.iter().map(|object| object.data.len()).sum();
    if bytes <= HERE_FLUSH_BYTES_MAX && standing_here(stripes)? + bytes as u64 <= HERE_BYTES_MAX {
        store_here(stripes, objects).await
    } else {
        store_in_stripe(stripes, objects).await
    }
}

/// How many bytes stand in the metadata, as far as this node knows: a bound that others may pass for a moment, and no
/// promise.
fn standing_here(stripes: &Stripes) -> Result<u64, Fault> {
    let ledger = HereLedgerRow::get(&stripes.client.read_stale(), &())?;
    Ok(ledger.map_or(0, |ledger| ledger.bytes))
}

/// The bytes travel in the log, and are as durable as the commit.
async fn store_here(stripes: &Stripes, objects: Vec<SmallObject>) -> Result<Vec<Outcome>, Fault> {
    let ticket = stripes.client.begin_write();
    let session = ticket.id().session;
    let mut operations = Vec::with_capacity(objects.len());
    let mut held = Vec::with_capacity(objects.len());
    for (object, ordinal) in objects.into_iter().zip(0u16..) {
        let SmallObject { to: Destination { bucket, key, .. }, purpose, data, memory } = object;
        let length = u32::try_from(data.len()).expect("a flush that stands here is short");
        let id = ExtentId { write: ticket.id(), ordinal };
        let extent = NewExtent { id, length, place: NewPlace::Here(Vec::from(data).into()) };
        operations.push(purpose.operation(bucket, key, NewContent::Extents(vec![extent]), session));
        held.push(memory);
    }
    // The log has a copy of the operations, and bounds of its own.
    let outcomes = stripes.client.propose(operations).await?;
    drop((ticket, held));
    Ok(outcomes)
}

async fn store_in_stripe(stripes: &Stripes, objects: Vec<SmallObject>) -> Result<Vec<Outcome>, Fault> {
    let mut pending = Vec::with_capacity(objects.len());
    let mut held = Vec::with_capacity(objects.len());
    let mut asked = Vec::with_capacity(objects.len());
    for object in objects {
        let SmallObject { to: Destination { bucket, key, part, .. }, purpose, data, memory } = object;
        pending.push(PendingExtent { id: None, bucket, key: key.clone(), part, offset: 0, data });
        asked.push((bucket, key, purpose));
        held.push(memory);
    }
    let placed = stripes.place(Packing::Packed, &pending).await?;
    // Every chunk is on its drive: the memory goes back before anything else is waited for.
    drop((pending, held));
    let session = placed.write().session;
    let operations = asked.into_iter().zip(placed.extents()).map(|((bucket, key, purpose), extent)| {
        purpose.operation(bucket, key, NewContent::Extents(vec![extent]), session)
    });
    let operations = operations.collect();
    let mut placed = [placed];
    let outcomes = stripes.commit(&mut placed, operations).await?;
    debug_assert!(!outcomes.contains(&Outcome::Refused(Refusal::Depends)), "the stripe was made");
    Ok(outcomes)
}
