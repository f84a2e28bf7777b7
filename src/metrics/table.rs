//! Numbers that are gathered when they are asked for, with labels and without.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What tells lines of one name apart.
pub type Labels = Vec<(&'static str, String)>;

/// A number that may rise and fall.
pub fn number(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let gauge: Gauge = Gauge::default();
    gauge.set(signed(value));
    registry.register(name, help, gauge);
}

/// A number that only rises while the process lives.
pub fn total(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let counter: Counter = Counter::default();
    counter.inc_by(value);
    registry.register(name, help, counter);
}

/// A number for each of several things. Nothing is told where there is none.
pub fn numbers(registry: &mut Registry, name: &str, help: &str, rows: impl IntoIterator<Item = (Labels, u64)>) {
    let family: Family<Labels, Gauge> = Family::default();
    for (labels, value) in rows {
        family.get_or_create(&labels).set(signed(value));
    }
    registry.register(name, help, family);
}

/// As [`numbers`], of numbers that only rise.
pub fn totals(registry: &mut Registry, name: &str, help: &str, rows: impl IntoIterator<Item = (Labels, u64)>) {
    let family: Family<Labels, Counter> = Family::default();
    for (labels, value) in rows {
        family.get_or_create(&labels).inc_by(value);
    }
    registry.register(name, help, family);
}

/// As [`numbers`], of fractions.
pub fn fractions(registry: &mut Registry, name: &str, help: &str, rows: impl IntoIterator<Item = (Labels, f64)>) {
    let family: Family<Labels, Gauge<f64, AtomicU64>> = Family::default();
    for (labels, value) in rows {
        family.get_or_create(&labels).set(value);
    }
    registry.register(name, help, family);
}

/// Gauges are signed; nothing that is counted here is as much as they hold.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
