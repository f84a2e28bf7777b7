//! A journal that nothing happens to: append, read, punch, roll, close, open.

use super::*;
use crate::BLOCK_BYTES;

#[test]
fn what_is_appended_is_read_back() {
    let files = disk(1);
    let (mut journal, recovery, _) = open(&files);
    assert!(recovery.clean);
    let lengths = [0, 1, 3900, 4096, 5000, 100_000];
    let appends = lengths.iter().enumerate().map(|(n, &length)| append(n as u64, length)).collect();
    let places = journal.append_group(appends).unwrap();
    for (number, (&place, length)) in places.iter().zip(lengths).enumerate() {
        check_record(&journal, place, number as u64, length);
        assert_eq!(Place::from_slice(&place.to_bytes()), Some(place));
    }
    let error = journal.reader().read_head(places[0], &name(1)).unwrap_err();
    assert!(matches!(error, JournalError::WrongName { ref found, .. } if **found == name(0)), "{error}");
    let elsewhere = Place { offset: places[5].offset + BLOCK_BYTES, ..places[5] };
    assert!(matches!(journal.reader().read_head(elsewhere, &name(5)), Err(JournalError::Damaged { .. })));
    check_usage(&journal, &files);
}

#[test]
fn a_small_record_alone_costs_two_blocks_beside_its_own() {
    let (mut journal, ..) = open(&disk(1));
    let first = journal.append_group(vec![append(1, 4096)]).unwrap()[0];
    let second = journal.append_group(vec![append(2, 4096)]).unwrap()[0];
    assert_eq!(second.offset - first.offset, 3 * BLOCK_BYTES);
}

#[test]
fn a_closed_journal_goes_on_where_it_was() {
    let files = disk(1);
    let mut numbers = 0..;
    let mut places = Vec::new();
    for round in 0..5 {
        let (mut journal, recovery, witness) = open(&files);
        assert!(recovery.clean);
        assert_eq!((recovery.torn, recovery.damaged, recovery.cut_bytes), (0, 0, 0));
        assert_eq!(witness.found.len(), places.len());
        assert_eq!(witness.verified, 0, "nothing was in flight");
        assert!(recovery.segments <= 1, "no segment is wasted in round {round}");
        if round != 2 {
            let number = numbers.next().unwrap();
            places.push((number, journal.append_group(vec![append(number, 2000)]).unwrap()[0]));
        }
        places.iter().for_each(|&(number, place)| check_record(&journal, place, number, 2000));
        journal.close().unwrap();
    }
}

#[test]
fn segments_roll_seal_and_go_when_they_are_empty() {
    let files = disk(1);
    let options = || options(1, 128 * 1024);
    let (mut journal, ..) = try_open(&files, options()).unwrap();
    let mut places = Vec::new();
    for number in 0..40 {
        places.extend(journal.append_group(vec![append(number, 10_000)]).unwrap());
    }
    let segments = journal.reader().segments();
    assert!(segments.len() > 4, "{segments:?}");
    check_usage(&journal, &files);
    let given: u64 = segments.iter().map(|&ordinal| segment_file(&files, ordinal).allocated_bytes().unwrap()).sum();
    assert_eq!(journal.usage().allocated_bytes(), given, "the figures are the filesystem's");
    // More segments than may be open at once, in both directions.
    for number in (0..40).rev().chain(0..40) {
        check_read(&journal, &places, number);
    }

    // Every second record, then the first segments as a whole.
    for number in (0..40).step_by(2) {
        assert!(journal.punch(places[number], &name(number as u64)).unwrap());
        assert!(!journal.punch(places[number], &name(number as u64)).unwrap(), "it is gone");
        assert!(matches!(journal.reader().read_head(places[number], &name(0)), Err(JournalError::Gone(_))));
    }
    let error = journal.punch(places[1], &name(3)).unwrap_err();
    assert!(matches!(error, JournalError::WrongName { .. }), "a punch names what it means");
    check_usage(&journal, &files);
    let given: u64 = segments.iter().map(|&ordinal| segment_file(&files, ordinal).allocated_bytes().unwrap()).sum();
    assert_eq!(journal.usage().allocated_bytes(), given);
    let before = journal.usage();
    drop(journal);

    let (mut journal, recovery, witness) = try_open(&files, options()).unwrap();
    assert!(!recovery.clean);
    assert_eq!((recovery.records, recovery.records_gone), (20, 20));
    assert_eq!(recovery.segments_scanned, 1, "footers spare the others");
    assert_eq!(journal.usage().live_bytes, before.live_bytes);
    assert_eq!(journal.usage().punched_bytes, before.punched_bytes);
    assert_eq!(witness.damage, []);
    for number in (1..40).step_by(2) {
        assert!(journal.punch(places[number], &name(number as u64)).unwrap());
    }
    assert_eq!(journal.reader().segments(), [0; 0], "a sealed segment goes with its last record");
    assert!(crate::Files::list(&files, &dir()).unwrap().is_empty());
    journal.append_group(vec![append(99, 10)]).unwrap();
}

