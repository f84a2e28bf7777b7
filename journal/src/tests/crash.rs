//! Arbitrary histories with a crash anywhere, against a model that remembers what was promised.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::files::faulty::Operation;
use crate::{DamageKind, Files as _};

#[derive(Debug, Clone)]
enum Step {
    /// Bodies of one call.
    Append(Vec<usize>),
    /// Punches one of the records that are there, by index.
    Punch(usize),
    Sync,
    RemoveBelow(u32),
    /// The process ends without a word; the machine goes on.
    Restart,
    /// The process closes the journal and starts again.
    Close,
    /// The power goes in the midst of one of the next changes.
    PowerOff(u64),
    /// The power goes now.
    Crash,
    /// The next sync of a segment fails.
    FailSync,
    FailWrite,
    /// The process starts again, and a read of a segment fails while it does.
    FailRead,
    /// Somebody else takes all the room, or gives it back.
    Full(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let length = prop_oneof![4 => 0usize..300, 3 => 0usize..20_000, 1 => Just(4096usize)];
    prop_oneof![
        10 => proptest::collection::vec(length, 1..6).prop_map(Step::Append),
        4 => any::<usize>().prop_map(Step::Punch),
        1 => Just(Step::Sync),
        1 => (0u32..6).prop_map(Step::RemoveBelow),
        1 => Just(Step::Restart),
        1 => Just(Step::Close),
        3 => (0u64..12).prop_map(Step::PowerOff),
        1 => Just(Step::Crash),
        1 => Just(Step::FailSync),
        1 => Just(Step::FailWrite),
        1 => Just(Step::FailRead),
        1 => any::<bool>().prop_map(Step::Full),
    ]
}

/// What was promised about one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Promise {
    /// Acknowledged: it is there.
    There,
    /// Perhaps written, perhaps deleted: either way, but never wrong.
    Maybe,
    /// Deleted, and that made durable: it never comes back.
    Gone,
}

struct Run {
    seed: u64,
    plan: FaultPlan,
    files: FaultyFiles,
    journal: Option<Journal>,
    lengths: BTreeMap<u64, usize>,
    promises: BTreeMap<u64, Promise>,
    places: BTreeMap<u64, Place>,
    /// Punched by this process and not yet synced.
    punched: BTreeSet<u64>,
    opened: u64,
}

impl Run {
    fn new(seed: u64) -> Self {
        // One in four disks cannot punch. (One that cannot be read past the page cache cannot keep these promises: it
        // serves what a failed sync left in memory, and loses it with the power.)
        let plan = FaultPlan { punches: !seed.is_multiple_of(4), ..FaultPlan::default() };
        Self {
            seed,
            files: FaultyFiles::new(seed, plan.clone()),
            plan,
            journal: None,
            lengths: BTreeMap::new(),
            promises: BTreeMap::new(),
            places: BTreeMap::new(),
            punched: BTreeSet::new(),
            opened: 0,
        }
    }

    fn number(name: &RecordName) -> u64 {
        u64::from_be_bytes(name.as_bytes().try_into().unwrap())
    }

    /// Starts until it succeeds, and holds what is found against what was promised.
    fn start(&mut self) {
        self.journal = None;
        self.punched.clear();
        let (journal, witness) = loop {
            self.opened += 1;
            let options = options(self.seed.wrapping_mul(1000) + self.opened, 64 * 1024);
            match try_open(&self.files, options) {
                Ok((journal, _, witness)) => break (journal, witness),
                Err(JournalError::Io { .. }) => drop(self.restore_power()),
                Err(error) => panic!("{error}"),
            }
        };
        for (&number, promise) in &self.promises {
            let found = witness.found.get(&name(number));
            match promise {
                Promise::There => assert!(found.is_some(), "record {number} was acknowledged"),
                Promise::Gone => assert!(found.is_none(), "record {number} was deleted for good"),
                Promise::Maybe => {}
            }
        }
        for damage in &witness.damage {
            let promise = damage.name.and_then(|name| self.promises.get(&Self::number(&name)));
            assert_ne!(promise, Some(&Promise::There), "{damage:?}");
            assert_ne!(damage.kind, DamageKind::Unreadable);
        }
        self.places = witness.found.iter().map(|(name, info)| (Self::number(name), info.place)).collect();
        for (&number, &place) in &self.places {
            // Deleted by overwriting, and the sync of that failed: the device has the record still, the kernel shows
            // zeros. Nobody wants it; it only must not pass for something else.
            let read = journal.reader().read_head(place, &name(number));
            if !self.plan.punches
                && self.promises.get(&number) == Some(&Promise::Maybe)
                && matches!(read, Err(JournalError::Gone(_)))
            {
                continue;
            }
            check_record(&journal, place, number, self.lengths[&number]);
            // Served from now on: it must stay.
            self.promises.insert(number, Promise::There);
        }
        self.journal = Some(journal);
    }

