//! What is counted while the load runs.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::client::Failure;
use crate::histogram::Histogram;

/// The most different failures that are counted apart; the rest is counted together.
const LABELS_MAX: usize = 32;

/// A kind of operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// One object put.
    Put,
    /// One object read.
    Get,
    /// One object asked about.
    Stat,
    /// One object deleted.
    Delete,
    /// One page of a listing.
    List,
    /// One upload in parts.
    Multipart,
}

impl Kind {
    /// Its name in a report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Get => "get",
            Self::Stat => "stat",
            Self::Delete => "delete",
            Self::List => "list",
            Self::Multipart => "multipart",
        }
    }
}

/// What an operation that succeeded has done.
#[derive(Debug, Clone, Copy, Default)]
pub struct Done {
    /// When the head of the answer was there, from the start of the operation.
    pub first_byte: Option<Duration>,
    /// Bytes of objects that were moved.
    pub bytes: u64,
    /// Objects that were moved, named or deleted.
    pub objects: u64,
    /// Whether what came back was compared.
    pub verified: bool,
}

/// Counts of one kind.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// How long operations took that succeeded.
    pub latency: Histogram,
    /// How long until the head of their answers was there.
    pub first_byte: Histogram,
    /// Bytes of objects.
    pub bytes: u64,
    /// Objects.
    pub objects: u64,
    /// How many answers were compared with what was put.
    pub verified: u64,
}

/// Counts of a run.
#[derive(Debug, Default)]
pub struct Tally {
    /// By kind, those that occurred.
    pub kinds: BTreeMap<Kind, Counts>,
    /// How many operations failed.
    pub errors: u64,
    /// How many of each label.
    pub errors_by_code: BTreeMap<String, u64>,
    /// The first failure, in full.
    pub first_error: Option<String>,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.latency.merge(&other.latency);
        self.first_byte.merge(&other.first_byte);
        self.bytes += other.bytes;
        self.objects += other.objects;
        self.verified += other.verified;
    }
}

impl Tally {
    /// Counts an operation that succeeded.
    pub fn succeeded(&mut self, kind: Kind, took: Duration, done: Done) {
        let counts = self.kinds.entry(kind).or_default();
        counts.latency.record(took);
        if let Some(first_byte) = done.first_byte {
            counts.first_byte.record(first_byte);
        }
        counts.bytes += done.bytes;
        counts.objects += done.objects;
        counts.verified += u64::from(done.verified);
    }

    /// Counts one that failed.
    pub fn failed(&mut self, kind: Kind, failure: &Failure) {
        self.errors += 1;
        let mut label = failure.label();
        if self.errors_by_code.len() >= LABELS_MAX && !self.errors_by_code.contains_key(&label) {
            label = "others".to_owned();
        }
        *self.errors_by_code.entry(label).or_default() += 1;
        self.first_error.get_or_insert_with(|| format!("{}: {failure}", kind.name()));
    }

    /// All kinds together.
    pub fn total(&self) -> Counts {
        self.kinds.values().fold(Counts::default(), |mut total, counts| {
            total.add(counts);
            total
        })
    }

    /// Operations, objects and bytes so far: cheap enough to be asked for every second.
    pub fn so_far(&self) -> (u64, u64, u64) {
        self.kinds.values().fold((0, 0, 0), |(operations, objects, bytes), counts| {
            (operations + counts.latency.count(), objects + counts.objects, bytes + counts.bytes)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_counted_apart_and_together() {
        let mut tally = Tally::default();
        let done = Done { first_byte: Some(Duration::from_millis(1)), bytes: 10, objects: 1, verified: true };
        tally.succeeded(Kind::Get, Duration::from_millis(2), done);
        tally.succeeded(Kind::Put, Duration::from_millis(4), Done { first_byte: None, verified: false, ..done });
        let total = tally.total();
        assert_eq!((total.bytes, total.objects, total.verified), (20, 2, 1));
        assert_eq!((total.latency.count(), total.first_byte.count()), (2, 1));
        assert_eq!(tally.so_far(), (2, 2, 20));
        assert_eq!(tally.kinds[&Kind::Get].latency.max_ms(), 2.0);
    }

    #[test]
    fn failures_are_counted_by_label_within_a_bound() {
        let mut tally = Tally::default();
        for status in 0..100 {
            let failure = Failure::Refused { status, code: String::new(), message: String::new() };
            tally.failed(Kind::Put, &failure);
        }
        assert_eq!(tally.errors, 100);
        assert_eq!(tally.errors_by_code.len(), LABELS_MAX + 1);
        assert_eq!(tally.errors_by_code["others"], 100 - LABELS_MAX as u64);
        assert_eq!(tally.first_error.as_deref(), Some("put: 0 "));
    }
}