#[test]
fn what_is_set_aside_stays_small_beside_what_lives() {
    let files = FaultyFiles::new(1, FaultPlan { capacity_bytes: 1 << 30, ..FaultPlan::default() });
    let options = || Options { segment_bytes_first: 1 << 20, ..options(1, 8 << 20) };
    let (mut journal, ..) = try_open(&files, options()).unwrap();
    let mut number = 0;
    let mut lengths = std::collections::BTreeSet::new();
    for _ in 0..60 {
        journal.append_group((0..4).map(|_| append(post_increment(&mut number), 250_000)).collect()).unwrap();
        let usage = journal.usage();
        assert!(usage.unused_bytes <= (usage.live_bytes / 16).next_multiple_of(1 << 20), "{usage:?}");
        let last = *journal.reader().segments().last().unwrap();
        lengths.insert(segment_file(&files, last).len().unwrap());
    }
    assert!(lengths.len() > 2, "they grow: {lengths:?}");
    check_usage(&journal, &files);
    // One that would not fit into the next one gets a longer one.
    journal.append_group(vec![append(1 << 40, 7 << 20)]).unwrap();
    drop(journal);
    let (journal, recovery, _) = try_open(&files, options()).unwrap();
    assert_eq!(recovery.records, number + 1);
    check_usage(&journal, &files);
}

fn post_increment(number: &mut u64) -> u64 {
    *number += 1;
    *number - 1
}

fn check_read(journal: &Journal, places: &[Place], number: usize) {
    check_record(journal, places[number], number as u64, 10_000);
}

#[test]
fn owners_remove_whole_segments() {
    let files = disk(1);
    let (mut journal, ..) = try_open(&files, options(1, 64 * 1024)).unwrap();
    let places: Vec<Place> =
        (0..12).flat_map(|number| journal.append_group(vec![append(number, 10_000)]).unwrap()).collect();
    let last = places[11].segment;
    assert!(last >= 4);
    assert!(!journal.remove_segment(last).unwrap(), "the one that is written to stays");
    assert!(!journal.remove_segment(99).unwrap());
    assert!(journal.remove_segment(1).unwrap());
    assert!(!journal.remove_segment(1).unwrap());
    assert_eq!(journal.remove_segments_below(last).unwrap(), last as usize - 2);
    assert_eq!(journal.reader().segments(), [last]);
    assert!(matches!(journal.reader().read_head(places[0], &name(0)), Err(JournalError::Gone(_))));
    assert!(!journal.punch(places[0], &name(0)).unwrap());
    files.crash();
    let (.., witness) = try_open(&files, options(1, 64 * 1024)).unwrap();
    assert!(witness.found.values().all(|info| info.place.segment == last), "removal is durable");
}

#[test]
fn one_call_may_bring_more_than_a_segment_holds() {
    let files = disk(1);
    let (mut journal, ..) = try_open(&files, options(1, 64 * 1024)).unwrap();
    let places = journal.append_group((0..30).map(|number| append(number, 9_000)).collect()).unwrap();
    assert!(places[29].segment > 4);
    assert!(places.is_sorted(), "in the order of the call");
    (0..30).for_each(|number| check_record(&journal, places[number], number as u64, 9_000));
    // Thousands of tiny ones: as many groups as it takes.
    let (mut journal, ..) = open(&disk(2));
    let places = journal.append_group((0..3000).map(|number| append(number, 1)).collect()).unwrap();
    assert_eq!(places.len(), 3000);
    check_record(&journal, places[2999], 2999, 1);
}

#[test]
fn the_longest_record_fits_and_a_longer_one_is_refused() {
    let files = disk(1);
    let (mut journal, ..) = try_open(&files, options(1, 64 * 1024)).unwrap();
    let overhead = append(1, 0).length() as usize;
    let longest = journal.record_bytes_max() as usize - overhead;
    let error = journal.append_group(vec![append(1, 10), append(2, longest + 1)]).unwrap_err();
    assert!(matches!(error, JournalError::TooLarge { .. }), "{error}");
    assert_eq!(journal.usage().live_records, 0, "nothing was written");
    let place = journal.append_group(vec![append(2, longest)]).unwrap()[0];
    check_record(&journal, place, 2, longest);
    let place = journal.append_group(vec![append(3, longest)]).unwrap()[0];
    check_record(&journal, place, 3, longest);
}

