//! Simulated drives and a process that starts on some of them, writes, and dies.

use std::collections::{BTreeMap, BTreeSet};

use cairn_core::{ClusterId, DriveId, EpochId, NodeId};

use crate::drive_set::DriveSet;
use crate::epoch::{EpochRecord, LogIdentity, VoterId};
use crate::finding::{DriveFinding, GroupFound};
use crate::group::{GroupDigest, GroupName, GroupNumber};
use crate::lineage::{Dropped, Lineage};
use crate::recover::{Decision, Kept, Orders, Setting, StartPlan, decide};
use crate::roster::Choice;

pub(super) fn identity() -> LogIdentity {
    LogIdentity { cluster: ClusterId(1), node: NodeId(2), voter: VoterId(3) }
}

/// splitmix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last + 1);
            items.swap(last, other);
        }
    }
}

/// What became of a change of the roster.
enum Changed {
    /// The process died in the middle of it.
    Died,
    /// The log goes on as before.
    Not,
    /// It goes on in another epoch, with this group.
    To(GroupNumber),
}

pub(super) struct World {
    random: Random,
    drives: BTreeMap<DriveId, DriveFinding>,
    /// Drives whose content is gone for ever, and that the log has declared lost.
    lost: BTreeSet<DriveId>,
    /// Drives that lost something since the last start that went through with them: at most r - 1 of them, or all bets
    /// are off.
    unhealed: BTreeSet<DriveId>,
    next_drive: u64,
    next_epoch: u64,
    copies: u8,
    formed: bool,
    /// What was told to be durable: number to (name, digest).
    truth: BTreeMap<GroupNumber, (GroupName, GroupDigest)>,
    floor: GroupNumber,
    starts: u64,
    refusals: u64,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let copies = 1 + random.below(3) as u8;
        let count = 1 + random.below(2 * usize::from(copies) + 1) as u64;
        let drives = (1..=count).map(|id| (DriveId(id), DriveFinding::empty(DriveId(id)))).collect();
        Self {
            random,
            drives,
            lost: BTreeSet::new(),
            unhealed: BTreeSet::new(),
            next_drive: count + 1,
            next_epoch: 1,
            copies,
            formed: false,
            truth: BTreeMap::new(),
            floor: GroupNumber(1),
            starts: 0,
            refusals: 0,
        }
    }

    pub fn counts(&self) -> (u64, u64) {
        (self.starts, self.refusals)
    }

    pub fn fingerprint(&self) -> String {
        format!("{:?} {:?} {:?}", self.drives, self.truth, self.lost)
    }

    /// Something befalls a drive, or a process lives and dies on some of them.
    pub fn step(&mut self) {
        match self.random.below(12) {
            0 => self.lose_a_drive(),
            1 => self.wipe_a_drive(),
            2 => self.damage_a_copy(),
            3 => self.add_a_drive(),
            _ => {
                let mut present: Vec<DriveId> = self.drives.keys().copied().collect();
                self.random.shuffle(&mut present);
                let away = self.random.below(present.len() + 1);
                present.truncate((present.len() - away).max(1));
                // A log is formed with every drive that it is given; nothing else tells two formations apart.
                if !self.formed || self.random.one_in(3) {
                    present = self.drives.keys().copied().collect();
                }
                self.live(&present);
            }
        }
    }

    /// With everything here that is not lost for ever, a start goes through.
    pub fn must_start_with_every_drive(&mut self) {
        let present: Vec<DriveId> = self.drives.keys().copied().collect();
        match self.decide(&present) {
            Decision::Start(plan) => self.check(&plan.kept, &present),
            Decision::CoveredReadOnly(covered) => {
                self.check(&covered.kept, &present);
                let living = covered.short_of.count(|drive| self.drives.contains_key(&drive));
                assert!(living < covered.short_of.copies_len(), "{covered:?}");
            }
            Decision::Refuse(refusal) => panic!("all drives are here, and yet: {refusal}\n{:?}", self.drives),
        }
    }

    fn may_hurt(&self, drive: DriveId) -> bool {
        let mut hurt = self.unhealed.clone();
        hurt.insert(drive);
        // Before it was formed nothing is promised; afterwards one less than the copies of the weakest quorum there was.
        let copies = self.drives.values().flat_map(|d| &d.epochs).map(|epoch| epoch.quorum.copies).min();
        self.formed && hurt.len() < usize::from(copies.unwrap_or(1))
    }

    fn any_drive(&mut self) -> DriveId {
        let which = self.random.below(self.drives.len());
        *self.drives.keys().nth(which).unwrap()
    }

    fn lose_a_drive(&mut self) {
        let drive = self.any_drive();
        if self.drives.len() > 1 && self.may_hurt(drive) {
            self.drives.remove(&drive);
            self.lost.insert(drive);
            self.unhealed.insert(drive);
            self.add_a_drive();
        }
    }

    fn wipe_a_drive(&mut self) {
        let drive = self.any_drive();
        if self.may_hurt(drive) {
            self.drives.insert(drive, DriveFinding::empty(drive));
            self.unhealed.insert(drive);
        }
    }

    fn damage_a_copy(&mut self) {
        let drive = self.any_drive();
        if !self.may_hurt(drive) {
            return;
        }
        let unnamed = self.random.one_in(3);
        let which = self.random.next() as usize;
        let finding = self.drives.get_mut(&drive).unwrap();
        if finding.groups.is_empty() {
            return;
        }
        let which = which % finding.groups.len();
        let group = finding.groups.swap_remove(which);
        if unnamed {
            finding.incomplete = true;
        } else {
            finding.damaged.push(group.name);
        }
        self.unhealed.insert(drive);
    }

    fn add_a_drive(&mut self) {
        let drive = DriveId(self.next_drive);
        self.next_drive += 1;
        if self.drives.len() < 10 {
            self.drives.insert(drive, DriveFinding::empty(drive));
        }
    }

    fn decide(&mut self, present: &[DriveId]) -> Decision {
        let found: Vec<DriveFinding> = present.iter().map(|drive| self.drives[drive].clone()).collect();
        let new_epoch = EpochId(self.next_epoch);
        self.next_epoch += 1;
        let orders = Orders { replaced: self.lost.clone(), ..Orders::default() };
        let setting = Setting {
            identity: identity(),
            formed: self.formed,
            failing: BTreeSet::new(),
            copies_wanted: self.copies,
            new_epoch,
            orders,
        };
        let decision = decide(&found, &setting);
        assert_eq!(decision, decide(&found, &setting), "the same finds, the same decision");
        decision
    }

    /// What is kept holds everything that was told to be durable, unchanged, and nothing of an abandoned tail in between.
    fn check(&self, kept: &Kept, present: &[DriveId]) {
        assert!(kept.floor <= self.floor.max(kept.last.next()), "a floor that was never acknowledged took effect");
        for (&number, &(name, digest)) in self.truth.range(kept.floor..) {
            let group = kept.groups.get((number.0 - kept.floor.0) as usize);
            let group = group.unwrap_or_else(|| panic!("{name} was acknowledged and is not among {kept:?}"));
            assert_eq!(group.name, name, "another history");
            for holder in group.holders.iter() {
                let found = self.drives[&present[holder]].groups.iter().find(|found| found.name == name).unwrap();
                assert_eq!(found.digest, digest, "{name}");
            }
        }
        for (group, number) in kept.groups.iter().zip(kept.floor.0..) {
            assert_eq!(group.name.number.0, number, "no gap");
            assert!(!group.holders.is_empty(), "it can be read somewhere");
        }
    }

    fn live(&mut self, present: &[DriveId]) {
        let decision = self.decide(present);
        if std::env::var("CAIRN_TRACE").is_ok() {
            eprintln!("{present:?} lost {:?}\n  {:?}\n  {decision:?}", self.lost, self.drives);
        }
        match decision {
            Decision::Start(plan) => {
                self.check(&plan.kept, present);
                self.starts += 1;
                if self.start(present, &plan).is_some() {
                    self.write(present, &plan.epoch);
                }
            }
            Decision::CoveredReadOnly(covered) => {
                self.check(&covered.kept, present);
                self.refusals += 1;
            }
            Decision::Refuse(_) => self.refusals += 1,
        }
    }

    /// Carries the plan out, and may die at any step.
    fn start(&mut self, present: &[DriveId], plan: &StartPlan) -> Option<()> {
        for copy in &plan.copies {
            if self.random.one_in(60) {
                return None;
            }
            let from = present[copy.from.iter().next().unwrap()];
            let group = *self.drives[&from].groups.iter().find(|group| group.name == copy.name).unwrap();
            self.drives.get_mut(&present[copy.to]).unwrap().groups.push(group);
        }
        let mut takers: Vec<DriveId> = present
            .iter()
            .copied()
            .filter(|&drive| plan.epoch.witnesses.iter().chain([&plan.epoch.quorum]).any(|q| q.contains(drive)))
            .collect();
        self.random.shuffle(&mut takers);
        takers.sort_by_key(|taker| !plan.joining.contains(present.iter().position(|drive| drive == taker).unwrap()));
        let mut took = BTreeSet::new();
        let die_after = if self.random.one_in(3) { self.random.below(takers.len() + 1) } else { usize::MAX };
        let lazy = self.random.one_in(2);
        for (position, drive) in takers.into_iter().enumerate() {
            if position >= die_after {
                return None;
            }
            // A drive may fail while it is asked: enough is enough.
            let enough =
                plan.epoch.witnesses.iter().chain([&plan.epoch.quorum]).all(|q| q.holds(|d| took.contains(&d)));
            if enough && lazy && position >= plan.joining.len() {
                continue;
            }
            self.drives.get_mut(&drive).unwrap().epochs.push(plan.epoch.clone());
            took.insert(drive);
        }
        let all = plan.epoch.witnesses.iter().chain([&plan.epoch.quorum]);
        for quorum in all {
            assert!(quorum.holds(|drive| took.contains(&drive)), "a plan can be carried out");
        }
        self.first_group(&took, &plan.epoch)?;
        // Everything kept is durable from here on, and on enough drives again.
        for group in &plan.kept.groups {
            let holder = present[group.holders.iter().next().unwrap()];
            let found = self.drives[&holder].groups.iter().find(|found| found.name == group.name).unwrap();
            self.truth.insert(group.name.number, (group.name, found.digest));
        }
        self.truth = self.truth.split_off(&plan.kept.floor);
        self.floor = self.floor.max(plan.kept.floor);
        self.formed = true;
        // Whoever was hurt and here was copied anew; whoever is lost is out of the roster.
        let healed = |drive: &DriveId| present.contains(drive) || !plan.epoch.quorum.contains(*drive);
        self.unhealed.retain(|drive| !healed(drive));
        for drive in present {
            let finding = self.drives.get_mut(drive).unwrap();
            finding.damaged.clear();
            finding.incomplete = false;
        }
        Some(())
    }

    /// The empty group that proves the epoch. Only with it the start has gone through.
    fn first_group(&mut self, ready: &BTreeSet<DriveId>, epoch: &EpochRecord) -> Option<()> {
        let dies = self.random.one_in(5);
        let name = GroupName { epoch: epoch.id, number: epoch.kept.next() };
        let digest = GroupDigest(u128::from(self.random.next()).to_be_bytes());
        let group = GroupFound { name, acknowledged: epoch.kept, floor: epoch.floor, digest };
        let mut targets: Vec<DriveId> = ready.iter().copied().filter(|&drive| epoch.quorum.contains(drive)).collect();
        self.random.shuffle(&mut targets);
        for drive in targets.into_iter().take(epoch.quorum.copies_len()) {
            if dies && self.random.one_in(2) {
                continue;
            }
            self.drives.get_mut(&drive).unwrap().groups.push(group);
        }
        let synced = self.drives.values().filter(|finding| finding.groups.contains(&group)).count();
        if synced < epoch.quorum.copies_len() {
            return None;
        }
        self.truth.insert(name.number, (name, digest));
        Some(())
    }

    /// Writes groups, a few of them at once, and dies.
    fn write(&mut self, present: &[DriveId], epoch: &EpochRecord) {
        let mut epoch = epoch.clone();
        let mut given_up = Vec::new();
        let mut ready: Vec<DriveId> = present
            .iter()
            .copied()
            .filter(|drive| epoch.quorum.contains(*drive) && self.drives[drive].epochs.contains(&epoch))
            .collect();
        let mut acknowledged = epoch.kept.next();
        let mut number = epoch.kept.next();
        let mut floor = epoch.floor;
        for _ in 0..self.random.below(8) {
            if self.random.one_in(4) {
                // Another roster while it runs: nothing is under way then.
                let still = (acknowledged, floor);
                match self.change(&mut ready, &mut epoch, &mut given_up, still) {
                    Changed::Died => return,
                    Changed::Not => {}
                    Changed::To(first) => (number, acknowledged) = (first, first),
                }
            }
            let copies = epoch.quorum.copies_len();
            let flight = 1 + self.random.below(3);
            let dies = self.random.one_in(4);
            let mut broken = false;
            let named = acknowledged;
            for _ in 0..flight {
                number = number.next();
                if self.random.one_in(6) {
                    floor = GroupNumber(floor.0 + self.random.below((named.0 + 2 - floor.0) as usize) as u64);
                }
                let digest = GroupDigest(u128::from(self.random.next()).to_be_bytes());
                let name = GroupName { epoch: epoch.id, number };
                let group = GroupFound { name, acknowledged: named, floor, digest };
                let mut targets = ready.clone();
                self.random.shuffle(&mut targets);
                let mut synced = 0;
                for drive in targets.into_iter().take(copies) {
                    if !dies || self.random.one_in(2) {
                        self.drives.get_mut(&drive).unwrap().groups.push(group);
                        synced += 1;
                    }
                }
                broken |= synced < copies;
                if !broken {
                    acknowledged = number;
                    self.truth.insert(number, (name, digest));
                    self.floor = floor;
                }
            }
            if broken {
                return;
            }
            self.truth = self.truth.split_off(&floor);
            self.purge(&ready, &epoch, floor);
        }
    }

    /// A drive is declared lost, or one joins, or both, while the log runs; what that does to the drives may end anywhere.
    fn change(
        &mut self,
        ready: &mut Vec<DriveId>,
        epoch: &mut EpochRecord,
        given_up: &mut Vec<EpochRecord>,
        (kept, floor): (GroupNumber, GroupNumber),
    ) -> Changed {
        let mut leaving: BTreeSet<DriveId> = self.lost.clone();
        if self.random.one_in(2) {
            let roster = &epoch.quorum.roster;
            let drive = roster[self.random.below(roster.len())];
            // One that is away for good, or fails. It is still there, and may turn up at a start with what it holds.
            let others = self.drives.keys().filter(|other| **other != drive && !leaving.contains(other)).count();
            if (!ready.contains(&drive) || ready.len() > epoch.quorum.copies_len())
                && others > epoch.quorum.copies_len()
            {
                leaving.insert(drive);
                self.lost.insert(drive);
            }
        }
        let outside = |drive: &&DriveId| !epoch.quorum.contains(**drive) && !leaving.contains(drive);
        let mut here: Vec<DriveId> = self.drives.keys().filter(outside).copied().collect();
        here.retain(|drive| {
            let finding = &self.drives[drive];
            let known = |found: &EpochRecord| found.id == epoch.id || epoch.descends_from(found.id);
            finding.epochs.iter().all(known) && !finding.incomplete && finding.damaged.is_empty()
        });
        self.random.shuffle(&mut here);
        let living: Vec<DriveId> = ready.iter().copied().chain(here).collect();
        let failing = BTreeSet::new();
        let choice = Choice { living: &living, failing: &failing, leaving: &leaving, copies_wanted: self.copies };
        let id = EpochId(self.next_epoch);
        self.next_epoch += 1;
        let Some(quorum) = choice.quorum(Some(&epoch.quorum), id) else { return Changed::Not };
        let joining: Vec<DriveId> =
            quorum.roster.iter().copied().filter(|drive| living.contains(drive) && !ready.contains(drive)).collect();
        let members: BTreeSet<DriveId> = living.iter().copied().filter(|drive| quorum.contains(*drive)).collect();
        if !epoch.quorum.holds(|drive| ready.contains(&drive)) || !quorum.holds(|drive| members.contains(&drive)) {
            return Changed::Not;
        }
        if !quorum.inherits(&epoch.quorum) {
            self.copy_to(&members, quorum.copies_len(), epoch, (kept, floor));
            if self.random.one_in(10) {
                return Changed::Died;
            }
        }
        let lineage = Lineage {
            base: Some(epoch.clone()),
            dropped: given_up.iter().map(|record| Dropped { record: record.clone(), may_have_begun: false }).collect(),
        };
        let next = EpochRecord {
            id: quorum.epoch,
            ancestors: lineage.ancestors(kept),
            kept,
            floor,
            witnesses: vec![epoch.quorum.clone()],
            quorum,
            forced: false,
            ..epoch.clone()
        };
        let mut takers: Vec<DriveId> = ready.iter().copied().filter(|drive| !joining.contains(drive)).collect();
        self.random.shuffle(&mut takers);
        let mut took = BTreeSet::new();
        for drive in joining.iter().copied().chain(takers) {
            let enough = next.quorum.holds(|d| took.contains(&d)) && epoch.quorum.holds(|d| took.contains(&d));
            let all_joined = took.len() >= joining.len();
            match self.random.below(14) {
                0 => return Changed::Died,
                // It fails, or does not answer in time: the log goes on as it was.
                1 if !enough => {
                    given_up.push(next);
                    return Changed::Not;
                }
                2 | 3 if enough && all_joined => continue,
                _ => {}
            }
            self.drives.get_mut(&drive).unwrap().epochs.push(next.clone());
            took.insert(drive);
        }
        *ready = took.iter().copied().filter(|drive| next.quorum.contains(*drive)).collect();
        *epoch = next;
        given_up.clear();
        if self.first_group(&took, epoch).is_none() {
            return Changed::Died;
        }
        // What was hurt and is in no roster any more hurts nobody.
        self.unhealed.retain(|drive| epoch.quorum.contains(*drive));
        Changed::To(kept.next())
    }

    /// Copies what was acknowledged until each group lies on enough of some drives.
    fn copy_to(
        &mut self,
        members: &BTreeSet<DriveId>,
        copies: usize,
        epoch: &EpochRecord,
        (kept, floor): (GroupNumber, GroupNumber),
    ) {
        for number in floor.0..=kept.0 {
            let holds = |finding: &DriveFinding| {
                let groups = finding.groups.iter().filter(|group| epoch.counts(group.name));
                groups.copied().find(|group| group.name.number.0 == number)
            };
            let group = self.drives.values().find_map(holds).expect("what was acknowledged lies somewhere");
            let (mut holders, mut others): (Vec<DriveId>, Vec<DriveId>) =
                members.iter().partition(|drive| holds(&self.drives[drive]).is_some());
            self.random.shuffle(&mut others);
            while holders.len() < copies
                && let Some(target) = others.pop()
            {
                self.drives.get_mut(&target).unwrap().groups.push(group);
                holders.push(target);
            }
        }
    }

    /// Whole segments go, so here and there something below the floor stays. The newest epoch's record never goes.
    fn purge(&mut self, ready: &[DriveId], epoch: &EpochRecord, floor: GroupNumber) {
        for drive in ready {
            let mut keep = DriveSet::EMPTY;
            let count = self.drives[drive].groups.len().min(120);
            (0..count).filter(|_| self.random.one_in(4)).for_each(|position| keep.insert(position));
            let forget = self.random.one_in(2);
            let finding = self.drives.get_mut(drive).unwrap();
            let mut position = 0;
            finding.groups.retain(|group| {
                position += 1;
                !epoch.counts(group.name) || group.name.number >= floor || keep.contains(position - 1)
            });
            finding.epochs.retain(|record| record.id == epoch.id || !forget);
        }
    }
}
