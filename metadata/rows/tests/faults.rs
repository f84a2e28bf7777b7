//! What disks do: damage in one copy and in all, files that are cut off, foreign or newer, power that goes in the midst of
//! anything, devices that fail, and an overlay that lies.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod harness;

use std::sync::Arc;

use bytes::Bytes;
use cairn_core::LogIndex;
use cairn_journal::files::faulty::{FaultPlan, FaultyFiles, Operation};
use cairn_rows::overlay::{Overlay, OverlayError, Version};
use cairn_rows::run::format::RunRefusal;
use cairn_rows::{MemoryOverlays, Overlays, Row, Rows, RowsError, RunSet};
use harness::*;

/// A machine with one run of some blocks, freshly opened so that nothing is cached.
fn with_a_run(seed: u64) -> (Machine, Rows, RunSet) {
    let mut machine = Machine::new(seed);
    let rows = machine.open(&RunSet::empty()).unwrap();
    fill(&mut machine, &rows, "a", 300);
    rows.cut(&directories()).unwrap().unwrap();
    let set = rows.run_set();
    let rows = machine.open(&set).unwrap();
    (machine, rows, set)
}

fn path_of(set: &RunSet, drive: usize) -> std::path::PathBuf {
    directories()[drive].join(set.runs()[0].id.file_name())
}

#[test]
fn a_damaged_block_is_served_from_another_copy_and_reported_and_mended() {
    let (machine, rows, set) = with_a_run(1);
    machine.files.flip_bit(&path_of(&set, 0), 5000, 3).unwrap();
    machine.files.set_unreadable(&path_of(&set, 1), 5000..5001).unwrap();
    assert_exact(&machine, &rows.view());

    let damage = rows.take_damage();
    assert_eq!(damage.len(), 2, "{damage:?}");
    assert_eq!(damage[0].copy.path, path_of(&set, 0));
    assert!(matches!(damage[0].copy.why, RunRefusal::Damaged(_)));
    assert!(matches!(damage[1].copy.why, RunRefusal::Io(_)));
    assert!(damage.iter().all(|damage| damage.run == set.runs()[0].id && damage.block == Some(1)));
    assert!(rows.take_damage().is_empty());

    let mended = rows.mend(set.runs()[0].id, &directories()).unwrap();
    assert_eq!((mended.sound, mended.written), (1, vec![path_of(&set, 0), path_of(&set, 1)]));
    // Now the only copy that was sound goes.
    machine.files.shared().remove(&path_of(&set, 2)).unwrap();
    let rows = machine.open(&set).unwrap();
    assert_exact(&machine, &rows.view());
    assert!(rows.take_damage().is_empty());
}

#[test]
fn a_block_that_is_damaged_everywhere_is_a_typed_error_and_other_blocks_are_served() {
    let (machine, rows, set) = with_a_run(2);
    for drive in 0..3 {
        machine.files.flip_bit(&path_of(&set, drive), 5000 + drive as u64, 0).unwrap();
    }
    let error = read_all(&rows.view()).unwrap_err();
    let RowsError::BlockUnavailable { run, block, tried } = &error else { panic!("{error}") };
    assert_eq!((*run, *block, tried.len()), (set.runs()[0].id, 1, 3));
    for directory in directories() {
        assert!(error.to_string().contains(directory.to_str().unwrap()), "{error}");
    }
    assert_eq!(rows.view().get(b"a000000").unwrap().unwrap().len(), 101);
}

#[test]
fn every_bit_of_a_run_is_covered_by_a_check() {
    let (machine, _, set) = with_a_run(3);
    for drive in [1, 2] {
        machine.files.shared().remove(&path_of(&set, drive)).unwrap();
    }
    let path = path_of(&set, 0);
    let expected = machine.map(set.index());
    let length = set.runs()[0].file_bytes;
    // A stride that is prime to everything in the file, and all of its first and last bytes.
    for offset in (0..128).chain((128..length - 128).step_by(97)).chain(length - 128..length) {
        machine.files.flip_bit(&path, offset, (offset % 8) as u8).unwrap();
        let read = Rows::open(machine.options(), &set, &directories()).and_then(|rows| read_all(&rows.view()));
        // The trailer's head repeats what is known from elsewhere; a flip there is found or does no harm.
        assert!(read.is_err() || read.is_ok_and(|found| found == expected && offset > length - 64), "byte {offset}");
        machine.files.flip_bit(&path, offset, (offset % 8) as u8).unwrap();
    }
    assert_eq!(read_all(&machine.open(&set).unwrap().view()).unwrap(), expected);
}

