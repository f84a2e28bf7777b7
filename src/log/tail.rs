//! `cairn log tail`: asks page by page and prints a line for each change.

use std::io::{self, Write};

use cairn_core::clock::SystemClock;

use super::{Asked, Change, Effect, LOG_PATH, Page, WAIT_MAX};
use crate::ask::{self, Question, Target};
use crate::cli::LogTailArgs;

/// Prints changes until the end of the log, or for as long as somebody listens.
pub async fn run(args: &LogTailArgs) -> anyhow::Result<()> {
    let targets = Target::find(&args.server)?;
    let clock = SystemClock::start();
    let bucket = args.bucket.clone();
    if bucket.as_ref().is_some_and(|bucket| !super::is_plain(bucket)) {
        anyhow::bail!("no bucket has such a name");
    }
    let wait = if args.follow { WAIT_MAX } else { std::time::Duration::ZERO };
    let mut asked = Asked { from: args.from, bucket, wait: std::time::Duration::ZERO };
    let mut out = io::stdout().lock();
    loop {
        let answer = ask::one_of(&targets, Question::get(LOG_PATH, &asked.to_query()), &*clock).await?;
        let page: Page = serde_json::from_slice(&answer)?;
        if let Some(from) = asked.from.filter(|from| *from < page.from && *from <= page.applied) {
            eprintln!("cairn: the log begins at index {}: what is between it and {from} is not kept", page.from);
        }
        match print(&mut out, &page, args.server.json) {
            // Whoever listened has heard enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            printed => printed?,
        }
        let at_the_end = page.next > page.applied;
        if at_the_end && !args.follow {
            return Ok(());
        }
        asked.from = Some(page.next);
        asked.wait = if at_the_end { wait } else { std::time::Duration::ZERO };
    }
}

fn print(out: &mut impl Write, page: &Page, json: bool) -> io::Result<()> {
    for change in &page.changes {
        if json {
            serde_json::to_writer(&mut *out, change)?;
            writeln!(out)?;
        } else {
            writeln!(out, "{}", line(change))?;
        }
    }
    out.flush()
}

/// One change on one line. Whatever a client chose, a key for instance, cannot break the line or the terminal.
fn line(change: &Change) -> String {
    let time = change.time.as_deref().unwrap_or("-");
    let who = change.key.as_deref().or(change.role.as_deref()).or(change.session.as_deref()).unwrap_or("cairn");
    let mut line = format!("{:>8} {time:<24} {:<21} {}", change.index, plain(who), change.what);
    if let Some(bucket) = change.bucket.as_ref().or(change.bucket_id.as_ref()) {
        line.push_str(&format!(" {bucket}"));
        if let Some(object) = &change.object {
            line.push_str(&format!("/{}", plain(object)));
        }
    }
    if !change.detail.is_empty() {
        line.push_str(&format!(" {}", plain(&change.detail)));
    }
    match (change.outcome, &change.refusal) {
        (Effect::Done, _) => {}
        (Effect::Refused, refusal) => line.push_str(&format!(" REFUSED: {}", refusal.as_deref().unwrap_or_default())),
        (Effect::Unknown, _) => line.push_str(" (outcome not remembered)"),
    }
    line
}

/// Without control characters.
fn plain(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_one_line_whatever_its_key_is() {
        let change = Change {
            index: 7,
            operation: 0,
            time: Some("2026-11-21T12:00:00.000Z".into()),
            term: 1,
            key: Some("AKIA".into()),
            session: None,
            role: None,
            what: "PutObject".into(),
            bucket: Some("b".into()),
            bucket_id: None,
            object: Some("a\nb\u{1b}[31m".into()),
            detail: "bytes=1".into(),
            outcome: Effect::Refused,
            refusal: Some("it is there".into()),
        };
        let said = line(&change);
        assert_eq!(
            said,
            "       7 2026-11-21T12:00:00.000Z AKIA                  PutObject b/a\\nb\\u{1b}[31m bytes=1 REFUSED: it is there"
        );
    }
}
