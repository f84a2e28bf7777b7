//! What makes the data less safe than it looks, from what a running server says of itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::status::{Drive, Status};

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Whether nothing is wrong now.
    pub sound: bool,
    /// What is wrong now, in sentences.
    pub wrong: Vec<String>,
    /// What would be better, in sentences.
    pub advice: Vec<String>,
}

/// Looks through a status.
pub fn examine(status: &Status) -> Report {
    let mut advice = Vec::new();
    let live: Vec<&Drive> = status.drives.iter().filter(|drive| drive.state != "lost").collect();
    let mut devices: BTreeMap<(&str, u64), Vec<&Drive>> = BTreeMap::new();
    for drive in &live {
        if let Some(device) = drive.device {
            devices.entry((&drive.node, device)).or_default().push(drive);
        }
    }
    for together in devices.values().filter(|together| together.len() > 1) {
        let names = together.iter().map(|drive| drive.label.as_str()).collect::<Vec<_>>().join(", ");
        let on_log = together.iter().filter(|drive| status.metadata.roster.contains(&drive.id)).count();
        let log = if on_log > 1 { " and of the operation log" } else { "" };
        advice.push(format!(
            "{names} share one device: chunks of one stripe{log} lie there side by side, and are lost together with it"
        ));
    }
    for drive in &live {
        let lacks = drive.engine.iter().flat_map(|engine| &engine.filesystem_lacks);
        advice.extend(lacks.map(|lacks| format!("the filesystem of {}: {lacks}", drive.label)));
    }
    if status.nodes.len() == 1 && live.len() < 3 {
        advice.push(format!("{} drives: with three one may be lost, with six any two", live.len()));
    }
    Report { sound: status.fully_redundant, wrong: status.reasons.clone(), advice }
}

/// The report for people.
pub fn show(report: &Report) -> String {
    let mut text = String::new();
    let mut line = |line: &str| writeln!(text, "{line}").expect("a string takes every line");
    line(if report.sound { "Nothing is wrong now." } else { "Something is wrong now:" });
    report.wrong.iter().for_each(|wrong| line(&format!("  - {wrong}")));
    if !report.advice.is_empty() {
        line("Advice:");
        report.advice.iter().for_each(|advice| line(&format!("  - {advice}")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(devices: &[u64]) -> Status {
        let drives: Vec<serde_json::Value> = devices
            .iter()
            .enumerate()
            .map(|(number, device)| {
                serde_json::json!({
                    "id": format!("{number}"), "label": format!("disk-{number}"), "node": "n", "state": "active",
                    "problem": null, "chunks": 0, "bytes": 0, "garbage_bytes": 0, "allocated_bytes": 0,
                    "available_bytes": 0, "errors": 0, "device": device,
                })
            })
            .collect();
        serde_json::from_value(serde_json::json!({
            "version": "", "cluster": "", "fully_redundant": true, "reasons": [], "standard": "4+2",
            "data": {
                "survives_drives": 2, "stripes": 0, "stripes_by_margin": {}, "stripes_exposed": 0, "stripes_lost": 0,
                "stripes_unreachable": 0, "stripes_reshaped": 0, "stripes_to_reshape": 0, "stripes_needing_a_drive": 0,
                "chunks_missing": 0, "chunks_unreachable": 0, "as_of_index": 1,
            },
            "metadata": {
                "survives_drives": 2, "survives_nodes": 0, "voters": 1, "voters_wanted": 1, "leader": null, "copies": 3,
                "roster": ["0", "1", "2", "3", "4", "5"], "applied_index": 1, "run_index": 0,
            },
            "stored": {"buckets": 0, "objects": 0, "versions": 0, "bytes": 0, "bytes_in_metadata": 0},
            "nodes": [],
            "drives": drives,
            "repair": {
                "planned": 0, "waiting_for_a_drive": 0, "stripes_planned": 0, "stripes_recoded": 0, "held": null,
                "chunks_rebuilt": 0, "bytes_rebuilt": 0, "objects_packed": 0, "chunks_collected": 0,
                "orphans_condemned": 0, "failures": 0, "last_failure": null,
            },
        }))
        .unwrap()
    }

    #[test]
    fn drives_of_one_device_are_named_and_are_no_failure() {
        let report = examine(&status(&[1, 2, 3, 4, 5, 5]));
        assert!(report.sound);
        assert_eq!(report.advice.len(), 1, "{report:?}");
        assert!(report.advice[0].starts_with("disk-4, disk-5 share one device"), "{report:?}");
        assert!(report.advice[0].contains("operation log"));
        assert!(examine(&status(&[1, 2, 3, 4, 5, 6])).advice.is_empty());
    }
}
