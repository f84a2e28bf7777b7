//! Any range after any m losses, and what healthy reads do not touch.

use cairn_core::stripe::{LARGE_BLOCK_BYTES, PACKED_BLOCK_BYTES};
use cairn_core::{BucketId, ExtentId, Geometry, ObjectKey};
use futures::executor::block_on;
use proptest::prelude::*;

use super::*;
use crate::stripe_builder::{StripeBuilder, StripeExtent};
use crate::stripe_writer::{StripeWriter, Targets};
use crate::testing::{DriveFault, FaultLog, MemoryDrives, bytes_of};

/// A written stripe of one or more extents, and everything around it.
struct Fixture {
    memory: MemoryDrives,
    faults: Arc<FaultLog>,
    reader: StripeReader,
    places: StripePlaces,
    /// The extents' bytes, one after the other.
    data: Bytes,
}

impl Fixture {
    fn new(geometry: &str, block_bytes: u32, lengths: &[usize]) -> Self {
        block_on(Self::with_pool(geometry, block_bytes, lengths, CodingPool::inline()))
    }

    async fn with_pool(geometry: &str, block_bytes: u32, lengths: &[usize], pool: CodingPool) -> Self {
        let geometry: Geometry = geometry.parse().unwrap();
        let memory = MemoryDrives::new(geometry.positions() + 2);
        let write = memory.fresh();
        let data = bytes_of(7, lengths.iter().sum());
        let mut builder = StripeBuilder::new(StripeId(write), geometry, block_bytes, WallTime(0));
        let mut rest = data.clone();
        for (ordinal, &length) in lengths.iter().enumerate() {
            builder.push(StripeExtent {
                id: ExtentId { write, ordinal: ordinal as u16 },
                bucket: BucketId(1),
                key: ObjectKey::new(format!("key/{ordinal}")).unwrap(),
                version: None,
                part: None,
                object_offset: 0,
                data: vec![rest.split_to(length)],
            });
        }
        let sealed = builder.seal_on(&pool).await;
        let writer = StripeWriter::new(memory.drives.clone(), pool.clone());
        let targets = Targets { ring: &memory.ring, usable: &|_| true };
        let places = writer.write(&sealed, targets, &mut || memory.fresh()).await.unwrap().places;
        let faults = Arc::new(FaultLog::default());
        let reader = StripeReader::new(memory.drives.clone(), pool, faults.clone());
        Self { memory, faults, reader, places, data }
    }

    fn read(&self, range: Range<u64>) -> Result<Vec<u8>, ReadStripeError> {
        block_on(self.reader.read(&self.places, range)).map(|parts| parts.concat())
    }

    fn drive_of(&self, position: u8) -> &crate::testing::MemoryDrive {
        self.memory.drive(self.places.positions[position as usize].drive)
    }

    fn damage(&self, position: u8, block: u32) {
        assert!(self.drive_of(position).damage(self.places.chunk(position), block));
    }

    fn fail(&self, position: u8, how: Harm) {
        let chunk = self.places.chunk(position);
        let last_block = (self.places.shape.chunk_bytes - 1) / self.places.shape.block_bytes;
        match how {
            Harm::Missing => assert!(self.drive_of(position).lose(chunk)),
            Harm::FirstBlock => self.damage(position, 0),
            Harm::LastBlock => self.damage(position, last_block),
            Harm::Unavailable => self.drive_of(position).set_fault(DriveFault::Unavailable),
            Harm::Disconnected => {
                self.memory.drives.remove(self.places.positions[position as usize].drive);
            }
        }
    }

    /// Reports since the last call, by position.
    fn reported(&self) -> Vec<u8> {
        let mut positions: Vec<u8> = self.faults.take().into_iter().map(|(_, position, ..)| position).collect();
        positions.sort_unstable();
        positions
    }
}

#[derive(Debug, Clone, Copy)]
enum Harm {
    Missing,
    FirstBlock,
    LastBlock,
    Unavailable,
    Disconnected,
}

fn any_harm() -> impl Strategy<Value = Harm> {
    use Harm::{Disconnected, FirstBlock, LastBlock, Missing, Unavailable};
    prop_oneof![Just(Missing), Just(FirstBlock), Just(LastBlock), Just(Unavailable), Just(Disconnected)]
}

