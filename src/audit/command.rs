//! `cairn audit`: begins one, waits for it, prints what it found.

use std::fmt::Write;
use std::io::IsTerminal;
use std::time::Duration;

use cairn_core::clock::SystemClock;

use super::{AUDIT_PATH, Begun, Drive, Progress, Report};
use crate::ask::{self, AskError, Question, Target};
use crate::cli::AuditArgs;
use crate::show;

/// How long one question waits for the end.
const WAIT: Duration = Duration::from_secs(10);

/// Has an audit made, by the first node that answers; the one that has begun it finishes it.
pub async fn run(args: &AuditArgs) -> anyhow::Result<Report> {
    let targets = Target::find(&args.server)?;
    let clock = SystemClock::start();
    let query = if args.physical { "physical=1" } else { "" };
    let mut begun = None;
    for (number, target) in targets.iter().enumerate() {
        match ask::ask(target, Question { does: true, path: AUDIT_PATH, query }, &*clock).await {
            Err(AskError::Silent { .. } | AskError::Refused { status: 500.., .. }) if number + 1 < targets.len() => {}
            answer => {
                begun = Some((target, answer?));
                break;
            }
        }
    }
    let Some((target, answer)) = begun else { anyhow::bail!("no node answers") };
    let mut told: Begun = serde_json::from_slice(&answer)?;
    let shows = std::io::stderr().is_terminal() && !args.server.json;
    loop {
        match told.progress {
            Progress::Done(report) => {
                if shows {
                    eprint!("\r\x1b[K");
                }
                return Ok(*report);
            }
            Progress::Failed { reason } => anyhow::bail!("the audit broke off: {reason}"),
            Progress::Counting { rows } if shows => eprint!("\r\x1b[K{rows} rows counted"),
            Progress::Comparing { stripes } if shows => eprint!("\r\x1b[K{stripes} stripes compared with the drives"),
            Progress::Counting { .. } | Progress::Comparing { .. } => {}
        }
        let wait = if shows { 1 } else { WAIT.as_secs() };
        let query = format!("id={}&wait={wait}", told.id);
        told = serde_json::from_slice(&ask::ask(target, Question::get(AUDIT_PATH, &query), &*clock).await?)?;
    }
}

/// The report for a person.
pub fn show(report: &Report) -> String {
    let mut text = String::new();
    let mut line = |said: String| writeln!(text, "{said}").expect("a string takes every line");
    line(if report.balanced { "BALANCED".to_owned() } else { "DOES NOT BALANCE".to_owned() });
    for imbalance in &report.imbalances {
        line(format!("  - {}: the ledger says {}, and there is {}", imbalance.of, imbalance.kept, imbalance.counted));
    }
    if report.more {
        line("  - and more, which is not told".to_owned());
    }
    for (drive, problem) in report.drives.iter().filter_map(|drive| Some((drive, problem(drive)?))) {
        line(format!("  - drive {} ({}): {problem}", drive.id, drive.label));
    }
    line(String::new());
    line(format!(
        "{} rows at index {} in {:.1} s: {} stripes, {} extents, {} of them with {} in the metadata",
        report.rows,
        report.index,
        report.took_ms as f64 / 1000.0,
        report.stripes,
        report.extents,
        report.extents_in_metadata,
        show::bytes(report.bytes_in_metadata)
    ));
    for bucket in &report.buckets {
        let (name, bytes) = (&bucket.name, show::bytes(bucket.bytes));
        line(format!("  bucket {name}: {} objects, {} versions, {bytes}", bucket.objects, bucket.versions));
    }
    for drive in &report.drives {
        let (bytes, garbage) = (show::bytes(drive.bytes), show::bytes(drive.garbage_bytes));
        let (id, label, state) = (&drive.id, &drive.label, &drive.state);
        let counted = format!("{} chunks, {bytes}; garbage: {} chunks, {garbage}", drive.chunks, drive.garbage_chunks);
        let held = drive.inventory.as_ref().map_or_else(String::new, |held| {
            let (present, unnamed) = (held.present, held.unnamed);
            format!("; the drive has {present} of them, {} of the garbage, {unnamed} that no row names", held.garbage)
        });
        line(format!("  drive {id} ({label}, {state}): {counted}{held}"));
    }
    text
}

/// What is wrong with what a drive holds.
fn problem(drive: &Drive) -> Option<String> {
    let held = drive.inventory.as_ref()?;
    match (&held.problem, held.missing) {
        (Some(problem), _) => Some(format!("could not be compared: {problem}")),
        (None, 0) => None,
        (None, missing) => Some(format!("{missing} chunks are missing")),
    }
}
