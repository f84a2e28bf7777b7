//! Power cuts at any point of anything, drives that stay away and come back, from a seed: what was acknowledged is there,
//! in order, and what is there is what was appended up to some point.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use cairn_core::DriveId;
use cairn_journal::files::faulty::{FaultPlan, Operation};

use super::fleet::Fleet;
use crate::{LogRecord, OpLog, OpLogError, Recovered, RosterChange};

/// What stands after some of the records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Standing {
    entries: BTreeMap<u64, Bytes>,
    next: u64,
    vote: Option<Bytes>,
    mark: Option<Bytes>,
    purged: Option<u64>,
}

impl Standing {
    fn apply(&mut self, record: &LogRecord) {
        match record {
            LogRecord::Append { first_index, entries } => {
                assert_eq!(*first_index, self.next);
                self.entries.extend((*first_index..).zip(entries.iter().cloned()));
                self.next += entries.len() as u64;
            }
            LogRecord::Truncate { from_index } => {
                self.entries.split_off(from_index);
                self.next = self.next.min(*from_index);
            }
            LogRecord::Vote { payload } => self.vote = Some(payload.clone()),
            LogRecord::Mark { payload } => self.mark = Some(payload.clone()),
            LogRecord::Committed { .. } => {}
            LogRecord::Purge { up_to_index, .. } => {
                self.entries = self.entries.split_off(&(up_to_index + 1));
                self.next = self.next.max(up_to_index + 1);
                self.purged = Some(*up_to_index);
            }
        }
    }

    async fn of(log: &OpLog, recovered: &Recovered) -> Self {
        let mut entries = BTreeMap::new();
        if let (Some(first), Some(last)) = (recovered.first_index, recovered.last_index) {
            let read = log.read(first..last + 1, usize::MAX).await.unwrap();
            entries.extend((first..).zip(read));
            assert_eq!(entries.keys().next_back(), Some(&last));
        }
        Self {
            entries,
            next: recovered.next_index.unwrap_or(0),
            vote: recovered.vote.clone(),
            mark: recovered.mark.clone(),
            purged: recovered.purged.as_ref().map(|(index, _)| *index),
        }
    }
}

/// Everything appended so far that may stand, and how much of it was acknowledged.
#[derive(Clone, Default)]
struct Model {
    units: Vec<(Vec<LogRecord>, Standing)>,
    acknowledged: usize,
    unique: u64,
}

impl Model {
    fn last(&self) -> Standing {
        self.units.last().map(|(_, standing)| standing.clone()).unwrap_or_default()
    }

    /// What was found is what stood after some unit, none before the last acknowledged one.
    fn settle(&mut self, found: &Standing) {
        let candidates = self.acknowledged..=self.units.len();
        let standing = |count: usize| if count == 0 { Standing::default() } else { self.units[count - 1].1.clone() };
        let matching = candidates.clone().find(|&count| standing(count) == *found);
        let Some(count) = matching else {
            panic!(
                "found {found:#?}\nacknowledged ({}) {:#?}\nlast {:#?}",
                self.acknowledged,
                standing(self.acknowledged),
                self.last()
            );
        };
        self.units.truncate(count);
        self.acknowledged = count;
    }

    fn next_unit(&mut self, fleet: &Fleet) -> Vec<LogRecord> {
        let mut standing = self.last();
        let mut records = Vec::new();
        for _ in 0..=fleet.below(3) {
            self.unique += 1;
            let unique = Bytes::from(format!("{}", self.unique));
            let record = match fleet.below(12) {
                0 | 1 => LogRecord::Vote { payload: unique },
                2 => LogRecord::Mark { payload: unique },
                3 => {
                    let first = standing.purged.map_or(0, |purged| purged + 1);
                    let from_index = first + fleet.below(standing.next - first + 1);
                    LogRecord::Truncate { from_index }
                }
                4 if !standing.entries.is_empty() => {
                    let first = *standing.entries.keys().next().unwrap();
                    let up_to_index = first + fleet.below(standing.next - first);
                    LogRecord::Purge { up_to_index, payload: unique }
                }
                _ => {
                    let long = [0, 10, 10, 2800][fleet.below(4) as usize];
                    let entry = |n: u64| Bytes::from(format!("{}-{n}{}", self.unique, "e".repeat(long)));
                    LogRecord::Append { first_index: standing.next, entries: (0..=fleet.below(3)).map(entry).collect() }
                }
            };
            standing.apply(&record);
            records.push(record);
        }
        // Tells this unit's standing from the one before, whatever else it did.
        self.unique += 1;
        let mark = LogRecord::Vote { payload: Bytes::from(format!("{}", self.unique)) };
        standing.apply(&mark);
        records.push(mark);
        self.units.push((records.clone(), standing));
        records
    }
}

