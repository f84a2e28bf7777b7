//! `cairn bucket`: asks page by page, and prints.

use cairn_core::WallTime;
use cairn_core::clock::SystemClock;
use comfy_table::{CellAlignment, Table, presets};

use super::{BUCKETS_PATH, Bucket, Page};
use crate::ask::{self, Question, Target};
use crate::calendar;
use crate::cli::AdminArgs;
use crate::show;

/// All buckets, or the one of a name.
pub async fn list(args: &AdminArgs, name: Option<&str>) -> anyhow::Result<Vec<Bucket>> {
    let targets = Target::find(args)?;
    let clock = SystemClock::start();
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let query = ask::query(&[("after", &after)]);
        let answer = ask::one_of(&targets, Question::get(BUCKETS_PATH, &query), &*clock).await?;
        let page: Page = serde_json::from_slice(&answer)?;
        found.extend(page.buckets.into_iter().filter(|bucket| name.is_none_or(|name| name == bucket.name)));
        match page.next {
            Some(next) => after = next,
            None => break,
        }
    }
    anyhow::ensure!(name.is_none() || !found.is_empty(), "there is no bucket {}", name.unwrap_or_default());
    Ok(found)
}

/// Buckets for a person.
pub fn show(buckets: &[Bucket]) -> String {
    if buckets.is_empty() {
        return "there are no buckets\n".to_owned();
    }
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["BUCKET", "OBJECTS", "VERSIONS", "SIZE", "VERSIONING", "MADE"]);
    for bucket in buckets {
        table.add_row([
            bucket.name.clone(),
            bucket.objects.to_string(),
            bucket.versions.to_string(),
            show::bytes(bucket.bytes),
            if bucket.locks { format!("{}, locks", bucket.versioning) } else { bucket.versioning.clone() },
            calendar::moment(WallTime(bucket.created_ms)),
        ]);
    }
    for column in table.column_iter_mut().skip(1).take(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!("{table}\n")
}
