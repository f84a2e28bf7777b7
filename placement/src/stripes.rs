//! From extents in memory to stripes that the log names.
//!
//! The order is what makes an acknowledged write safe (invariant 4), and nothing here may change it:
//!
//! ```text
//! ticket -> seal -> every chunk synced on its drive -> [MakeStripe .. SettleStripe] committed -> ticket dropped -> 200
//! ```
//!
//! The ticket keeps the session's mark below the write's names until the outcome is known, so that nobody condemns chunks
//! that may still be committed (invariant 7). What a failed attempt leaves on a drive is nobody's; the census finds it.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use cairn_core::stripe::{LARGE_BLOCK_BYTES, PACKED_BLOCK_BYTES};
use cairn_core::{BucketId, ChunkName, Clock, DriveId, Drives, ExtentId, Geometry, ObjectKey, StripeId, WriteId};
use cairn_erasure::{
    ChunkPlace, ChunkSource, CodingPool, SealedExtent, StripeBuilder, StripeExtent, StripePlaces, StripeReader,
    StripeWriter, Targets, WriteStripeError,
};
use cairn_machine::operation::{NewExtent, NewPlace, Operation};
use cairn_machine::rows::stripe::PlacedChunk;
use cairn_machine::{Outcome, Refusal, RowError};
use cairn_metadata::{Client, WriteTicket};

use crate::PlaceError;
use crate::topology::{Layout, Topology, Usable};

/// How often a stripe is built again because drives failed under it, each time with the geometry that the rest allows.
/// Every failure takes a drive out of the next attempt, so a few are enough to get past any that the safety allows.
const ATTEMPTS_MAX: usize = 4;

/// Bytes on their way into a stripe.
#[derive(Debug, Clone)]
pub struct PendingExtent {
    /// Its name, where it has one already and only its place changes; none for new bytes.
    pub id: Option<ExtentId>,
    /// The bucket of the object.
    pub bucket: BucketId,
    /// Its key.
    pub key: ObjectKey,
    /// The number of the part, for a part of an upload.
    pub part: Option<u16>,
    /// Which byte of the object, or of the part, is the first of these.
    pub offset: u64,
    /// The bytes; at least one, at most an extent's.
    pub data: Bytes,
}

/// How the extents of a stripe came together, which decides how it is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Many small ones.
    Packed,
    /// One large one.
    Large,
}

/// A stripe whose chunks are durable, and that the log does not know yet.
#[derive(Debug)]
pub struct Placed {
    ticket: WriteTicket,
    places: StripePlaces,
    extents: Vec<SealedExtent>,
}

/// Makes stripes. Cheap to share.
#[derive(Debug)]
pub struct Stripes {
    /// Where they are committed.
    pub client: Client,
    /// Where they may go.
    pub topology: Topology,
    /// The clock that dates chunks.
    pub clock: Arc<dyn Clock>,
    /// Where coding runs.
    pub pool: CodingPool,
    /// The drives.
    pub drives: Arc<Drives>,
    /// Puts chunks on drives.
    pub writer: StripeWriter,
    /// Reads them, for positions that have to be placed anew.
    pub reader: StripeReader,
    last_geometry: Mutex<Option<Geometry>>,
}

impl Stripes {
    /// Stripes on these drives, committed by this client.
    pub fn new(
        client: Client,
        drives: Arc<Drives>,
        pool: CodingPool,
        reader: StripeReader,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let topology = Topology::new(client.clone(), Arc::clone(&drives));
        let writer = StripeWriter::new(Arc::clone(&drives), pool.clone());
        Self { client, topology, clock, pool, drives, writer, reader, last_geometry: Mutex::new(None) }
    }

    /// What a write of so many bytes takes in memory: the bytes and their parity, by the geometry of the stripe before.
    /// Drives come and go seldom, and asking all of them costs more than a small object.
    ///
    /// Where too few drives take data this is a guess like any other, and no refusal: that is [`Self::place`]'s to say, and
    /// some writes need no drive at all, since their bytes stand in the metadata for now.
    pub fn footprint(&self, bytes: u64) -> Result<u64, RowError> {
        let geometry = *self.last_geometry.lock().unwrap_or_else(PoisonError::into_inner);
        let geometry = match geometry {
            Some(geometry) => geometry,
            None => {
                let layout = self.topology.layout()?;
                let usable = self.topology.usable(&layout).count();
                layout.standard.fit(usable).unwrap_or(layout.standard)
            }
        };
        Ok(bytes.div_ceil(geometry.k() as u64) * geometry.positions() as u64)
    }