/// Something befalls a drive while the log runs.
fn strike(fleet: &Fleet) {
    let disk = &fleet.disks[fleet.below(fleet.disks.len() as u64) as usize].1;
    match fleet.below(4) {
        // Another drive takes its place, and what it held is copied while the next units come.
        0 => disk.fail_next(Operation::Sync, ""),
        1 => disk.fail_next(Operation::Write, ""),
        2 => disk.set_plan(FaultPlan { capacity_bytes: 1, ..FaultPlan::default() }),
        // So slow that others take over: each of its syncs takes longer than the patience with it.
        _ => {
            let clock = fleet.clock.clone();
            disk.before_each(move |operation, _| {
                if operation == Operation::Sync {
                    clock.advance(Duration::from_millis(600));
                }
            });
        }
    }
}

/// A drive is declared lost, or a fresh one comes, and the roster changes while units come.
fn change(fleet: &mut Fleet, log: &OpLog, changed: &Arc<Mutex<u64>>) {
    let lost = &fleet.options.orders.replaced;
    let left = fleet.disks.iter().filter(|(id, _)| !lost.contains(id)).count();
    // As many may be lost as the arithmetic allows to be away; then a start must be seen to let them go.
    let may_go = lost.len() + 1 < usize::from(fleet.options.copies_wanted)
        && left > 2 * usize::from(fleet.options.copies_wanted) - 2;
    if may_go && fleet.below(2) == 0 {
        let position = fleet.below(fleet.disks.len() as u64) as usize;
        let drive = fleet.disks[position].0;
        fleet.options.orders.replaced.insert(drive);
    }
    if fleet.disks.len() < 12 {
        fleet.add();
    }
    let leaving = fleet.options.orders.replaced.clone();
    let mut here = fleet.here();
    here.retain(|drive| !leaving.contains(&drive.id));
    let wanted = RosterChange { here, leaving, copies_wanted: fleet.options.copies_wanted };
    let (log, changed) = (log.clone(), changed.clone());
    tokio::spawn(async move {
        // What stands against it is the drives' failure; that it loses nothing is seen at the next start.
        if let Ok(Some(_)) = log.change_roster(wanted).await {
            *changed.lock().unwrap() += 1;
        }
    });
}

async fn live(fleet: &mut Fleet, model: &mut Model, log: &OpLog) -> u64 {
    let acknowledged = Arc::new(Mutex::new(model.acknowledged));
    let changed = Arc::new(Mutex::new(0));
    let mut failing = fleet.below(5);
    for _ in 0..fleet.below(25) {
        if fleet.below(10) == 0 {
            change(fleet, log, &changed);
        }
        let unit = model.next_unit(fleet);
        let count = model.units.len();
        let reached = acknowledged.clone();
        let done = move |result: Result<(), OpLogError>| {
            if result.is_ok() {
                let mut reached = reached.lock().unwrap();
                assert_eq!(*reached + 1, count, "answered in order");
                *reached = count;
            }
        };
        match log.append_with(unit, done) {
            Ok(()) => {}
            Err(OpLogError::Stopped { .. }) => {
                model.units.pop();
                break;
            }
            Err(error) => panic!("{error}"),
        }
        for _ in 0..fleet.below(4) {
            tokio::task::yield_now().await;
        }
        if fleet.below(8) == 0 {
            log.reclaim().await;
        }
        if failing > 0 && fleet.below(8) == 0 {
            failing -= 1;
            strike(fleet);
        }
    }
    if fleet.below(3) == 0 {
        // A failure is the drives' crash.
        let _ = log.close().await;
    }
    model.acknowledged = *acknowledged.lock().unwrap();
    *changed.lock().unwrap()
}

/// Drives that are in no roster any more are put away.
fn put_away(fleet: &mut Fleet, log: &OpLog) {
    let roster = log.stats().epoch.quorum.clone();
    let lost = std::mem::take(&mut fleet.options.orders.replaced);
    let (out, still): (BTreeSet<DriveId>, BTreeSet<DriveId>) = lost.into_iter().partition(|&id| !roster.contains(id));
    fleet.disks.retain(|(id, _)| !out.contains(id));
    fleet.options.orders.replaced = still;
}

