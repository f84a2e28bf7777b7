//! Rows against a map: whatever is applied, cut, merged, retired and reopened, every view is exactly the log at its index,
//! for as long as it lives.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod harness;

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use cairn_core::LogIndex;
use cairn_rows::{Row, Rows, RunSet, SledOverlays, View};
use harness::*;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Apply(Vec<Row>),
    /// Indexes that change no row: the log has those, too.
    Skip,
    Hold,
    Release,
    Cut,
    Merge {
        start: prop::sample::Index,
        width: usize,
        step_bytes: u64,
    },
    /// A merge during which a cut takes place.
    MergeAroundCut,
    Mark,
    Retire,
    Reopen,
    Range {
        from: Vec<u8>,
        to: Vec<u8>,
        seek: Vec<u8>,
    },
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(vec![0u8, b'/', b'a', 255]), 1..5)
}

fn effects() -> impl Strategy<Value = Vec<Row>> {
    let length = prop_oneof![8 => 0usize..60, 1 => Just(5000usize)];
    let value = prop::option::weighted(0.7, (length, any::<u8>()).prop_map(|(n, byte)| Bytes::from(vec![byte; n])));
    prop::collection::btree_map(key().prop_map(Bytes::from), value, 1..12).prop_map(|map| map.into_iter().collect())
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => effects().prop_map(Step::Apply),
        1 => Just(Step::Skip),
        3 => Just(Step::Hold),
        2 => Just(Step::Release),
        4 => Just(Step::Cut),
        3 => (any::<prop::sample::Index>(), 2usize..5, 1u64..4000)
            .prop_map(|(start, width, step_bytes)| Step::Merge { start, width, step_bytes }),
        1 => Just(Step::MergeAroundCut),
        2 => Just(Step::Mark),
        2 => Just(Step::Retire),
        1 => Just(Step::Reopen),
        4 => (key(), key(), key()).prop_map(|(from, to, seek)| Step::Range { from, to, seek }),
    ]
}

struct World {
    machine: Machine,
    rows: Rows,
    views: Vec<View>,
    /// What the newest acknowledged mark names.
    marked: RunSet,
}

impl World {
    fn new(machine: Machine) -> Self {
        let rows = machine.open(&RunSet::empty()).unwrap();
        Self { machine, rows, views: Vec::new(), marked: RunSet::empty() }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Apply(effects) => self.machine.apply(&self.rows, effects),
            Step::Skip => self.machine.log.push(Vec::new()),
            Step::Hold => self.views.push(self.rows.view()),
            Step::Release => self.views.truncate(self.views.len().saturating_sub(2)),
            Step::Cut => {
                let before = self.rows.run_set();
                let cut = self.rows.cut(&directories()).unwrap();
                assert_eq!(cut.is_none(), before.index() == self.rows.applied());
                assert_eq!(self.rows.run_set().index(), self.rows.applied());
            }
            Step::Merge { start, width, step_bytes } => {
                let set = self.rows.run_set();
                let width = width.min(set.runs().len());
                if width >= 2 {
                    let plan = plan_of(&set, start.index(set.runs().len() - width + 1), width);
                    let run = merge_all(self.rows.begin_merge(plan, &directories()).unwrap(), step_bytes).unwrap();
                    assert!(self.rows.run_set().names(run.id));
                }
            }
            Step::MergeAroundCut => {
                let set = self.rows.run_set();
                if set.runs().len() >= 2 {
                    let mut merge = self.rows.begin_merge(plan_of(&set, 0, 2), &directories()).unwrap();
                    merge.step(50).unwrap();
                    self.machine.apply(&self.rows, vec![put("during", "merge")]);
                    self.rows.cut(&directories()).unwrap();
                    self.rows.retire(&self.marked, &directories());
                    merge_all(merge, 1000).unwrap();
                }
            }
            Step::Mark => self.marked = self.rows.run_set(),
            Step::Retire => {
                assert!(self.rows.retire(&self.marked, &directories()).failed.is_empty());
                let current = self.rows.run_set();
                let mut named: Vec<_> = current.runs().iter().chain(self.marked.runs()).collect();
                named.sort_by_key(|run| run.id);
                named.dedup_by_key(|run| run.id);
                for directory in directories() {
                    assert_eq!(run_files(&self.machine, &directory).len(), named.len());
                }
            }
            Step::Reopen => {
                let decoded = RunSet::decode(&self.marked.encode()).unwrap();
                self.rows = self.machine.open(&decoded).unwrap();
            }
            Step::Range { from, to, seek } => {
                for view in self.views.iter().chain([&self.rows.view()]) {
                    check_range(&self.machine, view, &from, &to, &seek);
                }
            }
        }
    }

    fn check(&self) {
        for view in self.views.iter().chain([&self.rows.view()]) {
            assert_exact(&self.machine, view);
        }
    }
}