    /// Codes extents together as one stripe and returns when every chunk of it is durable.
    pub async fn place(&self, packing: Packing, pending: &[PendingExtent]) -> Result<Placed, PlaceError> {
        let mut left = usize::MAX;
        let mut last = None;
        for _ in 0..ATTEMPTS_MAX {
            let layout = self.topology.layout()?;
            let usable = self.topology.usable(&layout);
            let geometry = fitting(&layout, usable.count().min(left))?;
            *self.last_geometry.lock().unwrap_or_else(PoisonError::into_inner) = Some(geometry);
            match self.place_as(geometry, packing, pending, &layout, &usable).await {
                Ok(placed) => return Ok(placed),
                Err(error) => {
                    let WriteStripeError::TooFewDrives { usable, .. } = &error;
                    tracing::warn!(%error, "a stripe is built again");
                    left = *usable;
                    last = Some(error);
                }
            }
        }
        Err(PlaceError::TooFewDrives(last))
    }

    /// Codes extents together as one stripe of this geometry, and of no other: what a re-encoding wants, which gains nothing
    /// from what happens to fit. Returns when every chunk of it is durable.
    pub async fn place_in(
        &self,
        geometry: Geometry,
        packing: Packing,
        pending: &[PendingExtent],
    ) -> Result<Placed, PlaceError> {
        let layout = self.topology.layout()?;
        let usable = self.topology.usable(&layout);
        let placed = self.place_as(geometry, packing, pending, &layout, &usable).await;
        placed.map_err(|error| PlaceError::TooFewDrives(Some(error)))
    }

    async fn place_as(
        &self,
        geometry: Geometry,
        packing: Packing,
        pending: &[PendingExtent],
        layout: &Layout,
        usable: &Usable,
    ) -> Result<Placed, WriteStripeError> {
        let ticket = self.client.begin_write();
        let block_bytes = match packing {
            Packing::Packed => PACKED_BLOCK_BYTES,
            Packing::Large => LARGE_BLOCK_BYTES,
        };
        let mut builder = StripeBuilder::new(StripeId(ticket.id()), geometry, block_bytes, self.clock.wall());
        for (extent, ordinal) in pending.iter().zip(0u16..) {
            builder.push(StripeExtent {
                id: extent.id.unwrap_or(ExtentId { write: ticket.id(), ordinal }),
                bucket: extent.bucket,
                key: extent.key.clone(),
                version: None,
                part: extent.part,
                object_offset: extent.offset,
                data: vec![extent.data.clone()],
            });
        }
        let sealed = builder.seal_on(&self.pool).await;
        let takes = |drive: DriveId| usable.contains(drive);
        let targets = Targets { ring: &layout.ring, usable: &takes };
        let written = self.writer.write(&sealed, targets, &mut || ticket.another()).await?;
        Ok(Placed { ticket, places: written.places, extents: sealed.extents })
    }

    /// Commits stripes with the operations that use them, in one proposal. The outcomes are those of these operations.
    ///
    /// A drive may leave the active ones between a write and its commit. Positions on such drives are placed anew before
    /// the log is asked, and again when it says so; several stripes that were refused together cannot be asked again,
    /// because those that were not refused have been dropped, so the client repeats the request.
    pub async fn commit(&self, stripes: &mut [Placed], operations: Vec<Operation>) -> Result<Vec<Outcome>, PlaceError> {
        let asked = operations.len();
        for _ in 0..ATTEMPTS_MAX {
            for stripe in stripes.iter_mut() {
                self.leave_inactive(stripe).await?;
            }
            let proposal = (stripes.iter().map(Placed::make))
                .chain(operations.iter().cloned())
                .chain(stripes.iter().map(Placed::settle))
                .collect();
            let mut outcomes = self.client.propose(proposal).await?;
            assert_eq!(outcomes.len(), asked + 2 * stripes.len(), "each operation has one outcome");
            let refused = outcomes[..stripes.len()].iter().find_map(|outcome| match outcome {
                Outcome::Refused(refusal) => Some(refusal.clone()),
                _ => None,
            });
            match (refused, &mut *stripes) {
                (None, _) => return Ok(outcomes.drain(stripes.len()..stripes.len() + asked).collect()),
                (Some(Refusal::PlaceAnew { positions }), [only]) => self.place_anew(only, &positions).await?,
                (Some(refusal), _) => return Err(PlaceError::Refused(refusal)),
            }
        }
        Err(PlaceError::Busy)
    }

