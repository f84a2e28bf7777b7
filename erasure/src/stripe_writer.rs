//! Sealed stripes onto drives.
//!
//! All k+m chunks are put at once, each acknowledged by its drive when it is durable, and the write is done when all of
//! them are: what the metadata is going to name is synced before it is named (invariant 4), and a write made while
//! drives are down keeps all its parity (invariant 9). A drive that does not take its chunk is replaced by the ring's
//! next, under a new write id for that position, because the first attempt may have left something behind (invariant 5).
//!
//! Every name under which something may have been left is handed back, so that the caller can condemn what it does not
//! commit (invariant 7). A write whose future is dropped hands nothing back; the census finds what it left.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use cairn_core::chunk::ChunkName;
use cairn_core::{ChunkError, ChunkStore, DriveId, Drives, Ring, StripeId, WriteId};
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use crate::pool::CodingPool;
use crate::stripe_builder::SealedStripe;
use crate::stripe_places::{ChunkPlace, PositionFault, StripePlaces, in_words};

/// Where a write may go.
#[derive(Clone, Copy)]
pub struct Targets<'a> {
    /// The drives and their weights.
    pub ring: &'a Ring,
    /// Which of them may be written to now: active in the log, and neither suspect nor full as far as is known.
    pub usable: &'a (dyn Fn(DriveId) -> bool + Sync),
}

impl fmt::Debug for Targets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} usable drives", self.ring.count(self.usable))
    }
}

/// A chunk that may lie on a drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attempt {
    /// Where.
    pub drive: DriveId,
    /// Under which name.
    pub chunk: ChunkName,
}

/// A stripe whose chunks are all durable.
#[derive(Debug, Clone)]
pub struct WrittenStripe {
    /// The stripe and where its chunks are: what the metadata is to name.
    pub places: StripePlaces,
    /// What else may have been left on drives on the way. To be condemned.
    pub orphans: Vec<Attempt>,
    /// What made the write go elsewhere than the ring first said. The write is as good as any; the drives want a look.
    pub faults: Vec<PositionFault>,
}

/// Why a stripe could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteStripeError {
    /// Fewer drives took a chunk than the stripe has positions. Build the stripe again with the geometry that
    /// [fits](cairn_core::Geometry::fit) the drives that are left, or refuse the write where none does. Either way
    /// condemn the attempts.
    #[error("{stripe} wants {wanted} drives and {usable} can be used: {}", in_words(faults))]
    TooFewDrives {
        /// Which stripe.
        stripe: StripeId,
        /// How many positions it has.
        wanted: usize,
        /// How many drives are left: usable, and not failed during this write.
        usable: usize,
        /// What may have been left on drives, successful puts included.
        attempts: Vec<Attempt>,
        /// Which drives failed, and why.
        faults: Vec<PositionFault>,
    },
}

/// Writes stripes to drives. Cheap to clone.
#[derive(Debug, Clone)]
pub struct StripeWriter {
    drives: Arc<Drives>,
    pool: CodingPool,
}

/// One position on its way to one drive.
#[derive(Clone, Copy)]
struct Put {
    position: u8,
    place: ChunkPlace,
}

/// One write of some positions of a stripe: what was decided, and what has come of it.
struct Placement<'a> {
    sealed: &'a SealedStripe,
    targets: Targets<'a>,
    fresh: &'a mut (dyn FnMut() -> WriteId + Send),
    /// Where each position lies or is on its way to.
    places: Vec<Option<ChunkPlace>>,
    /// Drives that failed this write, or hold an attempt that was refused. Not asked again.
    failed: BTreeSet<DriveId>,
    waiting: Vec<Put>,
    attempts: BTreeSet<Attempt>,
    faults: Vec<PositionFault>,
    short: bool,
}

impl StripeWriter {
    /// A writer to these drives. The pool hashes chunks that have to be renamed.
    pub fn new(drives: Arc<Drives>, pool: CodingPool) -> Self {
        Self { drives, pool }
    }

    /// Writes all chunks of a stripe, on the ring's first choice of drives as far as they take them. The stripe's own
    /// write id names the first attempt at each position; `fresh` gives one for each further attempt, never the same
    /// twice.
    pub async fn write(
        &self,
        sealed: &SealedStripe,
        targets: Targets<'_>,
        fresh: &mut (dyn FnMut() -> WriteId + Send),
    ) -> Result<WrittenStripe, WriteStripeError> {
        let wanted = sealed.shape.geometry.positions();
        let chosen = targets.ring.place(sealed.id, wanted, targets.usable).map_err(|few| {
            let (attempts, faults) = (Vec::new(), Vec::new());
            WriteStripeError::TooFewDrives { stripe: sealed.id, wanted, usable: few.usable, attempts, faults }
        })?;
        let mut placement = Placement::new(sealed, targets, fresh, vec![None; wanted]);
        for (position, drive) in chosen.into_iter().enumerate() {
            placement.aim(Put { position: position as u8, place: ChunkPlace { drive, write: sealed.id.0 } });
        }
        self.carry_out(placement).await
    }

