//! What is shown while a run goes on: on standard error, so that the report can be read by programs.

use std::io::{IsTerminal, Write, stderr};
use std::sync::PoisonError;
use std::time::Duration;

use cairn_core::clock::Elapsed;
use cairn_core::units::MIB;

use crate::worker::Shared;

/// How often a line is shown to somebody who watches.
const WATCHED: Duration = Duration::from_secs(1);

/// How often one is written where nobody may be watching.
const UNWATCHED: Duration = Duration::from_secs(10);

/// Where progress is shown, if anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Nowhere.
    Silent,
    /// On standard error: one line that changes on a terminal, one from time to time elsewhere.
    Shown,
}

impl Progress {
    /// Says one thing.
    pub fn say(self, text: &str) {
        if self == Self::Shown {
            show(text, true);
        }
    }

    /// Says how many of the objects are there that must be there beforehand.
    pub fn prepared(self, count: u64, of: u64) {
        // Once for each hundredth is enough for a person, and costs the run nothing.
        let step = (of / 100).max(1);
        if self == Self::Shown && stderr().is_terminal() && (count.is_multiple_of(step) || count == of) {
            show(&format!("putting {of} objects beforehand: {count}"), count == of);
        }
    }

    /// Shows how the load goes, until it is dropped.
    pub async fn follow(self, shared: &Shared, began: Elapsed) {
        if self == Self::Silent {
            return std::future::pending().await;
        }
        let every = if stderr().is_terminal() { WATCHED } else { UNWATCHED };
        let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
        let (mut before, mut at) = ((0, 0, 0), began);
        loop {
            tick.tick().await;
            let now = shared.clock.elapsed();
            let (so_far, errors) = {
                let tally = shared.tally.lock().unwrap_or_else(PoisonError::into_inner);
                (tally.so_far(), tally.errors)
            };
            let seconds = now.since(at).as_secs_f64().max(f64::MIN_POSITIVE);
            let rate = |now: u64, before: u64| (now - before) as f64 / seconds;
            let line = format!(
                "{:.0} of {:.0} s: {:.0} operations/s, {:.0} objects/s, {:.1} MiB/s, {errors} errors",
                now.since(began).as_secs_f64(),
                shared.plan.duration.as_secs_f64(),
                rate(so_far.0, before.0),
                rate(so_far.1, before.1),
                rate(so_far.2, before.2) / MIB as f64,
            );
            show(&line, false);
            (before, at) = (so_far, now);
        }
    }
}

/// Shows a line. On a terminal it replaces the one before, unless that one was meant to stay.
fn show(line: &str, stays: bool) {
    let mut out = stderr().lock();
    let shown = match (out.is_terminal(), stays) {
        (true, true) => writeln!(out, "\r\x1b[K{line}"),
        (true, false) => write!(out, "\r\x1b[K{line}").and_then(|()| out.flush()),
        (false, _) => writeln!(out, "{line}"),
    };
    // A run is not worth less because nobody can be told how it goes.
    drop(shown);
}

/// Leaves the line that changes, so that what is printed next stands on one of its own.
pub fn leave_line() {
    let mut out = stderr().lock();
    if out.is_terminal() {
        drop(write!(out, "\r\x1b[K").and_then(|()| out.flush()));
    }
}
