//! What a person sees: one screen that begins with the answer.

use std::fmt::Write;

use comfy_table::{CellAlignment, Table, presets};

use crate::status::engine::{Engine, Latency, Scrub};
use crate::status::{Drive, Node, Status};

/// The status on one screen.
pub fn status(status: &Status) -> String {
    let mut text = String::new();
    let answer = if status.fully_redundant { "SAFE: fully redundant" } else { "NOT FULLY REDUNDANT" };
    line(&mut text, answer);
    for reason in &status.reasons {
        line(&mut text, &format!("  - {reason}"));
    }
    line(&mut text, "");
    let survives = match status.data.survives_drives {
        None => "unknown or none".to_owned(),
        Some(u8::MAX) => "nothing is stored yet".to_owned(),
        Some(drives) => format!("survives the loss of {drives} more drives"),
    };
    line(
        &mut text,
        &format!("Data      {} ({} stripes, STANDARD is {})", survives, status.data.stripes, status.standard),
    );
    if status.data.stripes_reshaped + status.data.stripes_to_reshape > 0 {
        line(
            &mut text,
            &format!(
                "          {} stripes are coded for fewer drives than that; {} are to be coded anew",
                status.data.stripes_reshaped, status.data.stripes_to_reshape
            ),
        );
    }
    line(
        &mut text,
        &format!(
            "Metadata  survives the loss of {} more drives ({} copies of the log on {} drives, {} operations)",
            status.metadata.survives_drives,
            status.metadata.copies,
            status.metadata.roster.len(),
            status.metadata.applied_index
        ),
    );
    if status.metadata.parts_short > 0 {
        let parts = status.metadata.parts_short;
        line(&mut text, &format!("          {parts} parts of the log are being copied to other drives"));
    }
    if status.nodes.len() > 1 {
        let (metadata, alive) = (&status.metadata, status.nodes.iter().filter(|node| node.standing == "alive").count());
        line(
            &mut text,
            &format!(
                "Nodes     {alive} of {} alive, {} vote ({} wanted), writes survive the loss of {} more",
                status.nodes.len(),
                metadata.voters,
                metadata.voters_wanted,
                metadata.survives_nodes
            ),
        );
    }
    let stored = &status.stored;
    line(
        &mut text,
        &format!("Stored    {} in {} objects, {} buckets", bytes(stored.bytes), stored.objects, stored.buckets),
    );
    let repair = &status.repair;
    let doing = match (repair.planned, repair.waiting_for_a_drive) {
        (0, 0) if repair.stripes_planned > 0 => format!("{} stripes to code anew", repair.stripes_planned),
        (0, 0) => "nothing to do".to_owned(),
        (0, waiting) => format!("{waiting} chunks wait for a drive"),
        (planned, _) => format!("{planned} chunks to rebuild"),
    };
    line(
        &mut text,
        &format!(
            "Repair    {doing} ({} chunks, {} rebuilt since the start)",
            repair.chunks_rebuilt,
            bytes(repair.bytes_rebuilt)
        ),
    );
    line(&mut text, "");
    text.push_str(&drives(&status.drives));
    text
}

/// The nodes as a table.
pub fn nodes(nodes: &[Node]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["NODE", "STANDING", "S3", "ADDRESS", "ZONE", "VOTES", "DRIVES"]);
    for node in nodes {
        let votes = match (node.leads, node.votes) {
            (true, _) => "leads",
            (false, true) => "votes",
            (false, false) => "no",
        };
        let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        table.add_row([
            node.id.clone(),
            node.standing.clone(),
            or_dash(&node.s3),
            or_dash(&node.address),
            node.zone.clone(),
            votes.to_owned(),
            node.drives.to_string(),
        ]);
    }
    lines(&table)
}

/// The drives as a table.
pub fn drives(drives: &[Drive]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["DRIVE", "ID", "STATE", "CHUNKS", "DATA", "GARBAGE", "FREE", "PROBLEM"]);
    for drive in drives {
        table.add_row([
            drive.label.clone(),
            drive.id.clone(),
            drive.state.clone(),
            drive.chunks.to_string(),
            bytes(drive.bytes),
            bytes(drive.garbage_bytes),
            drive.available_bytes.map_or_else(|| "-".to_owned(), bytes),
            drive.problem.clone().unwrap_or_default(),
        ]);
    }
    aligned(table, 3..=6)
}

/// The same, and what each drive says of itself.
pub fn drives_in_detail(found: &[Drive]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["DRIVE", "LIVE", "SET ASIDE", "DEAD", "PUT p50/p99", "GET p50/p99", "ERRORS", "SCRUB"]);
    let open = found.iter().filter_map(|drive| drive.engine.as_ref().map(|engine| (drive, engine)));
    for (drive, engine) in open.clone() {
        table.add_row([
            drive.label.clone(),
            bytes(engine.live_bytes),
            bytes(engine.free_bytes),
            bytes(engine.dead_bytes),
            latency(engine, "put"),
            latency(engine, "get"),
            drive.errors.to_string(),
            engine.scrub.map_or_else(|| "not begun".to_owned(), |found| scrub(found, engine)),
        ]);
    }
    let mut text = drives(found);
    if open.clone().next().is_some() {
        line(&mut text, "");
        text.push_str(&aligned(table, 1..=6));
    }
    for (drive, engine) in open {
        for lacks in &engine.filesystem_lacks {
            line(&mut text, &format!("The filesystem of {}: {lacks}", drive.label));
        }
    }
    text
}

/// Milliseconds, or a dash where nothing was counted.
fn latency(engine: &Engine, operation: &str) -> String {
    let millis = |micros: u64| format!("{:.1}", micros as f64 / 1000.0);
    match engine.latencies.get(operation) {
        Some(Latency { p50_us, p99_us, .. }) => format!("{}/{} ms", millis(*p50_us), millis(*p99_us)),
        None => "-".to_owned(),
    }
}

fn scrub(found: Scrub, engine: &Engine) -> String {
    let damaged = if found.damaged > 0 { format!(", {} damaged", found.damaged) } else { String::new() };
    if found.finished {
        return format!("pass {} done{damaged}", found.pass);
    }
    // What lives changes while the pass runs, so this may be a little off.
    let percent = (found.bytes * 100 / engine.live_bytes.max(1)).min(99);
    format!("pass {}, {percent} %{damaged}", found.pass)
}

/// A table as text, some of its columns to the right.
fn aligned(mut table: Table, right: std::ops::RangeInclusive<usize>) -> String {
    for column in right {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    lines(&table)
}

/// A table's text, without blanks at the ends of lines.
fn lines(table: &Table) -> String {
    let mut text = table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n");
    text.push('\n');
    text
}

/// Bytes as people read them: 1.5 GiB.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("a string takes every line");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_readable() {
        for (count, text) in
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (u64::MAX, "16384.0 PiB")]
        {
            assert_eq!(bytes(count), text);
        }
    }
}
