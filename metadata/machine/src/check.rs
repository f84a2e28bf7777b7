//! The invariants as code: each checker has a name, the number of the invariant that it checks, and looks at all rows.
//!
//! Tests and the simulation call them after every entry; an audit calls them on a view. They read everything and hold it
//! in memory, some hundred bytes for each row: an audit of a large cluster runs where that much memory is.
//!
//! A checker recomputes from scratch. It shares no code with what keeps the rows, except their types.

mod contents;
mod ledgers;
mod loaded;
mod sessions;
mod stripes;
mod uploads;
mod versions;

use core::fmt;

use crate::source::{RowError, RowSource};

pub use loaded::Loaded;

/// Rows that contradict an invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The checker that found it.
    pub checker: &'static str,
    /// The number of the invariant, as in `docs/invariants.md`.
    pub invariant: u8,
    /// What was found.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invariant {} ({}): {}", self.invariant, self.checker, self.what)
    }
}

/// One checker.
#[derive(Debug, Clone, Copy)]
pub struct Checker {
    /// What it is called.
    pub name: &'static str,
    /// The number of the invariant that it checks.
    pub invariant: u8,
    run: fn(&Loaded, &mut Vec<String>),
}

/// All checkers.
pub const CHECKERS: &[Checker] = &[
    Checker { name: "buckets_have_one_name", invariant: 3, run: versions::buckets_have_one_name },
    Checker { name: "newest_is_newest", invariant: 3, run: versions::newest_is_newest },
    Checker { name: "one_null_version_per_key", invariant: 3, run: versions::one_null_version_per_key },
    Checker { name: "configurations_have_a_bucket", invariant: 3, run: uploads::configurations_have_a_bucket },
    Checker { name: "ranges_lie_in_extents", invariant: 4, run: contents::ranges_lie_in_extents },
    Checker { name: "extents_lie_in_stripes", invariant: 4, run: contents::extents_lie_in_stripes },
    Checker { name: "stripes_are_placed", invariant: 6, run: stripes::stripes_are_placed },
    Checker { name: "removed_drives_hold_nothing", invariant: 6, run: stripes::removed_drives_hold_nothing },
    Checker { name: "only_the_living_hold", invariant: 6, run: sessions::only_the_living_hold },
    Checker { name: "garbage_is_unnamed", invariant: 7, run: stripes::garbage_is_unnamed },
    Checker { name: "references_balance", invariant: 11, run: contents::references_balance },
    Checker { name: "stripe_lives_balance", invariant: 11, run: contents::stripe_lives_balance },
    Checker { name: "bucket_ledgers_balance", invariant: 11, run: ledgers::bucket_ledgers_balance },
    Checker { name: "here_balances", invariant: 11, run: ledgers::here_balances },
    Checker { name: "drive_ledgers_balance", invariant: 11, run: ledgers::drive_ledgers_balance },
    Checker { name: "upload_ledgers_balance", invariant: 11, run: uploads::upload_ledgers_balance },
    Checker { name: "parts_have_an_upload", invariant: 11, run: uploads::parts_have_an_upload },
    Checker { name: "locks_stand_on_versions", invariant: 12, run: versions::locks_stand_on_versions },
    Checker { name: "manifests_are_whole", invariant: 13, run: contents::manifests_are_whole },
    Checker { name: "rows_are_bounded", invariant: 13, run: sessions::rows_are_bounded },
];

/// Everything that contradicts an invariant. Empty is what one wants to see.
pub fn check(rows: &(impl RowSource + ?Sized)) -> Result<Vec<Violation>, RowError> {
    let loaded = Loaded::read(rows)?;
    let mut violations = Vec::new();
    for checker in CHECKERS {
        let mut found = Vec::new();
        (checker.run)(&loaded, &mut found);
        let violation = |what| Violation { checker: checker.name, invariant: checker.invariant, what };
        violations.extend(found.into_iter().map(violation));
    }
    Ok(violations)
}

#[cfg(test)]
pub(crate) mod tests;
