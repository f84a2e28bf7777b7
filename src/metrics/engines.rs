//! The engines of the drives of this process: where their bytes are, what waits, how long things take, how far the scrub is.

use cairn_core::DriveId;
use prometheus_client::registry::Registry;

use super::table::{Labels, fractions, numbers, totals};
use crate::status::Engine;

/// Has the engines told.
pub fn register(registry: &mut Registry, engines: &[(DriveId, Engine)]) {
    let labels = |drive: &DriveId| -> Labels { vec![("drive", drive.to_string())] };
    let each = |of: fn(&Engine) -> u64| engines.iter().map(move |(drive, engine)| (labels(drive), of(engine)));
    numbers(registry, "engine_chunks", "Chunks that are there", each(|engine| engine.chunks));
    numbers(registry, "engine_live_bytes", "What these take", each(|engine| engine.live_bytes));
    numbers(
        registry,
        "engine_dead_bytes",
        "What serves nobody and is not given back yet",
        each(|engine| engine.dead_bytes),
    );
    numbers(registry, "engine_free_bytes", "Set aside for what comes next", each(|engine| engine.free_bytes));
    numbers(registry, "engine_punched_bytes", "Deleted and given back", each(|engine| engine.punched_bytes));
    numbers(registry, "engine_queued_bytes", "Queued for the writer", each(|engine| engine.load.queued_bytes));
    numbers(registry, "engine_puts_waiting", "Puts that wait for room", each(|engine| engine.load.puts_waiting));
    numbers(registry, "engine_reads_under_way", "Reads at the device", each(|engine| engine.load.reads_under_way));
    numbers(
        registry,
        "engine_reads_waiting",
        "Reads that wait for their turn",
        each(|engine| engine.load.reads_waiting),
    );
    let damaged = "Chunks that the last start found damaged";
    numbers(registry, "engine_damaged_at_start", damaged, each(|engine| engine.damaged_at_start));
    let lacks = "Things that the filesystem should have and lacks";
    numbers(registry, "engine_filesystem_lacks", lacks, each(|engine| engine.filesystem_lacks.len() as u64));
    latencies(registry, engines);
    let scrubs = || engines.iter().filter_map(|(drive, engine)| Some((labels(drive), engine.scrub?)));
    let pass = scrubs().map(|(labels, scrub)| (labels, scrub.pass));
    numbers(registry, "scrub_pass", "The number of the pass under way, or of the last one", pass);
    let under_way = scrubs().map(|(labels, scrub)| (labels, u64::from(!scrub.finished)));
    numbers(registry, "scrub_under_way", "Whether the pass is under way", under_way);
    numbers(
        registry,
        "scrub_chunks",
        "Chunks read back in the pass",
        scrubs().map(|(labels, scrub)| (labels, scrub.chunks)),
    );
    numbers(registry, "scrub_bytes", "Their bytes", scrubs().map(|(labels, scrub)| (labels, scrub.bytes)));
    let damaged = scrubs().map(|(labels, scrub)| (labels, scrub.damaged));
    numbers(registry, "scrub_damaged", "Chunks that the pass found damaged", damaged);
}

/// Quantiles of what happened lately, by operation.
fn latencies(registry: &mut Registry, engines: &[(DriveId, Engine)]) {
    let of = |drive: &DriveId, operation: &String| -> Labels {
        vec![("drive", drive.to_string()), ("operation", operation.clone())]
    };
    let all = || engines.iter().flat_map(|(drive, engine)| engine.latencies.iter().map(move |found| (drive, found)));
    let counts = all().map(|(drive, (operation, latency))| (of(drive, operation), latency.count));
    totals(registry, "engine_operations", "Operations of a drive's engine", counts);
    let quantiles = all().flat_map(|(drive, (operation, latency))| {
        [("0.5", latency.p50_us), ("0.95", latency.p95_us), ("0.99", latency.p99_us)].map(|(quantile, micros)| {
            let mut labels = of(drive, operation);
            labels.push(("quantile", quantile.to_owned()));
            (labels, micros as f64 / 1e6)
        })
    });
    fractions(registry, "engine_recent_seconds", "How long recent operations took", quantiles);
}
