//! What is said of a run: one JSON object for programs, a few lines for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use cairn_core::units::MIB;
use serde::Serialize;

use crate::plan::{Plan, Workload};
use crate::quantity::show_size;
use crate::tally::{Counts, Tally};

/// Rates and latencies of what succeeded.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Operations that succeeded.
    pub operations: u64,
    /// Objects that they put, read, asked about, named or deleted.
    pub objects: u64,
    /// Bytes of objects that they moved.
    pub bytes: u64,
    /// Operations by the seconds of the run.
    pub operations_per_second: f64,
    /// Objects by the seconds of the run.
    pub objects_per_second: f64,
    /// MiB by the seconds of the run.
    pub mib_per_second: f64,
    /// Half of the operations took no longer.
    pub p50_ms: f64,
    /// Nine tenths took no longer.
    pub p90_ms: f64,
    /// All but one of a hundred took no longer.
    pub p99_ms: f64,
    /// None took longer.
    pub max_ms: f64,
    /// The mean.
    pub mean_ms: f64,
    /// For half of them the head of the answer was there by then.
    pub first_byte_p50_ms: f64,
    /// For all but one of a hundred.
    pub first_byte_p99_ms: f64,
}

/// All of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What was asked of the server.
    pub workload: Workload,
    /// The server.
    pub endpoint: String,
    /// The size of an object.
    pub size_bytes: u64,
    /// Requests under way at once.
    pub concurrency: usize,
    /// How many objects were put beforehand.
    pub prepared_objects: u64,
    /// From the first request to the last answer.
    pub seconds: f64,
    /// All operations together.
    #[serde(flatten)]
    pub total: Figures,
    /// Operations that failed.
    pub errors: u64,
    /// How many of each code.
    pub errors_by_code: BTreeMap<String, u64>,
    /// The first of them, in full.
    pub first_error: Option<String>,
    /// Bodies that were compared with what was put.
    pub verified: u64,
    /// Whether the run was interrupted.
    pub interrupted: bool,
    /// The same figures for each kind of operation.
    pub by_operation: BTreeMap<&'static str, Figures>,
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

impl Figures {
    fn of(counts: &Counts, seconds: f64) -> Self {
        let Counts { latency, first_byte, bytes, objects, .. } = counts;
        let rate = |count: f64| rounded(count / seconds.max(f64::MIN_POSITIVE));
        Self {
            operations: latency.count(),
            objects: *objects,
            bytes: *bytes,
            operations_per_second: rate(latency.count() as f64),
            objects_per_second: rate(*objects as f64),
            mib_per_second: rate(*bytes as f64 / MIB as f64),
            p50_ms: rounded(latency.quantile_ms(5_000)),
            p90_ms: rounded(latency.quantile_ms(9_000)),
            p99_ms: rounded(latency.quantile_ms(9_900)),
            max_ms: rounded(latency.max_ms()),
            mean_ms: rounded(latency.mean_ms()),
            first_byte_p50_ms: rounded(first_byte.quantile_ms(5_000)),
            first_byte_p99_ms: rounded(first_byte.quantile_ms(9_900)),
        }
    }
}

impl Report {
    /// Makes figures of counts.
    pub fn of(plan: &Plan, endpoint: &str, tally: &Tally, took: Duration, interrupted: bool) -> Self {
        let seconds = took.as_secs_f64();
        let total = tally.total();
        let kinds = tally.kinds.iter();
        Self {
            workload: plan.workload,
            endpoint: endpoint.to_owned(),
            size_bytes: plan.size,
            concurrency: plan.concurrency,
            prepared_objects: plan.prepared(),
            seconds: rounded(seconds),
            total: Figures::of(&total, seconds),
            errors: tally.errors,
            errors_by_code: tally.errors_by_code.clone(),
            first_error: tally.first_error.clone(),
            verified: total.verified,
            interrupted,
            by_operation: kinds.map(|(kind, counts)| (kind.name(), Figures::of(counts, seconds))).collect(),
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{} of {}, {} at once, {:.1} s{}\n",
            self.workload,
            show_size(self.size_bytes),
            self.concurrency,
            self.seconds,
            if self.interrupted { ", interrupted" } else { "" },
        );
        let mut line = |name: &str, figures: &Figures| {
            let Figures { objects_per_second, mib_per_second, p50_ms, p90_ms, p99_ms, max_ms, .. } = figures;
            let first_byte = match figures.first_byte_p50_ms {
                0.0 => String::new(),
                p50 => format!("; first byte p50 {p50:.2}, p99 {:.2}", figures.first_byte_p99_ms),
            };
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "  {name:<9} {:>9} ops  {objects_per_second:>10.1} objects/s  {mib_per_second:>8.1} MiB/s  \
                 ms: p50 {p50_ms:.2}, p90 {p90_ms:.2}, p99 {p99_ms:.2}, max {max_ms:.2}{first_byte}",
                figures.operations,
            );
        };
        self.by_operation.iter().for_each(|(name, figures)| line(name, figures));
        if self.by_operation.len() != 1 {
            line("all", &self.total);
        }
        if self.verified > 0 {
            let _ = writeln!(
                text,
                "  {} bodies compared with what was put, all equal but those among the errors",
                self.verified
            );
        }
        let _ = writeln!(text, "  {} errors", self.errors);
        for (label, count) in &self.errors_by_code {
            let _ = writeln!(text, "    {count} of {label}");
        }
        if let Some(first) = &self.first_error {
            let _ = writeln!(text, "    the first: {first}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Failure;
    use crate::plan::tests::plan;
    use crate::tally::{Done, Kind};

    fn report() -> Report {
        let mut tally = Tally::default();
        let first_byte = Some(Duration::from_millis(3));
        for ms in 1..=100 {
            let done = Done { first_byte, bytes: MIB, objects: 1, verified: true };
            tally.succeeded(Kind::Get, Duration::from_millis(ms), done);
        }
        tally.succeeded(Kind::Put, Duration::from_millis(1), Done { objects: 1, ..Done::default() });
        tally.failed(Kind::Get, &Failure::TimedOut);
        Report::of(&plan(Workload::Mixed), "http://x", &tally, Duration::from_secs(2), false)
    }

    #[test]
    fn json_has_the_figures_at_its_top() {
        let json = serde_json::to_value(report()).unwrap();
        assert_eq!(json["workload"], "mixed");
        assert_eq!(json["objects_per_second"], 50.5);
        assert_eq!(json["mib_per_second"], 50.0);
        assert_eq!(json["errors"], 1);
        assert_eq!(json["errors_by_code"]["timeout"], 1);
        assert_eq!(json["max_ms"], 100.0);
        let (p50, p99) = (json["p50_ms"].as_f64().unwrap(), json["p99_ms"].as_f64().unwrap());
        assert!((p50 - 50.0).abs() < 0.6 && (p99 - 99.0).abs() < 1.1, "{p50} {p99}");
        assert_eq!(json["by_operation"]["get"]["operations"], 100);
        assert_eq!(json["verified"], 100);
    }

    #[test]
    fn people_see_what_failed() {
        let text = report().text();
        assert!(
            text.contains("1 errors") && text.contains("1 of timeout") && text.contains("the first: get: timeout"),
            "{text}"
        );
    }

    #[test]
    fn a_run_that_did_nothing_has_figures_of_nothing() {
        let nothing = Report::of(&plan(Workload::Put), "http://x", &Tally::default(), Duration::ZERO, true);
        assert_eq!((nothing.total.objects_per_second, nothing.total.p99_ms), (0.0, 0.0));
    }
}