#[test]
fn a_full_drive_says_so_and_goes_on_when_there_is_room() {
    let plan = FaultPlan { capacity_bytes: 512 * 1024, ..FaultPlan::default() };
    let files = FaultyFiles::new(1, plan);
    let options = || Options { reserve_bytes: 100 * 1024, ..options(1, 128 * 1024) };
    let (mut journal, ..) = try_open(&files, options()).unwrap();
    let mut places = Vec::new();
    let error = loop {
        match journal.append_group(vec![append(places.len() as u64, 24_000)]) {
            Ok(place) => places.extend(place),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, JournalError::Full { .. }), "{error}");
    let left = crate::Files::space(&files, &dir()).unwrap().available_bytes;
    assert!(left >= 100 * 1024, "{left} bytes are kept back");
    assert!(journal.poisoned().is_none());
    // What is small still finds room in the segment that is there.
    journal.append_group(vec![append(1000, 100)]).unwrap();
    let first = places[0].segment;
    for (number, place) in places.iter().enumerate().filter(|(_, place)| place.segment == first) {
        journal.punch(*place, &name(number as u64)).unwrap();
    }
    journal.append_group(vec![append(1001, 24_000)]).unwrap();
    journal.close().unwrap();
    let (.., recovery, witness) = try_open(&files, options()).unwrap();
    assert!(recovery.clean);
    assert!(witness.found.contains_key(&name(1001)));
}

#[test]
fn a_drive_that_cannot_punch_frees_whole_segments() {
    let plan = FaultPlan { punches: false, ..FaultPlan::default() };
    let files = FaultyFiles::new(1, plan);
    let (mut journal, ..) = try_open(&files, options(1, 64 * 1024)).unwrap();
    let places = journal.append_group((0..6).map(|number| append(number, 15_000)).collect()).unwrap();
    assert!(journal.punch(places[0], &name(0)).unwrap());
    assert!(matches!(journal.reader().read_head(places[0], &name(0)), Err(JournalError::Gone(_))));
    assert_eq!(journal.usage().punched_bytes, 0);
    check_usage(&journal, &files);
    drop(journal);
    // Zeros are data to the filesystem; a start is not taken in by that, with the segment sealed or scanned.
    for _ in 0..2 {
        let (journal, recovery, witness) = try_open(&files, options(1, 64 * 1024)).unwrap();
        assert_eq!((recovery.records, recovery.records_gone), (5, 1));
        assert!(!witness.found.contains_key(&name(0)), "what was deleted stays away");
        assert_eq!(journal.usage().punched_bytes, 0, "nothing was given back");
    }
    let (mut journal, ..) = try_open(&files, options(1, 64 * 1024)).unwrap();
    for (number, place) in (1..).zip(&places[1..]) {
        assert!(journal.punch(*place, &name(number)).unwrap());
    }
    assert_eq!(journal.reader().segments(), [0; 0]);
}

#[test]
fn a_clean_mark_needs_no_room_of_its_own() {
    // Fill a segment until not one block is left beside the footer, close, open: nothing was in flight.
    for number in 1..12 {
        let files = disk(1);
        let (mut journal, ..) = try_open(&files, options(1, 64 * 1024)).unwrap();
        let appends = (0..number).map(|number| append(number, 100)).collect();
        journal.append_group(appends).unwrap();
        journal.close().unwrap();
        let (_, recovery, witness) = try_open(&files, options(1, 64 * 1024)).unwrap();
        assert!(recovery.clean, "after {number} records");
        assert_eq!(witness.found.len(), number as usize);
        assert_eq!(witness.damage, []);
    }
}

/// Zeros go ahead of small groups, are written over, and are not there for a start; long groups have none.
#[test]
fn zeros_are_written_ahead_of_small_groups_and_nowhere_else() {
    let files = disk(1);
    let options = || options(1, 8 << 20);
    let (mut journal, ..) = try_open(&files, options()).unwrap();
    let written_to = || {
        let file = segment_file(&files, 1);
        let (mut end, length) = (0, file.len().unwrap());
        while let Some(data) = file.next_data(end).unwrap() {
            end = (data + 4096).min(length);
        }
        end
    };
    let long = journal.append_group(vec![append(0, 600_000)]).unwrap()[0];
    assert_eq!(written_to(), long.end(), "a long group is written once");
    let small = journal.append_group(vec![append(1, 100)]).unwrap()[0];
    let ahead = written_to();
    assert_eq!(ahead, small.end() + (8 << 20) / 16);
    let mut number = 2;
    while journal.append_group(vec![append(number, 9000)]).unwrap()[0].end() + 20_480 <= ahead {
        number += 1;
        assert_eq!(written_to(), ahead, "what is there is written over");
    }
    let last = journal.append_group(vec![append(number + 1, 9000)]).unwrap()[0];
    let next = journal.append_group(vec![append(number + 2, 9000)]).unwrap()[0];
    assert!(written_to() > ahead && written_to() >= next.end());
    assert_eq!(last.segment, 1);
    drop(journal);
    files.crash();
    let (mut journal, recovery, witness) = try_open(&files, options()).unwrap();
    assert_eq!((recovery.damaged, recovery.torn, recovery.cut_bytes), (0, 0, 0), "zeros say nothing");
    assert_eq!(witness.found.len() as u64, number + 3);
    // At the end of a segment they stop where it does.
    let mut segment = 0;
    for number in 1000.. {
        let place = journal.append_group(vec![append(number, 100_000)]).unwrap()[0];
        check_usage(&journal, &files);
        if segment != 0 && place.segment != segment {
            break;
        }
        segment = place.segment;
    }
}
