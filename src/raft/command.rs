//! `cairn raft`: asks the member that knows most, and prints what it says.

use std::fmt::Write;

use cairn_core::clock::SystemClock;

use super::{Change, RAFT_PATH, RaftStatus};
use crate::ask::{self, AskError, Question, Target};
use crate::cli::AdminArgs;

/// Locks that end so much later than the calendar says are worth a line.
const UNSURE_MS_SHOWN: u64 = 60_000;

/// What the leader sees; where it cannot be asked, what anybody does.
pub async fn status(args: &AdminArgs) -> anyhow::Result<RaftStatus> {
    let targets = Target::find(args)?;
    Ok(leader(&targets).await?.1)
}

/// Has a change made by somebody who can: a change of lead by the leader, a removal by any member but the removed one.
pub async fn change(args: &AdminArgs, change: Change) -> anyhow::Result<RaftStatus> {
    let targets = Target::find(args)?;
    let (target, status) = leader(&targets).await?;
    let query = change.to_query();
    let question = Question { does: true, path: RAFT_PATH, query: &query };
    let clock = SystemClock::start();
    match change {
        Change::Lead(_) => anyhow::ensure!(
            status.leads(),
            "member {} does not lead: ask the node that does, see `cairn raft status`",
            status.member
        ),
        Change::Remove(member) if member == status.member => {
            for other in &targets {
                let Ok(answer) = ask::ask(other, Question::get(RAFT_PATH, ""), &*clock).await else { continue };
                if serde_json::from_slice::<RaftStatus>(&answer)?.member != member {
                    return Ok(serde_json::from_slice(&ask::ask(other, question, &*clock).await?)?);
                }
            }
            anyhow::bail!("no other member answers, and none removes itself");
        }
        Change::Add(_) | Change::Remove(_) | Change::BelieveClock => {}
    }
    Ok(serde_json::from_slice(&ask::ask(target, question, &*clock).await?)?)
}

/// The server that leads, or else one that answers.
async fn leader(targets: &[Target]) -> anyhow::Result<(&Target, RaftStatus)> {
    let clock = SystemClock::start();
    let (mut follower, mut last) = (None, None);
    for target in targets {
        match ask::ask(target, Question::get(RAFT_PATH, ""), &*clock).await {
            Ok(answer) => {
                let status: RaftStatus = serde_json::from_slice(&answer)?;
                if status.leads() {
                    return Ok((target, status));
                }
                follower.get_or_insert((target, status));
            }
            Err(error @ (AskError::Silent { .. } | AskError::Refused { status: 500.., .. })) => last = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    match (follower, last) {
        (Some(found), _) => Ok(found),
        (None, Some(error)) => Err(error.into()),
        (None, None) => anyhow::bail!("no node serves"),
    }
}

/// The members for a person.
pub fn show(status: &RaftStatus) -> String {
    let mut text = String::new();
    let mut line = |said: String| writeln!(text, "{said}").expect("a string takes every line");
    let leader = status.leader.map_or_else(|| "nobody".to_owned(), |leader| format!("member {leader}"));
    line(format!("{leader} leads in term {}, as member {} sees it", status.term, status.member));
    line(format!(
        "log {} to {}, entries of version {}, applied {}, in runs {}",
        status.purged_index + 1,
        status.last_index,
        status.function,
        status.applied_index,
        status.run_index
    ));
    if status.unsure_ms > UNSURE_MS_SHOWN {
        let seconds = status.unsure_ms / 1000;
        line(format!(
            "locks end {seconds} s late: this machine was off or asleep, or its clock was set; if it is right now: cairn raft believe-clock"
        ));
    }
    line(format!("{:>12}  {:<16}  {:<8} {:>10} {:>8} {:>10}", "MEMBER", "NODE", "PART", "MATCHED", "LACKS", "HEARD"));
    let or_dash = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    for member in &status.members {
        let heard = member.heard_ms_ago.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms ago"));
        let (matched, lag) = (or_dash(member.matched_index), or_dash(member.lag));
        let (id, node, part) = (member.member, &member.node, &member.part);
        line(format!("{id:>12}  {node:<16}  {part:<8} {matched:>10} {lag:>8} {heard:>10}"));
    }
    text
}