fn check_range(machine: &Machine, view: &View, from: &[u8], to: &[u8], seek: &[u8]) {
    let map = machine.map(view.index());
    let expected: Vec<(Bytes, Bytes)> =
        map.into_iter().filter(|(key, _)| key.as_ref() >= from && key.as_ref() < to).collect();

    let mut found = Vec::new();
    view.scan(from, Some(to), &mut |key, value| {
        found.push((Bytes::copy_from_slice(key), value.clone()));
        if found.len() == 7 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .unwrap();
    assert_eq!(found, expected.iter().take(7).cloned().collect::<Vec<_>>());

    // Two rows, then a jump: forward it skips, backward it changes nothing.
    let mut cursor = view.cursor(from, Some(to)).unwrap();
    let mut found = Vec::new();
    for _ in 0..2 {
        found.extend(cursor.next_row().unwrap());
    }
    cursor.seek(seek).unwrap();
    while let Some(row) = cursor.next_row().unwrap() {
        found.push(row);
    }
    let behind = |place: usize, key: &Bytes| place < 2 || key.as_ref() >= seek;
    let expected: Vec<_> =
        expected.into_iter().enumerate().filter(|(place, (key, _))| behind(*place, key)).map(|(_, row)| row).collect();
    assert_eq!(found, expected, "{from:?}..{to:?} seeking {seek:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_shrink_iters: 2000, ..ProptestConfig::default() })]
    #[test]
    fn every_view_is_the_log_at_its_index(seed: u64, steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new(Machine::new(seed));
        for step in steps {
            world.take(step);
        }
        world.check();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn the_same_holds_over_sled(seed: u64, steps in prop::collection::vec(step(), 1..60)) {
        let directory = tempfile::tempdir().unwrap();
        let overlays = Arc::new(SledOverlays::discard_and_open(directory.path()).unwrap());
        let mut world = World::new(Machine::with_overlays(seed, overlays));
        for step in steps {
            world.take(step);
        }
        world.check();
    }
}

#[test]
fn the_same_seed_and_steps_write_the_same_bytes() {
    let run = || {
        let mut machine = Machine::new(42);
        let rows = machine.open(&RunSet::empty()).unwrap();
        fill(&mut machine, &rows, "a", 500);
        rows.cut(&directories()).unwrap();
        fill(&mut machine, &rows, "b", 500);
        rows.cut(&directories()).unwrap();
        merge_all(rows.begin_merge(plan_of(&rows.run_set(), 0, 2), &directories()).unwrap(), 10_000).unwrap();
        rows.run_set().encode()
    };
    assert_eq!(run(), run());
}

#[test]
fn a_removal_is_forgotten_only_when_nothing_older_is_left() {
    let mut machine = Machine::new(1);
    let rows = machine.open(&RunSet::empty()).unwrap();
    machine.apply(&rows, vec![put("gone", "1"), put("kept", "1")]);
    rows.cut(&directories()).unwrap();
    machine.apply(&rows, vec![removal("gone")]);
    rows.cut(&directories()).unwrap();
    machine.apply(&rows, vec![put("other", "1")]);
    rows.cut(&directories()).unwrap();

    let newer = merge_all(rows.begin_merge(plan_of(&rows.run_set(), 0, 2), &directories()).unwrap(), 100).unwrap();
    assert_eq!((newer.entries, newer.removals), (2, 1), "the removal still hides the row in the oldest run");
    assert_exact(&machine, &rows.view());
    let all = merge_all(rows.begin_merge(plan_of(&rows.run_set(), 0, 2), &directories()).unwrap(), 100).unwrap();
    assert_eq!((all.entries, all.removals), (2, 0));
    assert_exact(&machine, &rows.view());
}

#[test]
fn an_entry_becomes_visible_whole_while_cuts_and_merges_go_on() {
    const ENTRIES: u64 = 3000;
    const KEYS: u64 = 8;
    let machine = Machine::new(3);
    let rows = machine.open(&RunSet::empty()).unwrap();
    let entry =
        |index: u64| -> Vec<Row> { (0..KEYS).map(|key| put(&format!("key{key}"), &index.to_string())).collect() };
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for index in 1..=ENTRIES {
                rows.apply(LogIndex(index), &entry(index)).unwrap();
            }
        });
        let maintainer = scope.spawn(|| {
            while rows.applied() < LogIndex(ENTRIES) {
                rows.cut(&directories()).unwrap();
                if rows.run_set().runs().len() > 3 {
                    let plan = plan_of(&rows.run_set(), 0, 3);
                    merge_all(rows.begin_merge(plan, &directories()).unwrap(), 500).unwrap();
                    rows.retire(&RunSet::empty(), &directories());
                }
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                while rows.applied() < LogIndex(ENTRIES) {
                    let view = rows.view();
                    let expected = view.index().0.to_string();
                    let found = read_all(&view).unwrap();
                    if view.index() > LogIndex(0) {
                        assert_eq!(found.len() as u64, KEYS);
                        assert!(found.values().all(|value| value.as_ref() == expected.as_bytes()), "at {expected}");
                    }
                }
            });
        }
        writer.join().unwrap();
        maintainer.join().unwrap();
    });
}