fn refusal(machine: &Machine, set: &RunSet) -> RunRefusal {
    match Rows::open(machine.options(), set, &directories()[..1]) {
        Err(RowsError::RunUnavailable { tried, .. }) => tried.into_iter().next().unwrap().why,
        other => panic!("opened: {other:?}"),
    }
}

#[test]
fn missing_truncated_foreign_newer_and_misnamed_runs_are_refused_by_name() {
    let (mut machine, rows, set) = with_a_run(4);
    let files = machine.files.shared();
    let path = path_of(&set, 0);
    let length = set.runs()[0].file_bytes;
    let file = files.open(&path).unwrap();
    let mut whole = vec![0; length as usize];
    file.read_exact_at(&mut whole, 0).unwrap();
    let whole = Bytes::from(whole);
    let rewrite = |bytes: &Bytes| {
        file.truncate(0).unwrap();
        file.write_all_vectored_at(std::slice::from_ref(bytes), 0).unwrap();
    };

    for cut in [0, 1, 63, 64, 65, 128, length / 2, length - 1] {
        rewrite(&whole.slice(..cut as usize));
        assert!(matches!(refusal(&machine, &set), RunRefusal::Damaged(_)), "cut at {cut}");
    }
    rewrite(&Bytes::from([whole.as_ref(), &[0; 100]].concat()));
    assert!(matches!(refusal(&machine, &set), RunRefusal::Damaged(_)));
    rewrite(&Bytes::from(vec![b'x'; length as usize]));
    assert!(matches!(refusal(&machine, &set), RunRefusal::Foreign(_)));
    let mut newer = whole.to_vec();
    newer[9] = 2;
    rewrite(&Bytes::from(newer));
    let found = refusal(&machine, &set);
    assert!(matches!(found, RunRefusal::Newer { found: 2 }));
    assert!(found.to_string().contains("version 2"), "{found}");

    // A sound run under another run's name.
    machine.apply(&rows, vec![put("b", "1")]);
    let other = rows.cut(&directories()).unwrap().unwrap();
    files.rename(&directories()[0].join(other.id.file_name()), &path).unwrap();
    assert!(matches!(refusal(&machine, &set), RunRefusal::Other));

    files.remove(&path).unwrap();
    assert!(matches!(refusal(&machine, &set), RunRefusal::Missing));
    // One sound copy elsewhere is enough.
    assert_exact(&machine, &machine.open(&set).unwrap().view());
}

/// A cut, a merge, marks and removals, as an owner does them; calls `marked` where a mark is acknowledged.
fn work(machine: &mut Machine, rows: &Rows, marked: &mut RunSet) -> Result<(), RowsError> {
    for round in 0..3 {
        let effects: Vec<Row> = (0..40).map(|n| put(&format!("k{n:02}"), &format!("{round}"))).collect();
        machine.apply(rows, effects);
        rows.cut(&directories())?;
        *marked = rows.run_set();
        rows.retire(marked, &directories());
    }
    merge_all(rows.begin_merge(plan_of(&rows.run_set(), 0, 3), &directories())?, 500)?;
    *marked = rows.run_set();
    rows.retire(marked, &directories());
    Ok(())
}

#[test]
fn power_that_goes_anywhere_leaves_what_the_newest_mark_names() {
    let total = {
        let mut machine = Machine::new(0);
        let rows = machine.open(&RunSet::empty()).unwrap();
        work(&mut machine, &rows, &mut RunSet::empty()).unwrap();
        machine.files.changes()
    };
    assert!(total > 40, "{total} changes");
    for after in 0..total {
        for seed in 0..3 {
            let seed = after * 3 + seed;
            let mut machine = Machine::new(seed);
            let rows = machine.open(&RunSet::empty()).unwrap();
            let mut marked = RunSet::empty();
            machine.files.power_off_after(after);
            let _ = work(&mut machine, &rows, &mut marked);
            machine.files.crash();
            let rows = machine.open(&marked).unwrap_or_else(|error| panic!("seed {seed}, after {after}: {error}"));
            assert_exact(&machine, &rows.view());
            // And it goes on from there: what the crash has left behind is in nobody's way.
            work(&mut machine, &rows, &mut marked).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            assert_exact(&machine, &rows.view());
            for directory in directories() {
                assert_eq!(run_files(&machine, &directory).len(), marked.runs().len(), "seed {seed}, after {after}");
            }
        }
    }
}