    /// Places some positions of a written stripe anew, each on a drive that holds none of it: what the log asks for when
    /// it refuses a commit because a drive has meanwhile left the active ones (invariant 6).
    pub async fn place_again(
        &self,
        sealed: &SealedStripe,
        written: WrittenStripe,
        positions: &[u8],
        targets: Targets<'_>,
        fresh: &mut (dyn FnMut() -> WriteId + Send),
    ) -> Result<WrittenStripe, WriteStripeError> {
        assert_eq!(written.places.id, sealed.id, "a stripe is placed again from its own chunks");
        let mut places: Vec<Option<ChunkPlace>> = written.places.positions.iter().copied().map(Some).collect();
        let mut refused = Vec::with_capacity(positions.len());
        for &position in positions {
            let place = places[position as usize].take().expect("a position is refused once");
            refused.push((position, place));
        }
        let mut placement = Placement::new(sealed, targets, fresh, places);
        placement.faults = written.faults;
        placement.attempts.extend(written.orphans);
        placement.attempts.extend(written.places.positions.iter().zip(0..).map(|(place, position)| Attempt {
            drive: place.drive,
            chunk: ChunkName { stripe: sealed.id, position, write: place.write },
        }));
        placement.failed.extend(refused.iter().map(|(_, place)| place.drive));
        for (position, _) in refused {
            placement.aim_elsewhere(position);
        }
        self.carry_out(placement).await
    }

    async fn carry_out(&self, mut placement: Placement<'_>) -> Result<WrittenStripe, WriteStripeError> {
        let mut puts = FuturesUnordered::new();
        loop {
            while let Some(put) = placement.waiting.pop() {
                match self.drives.get(put.place.drive) {
                    Ok(store) => {
                        placement.attempts.insert(placement.attempt(put));
                        puts.push(self.put(store, placement.sealed, put));
                    }
                    // Not reached, so nothing can have been left there.
                    Err(error) => placement.on_failed(put, error),
                }
            }
            // Once drives are too few the others are still waited for: a put that was given up half-way could land after
            // what it left was condemned and deleted.
            match puts.next().await {
                None => return placement.finish(),
                Some((_, Ok(()))) => {}
                Some((put, Err(error))) => placement.on_failed(put, error),
            }
        }
    }

    async fn put(&self, store: Arc<dyn ChunkStore>, sealed: &SealedStripe, put: Put) -> (Put, Result<(), ChunkError>) {
        let Put { position, place } = put;
        let chunk = if place.write == sealed.id.0 {
            sealed.renamed(position, place.write)
        } else {
            let sealed = sealed.clone();
            let bytes = sealed.shape.chunk_bytes as usize;
            self.pool.run(bytes, move || sealed.renamed(position, place.write)).await
        };
        (put, store.put(chunk).await)
    }
}

impl<'a> Placement<'a> {
    fn new(
        sealed: &'a SealedStripe,
        targets: Targets<'a>,
        fresh: &'a mut (dyn FnMut() -> WriteId + Send),
        places: Vec<Option<ChunkPlace>>,
    ) -> Self {
        let (failed, attempts) = (BTreeSet::new(), BTreeSet::new());
        let (waiting, faults) = (Vec::new(), Vec::new());
        Self { sealed, targets, fresh, places, failed, waiting, attempts, faults, short: false }
    }

    fn attempt(&self, put: Put) -> Attempt {
        let chunk = ChunkName { stripe: self.sealed.id, position: put.position, write: put.place.write };
        Attempt { drive: put.place.drive, chunk }
    }

    fn aim(&mut self, put: Put) {
        self.places[put.position as usize] = Some(put.place);
        self.waiting.push(put);
    }

    fn aim_elsewhere(&mut self, position: u8) {
        self.places[position as usize] = None;
        if self.short {
            return;
        }
        let taken: Vec<DriveId> = self.places.iter().flatten().map(|place| place.drive).collect();
        let Targets { ring, usable } = self.targets;
        match ring.next(self.sealed.id, &taken, &|drive| usable(drive) && !self.failed.contains(&drive)) {
            Some(drive) => {
                let write = (self.fresh)();
                self.aim(Put { position, place: ChunkPlace { drive, write } });
            }
            None => self.short = true,
        }
    }

    fn on_failed(&mut self, put: Put, error: ChunkError) {
        let Put { position, place } = put;
        tracing::warn!(stripe = %self.sealed.id, position, drive = %place.drive, %error, "a chunk goes to another drive");
        self.faults.push(PositionFault { position, drive: place.drive, error });
        self.failed.insert(place.drive);
        self.aim_elsewhere(position);
    }

    fn finish(self) -> Result<WrittenStripe, WriteStripeError> {
        let Self { sealed, targets, places, failed, mut attempts, faults, short, .. } = self;
        if short {
            return Err(WriteStripeError::TooFewDrives {
                stripe: sealed.id,
                wanted: sealed.shape.geometry.positions(),
                usable: targets.ring.count(&|drive| (targets.usable)(drive) && !failed.contains(&drive)),
                attempts: attempts.into_iter().collect(),
                faults,
            });
        }
        let positions: Vec<ChunkPlace> =
            places.into_iter().map(|place| place.expect("every position was put or drives were too few")).collect();
        let drives: BTreeSet<DriveId> = positions.iter().map(|place| place.drive).collect();
        assert_eq!(drives.len(), positions.len(), "a stripe's chunks are on distinct drives");
        let places = StripePlaces { id: sealed.id, shape: sealed.shape, positions };
        for (place, position) in places.positions.iter().zip(0..) {
            let kept = attempts.remove(&Attempt { drive: place.drive, chunk: places.chunk(position) });
            assert!(kept, "what is named was put");
        }
        Ok(WrittenStripe { places, orphans: attempts.into_iter().collect(), faults })
    }
}

#[cfg(test)]
mod tests;