async fn round(seed: u64) -> (u64, u64, u64) {
    let mut fleet = Fleet::new(seed, 6);
    fleet.options.segment_bytes = 64 << 10;
    fleet.options.groups_under_way = 1 + fleet.below(3) as usize;
    fleet.options.cache_bytes = fleet.below(2) as usize * 20_000;
    if fleet.below(4) == 0 {
        fleet.disks.truncate(2);
        fleet.options.copies_wanted = 2;
    }
    let mut model = Model::default();
    let (mut opened, mut failed, mut changed) = (0, 0, 0);
    for _ in 0..6 {
        let mut away: Vec<DriveId> = Vec::new();
        if fleet.options.formed {
            // Those that were declared lost may be in the roster still, and are away for good half of the time.
            let lost = &fleet.options.orders.replaced;
            if fleet.below(2) == 0 {
                away.extend(lost);
            }
            let most = u64::from(fleet.options.copies_wanted) - 1 - lost.len() as u64;
            for _ in 0..fleet.below(most + 1) {
                away.push(fleet.disks[fleet.below(fleet.disks.len() as u64) as usize].0);
            }
        }
        // The power may go while the log starts, or later, at each drive in another moment.
        let power_goes = fleet.below(3) > 0;
        if power_goes {
            for (_, disk) in &fleet.disks {
                disk.power_off_after(fleet.below(if fleet.below(3) == 0 { 30 } else { 150 }));
            }
        }
        match fleet.open_with(|drive| !away.contains(&drive)).await {
            Ok((log, recovered)) => {
                opened += 1;
                if recovered.report.read_only {
                    drop(log);
                } else {
                    let found = Standing::of(&log, &recovered).await;
                    model.settle(&found);
                    fleet.options.formed = true;
                    drop(recovered);
                    put_away(&mut fleet, &log);
                    changed += live(&mut fleet, &mut model, &log).await;
                }
            }
            Err(error) => {
                failed += 1;
                assert!(power_goes, "{error}, and nothing failed");
            }
        }
        // Whatever still runs ends here.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        fleet.crash();
    }
    // Once the faults have stopped, it starts with all drives.
    let (log, mut recovered) = fleet.open().await.unwrap();
    let found = Standing::of(&log, &recovered).await;
    model.settle(&found);
    super::fleet::all(&mut recovered).await;
    log.close().await.unwrap();
    (opened, failed, changed)
}

/// The first seed, and how many.
fn seeds() -> (u64, u64) {
    match std::env::var("CAIRN_SEED") {
        Ok(seed) => (seed.parse().expect("CAIRN_SEED is a number"), 1),
        Err(_) => {
            (1, std::env::var("CAIRN_SEEDS").map_or(300, |seeds| seeds.parse().expect("CAIRN_SEEDS is a number")))
        }
    }
}

#[test]
fn what_was_acknowledged_survives_every_crash() {
    let (first, count) = seeds();
    let (mut opened, mut failed, mut changed) = (0, 0, 0);
    for seed in first..first + count {
        let run = std::panic::catch_unwind(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(round(seed))
        });
        match run {
            Ok((starts, failures, changes)) => {
                opened += starts;
                failed += failures;
                changed += changes;
            }
            Err(panic) => {
                eprintln!("replay with CAIRN_SEED={seed}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    eprintln!("{opened} starts, {failed} cut short, {changed} changes of the roster");
    assert!(count < 300 || (opened > 300 && failed > 30 && changed > 100), "the rounds are interesting");
}

/// The drives are parted in two, each half with a process of its own on it, both at once. At most one of them acknowledges anything;
/// and once all drives are together again, what it acknowledged is there.
async fn part(seed: u64) -> Option<u64> {
    let mut fleet = Fleet::new(seed, 1 + seed % 7);
    fleet.options.copies_wanted = 1 + (seed / 7 % 3) as u8;
    fleet.options.segment_bytes = 64 << 10;
    let mut model = Model::default();
    let (log, _) = fleet.open().await.unwrap();
    fleet.options.formed = true;
    live(&mut fleet, &mut model, &log).await;
    drop(log);
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
    fleet.crash();
    let halves: BTreeSet<DriveId> = fleet.disks.iter().map(|(id, _)| *id).filter(|_| fleet.below(2) == 0).collect();
    let mut logs = Vec::new();
    for half in [true, false] {
        if let Ok((log, recovered)) = fleet.open_with(|drive| halves.contains(&drive) == half).await {
            let found = Standing::of(&log, &recovered).await;
            logs.push((log, found, recovered.report.read_only));
        }
    }
    let mut writing = None;
    for (log, found, read_only) in &logs {
        let next = found.next;
        let answer = match log.append(vec![super::fleet::entries(next, &["of one half"])]) {
            Ok(answer) => answer.await,
            Err(error) => Err(error),
        };
        if answer.is_ok() {
            assert!(!read_only);
            assert_eq!(writing.replace(found.clone()), None, "both halves acknowledge: {halves:?}");
        }
        // Whoever reads sees everything that was acknowledged, whether or not it can write.
        model.clone().settle(found);
    }
    let wrote = writing.as_ref().map(|found| found.next);
    if let Some(found) = writing {
        model.settle(&found);
    }
    drop(logs);
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
    fleet.crash();
    let (log, recovered) = fleet.open().await.unwrap();
    match wrote {
        Some(next) => {
            assert_eq!(recovered.next_index, Some(next + 1));
            assert_eq!(log.read(next..next + 1, 100).await.unwrap(), ["of one half"]);
        }
        None => model.settle(&Standing::of(&log, &recovered).await),
    }
    wrote
}

#[test]
fn two_halves_never_both_acknowledge() {
    let (first, count) = seeds();
    let mut wrote = 0;
    for seed in first..first + count {
        let run = std::panic::catch_unwind(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(part(seed))
        });
        match run {
            Ok(next) => wrote += u64::from(next.is_some()),
            Err(panic) => {
                eprintln!("replay with CAIRN_SEED={seed}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    assert!(count < 300 || (wrote > 50 && wrote < count - 20), "both happens: {wrote} of {count} halves went on");
}