#[test]
fn a_cut_or_merge_that_fails_changes_nothing_and_can_be_done_again() {
    let operations = [Operation::Name, Operation::Write, Operation::Sync, Operation::SyncDir, Operation::Read];
    for (seed, operation) in operations.into_iter().enumerate() {
        let mut machine = Machine::new(seed as u64);
        let rows = machine.open(&RunSet::empty()).unwrap();
        fill(&mut machine, &rows, "a", 100);
        let before = rows.run_set();
        machine.files.set_plan(match operation {
            Operation::Write => FaultPlan { write_error: 1.0, ..FaultPlan::default() },
            Operation::Read => FaultPlan { read_error: 1.0, ..FaultPlan::default() },
            Operation::Sync => FaultPlan { sync_error: 1.0, ..FaultPlan::default() },
            _ => FaultPlan::default(),
        });
        if matches!(operation, Operation::Name | Operation::SyncDir) {
            // Any path in this directory, or the directory itself.
            machine.files.fail_next(operation, if operation == Operation::SyncDir { "drive1/rows" } else { "" });
        }
        let error = rows.cut(&directories()).unwrap_err();
        assert!(matches!(error, RowsError::Write { .. } | RowsError::ReadBack(_)), "{operation:?}: {error}");
        assert_eq!(rows.run_set(), before);
        assert!(rows.stats().cut_unfinished);
        machine.files.set_plan(FaultPlan::default());
        // Rows go on being applied and read meanwhile.
        machine.apply(&rows, vec![put("a000001", "newer"), removal("a000002")]);
        assert_exact(&machine, &rows.view());
        rows.cut(&directories()).unwrap().unwrap();
        assert_eq!(rows.run_set().index(), LogIndex(10), "the overlay of the first attempt is written first");
        rows.cut(&directories()).unwrap().unwrap();
        assert_eq!(rows.run_set().index(), LogIndex(11));
        assert_exact(&machine, &rows.view());

        machine.files.set_plan(FaultPlan { read_error: 1.0, ..FaultPlan::default() });
        let plan = plan_of(&rows.run_set(), 0, 2);
        let failed = rows.begin_merge(plan.clone(), &directories()).and_then(|merge| merge_all(merge, 100));
        assert!(failed.is_err());
        machine.files.set_plan(FaultPlan::default());
        assert_exact(&machine, &rows.view());
        merge_all(rows.begin_merge(plan, &directories()).unwrap(), 100).unwrap();
        assert_exact(&machine, &rows.view());
        let set = rows.run_set();
        rows.retire(&set, &directories());
        assert_exact(&machine, &machine.open(&set).unwrap().view());
    }
}

#[test]
fn a_full_disk_is_an_error_with_a_path_and_no_more() {
    let mut machine = Machine::new(9);
    let rows = machine.open(&RunSet::empty()).unwrap();
    fill(&mut machine, &rows, "a", 1000);
    machine.files.set_plan(FaultPlan { capacity_bytes: 100_000, ..FaultPlan::default() });
    let error = rows.cut(&directories()).unwrap_err();
    assert!(matches!(&error, RowsError::Write { .. }) && error.to_string().contains("/drive"), "{error}");
    assert_exact(&machine, &rows.view());
    // The attempt's files are removed, and so there is room again where more drives have been given.
    rows.retire(&rows.run_set(), &directories());
    machine.files.set_plan(FaultPlan::default());
    rows.cut(&directories()).unwrap();
    assert_exact(&machine, &machine.open(&rows.run_set()).unwrap().view());
}

/// An overlay in which one row cannot be written.
#[derive(Debug)]
struct Failing(Arc<dyn Overlay>);

#[derive(Debug)]
struct FailingOverlays;

impl Overlays for FailingOverlays {
    fn fresh(&self) -> Result<Arc<dyn Overlay>, OverlayError> {
        Ok(Arc::new(Failing(MemoryOverlays.fresh()?)))
    }
}

