//! What one read has learnt about a stripe's chunks.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use bytes::Bytes;
use cairn_core::ChunkError;

use crate::stripe_places::PositionFault;

/// What one read has learnt about a stripe's chunks: which failed, and which bytes of the others are here already.
#[derive(Debug, Default)]
pub(super) struct Survey {
    faults: BTreeMap<u8, PositionFault>,
    /// Positions whose first fault was noted already, whether it still counts against them or not.
    noted: BTreeSet<u8>,
    held: BTreeMap<u8, Held>,
}

/// A run of a chunk's bytes.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) range: Range<u32>,
    pub(super) bytes: Bytes,
}

impl Held {
    /// A part of the run that is known to be in it.
    pub(super) fn slice(&self, range: Range<u32>) -> Bytes {
        assert!(self.range.start <= range.start && range.end <= self.range.end, "a part of what is held");
        self.bytes.slice((range.start - self.range.start) as usize..(range.end - self.range.start) as usize)
    }
}

impl Survey {
    /// Notes what failed. Whether it is news: the first fault of its position.
    pub(super) fn fail(&mut self, fault: PositionFault) -> bool {
        let position = fault.position;
        self.faults.entry(position).or_insert(fault);
        self.noted.insert(position)
    }

    pub(super) fn hold(&mut self, position: u8, range: Range<u32>, bytes: Bytes) {
        self.held.insert(position, Held { range, bytes });
    }

    pub(super) fn held(&self, position: u8) -> Option<&Held> {
        self.held.get(&position)
    }

    pub(super) fn failed(&self, position: u8) -> bool {
        self.faults.contains_key(&position)
    }

    /// Whether the fault of a position says something about some of its blocks only: the others may be good.
    pub(super) fn partly(&self, position: u8) -> bool {
        self.faults.get(&position).is_some_and(|fault| matches!(fault.error, ChunkError::Damaged { .. }))
    }

    /// What is known when chunks that are damaged somewhere are given another chance elsewhere.
    pub(super) fn without_damage(&self) -> Self {
        let mut faults = self.faults.clone();
        faults.retain(|&position, _| !self.partly(position));
        Self { faults, noted: self.noted.clone(), held: self.held.clone() }
    }

    /// Adds the faults that another survey met, keeping those known first.
    pub(super) fn merge(&mut self, other: &Self) {
        for (&position, fault) in &other.faults {
            self.faults.entry(position).or_insert_with(|| fault.clone());
        }
        self.noted.extend(&other.noted);
    }

    pub(super) fn faults(&self) -> Vec<PositionFault> {
        self.faults.values().cloned().collect()
    }
}