    async fn leave_inactive(&self, stripe: &mut Placed) -> Result<(), PlaceError> {
        let layout = self.topology.layout()?;
        let places = stripe.places.positions.iter().zip(0u8..);
        let left: Vec<u8> =
            places.filter(|(place, _)| !layout.is_active(place.drive)).map(|(_, position)| position).collect();
        if left.is_empty() { Ok(()) } else { self.place_anew(stripe, &left).await }
    }

    /// Puts positions on other drives, from what lies on the drives already: the stripe's memory was given back when it
    /// was durable.
    async fn place_anew(&self, stripe: &mut Placed, positions: &[u8]) -> Result<(), PlaceError> {
        for &position in positions {
            let layout = self.topology.layout()?;
            let usable = self.topology.usable(&layout);
            let taken: Vec<DriveId> = stripe.places.positions.iter().map(|place| place.drive).collect();
            let drive = layout
                .ring
                .next(stripe.places.id, &taken, &|drive| usable.contains(drive))
                .ok_or(PlaceError::TooFewDrives(None))?;
            let write = stripe.ticket.another();
            let chunk = self
                .reader
                .chunk_anew(&stripe.places, position, ChunkSource::ItselfFirst, write, self.clock.wall())
                .await?;
            let name: ChunkName = *chunk.head.name();
            let put = async { self.drives.get(drive)?.put(chunk).await };
            put.await.map_err(|error| {
                tracing::warn!(%error, %name, "a chunk could not be placed anew");
                PlaceError::Busy
            })?;
            stripe.places.positions[position as usize] = ChunkPlace { drive, write };
        }
        Ok(())
    }
}

/// The geometry that the drives allow, or the refusal of a write that would be less safe than promised (invariant 9).
fn fitting(layout: &Layout, drives: usize) -> Result<Geometry, PlaceError> {
    layout.standard.fit(drives).ok_or(PlaceError::TooFewDrives(None))
}

impl Placed {
    /// The write that the stripe is named by; its session is the one that can commit it.
    pub fn write(&self) -> WriteId {
        self.ticket.id()
    }

    /// The stripe's name.
    pub fn stripe(&self) -> StripeId {
        self.places.id
    }

    /// Where each chunk lies, and under which name.
    pub fn chunks(&self) -> impl Iterator<Item = (DriveId, ChunkName)> + '_ {
        let positions = self.places.positions.iter().zip(0u8..);
        positions
            .map(|(place, position)| (place.drive, ChunkName { stripe: self.places.id, position, write: place.write }))
    }

    /// Each extent with its offset in the stripe's data.
    pub fn offsets(&self) -> impl Iterator<Item = (ExtentId, u64)> + '_ {
        self.extents.iter().map(|extent| (extent.id, extent.offset))
    }

    /// The extents, as an operation brings them.
    pub fn extents(&self) -> impl Iterator<Item = NewExtent> + '_ {
        let stripe = self.places.id;
        self.extents.iter().map(move |extent| NewExtent {
            id: extent.id,
            length: u32::try_from(extent.length).expect("an extent has at most 16 MiB"),
            place: NewPlace::Stripe { stripe, offset: extent.offset },
        })
    }

    fn make(&self) -> Operation {
        let positions = self.places.positions.iter();
        Operation::MakeStripe {
            id: self.places.id,
            shape: self.places.shape,
            positions: positions.map(|place| PlacedChunk { drive: place.drive, write: place.write }).collect(),
        }
    }

    fn settle(&self) -> Operation {
        Operation::SettleStripe { id: self.places.id }
    }
}