impl Overlay for Failing {
    fn write(&self, index: LogIndex, effects: &[Row]) -> Result<(), OverlayError> {
        let sound = effects.iter().position(|(key, _)| key == "fails").unwrap_or(effects.len());
        self.0.write(index, &effects[..sound])?;
        if sound < effects.len() { Err(OverlayError::Foreign("a test")) } else { Ok(()) }
    }

    fn get(&self, key: &[u8], at: LogIndex) -> Result<Option<Option<Bytes>>, OverlayError> {
        self.0.get(key, at)
    }

    fn page(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        at: LogIndex,
        limit: usize,
        out: &mut Vec<Row>,
    ) -> Result<(), OverlayError> {
        self.0.page(from, to, at, limit, out)
    }

    fn versions(
        &self,
        after: Option<(&[u8], LogIndex)>,
        limit: usize,
        out: &mut Vec<Version>,
    ) -> Result<(), OverlayError> {
        self.0.versions(after, limit, out)
    }
}

#[test]
fn an_index_that_was_applied_in_part_stays_invisible_and_stops_the_rows() {
    let mut machine = Machine::with_overlays(8, Arc::new(FailingOverlays));
    let rows = machine.open(&RunSet::empty()).unwrap();
    machine.apply(&rows, vec![put("a", "1"), put("b", "1")]);
    let error = rows.apply(LogIndex(2), &[put("a", "2"), put("fails", "2")]).unwrap_err();
    assert!(matches!(error, RowsError::Overlay(_)), "{error}");
    assert!(matches!(rows.apply(LogIndex(2), &[put("b", "2")]), Err(RowsError::Stopped)));
    assert_eq!(rows.applied(), LogIndex(1));
    assert_exact(&machine, &rows.view());
    assert!(matches!(rows.cut(&directories()), Err(RowsError::Stopped)));
}

/// An overlay whose walk leaves out a row, or shows it with another value.
#[derive(Debug)]
struct Lying {
    inner: Arc<dyn Overlay>,
    leaves_out: bool,
}

#[derive(Debug)]
struct LyingOverlays(bool);

impl Overlays for LyingOverlays {
    fn fresh(&self) -> Result<Arc<dyn Overlay>, OverlayError> {
        Ok(Arc::new(Lying { inner: MemoryOverlays.fresh()?, leaves_out: self.0 }))
    }
}

impl Overlay for Lying {
    fn write(&self, index: LogIndex, effects: &[Row]) -> Result<(), OverlayError> {
        self.inner.write(index, effects)
    }

    fn get(&self, key: &[u8], at: LogIndex) -> Result<Option<Option<Bytes>>, OverlayError> {
        self.inner.get(key, at)
    }

    fn page(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        at: LogIndex,
        limit: usize,
        out: &mut Vec<Row>,
    ) -> Result<(), OverlayError> {
        self.inner.page(from, to, at, limit, out)
    }

    fn versions(
        &self,
        after: Option<(&[u8], LogIndex)>,
        limit: usize,
        out: &mut Vec<Version>,
    ) -> Result<(), OverlayError> {
        self.inner.versions(after, limit, out)?;
        if self.leaves_out {
            out.retain(|version| version.key != "a000050");
        } else if let Some(version) = out.iter_mut().find(|version| version.key == "a000050") {
            version.value = Some(Bytes::from_static(b"something else"));
        }
        Ok(())
    }
}

#[test]
fn no_run_is_cut_from_an_overlay_that_lies() {
    for leaves_out in [true, false] {
        let mut machine = Machine::with_overlays(5, Arc::new(LyingOverlays(leaves_out)));
        let rows = machine.open(&RunSet::empty()).unwrap();
        fill(&mut machine, &rows, "a", 100);
        let error = rows.cut(&directories()).unwrap_err();
        assert!(matches!(error, RowsError::OverlayDiverged { .. }), "{error}");
        assert_eq!(rows.run_set(), RunSet::empty());
        assert!(matches!(rows.apply(LogIndex(11), &[]), Err(RowsError::Stopped)));
        assert!(matches!(rows.cut(&directories()), Err(RowsError::Stopped)));
        // Filled again from the log, in an overlay that does not lie.
        machine.overlays = Arc::new(MemoryOverlays);
        let rows = machine.open(&RunSet::empty()).unwrap();
        rows.cut(&directories()).unwrap();
        assert_exact(&machine, &rows.view());
    }
}

