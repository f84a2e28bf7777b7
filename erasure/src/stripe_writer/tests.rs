//! Drives that fail are replaced, and every attempt is named.

use cairn_core::stripe::PACKED_BLOCK_BYTES;
use cairn_core::{BucketId, ExtentId, Geometry, ObjectKey, WallTime};

use super::*;
use crate::stripe_builder::{StripeBuilder, StripeExtent};
use crate::stripe_reader::StripeReader;
use crate::testing::{DriveFault, FaultLog, MemoryDrives, bytes_of};

fn sealed(memory: &MemoryDrives, geometry: &str, length: usize) -> SealedStripe {
    let write = memory.fresh();
    let geometry: Geometry = geometry.parse().unwrap();
    let mut builder = StripeBuilder::new(StripeId(write), geometry, PACKED_BLOCK_BYTES, WallTime(0));
    builder.push(StripeExtent {
        id: ExtentId { write, ordinal: 0 },
        bucket: BucketId(1),
        key: ObjectKey::new("k").unwrap(),
        version: None,
        part: None,
        object_offset: 0,
        data: vec![bytes_of(length as u64, length)],
    });
    builder.seal()
}

fn writer(memory: &MemoryDrives) -> StripeWriter {
    StripeWriter::new(memory.drives.clone(), CodingPool::inline())
}

async fn write(memory: &MemoryDrives, sealed: &SealedStripe) -> Result<WrittenStripe, WriteStripeError> {
    let targets = Targets { ring: &memory.ring, usable: &|_| true };
    writer(memory).write(sealed, targets, &mut || memory.fresh()).await
}

/// Everything that lies on drives is named: by the stripe, or as an attempt to be condemned.
fn check_nothing_is_forgotten(memory: &MemoryDrives, written: &WrittenStripe) {
    let mut named: BTreeSet<Attempt> = written.orphans.iter().copied().collect();
    for (place, position) in written.places.positions.iter().zip(0..) {
        let chunk = written.places.chunk(position);
        assert!(named.insert(Attempt { drive: place.drive, chunk }), "an orphan is not part of the stripe");
        assert!(memory.drive(place.drive).names().contains(&chunk), "what is named is there");
    }
    for drive in &memory.each {
        for chunk in drive.names() {
            assert!(named.contains(&Attempt { drive: drive.drive(), chunk }), "{chunk} was forgotten");
        }
    }
}

async fn check_readable(memory: &MemoryDrives, written: &WrittenStripe, length: usize) {
    let faults = Arc::new(FaultLog::default());
    let reader = StripeReader::new(memory.drives.clone(), CodingPool::inline(), faults.clone());
    let bytes = reader.read(&written.places, 0..length as u64).await.unwrap().concat();
    assert!(bytes == bytes_of(length as u64, length));
    assert!(faults.take().is_empty());
}

#[tokio::test]
async fn all_chunks_lie_on_the_drives_that_the_ring_chose() {
    let memory = MemoryDrives::new(9);
    let sealed = sealed(&memory, "4+2", 50_000);
    let written = write(&memory, &sealed).await.unwrap();
    let drives: Vec<DriveId> = written.places.positions.iter().map(|place| place.drive).collect();
    assert_eq!(drives, memory.ring.place(sealed.id, 6, &|_| true).unwrap());
    assert!(written.places.positions.iter().all(|place| place.write == sealed.id.0));
    assert!(written.orphans.is_empty() && written.faults.is_empty());
    check_nothing_is_forgotten(&memory, &written);
    check_readable(&memory, &written, 50_000).await;
}

#[tokio::test]
async fn drives_that_fail_are_replaced_under_new_names() {
    use DriveFault::{Busy, Full, LosesReplies, ReadOnly, Unavailable};
    for fault in [Unavailable, LosesReplies, Full, ReadOnly, Busy] {
        let memory = MemoryDrives::new(8);
        let sealed = sealed(&memory, "4+2", 70_000);
        let chosen = memory.ring.place(sealed.id, 6, &|_| true).unwrap();
        memory.drive(chosen[1]).set_fault(fault);
        memory.drive(chosen[5]).set_fault(fault);
        let written = write(&memory, &sealed).await.unwrap();
        let places = &written.places.positions;
        let drives: BTreeSet<DriveId> = places.iter().map(|place| place.drive).collect();
        assert_eq!(drives.len(), 6, "{fault:?}: distinct drives");
        assert!(!drives.contains(&chosen[1]) && !drives.contains(&chosen[5]), "{fault:?}");
        for (position, place) in places.iter().enumerate() {
            assert_eq!(
                place.write != sealed.id.0,
                position == 1 || position == 5,
                "{fault:?}: a name for each attempt"
            );
        }
        assert_eq!((written.orphans.len(), written.faults.len()), (2, 2), "{fault:?}");
        memory.drive(chosen[1]).set_fault(None);
        memory.drive(chosen[5]).set_fault(None);
        check_nothing_is_forgotten(&memory, &written);
        check_readable(&memory, &written, 70_000).await;
    }
}