    fn take(&mut self, step: &Step) {
        let journal = self.journal.as_mut().unwrap();
        match step {
            Step::Append(lengths) => {
                let first = self.lengths.len() as u64;
                let numbers: Vec<u64> = (first..).take(lengths.len()).collect();
                let appends = numbers.iter().zip(lengths).map(|(&number, &length)| append(number, length)).collect();
                self.lengths.extend(numbers.iter().copied().zip(lengths.iter().copied()));
                match journal.append_group(appends) {
                    Ok(places) => {
                        for (&number, place) in numbers.iter().zip(places) {
                            self.promises.insert(number, Promise::There);
                            self.places.insert(number, place);
                            check_record_if_powered(journal, place, number, self.lengths[&number]);
                        }
                    }
                    Err(_) => self.promises.extend(numbers.iter().map(|&number| (number, Promise::Maybe))),
                }
            }
            Step::Punch(index) => {
                let Some((&number, &place)) = self.places.iter().nth(index % self.places.len().max(1)) else { return };
                // Whatever it answers, from here on the record may be gone.
                self.promises.insert(number, Promise::Maybe);
                self.places.remove(&number);
                if journal.punch(place, &name(number)).is_ok_and(|was_there| was_there) {
                    self.punched.insert(number);
                }
            }
            Step::Sync => {
                if journal.sync().is_ok() {
                    let gone = std::mem::take(&mut self.punched);
                    self.promises.extend(gone.into_iter().map(|number| (number, Promise::Gone)));
                }
            }
            Step::RemoveBelow(ordinal) => {
                let active = journal.reader().segments().last().copied();
                let result = journal.remove_segments_below(*ordinal);
                let outcome = if result.is_ok() { Promise::Gone } else { Promise::Maybe };
                let doomed = self.places.iter().filter(|(_, place)| place.segment < *ordinal);
                let doomed: Vec<u64> =
                    doomed.filter(|(_, place)| Some(place.segment) != active).map(|(&number, _)| number).collect();
                for number in doomed {
                    self.promises.insert(number, outcome);
                    self.places.remove(&number);
                }
                // The newest segment is removed as well when it is sealed: the promise is looser for it.
                let newest: Vec<u64> =
                    self.places.iter().filter(|(_, p)| p.segment < *ordinal).map(|(&n, _)| n).collect();
                for number in newest {
                    self.promises.insert(number, Promise::Maybe);
                    self.places.remove(&number);
                }
            }
            Step::Restart => self.start(),
            Step::Close => {
                let journal = self.journal.take().unwrap();
                let closed = journal.close().is_ok();
                if closed {
                    self.promises.extend(std::mem::take(&mut self.punched).into_iter().map(|n| (n, Promise::Gone)));
                }
                self.start();
            }
            Step::PowerOff(after) => self.files.power_off_after(*after),
            Step::Crash => {
                self.files.crash();
                self.start();
            }
            Step::FailSync => self.files.fail_next(Operation::Sync, ".segment"),
            Step::FailWrite => self.files.fail_next(Operation::Write, ".segment"),
            Step::FailRead => self.start_with_a_failing_read(),
            Step::Full(full) => self.files.set_plan(FaultPlan {
                capacity_bytes: if *full { 0 } else { FaultPlan::default().capacity_bytes },
                ..self.plan.clone()
            }),
        }
    }

    /// Whatever comes of such a start, it may cost nothing: the one after it finds everything.
    fn start_with_a_failing_read(&mut self) {
        let Some(segment) = self.files.list(&dir()).ok().and_then(|names| Some(dir().join(&names.first()?.name)))
        else {
            return;
        };
        self.journal = None;
        self.files.fail_next(Operation::Read, ".segment");
        self.opened += 1;
        drop(try_open(&self.files, options(self.seed.wrapping_mul(1000) + self.opened, 64 * 1024)));
        // The start may have had nothing to read.
        if let Ok(file) = self.files.open(&segment) {
            drop(file.read_exact_at(&mut [0], 0));
        }
        self.restore_power();
        self.start();
    }

    /// Crashes if the power is off; a disk that merely failed goes on, with what the kernel remembers.
    fn restore_power(&self) -> bool {
        let off = self.files.list(Path::new("/")).is_err();
        if off {
            self.files.crash();
        }
        off
    }

    /// A process whose disk has failed is started again, after a crash if the power is off.
    fn recover(&mut self) {
        let failed = self.journal.as_ref().is_none_or(|journal| journal.poisoned().is_some());
        if self.restore_power() || failed {
            self.start();
        }
    }
}

fn check_record_if_powered(journal: &Journal, place: Place, number: u64, length: usize) {
    match journal.reader().read_record(place, &name(number)) {
        Ok(record) => assert_eq!(record.body, body(number, length)),
        Err(error) => assert!(matches!(error, JournalError::Io { .. }), "{error}"),
    }
}

fn run(seed: u64, steps: &[Step]) -> Vec<(u64, Place)> {
    let mut run = Run::new(seed);
    run.start();
    for step in steps {
        run.take(step);
        run.recover();
    }
    run.files.stop_faults();
    run.files.set_plan(run.plan.clone());
    run.files.crash();
    run.start();
    // And it still works: after the faults stop, it heals.
    let mut journal = run.journal.take().unwrap();
    let place = journal.append_group(vec![append(1 << 40, 5000)]).unwrap()[0];
    check_record(&journal, place, 1 << 40, 5000);
    journal.close().unwrap();
    let (_, recovery, _) = try_open(&run.files, options(seed, 64 * 1024)).unwrap();
    assert!(recovery.clean);
    run.places.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    /// Everything acknowledged is there and equal; nothing torn is served; what was deleted for good stays away.
    #[test]
    fn whatever_happens_promises_are_kept(seed: u64, steps in proptest::collection::vec(step(), 1..40)) {
        run(seed, &steps);
    }
}

#[test]
fn one_seed_one_history() {
    let steps: Vec<Step> = (0..30)
        .map(|n| match n % 6 {
            0 => Step::PowerOff(n % 7),
            1 => Step::Punch(n as usize),
            _ => Step::Append(vec![(n as usize * 997) % 9000, 10]),
        })
        .collect();
    let first = run(42, &steps);
    assert!(!first.is_empty());
    assert_eq!(first, run(42, &steps));
}