#[test]
fn one_merge_at_a_time_and_only_one_that_fits() {
    let mut machine = Machine::new(6);
    let rows = machine.open(&RunSet::empty()).unwrap();
    for n in 0..3 {
        machine.apply(&rows, vec![put("k", &n.to_string())]);
        rows.cut(&directories()).unwrap();
    }
    let plan = plan_of(&rows.run_set(), 0, 2);
    let mut merge = rows.begin_merge(plan.clone(), &directories()).unwrap();
    assert!(matches!(rows.begin_merge(plan.clone(), &directories()), Err(RowsError::MergeUnderWay)));
    // A merge that is dropped half way leaves files that the next removal takes.
    merge.step(1).unwrap();
    assert_eq!(rows.retire(&rows.run_set(), &directories()).removed, 0);
    drop(merge);
    assert_eq!(rows.retire(&rows.run_set(), &directories()).removed, 3);
    merge_all(rows.begin_merge(plan.clone(), &directories()).unwrap(), 100).unwrap();
    assert!(matches!(rows.begin_merge(plan, &directories()), Err(RowsError::UnfitPlan(_))));
    let mut over = rows.begin_merge(plan_of(&rows.run_set(), 0, 2), &directories()).unwrap();
    while !matches!(over.step(1000).unwrap(), cairn_rows::MergeProgress::Done(_)) {}
    assert!(matches!(over.step(1), Err(RowsError::MergeOver)));
}

#[test]
fn a_view_outlives_the_files_that_it_reads() {
    let mut machine = Machine::new(7);
    let rows = machine.open(&RunSet::empty()).unwrap();
    fill(&mut machine, &rows, "a", 300);
    rows.cut(&directories()).unwrap();
    fill(&mut machine, &rows, "b", 300);
    rows.cut(&directories()).unwrap();
    let view = rows.view();
    let mut cursor = view.cursor(b"a", None).unwrap();
    cursor.next_row().unwrap();
    machine.apply(&rows, vec![removal("a000005")]);
    rows.cut(&directories()).unwrap();
    merge_all(rows.begin_merge(plan_of(&rows.run_set(), 0, 3), &directories()).unwrap(), 10_000).unwrap();
    assert_eq!(rows.retire(&rows.run_set(), &directories()).removed, 9);
    assert_exact(&machine, &view);
    let mut rest = 1;
    while cursor.next_row().unwrap().is_some() {
        rest += 1;
    }
    assert_eq!(rest, 600);
    let _: &FaultyFiles = &machine.files;
}

#[test]
fn reading_back_finds_a_copy_that_nobody_has_read() {
    let (machine, rows, set) = with_a_run(12);
    let run = set.runs()[0].id;
    let read_back = || {
        let mut scrub = rows.begin_scrub(run).unwrap();
        while !scrub.step(1)? {}
        Ok::<(), RowsError>(())
    };
    read_back().unwrap();
    machine.files.flip_bit(&path_of(&set, 2), 5000, 3).unwrap();
    assert_exact(&machine, &rows.view());
    assert!(rows.take_damage().is_empty(), "reads go to the first copy");
    let error = read_back().unwrap_err();
    assert!(matches!(&error, RowsError::ReadBack(bad) if bad.path == path_of(&set, 2)), "{error}");
    rows.read_whole().unwrap();
    assert_eq!(rows.mend(run, &directories()).unwrap().written, [path_of(&set, 2)]);
    read_back().unwrap();
}

#[test]
fn a_bad_copy_stays_where_no_whole_one_can_take_its_place() {
    let (machine, rows, set) = with_a_run(13);
    for drive in 0..3 {
        machine.files.flip_bit(&path_of(&set, drive), 5000 + drive as u64, 0).unwrap();
    }
    assert!(matches!(rows.read_whole(), Err(RowsError::BlockUnavailable { block: 1, .. })));
    let error = rows.mend(set.runs()[0].id, &directories()).unwrap_err();
    assert!(matches!(error, RowsError::BlockUnavailable { block: 1, .. }), "{error}");
    let rows = machine.open(&set).unwrap();
    assert_eq!(rows.view().get(b"a000000").unwrap().unwrap().len(), 101, "other blocks are served from all copies");
    for directory in directories() {
        assert_eq!(run_files(&machine, &directory).len(), 1);
    }
}
