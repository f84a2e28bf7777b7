//! What a drive of this process says of its own engine: where its bytes are, what waits for it, how long it takes, how far
//! its scrub is, and what its filesystem lacks.
//!
//! The ledger of the log counts what should be on a drive; this is what the drive itself counts. Drives that are reached
//! across a network, or could not be opened, have none.

use std::collections::BTreeMap;

use cairn_core::latency::Quantiles;
use cairn_storage_node::{Drive, DriveStats, ScrubProgress};
use serde::{Deserialize, Serialize};

/// One drive's engine.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Engine {
    /// Chunks that are there.
    pub chunks: u64,
    /// What these take, with their heads and padding.
    pub live_bytes: u64,
    /// What serves nobody and cannot be given back yet.
    pub dead_bytes: u64,
    /// Set aside for what comes next.
    pub free_bytes: u64,
    /// Deleted and given back, in segments that are still there.
    pub punched_bytes: u64,
    /// What is on its way.
    pub load: Load,
    /// How long things take lately, by operation. Those that never happened are left out.
    pub latencies: BTreeMap<String, Latency>,
    /// How far the scrub is; none before its first pass.
    pub scrub: Option<Scrub>,
    /// What the filesystem lacks, and what that costs, in sentences; empty for a fit one.
    pub filesystem_lacks: Vec<String>,
    /// Chunks that the last start found damaged. Readers and the scrub find them again, until they are rebuilt.
    pub damaged_at_start: u64,
}

/// What is on its way to or from a drive.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Load {
    /// Bytes queued for the writer or being written.
    pub queued_bytes: u64,
    /// Puts that wait for room in that queue.
    pub puts_waiting: u64,
    /// Reads that are at the device.
    pub reads_under_way: u64,
    /// Reads that wait for their turn.
    pub reads_waiting: u64,
}

/// How long one kind of operation takes, in microseconds.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Latency {
    /// How many there were since the start.
    pub count: u64,
    /// Half of the recent ones took no longer.
    pub p50_us: u64,
    /// Nineteen of twenty.
    pub p95_us: u64,
    /// Ninety-nine of a hundred.
    pub p99_us: u64,
}

/// How far a scrub is.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Scrub {
    /// The number of the pass under way, or of the last one.
    pub pass: u64,
    /// When it began, in milliseconds since 1970.
    pub began_ms: u64,
    /// Whether it came to the end.
    pub finished: bool,
    /// Chunks read back in it.
    pub chunks: u64,
    /// What they take.
    pub bytes: u64,
    /// How many of them were not sound, or could not be read.
    pub damaged: u64,
}

/// Asks a drive.
pub fn engine(drive: &Drive) -> Engine {
    let DriveStats { chunks, accounts, load, latencies, scrub, errors: _ } = drive.stats();
    let report = drive.report();
    let by_name = [
        ("put", latencies.put),
        ("get", latencies.get),
        ("head", latencies.head),
        ("read_back", latencies.read_back),
        ("delete", latencies.delete),
        ("list", latencies.list),
    ];
    let happened = by_name.into_iter().filter(|(_, quantiles)| quantiles.count > 0);
    let lacks = report.fitness.map_or_else(Vec::new, |fitness| fitness.lacks());
    Engine {
        chunks,
        live_bytes: accounts.live_bytes,
        dead_bytes: accounts.dead_bytes,
        free_bytes: accounts.free_bytes,
        punched_bytes: accounts.punched_bytes,
        load: Load {
            queued_bytes: load.queued_bytes,
            puts_waiting: load.puts_waiting as u64,
            reads_under_way: load.reads_under_way as u64,
            reads_waiting: load.reads_waiting as u64,
        },
        latencies: happened.map(|(name, quantiles)| (name.to_owned(), latency(quantiles))).collect(),
        scrub: scrub.map(progress),
        filesystem_lacks: lacks.into_iter().map(str::to_owned).collect(),
        damaged_at_start: report.recovery.damaged + report.recovery.unreadable,
    }
}

fn latency(quantiles: Quantiles) -> Latency {
    let micros = |duration: std::time::Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    Latency {
        count: quantiles.count,
        p50_us: micros(quantiles.p50),
        p95_us: micros(quantiles.p95),
        p99_us: micros(quantiles.p99),
    }
}

fn progress(found: ScrubProgress) -> Scrub {
    let ScrubProgress { pass, began, finished, after: _, chunks, bytes, damaged } = found;
    Scrub { pass, began_ms: began.map_or(0, |began| began.as_millis()), finished, chunks, bytes, damaged }
}