#[tokio::test]
async fn a_drive_that_is_not_connected_leaves_no_orphan() {
    let memory = MemoryDrives::new(4);
    let sealed = sealed(&memory, "2+1", 1_000);
    let chosen = memory.ring.place(sealed.id, 3, &|_| true).unwrap();
    memory.drives.remove(chosen[0]);
    let written = write(&memory, &sealed).await.unwrap();
    assert_eq!((written.orphans.len(), written.faults.len()), (0, 1));
    check_readable(&memory, &written, 1_000).await;
}

#[tokio::test]
async fn too_few_drives_are_an_error_that_names_what_was_left() {
    let memory = MemoryDrives::new(7);
    let sealed = sealed(&memory, "4+2", 30_000);
    memory.each[0].set_fault(DriveFault::Full);
    memory.each[1].set_fault(DriveFault::LosesReplies);
    let error = write(&memory, &sealed).await.unwrap_err();
    let text = error.to_string();
    let WriteStripeError::TooFewDrives { wanted, usable, attempts, faults, .. } = error;
    assert_eq!((wanted, usable, faults.len()), (6, 5, 2));
    assert!(text.contains("full"), "the reasons are in the line: {text}");
    memory.each[1].set_fault(None);
    for drive in &memory.each {
        for chunk in drive.names() {
            assert!(attempts.contains(&Attempt { drive: drive.drive(), chunk }), "{chunk} was forgotten");
        }
    }
    // What fits then is written.
    let geometry = sealed.shape.geometry.fit(usable).unwrap();
    assert_eq!(geometry.to_string(), "3+2");
    let smaller = self::sealed(&memory, "3+2", 30_000);
    let written = write(&memory, &smaller).await.unwrap();
    check_readable(&memory, &written, 30_000).await;
}

#[tokio::test]
async fn only_usable_drives_are_written_to() {
    let memory = MemoryDrives::new(5);
    let sealed = sealed(&memory, "2+1", 100);
    let avoid = memory.ring.place(sealed.id, 3, &|_| true).unwrap()[2];
    let writer = writer(&memory);
    let targets = Targets { ring: &memory.ring, usable: &|drive| drive != avoid };
    let written = writer.write(&sealed, targets, &mut || memory.fresh()).await.unwrap();
    assert!(memory.drive(avoid).names().is_empty());
    assert!(written.orphans.is_empty() && written.faults.is_empty());
    let targets = Targets { ring: &memory.ring, usable: &|drive| drive.0 < 3 };
    let error = writer.write(&sealed, targets, &mut || memory.fresh()).await.unwrap_err();
    assert!(matches!(error, WriteStripeError::TooFewDrives { wanted: 3, usable: 2, .. }));
}

#[tokio::test]
async fn positions_that_a_commit_refused_are_placed_anew() {
    let memory = MemoryDrives::new(6);
    let sealed = sealed(&memory, "3+1", 40_000);
    let first = write(&memory, &sealed).await.unwrap();
    let refused = [first.places.positions[0], first.places.positions[3]];
    let kept = first.places.positions[1..3].to_vec();
    let usable = |drive| refused.iter().all(|place| place.drive != drive);
    let targets = Targets { ring: &memory.ring, usable: &usable };
    let writer = writer(&memory);
    let second = writer.place_again(&sealed, first, &[0, 3], targets, &mut || memory.fresh()).await.unwrap();
    assert_eq!(second.places.positions[1..3], kept);
    for position in [0, 3] {
        let place = second.places.positions[position];
        assert!(usable(place.drive) && place.write != sealed.id.0);
    }
    assert_eq!(second.orphans.len(), 2);
    check_nothing_is_forgotten(&memory, &second);
    check_readable(&memory, &second, 40_000).await;
    // All six hold or held something now: a third refusal finds no drive.
    let error = writer.place_again(&sealed, second, &[0], targets, &mut || memory.fresh()).await.unwrap_err();
    let WriteStripeError::TooFewDrives { attempts, .. } = error;
    assert_eq!(attempts.len(), 6, "what was durable is named too, for it will not be committed");
}

#[test]
fn a_write_can_be_spawned() {
    fn assert_send<T: Send>(_: &T) {}
    let memory = MemoryDrives::new(3);
    let sealed = sealed(&memory, "2+1", 100);
    let (writer, usable) = (writer(&memory), |_| true);
    let targets = Targets { ring: &memory.ring, usable: &usable };
    let mut fresh = || memory.fresh();
    assert_send(&writer.write(&sealed, targets, &mut fresh));
}
