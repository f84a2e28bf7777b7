//! Devices that lie, rot and fail.

use super::*;
use crate::files::faulty::Operation;
use crate::{BLOCK_BYTES, DamageKind, Files as _};

/// A journal with three acknowledged records and no close, and the places of these.
fn three(files: &FaultyFiles) -> Vec<Place> {
    let (mut journal, ..) = open(files);
    (0..3).map(|number| journal.append_group(vec![append(number, 6000)]).unwrap()[0]).collect()
}

fn names(witness: &Witness) -> Vec<RecordName> {
    witness.found.keys().copied().collect()
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_and_nothing_unsure_is_kept() {
    let mut kept = 0;
    for seed in 0..40 {
        let files = disk(seed);
        let (mut journal, ..) = open(&files);
        let first = journal.append_group(vec![append(0, 6000)]).unwrap()[0];
        files.fail_next(Operation::Sync, ".segment");
        let error = journal.append_group(vec![append(1, 6000)]).unwrap_err();
        assert!(matches!(error, JournalError::Io { operation: "sync", .. }), "{error}");
        assert!(journal.poisoned().is_some());
        let error = journal.append_group(vec![append(2, 10)]).unwrap_err();
        assert!(matches!(error, JournalError::Poisoned(_)), "{error}");
        assert!(matches!(journal.punch(first, &name(0)), Err(JournalError::Poisoned(_))));
        check_record(&journal, first, 0, 6000);
        assert!(matches!(journal.close(), Err(JournalError::Poisoned(_))));

        // The process starts again and the kernel still shows the record, whatever the device has.
        let (journal, recovery, witness) = open(&files);
        assert!(!recovery.clean && !recovery.device_unread);
        check_record(&journal, first, 0, 6000);
        if let Some(info) = witness.found.get(&name(1)) {
            kept += 1;
            check_record(&journal, info.place, 1, 6000);
        }
        // Served once, it must survive everything.
        drop(journal);
        files.crash();
        let (.., after) = open(&files);
        assert_eq!(names(&after), names(&witness), "seed {seed}");
    }
    assert!((1..40).contains(&kept), "some devices had it, some had not: {kept}");
}

#[test]
fn where_the_device_cannot_be_asked_the_report_says_so() {
    let plan = FaultPlan { device_reads: false, ..FaultPlan::default() };
    let files = FaultyFiles::new(1, plan);
    three(&files);
    let (_, recovery, witness) = open(&files);
    assert!(recovery.device_unread);
    assert_eq!(witness.found.len(), 3);
}

#[test]
fn one_flipped_bit_costs_one_record_at_most() {
    let files = disk(7);
    let places = three(&files);
    let snapshot = files.snapshot();
    let end = places[2].end();
    for at in (0..end).step_by(61) {
        let files = FaultyFiles::from_snapshot(at, FaultPlan::default(), snapshot.clone());
        files.flip_bit(&segment_path(1), at, (at % 8) as u8).unwrap();
        let (mut journal, recovery, witness) = open(&files);
        let hit = places.iter().position(|place| (place.offset..place.end()).contains(&at));
        let lost: Vec<u64> = (0..3).filter(|&n| !witness.found.contains_key(&name(n))).collect();
        assert!(lost.iter().all(|&n| Some(n as usize) == hit), "bit at {at} cost {lost:?}, not {hit:?}");
        for (number, place) in places.iter().enumerate().filter(|&(number, _)| number < 2 && Some(number) != hit) {
            check_record(&journal, *place, number as u64, 6000);
        }
        if let [lost] = lost[..] {
            let named = witness.damage.iter().find(|damage| damage.name == Some(name(lost)));
            let damage = named.expect("the header of the group still names it");
            assert_eq!(damage.offset, places[lost as usize].offset);
            let kind = if lost == 2 { DamageKind::Torn } else { DamageKind::Damaged };
            assert_eq!(damage.kind, kind, "only the last group may have been in flight");
            assert_eq!(recovery.damaged + recovery.torn, 1);
        }
        journal.append_group(vec![append(9, 6000)]).unwrap();
        let kept = journal.usage().live_records;
        drop(journal);
        let (_, again, second) = open(&files);
        assert_eq!(again.records, kept, "nothing more is lost by opening twice");
        let told = |witness: &Witness| -> Vec<Damage> {
            let lasting = witness.damage.iter().filter(|d| d.kind == DamageKind::Damaged && d.name.is_some());
            lasting.copied().collect()
        };
        assert_eq!(told(&second), told(&witness), "damage is told for as long as it is there");
    }
}

#[test]
fn a_lost_group_header_loses_no_record() {
    let files = disk(1);
    let places = three(&files);
    for place in &places {
        overwrite(&files, &segment_path(1), place.offset - BLOCK_BYTES, &[0xaa; 4096]);
    }
    let (journal, recovery, witness) = open(&files);
    assert_eq!(witness.found.len(), 3);
    assert_eq!(recovery.torn, 3, "the headers");
    (0..3).for_each(|n| check_record(&journal, places[n], n as u64, 6000));
}

#[test]
fn lost_segment_header_and_footer_lose_no_record() {
    let files = disk(1);
    let (mut journal, ..) = try_open(&files, options(1, 64 * 1024)).unwrap();
    let places: Vec<Place> = (0..6).flat_map(|n| journal.append_group(vec![append(n, 15_000)]).unwrap()).collect();
    assert_eq!(places[5].segment, 3);
    journal.punch(places[1], &name(1)).unwrap();
    drop(journal);
    overwrite(&files, &segment_path(1), 0, &[0; 4096]);
    let length = segment_file(&files, 1).len().unwrap();
    files.flip_bit(&segment_path(1), length - 40, 0).unwrap();
    let (journal, recovery, witness) = try_open(&files, options(1, 64 * 1024)).unwrap();
    assert_eq!(recovery.segments_scanned, 2, "the damaged one, and the one that was in use");
    assert_eq!(witness.found.len(), 5);
    assert!(witness.damage.iter().all(|damage| damage.name.is_none()), "the footer alone: {:?}", witness.damage);
    check_record(&journal, places[0], 0, 15_000);
    drop(journal);
    let (_, recovery, _) = try_open(&files, options(1, 64 * 1024)).unwrap();
    assert_eq!(recovery.segments_scanned, 0, "both were sealed");
    assert_eq!(recovery.records, 5);
}

#[test]
fn what_cannot_be_read_today_is_left_for_tomorrow() {
    let files = disk(1);
    let places = three(&files);
    files.set_unreadable(&segment_path(1), places[2].offset..places[2].end()).unwrap();
    let (mut journal, recovery, witness) = open(&files);
    assert_eq!((recovery.unreadable, recovery.segments_unsealed, recovery.cut_bytes), (1, 1, 0));
    assert_eq!(witness.damage[0].name, Some(name(2)));
    assert_eq!(names(&witness), [name(0), name(1)]);
    journal.append_group(vec![append(3, 100)]).unwrap();
    drop(journal);
    files.set_unreadable(&segment_path(1), 0..0).unwrap();
    let (journal, recovery, witness) = open(&files);
    assert_eq!(witness.found.len(), 4);
    assert_eq!((recovery.unreadable, recovery.segments_unsealed), (0, 0));
    check_record(&journal, places[2], 2, 6000);
}

/// Neither the header nor the only group says whose records these are: that is no reason to say that there are none.
#[test]
fn a_segment_that_cannot_be_recognised_today_is_reported_and_left_for_tomorrow() {
    let failures: [(&str, &[Operation]); 2] =
        [("the header", &[Operation::Read, Operation::Read]), ("the footer's place", &[Operation::Read])];
    for (what, reads) in failures {
        let files = disk(1);
        let (mut journal, ..) = open(&files);
        let places = journal.append_group((0..3).map(|n| append(n, 6000)).collect()).unwrap();
        drop(journal);
        // Rot in the group's header, and in the segment's where that one is not what fails to be read.
        files.flip_bit(&segment_path(1), BLOCK_BYTES + 100, 3).unwrap();
        if reads.len() == 1 {
            files.flip_bit(&segment_path(1), 20, 3).unwrap();
        }
        reads.iter().for_each(|operation| files.fail_next(*operation, ".segment"));
        let (mut journal, recovery, witness) = open(&files);
        assert_eq!((recovery.unreadable, recovery.segments_unsealed, recovery.segments_unknown), (1, 1, 0), "{what}");
        assert!(!recovery.clean);
        assert_eq!((witness.damage[0].segment, witness.damage[0].offset, witness.found.len()), (1, 0, 0));
        let behind = journal.append_group(vec![append(3, 100)]).unwrap()[0];
        assert_eq!(behind.segment, 2, "nothing is written to it");
        drop(journal);
        if reads.len() == 2 {
            let (journal, recovery, witness) = open(&files);
            assert_eq!((recovery.unreadable, witness.found.len()), (0, 4));
            (0..3).for_each(|n| check_record(&journal, places[n], n as u64, 6000));
        }
    }
}

#[test]
fn a_failing_device_does_not_pass_for_an_empty_one() {
    let files = disk(1);
    three(&files);
    files.set_unreadable(&segment_path(1), 0..1 << 20).unwrap();
    let error = try_open(&files, options(1, 1 << 20)).unwrap_err();
    assert!(matches!(error, JournalError::Io { operation: "read", .. }), "{error}");
    files.set_unreadable(&segment_path(1), 0..0).unwrap();
    assert_eq!(open(&files).2.found.len(), 3);
}

#[test]
fn a_damaged_record_is_an_error_when_it_is_read() {
    let files = disk(1);
    let (mut journal, ..) = open(&files);
    let place = journal.append_group(vec![append(1, 6000)]).unwrap()[0];
    files.flip_bit(&segment_path(1), place.offset + 90, 1).unwrap();
    let error = journal.reader().read_record(place, &name(1)).unwrap_err();
    assert!(matches!(error, JournalError::Damaged { .. }), "{error}");
    files.fail_next(Operation::Read, ".segment");
    assert!(matches!(journal.reader().read(place, 0..1), Err(JournalError::Io { .. })));
    // What is listed under that name can be given back all the same, and nothing else.
    assert!(matches!(journal.punch(place, &name(2)), Err(JournalError::Damaged { .. })));
    let shorter = Place { length: place.length - 1, ..place };
    assert!(matches!(journal.punch(shorter, &name(1)), Err(JournalError::Damaged { .. })));
    assert!(journal.punch(place, &name(1)).unwrap());
    assert!(matches!(journal.reader().read_head(place, &name(1)), Err(JournalError::Gone(_))));
    check_usage(&journal, &files);
}

#[test]
fn a_failed_write_poisons_and_a_segment_that_never_was_is_cleared_away() {
    for (operation, path) in [
        (Operation::Write, ".segment"),
        (Operation::Sync, ".segment"),
        (Operation::Name, ".segment"),
        (Operation::SyncDir, "journal"),
    ] {
        let files = disk(3);
        let (mut journal, ..) = open(&files);
        files.fail_next(operation, path);
        assert!(matches!(journal.append_group(vec![append(1, 10)]), Err(JournalError::Io { .. })));
        assert!(journal.poisoned().is_some());
        drop(journal);
        files.crash();
        let (mut journal, _, witness) = open(&files);
        assert_eq!(witness.found.len(), 0);
        journal.append_group(vec![append(1, 10)]).unwrap();
        assert!(files.list(&dir()).unwrap().len() <= 1, "after a failed {operation:?}");
    }
}

#[test]
fn no_room_for_a_footer_is_no_reason_not_to_start() {
    let files = disk(1);
    let places = three(&files);
    // Cut where the last record ends, as a filesystem without preallocation would leave it, and fill the disk.
    segment_file(&files, 1).truncate(places[2].end()).unwrap();
    let used = segment_file(&files, 1).allocated_bytes().unwrap();
    files.set_plan(FaultPlan { capacity_bytes: used, ..FaultPlan::default() });
    let (mut journal, recovery, witness) = open(&files);
    assert_eq!((recovery.segments_unsealed, witness.found.len()), (1, 3));
    assert!(matches!(journal.append_group(vec![append(5, 1)]), Err(JournalError::Full { .. })));
    assert!(journal.punch(places[0], &name(0)).unwrap(), "deleting goes on");
}

#[test]
fn a_punch_of_what_was_not_believed_costs_no_neighbour() {
    let files = disk(1);
    let (mut journal, ..) = open(&files);
    let places = journal.append_group(vec![append(0, 6000), append(1, 6000)]).unwrap();
    drop(journal);
    files.flip_bit(&segment_path(1), places[0].offset + 5000, 1).unwrap();
    let (mut journal, recovery, _) = open(&files);
    assert_eq!((recovery.torn, recovery.records), (1, 1), "the body is not what its head says");
    assert!(journal.punch(places[0], &name(0)).unwrap());
    check_record(&journal, places[1], 1, 6000);
    assert!(journal.punch(places[1], &name(1)).unwrap());
    assert_eq!(journal.reader().segments(), [0; 0]);
}