/// Lengths around every boundary: of units, blocks and chunks.
fn any_length() -> impl Strategy<Value = usize> {
    let around = |at: usize| at.saturating_sub(70).max(1)..at + 70;
    prop_oneof![
        around(1),
        around(64),
        around(4096),
        around(8192),
        around(16_384),
        around(65_536),
        around(131_072),
        1..300_000usize
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_range_is_read_after_any_m_losses(
        geometry in prop_oneof![
            Just("1+0"), Just("1+1"), Just("1+2"), Just("2+1"), Just("2+2"), Just("4+2"), Just("6+3"), Just("8+4"),
        ],
        packed: bool,
        lengths in proptest::collection::vec(any_length(), 1..4),
        order in proptest::collection::vec(any::<u32>(), 12),
        harms in proptest::collection::vec(any_harm(), 4),
        ranges in proptest::collection::vec((any::<u32>(), any::<u32>()), 1..5),
    ) {
        let block = if packed { PACKED_BLOCK_BYTES } else { LARGE_BLOCK_BYTES };
        let stripe = Fixture::new(geometry, block, &lengths);
        let shape = stripe.places.shape;
        let length = stripe.data.len() as u64;
        let mut positions: Vec<u8> = (0..shape.geometry.positions() as u8).collect();
        positions.sort_by_key(|&position| order[position as usize]);
        positions.truncate(shape.geometry.m());
        for (&position, &harm) in positions.iter().zip(&harms) {
            stripe.fail(position, harm);
        }
        let mut ranges: Vec<Range<u64>> = ranges
            .into_iter()
            .map(|(a, b)| u64::from(a.min(b)) % (length + 1)..u64::from(a.max(b)) % (length + 1))
            .filter(|range| range.start <= range.end)
            .collect();
        ranges.push(0..length);
        for range in ranges {
            let read = stripe.read(range.clone()).unwrap();
            prop_assert!(read == stripe.data[range.start as usize..range.end as usize], "{range:?} of {length}");
            let mut reported = stripe.reported();
            reported.dedup();
            prop_assert!(reported.iter().all(|position| positions.contains(position)));
        }
        let toc = block_on(stripe.reader.read_toc(&stripe.places)).unwrap();
        prop_assert_eq!(toc.len(), lengths.len());
    }

    #[test]
    fn any_chunk_is_made_anew_from_any_k_others(
        geometry in prop_oneof![Just("1+1"), Just("2+1"), Just("2+2"), Just("4+2"), Just("6+3")],
        length in any_length(),
        order in proptest::collection::vec(any::<u32>(), 12),
        harms in proptest::collection::vec(any_harm(), 3),
    ) {
        let stripe = Fixture::new(geometry, PACKED_BLOCK_BYTES, &[length]);
        let mut positions: Vec<u8> = (0..stripe.places.positions.len() as u8).collect();
        positions.sort_by_key(|&position| order[position as usize]);
        positions.truncate(stripe.places.shape.geometry.m());
        let before: Vec<Bytes> = positions.iter().map(|&position| chunk_bytes(&stripe, position)).collect();
        for (&position, &harm) in positions.iter().zip(&harms) {
            stripe.fail(position, harm);
        }
        for (&position, before) in positions.iter().zip(before) {
            for source in [ChunkSource::Others, ChunkSource::ItselfFirst] {
                let write = stripe.memory.fresh();
                let made = stripe.reader.chunk_anew(&stripe.places, position, source, write, WallTime(8));
                let made = block_on(made).unwrap();
                prop_assert_eq!(made.head.name().write, write);
                prop_assert!(made.body.concat() == before);
                prop_assert!(made.head.verify(0, &before).is_ok());
            }
        }
    }
}

fn chunk_bytes(stripe: &Fixture, position: u8) -> Bytes {
    block_on(stripe.reader.fetch(&stripe.places, position, 0..stripe.places.shape.chunk_bytes)).unwrap()
}

fn reads(stripe: &Fixture) -> Vec<(u64, u64)> {
    let positions = 0..stripe.places.positions.len() as u8;
    positions.map(|position| stripe.drive_of(position).take_reads()).collect()
}

#[test]
fn a_small_healthy_read_touches_one_block_of_one_drive() {
    let stripe = Fixture::new("4+2", PACKED_BLOCK_BYTES, &[4096; 64]);
    assert_eq!(stripe.read(4096 * 20..4096 * 21).unwrap(), stripe.data[4096 * 20..4096 * 21]);
    let touched: Vec<(u64, u64)> = reads(&stripe).into_iter().filter(|read| read.0 > 0).collect();
    assert_eq!(touched, [(1, 4096)]);
    assert!(stripe.read(5..5).unwrap().is_empty());
    assert!(reads(&stripe).iter().all(|read| read.0 == 0), "nothing is read for nothing");
    assert!(stripe.reported().is_empty());
}

#[test]
fn a_small_degraded_read_touches_the_same_block_of_k_others() {
    let stripe = Fixture::new("4+2", PACKED_BLOCK_BYTES, &[4096; 64]);
    stripe.fail(1, Harm::Missing);
    assert_eq!(stripe.read(4096 * 20..4096 * 21).unwrap(), stripe.data[4096 * 20..4096 * 21]);
    let touched: Vec<(u64, u64)> = reads(&stripe).into_iter().filter(|read| read.1 > 0).collect();
    assert_eq!(touched, [(1, 4096); 4]);
    assert_eq!(stripe.reported(), [1]);
}

#[test]
fn a_chunk_that_failed_is_not_asked_again() {
    let stripe = Fixture::new("4+2", PACKED_BLOCK_BYTES, &[200_000]);
    stripe.fail(0, Harm::Missing);
    stripe.fail(1, Harm::Missing);
    // The end of one chunk and the beginning of the next: two decodings that have no column in common.
    let middle = u64::from(stripe.places.shape.chunk_bytes);
    assert_eq!(stripe.read(middle - 100..middle + 100).unwrap(), stripe.data[middle as usize - 100..][..200]);
    let reads = reads(&stripe);
    assert_eq!((reads[0].0, reads[1].0), (1, 1));
    assert_eq!(reads[2..].iter().map(|read| read.0).sum::<u64>(), 2 * 4, "and no more than the two rows is read");
    assert_eq!(stripe.reported(), [0, 1]);
}

#[test]
fn a_long_degraded_read_reads_nothing_twice() {
    let stripe = Fixture::new("4+2", LARGE_BLOCK_BYTES, &[4_000_000]);
    stripe.fail(2, Harm::Missing);
    assert_eq!(stripe.read(0..4_000_000).unwrap(), stripe.data);
    let read: u64 = reads(&stripe).iter().map(|read| read.1).sum();
    let chunk = u64::from(stripe.places.shape.chunk_bytes);
    // The last data chunk's tail holds the table of contents, which the reader did not ask for and the decoder needs.
    assert!(read <= 4 * chunk + 2 * u64::from(LARGE_BLOCK_BYTES), "{read} bytes of chunks of {chunk}");
}

#[test]
fn more_losses_than_parity_are_an_error_that_says_which() {
    let stripe = Fixture::new("4+2", PACKED_BLOCK_BYTES, &[100_000]);
    stripe.fail(0, Harm::Missing);
    stripe.fail(3, Harm::Unavailable);
    stripe.fail(5, Harm::Missing);
    let error = stripe.read(0..10).unwrap_err();
    assert!(error.may_have_moved());
    let ReadStripeError::TooFewChunks { needed, positions, faults, stripe: id } = error;
    assert_eq!((needed, positions, id), (4, 6, stripe.places.id));
    assert_eq!(faults.iter().map(|fault| fault.position).collect::<Vec<_>>(), [0, 3, 5]);
    assert!(matches!(faults[1].error, ChunkError::Unavailable(..)));
    assert_eq!(stripe.reported(), [0, 3, 5]);
    assert_eq!(stripe.read(30_000..30_010).unwrap(), stripe.data[30_000..30_010], "what lies on living drives is read");
    let anew = stripe.reader.chunk_anew(&stripe.places, 0, ChunkSource::Others, stripe.memory.fresh(), WallTime(0));
    assert!(block_on(anew).is_err());

    let alone = Fixture::new("1+0", PACKED_BLOCK_BYTES, &[100]);
    alone.fail(0, Harm::FirstBlock);
    let error = alone.read(0..100).unwrap_err();
    assert!(!error.may_have_moved(), "damage does not move");
}

#[test]
fn scattered_damage_costs_nothing_while_every_row_has_enough() {
    // Every chunk is damaged somewhere, and no row of blocks in more than two places.
    let stripe = Fixture::new("4+2", PACKED_BLOCK_BYTES, &[400_000]);
    for position in 0..6 {
        stripe.damage(position, u32::from(position) * 2);
        stripe.damage(position, u32::from(position) * 2 + 1);
    }
    assert_eq!(stripe.read(0..400_000).unwrap(), stripe.data);
    assert_eq!(stripe.reported(), [0, 1, 2, 3], "each once, and parity was not needed");
    for position in 0..6 {
        let anew =
            stripe.reader.chunk_anew(&stripe.places, position, ChunkSource::Others, stripe.memory.fresh(), WallTime(0));
        let made = block_on(anew).unwrap();
        made.head.verify(0, &made.body.concat()).unwrap();
    }
    // A third loss in one row is one too many, for that row alone.
    for position in 1..4 {
        stripe.damage(position, 20);
    }
    let row = 20 * 4096;
    let in_chunk_1 = u64::from(stripe.places.shape.chunk_bytes) + row;
    assert!(stripe.read(in_chunk_1..in_chunk_1 + 1).is_err());
    assert!(stripe.read(0..400_000).is_err());
    assert_eq!(stripe.read(0..90_000).unwrap(), stripe.data[..90_000]);
}

#[test]
fn stale_swapped_and_misdirected_chunks_are_not_believed() {
    let stripe = Fixture::new("2+1", PACKED_BLOCK_BYTES, &[30_000]);
    let (first, second) = (stripe.places.chunk(0), stripe.places.chunk(1));
    // The drive answers for position 0 with what was written for position 1, or for another attempt at it.
    let drive = stripe.drive_of(0);
    assert!(drive.lose(first));
    let other =
        block_on(stripe.reader.chunk_anew(&stripe.places, 0, ChunkSource::Others, stripe.memory.fresh(), WallTime(0)))
            .unwrap();
    let other_name = *other.head.name();
    block_on(cairn_core::ChunkStore::put(drive, other)).unwrap();
    assert!(drive.misdirect(other_name, first));
    assert_eq!(stripe.read(0..30_000).unwrap(), stripe.data);
    assert_eq!(stripe.reported(), [0], "another attempt is another chunk, were its bytes the same ones");
    assert!(stripe.drive_of(1).misdirect(second, stripe.places.chunk(0)));
}

#[test]
fn a_table_of_contents_longer_than_the_guess_is_read_whole() {
    let stripe = Fixture::new("4+2", PACKED_BLOCK_BYTES, &[100; 700]);
    stripe.fail(3, Harm::Unavailable);
    let toc = block_on(stripe.reader.read_toc(&stripe.places)).unwrap();
    assert_eq!(toc.len(), 700);
    for (entry, number) in toc.iter().zip(0..) {
        assert_eq!((entry.offset, entry.length), (number * 100, 100));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_reads_run_on_the_pool_and_can_be_spawned() {
    let stripe = Fixture::with_pool("4+2", LARGE_BLOCK_BYTES, &[3_000_000], CodingPool::per_core()).await;
    stripe.fail(0, Harm::FirstBlock);
    stripe.fail(1, Harm::Unavailable);
    let (reader, places) = (stripe.reader.clone(), stripe.places.clone());
    let read = tokio::spawn(async move { reader.read(&places, 0..3_000_000).await }).await.unwrap().unwrap();
    assert!(read.concat() == stripe.data);
    let (reader, places, write) = (stripe.reader.clone(), stripe.places.clone(), stripe.memory.fresh());
    let made =
        tokio::spawn(async move { reader.chunk_anew(&places, 1, ChunkSource::ItselfFirst, write, WallTime(1)).await });
    let made = made.await.unwrap().unwrap();
    made.head.verify(0, &made.body.concat()).unwrap();
}
